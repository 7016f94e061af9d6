"""A build context at a path that follows from its content, for providers that take path and modes for content.

pulumi-docker and pulumi-docker-build compare the path of the context, and hash the modes of its files and where links
lead: another checkout, or another umask, would be another image. Owns the copy, and that it is gone when the last run
that needs it ends. Refuses to own which files a context has (`plan/content.py`).
https://github.com/pulumi/pulumi-docker/blob/master/provider/provider.go (hashContext, Diff)
https://github.com/pulumi/pulumi-docker-build/blob/main/provider/internal/context.go (hashBuildContext)
"""

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from azureml_scoring.plan.content import ContextFile, build_files, read_content
from azureml_scoring.plan.image import ImagePlan
from azureml_scoring.settings.errors import SettingsError, error_line
from azureml_scoring.settings.image import ImageSettings

_ROOT: Final = Path("/tmp/azureml-scoring")  # noqa: S108 - the same on every machine; another user's is refused below
_FOLDER, _PROGRAM, _FILE = 0o755, 0o755, 0o644


def staged(image: ImageSettings, plan: ImagePlan) -> Path:
    """Return a copy of the build context that has its content key's name; it lasts as long as this process."""
    _use(_ROOT, image.builder)
    folder = _ROOT / plan.content_key
    # One that a cleaner of temporary files has thinned out is no copy any more.
    if not folder.exists() or read_content(folder, image).key != plan.content_key:
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=_ROOT) as made:
            copy = Path(made) / "context"
            _copy(build_files(plan.context, image.dockerfile), copy)
            _place(copy, folder)
    return folder


def _place(copy: Path, folder: Path) -> None:
    try:
        copy.rename(folder)
    except OSError:
        # Another run with the same content was faster.
        if not folder.exists():
            raise


@functools.cache
def _use(root: Path, builder: str) -> None:
    """Make the folder of all copies, for this user alone; the process that leaves it last takes the copies along."""
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    if root.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SettingsError(
            error_line("image.builder", builder, f"{root} is not this user's alone; remove it, or write builder: acr")
        )
    # Held until the process ends.
    lock = os.open(root / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    atexit.register(_leave, root, lock)


def _leave(root: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    for folder in root.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _copy(files: Iterable[ContextFile], folder: Path) -> None:
    """Copy files and links with the modes that a checkout with the usual umask has."""
    folder.mkdir()
    for entry in files:
        copy = folder / entry.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if entry.link is not None:
            copy.symlink_to(entry.link)
        else:
            shutil.copyfile(entry.path, copy)
            copy.chmod(_PROGRAM if entry.executable else _FILE)
    for each in (folder, *folder.rglob("*")):
        if each.is_symlink():
            _check_link(folder, each)
        elif each.is_dir():
            each.chmod(_FOLDER)


def _check_link(folder: Path, link: Path) -> None:
    if not link.resolve().is_relative_to(folder.resolve()) or not link.exists():
        name, to = link.relative_to(folder), link.readlink()
        remedy = f"the link {name} leads to {to}, outside of the build context; take it out, or write builder: acr"
        raise SettingsError(error_line("image.context", str(name), remedy))
