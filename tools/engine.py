"""The Docker engine: the one that runs, else Debian's packages, started here. Elsewhere one line says what to do."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tools.shell import ToolError, alone, cache, debian_root, install, run, say

_RUN = Path("/run/azureml-scoring")
_PATIENCE = 180.0


def answers() -> bool:
    """Whether a Docker engine answers."""
    docker = shutil.which("docker")
    if not docker:
        return False
    try:
        asked = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"], capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def ensure() -> None:
    """Return when an engine answers; start Debian's as root on Debian."""
    if answers():
        return
    with alone("engine"):
        if answers():
            return
        if not debian_root():
            raise ToolError("no Docker engine answers: start Docker (or set DOCKER_HOST) and run this again")
        missing = [
            package
            for package, program in (("docker.io", "dockerd"), ("runc", "runc"), ("iptables", "iptables"))
            if not shutil.which(program)
        ]
        if missing:
            install(missing)
        _start()


def _start() -> None:
    say("starting the Docker engine")
    _RUN.mkdir(parents=True, exist_ok=True)
    log = cache() / "dockerd.log"
    _clear()
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["dockerd", "--pidfile", str(_RUN / "dockerd.pid")],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    end = time.monotonic() + _PATIENCE
    while not answers():
        if process.poll() is not None or time.monotonic() > end:
            lines = log.read_text(errors="replace").splitlines()
            told = next((line for line in reversed(lines) if "fail" in line.lower()), lines[-1] if lines else "")
            raise ToolError(f"the Docker engine did not start ({told[-400:]}); its log is {log}")
        time.sleep(0.3)


def _clear() -> None:
    """Take away what a killed engine of ours left: its pid file, and a containerd that outlived it."""
    (_RUN / "dockerd.pid").unlink(missing_ok=True)
    left = Path("/var/run/docker/containerd/containerd.pid")
    if not left.exists():
        return
    pid = int(left.read_text() or 0)
    command = Path(f"/proc/{pid}/cmdline")
    if command.exists() and b"/var/run/docker/containerd" in command.read_bytes():
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while command.exists() and command.read_bytes() and time.monotonic() < end:
            time.sleep(0.1)
    left.unlink(missing_ok=True)


def builder() -> Path | None:
    """The folder of a docker command that can build with BuildKit, where the first one on PATH cannot."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        docker = Path(folder) / "docker"
        if docker.is_file() and os.access(docker, os.X_OK) and _builds(docker):
            return docker.parent
    return None


def _builds(docker: Path) -> bool:
    told = subprocess.run([str(docker), "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    number = told.removeprefix("Docker version ").split(".")[0]
    if number.isdigit() and int(number) < 23:  # noqa: PLR2004 - before 23, BuildKit needs no plugin
        return True
    asked = subprocess.run([str(docker), "buildx", "version"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


def image(reference: str) -> bool:
    """Whether the engine has an image."""
    return subprocess.run(["docker", "image", "inspect", reference], capture_output=True, check=False).returncode == 0


def remove_containers(label: str) -> None:
    """Take away every container that has a label."""
    ids = run("listing containers", ["docker", "ps", "--all", "--quiet", "--filter", f"label={label}"]).split()
    if ids:
        run("removing containers", ["docker", "rm", "--force", "--volumes", *ids])
