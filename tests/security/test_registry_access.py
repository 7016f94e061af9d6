"""What a real docker client may do in a registry with which credentials."""

from collections.abc import Iterator

import httpx
import pytest

from tests import registries
from tests.conftest import Cloud
from tests.registries import LocalRegistry, docker, push_image, registry_in_group, service_principal


@pytest.fixture(scope="module")
def registry(azure: Cloud) -> Iterator[LocalRegistry]:
    with registry_in_group(azure) as found:
        push_image(found)
        yield found


def _pull(
    registry: LocalRegistry, login: tuple[str, str] | None, repository: str = "scorer", tag: str = "one"
) -> tuple[bool, str]:
    """Try a pull; whether it worked, and what docker said."""
    name = f"{registry.login_server}/{repository}:{tag}"
    with docker(registry.login_server, login) as client:
        done = client.run("pull", name)
        if done.returncode == 0:
            client.run("rmi", name)
        return done.returncode == 0, done.stderr


def _push(registry: LocalRegistry, login: tuple[str, str] | None, name: str) -> tuple[bool, str]:
    with docker(registry.login_server, login) as client:
        client.good("tag", registries.BASE, f"{registry.login_server}/{name}")
        done = client.run("push", f"{registry.login_server}/{name}")
        client.run("rmi", f"{registry.login_server}/{name}")
        return done.returncode == 0, done.stderr


def test_principal_with_acr_pull_can_pull_but_not_push(registry: LocalRegistry) -> None:
    puller = service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    assert _pull(registry, puller.login) == (True, "")
    pushed, told = _push(registry, puller.login, "scorer:two")
    assert not pushed
    assert "denied" in told or "unauthorized" in told


def test_principal_with_acr_pull_cannot_delete(registry: LocalRegistry) -> None:
    puller = service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    token = registry.token(puller.login, "repository:scorer:pull,delete").json()["access_token"]
    digest = registry.ask("HEAD", "scorer/manifests/one", token).headers["docker-content-digest"]
    refused = registry.ask("DELETE", f"scorer/manifests/{digest}", token)
    assert refused.status_code == 401
    assert registry.ask("HEAD", "scorer/manifests/one", token).status_code == 200


def test_acr_delete_alone_deletes_but_does_not_pull(registry: LocalRegistry) -> None:
    push_image(registry, "deletable")
    puller, deleter = service_principal(registry.cloud), service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    registry.grant(deleter, registries.DELETE)
    read = registry.token(puller.login, "repository:deletable:pull").json()["access_token"]
    digest = registry.ask("HEAD", "deletable/manifests/one", read).headers["docker-content-digest"]
    token = registry.token(deleter.login, "repository:deletable:pull,delete").json()["access_token"]
    assert registry.ask("HEAD", "deletable/manifests/one", token).status_code == 401
    assert registry.ask("DELETE", f"deletable/manifests/{digest}", token).status_code == 202
    assert registry.ask("HEAD", "deletable/manifests/one", read).status_code == 404


def test_principal_without_a_role_cannot_pull(registry: LocalRegistry) -> None:
    pulled, told = _pull(registry, service_principal(registry.cloud).login)
    assert not pulled
    assert "denied" in told or "unauthorized" in told


def test_a_role_taken_away_ends_pulling(registry: LocalRegistry) -> None:
    puller = service_principal(registry.cloud)
    assignment = registry.grant(puller, registries.PULL)
    assert _pull(registry, puller.login)[0]
    registry.cloud.finish(registry.cloud.ask("DELETE", assignment))
    assert not _pull(registry, puller.login)[0]


def test_a_wrong_password_cannot_log_in(registry: LocalRegistry) -> None:
    puller = service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    with docker() as client:
        done = client.login(registry.login_server, (puller.app_id, "wrong"))
    assert done.returncode != 0
    assert "unauthorized" in done.stderr
    assert registry.token((puller.app_id, "wrong"), "repository:scorer:pull").status_code == 401


def test_the_owner_pushes_with_the_secret_of_its_application(registry: LocalRegistry) -> None:
    environment = registry.cloud.environment
    assert _push(registry, (environment["ARM_CLIENT_ID"], environment["ARM_CLIENT_SECRET"]), "owned:one")[0]


def test_an_entra_token_becomes_a_docker_login(registry: LocalRegistry) -> None:
    puller = service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    exchange = registry.realm.replace("/oauth2/token", "/oauth2/exchange")
    form = {"grant_type": "access_token", "service": registry.login_server}
    entra = registry.cloud.token("https://containerregistry.azure.net", *puller.login)
    refresh = httpx.post(exchange, data={**form, "access_token": entra}, trust_env=False).json()["refresh_token"]
    assert _pull(registry, (registries.TOKEN_USER, refresh))[0]
    assert not _push(registry, (registries.TOKEN_USER, refresh), "scorer:three")[0]
    form = {"grant_type": "refresh_token", "service": registry.login_server, "scope": "repository:scorer:pull"}
    token = httpx.post(registry.realm, data={**form, "refresh_token": refresh}, trust_env=False).json()["access_token"]
    assert registry.ask("HEAD", "scorer/manifests/one", token).status_code == 200


def test_an_entra_token_for_somebody_else_is_refused(registry: LocalRegistry) -> None:
    exchange = registry.realm.replace("/oauth2/token", "/oauth2/exchange")
    form = {
        "grant_type": "access_token",
        "service": registry.login_server,
        "access_token": registry.cloud.token(registries.GRAPH),
    }
    assert httpx.post(exchange, data=form, trust_env=False).status_code == 401


def test_a_refresh_token_is_worthless_in_another_registry(registry: LocalRegistry) -> None:
    with registry_in_group(registry.cloud) as other:
        exchange = other.realm.replace("/oauth2/token", "/oauth2/exchange")
        form = {"grant_type": "access_token", "service": other.login_server, "access_token": registry.cloud.token()}
        refresh = httpx.post(exchange, data=form, trust_env=False).json()["refresh_token"]
        assert other.token((registries.TOKEN_USER, refresh)).status_code == 200
        assert registry.token((registries.TOKEN_USER, refresh)).status_code == 401


def test_nobody_pulls_anonymously_until_it_is_allowed(azure: Cloud) -> None:
    with registry_in_group(azure) as registry:
        push_image(registry)
        assert not _pull(registry, None)[0]
        registry.change(anonymousPullEnabled=True)
        assert _pull(registry, None)[0]
        assert not _push(registry, None, "scorer:two")[0]


def test_in_abac_mode_only_repository_roles_count(azure: Cloud) -> None:
    with registry_in_group(azure, roleAssignmentMode="AbacRepositoryPermissions") as registry:
        writer, reader, puller = (service_principal(azure) for _ in range(3))
        registry.grant(writer, registries.REPOSITORY_WRITER)
        registry.grant(reader, registries.REPOSITORY_READER)
        registry.grant(puller, registries.PULL)
        assert _push(registry, writer.login, "scorer:one")[0]
        assert _pull(registry, reader.login)[0]
        assert not _push(registry, reader.login, "scorer:two")[0]
        assert not _pull(registry, puller.login)[0]
        owner = azure.environment["ARM_CLIENT_ID"], azure.environment["ARM_CLIENT_SECRET"]
        assert not _pull(registry, owner)[0]


def test_the_admin_user_does_everything_while_it_is_enabled(azure: Cloud) -> None:
    with registry_in_group(azure, adminUserEnabled=True) as registry:
        told = registry.post("listCredentials").json()
        login = told["username"], told["passwords"][0]["value"]
        assert _push(registry, login, "scorer:one")[0]
        assert _pull(registry, login)[0]
        registry.post("regenerateCredential", {"name": "password"})
        assert registry.token(login).status_code == 401
        second = told["username"], told["passwords"][1]["value"]
        assert registry.token(second).status_code == 200
        registry.change(adminUserEnabled=False)
        assert registry.token(second).status_code == 401


def test_with_public_access_disabled_nobody_comes_in_from_outside(azure: Cloud) -> None:
    with registry_in_group(azure, sku="Premium") as registry:
        puller = service_principal(azure)
        registry.grant(puller, registries.PULL)
        assert registry.token(puller.login).status_code == 200
        registry.change(publicNetworkAccess="Disabled")
        refused = registry.token(puller.login)
        assert refused.status_code == 403
        assert "aka.ms/acr/firewall" in refused.json()["errors"][0]["message"]


def test_no_secret_stands_in_the_state(registry: LocalRegistry) -> None:
    puller = service_principal(registry.cloud)
    registry.grant(puller, registries.PULL)
    _pull(registry, puller.login)
    for file in registry.cloud.folder.rglob("*"):
        if file.is_file() and "data" not in file.parts:
            assert puller.secret.encode() not in file.read_bytes(), file
