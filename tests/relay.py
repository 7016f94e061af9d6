"""A server that can be taken away: a socket that passes all bytes on to the real one, until it is cut.

Owns the socket and its connections. The server itself goes on: others use it.
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
    """One socket in front of a server on a port of the loopback, or behind a path."""

    def __init__(self, server: int | str, path: Path | None = None) -> None:
        self._server = server
        self._path = path
        self._port = 0
        self._open: list[socket.socket] = []

    @classmethod
    def of_docker(cls, path: Path) -> "Relay":
        """A socket in front of the Docker engine."""
        return cls(os.environ.get("DOCKER_HOST", f"unix://{_ENGINE}").removeprefix("unix://"), path)

    @property
    def address(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self._path}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def begin(self) -> "Relay":
        """Listen."""
        if self._path is None:
            listener = socket.create_server(("127.0.0.1", 0))
            self._port = listener.getsockname()[1]
        else:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self._path))
            listener.listen()
        self._open = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def cut(self) -> None:
        """End every connection and listen no more: what a stopped server looks like."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = self._connected()
                except OSError:
                    client.close()  # as a server that has stopped
                    continue
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()

    def _connected(self) -> socket.socket:
        if isinstance(self._server, int):
            return socket.create_connection(("127.0.0.1", self._server))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        return server


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(_PIECE):
            target.sendall(piece)
        end = socket.SHUT_WR
    except OSError:  # one side was killed: the other must not wait for it
        end = socket.SHUT_RDWR
    with suppress(OSError):
        target.shutdown(end)
