"""Storage accounts, Log Analytics, Application Insights, managed identities: what a workspace needs around it."""

from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from emulator.services.graph import data as graph
from tests.emulator.conftest import InProcessAzure

STORAGE = "providers/Microsoft.Storage/storageAccounts"
LOGS = "providers/Microsoft.OperationalInsights/workspaces/logs-test"
INSIGHTS = "providers/Microsoft.Insights/components/insights-test"
USER = "providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}


def test_a_storage_account_gets_endpoints_and_two_keys_that_can_be_renewed(local: InProcessAzure) -> None:
    made = local.ask("PUT", f"{STORAGE}/sttest", ACCOUNT)
    assert made["properties"]["primaryEndpoints"]["blob"] == f"{local.azure.url}/storage/sttest/"
    keys = local.ask("POST", f"{STORAGE}/sttest/listKeys")["keys"]
    assert [key["keyName"] for key in keys] == ["key1", "key2"]
    assert keys[0]["value"] not in str(made)
    renewed = local.ask("POST", f"{STORAGE}/sttest/regenerateKey", {"keyName": "key1"})["keys"]
    assert renewed[0]["value"] != keys[0]["value"]
    assert renewed[1]["value"] == keys[1]["value"]


def test_an_update_of_a_storage_account_answers_the_finished_account(local: InProcessAzure) -> None:
    local.ask("PUT", f"{STORAGE}/sttest", ACCOUNT)
    body = {**ACCOUNT, "tags": {"team": "search"}}
    updated = local.azure.request(Request("PUT", f"{local.group}/{STORAGE}/sttest", local.deployer, body))
    assert updated.body is not None
    assert (updated.status, updated.body["properties"]["provisioningState"]) == (200, "Succeeded")


@pytest.mark.parametrize("name", ["st", "st-test", "StTest", "s" * 25])
def test_a_storage_accounts_name_follows_azures_rule(local: InProcessAzure, name: str) -> None:
    with pytest.raises(AzureError, match=f"AccountNameInvalid: {name} is not a valid storage account name"):
        local.ask("PUT", f"{STORAGE}/{name}", ACCOUNT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sku": {"name": "Cheap"}}, "'Cheap' of 'sku.name'"),
        ({"kind": "Box"}, "'Box' of 'kind'"),
        ({"sku": None}, "sku property is required"),
        ({"location": None}, "LocationRequired"),
        ({"properties": {"minimumTlsVersion": "TLS9"}}, "minimumTlsVersion"),
    ],
)
def test_a_wrong_storage_account_is_refused_by_the_fields_name(
    local: InProcessAzure, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(AzureError, match=said):
        local.ask("PUT", f"{STORAGE}/sttest", {**ACCOUNT, **change})


def test_insights_need_a_log_workspace_that_exists(local: InProcessAzure) -> None:
    body: dict[str, Any] = {
        "location": "westeurope",
        "kind": "web",
        "properties": {"Application_Type": "web", "WorkspaceResourceId": f"{local.group}/{LOGS}"},
    }
    with pytest.raises(AzureError, match="must name a Log Analytics workspace that exists"):
        local.ask("PUT", INSIGHTS, body)
    local.ask("PUT", LOGS, {"location": "westeurope", "properties": {"sku": {"name": "PerGB2018"}}})
    made = local.ask("PUT", INSIGHTS, body)["properties"]
    assert made["ConnectionString"].startswith(
        f"InstrumentationKey={made['InstrumentationKey']};IngestionEndpoint=https://"
    )
    assert local.ask("PUT", INSIGHTS, body)["properties"]["InstrumentationKey"] == made["InstrumentationKey"]


def test_a_log_workspaces_keys_are_told_by_an_action_only(local: InProcessAzure) -> None:
    made = local.ask("PUT", LOGS, {"location": "westeurope", "properties": {"retentionInDays": 30}})
    key = local.ask("POST", f"{LOGS}/sharedKeys")["primarySharedKey"]
    assert key
    assert key not in str(made)
    with pytest.raises(AzureError, match=r"'7' of 'properties.retentionInDays'"):
        local.ask("PUT", LOGS, {"location": "westeurope", "properties": {"retentionInDays": 7}})


def test_a_user_assigned_identity_keeps_its_principal_until_it_is_deleted(local: InProcessAzure) -> None:
    made = local.ask("PUT", USER, {"location": "westeurope"})["properties"]
    again = local.ask("PUT", USER, {"location": "westeurope", "tags": {"a": "b"}})["properties"]
    assert made == again
    found = graph.find_principal(local.azure, made["principalId"])
    assert found is not None
    assert found.app_id == made["clientId"]
    local.ask("DELETE", USER)
    assert graph.find_principal(local.azure, made["principalId"]) is None


def test_an_identity_of_ones_own_comes_stays_and_goes_with_the_resource(local: InProcessAzure) -> None:
    body = {**ACCOUNT, "identity": {"type": "SystemAssigned"}}
    first = local.ask("PUT", f"{STORAGE}/sttest", body)["identity"]
    assert first["tenantId"] == local.azure.tenant
    assert local.ask("PUT", f"{STORAGE}/sttest", body)["identity"] == first
    local.ask("DELETE", f"{STORAGE}/sttest")
    assert graph.find_principal(local.azure, first["principalId"]) is None


def test_a_resource_shows_the_principal_of_the_identity_it_was_given(local: InProcessAzure) -> None:
    user = local.ask("PUT", USER, {"location": "westeurope"})["properties"]
    wanted = {"type": "UserAssigned", "userAssignedIdentities": {f"{local.group}/{USER}": {}}}
    local.ask("PUT", f"{STORAGE}/sttest", {**ACCOUNT, "identity": wanted})
    shown = local.ask("GET", f"{STORAGE}/sttest")["identity"]["userAssignedIdentities"]
    assert [each["principalId"] for each in shown.values()] == [user["principalId"]]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"type": "Borrowed"}, "InvalidIdentityType"),
        ({"type": "UserAssigned"}, "LinkedInvalidPropertyId"),
        (
            {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/s/resourceGroups/x": {}}},
            "FailedIdentity",
        ),
    ],
)
def test_a_wrong_identity_is_refused(local: InProcessAzure, wanted: dict[str, Any], code: str) -> None:
    with pytest.raises(AzureError, match=code):
        local.ask("PUT", f"{STORAGE}/sttest", {**ACCOUNT, "identity": wanted})


@pytest.mark.parametrize("name", ["rg.", "r" * 91, "r g", "r!"])
def test_a_groups_name_follows_azures_rule(local: InProcessAzure, name: str) -> None:
    with pytest.raises(AzureError, match="InvalidResourceGroup"):
        local.ask("PUT", f"/subscriptions/{local.azure.subscription}/resourceGroups/{name}", {"location": "westeurope"})


def test_a_group_does_not_move(local: InProcessAzure) -> None:
    with pytest.raises(AzureError, match="already exists in location 'westeurope'"):
        local.ask("PUT", local.group, {"location": "northeurope"})


def test_the_subscription_cannot_be_written_or_deleted(local: InProcessAzure) -> None:
    subscription = f"/subscriptions/{local.azure.subscription}"
    for method in ("PUT", "DELETE"):
        with pytest.raises(AzureError, match="MethodNotAllowed"):
            local.ask(method, subscription, {})
    assert local.ask("GET", subscription)["state"] == "Enabled"
