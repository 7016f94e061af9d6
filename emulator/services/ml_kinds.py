"""What Azure demands of a deployment by its kind: sizes and counts, shares of a cluster, egress, data collection.

Owns those checks and the amounts that come out of them. Pure, but for the workspace and the compute that are handed in.
https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-managed-online
https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-kubernetes-online
"""

import re
from dataclasses import dataclass
from typing import Any

from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.ml_computes import instance_types

MOST_INSTANCES = 50
MOST_TIMEOUT = {"Managed": 180.0, "Kubernetes": 300.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGT]|[KMGT]i)?")
_UNITS = {"": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    f"{letter}i": 1024.0 ** (power + 1) for power, letter in enumerate("KMGT")
}
_MODES = ("Enabled", "Disabled")
_ROLLING = ("Hour", "Minute", "Day", "Month", "Year")
_SCALE_DEFAULTS = {
    "minInstances": 1,
    "maxInstances": 1,
    "targetUtilizationPercentage": 70,
    "pollingInterval": "PT1S",
}
_PERCENT = 100
_SCALES = {"Managed": ("Default",), "Kubernetes": ("Default", "TargetUtilization")}
_GPU = re.compile(r"standard_n[cdv]", re.IGNORECASE)


@dataclass(frozen=True)
class Share:
    """What one container may have; None is all that there is."""

    cpu: float | None = None
    memory: int | None = None
    gpus: int = 0


def has_gpu(machine: str) -> bool:
    """Whether machines of this size have GPUs."""
    return _GPU.match(machine) is not None


def quantity(text: object, what: str) -> float:
    """A Kubernetes quantity as a number (400 for anything else)."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise _bad(f"{what} '{text}' is not a quantity like '500m', '2' or '1Gi'")
    return float(found[1]) * _UNITS[found[2] or ""]


def check_network(given: dict[str, Any], kind: str, name: str, workspace: Document) -> None:
    """Egress is shut for managed deployments only, and not where the workspace's own network does it."""
    if given["egressPublicNetworkAccess"] != "Disabled":
        return
    if kind != "Managed":
        raise _bad(f"egressPublicNetworkAccess of deployment '{name}' is for managed online endpoints only")
    mode = (workspace.properties.get("managedNetwork") or {}).get("isolationMode", "Disabled")
    if mode != "Disabled":
        raise _bad(
            f"egressPublicNetworkAccess of deployment '{name}' cannot be 'Disabled': the workspace has a managed"
            f" network ({mode}), whose rules apply"
        )


def scale(given: dict[str, Any] | None, kind: str, name: str) -> dict[str, Any]:
    """Scale settings with Azure's defaults."""
    found = {"scaleType": "Default", **{key: value for key, value in (given or {}).items() if value is not None}}
    if found["scaleType"] not in _SCALES[kind]:
        known = ", ".join(_SCALES[kind])
        raise _bad(f"scaleSettings.scaleType '{found['scaleType']}' of deployment '{name}' ({kind}) is none of {known}")
    if found["scaleType"] == "Default":
        return found
    found = {**_SCALE_DEFAULTS, **found}
    for field in ("minInstances", "maxInstances", "targetUtilizationPercentage"):
        if not _positive(found[field]):
            raise _bad(f"scaleSettings.{field} '{found[field]}' of '{name}' is not a whole number of at least 1")
        found[field] = int(found[field])
    if found["minInstances"] > found["maxInstances"]:
        raise _bad(
            f"scaleSettings of deployment '{name}': minInstances {found['minInstances']} is more than maxInstances"
            f" {found['maxInstances']}"
        )
    if found["targetUtilizationPercentage"] > _PERCENT:
        raise _bad(f"scaleSettings.targetUtilizationPercentage of deployment '{name}' is more than 100")
    return found


def count(sku: dict[str, Any], given: dict[str, Any], kind: str, name: str) -> int:
    """How many instances there are."""
    if given["scaleSettings"]["scaleType"] == "TargetUtilization":
        return int(given["scaleSettings"]["minInstances"])
    capacity = sku.get("capacity", 1)
    if not _positive(capacity):
        raise _bad(f"sku.capacity '{capacity}' of deployment '{name}' is not a whole number of at least 1")
    if kind == "Managed" and capacity > MOST_INSTANCES:
        raise AzureError(
            400, "OutOfQuota", f"Deployment '{name}' asks for {capacity} instances: the limit is {MOST_INSTANCES}"
        )
    return int(capacity)


def share(given: dict[str, Any], compute: Document, name: str) -> Share:
    """What a container on a cluster gets: its own limits, or those of its instance type."""
    types = instance_types(compute)
    wanted = given.get("instanceType") or compute.properties["properties"]["defaultInstanceType"]
    if wanted not in types:
        raise _bad(
            f"instanceType '{wanted}' of deployment '{name}' does not exist on compute '{compute.id.name}':"
            f" {', '.join(types)}"
        )
    usual = (types[wanted] or {}).get("resources") or {}
    own = given.get("containerResourceRequirements") or {}
    asked = _amounts({**_plain(usual.get("requests")), **_plain(own.get("containerResourceRequests"))}, "Requests")
    most = _amounts({**_plain(usual.get("limits")), **_plain(own.get("containerResourceLimits"))}, "Limits")
    # Where only the limit is given, Kubernetes asks for as much.
    asked = {key: value for key, value in asked.items() if key in _plain(own.get("containerResourceRequests"))}
    for field, value in asked.items():
        if field in most and value > most[field]:
            raise _bad(
                f"containerResourceRequests.{field} of deployment '{name}' must be less than or equal to {field} limit"
            )
    gpus = most.get("gpu", asked.get("gpu", 0))
    if gpus != int(gpus) or asked.get("gpu", gpus) != gpus:
        raise _bad(f"gpu of deployment '{name}' must be a whole number, the same in requests and limits")
    memory = most.get("memory")
    return Share(most.get("cpu"), None if memory is None else int(memory), int(gpus))


def check_collector(given: dict[str, Any] | None, name: str) -> None:
    """Collections with a mode and a rate each."""
    if given is None:
        return
    if not isinstance(given.get("collections"), dict) or not given["collections"]:
        raise _bad(f"dataCollector of deployment '{name}' lacks 'collections'")
    _one_of(given.get("rollingRate", "Hour"), _ROLLING, f"dataCollector.rollingRate of deployment '{name}'")
    for collection, settings in given["collections"].items():
        what = f"dataCollector.collections.{collection} of deployment '{name}'"
        _one_of((settings or {}).get("dataCollectionMode", "Disabled"), _MODES, f"{what}: dataCollectionMode")
        rate = (settings or {}).get("samplingRate", 1)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise _bad(f"{what}: samplingRate '{rate}' is not a number from 0 to 1")
    headers = (given.get("requestLogging") or {}).get("captureHeaders") or []
    if not isinstance(headers, list) or not all(isinstance(each, str) for each in headers):
        raise _bad(f"dataCollector.requestLogging.captureHeaders of deployment '{name}' is not a list of texts")


def _amounts(given: dict[str, Any], what: str) -> dict[str, float]:
    spelled = {key.removeprefix("nvidia.com/"): value for key, value in given.items()}
    return {key: quantity(value, f"containerResource{what}.{key}") for key, value in spelled.items()}


def _plain(given: dict[str, Any] | None) -> dict[str, Any]:
    return {key.removeprefix("nvidia.com/"): value for key, value in (given or {}).items() if value is not None}


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer() and value >= 1


def _one_of(value: object, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise _bad(f"{what} '{value}' is none of {', '.join(allowed)}")


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadArgument", text)
