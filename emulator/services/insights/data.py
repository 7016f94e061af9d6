"""Azure Monitor's metrics of online endpoints: what clients were answered, minute by minute.

Owns the query (names, time span, filter by dimension) and the shape of the answer. The numbers are those that the
gateway has noted (`containers.Fleet`). Only the endpoint's traffic metrics are there, by the minute.
https://learn.microsoft.com/rest/api/monitor/metrics/list and
https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-machinelearningservices-workspaces-onlineendpoints-metrics
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from emulator.backends.fleet import Sample
from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.services.machinelearningservices.onlineendpoints.rules import ENDPOINTS
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment

_MINUTE = 60.0
_HOUR = 3600.0
_TERM = re.compile(r"(\w+) eq '([^']*)'")
_FILTER = re.compile(rf"{_TERM.pattern}( (and|or) {_TERM.pattern})*")


@dataclass(frozen=True)
class _Metric:
    """One metric: its unit, its dimensions, and its number for the samples of a minute."""

    unit: str
    dimensions: tuple[str, ...]
    of: Callable[[Sequence[Sample]], float | None]


def _latency(percent: int) -> Callable[[Sequence[Sample]], float | None]:
    def value(samples: Sequence[Sample]) -> float | None:
        ordered = sorted(each.seconds for each in samples)
        if not ordered:
            return None
        return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3)

    return value


def _mean(samples: Sequence[Sample]) -> float | None:
    return round(1000 * sum(each.seconds for each in samples) / len(samples), 3) if samples else None


METRICS: Mapping[str, _Metric] = {
    "RequestsPerMinute": _Metric(
        "Count", ("deployment", "statusCode", "statusCodeClass"), lambda samples: float(len(samples)) or None
    ),
    "RequestLatency": _Metric("MilliSeconds", ("deployment",), _mean),
    **{
        f"RequestLatency_P{each}": _Metric("MilliSeconds", ("deployment",), _latency(each)) for each in (50, 90, 95, 99)
    },
}


class Metrics(ResourceType):
    """Microsoft.Insights/metrics below an online endpoint."""

    type = "Microsoft.Insights/metrics"
    filtered = True

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """Sample a query: a time series for each metric, or for each value of the dimensions that are split by `*`."""
        endpoint = self.azure.find(scope.path)
        if scope.type.lower() != ENDPOINTS.lower():
            raise _bad(f"The local Azure has metrics of {ENDPOINTS} only, not of {scope.type}")
        names = [name for name in query.get("metricnames", "RequestsPerMinute").split(",") if name]
        if unknown := [name for name in names if name not in METRICS]:
            raise _bad(
                f"Failed to find metric configuration for provider: Microsoft.MachineLearningServices, resource Type: "
                f"workspaces/onlineEndpoints, metric: {unknown[0]}, Valid metrics: {','.join(METRICS)}"
            )
        if query.get("interval", "PT1M") != "PT1M":
            raise _bad(f"Detected invalid time grain input: {query['interval']}; the local Azure keeps PT1M")
        if query.get("aggregation", "Average").lower() != "average":
            raise _bad(f"The local Azure has the aggregation Average only, not {query['aggregation']}")
        start, end = _timespan(query.get("timespan", ""))
        dimensions = _filtered(query.get("$filter", ""), names)
        labelled = [
            (name, answer)
            for name, samples in self.azure.serving(OnlineDeployment).fleet.samples(scope.key).items()
            for answer in samples
        ]
        return {
            "cost": 0,
            "timespan": f"{_moment(start)}/{_moment(end)}",
            "interval": "PT1M",
            "namespace": ENDPOINTS,
            "resourceregion": endpoint.body["location"],
            "value": [_metric(scope, name, _series(METRICS[name], labelled, dimensions, start, end)) for name in names],
        }


def _series(
    metric: _Metric,
    labelled: Iterable[tuple[str, Sample]],
    dimensions: Mapping[str, Sequence[str]],
    start: float,
    end: float,
) -> list[dict[str, Any]]:
    """Group the samples by the requested dimensions; one series a group, with a number a minute."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for deployment, answer in labelled:
        values = {
            "deployment": deployment,
            "statusCode": str(answer.status),
            "statusCodeClass": f"{answer.status // 100}xx",
        }
        if all(_among(values[name], choices) for name, choices in dimensions.items()):
            groups.setdefault(tuple(values[name] for name in dimensions), []).append(answer)
    if not dimensions:
        groups.setdefault((), [])
    first = start - start % _MINUTE
    minutes = list(itertools.takewhile(lambda at: at < end, itertools.count(first, _MINUTE)))
    return [
        {
            "metadatavalues": [
                {"name": {"value": name, "localizedValue": name}, "value": value}
                for name, value in zip(dimensions, group, strict=True)
            ],
            "data": [_point(metric, at, samples) for at in minutes],
        }
        for group, samples in sorted(groups.items())
    ]


def _point(metric: _Metric, at: float, samples: Iterable[Sample]) -> dict[str, Any]:
    """The number of a minute; a minute without any has none."""
    value = metric.of([each for each in samples if at <= each.at < at + _MINUTE])
    return {"timeStamp": _moment(at), **({} if value is None else {"average": value})}


def _metric(scope: ResourceId, name: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{scope.path}/providers/Microsoft.Insights/metrics/{name}",
        "type": "Microsoft.Insights/metrics",
        "name": {"value": name, "localizedValue": name},
        "unit": METRICS[name].unit,
        "timeseries": series,
        "errorCode": "Success",
    }


def _filtered(text: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Read `$filter`: which values of which dimensions; `*` is each of them."""
    if text and not _FILTER.fullmatch(text):
        raise _bad(f"Invalid query filter string: {text}")
    dimensions: dict[str, list[str]] = {}
    for dimension, value in _TERM.findall(text):
        for name in names:
            if dimension not in METRICS[name].dimensions:
                raise _bad(f"Metric: {name} does not support requested dimension combination: {dimension.lower()}")
        dimensions.setdefault(dimension, []).append(value)
    return dimensions


def _among(value: str, choices: Sequence[str]) -> bool:
    return any(choice in {"*", value} or choice.lower() == value.lower() for choice in choices)


def _utc(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _timespan(text: str) -> tuple[float, float]:
    """Read `start/end`, in UTC where they name no zone; without it the last hour.

    The Azure CLI encodes it twice (`quote_plus` in azure-cli's monitor/custom.py), which Azure takes.
    """
    if not text:
        now = datetime.now(UTC).timestamp()
        return now - _HOUR, now
    try:
        start, end = (_utc(part) for part in unquote(text).split("/"))
    except ValueError:
        raise _bad(f"Detected invalid timespan: {text}; write START/END") from None
    if start >= end:
        raise _bad(f"The start time {text.partition('/')[0]} is not before the end time {text.partition('/')[2]}")
    return start, end


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadRequest", text)
