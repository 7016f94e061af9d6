"""The example's base image under a local name: pulled, or made from Debian's packages.

Owns the name, and the cached file system from which a purged engine gets the image back. Bakes no certificate and no
address of this machine into it.
"""

import os
import shutil
from pathlib import Path

from tools import debian, engine
from tools.shell import ToolError, alone, cache, progress, run, say, scratch, which

NAME = "azureml-scoring-base:bookworm"
"""The local name, which Pulumi.local.yaml gives as build argument BASE."""

SOURCE = "python:3.11-slim-bookworm"
RELEASE = "bookworm"
PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates", "libgomp1")
_PULL_SECONDS = 240.0
_CHANGES = (
    "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
    'CMD ["python3"]',
)
# Downloads, lists and manuals; and the mark that keeps pip from a system Python, which the official image lacks too.
_NOT_WANTED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/lib/python3.11/EXTERNALLY-MANAGED",
    # These two are debootstrap's copies of this machine's own.
    "etc/resolv.conf",
    "etc/hostname",
)
_KEPT_EMPTY = ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/log")


def ensure() -> None:
    """Return when the engine has the image."""
    if engine.has_image(NAME):
        return
    with alone("base-image"):
        if engine.has_image(NAME):
            return
        kept = cache() / "base" / f"{RELEASE}-{os.uname().machine}.tar"
        if not kept.exists() and not _pulled():
            _make(kept)
        if kept.exists():
            _import(kept)
    if not engine.has_image(NAME):
        raise ToolError(f"image {NAME}: the engine has none after it was made; see `docker images` and try again")


def _pulled() -> bool:
    try:
        with progress(f"Pulling {SOURCE}"):
            run(["docker", "pull", "--quiet", SOURCE], what=f"docker pull {SOURCE}", timeout=_PULL_SECONDS)
    except ToolError as error:
        say(f"{str(error)[:200]}; making a base image from Debian's packages instead")
        return False
    run(["docker", "tag", SOURCE, NAME], what=f"docker tag {SOURCE} {NAME}")
    return True


def _import(file: Path) -> None:
    changes = [part for change in _CHANGES for part in ("--change", change)]
    with progress(f"Importing the base image {NAME}"):
        run(["docker", "import", *changes, file, NAME], what=f"docker import {file}", timeout=600)


def _make(target: Path) -> None:
    if not debian.can_install():
        raise ToolError(
            f"image {SOURCE} cannot be pulled, and only root on Debian can make one: "
            f"load an image with Python 3.11 and tag it {NAME} (docker load, docker tag)"
        )
    if which("debootstrap") is None:
        debian.install(["debootstrap"], reason="to make a base image where no image registry is reachable")
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch("base-image") as folder:
        root = folder / "root"
        try:
            with progress(f"Making a base image from Debian {RELEASE} (once; a minute or two)"):
                run(
                    [
                        "debootstrap",
                        "--variant=minbase",
                        f"--include={','.join(PACKAGES)}",
                        RELEASE,
                        root,
                        debian.mirror(RELEASE),
                    ],
                    what=f"debootstrap {RELEASE}",
                    remedy=f"check the network and /etc/apt/sources.list, or load an image tagged {NAME}",
                    environment=debian.proxy(),
                    timeout=1800,
                )
        finally:
            _unmount(root)
        _trim(root)
        made = folder / "made.tar"
        run(["tar", "-C", root, "--numeric-owner", "-cf", made, "."], what=f"tar {made.name}")
        made.replace(target)


def _unmount(root: Path) -> None:
    """An interrupted debootstrap leaves kernel file systems mounted, which must not be emptied with the folder."""
    for place in ("proc", "sys", "dev/pts", "dev"):
        if os.path.ismount(root / place):
            run(["umount", "--lazy", root / place], what=f"umount {root / place}")


def _trim(root: Path) -> None:
    for name in _NOT_WANTED:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in _KEPT_EMPTY:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
