"""The way out of an isolated network: approved names and no other, as behind Azure Firewall."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from unittest import mock

import pytest

from emulator.backends import isolation
from emulator.backends.isolation import Isolation
from tests.stub_server import Answer, StubServer

NAME = "packages.example.com"


@pytest.fixture
def port() -> Iterator[int]:
    """The proxy of a network whose address of this machine is the loopback's."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    with (
        StubServer(lambda request: Answer({"path": request.path, "host": request.headers["host"]})).serving() as server,
        mock.patch.object(isolation, "PROXY_PORT", number),
        mock.patch.object(Isolation, "_address", return_value="127.0.0.1"),
    ):
        there = ("127.0.0.1", server.server_port)
        networks = Isolation({}, lambda key, host, _: there if (key, host) == ("one", NAME) else None)
        with networks.joining("one") as (network, variables):
            assert network == "azureml-managed-one"
            assert variables["HTTPS_PROXY"] == variables["http_proxy"] == f"http://127.0.0.1:{number}"
        yield number
        networks._proxies["one"].stop()


def test_without_a_managed_network_nothing_is_set() -> None:
    with Isolation({}, lambda *_: None).joining("") as place:
        assert place == (None, {})


def ask(port: int, address: str, host: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", address, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_plain_http_reaches_the_approved_name_with_its_path(port: int) -> None:
    status, text = ask(port, f"http://{NAME}/simple/?a=b", NAME)
    assert status == 200
    assert '"path": "/simple/?a=b"' in text
    assert NAME in text


def test_plain_http_to_any_other_name_is_denied_as_by_azure_firewall(port: int) -> None:
    status, text = ask(port, "http://example.com/", "example.com")
    assert (status, text) == (470, "Action: Deny. Reason: No rule matched. Proceeding with default action.")


def test_a_tunnel_reaches_the_approved_name(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.set_tunnel(NAME, 443)
    connection.request("GET", "/inside")
    assert connection.getresponse().status == 200


def test_the_connection_of_a_tls_client_to_any_other_name_is_cut_off(port: int) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=ssl.create_default_context())
    connection.set_tunnel("example.com", 443)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connection.request("GET", "/")


@pytest.mark.parametrize(
    "head", [b"\r\n\r\n", b"CONNECT nowhere HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 99_999]
)
def test_what_is_no_request_for_a_proxy_gets_nothing(port: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(1 << 16)
        assert not answer or b"470" in answer or answer.endswith(b"established\r\n\r\n")
