"""Workspaces and their connections."""

from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from emulator.services.graph import data as graph
from tests.emulator.conftest import Inner
from tests.ml import CONNECTION, WORKSPACE, make_workspace, workspace_body


def test_a_workspace_gets_its_uris_and_an_identity_of_its_own(inner: Inner) -> None:
    made = make_workspace(inner)
    given = made["properties"]
    assert given["mlFlowTrackingUri"].startswith("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/")
    assert given["discoveryUrl"] == "https://westeurope.api.azureml.ms/discovery"
    assert given["publicNetworkAccess"] == "Enabled"
    assert given["provisioningState"] == "Succeeded"
    assert graph.find_principal(inner.azure, made["identity"]["principalId"]) is not None
    again = inner.ask("PUT", WORKSPACE, {**workspace_body(inner), "tags": {"a": "b"}})
    assert again["properties"]["workspaceId"] == given["workspaceId"]
    assert again["identity"]["principalId"] == made["identity"]["principalId"]


def test_a_workspaces_principal_goes_with_it(inner: Inner) -> None:
    made = make_workspace(inner)
    inner.ask("DELETE", WORKSPACE)
    assert graph.find_principal(inner.azure, made["identity"]["principalId"]) is None


@pytest.mark.parametrize("name", ["storageAccount", "keyVault", "applicationInsights"])
def test_a_workspace_without_what_it_depends_on_is_refused_in_azures_words(inner: Inner, name: str) -> None:
    body = workspace_body(inner)
    del body["properties"][name]
    with pytest.raises(AzureError, match=r"^ValidationError: Missing dependent resources in workspace json$"):
        inner.ask("PUT", WORKSPACE, body)


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
def test_a_wrong_workspace_is_refused_by_the_fields_name(inner: Inner, change: dict[str, str], said: str) -> None:
    body = workspace_body(inner)
    body["properties"].update({name: text.format(group=inner.group) for name, text in change.items()})
    with pytest.raises(AzureError, match=said):
        inner.ask("PUT", WORKSPACE, body)


def test_a_workspace_without_an_identity_is_refused(inner: Inner) -> None:
    body = workspace_body(inner)
    del body["identity"]
    with pytest.raises(AzureError, match="lacks 'identity'"):
        inner.ask("PUT", WORKSPACE, body)


def test_a_workspaces_storage_cannot_be_changed(inner: Inner) -> None:
    make_workspace(inner)
    other = "providers/Microsoft.Storage/storageAccounts/stother"
    inner.ask("PUT", other, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    body = workspace_body(inner)
    body["properties"]["storageAccount"] = f"{inner.group}/{other}"
    with pytest.raises(AzureError, match="Changing 'storageAccount' of workspace 'ml-test'"):
        inner.ask("PUT", WORKSPACE, body)


def test_a_workspaces_keys_are_told_by_an_action_only(inner: Inner) -> None:
    made = make_workspace(inner)
    keys = inner.ask("POST", f"{WORKSPACE}/listKeys")
    assert keys["userStorageKey"]
    assert keys["userStorageKey"] not in str(made)


def test_a_connections_password_is_written_and_never_shown(inner: Inner) -> None:
    make_workspace(inner)
    made = inner.ask("PUT", f"{WORKSPACE}/connections/registry", {"properties": CONNECTION})
    assert made["properties"]["target"] == "shop.azurecr.io"
    seen = inner.ask("GET", f"{WORKSPACE}/connections/registry")
    listed = inner.azure.request(Request("GET", f"{inner.group}/{WORKSPACE}/connections", inner.deployer)).body
    patched = inner.ask("PATCH", f"{WORKSPACE}/connections/registry", {"properties": {"metadata": {"a": "b"}}})
    for shown in (made, seen, listed, patched):
        assert "pass-word" not in str(shown)
    told = inner.ask("POST", f"{WORKSPACE}/connections/registry/listsecrets")
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
def test_a_wrong_connection_is_refused_by_the_fields_name(inner: Inner, change: dict[str, Any], said: str) -> None:
    make_workspace(inner)
    with pytest.raises(AzureError, match=said) as refused:
        inner.ask("PUT", f"{WORKSPACE}/connections/registry", {"properties": {**CONNECTION, **change}})
    assert "pass-word" not in str(refused.value)
