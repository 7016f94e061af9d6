"""SHA-256 of files that an earlier run has read, so that a large folder is not read again while nothing touches it.

Owns when a digest still counts, and the file that keeps a folder's digests in the user's cache directory. It counts
while size, inode, time of modification and time of change are the same; the last is set by the kernel alone. As in
git's index, what changed shortly before it was read is not kept, since a later change could leave the same times; a
cache from the future, after the clock was set back, is none. Nor is one that another user could have written, or that
is not whole. Refuses to own what is hashed, and what a content key is made of (`content.py`). Raises nothing: without a
cache, files are read. `AZUREML_SCORING_NO_CACHE`, set to anything, turns it off.
https://git-scm.com/docs/racy-git
"""

import functools
import hashlib
import os
import re
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

OFF: Final = "AZUREML_SCORING_NO_CACHE"
_SETTLED: Final = 60 * 10**9
"""Nanoseconds since a change after which a digest is kept. File systems count time in steps of up to 2 s. A mapped page
that is written again leaves no time until it is written back, by default within 35 s:
https://docs.kernel.org/admin-guide/sysctl/vm.html (dirty_expire_centisecs, dirty_writeback_centisecs)"""
_LOCAL: Final = {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "xfs"}
"""File systems whose times this kernel sets. Others have another machine's, or late: nfs(5), "attribute caching"."""
_UNUSED: Final = 30 * 86400
"""Seconds after which a cache that was not written again is removed."""
_FORMAT: Final = b"azureml-scoring digests 1\n"
_KEY: Final = struct.Struct(">QQqq")
_ENTRY: Final = _KEY.size + hashlib.sha256().digest_size
_TIME: Final = struct.Struct(">q")


class DigestCache:
    """The digests of one folder's files: those of the run before, and those of this run."""

    def __init__(self, folder: Path) -> None:
        """Read what the last run has left."""
        self._begun = time.time_ns()
        self._file, self._device = _place(folder) if OFF not in os.environ else (None, -1)
        self._before = _decoded(_read(self._file), self._begun) if self._file else b""
        self._next = 0
        self._after = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be found, so that asking is in vain."""
        return not self._before

    def find(self, status: os.stat_result) -> bytes | None:
        """Return the digest of a file that is as it was when it was read, else None."""
        key = _key(status)
        # Files come in the same order in each run.
        place = self._next if self._before.startswith(key, self._next) else self._places.get(key)
        if place is None or status.st_dev != self._device:
            return None
        self._next = place + _ENTRY
        entry = self._before[place : self._next]
        self._after += entry
        return entry[_KEY.size :]

    def add(self, status: os.stat_result, digest: bytes) -> None:
        """Keep the digest of a file by its status before it was read, unless it had just been changed."""
        if status.st_dev == self._device and is_settled(status, self._begun):
            self._after += _key(status) + digest

    def save(self) -> None:
        """Leave the digests of this run, if they are others; without a place to write, nothing."""
        if self._file and self._after != self._before:
            with suppress(OSError):
                _write(self._file, _encoded(bytes(self._after), self._begun))

    @functools.cached_property
    def _places(self) -> dict[bytes, int]:
        return {self._before[at : at + _KEY.size]: at for at in range(0, len(self._before), _ENTRY)}


def is_settled(status: os.stat_result, now: int) -> bool:
    """Tell whether each later change of a file will leave another time than it has."""
    return max(status.st_mtime_ns, status.st_ctime_ns) < now - _SETTLED


def _key(status: os.stat_result) -> bytes:
    return _KEY.pack(status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _encoded(entries: bytes, now: int) -> bytes:
    text = _FORMAT + _TIME.pack(now) + entries
    return text + hashlib.sha256(text).digest()


def _decoded(data: bytes, now: int) -> bytes:
    """Return the entries of a whole file that is not from the future, else nothing."""
    start, end = len(_FORMAT) + _TIME.size, len(data) - hashlib.sha256().digest_size
    whole = end >= start and data.startswith(_FORMAT) and hashlib.sha256(data[:end]).digest() == data[end:]
    if not whole or _TIME.unpack(data[len(_FORMAT) : start])[0] > now:
        return b""
    return data[start:end]


def _place(folder: Path) -> tuple[Path | None, int]:
    """Return where the cache of a folder, or of a file, is, and the device whose times count; none elsewhere."""
    with suppress(OSError, RuntimeError):  # without a home directory
        path = os.path.realpath(folder)
        if _file_system(path, Path("/proc/self/mountinfo").read_text()) in _LOCAL:
            name = hashlib.sha256(os.fsencode(path)).hexdigest()
            return _cache_home() / "azureml-scoring" / "digests" / name, folder.stat().st_dev
    return None, -1


def _file_system(path: str, mounts: str) -> str:
    """Name the type of the file system at a path: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html."""
    deepest, found = -1, ""
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mount.split()[4])
        if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= deepest:
            deepest, found = len(point), source.split()[0]
    return found


def _cache_home() -> Path:
    """Return the user's cache directory: https://specifications.freedesktop.org/basedir-spec/latest/."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path("~/.cache").expanduser()


def _read(file: Path) -> bytes:
    """Read a file that nobody but this user can have written, in a folder that is this user's alone."""
    with suppress(OSError):
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            if _is_own(file.parent.lstat()) and _is_own(os.fstat(descriptor)):
                return opened.read()
    return b""


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _write(file: Path, data: bytes) -> None:
    """Replace a file as a whole; the last of several writers leaves its own."""
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if not _is_own(file.parent.lstat()):
        return
    _remove_unused(file.parent)
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as made:
            made.write(data)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink()
        raise


def _remove_unused(folder: Path) -> None:
    for each in folder.iterdir():
        with suppress(FileNotFoundError):
            if each.lstat().st_mtime < time.time() - _UNUSED:
                each.unlink()
