"""The one HTTP server of the tests: in this process, or copied into an image beside the module that starts it.

Owns HTTP. Refuses to own what is answered. Imports the standard library alone: the images have nothing else.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """By name in lower case."""
    content: bytes


@dataclass(frozen=True)
class Answer:
    """What it gets."""

    body: Any
    """JSON; a text is sent as it is."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class StubServer(ThreadingHTTPServer):
    """A server that answers every GET, POST and PATCH by one function."""

    daemon_threads = True
    request_queue_size = 128
    """Connections that wait: more clients than the library's 5 ask at once."""

    def __init__(self, answer: Callable[[Request], Answer], host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Handler)
        self.answer = answer

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Serve beside the test."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: StubServer

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(Request(self.command, self.path, headers, content))
        body = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
        try:
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except BrokenPipeError:  # the client has given up
            return

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the name is the library's
        del format, args
