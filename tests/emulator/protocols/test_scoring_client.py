"""Claims about how the gateway asks a container: whatever it answers is passed on whole, or named as broken."""

import asyncio
import socket

import pytest

from emulator.backends.scoring_client import BrokenError, Headers, Reply, UnreachableError, exchange
from tests.conftest import PATIENCE

BODY = b'{"x": 1}'


def asked(
    *answers: bytes, method: str = "POST", headers: Headers | None = None, body: bytes = BODY
) -> tuple[Reply, bytes]:
    """What an exchange with a container yields that answers some bytes, and what the container got."""
    got = b""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        got = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(body))
        for piece in answers:
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def run() -> Reply:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            async with asyncio.timeout(PATIENCE):
                return await exchange(server.sockets[0].getsockname(), method, b"/score?a=%ff", headers or [], body)

    return asyncio.run(run()), got


def test_a_request_goes_out_as_it_is_on_a_connection_of_its_own() -> None:
    reply, got = asked(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", headers=[(b"x-name", b"caf\xe9")])
    assert (reply.status, bytes(reply.content)) == (200, b"ok")
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /score?a=%ff http/1.1"
    assert {b"connection: close", b"content-length: 8", b"x-name: caf\xe9"} <= {*lines}
    assert body == BODY


@pytest.mark.parametrize(
    "answers",
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nlon\r\n", b"1\r\ng\r\n0\r\n\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\nlo", b"ng"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\n\r\nlong"),
    ],
    ids=["chunks", "until the end", "informed before"],
)
def test_an_answer_is_read_to_its_end(answers: tuple[bytes, ...]) -> None:
    reply, _ = asked(*answers)
    assert (reply.status, bytes(reply.content)) == (200, b"long")


def test_an_answer_to_head_has_no_content() -> None:
    reply, _ = asked(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method="HEAD", body=b"")
    assert (reply.status, bytes(reply.content)) == (200, b"")


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 101 No\r\n\r\n"],
    ids=["nothing", "half", "another protocol", "another protocol after it"],
)
def test_what_is_no_whole_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(BrokenError):
        asked(answer)


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError):
            asyncio.run(exchange(taken.getsockname(), "GET", b"/", [], b""))
