"""Instance type and count of a managed deployment, or resources and replicas of one on Kubernetes.

Owns `containerResourceRequirements`, `gpuCores`, `numReplicas` and `autoScaler`. Refuses to own the rest of the
deployment config (`config.py`). Pure.
https://learn.microsoft.com/azure/machine-learning/v1/reference-azure-machine-learning-cli#aks-deployment-configuration-schema
"""

import math
from typing import Any, Final

from azureml_scoring.convert.reading import Part
from azureml_scoring.convert.v1.sizes import choose
from azureml_scoring.settings.rules import duration_of

INSTANCES: Final = 50
"""Azure's limit for one managed deployment."""
_CPU, _MEMORY = 0.1, 0.5
"""v1's defaults of a container."""
_LEAST, _MOST, _TARGET = 1, 10, 70
"""v1's defaults of the autoscaler."""


def managed(part: Part, *, gpu: bool, aks: bool) -> dict[str, Any]:
    """Return the instance type and count of a managed deployment; `aks`: v1 had it on a cluster."""
    container = part.part("containerResourceRequirements")
    cpu, memory = container.number("cpu"), container.number("memoryInGB")
    gpus = int(container.number("gpu") or part.number("gpuCores") or (1 if gpu else 0))
    container.drop("cpuLimit", "memoryInGBLimit", reason="the instance type is the limit")
    container.end()
    size = choose(cpu or _CPU, memory or _MEMORY, gpus)
    offered = f"{size.cpu:g} cores, {size.memory:g} GB" + (f", {size.gpus} GPU" if size.gpus else "")
    wanted = f"{cpu or _CPU:g} cores, {memory or _MEMORY:g} GB" + (f", {gpus} GPU" if gpus else "")
    text = f"{wanted} a container; v2 is sized by instance type, one container each: {size.name} ({offered})"
    if size.cpu < (cpu or 0) or size.memory < (memory or 0) or size.gpus < gpus:
        text += ", the largest, which has less"
    part.note("changed", "containerResourceRequirements", text)
    return {"instanceType": size.name, **_managed_count(part, aks=aks)}


def _managed_count(part: Part, *, aks: bool) -> dict[str, Any]:
    replicas, scale = _counts(part, aks=aks)
    if scale is None:
        if replicas > INSTANCES:
            remedy = f"a deployment has {INSTANCES} at most; use two deployments"
            part.note("changed", "numReplicas", remedy, replicas)
        return {"instanceCount": min(replicas, INSTANCES)}
    least, most, target, _ = scale
    text = "Azure Monitor scales by CPU, v1 did by busy containers"
    part.note("changed", "autoScaler", text + (f"; {INSTANCES} at most" if most > INSTANCES else ""))
    autoscale: dict[str, Any] = {"min": min(least, INSTANCES), "max": min(most, INSTANCES)}
    if target != _TARGET:
        metric = "CpuUtilizationPercentage"
        autoscale["rules"] = [
            {"metric": metric, "above": target, "change": 1},
            {"metric": metric, "below": target // 2, "change": -1},
        ]
    return {"autoscale": autoscale}


def on_cluster(part: Part, *, gpu: bool) -> dict[str, Any]:
    """Return the resources and the count of a deployment on Kubernetes: as v1 had them."""
    container = part.part("containerResourceRequirements")
    cpu, memory = container.number("cpu"), container.number("memoryInGB")
    most_cpu, most_memory = container.number("cpuLimit"), container.number("memoryInGBLimit")
    gpus = int(container.number("gpu") or part.number("gpuCores") or (1 if gpu else 0))
    container.end()
    requests = {"cpu": f"{cpu or _CPU:g}", "memory": _gigabytes(memory or _MEMORY)}
    limits: dict[str, Any] = {}
    if most_cpu:
        limits["cpu"] = f"{most_cpu:g}"
    if most_memory:
        limits["memory"] = _gigabytes(most_memory)
    if gpus:
        limits["gpu"] = gpus
    resources: dict[str, Any] = {"requests": requests, **({"limits": limits} if limits else {})}
    replicas, scale = _counts(part, aks=True)
    if scale is None:
        return {"resources": resources, "instanceCount": replicas}
    least, most, target, seconds = scale
    wanted = {"minInstances": least, "maxInstances": most, "targetUtilizationPercentage": target}
    return {"resources": resources, "scale": {**wanted, "pollingInterval": duration_of(seconds)}}


def _gigabytes(amount: float) -> str:
    """Write gigabytes as whole units: the stack file takes no fractions."""
    return f"{amount:g}Gi" if amount == int(amount) else f"{math.ceil(amount * 1024)}Mi"


def _counts(part: Part, *, aks: bool) -> tuple[int, tuple[int, int, int, float] | None]:
    """Return the replicas, and least, most, target and period of the autoscaler; None where there is none.

    On a cluster v1 scaled by itself unless numReplicas was set.
    https://learn.microsoft.com/python/api/azureml-core/azureml.core.webservice.aks.akswebservice#azureml-core-webservice-aks-akswebservice-deploy-configuration
    """
    replicas, scale = part.number("numReplicas"), part.part("autoScaler")
    on = scale.flag("autoscaleEnabled")
    least, most = scale.number("minReplicas"), scale.number("maxReplicas")
    period = scale.number("refreshPeriodInSeconds") or scale.number("refreshSeconds")
    target = scale.number("targetUtilization")
    scale.end()
    by_default = aks and replicas is None and not (on or least or most or target)
    if on is False or not (on or least or most or target or by_default):
        return max(1, int(replicas or 1)), None
    if by_default:
        text = f"neither numReplicas nor autoScaler is set; v1's default is written: {_LEAST} to {_MOST} at {_TARGET} %"
        part.note("changed", "autoScaler", text)
    bottom = int(least or _LEAST)
    return 1, (bottom, max(bottom, int(most or _MOST)), int(target or _TARGET), max(1, period or 1))
