"""The content key: one sha256 over everything that a build of an image, a model or code reads from this side.

Owns which files a build context has (`.dockerignore` honoured by `ignore.py`), which an asset has (`.amlignore` or
`.gitignore`, as Azure ML does), and the key over them. The key is the same on every machine: order, times, owners,
umask and empty folders do not count; bytes and names do, in a build also links and the executable bit. Refuses to own
the upload and the build (`resources/`), and which digests of an earlier run still count (`digest_cache.py`). Pure but
for reading files; a file is read in blocks, so memory does not grow with the context's size.
https://docs.docker.com/build/concepts/context/#dockerignore-files and
https://learn.microsoft.com/azure/machine-learning/how-to-save-write-experiment-files (ignore files)
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from pathspec import GitIgnoreSpec

from azureml_scoring.plan.digest_cache import DigestCache
from azureml_scoring.plan.ignore import Ignore, IgnoreError
from azureml_scoring.plan.provenance import DIGITS, shortened
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError, error_line
from azureml_scoring.settings.image import ImageSettings

_BLOCK: Final = 1 << 18
_IGNORE: Final = ".dockerignore"
_IGNORE_FILES: Final = (".amlignore", ".gitignore")
_ALWAYS: Final = "__pycache__/"
"""Python writes these when code is tried out; they would make another version of the same code."""
_FORMAT: Final = b"azureml-scoring content key 1\n"

Progress = Callable[[int, int, int], None]
"""Called after every file, and every block of a large one: how many files are done, of how many, and how many bytes."""


class ContextFile(NamedTuple):
    """A file or a link of a build context."""

    name: str
    """Its path inside the context, with slashes."""
    context: Path
    link: str | None
    """Where it points, when it is a symbolic link."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.context / self.name

    @property
    def executable(self) -> bool:
        """Whether somebody may run it; asked each time, since most readers of a context need not know."""
        return self.link is None and _is_program(self.path.stat().st_mode)


def check_context(context: Path, dockerfile: str = "Dockerfile", field: str = "image") -> None:
    """Raise one line when there is nothing to build from."""
    if not context.is_dir():
        what = "is a file" if context.exists() else "does not exist"
        raise SettingsError(
            error_line(
                f"{field}.context", str(context), f"the folder {what}; name the folder that holds the Dockerfile"
            )
        )
    if PurePosixPath(dockerfile).is_absolute() or ".." in PurePosixPath(dockerfile).parts:
        remedy = "it must lie inside the context; write its path seen from there, for instance Dockerfile"
        raise SettingsError(error_line(f"{field}.dockerfile", dockerfile, remedy))
    if not (context / dockerfile).is_file():
        remedy = f"no such file in {context}; write one there, or correct {field}.context or {field}.dockerfile"
        raise SettingsError(error_line(f"{field}.dockerfile", dockerfile, remedy))


@contextmanager
def reading(folder: Path, field: At) -> Iterator[None]:
    """Raise one line where files of a folder cannot be read, or where it is the whole file system."""
    if folder == folder.parent:
        raise SettingsError(field.refused("it holds every file of this machine; name a folder of its own", str(folder)))
    try:
        yield
    except OSError as error:
        problem = f"{error.filename} cannot be read ({error.strerror}); make it readable, or let it be ignored"
        raise SettingsError(field.refused(problem, str(folder))) from None


def context_files(context: Path, dockerfile: str = "Dockerfile") -> list[ContextFile]:
    """List what is sent to a build, by name; folders, sockets and pipes are not.

    The Dockerfile and .dockerignore are always among it: a builder elsewhere reads them, and leaves them out of COPY
    itself where they leave themselves out.
    """
    check_context(context, dockerfile)
    files = _listed(context, dockerfile)
    missing = {PurePosixPath(dockerfile).as_posix(), _IGNORE}.difference(file.name for file in files)
    files += _named(context, missing)
    return sorted(files, key=lambda file: os.fsencode(file.name)) if missing else files


def build_files(context: Path, dockerfile: str = "Dockerfile") -> list[ContextFile]:
    """List what a builder elsewhere needs: the files of the context, and a Dockerfile's own ignore file in any case.

    Without it the builder would turn to .dockerignore. It is part of the key by what it leaves.
    """
    files = context_files(context, dockerfile)
    ignore = _ignore_file(context, dockerfile)
    return files if not ignore or any(file.name == ignore for file in files) else files + _named(context, [ignore])


@dataclass(frozen=True)
class Content:
    """What a build reads from this side."""

    key: str
    """64 hexadecimal digits over all of it."""
    files: dict[str, str]
    """The files by a piece of their hash, shortened (`provenance.py`)."""


def read_content(context: Path, image: ImageSettings, progress: Progress | None = None) -> Content:
    """Read a context once, for its key and for the files that it has. Of secrets the names count, never the values."""
    files = context_files(context, image.dockerfile)
    total = hashlib.sha256(_FORMAT)
    facts = {"dockerfile": image.dockerfile, "platform": ",".join(image.platforms) or image.platform}
    facts |= {"target": image.target or "", "base": image.base_digest or ""}
    facts |= {f"argument {name}": value for name, value in image.build_arguments.items()}
    facts |= {f"secret {name}": "" for name in image.build_secrets or ()}
    for name, fact in sorted(facts.items()):
        _add(total, "fact", name, fact.encode())
    pieces: list[tuple[str, str]] = []
    cache = DigestCache(context)
    reader = _Reader(len(files), progress, cache)
    for entry in files:
        kind, value = _value(entry, reader)
        _add(total, kind, entry.name, value)
        piece = hashlib.sha256(value).digest() if kind == "link" else value
        pieces.append((_shown(entry.name), f"{piece[: DIGITS // 2].hex()}{_MARKS[kind]}"))
    cache.save()
    return Content(total.hexdigest(), shortened(pieces))


_MARKS: Final = {"file": "", "program": "x", "link": "l"}
"""What stands after the piece of a hash: an executable bit is a change too."""


class _Reader:
    """Hashes files that no cache knows, counts files and bytes as they are read, and passes the counts on."""

    def __init__(self, total: int, progress: Progress | None, cache: DigestCache) -> None:
        self._total = total
        self._progress = progress
        self._cache = cache
        self._files = self._bytes = 0
        self._block = memoryview(bytearray(_BLOCK))

    def digest(self, path: str | Path) -> tuple[bytes, int]:
        """Return the SHA-256 of one more file, and its mode."""
        if not self._cache.is_empty:
            status = os.stat(path)  # noqa: PTH116 - a `Path` for each of many files takes longer than its status
            if known := self._cache.find(status):
                self.skip()
                return known, status.st_mode
        digest, done = hashlib.sha256(), 0
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            while (done < status.st_size or not done) and (size := os.readv(descriptor, [self._block])):
                digest.update(self._block[:size])
                done += size
                self._bytes += size
                if size == _BLOCK:
                    self._report()
        finally:
            os.close(descriptor)
        self._cache.add(status, digest.digest())
        self.skip()
        return digest.digest(), status.st_mode

    def skip(self) -> None:
        """One more file is done without reading."""
        self._files += 1
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._files, self._total, self._bytes)


def _value(entry: ContextFile, reader: _Reader) -> tuple[str, bytes]:
    if entry.link is not None:
        reader.skip()
        return "link", entry.link.encode("utf-8", "surrogateescape")
    digest, mode = reader.digest(f"{entry.context}/{entry.name}")
    return "program" if _is_program(mode) else "file", digest


def _is_program(mode: int) -> bool:
    return bool(mode & 0o111)


def _shown(name: str) -> str:
    """A name that is text, whatever bytes the file system has."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def asset_files(path: Path) -> dict[str, Path]:
    """List the files of a model or of code by the names that Azure ML keeps: the folder's own stands first.

    Links are followed, since blobs know none. The ignore files themselves go along, as in Azure's own tools.
    """
    if path.is_file():
        return {path.name: path}
    ignore = next((path / name for name in _IGNORE_FILES if (path / name).is_file()), None)
    lines = ignore.read_text("utf-8-sig").splitlines() if ignore else []
    spec = GitIgnoreSpec.from_lines([*lines, _ALWAYS])
    found: dict[str, Path] = {}
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        place = Path(folder)
        seen.add(_node(place))
        # A link to a folder above would never end.
        folders[:] = [
            name
            for name in folders
            if _node(place / name) not in seen and not spec.match_file(f"{_below(path, place / name)}/")
        ]
        for name in names:
            if (place / name).is_file() and not spec.match_file(_below(path, place / name)):
                found[f"{path.resolve().name}/{_below(path, place / name)}"] = place / name
    return dict(sorted(found.items()))


def asset_key(path: Path, files: Mapping[str, Path], progress: Progress | None = None) -> str:
    """Compute the key of a model or of code, by the files of its folder, as 64 hexadecimal digits."""
    total = hashlib.sha256(_FORMAT)
    cache = DigestCache(path)
    reader = _Reader(len(files), progress, cache)
    for name, file in files.items():
        _add(total, "file", name, reader.digest(file)[0])
    cache.save()
    return total.hexdigest()


def _node(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _add(total: "hashlib._Hash", kind: str, name: str, value: bytes) -> None:
    """Add one fact; lengths stand before texts, so that no two lists of facts read the same."""
    for part in (kind.encode(), name.encode("utf-8", "surrogateescape"), value):
        total.update(len(part).to_bytes(8, "big") + part)


def _ignore_file(context: Path, dockerfile: str) -> str:
    """Name the ignore file that counts: a Dockerfile's own one goes before the context's, as BuildKit has it."""
    names = (f"{PurePosixPath(dockerfile)}{_IGNORE}", _IGNORE)
    return next((name for name in names if (context / name).is_file()), "")


def _listed(context: Path, dockerfile: str) -> list[ContextFile]:
    file = _ignore_file(context, dockerfile)
    try:
        ignore = Ignore((context / file).read_bytes().decode("utf-8", "surrogateescape") if file else "")
        return [
            ContextFile(name, context, _link(context / name) if entry.is_symlink() else None)
            for name, entry in ignore.files(context)
            if entry.is_symlink() or entry.is_file()
        ]
    except IgnoreError as error:
        raise SettingsError(error_line("image.context", f"{context / file}", str(error))) from None
    except PermissionError as error:
        remedy = "it cannot be read; let its owner give the right, or leave it out by .dockerignore"
        raise SettingsError(error_line("image.context", str(error.filename), remedy)) from None


def _named(context: Path, names: Iterable[str]) -> list[ContextFile]:
    paths = [(name, context / name) for name in names]
    return [
        ContextFile(name, context, _link(path) if path.is_symlink() else None)
        for name, path in paths
        if path.is_symlink() or path.is_file()
    ]


def _link(path: Path) -> str:
    return str(path.readlink()).replace(os.sep, "/")
