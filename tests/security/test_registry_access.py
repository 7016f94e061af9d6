"""What a real docker client may do in a registry with which credentials."""

from collections.abc import Iterator

import httpx
import pytest

from tests import registries
from tests.conftest import Cloud
from tests.registries import Shop, docker, opened, somebody, stock


@pytest.fixture(scope="module")
def shop(azure: Cloud) -> Iterator[Shop]:
    with opened(azure) as found:
        stock(found)
        yield found


def _pull(shop: Shop, login: tuple[str, str] | None, repository: str = "shelf", tag: str = "one") -> tuple[bool, str]:
    """Try a pull; whether it worked, and what docker said."""
    name = f"{shop.login_server}/{repository}:{tag}"
    with docker(shop.login_server, login) as client:
        done = client.run("pull", name)
        if done.returncode == 0:
            client.run("rmi", name)
        return done.returncode == 0, done.stderr


def _push(shop: Shop, login: tuple[str, str] | None, name: str) -> tuple[bool, str]:
    with docker(shop.login_server, login) as client:
        client.good("tag", registries.BASE, f"{shop.login_server}/{name}")
        done = client.run("push", f"{shop.login_server}/{name}")
        client.run("rmi", f"{shop.login_server}/{name}")
        return done.returncode == 0, done.stderr


def test_principal_with_acr_pull_can_pull_but_not_push(shop: Shop) -> None:
    puller = somebody(shop.cloud)
    shop.grant(puller, registries.PULL)
    assert _pull(shop, puller.login) == (True, "")
    pushed, told = _push(shop, puller.login, "shelf:two")
    assert not pushed
    assert "denied" in told or "unauthorized" in told


def test_principal_with_acr_pull_cannot_delete(shop: Shop) -> None:
    puller = somebody(shop.cloud)
    shop.grant(puller, registries.PULL)
    token = shop.token(puller.login, "repository:shelf:pull,delete").json()["access_token"]
    digest = shop.ask("HEAD", "shelf/manifests/one", token).headers["docker-content-digest"]
    refused = shop.ask("DELETE", f"shelf/manifests/{digest}", token)
    assert refused.status_code == 401
    assert shop.ask("HEAD", "shelf/manifests/one", token).status_code == 200


def test_acr_delete_alone_deletes_but_does_not_pull(shop: Shop) -> None:
    stock(shop, "deletable")
    puller, deleter = somebody(shop.cloud), somebody(shop.cloud)
    shop.grant(puller, registries.PULL)
    shop.grant(deleter, registries.DELETE)
    read = shop.token(puller.login, "repository:deletable:pull").json()["access_token"]
    digest = shop.ask("HEAD", "deletable/manifests/one", read).headers["docker-content-digest"]
    token = shop.token(deleter.login, "repository:deletable:pull,delete").json()["access_token"]
    assert shop.ask("HEAD", "deletable/manifests/one", token).status_code == 401
    assert shop.ask("DELETE", f"deletable/manifests/{digest}", token).status_code == 202
    assert shop.ask("HEAD", "deletable/manifests/one", read).status_code == 404


def test_principal_without_a_role_cannot_pull(shop: Shop) -> None:
    pulled, told = _pull(shop, somebody(shop.cloud).login)
    assert not pulled
    assert "denied" in told or "unauthorized" in told


def test_a_role_taken_away_ends_pulling(shop: Shop) -> None:
    puller = somebody(shop.cloud)
    assignment = shop.grant(puller, registries.PULL)
    assert _pull(shop, puller.login)[0]
    shop.cloud.finish(shop.cloud.ask("DELETE", assignment))
    assert not _pull(shop, puller.login)[0]


def test_a_wrong_password_cannot_log_in(shop: Shop) -> None:
    puller = somebody(shop.cloud)
    shop.grant(puller, registries.PULL)
    with docker() as client:
        done = client.login(shop.login_server, (puller.app_id, "wrong"))
    assert done.returncode != 0
    assert "unauthorized" in done.stderr
    assert shop.token((puller.app_id, "wrong"), "repository:shelf:pull").status_code == 401


def test_the_owner_pushes_with_the_secret_of_its_application(shop: Shop) -> None:
    environment = shop.cloud.environment
    assert _push(shop, (environment["ARM_CLIENT_ID"], environment["ARM_CLIENT_SECRET"]), "owned:one")[0]


def test_an_entra_token_becomes_a_docker_login(shop: Shop) -> None:
    puller = somebody(shop.cloud)
    shop.grant(puller, registries.PULL)
    exchange = shop.realm.replace("/oauth2/token", "/oauth2/exchange")
    form = {"grant_type": "access_token", "service": shop.login_server}
    entra = shop.cloud.token("https://containerregistry.azure.net", *puller.login)
    refresh = httpx.post(exchange, data={**form, "access_token": entra}, trust_env=False).json()["refresh_token"]
    assert _pull(shop, (registries.TOKEN_USER, refresh))[0]
    assert not _push(shop, (registries.TOKEN_USER, refresh), "shelf:three")[0]
    form = {"grant_type": "refresh_token", "service": shop.login_server, "scope": "repository:shelf:pull"}
    token = httpx.post(shop.realm, data={**form, "refresh_token": refresh}, trust_env=False).json()["access_token"]
    assert shop.ask("HEAD", "shelf/manifests/one", token).status_code == 200


def test_an_entra_token_for_somebody_else_is_refused(shop: Shop) -> None:
    exchange = shop.realm.replace("/oauth2/token", "/oauth2/exchange")
    form = {
        "grant_type": "access_token",
        "service": shop.login_server,
        "access_token": shop.cloud.token(registries.GRAPH),
    }
    assert httpx.post(exchange, data=form, trust_env=False).status_code == 401


def test_a_refresh_token_is_worthless_in_another_registry(shop: Shop) -> None:
    with opened(shop.cloud) as other:
        exchange = other.realm.replace("/oauth2/token", "/oauth2/exchange")
        form = {"grant_type": "access_token", "service": other.login_server, "access_token": shop.cloud.token()}
        refresh = httpx.post(exchange, data=form, trust_env=False).json()["refresh_token"]
        assert other.token((registries.TOKEN_USER, refresh)).status_code == 200
        assert shop.token((registries.TOKEN_USER, refresh)).status_code == 401


def test_nobody_pulls_anonymously_until_it_is_allowed(azure: Cloud) -> None:
    with opened(azure) as shop:
        stock(shop)
        assert not _pull(shop, None)[0]
        shop.change(anonymousPullEnabled=True)
        assert _pull(shop, None)[0]
        assert not _push(shop, None, "shelf:two")[0]


def test_in_abac_mode_only_repository_roles_count(azure: Cloud) -> None:
    with opened(azure, roleAssignmentMode="AbacRepositoryPermissions") as shop:
        writer, reader, puller = (somebody(azure) for _ in range(3))
        shop.grant(writer, registries.REPOSITORY_WRITER)
        shop.grant(reader, registries.REPOSITORY_READER)
        shop.grant(puller, registries.PULL)
        assert _push(shop, writer.login, "shelf:one")[0]
        assert _pull(shop, reader.login)[0]
        assert not _push(shop, reader.login, "shelf:two")[0]
        assert not _pull(shop, puller.login)[0]
        owner = azure.environment["ARM_CLIENT_ID"], azure.environment["ARM_CLIENT_SECRET"]
        assert not _pull(shop, owner)[0]


def test_the_admin_user_does_everything_while_it_is_enabled(azure: Cloud) -> None:
    with opened(azure, adminUserEnabled=True) as shop:
        told = shop.post("listCredentials").json()
        login = told["username"], told["passwords"][0]["value"]
        assert _push(shop, login, "shelf:one")[0]
        assert _pull(shop, login)[0]
        shop.post("regenerateCredential", {"name": "password"})
        assert shop.token(login).status_code == 401
        second = told["username"], told["passwords"][1]["value"]
        assert shop.token(second).status_code == 200
        shop.change(adminUserEnabled=False)
        assert shop.token(second).status_code == 401


def test_with_public_access_disabled_nobody_comes_in_from_outside(azure: Cloud) -> None:
    with opened(azure, sku="Premium") as shop:
        puller = somebody(azure)
        shop.grant(puller, registries.PULL)
        assert shop.token(puller.login).status_code == 200
        shop.change(publicNetworkAccess="Disabled")
        refused = shop.token(puller.login)
        assert refused.status_code == 403
        assert "aka.ms/acr/firewall" in refused.json()["errors"][0]["message"]


def test_no_secret_stands_in_the_state(shop: Shop) -> None:
    puller = somebody(shop.cloud)
    shop.grant(puller, registries.PULL)
    _pull(shop, puller.login)
    for file in shop.cloud.folder.rglob("*"):
        if file.is_file() and "data" not in file.parts:
            assert puller.secret.encode() not in file.read_bytes(), file
