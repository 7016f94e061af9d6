"""A registry's own port with TLS: docker, plain http and Azure's /acr/v1 side by side."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Cloud, local_azure
from tests.registries import PULL, PUSH, LocalRegistry, docker, registry_in_group, service_principal

IMAGE = "FROM scratch\nLABEL made=here\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with (
        local_azure(tmp_path_factory.mktemp("azure") / "state", "--registry-tls=on") as cloud,
        registry_in_group(cloud) as made,
    ):
        yield made


def ask(registry: LocalRegistry, path: str, token: str) -> httpx.Response:
    cloud: Cloud = registry.cloud
    return cloud.http.get(f"https://{registry.login_server}{path}", headers={"Authorization": f"Bearer {token}"})


def test_one_port_answers_https_and_http(registry: LocalRegistry) -> None:
    assert registry.cloud.http.get(f"https://{registry.login_server}/v2/").status_code == 401
    assert httpx.get(f"http://{registry.login_server}/v2/", trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("path", "scope"), [("_catalog", "registry:catalog:*"), ("team/x/_tags", "repository:team/x:metadata_read")]
)
def test_azures_own_api_says_where_a_token_is_had(registry: LocalRegistry, path: str, scope: str) -> None:
    address = f"https://{registry.login_server}"
    answer = registry.cloud.http.get(f"{address}/acr/v1/{path}")
    assert answer.status_code == 401
    challenge = f'Bearer realm="{address}/oauth2/token",service="{registry.login_server}",scope="{scope}"'
    assert answer.headers["www-authenticate"] == challenge
    assert registry.cloud.http.post(f"{address}/oauth2/exchange").status_code == 400


def test_docker_pushes_and_azures_own_api_lists_what_was_pushed(
    registry: LocalRegistry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pusher, reader = service_principal(registry.cloud), service_principal(registry.cloud)
    registry.grant(pusher, PUSH)
    registry.grant(reader, PULL)
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text(IMAGE)
    name = f"{registry.login_server}/team/scorer:{uuid.uuid4().hex[:6]}"
    with docker(registry.login_server, pusher.login) as client:
        client.good("build", "--tag", name, str(folder))
        client.good("push", name)
        client.good("rmi", name)
        client.good("pull", name)
        client.good("rmi", name)
    token = registry.token(reader.login, "registry:catalog:*").json()["access_token"]
    assert ask(registry, "/acr/v1/_catalog", token).json() == {"repositories": ["team/scorer"]}
    assert ask(registry, "/acr/v1/team/scorer/_tags", token).status_code == 401, "the token is for the catalog"
    token = registry.token(reader.login, "repository:team/scorer:metadata_read").json()["access_token"]
    (tag,) = ask(registry, "/acr/v1/team/scorer/_tags", token).json()["tags"]
    assert tag["name"] == name.rpartition(":")[2]
    assert tag["digest"].startswith("sha256:")
    assert ask(registry, "/acr/v1/_catalog", token).status_code == 401


def test_who_has_no_role_reads_nothing(registry: LocalRegistry) -> None:
    stranger = service_principal(registry.cloud)
    token = registry.token(stranger.login, "registry:catalog:*").json()["access_token"]
    assert ask(registry, "/acr/v1/_catalog", token).status_code == 401
