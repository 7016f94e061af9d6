"""How a deployment is hosted: on which machines or with which share of a cluster, how many, and what is kept of it.

Owns the translation of those settings into the properties of `OnlineDeployment`. Refuses to own the resource and what
may go together (`kinds.py`). Pure.
"""

from typing import Any

from azureml_scoring.monitoring import first_count
from azureml_scoring.settings.types import (
    DataCollectorSettings,
    DeploymentSettings,
    ResourcesSettings,
    ScaleSettings,
    require,
)


def hosting(field: str, deployment: DeploymentSettings, *, kubernetes: bool) -> dict[str, Any]:
    """Return those arguments of `OnlineDeployment` that say how it is hosted; `field` is where its settings stand."""
    common = {"data_collector": _collector(deployment.get("data_collector"))}
    machine, count = deployment.get("instance_type"), int(deployment.get("instance_count") or 1)
    if kubernetes:
        if machine is not None:
            require("kubernetesInstanceType", f"{field}.instanceType", machine)
        return {
            **common,
            "kind": "Kubernetes",
            "instance_type": machine,
            "instance_count": count,
            "scale_settings": _scale(deployment.get("scale")),
            "container_resource_requirements": _resources(deployment.get("resources")),
        }
    autoscale, egress = deployment.get("autoscale"), deployment.get("egress_public_network_access")
    return {
        **common,
        "instance_type": require("instanceType", f"{field}.instanceType", machine or ""),
        "instance_count": first_count(autoscale) if autoscale else count,
        "autoscaled": True if autoscale else None,
        "egress_public_network_access": None if egress is None else ("Enabled" if egress else "Disabled"),
    }


def _scale(scale: ScaleSettings | None) -> dict[str, Any] | None:
    if scale is None:
        return None
    return {
        "minInstances": int(scale.get("min_instances") or 1),
        "maxInstances": int(scale["max_instances"]),
        "targetUtilizationPercentage": int(scale.get("target_utilization_percentage") or 70),
        "pollingInterval": scale.get("polling_interval") or "PT1S",
    }


def _resources(resources: ResourcesSettings | None) -> dict[str, dict[str, str]] | None:
    parts: dict[str, Any] = {
        "containerResourceRequests": (resources or {}).get("requests") or {},
        "containerResourceLimits": (resources or {}).get("limits") or {},
    }
    found = {name: {key: _quantity(value) for key, value in part.items()} for name, part in parts.items() if part}
    return found or None


def _quantity(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _collector(collector: DataCollectorSettings | None) -> dict[str, Any] | None:
    if collector is None:
        return None
    collections = {
        name: {"dataCollectionMode": "Enabled", "samplingRate": (collection or {}).get("sampling_rate", 1)}
        for name, collection in collector["collections"].items()
    }
    headers = collector.get("capture_headers")
    return {
        "collections": collections,
        "rollingRate": (collector.get("rolling_rate") or "hour").capitalize(),
        **({"requestLogging": {"captureHeaders": list(headers)}} if headers else {}),
    }
