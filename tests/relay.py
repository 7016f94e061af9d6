"""A Docker engine that can be taken away: a socket that passes all bytes on to the real one, until it is cut.

Owns the socket and its connections. The engine itself goes on: other tests use it.
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_ENGINE: Final = "/var/run/docker.sock"
_PIECE: Final = 1 << 16


class Relay:
    """One socket in front of the engine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = os.environ.get("DOCKER_HOST", f"unix://{_ENGINE}").removeprefix("unix://")
        self._open: list[socket.socket] = []

    @property
    def address(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self._path}"

    def begin(self) -> "Relay":
        """Listen."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        self._open = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def cut(self) -> None:
        """End every connection and listen no more: what a stopped engine looks like."""
        self._path.unlink(missing_ok=True)
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                self._open += [client, engine]
                for source, target in ((client, engine), (engine, client)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
