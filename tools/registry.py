"""The OCI registry program (CNCF distribution) that the local Azure runs: found, unpacked from Debian, or built."""

import os
import shutil
import tempfile
from pathlib import Path

from tools.shell import ToolError, alone, cache, run, say

_DISTRIBUTION = "github.com/distribution/distribution/v3"
_VERSION = "v3.0.0"


def ensure() -> Path:
    """Return the folder that holds `docker-registry`."""
    found = shutil.which("docker-registry")
    if found:
        return Path(found).parent
    folder = cache() / "registry"
    with alone("registry"):
        if not (folder / "docker-registry").exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                made = _unpacked(Path(scratch)) or _built(Path(scratch))
                made.chmod(0o755)
                made.replace(folder / "docker-registry")
    return folder


def _unpacked(scratch: Path) -> Path | None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    say("unpacking Debian's docker-registry into the cache")
    try:
        if os.geteuid() == 0:
            run("apt-get update", ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"])
        run("downloading docker-registry", ["apt-get", "-qq", "download", "docker-registry"], scratch)
    except ToolError:
        return None
    package = next(scratch.glob("docker-registry_*.deb"))
    run("unpacking docker-registry", ["dpkg-deb", "--extract", str(package), str(scratch / "root")])
    return scratch / "root/usr/bin/docker-registry"


def _built(scratch: Path) -> Path:
    if not shutil.which("go"):
        raise ToolError("the OCI registry is missing: put docker-registry on PATH, or install Go to build it")
    say("building the OCI registry from its Go module, once (a minute)")
    command = ["go", "install", f"{_DISTRIBUTION}/cmd/registry@{_VERSION}"]
    run("building the registry", command, scratch, {"GOBIN": str(scratch), "CGO_ENABLED": "0"})
    return scratch / "registry"
