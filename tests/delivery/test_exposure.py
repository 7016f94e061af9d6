"""What a preview does to the network is said first, in one sentence."""

from typing import Any

import pytest
from azureml_scoring.delivery.changes import UNKNOWN, Risk, read
from azureml_scoring.delivery.report import headline

from tests.delivery.test_report import OWN, _classic, _step

NATIVE = "azure-native:"
REGISTRY, STORAGE = f"{NATIVE}containerregistry:Registry", f"{NATIVE}storage:StorageAccount"
VAULT, WORKSPACE = f"{NATIVE}keyvault:Vault", f"{NATIVE}machinelearningservices:Workspace"
RULE = f"{NATIVE}machinelearningservices:ManagedNetworkSettingsRule"
CLOSED = {"publicNetworkAccess": "Disabled"}
OPEN = {"publicNetworkAccess": "Enabled"}


def limited(*ranges: str, key: str = "iPAddressOrRange", rules: str = "networkRuleSet") -> dict[str, Any]:
    return {**OPEN, rules: {"defaultAction": "Deny", "ipRules": [{key: each} for each in ranges]}}


def update(type_: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    paths = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    return _step("update", type_, type_.rpartition(":")[2], old, new, {name: {"kind": "update"} for name in paths})


def said(*steps: dict[str, Any]) -> str:
    return headline(read(_classic([*steps])))


def test_what_becomes_reachable_from_the_internet_comes_first() -> None:
    endpoint = update(f"{OWN}OnlineEndpoint", {**CLOSED, "authMode": "Key"}, {**OPEN, "authMode": "AMLToken"})
    assert said(update(REGISTRY, CLOSED, OPEN), endpoint) == (
        "**registry and endpoint become reachable from the internet**; clients sign in in another way"
    )


def test_what_is_closed_is_said_too() -> None:
    vault = update(VAULT, {"properties": OPEN}, {"properties": CLOSED})
    steps = [vault, update(STORAGE, OPEN, CLOSED), update(WORKSPACE, OPEN, CLOSED)]
    assert said(*steps) == "vault, storage and workspace are closed to the internet"


def test_ranges_are_named() -> None:
    limits = limited("203.0.113.0/24", "192.0.2.1")
    assert said(update(REGISTRY, OPEN, limits)) == (
        "**registry becomes reachable from `203.0.113.0/24` and `192.0.2.1` alone**"
    )
    acls = {"properties": limited("192.0.2.1", key="value", rules="networkAcls")}
    assert said(update(VAULT, {"properties": CLOSED}, acls)) == "**vault becomes reachable from `192.0.2.1` alone**"


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ("packages.example.com", "`packages.example.com`"),
        ({"serviceTag": "AzureMonitor"}, "`AzureMonitor`"),
        ({"serviceResourceId": "/subscriptions/s/x/storageAccounts/data"}, "`data`"),
        ({"serviceResourceId": UNKNOWN}, "a resource that is new"),
    ],
)
def test_what_deployments_reach_is_said(destination: object, name: str) -> None:
    rule = {"properties": {"type": "x", "destination": destination}}
    assert said(_step("create", RULE, "packages", None, rule)) == f"**deployments may reach {name}**"
    assert said(_step("delete", RULE, "packages", rule, None)) == f"deployments no longer reach {name}"


def test_what_stays_as_it_is_is_not_said() -> None:
    same = {**limited("192.0.2.1"), "tags": {"a": "1"}}
    assert said(update(REGISTRY, same, {**same, "tags": {}})) == "clients notice nothing"


def test_rules_of_a_vault_and_private_endpoints_are_changes_of_the_network() -> None:
    vault = update(VAULT, {"properties": OPEN}, {"properties": CLOSED})
    endpoint = _step("create", f"{NATIVE}network:PrivateEndpoint", "registry", None, {})
    assert {change.risk for change in read(_classic([vault, endpoint])).changes} == {Risk.NETWORK}
