"""What no stack may do, rule by rule: a resource that breaks it, and one that does not."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy.rules import (
    ONE_ROLE,
    RULES,
    PolicyException,
    Resource,
    Settings,
    SettingsError,
    one_role_per_principal,
    parse_settings,
    violations,
)

TODAY = dt.date(2026, 6, 1)
FILE = Path(__file__).parents[2] / "policy/settings.yaml"
SETTINGS = Settings(frozenset({"prod"}), ("project", "stack"), {"default": 2, "prod": 10})
REGISTRY = "azure-native:containerregistry:Registry"
ENVIRONMENT = "azureml-scoring:index:EnvironmentVersion"
BUILD = "azureml-scoring:index:ImageBuild"
ENDPOINT = "azureml-scoring:index:OnlineEndpoint"
DEPLOYMENT = "azureml-scoring:index:OnlineDeployment"
ROLE = "azure-native:authorization:RoleAssignment"
OWN_ROLE = "azureml-scoring:index:RoleAssignment"
VAULT = "azure-native:keyvault:Vault"
TAGS = {"project": "p", "stack": "s"}
PINNED = f"host/repository@sha256:{'a' * 64}"
SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"
PULL = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d"
PUSH = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/8311e382-0749-4cb8-b61a-304f252e45ec"


def _lines(
    rule: str, kind: str, props: dict[str, Any], stack: str = "prod", settings: Settings = SETTINGS
) -> list[str]:
    one = next(each for each in RULES if each.name == rule)
    return violations(one, Resource(kind, "it", stack, props), settings, TODAY)


@pytest.mark.parametrize(
    ("rule", "kind", "bad", "good"),
    [
        ("no-admin-account", REGISTRY, {"adminUserEnabled": True}, {"adminUserEnabled": False}),
        ("no-admin-account", REGISTRY, {}, {"adminUserEnabled": False}),
        ("no-admin-account", "azure-native:containerregistry/v20230701:Registry", {}, {"adminUserEnabled": False}),
        ("no-anonymous-pull", REGISTRY, {"anonymousPullEnabled": True}, {}),
        ("no-latest", ENVIRONMENT, {"image": "host/a:latest"}, {"image": PINNED}),
        (
            "no-latest",
            BUILD,
            {"buildArguments": {"BASE": "python:latest"}},
            {"buildArguments": {"BASE": "python:3.11"}},
        ),
        ("digest-only", ENVIRONMENT, {"image": "host/a:1"}, {"image": PINNED}),
        (
            "digest-only",
            "azure-native:machinelearningservices:EnvironmentVersion",
            {"environmentVersionProperties": {"image": "host/a:1"}},
            {"environmentVersionProperties": {"image": PINNED}},
        ),
        (
            "read-only-on-registries",
            ROLE,
            {"scope": SCOPE, "roleDefinitionId": PUSH},
            {"scope": SCOPE, "roleDefinitionId": PULL},
        ),
        (
            "read-only-on-registries",
            OWN_ROLE,
            {"scope": SCOPE, "roleDefinitionId": PUSH},
            {"scope": SCOPE, "roleDefinitionId": PULL},
        ),
        ("no-keys-in-production", ENDPOINT, {"authMode": "Key"}, {"authMode": "AADToken"}),
        ("no-keys-in-production", ENDPOINT, {}, {"authMode": "AMLToken"}),
        ("no-public-network-in-production", ENDPOINT, {}, {"publicNetworkAccess": "Disabled"}),
        (
            "no-public-network-in-production",
            REGISTRY,
            {"publicNetworkAccess": "Enabled"},
            {"publicNetworkAccess": "Disabled"},
        ),
        (
            "no-public-network-in-production",
            VAULT,
            {"properties": {"publicNetworkAccess": "enabled"}},
            {"properties": {"publicNetworkAccess": "disabled"}},
        ),
        ("instance-ceiling", DEPLOYMENT, {"instanceCount": 11.0}, {"instanceCount": 10.0}),
        (
            "instance-ceiling",
            DEPLOYMENT,
            {"scaleSettings": {"maxInstances": 11}},
            {"scaleSettings": {"maxInstances": 10}},
        ),
        (
            "instance-ceiling",
            "azure-native:monitor:AutoscaleSetting",
            {"profiles": [{"capacity": {"maximum": "11"}}]},
            {"profiles": [{"capacity": {"maximum": "10"}}]},
        ),
        ("required-tags", REGISTRY, {"tags": {"project": "p"}}, {"tags": TAGS}),
    ],
)
def test_a_rule_tells_what_breaks_it_and_nothing_else(
    rule: str, kind: str, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    (line,) = _lines(rule, kind, bad)
    assert "\n" not in line
    assert _lines(rule, kind, good) == []
    assert _lines(rule, "azure-native:other:Thing", bad) == []


@pytest.mark.parametrize("rule", ["no-keys-in-production", "no-public-network-in-production"])
def test_what_holds_in_production_does_not_hold_in_dev(rule: str) -> None:
    assert _lines(rule, ENDPOINT, {}, "dev") == []


def test_a_cluster_decides_by_itself_who_reaches_an_endpoint_on_it() -> None:
    assert _lines("no-public-network-in-production", ENDPOINT, {"publicNetworkAccess": "Enabled"})
    assert not _lines("no-public-network-in-production", ENDPOINT, {"compute": "x", "publicNetworkAccess": "Enabled"})


def test_a_ceiling_is_the_stacks_own() -> None:
    assert _lines("instance-ceiling", DEPLOYMENT, {"instanceCount": 3}, "dev")
    assert not _lines("instance-ceiling", DEPLOYMENT, {"instanceCount": 3}, "prod")


@pytest.mark.parametrize(("days", "held"), [(1, False), (0, False), (-1, True)])
def test_an_exception_ends_on_its_date(days: int, *, held: bool) -> None:
    until = TODAY + dt.timedelta(days=days)
    excepted = Settings(
        SETTINGS.production, exceptions=(PolicyException("no-keys-in-production", "it", "clients move in June", until),)
    )
    lines = _lines("no-keys-in-production", ENDPOINT, {}, settings=excepted)
    assert bool(lines) is held
    assert all("the exception ended on" in line for line in lines)
    assert _lines("no-public-network-in-production", ENDPOINT, {}, settings=excepted), "it excepts one rule only"


def test_a_principal_gets_one_role_on_registries() -> None:
    roles = [
        Resource(ROLE, name, "dev", {"scope": scope, "principalId": principal, "roleDefinitionId": PULL})
        for name, scope, principal in (
            ("a", SCOPE, "p"),
            ("b", SCOPE, "p"),
            ("c", SCOPE, "q"),
            ("d", "/subscriptions/s/resourceGroups/g", "q"),
        )
    ]
    assert [name for name, _ in one_role_per_principal(roles, SETTINGS, TODAY)] == ["b"]
    excepted = Settings(exceptions=(PolicyException(ONE_ROLE, "b", "moves to another registry", TODAY),))
    assert one_role_per_principal(roles, excepted, TODAY) == []


@pytest.mark.parametrize("missing", ["rule", "resource", "reason", "until"])
def test_an_exception_without_reason_or_date_is_refused(missing: str) -> None:
    whole = {"rule": "digest-only", "resource": "it", "reason": "because", "until": TODAY}
    assert parse_settings({"exceptions": [whole]}).exceptions[0].reason == "because"
    with pytest.raises(SettingsError, match=f"{missing} is missing"):
        parse_settings({"exceptions": [{name: value for name, value in whole.items() if name != missing}]})


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"ceiling": {}},
        {"exceptions": [{"rule": "no-such", "resource": "it", "reason": "r", "until": TODAY}]},
        {"exceptions": [{"rule": "digest-only", "resource": "it", "reason": "r", "until": "soon"}]},
    ],
)
def test_settings_that_mean_nothing_are_refused_in_one_line(document: object) -> None:
    with pytest.raises(SettingsError) as error:
        parse_settings(document)
    assert "\n" not in str(error.value)


def test_the_settings_beside_the_rules_read() -> None:
    settings = parse_settings(yaml.safe_load(FILE.read_text()))
    assert "prod" in settings.production
    assert settings.ceilings["prod"] >= settings.ceilings["default"]
