"""Connections of a port, served in a thread with an event loop of its own."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

PIECE = 1 << 16
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Acceptor:
    """Accepts the connections of a listening socket, from `start` until `stop`."""

    def __init__(self, listener: socket.socket, serve: Serve, name: str) -> None:
        self._listener = listener
        self._serve = serve
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._accept, sock=self._listener))
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # What ends too early, is too long or is no request is closed without a word.
            with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._serve(reader, writer)
        finally:
            writer.close()


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: tuple[str, int], first: bytes
) -> None:
    """Hand a connection on to an address, beginning with what has been read of it."""
    there, back = await asyncio.open_connection(*address)
    try:
        back.write(first)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))
    finally:
        back.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()
    with suppress(OSError, RuntimeError):
        target.write_eof()
