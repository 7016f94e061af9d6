"""What Resource Manager lists of a subscription, as the Azure CLI needs it: resources, providers, locations, roles."""

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from tests.emulator.conftest import InProcessAzure
from tests.ml import PLACE, make_workspace
from tests.registries import PULL


def listed(local: InProcessAzure, path: str, expression: str = "") -> list[dict[str, object]]:
    query = {"$filter": expression} if expression else {}
    body = local.azure.request(Request("GET", path, local.deployer, {}, query)).body
    assert body is not None
    values: list[dict[str, object]] = body["value"]
    return values


def test_resources_are_listed_by_subscription_and_group_without_children(local: InProcessAzure) -> None:
    make_workspace(local)
    other = f"/subscriptions/{local.azure.subscription}/resourceGroups/rg2"
    local.ask("PUT", other, PLACE)
    local.ask("PUT", f"{other}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller", PLACE)
    names = {each["name"] for each in listed(local, f"/subscriptions/{local.azure.subscription}/resources")}
    assert names == {"sttest", "kvtest", "logs-test", "insights-test", "ml-test", "puller"}
    assert [each["name"] for each in listed(local, f"{other}/resources")] == ["puller"]


def test_resources_are_filtered_by_type_name_and_tag(local: InProcessAzure) -> None:
    make_workspace(local)
    account = {**PLACE, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "tags": {"team": "wine"}}
    local.ask("PUT", "providers/Microsoft.Storage/storageAccounts/stone", account)
    path = f"/subscriptions/{local.azure.subscription}/resources"
    for expression, names in (
        ("resourceType eq 'Microsoft.KeyVault/vaults'", ["kvtest"]),
        ("resourceGroup eq 'rg' and name eq 'ml-test'", ["ml-test"]),
        ("tagName eq 'team' and tagValue eq 'wine'", ["stone"]),
    ):
        assert [each["name"] for each in listed(local, path, expression)] == names
    with pytest.raises(AzureError, match="InvalidFilterInQueryString"):
        listed(local, path, "size gt '5'")


def test_providers_tell_the_api_versions_of_their_types(local: InProcessAzure) -> None:
    base = f"/subscriptions/{local.azure.subscription}/providers"
    assert "Microsoft.KeyVault" in {each["namespace"] for each in listed(local, base)}
    provider = local.ask("GET", f"{base}/microsoft.keyvault")
    versions = {each["resourceType"]: each["apiVersions"] for each in provider["resourceTypes"]}
    assert "2024-11-01" in versions["vaults"]
    assert provider["registrationState"] == "Registered"
    assert local.ask("POST", f"{base}/Microsoft.KeyVault/register")["namespace"] == "Microsoft.KeyVault"
    with pytest.raises(AzureError, match="InvalidResourceNamespace"):
        local.ask("GET", f"{base}/Microsoft.Nothing")


@pytest.mark.parametrize(("name", "free"), [("sttest", False), ("stother", True)])
def test_a_name_is_checked_for_being_taken(local: InProcessAzure, name: str, free: bool) -> None:  # noqa: FBT001
    make_workspace(local)
    path = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.Storage/checkNameAvailability"
    answer = local.ask("POST", path, {"name": name, "type": "Microsoft.Storage/storageAccounts"})
    assert answer["nameAvailable"] is free


def test_locations_are_listed(local: InProcessAzure) -> None:
    names = {each["name"] for each in listed(local, f"/subscriptions/{local.azure.subscription}/locations")}
    assert {"westeurope", "eastus"} <= names


def test_a_role_is_found_by_its_name(local: InProcessAzure) -> None:
    path = f"{local.group}/providers/Microsoft.Authorization/roleDefinitions"
    assert [each["name"] for each in listed(local, path, "roleName eq 'AcrPull'")] == [PULL]
    assert local.ask("GET", f"{path}/{PULL}")["properties"]["roleName"] == "AcrPull"
    assert len(listed(local, path)) > 10
    with pytest.raises(AzureError, match="UnsupportedQuery"):
        listed(local, path, "roleName gt 'A'")


def test_an_unregistered_provider_refuses_requests_until_it_is_registered(local: InProcessAzure) -> None:
    provider = f"/subscriptions/{local.azure.subscription}/providers/Microsoft.KeyVault"
    assert local.ask("POST", f"{provider}/unregister")["registrationState"] == "NotRegistered"
    for method, path in (
        ("GET", f"{local.group}/providers/Microsoft.KeyVault/vaults/kv"),
        ("GET", f"{provider}/deletedVaults"),
        ("POST", f"{provider}/checkNameAvailability"),
    ):
        with pytest.raises(AzureError, match="MissingSubscriptionRegistration") as refused:
            local.ask(method, path)
        assert refused.value.status == 409
    assert local.ask("POST", f"{provider}/register")["registrationState"] == "Registered"
    assert listed(local, f"{provider}/deletedVaults") == []


def test_a_provider_whose_resources_exist_cannot_be_unregistered(local: InProcessAzure) -> None:
    local.ask("PUT", "providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller", PLACE)
    with pytest.raises(AzureError, match="delete them first"):
        local.ask("POST", f"/subscriptions/{local.azure.subscription}/providers/Microsoft.ManagedIdentity/unregister")


def test_an_offer_is_shown_with_its_subscription(local: InProcessAzure) -> None:
    local.azure.fault("quota-id", "FreeTrial_2014-09-01")
    subscription = local.ask("GET", f"/subscriptions/{local.azure.subscription}")
    assert subscription["subscriptionPolicies"]["quotaId"] == "FreeTrial_2014-09-01"
