"""Uploaded archives of build sources, extracted into a folder of their own.

Owns the distrust: nothing of an archive lands outside the folder, or is more than a file, a folder or a link.
"""

import os
import stat
import tarfile
from pathlib import Path, PurePosixPath

from emulator.core.errors import AzureError

_MOST_FILES = 100_000
_MOST_BYTES = 8 << 30
_CHUNK = 1 << 20


def extract(archive: Path, folder: Path) -> int:
    """Take a tar (gzip or plain) apart below a folder; how many entries it had."""
    count, size, times = 0, 0, []
    try:
        with tarfile.open(archive, "r:*") as opened:
            for member in opened:
                count, size = count + 1, size + member.size
                if count > _MOST_FILES or size > _MOST_BYTES:
                    raise _bad("it is too big")
                parts = _parts(member.name)
                if not parts:
                    continue
                target = _parent(folder, parts[:-1]) / parts[-1]
                _place(opened, member, folder, target)
                if not member.issym():
                    times.append((target, member.mtime))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _bad(f"it is no tar archive, or a broken one ({' '.join(str(error).split())})") from error
    # Last, and backwards: writing into a folder changes its time.
    for target, time in reversed(times):
        os.utime(target, (time, time))
    return count


def inside(folder: Path, name: str, what: str) -> Path:
    """A path in an extracted source, after all links; refused where it leads out or does not exist."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise AzureError(400, "InvalidBuildSource", f"{what} '{name}' lies outside the uploaded source")
    if not path.exists():
        raise AzureError(400, "InvalidBuildSource", f"{what} '{name}' is not in the uploaded source")
    return path


def _place(opened: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, target: Path) -> None:
    exists = target.is_symlink() or target.exists()
    if exists and (target.is_symlink() or not target.is_dir() or not member.isdir()):
        raise _bad(f"'{member.name}' is there twice")
    if member.isdir():
        target.mkdir(exist_ok=True)
        target.chmod(stat.S_IMODE(member.mode) & 0o777 | stat.S_IRWXU)
    elif member.issym():
        # A link may point anywhere: it is only ever copied, never followed (`inside` refuses those that lead out).
        target.symlink_to(member.linkname)
    elif member.islnk():
        parts = _parts(member.linkname)
        source = _parent(folder, parts[:-1]) / parts[-1] if parts else folder
        if source.is_symlink() or not source.is_file():
            raise _bad(f"the hard link '{member.name}' leads to '{member.linkname}', which is no file before it")
        os.link(source, target)
    elif member.isreg():
        content = opened.extractfile(member)
        if content is None:
            raise _bad(f"'{member.name}' has no content")
        with content, target.open("xb") as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
        target.chmod(stat.S_IMODE(member.mode) & 0o777 | stat.S_IRUSR)
    else:
        raise _bad(f"'{member.name}' is neither a file, nor a folder, nor a link")


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise _bad(f"'{name}' leads outside of it")
    return path.parts


def _parent(folder: Path, parts: tuple[str, ...]) -> Path:
    """The folder for an entry, made where it is missing; never one behind a link."""
    for part in parts:
        folder = folder / part
        if folder.is_symlink():
            raise _bad(f"'{part}' is a link, and something lies below it")
        folder.mkdir(exist_ok=True)
    return folder


def _bad(text: str) -> AzureError:
    return AzureError(400, "InvalidBuildSource", f"The uploaded source cannot be used: {text}")
