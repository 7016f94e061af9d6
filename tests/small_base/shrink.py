"""Run in the example's base image: copy a shell, some programs, and Python with most of its library to a folder.

Owns what the servers and builds of the tests need. Knows both base images: Debian's own Python, and the official one.
"""

import http.server  # noqa: F401 - what a server of the tests imports is copied with its bytecode
import json  # noqa: F401
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

FILES = ("/etc/group", "/etc/ld.so.cache", "/etc/os-release", "/etc/passwd")
MODULES_LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", "*-packages", "config-*", "asyncio", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
    *("sqlite3", "test", "tkinter", "turtledemo", "unittest", "xml"),
    # Modules that load large libraries, or that only Python's own tests load.
    *("_codecs_*.so", "_curses*.so", "_dbm.*", "_sqlite3.*", "*test*.so", "nis.*", "readline.*"),
)


def main() -> None:
    """Copy to the folder that is named, with the programs that are named after it."""
    target = Path(sys.argv[1])
    standard = Path(sysconfig.get_path("stdlib"))
    copied = shutil.copytree(standard, inside(target, standard), symlinks=True, ignore=MODULES_LEFT_OUT)
    programs = [Path(sys.executable), *(Path(found) for found in map(shutil.which, sys.argv[2:]) if found)]
    loaded = (getattr(module, "__cached__", None) for module in list(sys.modules.values()))
    compiled = [Path(file) for file in loaded if file and Path(file).exists()]
    links = [path for path in Path("/").iterdir() if path.is_symlink()]
    for path in (*links, *map(Path, FILES), *programs, *compiled, *libraries([*programs, *copied.rglob("*.so")])):
        keep(target, path)
    for name in ("tmp", "var/tmp"):
        (target / name).mkdir(parents=True)
        (target / name).chmod(0o1777)


def libraries(programs: Iterable[Path]) -> list[Path]:
    """Return the shared libraries of programs."""
    shown = subprocess.run(["ldd", *programs], stdout=subprocess.PIPE, text=True, check=False).stdout
    return [Path(path) for path in re.findall(r"^\s.*?(/\S+) \(0x", shown, re.MULTILINE)]


def keep(target: Path, path: Path) -> None:
    """Copy a file, and where it is a link that and the file that it names."""
    here = path.parent.resolve() / path.name
    there = inside(target, here)
    there.parent.mkdir(parents=True, exist_ok=True)
    if there.exists() or there.is_symlink():
        return
    shutil.copy2(here, there, follow_symlinks=False)
    if here.is_symlink() and here.is_file():
        keep(target, here.parent / here.readlink())


def inside(target: Path, path: Path) -> Path:
    """Return the place of an absolute path below another root."""
    return target / path.relative_to("/")


if __name__ == "__main__":
    main()
