"""The life of a local Azure's process, by the files in its state folder: found, locked to one at a time, ended.

Owns ready.json's reading, the lock and the default ports. Light: it imports no service and no face, since every
command of the command line waits for it.
"""

import fcntl
import json
import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY = "ready.json"
LOCK = "serve.lock"
LOG = "emulator.log"
DEFAULT_PORT = 8889
DEFAULT_SCORING_PORT = 8890
_PATIENCE = 120.0


class CannotServeError(Exception):
    """No local Azure can start or be found here; the text is one line with the remedy."""


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Hold the folder: two processes on one state would ruin it."""
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotServeError(
                f"a local Azure already serves {folder}: use it, or end it with"
                f" 'python -m emulator stop --state {folder}'"
            ) from error
        yield


def runs(folder: Path) -> bool:
    """Whether a process holds the folder."""
    if not (folder / LOCK).exists():
        return False
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def ready(folder: Path) -> dict[str, Any]:
    """What ready.json says of the process that serves a folder."""
    try:
        content: dict[str, Any] = json.loads((folder / READY).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CannotServeError(
            f"no local Azure serves {folder}: start one with 'python -m emulator serve --state {folder}'"
        ) from error
    return content


def stop(folder: Path) -> bool:
    """End the process that serves a folder, and wait for its end; False where there is none."""
    if not runs(folder):
        (folder / READY).unlink(missing_ok=True)
        return False
    os.kill(int(ready(folder)["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while runs(folder):
        if time.monotonic() > deadline:
            raise CannotServeError(f"the local Azure of {folder} does not end; {folder / LOG} may say why")
        time.sleep(0.1)
    return True


def client_context(folder: Path) -> ssl.SSLContext:
    """A context for clients that talk to this state folder's https face only."""
    return ssl.create_default_context(cafile=folder / "ca.pem")
