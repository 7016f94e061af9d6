"""Registries as ARM resources, and their servers' life; by the real SDK where that has it."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import (
    ImportImageParameters,
    ImportSource,
    Registry,
    RegistryProperties,
    RegistryPropertiesUpdateParameters,
    RegistryUpdateParameters,
    Sku,
)

from tests import registries
from tests.conftest import PATIENCE, ROOT, Cloud, local_azure
from tests.project import LocalAzure, until
from tests.registries import LocalRegistry, push_image, registry_in_group, service_principal


@pytest.fixture(scope="module")
def sdk(azure: Cloud) -> Iterator[ContainerRegistryManagementClient]:
    client = ContainerRegistryManagementClient(
        azure.credential(),
        azure.environment["ARM_SUBSCRIPTION_ID"],
        base_url=azure.url,
        credential_scopes=[f"{azure.url}/.default"],
        connection_verify=azure.environment["REQUESTS_CA_BUNDLE"],
    )
    with client:
        yield client


@pytest.fixture
def group(azure: Cloud) -> Iterator[str]:
    name = f"rg{uuid.uuid4().hex[:10]}"
    azure.put(f"resourceGroups/{name}", {"location": "westeurope"})
    yield name
    azure.finish(azure.ask("DELETE", f"resourceGroups/{name}"))


def _registry(sku: str = "Basic", **properties: Any) -> Registry:  # noqa: ANN401 - a model's fields
    return Registry(location="westeurope", sku=Sku(name=sku), properties=RegistryProperties(**properties))


def test_the_sdk_creates_changes_and_deletes_a_registry(sdk: ContainerRegistryManagementClient, group: str) -> None:
    name = f"registry{group}"
    made = sdk.registries.begin_create(group, name, _registry("Standard")).result()
    assert made.properties is not None
    assert made.properties.provisioning_state == "Succeeded"
    server = str(made.properties.login_server)
    assert httpx.get(f"http://{server}/v2/", trust_env=False).status_code == 401
    change = RegistryUpdateParameters(properties=RegistryPropertiesUpdateParameters(admin_user_enabled=True))
    changed = sdk.registries.begin_update(group, name, change).result().properties
    assert changed is not None
    assert (changed.admin_user_enabled, changed.login_server) == (True, server)
    assert [found.name for found in sdk.registries.list_by_resource_group(group)] == [name]
    told = sdk.registries.list_credentials(group, name)
    assert told.username == name
    assert {password.name for password in told.passwords or []} == {"password", "password2"}
    sdk.registries.begin_delete(group, name).result()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{server}/v2/", trust_env=False)


@pytest.mark.parametrize("name", ["with-a-dash", "four", "x" * 51, "dotted.name"])
def test_a_name_that_is_not_alphanumeric_is_refused_as_azure_words_it(azure: Cloud, group: str, name: str) -> None:
    path = f"resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{name}"
    refused = azure.ask("PUT", path, {"location": "westeurope", "sku": {"name": "Basic"}})
    assert refused.status_code == 400
    text = refused.json()["error"]["message"]
    assert "Resource names may contain alpha numeric characters only and must be between 5 and 50 characters." in text


@pytest.mark.parametrize(
    ("sku", "properties", "code"),
    [
        ("Classic", {}, "ClassicSkuDeprecated"),
        ("Gold", {}, "SkuNotSupported"),
        ("Basic", {"anonymousPullEnabled": True}, "BadRequest"),
        ("Standard", {"publicNetworkAccess": "Disabled"}, "DisablingPublicNetworkAccessNotSupported"),
        ("Basic", {"roleAssignmentMode": "Whatever"}, "InvalidRequestContent"),
    ],
)
def test_what_a_tier_does_not_have_is_refused(
    azure: Cloud, group: str, sku: str, properties: dict[str, Any], code: str
) -> None:
    path = f"resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/refused"
    body = {"location": "westeurope", "sku": {"name": sku}, "properties": properties}
    refused = azure.ask("PUT", path, body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)


def test_a_name_is_taken_in_all_of_azure(azure: Cloud, group: str) -> None:
    with registry_in_group(azure) as registry:
        name = registry.id.rsplit("/", 1)[1]
        path = f"resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{name}"
        refused = azure.ask("PUT", path, {"location": "westeurope", "sku": {"name": "Basic"}})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "AlreadyInUse")


def test_credentials_are_refused_while_the_admin_user_is_off(
    sdk: ContainerRegistryManagementClient, group: str
) -> None:
    name = f"registry{group}"
    sdk.registries.begin_create(group, name, _registry()).result()
    with pytest.raises(HttpResponseError, match="as admin user is disabled") as refused:
        sdk.registries.list_credentials(group, name)
    assert refused.value.status_code == 400


def test_an_image_is_imported_with_the_same_digest(sdk: ContainerRegistryManagementClient, azure: Cloud) -> None:
    with registry_in_group(azure) as source, registry_in_group(azure) as target:
        push_image(source)
        reader = service_principal(azure)
        for registry in (source, target):
            registry.grant(reader, registries.PULL)
        group, name = target.id.split("/")[4], target.id.split("/")[-1]
        told = ImportImageParameters(
            source=ImportSource(resource_id=source.id, source_image="scorer:one"), target_tags=["copy:two"]
        )
        sdk.registries.begin_import_image(group, name, told).result()
        digests = {
            registry.ask(
                "HEAD", path, registry.token(reader.login, f"repository:{path.split('/')[0]}:pull").json()["token"]
            ).headers["docker-content-digest"]
            for registry, path in ((source, "scorer/manifests/one"), (target, "copy/manifests/two"))
        }
        assert len(digests) == 1
        with pytest.raises(HttpResponseError, match="already exists"):
            sdk.registries.begin_import_image(group, name, told).result()


def test_images_and_the_address_survive_a_restart(tmp_path: Path) -> None:
    with local_azure(tmp_path / "state") as azure:
        registry = _open_one(azure)
        push_image(registry)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{registry.login_server}/v2/", trust_env=False)
    with local_azure(tmp_path / "state") as azure:
        again = LocalRegistry(azure, registry.id, azure.ask("GET", registry.id).json()["properties"]["loginServer"])
        assert again.login_server == registry.login_server
        owner = azure.environment["ARM_CLIENT_ID"], azure.environment["ARM_CLIENT_SECRET"]
        token = again.token(owner, "repository:scorer:pull").json()["token"]
        assert again.ask("HEAD", "scorer/manifests/one", token).status_code == 200


def test_a_killed_local_azure_comes_back_with_its_registry(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    running = _start(folder)
    try:
        cloud = Cloud(folder, _ready(folder, running))
        registry = _open_one(cloud)
        cloud.http.close()
    finally:
        running.kill()
        running.wait(PATIENCE)
    (folder / "ready.json").unlink()
    with local_azure(folder) as azure:
        assert azure.ask("GET", registry.id).json()["properties"]["provisioningState"] == "Succeeded"
        assert httpx.get(f"http://{registry.login_server}/v2/", trust_env=False).status_code == 401


def test_a_registry_that_was_being_made_when_the_local_azure_was_killed_is_made_by_the_next_put(tmp_path: Path) -> None:
    local = LocalAzure(tmp_path / "state").start()
    try:
        group = f"{local.cloud.subscription}/resourceGroups/rg"
        local.cloud.put(group, {"location": "westeurope"})
        type_ = "Microsoft.ContainerRegistry/registries"
        local.tell("fault", "hold", json.dumps({"write": f"{type_}#1", "when": "after"}))
        id_ = f"{group}/providers/{type_}/halfmade"
        body = {"location": "westeurope", "sku": {"name": "Basic"}}
        with ThreadPoolExecutor() as pool:
            sent = pool.submit(local.cloud.ask, "PUT", id_, body)
            until(lambda: "held" in local.tell("fault"), "the write")
            local.kill()
            assert isinstance(sent.exception(PATIENCE), httpx.HTTPError)
        local.start()
        local.tell("fault", "hold")
        assert local.cloud.ask("GET", id_).json()["properties"]["provisioningState"] == "Failed"
        made = local.cloud.put(id_, body)["properties"]
        assert made["provisioningState"] == "Succeeded"
        assert httpx.get(f"http://{made['loginServer']}/v2/", trust_env=False).status_code == 401
    finally:
        local.stop()


def test_a_server_that_was_left_behind_is_ended(tmp_path: Path) -> None:
    with local_azure(tmp_path / "state") as azure:
        registry = _open_one(azure)
    folder = tmp_path / "state" / "registries" / "solitary"
    left = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], cwd=folder)
    (folder / "pid").write_text(str(left.pid))
    try:
        _until_it_answers(registry.login_server)
        with local_azure(tmp_path / "state") as azure:
            assert left.wait(PATIENCE) is not None
            assert azure.ask("GET", registry.id).is_success
            assert httpx.get(f"http://{registry.login_server}/v2/", trust_env=False).status_code == 401
    finally:
        left.kill()
        left.wait()


def test_a_stranger_on_a_registrys_port_does_not_keep_the_rest_from_coming_back(tmp_path: Path) -> None:
    with local_azure(tmp_path / "state") as azure:
        registry = _open_one(azure)
    port = int(registry.login_server.rpartition(":")[2])
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        with local_azure(tmp_path / "state") as azure:
            assert azure.ask("GET", registry.id).is_success
            assert f"port {port} is in use" in (tmp_path / "state" / "emulator.log").read_text()


def _open_one(cloud: Cloud) -> LocalRegistry:
    cloud.put("resourceGroups/solitary", {"location": "westeurope"})
    path = f"{cloud.subscription}/resourceGroups/solitary/providers/Microsoft.ContainerRegistry/registries/solitary"
    made = cloud.put(path, {"location": "westeurope", "sku": {"name": "Basic"}})
    return LocalRegistry(cloud, path, made["properties"]["loginServer"])


def _start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    command = [sys.executable, "-m", "emulator", "serve", "--state", str(folder), "--port=0", "--scoring-port=0"]
    return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ))


def _ready(folder: Path, running: subprocess.Popen[bytes]) -> dict[str, str]:
    end = time.monotonic() + PATIENCE
    while not (folder / "ready.json").exists():
        assert running.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    found: dict[str, str] = json.loads((folder / "ready.json").read_text())["environment"]
    return found


def _until_it_answers(server: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            httpx.get(f"http://{server}/v2/", trust_env=False)
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(server)
