"""Claims about what clients may send to an endpoint: odd, long, slow or broken requests are refused, never with 5xx."""

import os
import re
import socket
import time
import tracemalloc
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.protocols import gateway, http_protocol
from tests.conftest import PATIENCE
from tests.emulator.conftest import InProcessAzure
from tests.ml import Model, Scene, scene
from tests.stub_server import Answer, Request

_EXAMPLES = int(os.environ.get("REQUESTS", "60"))
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


class Echo(Model):
    """A container that answers whatever it is asked."""

    def answer(self, request: Request) -> Answer:
        del request
        return Answer({"name": self.name})


@pytest.fixture
def served(local: InProcessAzure) -> Iterator[Scene]:
    with scene(local, Echo("blue")) as found:
        found.deploy("blue")
        found.send({"blue": 100})
        yield found


def sent(found: Scene, raw: bytes, *, rest: bytes = b"", patience: float = PATIENCE) -> bytes:
    """All that a connection answers to some bytes until it is closed, or says nothing more for a second."""
    with socket.create_connection(("127.0.0.1", urlsplit(found.uri).port), timeout=patience) as connection:
        connection.sendall(raw)
        if rest:
            connection.sendall(rest)
        answer = b""
        try:
            while piece := connection.recv(1 << 16):
                answer += piece
                connection.settimeout(1)
        except TimeoutError:
            assert answer, f"no answer within {patience} s to {raw[:200]!r}"
        except ConnectionResetError:
            pass
        return answer


def request(found: Scene, *, target: bytes = b"/score", headers: bytes = b"", body: bytes = b'{"x": 1}') -> bytes:
    """A request with the key, of which the connection is closed."""
    key = found.key_value.encode()
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n" % (target, key)
    return head + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def status(answer: bytes) -> int:
    """The status of an answer."""
    first = _STATUS.match(answer)
    assert first is not None, answer[:200]
    return int(first[1])


ODD = {
    "a header of Latin letters": ({"headers": b"X-Name: caf\xe9\r\n"}, {200}),
    "a header of any bytes": ({"headers": b"X-Name: \xff\xfe\xc3\x28\r\n"}, {200}),
    "a deployment with a slash": ({"headers": b"azureml-model-deployment: a/b\r\n"}, {404}),
    "a deployment upwards": ({"headers": b"azureml-model-deployment: ../blue\r\n"}, {404}),
    "a deployment of any bytes": ({"headers": b"azureml-model-deployment: \xff\xfe\r\n"}, {404}),
    "a long deployment": ({"headers": b"azureml-model-deployment: " + b"a" * 5000 + b"\r\n"}, {404}),
    "a NUL in the path": ({"target": b"/a%00b"}, {200}),
    "half an escape": ({"target": b"/a%2"}, {200}),
    "a path of odd characters": ({"target": b"/a{b}|c\\^`<>\"'[]"}, {200}),
    "a query of odd characters": ({"target": b"/score?a=%ff%00&b[]={}"}, {200}),
    "a fragment": ({"target": b"/score?a#x"}, {400}),
    "a whole URL": ({"target": b"http://elsewhere.example/score"}, {400, 404}),
    "an asterisk": ({"target": b"*"}, {400, 404}),
    "a long path": ({"target": b"/" + b"a" * 9000}, {414}),
    "a very long path": ({"target": b"/" + b"a" * 200_000}, {414}),
    "long headers": ({"headers": b"X-Long: " + b"a" * 200_000 + b"\r\n"}, {431}),
    "an odd host": ({"headers": b"X-Forwarded-Host: [\r\n"}, {200}),
    "an upgrade": ({"headers": b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n"}, {200}),
}


def test_what_is_odd_is_answered_and_what_is_too_long_refused(served: Scene) -> None:
    wrong = {}
    for name, (parts, allowed) in ODD.items():
        answer = sent(served, request(served, **parts))
        if status(answer) not in allowed:
            wrong[name] = answer[:200]
    assert wrong == {}


def test_a_method_that_is_none_of_http_is_405(served: Scene) -> None:
    assert status(sent(served, request(served).replace(b"POST", b"BREW", 1))) == 405


@pytest.mark.parametrize("mode", ["Key", "AMLToken", "AADToken"])
def test_a_token_of_any_bytes_is_401(local: InProcessAzure, mode: str) -> None:
    with scene(local, authMode=mode) as found:
        for token in (b"\xff\xfe", b"caf\xe9.x.y", b"a.b.c", b"\xc5\xbf"):
            answer = sent(found, b"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % token)
            assert status(answer) == 401


def test_a_body_over_the_limit_is_413_and_takes_no_memory(served: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "LONGEST_BODY", 1 << 20)
    raw = request(served, body=b"")
    announced = raw.replace(b"Content-Length: 0", b"Content-Length: 10000000000")
    chunked = raw.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    piece = b"100000\r\n" + b"a" * (1 << 20) + b"\r\n"
    tracemalloc.start()
    try:
        for head, rest in ((announced, b"a" * (2 << 20)), (chunked, piece * 2)):
            assert status(sent(served, head, rest=rest)) == 413
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_half_a_head_and_a_slow_body_are_408(served: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "PATIENCE", 0.3)
    monkeypatch.setattr(gateway, "READING", 0.3)
    slow = request(served, body=b"").replace(b"Content-Length: 0", b"Content-Length: 10")
    for raw in (b"POST /sc", b"POST /score HTTP/1.1\r\nHost: x\r\n", slow, slow + b"half"):
        start = time.monotonic()
        assert status(sent(served, raw)) == 408
        assert time.monotonic() - start < PATIENCE


def test_connections_are_kept_and_chunks_and_http_1_0_are_read(served: Scene) -> None:
    key = served.key_value.encode()
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n" % key
    whole = head + b'Content-Length: 8\r\n\r\n{"x": 1}'
    chunked = head + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"x\r\n5\r\n": 1}\r\n0\r\n\r\n'
    old = whole.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", sent(served, whole + chunked + old))] == [200] * 3


_PIECES = st.sampled_from(
    (
        *(b"GET ", b"POST ", b"FOO ", b"/score", b"/", b"*", b"%00", b" ", b"\r\n", b"\n", b"\r\n\r\n", b":", b"\0"),
        *(
            b" HTTP/1.1\r\n",
            b" HTTP/1.0\r\n",
            b" HTTP/9.9\r\n",
            b"Host: x\r\n",
            b"Host: [\r\n",
            b"Content-Length: 5\r\n",
        ),
        *(b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"Transfer-Encoding: x\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: \xff\r\n"),
        *(b"5\r\nhello\r\n", b"zz\r\n", b"0\r\n\r\n", b"Upgrade: h2c\r\n", b"azureml-model-deployment: \x80/..\r\n"),
        *(b"x-ms-client-request-id: \xd9\xa3\r\n", b"Accept-Encoding: \xff\r\n", b"A: b\r\n c\r\n", b"a" * 9000),
    )
)
_HEADERS = st.lists(_PIECES | st.binary(max_size=12), max_size=8).map(b"".join)


def test_no_bytes_are_answered_with_5xx_or_left_without_an_answer(
    served: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "PATIENCE", 0.2)
    monkeypatch.setattr(gateway, "READING", 0.2)
    key = b"Authorization: Bearer %s\r\n" % served.key_value.encode()

    @settings(
        max_examples=_EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck]
    )
    @given(_HEADERS, st.booleans(), _HEADERS)
    def run(before: bytes, well_begun: bool, after: bytes) -> None:  # noqa: FBT001 - hypothesis gives it
        begun = b"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + key if well_begun else b""
        answer = sent(served, begun + before + b"\r\n" + after, patience=30)
        statuses = [int(each) for each in re.findall(rb"(?:^|\r\n|\})HTTP/1\.1 (\d{3}) ", answer)]
        assert all(each < 500 for each in statuses), (begun + before + after, answer[:300])

    run()
    assert status(sent(served, request(served))) == 200
