"""The example's base image under a local name: pulled, or made from Debian's packages."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.engine import image
from tools.shell import ToolError, alone, cache, debian_root, install, run, say

NAME = "azureml-scoring-base:bookworm"
"""The local name, which Pulumi.local.yaml gives as build argument BASE."""

SOURCE = "python:3.11-slim-bookworm"
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,libgomp1"


def ensure() -> None:
    """Return when the engine has the image."""
    if image(NAME):
        return
    with alone("base-image"):
        if image(NAME):
            return
        if _pulled():
            return
        tarball = cache() / "base" / "bookworm.tar"
        if not tarball.exists():
            _make(tarball)
        options = ["--change", 'CMD ["bash"]', "--change", "ENV LANG=C.UTF-8"]
        run("importing the base image", ["docker", "import", *options, str(tarball), NAME])


def _pulled() -> bool:
    say(f"pulling {SOURCE}")
    try:
        pulled = subprocess.run(["docker", "pull", "--quiet", SOURCE], capture_output=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return False
    return pulled.returncode == 0 and bool(run("tagging the base image", ["docker", "tag", SOURCE, NAME]) or True)


def _make(tarball: Path) -> None:
    if not debian_root():
        raise ToolError(
            f"{SOURCE} cannot be pulled, and only root on Debian can make a base image:"
            f" load one under the name {NAME} (docker load, docker tag) and run this again"
        )
    say("no image registry is reachable: making a base image from Debian's packages, once (about a minute)")
    if not shutil.which("debootstrap"):
        install(["debootstrap"])
    tarball.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tarball.parent) as scratch:
        root = Path(scratch) / "root"
        options = ["--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
        run("debootstrap", ["debootstrap", *options])
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        for left in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / left, ignore_errors=True)
            (root / left / "partial").mkdir(parents=True)
        made = Path(scratch) / "made.tar"
        run("packing the base image", ["tar", "-C", str(root), "--numeric-owner", "-cf", str(made), "."])
        made.replace(tarball)
