"""Looking into a built image, in the registry: its config, and the few files that tell what is installed.

Owns: the walk over an image's layers as streams (newest first, whiteouts honoured, bounded memory and bytes), and
what is read off the names and texts found there. Refuses to own: the judgement (`azureml_scoring.plan.requirements`),
the registry's protocol (`registry_client.py`), and running anything of the image.
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
from azureml_scoring.provider.registry_client import Images

BYTES: Final = 512 << 20
"""How much of an image, packed, is read at most."""
UNPACKED: Final = 8 << 30
"""How much may come out of that: a layer that is a bomb ends the look."""
FILE: Final = 4 << 20
"""How much of one file is kept."""
NAMES: Final = 200_000
"""Whiteouts and findings that are remembered at most."""

_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_DPKG: Final = re.compile(r"var/lib/dpkg/(status|status\.d/[^/]+)")
_PYTHON: Final = re.compile(r"(.*/)?bin/python(\d+\.\d+)")
_DISTRIBUTION: Final = re.compile(r"((?:.*/)?(?:site|dist)-packages/)([^/]+)-(\d[^/-]*)\.(dist-info|egg-info)(/.*)?")
_CONDA: Final = re.compile(r"((?:.*/)?conda-meta/)(conda|python)-(\d[^-/]*)-[^/]*\.json")


class UnreadableError(Exception):
    """A layer cannot be read; the text says why."""


@dataclass
class Finds:
    """What the layers tell, as it is found: the newest layer first."""

    texts: dict[str, bytes] = field(default_factory=dict)
    pythons: dict[str, str] = field(default_factory=dict)
    """Version by folder."""
    packages: dict[str, str] = field(default_factory=dict)
    condas: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    """Paths that a newer layer deletes for older ones."""
    opaque: set[str] = field(default_factory=set)
    """Folders whose older content a newer layer deletes."""

    def is_hidden(self, path: str) -> bool:
        """Tell whether a newer layer has taken this away."""
        parents = [str(parent) for parent in PurePosixPath(path).parents]
        return path in self.hidden or any(parent in self.hidden or parent in self.opaque for parent in parents)

    def take(self, path: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Keep what an entry tells, if it tells something and no newer layer has."""
        if found := _PYTHON.fullmatch(path):
            self.pythons.setdefault(f"/{found[1] or ''}bin", found[2])
        elif found := _DISTRIBUTION.fullmatch(path):
            if len(self.packages) < NAMES:
                self.packages.setdefault(_normal(found[2]), found[3])
        elif found := _CONDA.fullmatch(path):
            self.condas.setdefault(f"{found[2]} {found[1]}", found[3])
        elif (path in _OS_RELEASE or _DPKG.fullmatch(path)) and member.isfile() and path not in self.texts:
            content = archive.extractfile(member)
            self.texts[path] = content.read(FILE) if content else b""


def probe(arm: Arm, login_server: str, repository: str, digest: str, platform: str = "linux/amd64") -> ImageInspection:
    """Look into an image; ResourceError when the registry does not let us."""
    images = Images(arm, login_server, repository)
    manifest = _manifest(images, digest, platform)
    config = images.document("blobs", str((manifest.get("config") or {}).get("digest") or ""))
    inside: Mapping[str, Any] = config.get("config") or {}
    finds, whole = _look(images, manifest.get("layers") or [])
    environment = dict(str(text).partition("=")[::2] for text in inside.get("Env") or [])
    release = _release(finds)
    return ImageInspection(
        user=str(inside.get("User") or ""),
        start=Start(_words(inside.get("Entrypoint")), _words(inside.get("Cmd"))),
        ports=tuple(inside.get("ExposedPorts") or {}),
        environment=environment,
        system=release.get("ID", ""),
        system_version=release.get("VERSION_ID", ""),
        python=_python(finds, environment.get("PATH", "")),
        conda=next((text for name, text in finds.condas.items() if name.startswith("conda ")), ""),
        packages=finds.packages,
        fuse=any(is_fuse(name) for name in _debian(finds)),
        whole=whole,
    )


def _words(given: object) -> tuple[str, ...]:
    return tuple(str(word) for word in given) if isinstance(given, list) else ()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _manifest(images: Images, digest: str, platform: str) -> dict[str, Any]:
    """Read the manifest of a platform; an index names one for each (and some for attestations)."""
    manifest = images.document("manifests", digest)
    listed = manifest.get("manifests")
    if not isinstance(listed, list):
        return manifest
    system, processor = [*platform.split("/"), ""][:2]
    for entry in listed:
        where = entry.get("platform") or {}
        if (where.get("os"), where.get("architecture")) == (system, processor):
            return images.document("manifests", str(entry.get("digest")))
    raise ResourceError(f"{images.name}@{digest} has no image for {platform}; build it for that platform")


def _look(images: Images, layers: list[dict[str, Any]]) -> tuple[Finds, bool]:
    """Go through the layers from the newest to the oldest; tell whether all were read."""
    finds = Finds()
    left, whole = BYTES, True
    for place, layer in reversed(list(enumerate(layers))):
        size = int(layer.get("size") or 0)
        # The first layer says which system it is; room is kept for it.
        reserve = int(layers[0].get("size") or 0) if place else 0
        if size + reserve > left:
            whole = False
            continue
        left -= size
        try:
            _layer(images, str(layer.get("digest") or ""), finds)
        except UnreadableError:
            whole = False
    return finds, whole


def _layer(images: Images, digest: str, finds: Finds) -> None:
    """Read one layer; what it hides counts for the older ones only."""
    hidden: set[str] = set()
    opaque: set[str] = set()
    unpacked = 0
    stream = Stream(images.stream(digest))
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            while (member := archive.next()) is not None:
                # tarfile keeps every entry it has seen; a stream needs none of them.
                cast("Any", archive).members.clear()
                unpacked += member.size
                if unpacked > UNPACKED:
                    raise UnreadableError("it unpacks to more than it should")
                path = str(PurePosixPath("/", member.name)).lstrip("/")
                folder, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    opaque.add(folder or ".")
                elif name.startswith(".wh."):
                    if len(hidden) < NAMES:
                        hidden.add(f"{folder}/{name[4:]}" if folder else name[4:])
                elif not finds.is_hidden(path):
                    finds.take(path, archive, member)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise UnreadableError(type(error).__name__) from None
    finally:
        stream.close()
    finds.hidden |= hidden
    finds.opaque |= opaque


class Stream(io.RawIOBase):
    """Pieces of bytes as a file that is read once, forwards."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read exactly that many bytes, fewer at the end only: tarfile wants it so."""
        parts = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            parts.append(piece)
            length += len(piece)
        whole = b"".join(parts)
        cut = len(whole) if size < 0 else size
        self._rest = whole[cut:]
        return whole[:cut]


def _release(finds: Finds) -> dict[str, str]:
    text = next((finds.texts[path] for path in _OS_RELEASE if finds.texts.get(path)), b"").decode("utf-8", "replace")
    return {key: value.strip().strip("\"'") for key, _, value in (line.partition("=") for line in text.splitlines())}


def _debian(finds: Finds) -> Iterator[str]:
    """Name the Debian packages that are installed."""
    for path, content in finds.texts.items():
        if _DPKG.fullmatch(path):
            for block in content.decode("utf-8", "replace").split("\n\n"):
                name = re.search(r"^Package: (\S+)", block, re.MULTILINE)
                removed = re.search(r"^Status: (deinstall|purge)", block, re.MULTILINE)
                if name and not removed:
                    yield name[1]


def _python(finds: Finds, path: str) -> str:
    """Choose the Python that the server gets: the first on PATH, else a conda's, else the newest."""
    for folder in path.split(":"):
        if found := finds.pythons.get(folder.rstrip("/")):
            return found
    conda = next((text for name, text in finds.condas.items() if name.startswith("python ")), "")
    return conda or max(finds.pythons.values(), key=version, default="")
