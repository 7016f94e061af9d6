"""The network of a stack: which resources it makes, what each part says of its public access, what waits for what."""

from pathlib import Path
from typing import Any

import pytest

from tests.components.cloud import SUBSCRIPTION, Cloud, arguments, up

SUBNET = f"{SUBSCRIPTION}/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/private"
PREMIUM = {"mode": "workspace", "sku": "Premium"}
CLOSED: dict[str, Any] = {
    "publicAccess": False,
    "privateEndpoints": {"subnet": "made"},
    "isolation": "approved-outbound",
    "outbound": {
        "packages": {"fqdn": "packages.example.com"},
        "logs": {"serviceTag": "AzureMonitor", "ports": "443"},
        "data": {"privateEndpoint": f"{SUBNET.partition('/subnets')[0]}", "target": "blob"},
    },
}
GROUPS = {
    "registry": ["registry"],
    "vault": ["vault"],
    "blob": ["blob"],
    "file": ["file"],
    "workspace": ["amlworkspace"],
}


def network(folder: Path, settings: dict[str, Any], **sections: Any) -> Cloud:  # noqa: ANN401 - settings
    return up(arguments(folder, **{"registry": PREMIUM, "network": settings, **sections}))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return network(tmp_path_factory.mktemp("app"), CLOSED)


def test_no_part_answers_from_the_internet(closed: Cloud) -> None:
    assert closed.inputs("Registry")["publicNetworkAccess"] == "Disabled"
    assert closed.inputs("Registry")["networkRuleSet"] == {"defaultAction": "Deny", "ipRules": []}
    vault = closed.inputs("Vault")["properties"]
    assert (vault["publicNetworkAccess"], vault["networkAcls"]["defaultAction"]) == ("Disabled", "Deny")
    storage = closed.inputs("StorageAccount")
    assert (storage["publicNetworkAccess"], storage["networkRuleSet"]["bypass"]) == ("Disabled", "AzureServices")
    workspace = closed.inputs("machinelearningservices:Workspace")
    assert workspace["publicNetworkAccess"] == "Disabled"
    assert workspace["managedNetwork"] == {"isolationMode": "AllowOnlyApprovedOutbound"}
    assert closed.inputs("OnlineEndpoint")["publicNetworkAccess"] == "Disabled"


def test_a_private_endpoint_leads_to_each_part_and_its_names_lie_in_linked_zones(closed: Cloud) -> None:
    endpoints = closed.all("PrivateEndpoint")
    connections = {
        each.name.removeprefix("scoring-").removesuffix("-private-endpoint"): each.inputs[
            "privateLinkServiceConnections"
        ]
        for each in endpoints
    }
    assert {name: each[0]["groupIds"] for name, each in connections.items()} == GROUPS
    assert len(closed.all("PrivateDnsZoneGroup")) == len(endpoints)
    zones = {each.inputs["privateZoneName"] for each in closed.all("PrivateZone")}
    assert zones >= {"privatelink.azurecr.io", "privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"}
    links = closed.all("VirtualNetworkLink")
    assert len(links) == len(zones) == 6
    assert not any(each.inputs["registrationEnabled"] for each in links)


def test_the_managed_network_has_its_rules_before_it_is_provisioned_and_the_endpoint_comes_last(closed: Cloud) -> None:
    rules = {each.inputs["ruleName"]: each.inputs["properties"] for each in closed.all("ManagedNetworkSettingsRule")}
    assert rules["packages"] == {"type": "FQDN", "category": "UserDefined", "destination": "packages.example.com"}
    assert rules["logs"]["destination"] == {"serviceTag": "AzureMonitor", "protocol": "TCP", "portRanges": "443"}
    assert rules["data"]["destination"]["subresourceTarget"] == "blob"
    last = max(closed.made.index(each) for each in closed.all("ManagedNetworkSettingsRule"))
    assert last < closed.order("ManagedNetwork") < closed.order("OnlineEndpoint")


def test_builds_and_endpoint_wait_for_the_private_endpoints(closed: Cloud) -> None:
    groups = max(closed.made.index(each) for each in closed.all("PrivateDnsZoneGroup"))
    assert groups < closed.order("AgentPool") < closed.order("ImageBuild")
    assert groups < closed.order("OnlineEndpoint")


def test_acr_tasks_builds_in_an_agent_pool_of_the_same_subnet(closed: Cloud) -> None:
    pool = closed.inputs("AgentPool")
    assert pool["virtualNetworkSubnetResourceId"].endswith("/subnets/private")
    assert closed.inputs("ImageBuild")["agentPool"]


def test_a_registry_beside_the_workspace_gets_a_rule_and_both_registries_are_premium(tmp_path: Path) -> None:
    cloud = network(tmp_path, {**CLOSED, "outbound": {}}, registry={"mode": "standalone", "sku": "Premium"})
    assert {each.inputs["sku"]["name"] for each in cloud.all("Registry")} == {"Premium"}
    rule = cloud.inputs("ManagedNetworkSettingsRule")
    assert rule["properties"]["destination"]["subresourceTarget"] == "registry"
    assert "scoring-own-registry-private-endpoint" in {each.name for each in cloud.all("PrivateEndpoint")}


def test_an_existing_subnet_and_zones_are_used_as_they_are(tmp_path: Path) -> None:
    zones = [
        f"{SUBSCRIPTION}/resourceGroups/dns/providers/Microsoft.Network/privateDnsZones/privatelink.{name}"
        for name in (
            *("azurecr.io", "vaultcore.azure.net", "blob.core.windows.net", "file.core.windows.net"),
            *("api.azureml.ms", "notebooks.azure.net"),
        )
    ]
    cloud = network(tmp_path, {**CLOSED, "privateEndpoints": {"subnet": SUBNET, "dns": zones}})
    assert not any(cloud.all(kind) for kind in ("VirtualNetwork", "PrivateZone", "VirtualNetworkLink"))
    assert {each.inputs["subnet"]["id"] for each in cloud.all("PrivateEndpoint")} == {SUBNET}
    used = {
        config["privateDnsZoneId"]
        for each in cloud.all("PrivateDnsZoneGroup")
        for config in each.inputs["privateDnsZoneConfigs"]
    }
    assert used == set(zones)


def test_where_a_policy_registers_names_there_are_no_zones(tmp_path: Path) -> None:
    cloud = network(tmp_path, {**CLOSED, "privateEndpoints": {"subnet": SUBNET, "dns": "none"}})
    assert len(cloud.all("PrivateEndpoint")) == len(GROUPS)
    assert not cloud.all("PrivateDnsZoneGroup")


def test_ranges_limit_what_is_public_each_spelled_as_its_part_takes_them(tmp_path: Path) -> None:
    ranges = ["203.0.113.0/24", "198.51.100.6/31", "192.0.2.1"]
    settings = {
        "publicAccess": {"vault": False, "workspace": True, "endpoint": True},
        "allowedRanges": ranges,
        "privateEndpoints": {},
        "isolation": "internet-outbound",
    }
    cloud = network(tmp_path, settings)
    rules = cloud.inputs("Registry")["networkRuleSet"]
    assert rules["defaultAction"] == "Deny"
    assert [each["iPAddressOrRange"] for each in rules["ipRules"]] == ranges
    storage = [each["iPAddressOrRange"] for each in cloud.inputs("StorageAccount")["networkRuleSet"]["ipRules"]]
    assert storage == ["203.0.113.0/24", "198.51.100.6", "198.51.100.7", "192.0.2.1"]
    assert cloud.inputs("Vault")["properties"]["networkAcls"]["ipRules"] == []
    assert cloud.inputs("OnlineEndpoint")["publicNetworkAccess"] == "Enabled"


def test_without_the_section_every_part_is_as_it_was_before_there_was_one(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path))
    assert "publicNetworkAccess" not in cloud.inputs("StorageAccount")
    assert "networkAcls" not in cloud.inputs("Vault")["properties"]
    assert not any("networkRuleSet" in each.inputs for each in cloud.all("Registry"))
    assert "managedNetwork" not in cloud.inputs("machinelearningservices:Workspace")
    assert not any(cloud.all(kind) for kind in ("VirtualNetwork", "PrivateEndpoint", "AgentPool", "ManagedNetwork"))
