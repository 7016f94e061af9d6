"""What the tools say and where they keep things: messages, progress, the cache folder, locks, running commands.

All messages go to standard error: standard output belongs to what a command was asked for (`make -s env`).
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_NAME = "azureml-scoring"
_PROGRESS_SECONDS = 15
_SYSTEM_FOLDERS = ("/usr/local/go/bin", "/usr/local/bin", "/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class ToolError(Exception):
    """Something the user has to know; the text is one line with the remedy."""


def one_line(text: str) -> str:
    """Any text on one line."""
    return " ".join(text.split())


def say(message: str) -> None:
    """Tell the user, on standard error."""
    print(f"» {message}", file=sys.stderr, flush=True)


def cache(environment: Mapping[str, str] | None = None) -> Path:
    """Where things outlive the tree: `$XDG_CACHE_HOME/azureml-scoring`, else `~/.cache/azureml-scoring`."""
    variables = os.environ if environment is None else environment
    root = variables.get("XDG_CACHE_HOME") or Path(variables.get("HOME") or Path.home()) / ".cache"
    return Path(root) / _NAME


def bin_folder() -> Path:
    """The cache's folder of programs that the program environment's PATH names first."""
    return cache() / "bin"


def search_path() -> str:
    """PATH and after it the folders where systems put programs: a service's PATH often lacks them."""
    named = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return os.pathsep.join(dict.fromkeys([*named, *_SYSTEM_FOLDERS]))


def which(program: str) -> Path | None:
    """The first executable of that name, without the links this project makes itself."""
    own = str(bin_folder())
    folders = [folder for folder in search_path().split(os.pathsep) if folder != own]
    found = shutil.which(program, path=os.pathsep.join(folders))
    return Path(found) if found else None


def every(program: str) -> list[Path]:
    """All executables of that name, first on PATH first, without the links this project makes itself."""
    own = str(bin_folder())
    folders = [folder for folder in search_path().split(os.pathsep) if folder != own]
    found = (shutil.which(program, path=folder) for folder in folders)
    return list(dict.fromkeys(Path(path) for path in found if path))


def link(name: str, target: Path) -> Path:
    """Offer a program under a name in the cache's program folder."""
    folder = bin_folder()
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / name
    if place.is_symlink() and place.readlink() == target:
        return place
    fresh = folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(place)
    return place


@contextmanager
def progress(label: str) -> Iterator[None]:
    """Say that a long step has begun, that it still goes on, and how long it took."""
    begun = time.monotonic()
    done = threading.Event()

    def tell() -> None:
        while not done.wait(_PROGRESS_SECONDS):
            say(f"{label}: {time.monotonic() - begun:.0f} s so far")

    say(label)
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
    taken = time.monotonic() - begun
    if taken >= 1:
        say(f"{label}: done in {taken:.0f} s")


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process (and thread) at a time; the kernel frees the lock when its holder dies."""
    folder = cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress(f"Waiting for another run that prepares {name}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A temporary folder on the cache's file system, so that its contents can be renamed into place."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def run(  # noqa: PLR0913 - each is one trait of a command
    command: Sequence[str | Path],
    *,
    what: str,
    remedy: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command without input; its output, or one line that says what failed and why."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, "PATH": search_path(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolError(_sentence(f"{what}: {error.filename} is not on PATH", remedy)) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(_sentence(f"{what}: no answer within {timeout:.0f} s", remedy)) from error
    if done.returncode:
        raise ToolError(_sentence(f"{what}: {last_line(done.stdout)} (exit status {done.returncode})", remedy))
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout: float = 30) -> bool:
    """Whether a short command ends well."""
    try:
        run(command, what="", timeout=timeout)
    except ToolError:
        return False
    return True


def _sentence(problem: str, remedy: str) -> str:
    return one_line(f"{problem}; {remedy}" if remedy else problem)
