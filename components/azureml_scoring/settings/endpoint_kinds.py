"""Mixtures of an endpoint's kind with the rest: what only a managed endpoint has, and what only one on Kubernetes.

Owns the refusals, one line each. Refuses to own what goes together whatever the kind is (`mixtures.py`). Pure.
https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online#managed-online-endpoints-vs-kubernetes-online-endpoints
https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas#azure-machine-learning-online-endpoints-and-batch-endpoints
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from azureml_scoring.settings.types import RULES, AutoscaleMetric, at_most, error_line, seconds_of

KINDS: Final = ("managed", "kubernetes")
REQUEST_SECONDS: Final = {"managed": 180, "kubernetes": 300}
_INSTANCES: Final = 50
"""Azure's limit for one managed deployment."""
_METRICS: Final = get_args(AutoscaleMetric)
_WINDOW: Final = (300, 12 * 3600)
_COOLDOWN: Final = (60, 7 * 24 * 3600)
_SPEAKS: Final = ("request", "response")
"""Collections that hold payloads."""
_RULE_LIMIT: Final = 10
_AUTOSCALE_TAGS: Final = 15
_FACTORS: Final = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", start=1)
}
_ONLY_KUBERNETES: Final = {
    "resources": "a managed deployment has its whole machine; choose that by instanceType",
    "scale": "the cluster's scaling is for endpoint.kind kubernetes; write autoscale",
}
_ONLY_MANAGED: Final = {
    "autoscale": "Azure Monitor scales managed deployments only; write scale",
    "egress_public_network_access": "the cluster's own network decides what it reaches; take it out",
}
_SHOWN: Final = {"egress_public_network_access": "egressPublicNetworkAccess"}

Section = Mapping[str, Any]


def kind_refusals(settings: Section) -> Iterator[str]:
    """List what the endpoint's kind cannot do. `settings` has the sections of `ScoringStackArgs`."""
    endpoint: Section = settings.get("endpoint") or {}
    workspace: Section = settings.get("workspace") or {}
    kind = endpoint.get("kind") or "managed"
    if kind not in KINDS:
        yield error_line("endpoint.kind", kind, f"one of {', '.join(KINDS)}")
        return
    if kind == "kubernetes":
        yield from _on_kubernetes(endpoint, workspace)
    else:
        for field in ("compute", "cluster"):
            if field in endpoint:
                remedy = "a managed endpoint has no cluster; write endpoint.kind: kubernetes, or take it out"
                yield error_line(f"endpoint.{field}", endpoint[field], remedy)
    if "diagnostics" in endpoint and "id" in workspace and "log_workspace" not in endpoint["diagnostics"]:
        remedy = "where to? workspace.id names a workspace whose logs are somebody's; write its ARM id"
        yield error_line("endpoint.diagnostics.logWorkspace", "", remedy)
    for name, deployment in settings["deployments"].items():
        yield from _deployment(f"deployments.{name}", kind, deployment)
        if "autoscale" in deployment and len(settings.get("tags") or {}) > _AUTOSCALE_TAGS:
            remedy = f"an autoscale setting takes {_AUTOSCALE_TAGS} tags; take some out"
            yield error_line("tags", f"{len(settings['tags'])} tags", remedy)


def _on_kubernetes(endpoint: Section, workspace: Section) -> Iterator[str]:
    yield from _compute(endpoint, workspace)
    if endpoint.get("auth") == "aad-token":
        yield error_line("endpoint.auth", "aad-token", "Entra tokens are for managed endpoints; write key or aml-token")
    if endpoint.get("public_network_access") is False:
        remedy = "the cluster's own network decides who reaches it; take it out"
        yield error_line("endpoint.publicNetworkAccess", value=False, remedy=remedy)
    for field, shown in (("mirror", "mirror"), ("mirror_first", "mirrorFirst")):
        if endpoint.get(field):
            yield error_line(
                f"endpoint.{shown}", endpoint[field], "Azure mirrors on managed endpoints only; take it out"
            )


def _compute(endpoint: Section, workspace: Section) -> Iterator[str]:
    compute = endpoint.get("compute")
    if compute is None:
        yield error_line(
            "endpoint.compute", "", "which one? write the name of a compute that is attached to the workspace"
        )
    elif "/" not in compute:
        if problem := RULES["compute"].problem(compute):
            yield error_line("endpoint.compute", compute, problem)
        if "cluster" not in endpoint and "id" not in workspace:
            remedy = "the workspace is new and has none; name the cluster to attach by endpoint.cluster.id"
            yield error_line("endpoint.compute", compute, remedy)
    elif problem := RULES["computeId"].problem(compute):
        yield error_line("endpoint.compute", compute, problem)
    elif "cluster" in endpoint:
        yield error_line("endpoint.compute", compute, "endpoint.cluster is attached under a plain name; write one")
    elif not compute.lower().startswith(f"{workspace.get('id', '?')}/computes/".lower()):
        yield error_line("endpoint.compute", compute, "it lies in another workspace; name that one by workspace.id")


def _deployment(field: str, kind: str, deployment: Section) -> Iterator[str]:
    for name, remedy in (_ONLY_MANAGED if kind == "kubernetes" else _ONLY_KUBERNETES).items():
        if name in deployment:
            yield error_line(f"{field}.{_SHOWN.get(name, name)}", deployment[name], remedy)
    machine, count = deployment.get("instance_type"), deployment.get("instance_count")
    rule = RULES["instanceType" if kind == "managed" else "kubernetesInstanceType"]
    if machine is None and kind == "managed":
        yield error_line(f"{field}.instanceType", "", "which machine? write a size, such as Standard_DS3_v2")
    elif machine is not None and (problem := rule.problem(machine)):
        yield error_line(f"{field}.instanceType", machine, problem)
    if count is not None and kind == "managed" and count > _INSTANCES:
        yield error_line(f"{field}.instanceCount", count, f"Azure takes {_INSTANCES}; share over two deployments")
    for scaling in ("autoscale", "scale"):
        if count is not None and scaling in deployment:
            yield error_line(f"{field}.instanceCount", count, f"{scaling} says how many; take out one of them")
    yield from _requests(f"{field}.requestSettings", kind, deployment.get("request_settings") or {})
    yield from _autoscale(f"{field}.autoscale", deployment.get("autoscale"))
    yield from _scale(f"{field}.scale", deployment.get("scale"))
    yield from _resources(f"{field}.resources", deployment.get("resources") or {})
    yield from _collector(f"{field}.dataCollector", deployment.get("data_collector"))


def _requests(field: str, kind: str, requests: Section) -> Iterator[str]:
    timeout = requests.get("request_timeout")
    if timeout is None:
        return
    try:
        at_most(REQUEST_SECONDS[kind])(timeout)
    except ValueError as error:
        yield error_line(f"{field}.requestTimeout", timeout, str(error))


def _autoscale(field: str, autoscale: Section | None) -> Iterator[str]:
    if autoscale is None:
        return
    least, most = autoscale["min"], autoscale["max"]
    first = autoscale.get("default", least)
    if most > _INSTANCES:
        yield error_line(f"{field}.max", most, f"Azure takes {_INSTANCES}; share over two deployments")
    if least > most:
        yield error_line(f"{field}.min", least, f"it is more than max, {most}; write less")
    elif not least <= first <= most:
        yield error_line(f"{field}.default", first, f"it lies outside min and max; write {least} to {most}")
    rules = autoscale.get("rules") or []
    if len(rules) > _RULE_LIMIT:
        yield error_line(f"{field}.rules", rules, f"Azure takes {_RULE_LIMIT}; take some out")
    for place, rule in enumerate(rules):
        yield from _rule(f"{field}.rules.{place}", rule)


def _rule(field: str, rule: Section) -> Iterator[str]:
    if rule["metric"] not in _METRICS:
        yield error_line(f"{field}.metric", rule["metric"], f"one of {', '.join(_METRICS)}")
    if ("above" in rule) == ("below" in rule):
        yield error_line(f"{field}.above", rule.get("above", ""), "when does it change? write either above or below")
    if rule["change"] == 0:
        yield error_line(f"{field}.change", 0, "it changes nothing; write 1, or -1 for one less")
    for name, (least, most) in (("window", _WINDOW), ("cooldown", _COOLDOWN)):
        if name in rule and not least <= seconds_of(rule[name]) <= most:
            remedy = f"Azure takes {least} seconds to {most // 3600} hours; write PT5M"
            yield error_line(f"{field}.{name}", rule[name], remedy)


def _scale(field: str, scale: Section | None) -> Iterator[str]:
    if scale is not None and scale.get("min_instances", 1) > scale["max_instances"]:
        remedy = f"it is more than maxInstances, {scale['max_instances']}; write less"
        yield error_line(f"{field}.minInstances", scale["min_instances"], remedy)


def _resources(field: str, resources: Section) -> Iterator[str]:
    asked: Section = resources.get("requests") or {}
    most: Section = resources.get("limits") or {}
    for part in ("requests", "limits"):
        for name in ("cpu", "memory"):
            given = (resources.get(part) or {}).get(name)
            if given is not None and (problem := RULES[name].problem(given)):
                yield error_line(f"{field}.{part}.{name}", given, problem)
                return
    for name in ("cpu", "memory"):
        if name in asked and name in most and amount(asked[name]) > amount(most[name]):
            yield error_line(
                f"{field}.requests.{name}", asked[name], f"it is more than the limit, {most[name]}; write less"
            )
    if "gpu" in asked and asked["gpu"] != most.get("gpu"):
        remedy = "a GPU is never shared, so requests and limits are the same; write it under limits only"
        yield error_line(f"{field}.requests.gpu", asked["gpu"], remedy)


def amount(quantity: str) -> float:
    """Turn a Kubernetes quantity of CPU or memory into a number of cores or bytes."""
    number = quantity.rstrip("mkKMGTi")
    unit = quantity[len(number) :]
    return float(number) / 1000 if unit == "m" else float(number) * _FACTORS[unit]


def _collector(field: str, collector: Section | None) -> Iterator[str]:
    if collector is None:
        return
    if not collector["collections"]:
        yield error_line(f"{field}.collections", {}, "what is kept? write request, response, or names of your own")
    elif "capture_headers" in collector and not any(name in collector["collections"] for name in _SPEAKS):
        remedy = "headers are kept with payloads; add the collection request or response"
        yield error_line(f"{field}.captureHeaders", ", ".join(collector["capture_headers"]), remedy)
