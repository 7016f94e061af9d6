"""One HTTP/1.1 exchange with a container, as a gateway has it: bytes pass as they are, and nothing is sent twice.

Owns a connection for each exchange: on one that is kept, a request may meet a container that is closing it just then.
Refuses to own which container (`fleet.py`), limits of time, and what is said of an answer (`protocols/gateway.py`).
"""

import asyncio
from dataclasses import dataclass, field

import h11

Headers = list[tuple[bytes, bytes]]
_BLOCK = 1 << 16


class UnreachableError(Exception):
    """No connection: nothing was sent."""


class BrokenError(Exception):
    """The connection ended, or what came is no HTTP; the container may have seen the request."""


@dataclass
class Reply:
    """What a container has answered."""

    status: int
    headers: Headers
    content: bytearray = field(default_factory=bytearray)


async def exchange(address: tuple[str, int], method: str, target: bytes, headers: Headers, body: bytes) -> Reply:
    """Send a request to a host and port, and read the answer; `headers` has none that is of a connection."""
    try:
        reader, writer = await asyncio.open_connection(*address)
    except OSError as error:
        raise UnreachableError(str(error)) from error
    own = [(b"host", f"{address[0]}:{address[1]}".encode()), (b"connection", b"close")]
    if body or method in {"PATCH", "POST", "PUT"}:
        own.append((b"content-length", str(len(body)).encode()))
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=target, headers=[*own, *headers])
    try:
        writer.write(b"".join(filter(None, map(connection.send, (request, h11.Data(body), h11.EndOfMessage())))))
        await writer.drain()
        return await _reply(connection, reader)
    except (OSError, h11.RemoteProtocolError) as error:
        raise BrokenError(type(error).__name__) from error
    finally:
        writer.close()


async def _reply(connection: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    reply = Reply(0, [])
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_BLOCK))
        elif isinstance(event, h11.Response):
            reply = Reply(event.status_code, list(event.headers))
        elif isinstance(event, h11.Data):
            reply.content += event.data
        elif isinstance(event, h11.EndOfMessage):
            return reply
