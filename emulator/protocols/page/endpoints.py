"""Endpoints: split and mirror, what each deployment answers, its instances; and one request to try.

The figures are those of Azure Monitor's face (`insights.data`), minute by minute.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from emulator.backends.fleet import Fleet, Pool
from emulator.core.azure import Azure, Request
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.protocols.page import words
from emulator.services.graph import access as entra
from emulator.services.insights.data import Metrics
from emulator.services.machinelearningservices.onlineendpoints.rules import DEPLOYMENTS, ENDPOINTS
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment

EXAMPLE = "page-example"
"""The name of the stored request that "ask it" offers."""
MINUTES = 15
DEPLOYMENT = "azureml-model-deployment"
_MINUTE = 60
_SECONDS = 90.0
_LONGEST_REPLY = 20_000
_FIGURES = {
    "requests": ("RequestsPerMinute", "deployment eq '*'"),
    "errors": ("RequestsPerMinute", "deployment eq '*' and statusCodeClass eq '*'"),
    "p50": ("RequestLatency_P50", "deployment eq '*'"),
    "p95": ("RequestLatency_P95", "deployment eq '*'"),
}

Series = dict[str, list[float | None]]


def endpoints(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The view model: each endpoint with its deployments."""
    del query
    fleet = azure.serving(OnlineDeployment).fleet
    listed = azure.store.of_type(ENDPOINTS)
    return {
        "example": azure.store.fact(EXAMPLE) or '{"data": []}',
        "minutes": [each * _MINUTE for each in _minutes(time.time())],
        "endpoints": [
            endpoint_model(each, azure.store.of_type(DEPLOYMENTS, each.id), fleet, figures(azure, each.id))
            for each in listed
        ],
    }


def endpoint_model(
    endpoint: Document, deployments: Iterable[Document], fleet: Fleet, measured: Mapping[str, Series]
) -> dict[str, Any]:
    """One endpoint."""
    properties, state = endpoint.properties, words.state_of(endpoint)
    traffic, mirror = properties.get("traffic") or {}, properties.get("mirrorTraffic") or {}
    return {
        "id": endpoint.id.path,
        "key": endpoint.id.key,
        "name": endpoint.id.name,
        "kind": endpoint.body.get("kind"),
        "state": state,
        "tone": words.tone_of(state),
        "scoringUri": properties.get("scoringUri"),
        "authMode": properties.get("authMode"),
        "deployments": [
            deployment_model(each, traffic, mirror, fleet.pools.get(each.id.key), measured)
            # By name: each keeps its place when another is replaced.
            for each in sorted(deployments, key=lambda each: each.id.key)
        ],
    }


def deployment_model(
    deployment: Document,
    traffic: Mapping[str, int],
    mirror: Mapping[str, int],
    pool: Pool | None,
    measured: Mapping[str, Series],
) -> dict[str, Any]:
    """One deployment: its share, its figures, its instances."""
    state, name = words.state_of(deployment), deployment.id.name
    series = {figure: measured[figure].get(name.lower(), [None] * MINUTES) for figure in _FIGURES}
    replicas = pool.replicas if pool else []
    return {
        "id": deployment.id.path,
        "key": deployment.id.key,
        "name": name,
        "state": state,
        "tone": words.tone_of(state),
        "traffic": _share(traffic, name),
        "mirror": _share(mirror, name),
        "image": pool.spec.image if pool else "",
        "size": deployment.properties.get("instanceType"),
        "instances": (deployment.body.get("sku") or {}).get("capacity"),
        "containers": [{"name": each.container[:12], "ready": each.ready, "busy": each.busy} for each in replicas],
        "series": series,
        "requests": int(sum(each or 0 for each in series["requests"])),
        "errors": int(sum(each or 0 for each in series["errors"])),
        "p50": _latest(series["p50"]),
        "p95": _latest(series["p95"]),
    }


def figures(azure: Azure, endpoint: ResourceId, now: float | None = None) -> dict[str, Series]:
    """The figures of the last minutes by deployment, as Azure Monitor's face answers them."""
    minutes = _minutes(time.time() if now is None else now)
    span = "/".join(_moment(each * _MINUTE) for each in (minutes[0], minutes[-1] + 1))
    metrics = azure.serving(Metrics)
    found: dict[str, Series] = {}
    for figure, (name, filtered) in _FIGURES.items():
        asked = {"metricnames": name, "timespan": span, "$filter": filtered}
        found[figure] = _by_deployment(
            metrics.collection(endpoint, asked)["value"][0]["timeseries"], errors=figure == "errors"
        )
    return found


def _by_deployment(series: Iterable[dict[str, Any]], *, errors: bool) -> Series:
    """Series by deployment; of errors those of the classes 4xx and 5xx, added up."""
    found: Series = {}
    for one in series:
        labels = {each["name"]["value"]: each["value"] for each in one["metadatavalues"]}
        values = [point.get("average") for point in one["data"]]
        if errors and labels["statusCodeClass"] not in {"4xx", "5xx"}:
            continue
        before = found.get(labels["deployment"], [None] * len(values))
        found[labels["deployment"]] = [_sum(pair) for pair in zip(before, values, strict=True)]
    return found


def ask(azure: Azure, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request to an endpoint with its own key or token, which the browser never gets; how it was answered."""
    endpoint = azure.find(str(body.get("endpoint")))
    if endpoint.id.type != ENDPOINTS:
        raise AzureError(400, "BadRequest", f"'{endpoint.id.path}' is no online endpoint.")
    headers = {"Authorization": f"Bearer {_credential(azure, endpoint)}", "Content-Type": "application/json"}
    if body.get("deployment"):
        headers[DEPLOYMENT] = str(body["deployment"])
    begun = time.monotonic()
    try:
        reply = httpx.post(
            endpoint.properties["scoringUri"],
            content=str(body.get("request", "")).encode(),
            headers=headers,
            timeout=_SECONDS,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise AzureError(502, "BadGateway", f"The endpoint does not answer: {type(error).__name__}.") from error
    return {
        "status": reply.status_code,
        "milliseconds": round(1000 * (time.monotonic() - begun), 1),
        "deployment": reply.headers.get(DEPLOYMENT, ""),
        "body": reply.text[:_LONGEST_REPLY],
    }


def _credential(azure: Azure, endpoint: Document) -> str:
    principal = entra.deployer(azure).principal
    mode = endpoint.properties["authMode"]
    if mode == "AADToken":
        return entra.issue_token(azure, principal, entra.ML_AUDIENCES[0])
    action, name = ("listKeys", "primaryKey") if mode == "Key" else ("token", "accessToken")
    answer = azure.service(ENDPOINTS).action(endpoint, action, Request("POST", endpoint.id.path, principal))
    return str((answer.body or {})[name])


def _share(shares: Mapping[str, int], name: str) -> int:
    return next((share for each, share in shares.items() if each.lower() == name.lower()), 0)


def _minutes(now: float) -> range:
    last = int(now // _MINUTE)
    return range(last - MINUTES + 1, last + 1)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _sum(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) if known else None


def _latest(values: Sequence[float | None]) -> float | None:
    return next((each for each in reversed(values) if each is not None), None)
