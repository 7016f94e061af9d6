"""Debian's packages, for a bare machine: only as root, and only said aloud."""

import os
from collections.abc import Sequence
from pathlib import Path

from tools.shell import ToolError, alone, progress, run, say, which

_ATTEMPTS = 3
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
# Another installer may be at work on a fresh machine (unattended-upgrades): wait for it instead of failing.
_PATIENT = ("-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3")


def can_install() -> bool:
    """Whether this is Debian (or a child of it) and we may install."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and which("apt-get") is not None


def install(packages: Sequence[str], *, reason: str) -> None:
    """Install packages; says which and why."""
    names = " ".join(packages)
    with alone("apt"), progress(f"Installing Debian packages {names} ({reason})"):
        _patiently(
            ["apt-get", *_PATIENT, "install", "--yes", "--no-install-recommends", *packages],
            what=f"apt-get install {names}",
        )


def unpack(package: str, folder: Path) -> None:
    """Download a package and unpack it into a folder: nothing is installed on the system."""
    with alone("apt"):
        _patiently(["apt-get", *_PATIENT, "download", package], what=f"apt-get download {package}", folder=folder)
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if not archives:
        raise ToolError(f"apt-get download {package}: no archive came; check /etc/apt/sources.list")
    run(["dpkg", "-x", archives[-1], folder], what=f"dpkg -x {archives[-1].name}")


def mirror(release: str) -> str:
    """The mirror from which this machine gets a Debian release, else Debian's own."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        what="apt-get indextargets",
    )
    for line in listed.splitlines():
        match line.split():
            case [address, name, "main"] if name == release and address.startswith(("http:", "https:", "file:")):
                return address
    return "http://deb.debian.org/debian"


def proxy() -> dict[str, str]:
    """The proxy that apt is told to use, for programs that read it from the environment."""
    found: dict[str, str] = {}
    for scheme in ("http", "https"):
        try:
            line = run(["apt-config", "dump", f"Acquire::{scheme}::Proxy"], what="apt-config").strip()
        except ToolError:
            continue
        value = line.partition('"')[2].partition('"')[0]
        if value and value != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found


def _patiently(command: Sequence[str], *, what: str, folder: Path | None = None) -> None:
    """Lists may be missing or old, and mirrors hiccup: refresh the lists, try again, then give up with one line."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            run(
                ["apt-get", *_PATIENT, "update", "--quiet"],
                what="apt-get update",
                environment=_QUIET,
                timeout=600,
            )
        except ToolError as error:
            # One dead third-party source must not stop what the other sources have.
            say(f"  {error}")
        try:
            run(command, what=what, environment=_QUIET, folder=folder, timeout=1800)
        except ToolError as error:
            if attempt == _ATTEMPTS:
                raise ToolError(f"{error}; check the network and /etc/apt/sources.list") from error
            say(f"  {error}; trying again ({attempt + 1} of {_ATTEMPTS})")
        else:
            return
