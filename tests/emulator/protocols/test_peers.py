"""Claims about who may speak to the local Azure: its own user, and whoever shows what Azure asks for."""

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from emulator.core import peers
from emulator.core.ports import HOST, ephemeral
from emulator.protocols import providers
from tests.conftest import Cloud

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
Stub = provider_pb2_grpc.ResourceProviderStub


@pytest.fixture
def fakes(local: Any) -> Iterator[providers.FakeProviders]:  # noqa: ANN401
    served = providers.serve(local.azure)
    yield served
    served.stop()


@contextmanager
def another_user() -> Iterator[None]:
    """Whatever is opened within is another user's."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def spoken_to(port: int, user: Callable[[], Any]) -> Iterator[Stub]:
    """A provider's client whose bytes go through a connection that a user has opened."""
    with user():
        there = socket.create_connection((HOST, port))
    with socket.create_server((HOST, 0)) as relay, there:
        passing = threading.Thread(target=_pass_on, args=(relay, there), daemon=True)
        passing.start()
        with grpc.insecure_channel(f"{HOST}:{relay.getsockname()[1]}") as channel:
            yield Stub(channel)
        passing.join()


def _pass_on(relay: socket.socket, there: socket.socket) -> None:
    here, _ = relay.accept()
    with here:
        back = threading.Thread(target=_copy, args=(there, here), daemon=True)
        back.start()
        _copy(here, there)
        with suppress(OSError):
            there.shutdown(socket.SHUT_RDWR)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)


def own_user() -> Any:  # noqa: ANN401 - a context
    return nullcontext()


@AS_ROOT
@pytest.mark.parametrize("name", ["azure-native", "azuread", "docker"])
def test_the_providers_answer_no_other_user(fakes: providers.FakeProviders, name: str) -> None:
    calls: list[Callable[[Stub], object]] = [
        lambda stub: stub.GetPluginInfo(empty_pb2.Empty(), timeout=30),
        lambda stub: stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=30),
        lambda stub: stub.Configure(provider_pb2.ConfigureRequest(), timeout=30),
        lambda stub: stub.Invoke(provider_pb2.InvokeRequest(tok=f"{name}:index:x"), timeout=30),
        lambda stub: stub.Create(provider_pb2.CreateRequest(urn="urn:pulumi:s::p::x:y:Z::n"), timeout=30),
        lambda stub: stub.Delete(provider_pb2.DeleteRequest(urn="urn:pulumi:s::p::x:y:Z::n"), timeout=30),
    ]
    with spoken_to(fakes.ports[name], another_user) as stub:
        for call in calls:
            with pytest.raises(grpc.RpcError) as refused:
                call(stub)
            assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
            assert refused.value.details() == "the local Azure belongs to another user"
    with spoken_to(fakes.ports[name], own_user) as stub:
        assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=30).version


@AS_ROOT
def test_a_connection_is_its_users_while_both_ends_are_open() -> None:
    """Of one that is closed the kernel names no user but 0: who closes at once is not taken for root."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with another_user():
            there = socket.create_connection((HOST, port))
        here, (_, peer) = server.accept()
        with here:
            assert peers.user_of(peer, port) == NOBODY
            assert not peers.is_own(peer, port)
            there.close()
            assert peers.user_of(peer, port) is None
            assert not peers.is_own(peer, port)


def test_an_ipv4_connection_of_an_ipv6_socket_has_its_user_as_well() -> None:
    with socket.create_server((HOST, 0)) as server, socket.socket(socket.AF_INET6) as there:
        port = server.getsockname()[1]
        there.connect((f"::ffff:{HOST}", port))
        here, (_, peer) = server.accept()
        with here:
            assert peers.user_of(peer, port) == os.geteuid()


# -- the other faces ask for a token, a signature or a key -------------------------------------------------------------

PUBLIC = {
    "/metadata/endpoints": "where this cloud's services are",
    "/common/discovery/instance": "which authorities Entra knows",
    "/{tenant}/v2.0/.well-known/openid-configuration": "OpenID",
    "/{tenant}/.well-known/openid-configuration": "OpenID",
    "/{tenant}/discovery/v2.0/keys": "public keys",
    "/{tenant}/discovery/keys": "public keys",
}
"""What Azure answers anybody, too."""


def test_without_credentials_the_https_port_answers_what_azure_answers_anybody(azure: Cloud, local: Any) -> None:  # noqa: ANN401
    from emulator.protocols import arm  # noqa: PLC0415 - its routes alone

    asked = 0
    for route in arm.application(local.azure, str).routes:
        path, methods = route.path, route.methods  # type: ignore[attr-defined]
        if path in PUBLIC:
            continue
        for part in ("{rest:path}", "{name:path}"):
            path = path.replace(part, azure.subscription.rpartition("/")[2] if part == "{rest:path}" else "x")
        path = path.replace("{tenant}", azure.environment["ARM_TENANT_ID"])
        path = path.replace("{", "").replace("}", "").replace(":path", "")
        for method in sorted(methods - {"OPTIONS"}):
            answer = azure.http.request(method, f"{path}?api-version=2024-04-01&restype=container&comp=list")
            asked += 1
            # A token's request without a client is malformed: 400.
            allowed = {400, 401} if path.endswith("/token") else {401, 403, 404}
            assert answer.status_code in allowed, (method, path, answer.status_code, answer.text[:200])
    assert asked > 50


def test_without_credentials_a_vault_answers_nothing(azure: Cloud) -> None:
    port = azure.environment["ARM_METADATA_HOSTNAME"].rpartition(":")[2]
    for path in ("/secrets", "/secrets/pull", "/secrets/pull/versions", "/deletedsecrets", "/deletedsecrets/pull"):
        answer = azure.http.get(f"{path}?api-version=7.4", headers={"Host": f"any.vault.localhost:{port}"})
        assert answer.status_code == 401, (path, answer.text)


# -- what lies on the disk ---------------------------------------------------------------------------------------------


def test_the_state_folder_is_its_users_alone(azure: Cloud) -> None:
    assert stat.S_IMODE(azure.folder.stat().st_mode) == 0o700


def test_no_port_is_one_that_the_kernel_gives_away(local: Any, fakes: providers.FakeProviders) -> None:  # noqa: ANN401
    """Else a restart could find its own port taken by any connection of the machine."""
    del fakes
    ports = local.azure.ports.numbers()
    assert len(ports) >= 4
    assert not ports & {*ephemeral()}
