"""Inspection of a built image in the registry: its config, and the few files that tell what is installed.

Owns: the scan of an image's layers as streams (newest first, whiteouts honoured, bounded memory and bytes), and what is
read from names and texts in them. Refuses to own: the judgement (`azureml_scoring.plan.requirements`), the registry's
protocol (`registry_client.py`), and running anything of the image.
https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, cast

from azureml_scoring.plan.requirements.after import ImageInspection, is_fuse
from azureml_scoring.plan.requirements.server import Start
from azureml_scoring.plan.requirements.support import version
from azureml_scoring.provider.arm import Arm
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.registry_client import RepositoryReader

PACKED_LIMIT: Final = 512 << 20
"""Bytes of an image, packed, that are read."""
UNPACKED_LIMIT: Final = 8 << 30
"""Bytes that a layer may unpack to."""
FILE_LIMIT: Final = 4 << 20
"""Bytes of one file that are read."""
NAMES_LIMIT: Final = 200_000
"""Whiteouts and packages that are remembered."""

_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_DPKG: Final = re.compile(r"var/lib/dpkg/(status|status\.d/[^/]+)")
_PYTHON: Final = re.compile(r"(.*/)?bin/python(\d+\.\d+)")
_DISTRIBUTION: Final = re.compile(r"((?:.*/)?(?:site|dist)-packages/)([^/]+)-(\d[^/-]*)\.(dist-info|egg-info)(/.*)?")
_CONDA: Final = re.compile(r"((?:.*/)?conda-meta/)(conda|python)-(\d[^-/]*)-[^/]*\.json")


class UnreadableError(Exception):
    """A layer cannot be read; the text says why."""


@dataclass
class ImageScan:
    """What the layers contain, collected from the newest layer to the oldest."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path."""
    pythons: dict[str, str] = field(default_factory=dict)
    """Version by folder."""
    packages: dict[str, str] = field(default_factory=dict)
    condas: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    """Paths that a newer layer deletes for older ones."""
    opaque: set[str] = field(default_factory=set)
    """Folders whose older content a newer layer deletes."""

    def is_hidden(self, path: str) -> bool:
        """Tell whether a newer layer has deleted this path."""
        parents = [str(parent) for parent in PurePosixPath(path).parents]
        return path in self.hidden or any(parent in self.hidden or parent in self.opaque for parent in parents)

    def add(self, path: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Collect what an entry tells, unless a newer layer has told it."""
        if match := _PYTHON.fullmatch(path):
            self.pythons.setdefault(f"/{match[1] or ''}bin", match[2])
        elif match := _DISTRIBUTION.fullmatch(path):
            if len(self.packages) < NAMES_LIMIT:
                self.packages.setdefault(_normal(match[2]), match[3])
        elif match := _CONDA.fullmatch(path):
            self.condas.setdefault(f"{match[2]} {match[1]}", match[3])
        elif (path in _OS_RELEASE or _DPKG.fullmatch(path)) and member.isfile() and path not in self.files:
            content = archive.extractfile(member)
            self.files[path] = content.read(FILE_LIMIT) if content else b""

    def conda(self, package: str) -> str:
        """Return the version of a conda package; empty where it is not installed."""
        return next((text for name, text in self.condas.items() if name.startswith(f"{package} ")), "")


def inspect_image(
    arm: Arm, login_server: str, repository: str, digest: str, platform: str = "linux/amd64"
) -> ImageInspection:
    """Inspect an image; ResourceError when the registry refuses."""
    reader = RepositoryReader(arm, login_server, repository)
    manifest = _manifest(reader, digest, platform)
    document = reader.document("blobs", str((manifest.get("config") or {}).get("digest") or ""))
    config: Mapping[str, Any] = document.get("config") or {}
    scan, whole = _scan(reader, manifest.get("layers") or [])
    environment = dict(str(text).partition("=")[::2] for text in config.get("Env") or [])
    release = _release(scan)
    return ImageInspection(
        user=str(config.get("User") or ""),
        start=Start(_words(config.get("Entrypoint")), _words(config.get("Cmd"))),
        ports=tuple(config.get("ExposedPorts") or {}),
        environment=environment,
        system=release.get("ID", ""),
        system_version=release.get("VERSION_ID", ""),
        python=_python(scan, environment.get("PATH", "")),
        conda=scan.conda("conda"),
        packages=scan.packages,
        fuse=any(is_fuse(name) for name in _debian(scan)),
        whole=whole,
    )


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, list) else ()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _manifest(reader: RepositoryReader, digest: str, platform: str) -> dict[str, Any]:
    """Read the manifest of a platform; an index names one for each (and some for attestations)."""
    manifest = reader.document("manifests", digest)
    entries = manifest.get("manifests")
    if not isinstance(entries, list):
        return manifest
    system, processor = [*platform.split("/"), ""][:2]
    for entry in entries:
        target = entry.get("platform") or {}
        if (target.get("os"), target.get("architecture")) == (system, processor):
            return reader.document("manifests", str(entry.get("digest")))
    raise ResourceError(f"{reader.name}@{digest} has no image for {platform}; build it for that platform")


def _scan(reader: RepositoryReader, layers: list[dict[str, Any]]) -> tuple[ImageScan, bool]:
    """Scan the layers from the newest to the oldest; tell whether all were read."""
    scan = ImageScan()
    left, whole = PACKED_LIMIT, True
    for index, layer in reversed(list(enumerate(layers))):
        size = int(layer.get("size") or 0)
        # The first layer says which system it is; bytes are reserved for it.
        reserve = int(layers[0].get("size") or 0) if index else 0
        if size + reserve > left:
            whole = False
            continue
        left -= size
        try:
            _scan_layer(reader, str(layer.get("digest") or ""), scan)
        except UnreadableError:
            whole = False
    return scan, whole


def _scan_layer(reader: RepositoryReader, digest: str, scan: ImageScan) -> None:
    """Read one layer; what it deletes counts for the older ones only."""
    hidden: set[str] = set()
    opaque: set[str] = set()
    unpacked = 0
    stream = ChunkStream(reader.layer(digest))
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            while (member := archive.next()) is not None:
                # tarfile remembers every entry it has read; a stream needs none of them.
                cast("Any", archive).members.clear()
                unpacked += member.size
                if unpacked > UNPACKED_LIMIT:
                    raise UnreadableError("it unpacks to more than it should")
                path = str(PurePosixPath("/", member.name)).lstrip("/")
                folder, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    opaque.add(folder or ".")
                elif name.startswith(".wh."):
                    if len(hidden) < NAMES_LIMIT:
                        hidden.add(f"{folder}/{name[4:]}" if folder else name[4:])
                elif not scan.is_hidden(path):
                    scan.add(path, archive, member)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise UnreadableError(type(error).__name__) from None
    finally:
        stream.close()
    scan.hidden |= hidden
    scan.opaque |= opaque


class ChunkStream(io.RawIOBase):
    """Chunks of bytes as a file that is read once, forwards."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read exactly that many bytes, fewer at the end only, as tarfile requires."""
        parts = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            length += len(chunk)
        content = b"".join(parts)
        cut = len(content) if size < 0 else size
        self._rest = content[cut:]
        return content[:cut]


def _release(scan: ImageScan) -> dict[str, str]:
    text = next((scan.files[path] for path in _OS_RELEASE if scan.files.get(path)), b"").decode("utf-8", "replace")
    return {key: value.strip().strip("\"'") for key, _, value in (line.partition("=") for line in text.splitlines())}


def _debian(scan: ImageScan) -> Iterator[str]:
    """Name the Debian packages that are installed."""
    for path, content in scan.files.items():
        if _DPKG.fullmatch(path):
            for block in content.decode("utf-8", "replace").split("\n\n"):
                name = re.search(r"^Package: (\S+)", block, re.MULTILINE)
                removed = re.search(r"^Status: (deinstall|purge)", block, re.MULTILINE)
                if name and not removed:
                    yield name[1]


def _python(scan: ImageScan, path: str) -> str:
    """Choose the Python that runs the server: the first on PATH, else a conda's, else the newest."""
    folders = (part.rstrip("/") for part in path.split(":"))
    on_path = next((scan.pythons[folder] for folder in folders if folder in scan.pythons), "")
    return on_path or scan.conda("python") or max(scan.pythons.values(), key=version, default="")
