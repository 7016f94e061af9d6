"""The local Azure refuses what Azure refuses, and answers as Azure answers: rules that all types share, and options."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulator.core import api_versions, tags
from emulator.core.azure import Request, Response
from emulator.core.errors import AzureError
from emulator.core.options import Options, read
from emulator.core.rbac import OWNER
from emulator.protocols.providers.azure_native import AzureNative
from emulator.services.authorization import types as authorization
from emulator.services.keyvault import data as keyvault
from emulator.services.machinelearningservices.onlineendpoints.access import pull_of
from tests.emulator.conftest import InProcessAzure, in_process
from tests.emulator.test_inputs import WELL
from tests.ml import (
    CONNECTION,
    ENDPOINT,
    ENVIRONMENT,
    PLACE,
    WORKSPACE,
    endpoint_body,
    make_workspace,
    on_kubernetes,
    workspace_body,
)

VAULT = "providers/Microsoft.KeyVault/vaults/kv-one"
STORAGE = "providers/Microsoft.Storage/storageAccounts/stone"
ACCOUNT = {**PLACE, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Any]:
    """A local Azure in this process with some options."""

    @contextmanager
    def start(**options: Any) -> Iterator[InProcessAzure]:  # noqa: ANN401 - an option's value
        with in_process(tmp_path / uuid.uuid4().hex, Options(**{"role_delay": 0, **options})) as local:
            yield local

    return start


def answer(local: InProcessAzure, method: str, path: str, body: Any = None, **query: str) -> Response:  # noqa: ANN401
    whole = path if path.startswith("/") else f"{local.group}/{path}"
    return local.azure.request(Request(method, whole, local.deployer, body or {}, query))


def vault(local: InProcessAzure, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    needed = {"tenantId": local.azure.tenant, "sku": {"family": "A", "name": "standard"}}
    return {**PLACE, "properties": {**needed, "enableRbacAuthorization": True, **properties}}


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "version", "code"),
    [
        (VAULT, "2024-01-01", "NoRegisteredProviderFound"),
        (f"{WORKSPACE}/onlineEndpoints", "2024-01-01", "NoRegisteredProviderFound"),
        ("", "2020-01-01", "InvalidApiVersionParameter"),
    ],
)
def test_an_api_version_that_the_type_does_not_have_is_refused(
    local: InProcessAzure, path: str, version: str, code: str
) -> None:
    with pytest.raises(AzureError, match=code) as refused:
        answer(local, "GET", path.rstrip("/") or local.group, **{"api-version": version})
    assert refused.value.status == 400
    assert "2024-" in refused.value.message, "the versions that the type has are named"


def test_acr_tasks_have_versions_of_their_own() -> None:
    api_versions.check("Microsoft.ContainerRegistry/registries/scheduleRun", "2019-06-01-preview")
    with pytest.raises(AzureError):
        api_versions.check("Microsoft.ContainerRegistry/registries/scheduleRun", "2023-07-01")
    with pytest.raises(AzureError):
        api_versions.check("Microsoft.ContainerRegistry/registries", "2019-06-01-preview")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_nothing_lies_in_a_group_that_does_not_exist(local: InProcessAzure, method: str) -> None:
    path = f"/subscriptions/{local.azure.subscription}/resourceGroups/none/{STORAGE}"
    with pytest.raises(AzureError, match="ResourceGroupNotFound") as refused:
        answer(local, method, path, ACCOUNT)
    assert refused.value.status == 404


def _status_of_put(local: InProcessAzure, path: str, body: Any) -> int:  # noqa: ANN401 - JSON
    try:
        local.ask("PUT", path, body)
    except AzureError as error:
        return error.status
    return 200


@pytest.mark.parametrize("type_name", sorted(WELL))
def test_a_body_of_the_wrong_shape_is_400(local: InProcessAzure, type_name: str) -> None:
    path, body_of = WELL[type_name]
    body = body_of(local)
    path = path.format(subscription=local.azure.subscription)
    for name in body.get("properties") or {}:
        for wrong in (7, "text", ["a"], {"a": {"b": 1}}):
            changed = {**body, "properties": {**body["properties"], name: wrong}}
            assert _status_of_put(local, path, changed) < 500, (name, wrong)
            with suppress(AzureError):
                local.ask("DELETE", path)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"a/b": "x"}, "InvalidTagNameCharacters"),
        ({"azure-team": "x"}, "ReservedTagName"),
        ({"Microsoft": "x"}, "ReservedTagName"),
        ({"windows-x": "x"}, "ReservedTagName"),
        ({"a" * 513: "x"}, "InvalidTagName"),
        ({"a": "x" * 257}, "InvalidTagValue"),
        (["a"], "InvalidTag"),
    ],
)
def test_tags_follow_azures_limits(local: InProcessAzure, given: Any, code: str) -> None:  # noqa: ANN401 - JSON
    with pytest.raises(AzureError, match=code):
        local.ask("PUT", STORAGE, {**ACCOUNT, "tags": given})


def test_hidden_tags_may_hold_ids() -> None:
    tags.check({"hidden-link:/subscriptions/x": "Resource"})


def test_a_filter_that_a_list_does_not_know_is_an_error(local: InProcessAzure) -> None:
    with pytest.raises(AzureError, match="InvalidFilterInQueryString"):
        answer(local, "GET", "providers/Microsoft.Storage/storageAccounts", **{"$filter": "name eq 'x'"})
    with pytest.raises(AzureError, match="UnsupportedQuery"):
        answer(local, "GET", "providers/Microsoft.Authorization/roleAssignments", **{"$filter": "role eq 'x'"})


# -- answers -----------------------------------------------------------------------------------------------------------


def test_lists_are_paged(configured: Callable[..., Any]) -> None:
    with configured(page_size=2) as local:
        for number in range(5):
            local.ask("PUT", f"providers/Microsoft.Storage/storageAccounts/stone{number}", ACCOUNT)
        collection = "providers/Microsoft.Storage/storageAccounts"
        page = answer(local, "GET", collection, **{"api-version": "2024-01-01"}).body or {}
        names = [each["name"] for each in page["value"]]
        while "nextLink" in page:
            path, _, query = page["nextLink"].removeprefix(local.azure.url).partition("?")
            parameters = dict(part.split("=") for part in query.replace("%24", "$").split("&"))
            page = answer(local, "GET", path, **parameters).body or {}
            assert len(page["value"]) <= 2
            names += [each["name"] for each in page["value"]]
        assert names == [f"stone{number}" for number in range(5)]
        top = answer(local, "GET", collection, **{"$top": "1", "$skip": "3"}).body or {}
        assert [each["name"] for each in top["value"]] == ["stone3"]


def test_an_id_is_read_in_any_letter_case(local: InProcessAzure) -> None:
    local.ask("PUT", STORAGE, ACCOUNT)
    assert local.ask("GET", f"{local.group}/{STORAGE}".upper())["id"] == f"{local.group}/{STORAGE}"


def test_ids_of_identities_come_back_in_azures_own_letter_case(local: InProcessAzure) -> None:
    user = f"{local.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
    local.ask("PUT", user, PLACE)
    identity = {"type": "UserAssigned", "userAssignedIdentities": {user: {}}}
    shown = local.ask("PUT", STORAGE, {**ACCOUNT, "identity": identity})["identity"]["userAssignedIdentities"]
    assert list(shown) == [user.replace("/resourceGroups/", "/resourcegroups/")]


def test_who_wrote_a_resource_is_shown(local: InProcessAzure) -> None:
    first = local.ask("PUT", WORKSPACE, workspace_body(local))["systemData"]
    assert (first["createdBy"], first["createdByType"]) == (local.deployer.app_id, "Application")
    other = local.service_principal()
    authorization.grant(local.azure, other.object_id, OWNER, local.azure.find(local.group).id)
    second = local.ask("PUT", WORKSPACE, workspace_body(local), who=other)["systemData"]
    assert (second["createdBy"], second["lastModifiedBy"]) == (local.deployer.app_id, other.app_id)
    assert second["createdAt"] == first["createdAt"]


def test_vaults_and_accounts_are_deleted_at_once(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local))
    local.ask("PUT", STORAGE, ACCOUNT)
    for path in (VAULT, STORAGE):
        assert [answer(local, "DELETE", path).status for _ in range(2)] == [200, 204]


def test_a_patch_of_a_workspace_is_accepted(local: InProcessAzure) -> None:
    make_workspace(local)
    patched = answer(local, "PATCH", WORKSPACE, {"tags": {"a": "b"}})
    assert patched.status == 202
    local.azure.wait(patched)


def test_asset_versions_show_empty_maps(local: InProcessAzure) -> None:
    make_workspace(local)
    uri = "azureml://datastores/workspaceblobstore/paths/model"
    shown = local.ask("PUT", f"{WORKSPACE}/models/wine/versions/1", {"properties": {"modelUri": uri}})["properties"]
    assert (shown["properties"], shown["tags"], shown["flavors"]) == ({}, {}, {})


# -- roles -------------------------------------------------------------------------------------------------------------


def _assignment(local: InProcessAzure, who: str, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    role = authorization.definition(local.azure, "acdd72a7-3385-48ef-bd42-f606fba81ae7")
    return {"properties": {"principalId": who, "roleDefinitionId": role, **properties}}


ASSIGNMENT = "providers/Microsoft.Authorization/roleAssignments/11111111-1111-1111-1111-111111111111"


def test_a_principal_type_that_does_not_fit_is_refused(local: InProcessAzure) -> None:
    body = _assignment(local, local.service_principal().object_id, principalType="User")
    with pytest.raises(AzureError, match="UnmatchedPrincipalType"):
        local.ask("PUT", ASSIGNMENT, body)


def test_a_new_role_holds_a_while_later(configured: Callable[..., Any]) -> None:
    with configured(role_delay=1.0) as local:
        reader = local.service_principal()
        local.ask("PUT", ASSIGNMENT, _assignment(local, reader.object_id, principalType="ServicePrincipal"))
        with pytest.raises(AzureError, match="AuthorizationFailed"):
            local.ask("GET", local.group, who=reader)
        end = time.monotonic() + 30
        while not local.azure.access.allows(reader, "x/read", local.azure.find(local.group).id):
            assert time.monotonic() < end
            time.sleep(0.1)


# -- soft delete -------------------------------------------------------------------------------------------------------


def test_a_deleted_vault_holds_its_name_until_it_is_purged(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local))
    local.ask("DELETE", VAULT)
    with pytest.raises(AzureError, match="ConflictError: A vault with the same name already exists in deleted"):
        local.ask("PUT", VAULT, vault(local))
    base = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.KeyVault"
    (listed,) = local.ask("GET", f"{base}/deletedVaults")["value"]
    assert listed["properties"]["vaultId"] == f"{local.group}/{VAULT}"
    deleted = f"{base}/locations/westeurope/deletedVaults/kv-one"
    assert local.ask("GET", deleted)["name"] == "kv-one"
    local.ask("POST", f"{deleted}/purge")
    local.ask("PUT", VAULT, vault(local))


def test_a_recovered_vault_has_its_secrets_again(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local))
    local.ask("PUT", f"{VAULT}/secrets/one", {"properties": {"value": "x"}})
    local.ask("DELETE", VAULT)
    local.ask("PUT", VAULT, vault(local, createMode="recover"))
    assert local.ask("GET", f"{VAULT}/secrets/one")["name"] == "one"


def test_a_vault_with_purge_protection_cannot_be_purged(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local, enablePurgeProtection=True))
    local.ask("DELETE", VAULT)
    base = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.KeyVault/locations/westeurope"
    with pytest.raises(AzureError, match="MethodNotAllowed"):
        local.ask("POST", f"{base}/deletedVaults/kv-one/purge")


def test_a_group_takes_its_vault_into_soft_deletion(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local))
    local.ask("DELETE", local.group)
    local.ask("PUT", local.group, PLACE)
    with pytest.raises(AzureError, match="ConflictError"):
        local.ask("PUT", VAULT, vault(local))


def test_a_deleted_workspace_holds_its_name_until_it_is_purged_or_recovered(local: InProcessAzure) -> None:
    first = make_workspace(local)
    local.ask("PUT", f"{ENVIRONMENT}/versions/1", {"properties": {"image": "registry.example/a:1"}})
    local.ask("DELETE", WORKSPACE)
    with pytest.raises(AzureError, match="ResourceNotFound"):
        local.ask("GET", WORKSPACE)
    subscription = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.MachineLearningServices/workspaces"
    (held,) = local.ask("GET", subscription)["value"]
    assert held["id"] == f"{local.group}/{WORKSPACE}"
    assert local.ask("GET", f"{local.group}/{WORKSPACE.rpartition('/')[0]}")["value"] == []
    body = workspace_body(local)
    with pytest.raises(AzureError, match="Soft-deleted workspace exists"):
        local.ask("PUT", WORKSPACE, body)
    recovering = {**body, "properties": {**body["properties"], "allowRecoverSoftDeletedWorkspace": "True"}}
    again = local.ask("PUT", WORKSPACE, recovering)
    assert again["properties"]["workspaceId"] == first["properties"]["workspaceId"]
    assert local.ask("GET", f"{ENVIRONMENT}/versions/1")["name"] == "1"
    local.azure.wait(answer(local, "DELETE", WORKSPACE, forceToPurge="true"))
    assert local.ask("PUT", WORKSPACE, body)["properties"]["workspaceId"] != first["properties"]["workspaceId"]


def test_a_deleted_workspace_can_be_purged_later(local: InProcessAzure) -> None:
    make_workspace(local)
    local.ask("DELETE", WORKSPACE)
    assert answer(local, "DELETE", WORKSPACE, forceToPurge="true").status == 204
    make_workspace(local)


def test_a_secret_that_the_data_plane_deleted_holds_its_name(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local))
    local.ask("PUT", f"{VAULT}/secrets/one", {"properties": {"value": "x"}})
    authorization.grant(local.azure, local.deployer.object_id, OFFICER, local.azure.find(f"{local.group}/{VAULT}").id)
    document = local.azure.find(f"{local.group}/{VAULT}")
    keyvault.delete_secret(local.azure, local.deployer, document, "one")
    with pytest.raises(AzureError, match="currently in a deleted but recoverable state"):
        local.ask("PUT", f"{VAULT}/secrets/one", {"properties": {"value": "y"}})


def test_the_provider_deletes_a_secret_through_the_vault_with_a_right_there(local: InProcessAzure) -> None:
    local.ask("PUT", VAULT, vault(local))
    local.ask("PUT", f"{VAULT}/secrets/one", {"properties": {"value": "x"}})
    with pytest.raises(AzureError, match="MethodNotAllowed"):
        local.ask("DELETE", f"{VAULT}/secrets/one")
    handler = AzureNative(local.azure, local.deployer).handlers["azure-native:keyvault:Secret"]
    secret = f"{local.group}/{VAULT}/secrets/one"
    with pytest.raises(AzureError, match="Forbidden"):
        handler.delete(secret, {})
    vault_id = local.azure.find(f"{local.group}/{VAULT}").id
    authorization.grant(local.azure, local.deployer.object_id, OFFICER, vault_id)
    handler.delete(secret, {})
    assert local.azure.store.get(local.azure.find(f"{local.group}/{VAULT}").id.child("secrets", "one")) is None


# -- pulls and environments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Managed", "Kubernetes"])
def test_an_endpoint_pulls_with_its_own_identity_alone(local: InProcessAzure, kind: str) -> None:
    on_kubernetes(local)
    registry = _registry(local)
    local.ask("PUT", f"{WORKSPACE}/connections/registry", {"properties": {**CONNECTION, "target": registry}})
    local.azure.store.put_fact("scoring-port", 0)
    compute = {"compute": f"{local.group}/{WORKSPACE}/computes/aks"} if kind == "Kubernetes" else {}
    local.ask("PUT", ENDPOINT, {**endpoint_body(**compute), "kind": kind})
    deployment = local.azure.find(f"{local.group}/{ENDPOINT}").id.child("deployments", "blue")
    assert "identity of endpoint 'score'" in pull_of(local.azure, deployment, f"{registry}/a:1").description


def _registry(local: InProcessAzure) -> str:
    path = "providers/Microsoft.ContainerRegistry/registries/shop1"
    made = local.ask("PUT", path, {**PLACE, "sku": {"name": "Basic"}})
    return str(made["properties"]["loginServer"])


def test_a_conda_file_comes_back_as_json_or_empty(configured: Callable[..., Any]) -> None:
    with configured(conda_answers="json") as local:
        make_workspace(local)
        conda = {"image": "a.example/b:1", "condaFile": "name: x\ndependencies:\n  - python=3.11\n"}
        shown = local.ask("PUT", f"{ENVIRONMENT}/versions/1", {"properties": conda})["properties"]
        assert shown["condaFile"] == '{"name": "x", "dependencies": ["python=3.11"]}'
        local.ask("PUT", f"{ENVIRONMENT}/versions/1", {"properties": conda})
        plain = local.ask("PUT", f"{ENVIRONMENT}/versions/2", {"properties": {"image": "a.example/b:1"}})
        assert plain["properties"]["condaFile"] == ""


# -- options -----------------------------------------------------------------------------------------------------------


def test_a_flag_beats_a_variable_and_a_wrong_value_is_one_line() -> None:
    variables = {"LOCAL_AZURE_ROLE_DELAY": "2", "LOCAL_AZURE_REGISTRY_TLS": "on"}
    assert read({"role_delay": "7"}, variables) == replace(Options(), role_delay=7.0, registry_tls="on")
    with pytest.raises(ValueError, match=r"LOCAL_AZURE_REGISTRY_TLS or --registry-tls is 'maybe': none of off, on"):
        read({"registry_tls": "maybe"}, {})
    with pytest.raises(ValueError, match="not a number"):
        read({}, {"LOCAL_AZURE_PAGE_SIZE": "many"})
