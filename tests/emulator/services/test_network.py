"""Private endpoints, zones and firewalls: what Azure refuses, and who is let in from where."""

from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.network import access
from emulator.services.network.access import DISABLED, FIREWALL, INSIDE, Client
from tests.emulator.conftest import InProcessAzure
from tests.ml import PLACE, WORKSPACE, make_workspace, workspace_body
from tests.network import SUBNET, VNET, link_privately, make_network

VAULT = "providers/Microsoft.KeyVault/vaults/kvtest"
ACCOUNT = "providers/Microsoft.Storage/storageAccounts/sttest"
REGISTRY = "providers/Microsoft.ContainerRegistry/registries/shop1"
GROUPS = ((VAULT, "vault"), (ACCOUNT, "blob"), (ACCOUNT, "file"), (WORKSPACE, "amlworkspace"))
HERE, ALLOWED = Client(), Client("203.0.113.7")
OUT = {"publicNetworkAccess": "Disabled"}


@pytest.fixture
def stack(local: InProcessAzure) -> InProcessAzure:
    make_workspace(local)
    make_network(local)
    return local


def close(local: InProcessAzure, path: str, **properties: Any) -> Document:  # noqa: ANN401 - JSON
    local.ask("PATCH", path, {"properties": properties or OUT})
    return local.azure.find(f"{local.group}/{path}")


@pytest.mark.parametrize(("target", "group"), GROUPS)
def test_what_has_no_public_access_lets_in_who_finds_its_private_endpoint(
    stack: InProcessAzure, target: str, group: str
) -> None:
    document = close(stack, target)
    private = Client(network=INSIDE)
    assert access.refusal(stack.azure, document, private, group) == DISABLED
    path = link_privately(stack, target, group, zones=False)
    assert access.refusal(stack.azure, document, private, group) == DISABLED, "no zone has its name"
    link_privately(stack, target, group)
    assert access.refusal(stack.azure, document, private, group) == ""
    assert access.refusal(stack.azure, document, Client(network=f"{stack.group}/{VNET}".lower()), group) == ""
    assert access.refusal(stack.azure, document, Client(network="/another"), group) == DISABLED
    assert access.refusal(stack.azure, document, HERE, group) == DISABLED
    stack.ask("DELETE", path)
    assert access.refusal(stack.azure, document, private, group) == DISABLED
    assert not any(
        "/privatednszones/" in each.id.key and "/a/" in each.id.key for each in stack.azure.store.everything()
    )


def test_both_ends_show_the_connection_and_the_resources_owner_may_reject_it(stack: InProcessAzure) -> None:
    path = link_privately(stack, VAULT, "vault")
    (shown,) = stack.ask("GET", VAULT)["properties"]["privateEndpointConnections"]
    assert shown["properties"]["privateEndpoint"]["id"] == path
    rejected = {"properties": {"privateLinkServiceConnectionState": {"status": "Rejected", "description": "no"}}}
    stack.ask("PUT", shown["id"], rejected)
    assert state(stack, path) == "Rejected"
    assert access.refusal(stack.azure, close(stack, VAULT), Client(network=INSIDE), "vault") == DISABLED
    stack.ask("DELETE", shown["id"])
    assert state(stack, path) == "Disconnected"


def state(local: InProcessAzure, path: str) -> str:
    (connection,) = local.ask("GET", path)["properties"]["privateLinkServiceConnections"]
    return str(connection["properties"]["privateLinkServiceConnectionState"]["status"])


def test_a_connection_by_hand_waits_for_its_approval(stack: InProcessAzure) -> None:
    target = {"privateLinkServiceId": f"{stack.group}/{VAULT}", "groupIds": ["vault"], "requestMessage": "please"}
    described = {"subnet": {"id": f"{stack.group}/{SUBNET}"}}
    described["manualPrivateLinkServiceConnections"] = [{"name": "vault", "properties": target}]  # type: ignore[assignment]
    stack.ask("PUT", "providers/Microsoft.Network/privateEndpoints/manual", {**PLACE, "properties": described})
    (shown,) = stack.ask("GET", VAULT)["properties"]["privateEndpointConnections"]
    assert shown["properties"]["privateLinkServiceConnectionState"]["status"] == "Pending"


@pytest.mark.parametrize(
    ("target", "field"),
    [(VAULT, "networkAcls"), (ACCOUNT, "networkAcls"), (WORKSPACE, "ipAllowlist")],
)
def test_an_allowed_range_lets_in(stack: InProcessAzure, target: str, field: str) -> None:
    ranges: Any = {"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.0/24"}]}
    document = close(stack, target, **{field: ["203.0.113.0/24"] if field == "ipAllowlist" else ranges})
    assert access.refusal(stack.azure, document, ALLOWED, "any") == ""
    assert access.refusal(stack.azure, document, HERE, "any") == FIREWALL


def test_what_is_used_cannot_be_deleted(stack: InProcessAzure) -> None:
    path = link_privately(stack, ACCOUNT, "blob")
    zone = "providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    for used in (SUBNET, VNET):
        refused(stack, "DELETE", used, None, "InUseSubnetCannotBeDeleted")
    space = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": []}
    refused(stack, "PUT", VNET, {**PLACE, "properties": space}, "InUseSubnetCannotBeDeleted")
    refused(stack, "DELETE", zone, None, "nested resources")
    stack.ask("DELETE", path)
    stack.ask("DELETE", f"{zone}/virtualNetworkLinks/hub")
    for free in (zone, SUBNET, VNET):
        stack.ask("DELETE", free)


def test_a_network_keeps_its_subnets_where_a_put_names_none(stack: InProcessAzure) -> None:
    space = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "10.2.0.0/16"]}}
    (subnet,) = stack.ask("PUT", VNET, {**PLACE, "properties": space})["properties"]["subnets"]
    assert subnet["id"] == f"{stack.group}/{SUBNET}"


def test_a_network_finds_a_name_in_one_zone_only(stack: InProcessAzure) -> None:
    link_privately(stack, ACCOUNT, "blob")
    other = f"{stack.group}2"
    stack.ask("PUT", other, PLACE)
    zone = f"{other}/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    stack.ask("PUT", zone, {"location": "global"})
    link = {"location": "global", "properties": {"virtualNetwork": {"id": f"{stack.group}/{VNET}"}}}
    refused(stack, "PUT", f"{zone}/virtualNetworkLinks/hub", link, "overlapping namespaces")


def test_a_registry_below_premium_takes_no_private_endpoint_and_no_agent_pool(stack: InProcessAzure) -> None:
    stack.ask("PUT", REGISTRY, {**PLACE, "sku": {"name": "Standard"}})
    with pytest.raises(AzureError, match="must be Premium"):
        link_privately(stack, REGISTRY, "registry")
    refused(stack, "PUT", f"{REGISTRY}/agentPools/inside", PLACE, "must be Premium")
    shut = {"sku": {"name": "Standard"}, "properties": {"networkRuleSet": {"defaultAction": "Deny"}}}
    refused(stack, "PUT", REGISTRY, {**PLACE, **shut}, "must be Premium")
    stack.azure.suspend()


def test_a_subnet_is_used_by_an_agent_pool(stack: InProcessAzure) -> None:
    stack.ask("PUT", REGISTRY, {**PLACE, "sku": {"name": "Premium"}})
    pool = {"virtualNetworkSubnetResourceId": f"{stack.group}/{SUBNET}"}
    stack.ask("PUT", f"{REGISTRY}/agentPools/inside", {**PLACE, "properties": pool})
    refused(stack, "DELETE", SUBNET, None, "agentPools/inside and cannot be deleted")
    assert stack.ask("POST", f"{REGISTRY}/agentPools/inside/listQueueStatus") == {"count": 0}
    stack.azure.suspend()


def test_a_private_endpoint_that_leads_elsewhere_is_connected_anew(stack: InProcessAzure) -> None:
    path = link_privately(stack, ACCOUNT, "blob", zones=False)
    body = stack.ask("GET", path)
    body["properties"]["privateLinkServiceConnections"][0]["properties"] = {
        "privateLinkServiceId": f"{stack.group}/{VAULT}",
        "groupIds": ["vault"],
    }
    changed = stack.ask("PUT", path, body)
    assert changed["properties"]["customDnsConfigs"][0]["fqdn"] == "kvtest.vault.azure.net"
    assert stack.ask("GET", VAULT)["properties"]["privateEndpointConnections"]
    assert not stack.ask("GET", ACCOUNT)["properties"].get("privateEndpointConnections")


def refused(local: InProcessAzure, method: str, path: str, body: Any, words: str) -> None:  # noqa: ANN401 - JSON
    with pytest.raises(AzureError, match=words):
        local.ask(method, path, body)


# -- managed networks --------------------------------------------------------------------------------------------------


def managed(local: InProcessAzure, mode: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
    body = workspace_body(local)
    body["properties"]["managedNetwork"] = {"isolationMode": mode, **more}
    return local.ask("PUT", WORKSPACE, body)["properties"]["managedNetwork"]


def test_isolation_is_never_taken_back(local: InProcessAzure) -> None:
    managed(local, "AllowInternetOutbound")
    with pytest.raises(AzureError, match="cannot be disabled once enabled"):
        managed(local, "Disabled")
    with pytest.raises(AzureError, match="cannot be changed from AllowInternetOutbound"):
        managed(local, "AllowOnlyApprovedOutbound")
    body = workspace_body(local)
    assert local.ask("PUT", WORKSPACE, body)["properties"]["managedNetwork"]["isolationMode"] == "AllowInternetOutbound"


def test_a_name_is_approved_only_where_the_rest_is_shut(local: InProcessAzure) -> None:
    rule = {"properties": {"type": "FQDN", "destination": "packages.example.com"}}
    managed(local, "AllowInternetOutbound")
    refused(local, "PUT", f"{WORKSPACE}/outboundRules/packages", rule, "needs isolationMode AllowOnlyApprovedOutbound")
    link = {"serviceResourceId": f"{local.group}/{ACCOUNT}", "subresourceTarget": "blob"}
    local.ask(
        "PUT", f"{WORKSPACE}/outboundRules/data", {"properties": {"type": "PrivateEndpoint", "destination": link}}
    )


def test_a_managed_network_is_provisioned_with_its_rules(local: InProcessAzure) -> None:
    rules = {"packages": {"type": "FQDN", "destination": "packages.example.com"}}
    shown = managed(local, "AllowOnlyApprovedOutbound", outboundRules=rules)
    assert shown["status"]["status"] == "Inactive"
    assert {each["status"] for each in shown["outboundRules"].values()} == {"Inactive"}
    assert {"packages", "__SYS_PE_sttest_blob", "__SYS_ST_AzureMachineLearning"} <= set(shown["outboundRules"])
    assert local.ask("POST", f"{WORKSPACE}/provisionManagedNetwork") == {"status": "Active", "sparkReady": False}
    shown = local.ask("GET", WORKSPACE)["properties"]["managedNetwork"]
    assert shown["status"]["status"] == "Active"
    assert {each["status"] for each in shown["outboundRules"].values()} == {"Active"}
    refused(local, "DELETE", f"{WORKSPACE}/outboundRules/__SYS_PE_sttest_blob", None, "is required")
    local.ask("DELETE", f"{WORKSPACE}/outboundRules/packages")


def test_azures_own_client_takes_the_answer_to_a_new_rule(local: InProcessAzure) -> None:
    managed(local, "AllowOnlyApprovedOutbound")
    rule = {"properties": {"type": "FQDN", "destination": "packages.example.com"}}
    path = f"{local.group}/{WORKSPACE}/outboundRules/packages"
    answer = local.azure.request(Request("PUT", path, local.deployer, rule))
    local.azure.wait(answer)
    assert answer.status in {200, 202}


def test_without_isolation_there_is_nothing_to_provision(local: InProcessAzure) -> None:
    make_workspace(local)
    refused(local, "POST", f"{WORKSPACE}/provisionManagedNetwork", {}, "has no managed network")


def test_a_new_workspace_is_provisioned_at_once_where_it_asks_for_that(local: InProcessAzure) -> None:
    body = workspace_body(local)
    body["properties"] |= {"managedNetwork": {"isolationMode": "AllowInternetOutbound"}, "provisionNetworkNow": True}
    assert local.ask("PUT", WORKSPACE, body)["properties"]["managedNetwork"]["status"]["status"] == "Active"
