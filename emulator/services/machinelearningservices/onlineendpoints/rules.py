"""What Azure demands of endpoints and deployments: sizes, counts, shares of a cluster, probes, egress, data collection.

Owns those checks and the amounts that come out of them. Pure: workspace and compute are arguments.
https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-managed-online
https://learn.microsoft.com/azure/machine-learning/reference-yaml-deployment-kubernetes-online
"""

import re
from dataclasses import dataclass
from typing import Any

from emulator.backends.containers import Probe, Scale
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.machinelearningservices.computes.types import instance_types
from emulator.services.machinelearningservices.quotas.rules import SIZES
from emulator.services.machinelearningservices.workspaces.types import WORKSPACES

ENDPOINTS = f"{WORKSPACES}/onlineEndpoints"
DEPLOYMENTS = f"{ENDPOINTS}/deployments"
MOST_INSTANCES = 50
MOST_TIMEOUT = {"Managed": 180.0, "Kubernetes": 300.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGT]|[KMGT]i)?")
_UNITS = {"": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    f"{letter}i": 1024.0 ** (power + 1) for power, letter in enumerate("KMGT")
}
_MODES = ("Disabled", "Enabled")
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
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise bad_argument(f"{what} '{text}' is not a quantity like '500m', '2' or '1Gi'")
    return float(match[1]) * _UNITS[match[2] or ""]


def check_network(properties: dict[str, Any], kind: str, name: str, workspace: Document) -> None:
    """Egress is shut for managed deployments only, and not where the workspace's own network does it."""
    if properties["egressPublicNetworkAccess"] != "Disabled":
        return
    if kind != "Managed":
        raise bad_argument(f"egressPublicNetworkAccess of deployment '{name}' is for managed online endpoints only")
    mode = (workspace.properties.get("managedNetwork") or {}).get("isolationMode", "Disabled")
    if mode != "Disabled":
        raise bad_argument(
            f"egressPublicNetworkAccess of deployment '{name}' cannot be 'Disabled': the workspace has a managed"
            f" network ({mode}), whose rules apply"
        )


def scale(requested: dict[str, Any] | None, kind: str, name: str) -> dict[str, Any]:
    """Scale settings with Azure's defaults."""
    settings = {"scaleType": "Default", **{key: value for key, value in (requested or {}).items() if value is not None}}
    if settings["scaleType"] not in _SCALES[kind]:
        types = ", ".join(_SCALES[kind])
        raise bad_argument(
            f"scaleSettings.scaleType '{settings['scaleType']}' of deployment '{name}' ({kind}) is none of {types}"
        )
    if settings["scaleType"] == "Default":
        return settings
    settings = {**_SCALE_DEFAULTS, **settings}
    for field in ("minInstances", "maxInstances", "targetUtilizationPercentage"):
        if not _positive(settings[field]):
            raise bad_argument(
                f"scaleSettings.{field} '{settings[field]}' of '{name}' is not a whole number of at least 1"
            )
        settings[field] = int(settings[field])
    if settings["minInstances"] > settings["maxInstances"]:
        raise bad_argument(
            f"scaleSettings of deployment '{name}': minInstances {settings['minInstances']} is more than maxInstances"
            f" {settings['maxInstances']}"
        )
    if settings["targetUtilizationPercentage"] > _PERCENT:
        raise bad_argument(f"scaleSettings.targetUtilizationPercentage of deployment '{name}' is more than 100")
    return settings


def count(sku: dict[str, Any], properties: dict[str, Any], kind: str, name: str) -> int:
    """How many instances there are."""
    if properties["scaleSettings"]["scaleType"] == "TargetUtilization":
        return int(properties["scaleSettings"]["minInstances"])
    capacity = sku.get("capacity", 1)
    if not _positive(capacity):
        raise bad_argument(f"sku.capacity '{capacity}' of deployment '{name}' is not a whole number of at least 1")
    if kind == "Managed" and capacity > MOST_INSTANCES:
        raise AzureError(
            400, "OutOfQuota", f"Deployment '{name}' asks for {capacity} instances: the limit is {MOST_INSTANCES}"
        )
    return int(capacity)


def share(properties: dict[str, Any], compute: Document, name: str) -> Share:
    """What a container on a cluster gets: its own limits, or those of its instance type."""
    types = instance_types(compute)
    instance_type = properties.get("instanceType") or compute.properties["properties"]["defaultInstanceType"]
    if instance_type not in types:
        raise bad_argument(
            f"instanceType '{instance_type}' of deployment '{name}' does not exist on compute '{compute.id.name}':"
            f" {', '.join(types)}"
        )
    usual = (types[instance_type] or {}).get("resources") or {}
    own = properties.get("containerResourceRequirements") or {}
    requests = _amounts({**_plain(usual.get("requests")), **_plain(own.get("containerResourceRequests"))}, "Requests")
    limits = _amounts({**_plain(usual.get("limits")), **_plain(own.get("containerResourceLimits"))}, "Limits")
    # Where only a limit is set, Kubernetes requests as much.
    requests = {key: value for key, value in requests.items() if key in _plain(own.get("containerResourceRequests"))}
    for field, value in requests.items():
        if field in limits and value > limits[field]:
            raise bad_argument(
                f"containerResourceRequests.{field} of deployment '{name}' must be less than or equal to {field} limit"
            )
    gpus = limits.get("gpu", requests.get("gpu", 0))
    if gpus != int(gpus) or requests.get("gpu", gpus) != gpus:
        raise bad_argument(f"gpu of deployment '{name}' must be a whole number, the same in requests and limits")
    memory = limits.get("memory")
    return Share(limits.get("cpu"), None if memory is None else int(memory), int(gpus))


def collector(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """A data collector with Azure's spelling of its modes: azure-ai-ml writes them small."""
    collections = settings.get("collections")
    if not isinstance(collections, dict) or not collections:
        raise bad_argument(f"dataCollector of deployment '{name}' lacks 'collections'")
    headers = (settings.get("requestLogging") or {}).get("captureHeaders") or []
    if not isinstance(headers, list) or not all(isinstance(each, str) for each in headers):
        raise bad_argument(f"dataCollector.requestLogging.captureHeaders of deployment '{name}' is not a list of texts")
    rolling = _one_of(settings.get("rollingRate"), _ROLLING, f"dataCollector.rollingRate of deployment '{name}'")
    checked = {
        each: _collection(value or {}, f"dataCollector.collections.{each} of deployment '{name}'")
        for each, value in collections.items()
    }
    return {**settings, "rollingRate": rolling, "collections": checked}


def _collection(settings: dict[str, Any], what: str) -> dict[str, Any]:
    """One collection, with a mode and a rate."""
    rate = settings.get("samplingRate", 1)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise bad_argument(f"{what}: samplingRate '{rate}' is not a number from 0 to 1")
    mode = _one_of(settings.get("dataCollectionMode"), _MODES, f"{what}: dataCollectionMode")
    return {**settings, "dataCollectionMode": mode}


def _amounts(quantities: dict[str, Any], what: str) -> dict[str, float]:
    spelled = {key.removeprefix("nvidia.com/"): value for key, value in quantities.items()}
    return {key: quantity(value, f"containerResource{what}.{key}") for key, value in spelled.items()}


def _plain(quantities: dict[str, Any] | None) -> dict[str, Any]:
    return {key.removeprefix("nvidia.com/"): value for key, value in (quantities or {}).items() if value is not None}


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer() and value >= 1


def _one_of(value: object, allowed: tuple[str, ...], what: str) -> str:
    """A value as Azure spells it; the first one by default."""
    spelled = {each.lower(): each for each in allowed}
    if (match := spelled.get(str(value or allowed[0]).lower())) is None:
        raise bad_argument(f"{what} '{value}' is none of {', '.join(allowed)}")
    return match


def parent_of(id_: ResourceId) -> ResourceId:
    """The workspace of an endpoint, the endpoint of a deployment."""
    parent = id_.parent
    assert parent is not None  # noqa: S101 - endpoints and deployments have parents by their type
    return parent


def bad_argument(text: str) -> AzureError:
    """Azure ML's refusal of an argument."""
    return AzureError(400, "BadArgument", text)


ACCESS = ("Enabled", "Disabled")
ENDPOINT_KINDS = ("Managed", "Kubernetes")
ENDPOINT_PROVIDERS = ("Microsoft.PolicyInsights", "Microsoft.Cdn")
"""Providers that managed endpoints need registered, beside Azure ML's own."""
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
WHOLE = 100
_REQUEST_DEFAULTS = {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT5S", "maxQueueWait": "PT0.5S"}
_PROBE_DEFAULTS = {
    "initialDelay": "PT10S",
    "period": "PT10S",
    "timeout": "PT2S",
    "successThreshold": 1,
    "failureThreshold": 30,
}


def seconds(text: object, what: str) -> float:
    """An ISO 8601 duration in seconds (400 for anything else)."""
    match = _DURATION.fullmatch(str(text))
    if match is None or not any(match.groups()):
        raise bad_argument(f"{what} '{text}' is not an ISO 8601 duration like 'PT5S'")
    days, hours, minutes, rest = (float(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest


def traffic_shares(traffic: Any, what: str) -> dict[str, int]:  # noqa: ANN401 - JSON
    """Percentages by deployment (400 for anything else)."""
    if traffic is not None and not isinstance(traffic, dict):
        raise bad_argument(f"{what} is not an object of deployment names and percentages")
    for name, share in (traffic or {}).items():
        whole = isinstance(share, (int, float)) and not isinstance(share, bool) and float(share).is_integer()
        if not whole or not 0 <= share <= WHOLE:
            raise bad_argument(f"{what} of '{name}' is {share!r}: it must be a whole number from 0 to 100")
    return {name: int(share) for name, share in (traffic or {}).items()}


def defaults(requested: dict[str, Any], old: Document | None, name: str) -> dict[str, Any]:
    """Percentages by deployment (400 for anything else)."""
    compute = next((each for each in ENDPOINT_KINDS if each == requested.get("endpointComputeType")), None)
    if compute is None:
        raise bad_argument(
            f"endpointComputeType '{requested.get('endpointComputeType')}' of deployment '{name}' is none of"
            f" {', '.join(ENDPOINT_KINDS)}"
        )
    if old is not None and old.properties["endpointComputeType"] != compute:
        raise bad_argument(f"endpointComputeType of deployment '{name}' cannot be changed: make another deployment")
    instance = requested.get("instanceType")
    if compute == "Managed" and str(instance).lower() not in SIZES:
        raise bad_argument(f"instanceType '{instance}' of deployment '{name}' is not supported for managed endpoints")
    variables = requested.get("environmentVariables") or {}
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise bad_argument(f"environmentVariables of deployment '{name}' must all be texts")
    access = requested.get("egressPublicNetworkAccess", "Enabled")
    if access not in ACCESS:
        raise bad_argument(
            f"egressPublicNetworkAccess '{access}' of deployment '{name}' is neither 'Enabled' nor 'Disabled'"
        )
    return {
        "appInsightsEnabled": False,
        **requested,
        "environmentVariables": variables,
        "egressPublicNetworkAccess": access,
        "scaleSettings": scale(requested.get("scaleSettings"), compute, name),
        "requestSettings": {**_REQUEST_DEFAULTS, **_plain(requested.get("requestSettings"))},
        "livenessProbe": {**_PROBE_DEFAULTS, **_plain(requested.get("livenessProbe"))},
        "readinessProbe": {**_PROBE_DEFAULTS, **_plain(requested.get("readinessProbe"))},
    }


def scaling(settings: dict[str, Any]) -> Scale | None:
    """A deployment's properties with Azure's defaults; refuses what is wrong whatever else it has."""
    if settings["scaleType"] == "Default":
        return None
    minimum, maximum = settings["minInstances"], settings["maxInstances"]
    return Scale(least=minimum, most=maximum, target=settings["targetUtilizationPercentage"])


def request_settings(properties: dict[str, Any]) -> tuple[int, float]:
    """How many requests an instance takes at a time, and how many seconds one may take. Probes are checked too."""
    for name in ("livenessProbe", "readinessProbe"):
        probe(properties[name], {"path": "/", "port": 1}, name)
    settings = properties["requestSettings"]
    count = settings["maxConcurrentRequestsPerInstance"]
    if not _positive(count):
        raise bad_argument(
            f"requestSettings.maxConcurrentRequestsPerInstance '{count}' is not a whole number of at least 1"
        )
    timeout = seconds(settings["requestTimeout"], "requestSettings.requestTimeout")
    longest = MOST_TIMEOUT[properties["endpointComputeType"]]
    if not 0 < timeout <= longest:
        raise bad_argument(
            f"requestSettings.requestTimeout '{settings['requestTimeout']}' is not within PT0S and PT{longest / 60:g}M"
            f" ({longest:g} seconds)"
        )
    seconds(settings["maxQueueWait"], "requestSettings.maxQueueWait")
    return int(count), timeout


def probe(settings: dict[str, Any], route: dict[str, Any], what: str) -> Probe:
    """A probe with its route (400 for wrong thresholds and times)."""
    for name in ("successThreshold", "failureThreshold"):
        if not _positive(settings[name]):
            raise bad_argument(f"{what}.{name} '{settings[name]}' is not a whole number of at least 1")
    times = {name: seconds(settings[name], f"{what}.{name}") for name in ("initialDelay", "period", "timeout")}
    for name in ("period", "timeout"):
        if times[name] < 1:
            raise bad_argument(f"{what}.{name} '{settings[name]}' is less than PT1S")
    return Probe(
        path=route["path"],
        port=int(route["port"]),
        delay=times["initialDelay"],
        period=times["period"],
        timeout=times["timeout"],
        successes=int(settings["successThreshold"]),
        failures=int(settings["failureThreshold"]),
    )
