"""Running commands with progress, and the one error that ends a tool. Owns the cache folder and its lock."""

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

REPORT_EVERY = 20.0
"""Seconds between two lines of progress."""


class ToolError(Exception):
    """What ends a tool: one line that names the thing and the remedy."""


def cache() -> Path:
    """The folder outside the tree in which everything fetched or built is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "azureml-scoring"


def say(line: str) -> None:
    """Tell the user what goes on."""
    print(f"» {line}", flush=True)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one process at a time do a piece of set-up."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(what: str, command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end, telling every 20 s that it runs; a failure ends the tool with its last lines."""
    started = time.monotonic()
    done = threading.Event()

    def report() -> None:
        while not done.wait(REPORT_EVERY):
            say(f"{what}: {time.monotonic() - started:.0f} s")

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        finished = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise ToolError(f"{what} needs '{command[0]}', which is not on PATH: install it and run this again") from None
    finally:
        done.set()
    if finished.returncode:
        lines = [line.strip() for line in finished.stdout.splitlines() if line.strip()]
        raise ToolError(f"{what} failed ({' '.join(command[:3])}): {' | '.join(lines[-4:])[-900:]}")
    return finished.stdout


def debian_root() -> bool:
    """Whether this is a Debian machine on which packages may be installed."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def install(packages: Sequence[str]) -> None:
    """Install Debian's packages, said aloud; a lock that another apt holds is waited for."""
    say(f"installing Debian's {', '.join(packages)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    run("apt-get update", ["apt-get", *options, "update"], env=env)
    wanted = ["apt-get", *options, "-y", "--no-install-recommends", "install", *packages]
    run(f"apt-get install {' '.join(packages)}", wanted, env=env)
