"""Turns the YAML of a deployment into an entry of `deployments`, with what it runs. Owns what each field becomes."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from azureml_scoring.convert.reading import Part
from azureml_scoring.convert.v2.assets import Base, Source, read_code, read_model, read_source, reference
from azureml_scoring.convert.v2.endpoint import READ_ONLY, switch
from azureml_scoring.settings.rules import duration_of

_PROBE: Final = ("initial_delay", "period", "timeout")
_THRESHOLDS: Final = ("success_threshold", "failure_threshold")
_SECOND: Final = 1000


@dataclass
class Deployment:
    """A deployment, as its file says."""

    name: str
    endpoint: str
    """Name of the endpoint; empty where the command names it."""
    kind: str
    """`managed`, `kubernetes`, or empty where the file does not say."""
    section: dict[str, Any]
    """What the deployment has of its own."""
    source: Source
    model: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)


def read_deployment(part: Part, base: Base) -> Deployment:
    """Read a deployment's file whole."""
    schema = part.text("$schema")
    part.skip(*READ_ONLY)
    name, endpoint = part.text("name") or "blue", part.text("endpoint_name")
    if name != (plain := re.sub("[^A-Za-z0-9-]+", "-", name).strip("-")):
        part.note("changed", "name", f"Azure takes letters, digits and dashes: {plain}", name)
    kind = part.text("type").lower() or ("kubernetes" if "kubernetes" in schema.lower() else "")
    source, model, code = read_source(part, base, plain), read_model(part, base), read_code(part, base)
    section = _section(part)
    if source.routes:
        section["routes"] = source.routes
    part.drop("properties", reason="Azure reserves properties for itself; use tags")
    part.drop("private_network_connection", reason="Azure's older way; egress_public_network_access replaced it")
    part.end()
    return Deployment(plain, endpoint, kind, section, source, model, code)


def _section(part: Part) -> dict[str, Any]:
    count = part.number("instance_count")
    values: dict[str, Any] = {
        "description": part.text("description"),
        "instanceType": part.text("instance_type"),
        "instanceCount": int(count) if count is not None else None,
        "scale": _scale(part.part("scale_settings")),
        "resources": _resources(part.part("resources")),
        "egressPublicNetworkAccess": switch(part, "egress_public_network_access"),
        "dataCollector": _collector(part.part("data_collector")),
        "environmentVariables": part.texts("environment_variables"),
        "livenessProbe": _probe(part.part("liveness_probe")),
        "readinessProbe": _probe(part.part("readiness_probe")),
        "requestSettings": _requests(part.part("request_settings")),
        "appInsights": part.flag("app_insights_enabled"),
        "tags": part.texts("tags"),
    }
    if values["scale"] and count is not None:
        part.note("dropped", "instance_count", "scale_settings says how many", f"{count:g}")
        values["instanceCount"] = None
    return {key: value for key, value in values.items() if value not in ("", None, {})}


def _scale(part: Part) -> dict[str, Any]:
    kind = part.text("type").lower().replace("_", "")
    numbers = {key: part.number(key) for key in ("min_instances", "max_instances", "target_utilization_percentage")}
    interval = part.number("polling_interval")
    part.end()
    if kind != "targetutilization":
        return {}
    least, most, target = (int(value) if value is not None else None for value in numbers.values())
    values = {"minInstances": least, "maxInstances": most or least or 1, "targetUtilizationPercentage": target}
    scale: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
    return scale | ({"pollingInterval": duration_of(interval)} if interval is not None else {})


def _resources(part: Part) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    for side in ("requests", "limits"):
        amounts = part.part(side)
        gpus = amounts.number("gpu") or amounts.number("nvidia.com/gpu")
        values = {"cpu": amounts.text("cpu"), "memory": amounts.text("memory"), "gpu": int(gpus) if gpus else None}
        amounts.end()
        if any(values.values()):
            resources[side] = {key: value for key, value in values.items() if value}
    part.end()
    return resources


def _probe(part: Part) -> dict[str, Any]:
    times = {key: part.number(key) for key in _PROBE}
    counts = {key: part.number(key) for key in _THRESHOLDS}
    part.end()
    names = {"initial_delay": "initialDelay", "success_threshold": "successThreshold"}
    names |= {"failure_threshold": "failureThreshold"}
    probe: dict[str, Any] = {
        names.get(key, key): duration_of(value) for key, value in times.items() if value is not None
    }
    return probe | {names[key]: int(value) for key, value in counts.items() if value is not None}


def _requests(part: Part) -> dict[str, Any]:
    count = part.number("max_concurrent_requests_per_instance")
    times = {"requestTimeout": part.number("request_timeout_ms"), "maxQueueWait": part.number("max_queue_wait_ms")}
    part.end()
    requests: dict[str, Any] = {"maxConcurrentRequestsPerInstance": int(count)} if count is not None else {}
    return requests | {key: duration_of(value / _SECOND) for key, value in times.items() if value is not None}


def _collector(part: Part) -> dict[str, Any]:
    rate, rolling = part.number("sampling_rate"), part.text("rolling_rate").lower()
    logging = part.part("request_logging")
    headers = logging.take("capture_headers") or []
    logging.end()
    collections, listed = part.part("collections"), {}
    for name in list(collections.rest):
        each = collections.part(name)
        is_on, own_rate = each.flag("enabled"), each.number("sampling_rate")
        share, data = own_rate if own_rate is not None else rate, _collected(each)
        if is_on:
            values = {"samplingRate": share, "data": data}
            listed[name] = {key: value for key, value in values.items() if value is not None}
    part.end()
    if not listed:
        return {}
    collector: dict[str, Any] = {"collections": listed}
    if rolling:
        collector["rollingRate"] = rolling
    return collector | ({"captureHeaders": list(headers)} if headers else {})


def _collected(part: Part) -> str | None:
    """Read where a collection is stored: a registered data asset, or the folder that one gets registered for."""
    part.drop("client_id", reason="the endpoint's identity writes")
    if isinstance(part.rest.get("data"), str):
        data: str | None = reference(part, "data", part.text("data"))
    else:
        asset = part.part("data")
        data = asset.text("path") or None
        asset.drop("data_id", reason="az ml does not read it")
        named = "endpoint, deployment and collection give its name, the path its version"
        asset.drop("name", "version", reason=named, kind="changed")
        asset.end()
    part.end()
    return data
