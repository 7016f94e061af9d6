"""The local Azure held against Microsoft's published ARM types, in their absence skipped."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.options import Options
from tests.arm_types import ABSENT, TYPES, read, violations
from tests.emulator.conftest import InProcessAzure, in_process
from tests.emulator.test_inputs import WELL

pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
READ_ONLY = 2
SAMPLES: dict[str, Any] = {"StringType": "x", "BooleanType": True, "IntegerType": 1, "ArrayType": [], "AnyType": {}}
#: Values within ranges that the published types leave out.
VALUES = {
    "softDeleteRetentionInDays": 90,
    "retentionInDays": 30,
    "tier": "S1",
    "modelType": "custom_model",
    "RetentionInDays": 90,
    "principalType": "ServicePrincipal",
} | {f"publicNetworkAccess{use}": "Enabled" for use in ("", "ForIngestion", "ForQuery")}
#: Whose names a deletion holds.
HELD = {
    "Microsoft.KeyVault/vaults",
    "Microsoft.KeyVault/vaults/secrets",
    "Microsoft.MachineLearningServices/workspaces",
}
#: Properties that are Azure's own whatever the type says, or that need more than a value of the type.
EXCEPTIONS = {
    "Microsoft.MachineLearningServices/workspaces/environments/versions": {"build", "condaFile"},
    "Microsoft.MachineLearningServices/workspaces/onlineEndpoints": {"compute", "keys"},
    "Microsoft.MachineLearningServices/workspaces/computes": {"computeLocation"},
    "Microsoft.MachineLearningServices/workspaces": {"containerRegistry", "discoveryUrl"},
    "Microsoft.Network/privateEndpoints": {"customDnsConfigs"},
    "Microsoft.ContainerRegistry/registries/agentPools": {"os", "virtualNetworkSubnetResourceId"},
    "Microsoft.MachineLearningServices/workspaces/outboundRules": {"category", "status"},
    "Microsoft.KeyVault/vaults": {"provisioningState", "createMode", "vaultUri"},
}


@cache
def _published(type_name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The newest published types that know a resource type, and that one's own."""
    for version in sorted((TYPES / type_name.partition("/")[0].lower()).iterdir(), reverse=True):
        types: list[dict[str, Any]] = json.loads((version / "types.json").read_text())
        for each in types:
            if each["$type"] == "ResourceType" and each["name"].split("@")[0] == type_name:
                return types, each
    raise KeyError(type_name)


def _is_published(type_name: str) -> bool:
    try:
        types, resource = _published(type_name)
    except (KeyError, OSError):
        return False
    return "properties" in _at(types, resource["body"])["properties"]


def _at(types: list[dict[str, Any]], reference: dict[str, str]) -> dict[str, Any]:
    return types[int(reference["$ref"].rpartition("/")[2])]


def _sample(types: list[dict[str, Any]], type_: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if type_["$type"] == "UnionType":
        literals = [_at(types, each) for each in type_["elements"]]
        return next((each["value"] for each in literals if "value" in each), "x")
    if type_["$type"] == "StringLiteralType":
        return type_["value"]
    return SAMPLES.get(type_["$type"])


def _writable(type_name: str) -> dict[str, Any]:
    """Sample values of the writable members of `properties`, where they need no members of their own."""
    types, resource = _published(type_name)
    properties = _at(types, _at(types, resource["body"])["properties"]["properties"]["type"])
    members = {**properties.get("baseProperties", {}), **properties.get("properties", {})}
    samples = {
        name: VALUES.get(name, _sample(types, _at(types, member["type"])))
        for name, member in members.items()
        if not member["flags"] & READ_ONLY and name not in EXCEPTIONS.get(type_name, set())
    }
    return {name: value for name, value in samples.items() if value is not None}


PUBLISHED = [name for name in WELL if _is_published(name)]


@pytest.mark.parametrize("type_name", PUBLISHED)
def test_answers_have_the_published_shape(local: InProcessAzure, type_name: str) -> None:
    path, body_of = WELL[type_name]
    path = path.format(subscription=local.azure.subscription)
    whole = path if path.startswith("/") else f"{local.group}/{path}"
    version = _published(type_name)[1]["name"].split("@")[1]
    local.ask("PUT", path, body_of(local))
    shown = local.azure.request(Request("GET", whole, local.deployer, {}, {"api-version": version})).body
    assert violations([{"method": "GET", "id": whole, "apiVersion": version, "status": 200, "answer": shown}]) == []


def test_a_recording_tells_what_the_types_do_not_know(tmp_path: Path) -> None:
    recording = tmp_path / "requests.jsonl"
    with in_process(tmp_path / "azure", Options(role_delay=0, record=str(recording))) as local:
        path = f"{local.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one"
        for body in ({"location": "westeurope"}, {"location": "westeurope", "colour": "blue"}):
            assert violations(read(recording)) == []
            local.azure.request(Request("PUT", path, local.deployer, body, {"api-version": "2023-01-31"}))
    (told,) = violations(read(recording))
    assert "colour" in told
    assert recording.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("type_name", PUBLISHED)
def test_every_writable_property_of_the_published_type_is_accepted_and_shown(
    local: InProcessAzure, type_name: str
) -> None:
    path, body_of = WELL[type_name]
    body = body_of(local)
    for number, (name, value) in enumerate(_writable(type_name).items()):
        if name in body["properties" if "properties" in body else "location"]:
            continue
        changed = {**body, "properties": {**body.get("properties", {}), name: value}}
        place = path.format(subscription=local.azure.subscription) + (str(number) if type_name in HELD else "")
        shown = local.ask("PUT", place, changed)["properties"]
        assert shown.get(name) == value, name
        if type_name not in HELD:
            local.ask("DELETE", place)
