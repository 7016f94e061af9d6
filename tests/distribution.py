"""The distribution as a user gets it: built from the sources, installed into a virtual environment of its own.

Owns building and installing. Refuses to own what is in it.
"""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PATIENCE, ROOT
from tools import azure
from tools.shell import alone, cache


@dataclass(frozen=True)
class Distribution:
    """The two files of a build."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Distribution:
    """Build the wheel, from the sdist, as a release does."""
    uv("build", "--quiet", "--out-dir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distribution(wheel, sdist)


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel with the locked versions of what it needs; the environment's programs."""
    locked = folder.with_suffix(".txt")
    uv("export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--output-file", str(locked))
    # Pulumi's Python language host asks pip which provider plugins a program needs.
    uv("venv", "--quiet", "--seed", "--python", sys.executable, str(folder))
    programs = folder / "bin"
    uv("pip", "install", "--quiet", "--python", str(programs / "python"), "--constraint", str(locked), str(wheel))
    return programs


def resolved(version: str, resolution: str, *others: str) -> Path:
    """An environment with one end of the ranges in pyproject.toml; kept in the cache while those stay the same."""
    declared = (ROOT / "pyproject.toml").read_bytes() + repr((ROOT, version, resolution, others)).encode()
    folder = cache() / "bounds" / f"{version}-{resolution}-{hashlib.sha256(declared).hexdigest()[:12]}"
    found = folder / "bin" / "python"
    with alone("bounds"):
        if not (folder / "complete").exists():
            uv("venv", "--quiet", "--clear", "--python", python(version) or version, str(folder))
            install = ("pip", "install", "--quiet", "--python", str(found))
            uv(*install, "--resolution", resolution, "--editable", str(ROOT))
            # What is installed already stays as it is.
            uv(*install, *others)
            (folder / "complete").touch()
    return found


def python(version: str) -> str:
    """An interpreter of this version on this machine, pyenv's included; empty without one."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    if found := sorted(versions.glob(f"{version}.*/bin/python")):
        return str(found[-1])
    done = subprocess.run(
        ["uv", "python", "find", "--no-project", "--system", version],
        capture_output=True,
        text=True,
        env=_environment(),
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def uv(*words: str) -> None:
    """Run uv in the checkout."""
    done = subprocess.run(
        ["uv", *words], cwd=ROOT, capture_output=True, text=True, env=_environment(), timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, **azure.machine(), "UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": ""}
