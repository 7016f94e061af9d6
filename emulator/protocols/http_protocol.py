"""HTTP/1 as a server at the edge of a network speaks it: a head of a request that is too long or too slow is refused.

Owns the head alone; uvicorn reads the rest. What a body may be is the application's business.
https://www.rfc-editor.org/rfc/rfc9110#name-client-error-4xx and https://www.rfc-editor.org/rfc/rfc6585#section-5
"""

import asyncio
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 20.0
"""Seconds that a client has to send a request's head."""
_LONGEST = 64 << 10
"""Bytes of a head: what h11 takes."""


class HttpProtocol(H11Protocol):
    """One connection."""

    _slow: asyncio.TimerHandle | None = None
    _head = b""
    """What came of a head that is not whole."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait(waiting=False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait until the head is whole."""
        if self.conn.their_state is h11.IDLE:
            self._head = (self._head + data)[: _LONGEST + 1]
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self._head:
            self._wait()
        else:
            self._wait(waiting=False)

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a head: the line of the request is too long, all of it is, or it is no HTTP."""
        if len(self._head) <= _LONGEST:
            super().send_400_response(msg)
            return
        line_ends = b"\n" in self._head.lstrip(b"\r\n")
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if line_ends else HTTPStatus.REQUEST_URI_TOO_LONG)

    def _wait(self, *, waiting: bool = True) -> None:
        if self._slow is None and waiting:
            self._slow = self.loop.call_later(PATIENCE, self._refuse, HTTPStatus.REQUEST_TIMEOUT)
        elif not waiting:
            self._head = b""
            if self._slow is not None:
                self._slow.cancel()
                self._slow = None

    def _refuse(self, status: HTTPStatus) -> None:
        if not self.transport.is_closing():
            text = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(text.encode())
            self.transport.close()
