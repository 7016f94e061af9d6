"""The Docker engine: the one that answers, else Debian's packages, started here. Elsewhere one line says what to do.

Owns starting an engine and choosing a client that can build with BuildKit. Never stops or configures an engine that
somebody else runs.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tools import debian
from tools.shell import ToolError, alone, cache, every, last_line, link, one_line, progress, run, say, succeeds, which

_PATIENCE = 240.0
"""Seconds that a starting engine gets on a slow machine."""

_PLUGIN_SINCE = 23
"""From this version on, the docker client leaves BuildKit to its buildx plugin."""

_PACKAGES = {"dockerd": "docker.io", "runc": "runc", "iptables": "iptables"}
_PID = Path("/run/docker.pid")
_CONTAINERD = Path("/run/docker/containerd")
_SYSTEM_CONTAINERD = Path("/run/containerd/containerd.sock")


def answers() -> bool:
    """Whether a Docker engine answers."""
    docker = which("docker")
    return docker is not None and succeeds([docker, "version", "--format", "{{.Server.Version}}"], timeout=60)


def ensure() -> None:
    """Return when an engine answers and a client that can build with BuildKit is at hand."""
    if not answers():
        with alone("engine"):
            if not answers():
                _provide()
    client()


def client() -> Path:
    """A docker client that can build with BuildKit, offered in the cache's program folder where it is not the first."""
    candidates = every("docker")
    chosen = next((docker for docker in candidates if _builds(docker)), None)
    if chosen is None and debian.can_install():
        debian.install(["docker.io"], reason="a docker client that can build with BuildKit")
        chosen = next((docker for docker in every("docker") if _builds(docker)), None)
    if chosen is None:
        named = candidates[0] if candidates else "docker"
        raise ToolError(f"{named} cannot build with BuildKit: install the buildx plugin (docker-buildx) and try again")
    return link("docker", chosen)


def builder() -> Path | None:
    """The folder of a docker client that can build with BuildKit; None where there is none."""
    chosen = next((docker for docker in every("docker") if _builds(docker)), None)
    return link("docker", chosen).parent if chosen else None


def has_image(reference: str) -> bool:
    """Whether the engine has an image."""
    return succeeds(["docker", "image", "inspect", reference], timeout=120)


def remove_leftovers(label: str) -> None:
    """Take away every container, volume and network that has a label."""
    for kind, remove in (
        ("ps", ["rm", "--force", "--volumes"]),
        ("volume ls", ["volume", "rm", "--force"]),
        ("network ls", ["network", "rm"]),
    ):
        listing = ["docker", *kind.split(), "--quiet", "--filter", f"label={label}"]
        if kind == "ps":
            listing.append("--all")
        if found := run(listing, what=f"docker {kind}", timeout=120).split():
            run(["docker", *remove, *found], what=f"docker {remove[0]}", timeout=300)


def builds_without_plugin(shown: str) -> bool:
    """Whether the client of a `docker --version` brings BuildKit itself."""
    found = re.search(r"version (\d+)\.", shown)
    return found is not None and int(found[1]) < _PLUGIN_SINCE


def _builds(docker: Path) -> bool:
    try:
        shown = run([docker, "--version"], what="docker --version", timeout=60)
    except ToolError:
        return False
    return builds_without_plugin(shown) or succeeds([docker, "buildx", "version"], timeout=60)


def _provide() -> None:
    if host := os.environ.get("DOCKER_HOST"):
        raise ToolError(f"DOCKER_HOST={host}: no Docker engine answers there; start it, or unset DOCKER_HOST")
    if not debian.can_install() and not (os.geteuid() == 0 and which("dockerd")):
        raise ToolError(
            "no Docker engine answers; start Docker (or install it: https://docs.docker.com/engine/install/)"
        )
    missing = [package for program, package in _PACKAGES.items() if which(program) is None]
    if missing and debian.can_install():
        debian.install(missing, reason="no Docker engine answers")
        # Where a service manager runs, the package has started the engine.
        if _soon(answers, 10):
            return
    with progress("Starting the Docker engine"):
        for tried in (False, True):
            try:
                _start()
            except ToolError as error:
                if tried or not _mend(str(error)):
                    raise
                say(f"{error}; mended, trying again")
            else:
                return


def _start() -> None:
    _clear()
    if _alive(_PID, "dockerd"):
        if _soon(answers, _PATIENCE):
            return
        raise ToolError(f"dockerd (process {_PID.read_text().strip()}) runs but does not answer; end it and try again")
    dockerd = which("dockerd")
    if dockerd is None:
        raise ToolError("dockerd is not on PATH; install Debian's docker.io")
    log = cache() / "dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        # A session of its own: the engine outlives the terminal (and the job) that started it.
        process = subprocess.Popen(
            [dockerd, "--pidfile", _PID],
            cwd="/",
            env={**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin:/usr/bin:/sbin:/bin"])},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    _soon(lambda: process.poll() is not None or answers(), _PATIENCE)
    if process.poll() is not None:
        raise ToolError(f"the Docker engine did not start: {reason(log.read_text(errors='replace'))}; its log: {log}")
    if not answers():
        raise ToolError(f"the Docker engine does not answer within {_PATIENCE:.0f} s; its log: {log}")


def reason(log: str) -> str:
    """Why an engine ended, from its log: the last line that tells a failure."""
    told = [line for line in log.splitlines() if re.search(r"fail|error|fatal|denied", line, re.IGNORECASE)]
    return one_line(told[-1] if told else last_line(log))[:400]


def _clear() -> None:
    """Take away what a killed engine left: files that name processes which are gone or are somebody else by now.

    A number in a pid file is soon given to another process, and dockerd would believe that it runs already.
    """
    if not _alive(_PID, "dockerd"):
        _PID.unlink(missing_ok=True)
        _end_orphaned_proxies()
    # One that outlived its dockerd is taken over by the next: only it can end what it runs.
    if not _alive(_CONTAINERD / "containerd.pid", "containerd"):
        (_CONTAINERD / "containerd.pid").unlink(missing_ok=True)
    if _SYSTEM_CONTAINERD.exists() and not _listens(_SYSTEM_CONTAINERD):
        # dockerd takes the mere file for a running service and waits for it.
        _SYSTEM_CONTAINERD.unlink(missing_ok=True)


def _pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _alive(file: Path, name: str) -> bool:
    """Whether the process that a pid file names lives and bears that name."""
    pid = _pid(file)
    return pid is not None and _name(pid) == name


def _status(pid: int) -> dict[str, str]:
    """What the kernel says of a process; nothing of one that is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def _name(pid: int) -> str:
    status = _status(pid)
    # A killed process whose parent has not asked for it is a zombie: gone, but for its number.
    return "" if status.get("State", "Z").startswith("Z") else status.get("Name", "")


def _parent(pid: int) -> int:
    return int(_status(pid).get("PPid", "0"))


def _end_orphaned_proxies() -> None:
    """A dead engine's port forwarders hold ports for containers that are gone."""
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if _name(pid) == "docker-proxy" and _name(_parent(pid)) != "dockerd":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(10)
        try:
            probe.connect(str(place))
        except OSError:
            return False
    return True


def _mend(problem: str) -> bool:
    """Mend what keeps an engine from starting on machines without a service manager; False where there is no remedy."""
    if "iptables" in problem:
        return _use_legacy_iptables()
    if "cgroup" in problem and debian.can_install():
        if which("cgroupfs-mount") is None:
            debian.install(["cgroupfs-mount"], reason="the kernel's control groups are not mounted")
        return succeeds(["cgroupfs-mount"], timeout=60)
    return False


def _use_legacy_iptables() -> bool:
    """Old kernels have no nf_tables: Debian keeps the older tool beside the newer."""
    switched = [
        succeeds(["update-alternatives", "--set", tool, f"/usr/sbin/{tool}-legacy"])
        for tool in ("iptables", "ip6tables")
        if Path(f"/usr/sbin/{tool}-legacy").exists()
    ]
    return any(switched)


def _soon(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.3)
    return True
