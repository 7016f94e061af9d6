"""Workspaces and their connections."""

from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from emulator.services.graph import data as graph
from tests.emulator.conftest import InProcessAzure
from tests.ml import CONNECTION, WORKSPACE, make_workspace, workspace_body


def test_a_workspace_gets_its_uris_and_an_identity_of_its_own(local: InProcessAzure) -> None:
    made = make_workspace(local)
    given = made["properties"]
    assert given["mlFlowTrackingUri"].startswith("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/")
    assert given["discoveryUrl"] == f"{local.azure.url}/discovery/workspaces/{given['workspaceId']}"
    assert given["publicNetworkAccess"] == "Enabled"
    assert given["provisioningState"] == "Succeeded"
    assert graph.find_principal(local.azure, made["identity"]["principalId"]) is not None
    again = local.ask("PUT", WORKSPACE, {**workspace_body(local), "tags": {"a": "b"}})
    assert again["properties"]["workspaceId"] == given["workspaceId"]
    assert again["identity"]["principalId"] == made["identity"]["principalId"]


def test_a_workspaces_principal_goes_with_it(local: InProcessAzure) -> None:
    made = make_workspace(local)
    local.ask("DELETE", WORKSPACE)
    assert graph.find_principal(local.azure, made["identity"]["principalId"]) is None


@pytest.mark.parametrize("name", ["storageAccount", "keyVault", "applicationInsights"])
def test_a_workspace_without_what_it_depends_on_is_refused_in_azures_words(local: InProcessAzure, name: str) -> None:
    body = workspace_body(local)
    del body["properties"][name]
    with pytest.raises(AzureError, match=r"^ValidationError: Missing dependent resources in workspace json$"):
        local.ask("PUT", WORKSPACE, body)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"storageAccount": "{group}/providers/Microsoft.Storage/storageAccounts/none"},
            "existing resource of type Microsoft.Storage",
        ),
        (
            {"storageAccount": "{group}/providers/Microsoft.KeyVault/vaults/kvtest"},
            "existing resource of type Microsoft.Storage",
        ),
        ({"containerRegistry": "shop.azurecr.io"}, "'containerRegistry' of the workspace is 'shop.azurecr.io', which"),
        ({"publicNetworkAccess": "enabled?"}, "neither 'Enabled' nor 'Disabled'"),
    ],
)
def test_a_wrong_workspace_is_refused_by_the_fields_name(
    local: InProcessAzure, change: dict[str, str], said: str
) -> None:
    body = workspace_body(local)
    body["properties"].update({name: text.format(group=local.group) for name, text in change.items()})
    with pytest.raises(AzureError, match=said):
        local.ask("PUT", WORKSPACE, body)


def test_a_workspace_without_an_identity_is_refused(local: InProcessAzure) -> None:
    body = workspace_body(local)
    del body["identity"]
    with pytest.raises(AzureError, match="lacks 'identity'"):
        local.ask("PUT", WORKSPACE, body)


def test_a_workspaces_storage_cannot_be_changed(local: InProcessAzure) -> None:
    make_workspace(local)
    other = "providers/Microsoft.Storage/storageAccounts/stother"
    local.ask("PUT", other, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    body = workspace_body(local)
    body["properties"]["storageAccount"] = f"{local.group}/{other}"
    with pytest.raises(AzureError, match="Changing 'storageAccount' of workspace 'ml-test'"):
        local.ask("PUT", WORKSPACE, body)


def test_a_workspaces_keys_are_told_by_an_action_only(local: InProcessAzure) -> None:
    made = make_workspace(local)
    keys = local.ask("POST", f"{WORKSPACE}/listKeys")
    assert keys["userStorageKey"]
    assert keys["userStorageKey"] not in str(made)


def test_a_connections_password_is_written_and_never_shown(local: InProcessAzure) -> None:
    make_workspace(local)
    made = local.ask("PUT", f"{WORKSPACE}/connections/registry", {"properties": CONNECTION})
    assert made["properties"]["target"] == "shop.azurecr.io"
    seen = local.ask("GET", f"{WORKSPACE}/connections/registry")
    listed = local.azure.request(Request("GET", f"{local.group}/{WORKSPACE}/connections", local.deployer)).body
    patched = local.ask("PATCH", f"{WORKSPACE}/connections/registry", {"properties": {"metadata": {"a": "b"}}})
    for shown in (made, seen, listed, patched):
        assert "pass-word" not in str(shown)
    told = local.ask("POST", f"{WORKSPACE}/connections/registry/listsecrets")
    assert told["properties"]["credentials"] == CONNECTION["credentials"]
    assert told["properties"]["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category": "Registry"}, "category 'Registry' is none of"),
        ({"authType": "Key"}, "authType 'Key' is none of"),
        ({"target": None}, "lacks 'target'"),
        ({"credentials": {"username": "u"}}, r"lacks 'credentials\.password'"),
        ({"authType": "ManagedIdentity"}, r"lacks 'credentials\.clientId'"),
    ],
)
def test_a_wrong_connection_is_refused_by_the_fields_name(
    local: InProcessAzure, change: dict[str, Any], said: str
) -> None:
    make_workspace(local)
    with pytest.raises(AzureError, match=said) as refused:
        local.ask("PUT", f"{WORKSPACE}/connections/registry", {"properties": {**CONNECTION, **change}})
    assert "pass-word" not in str(refused.value)
