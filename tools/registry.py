"""The OCI registry program (CNCF distribution) that the local Azure runs: found, unpacked from Debian, or built.

Owns the program only; starting registries is the local Azure's business.
"""

import os
from pathlib import Path

from tools import debian, gobuild
from tools.shell import ToolError, alone, cache, link, progress, run, say, scratch, which

_NAME = "docker-registry"
_PACKAGE = "github.com/distribution/distribution/v3/cmd/registry"


def ensure() -> Path:
    """The folder that holds `docker-registry`."""
    found = _on_path()
    if found is not None:
        return link(_NAME, found).parent
    place = cache() / "registry" / _NAME
    if not place.exists():
        with alone("registry"):
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with scratch("registry") as folder:
                    made = _unpacked(folder) or _built(folder)
                    made.chmod(0o755)
                    made.replace(place)
    return link(_NAME, place).parent


def is_distribution(shown: str) -> bool:
    """Whether a `registry --version` is distribution's: other programs bear that name too."""
    return "distribution" in shown


def _on_path() -> Path | None:
    for name in (_NAME, "registry"):
        program = which(name)
        if program is None:
            continue
        try:
            if is_distribution(run([program, "--version"], what=name, timeout=60)):
                return program
        except ToolError:
            continue
    return None


def _unpacked(folder: Path) -> Path | None:
    """Debian's program without its service: nothing is installed on the system."""
    if not debian.can_install():
        return None
    try:
        with progress("Unpacking Debian's docker-registry into the cache"):
            debian.unpack(_NAME, folder)
    except ToolError as error:
        say(f"{str(error)[:200]}; building it instead")
        return None
    program = folder / "usr/bin" / _NAME
    return program if os.access(program, os.X_OK) else None


def _built(folder: Path) -> Path:
    gobuild.build("registry", _PACKAGE, folder / _NAME)
    return folder / _NAME
