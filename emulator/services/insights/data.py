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

from emulator.backends.fleet import Answer
from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.services.machinelearningservices.onlineendpoints.rules import ENDPOINTS
from emulator.services.machinelearningservices.onlineendpoints.types import deployments

_MINUTE = 60.0
_HOUR = 3600.0
_TERM = re.compile(r"(\w+) eq '([^']*)'")
_FILTER = re.compile(rf"{_TERM.pattern}( (and|or) {_TERM.pattern})*")


@dataclass(frozen=True)
class _Kind:
    """One metric: its unit, its dimensions, and its number for the answers of a minute."""

    unit: str
    dimensions: tuple[str, ...]
    of: Callable[[Sequence[Answer]], float | None]


def _latency(percent: int) -> Callable[[Sequence[Answer]], float | None]:
    def value(answers: Sequence[Answer]) -> float | None:
        ordered = sorted(each.seconds for each in answers)
        if not ordered:
            return None
        return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3)

    return value


def _mean(answers: Sequence[Answer]) -> float | None:
    return round(1000 * sum(each.seconds for each in answers) / len(answers), 3) if answers else None


KINDS: Mapping[str, _Kind] = {
    "RequestsPerMinute": _Kind(
        "Count", ("deployment", "statusCode", "statusCodeClass"), lambda answers: float(len(answers)) or None
    ),
    "RequestLatency": _Kind("MilliSeconds", ("deployment",), _mean),
    **{f"RequestLatency_P{each}": _Kind("MilliSeconds", ("deployment",), _latency(each)) for each in (50, 90, 95, 99)},
}


class Metrics(ResourceType):
    """Microsoft.Insights/metrics below an online endpoint."""

    type = "Microsoft.Insights/metrics"

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """Answer a query: a time series for each metric, or for each value of the dimensions that are split by `*`."""
        endpoint = self.azure.find(scope.path)
        if scope.type.lower() != ENDPOINTS.lower():
            raise _bad(f"The local Azure has metrics of {ENDPOINTS} only, not of {scope.type}")
        names = [name for name in query.get("metricnames", "RequestsPerMinute").split(",") if name]
        if unknown := [name for name in names if name not in KINDS]:
            raise _bad(
                f"Failed to find metric configuration for provider: Microsoft.MachineLearningServices, resource Type: "
                f"workspaces/onlineEndpoints, metric: {unknown[0]}, Valid metrics: {','.join(KINDS)}"
            )
        if query.get("interval", "PT1M") != "PT1M":
            raise _bad(f"Detected invalid time grain input: {query['interval']}; the local Azure keeps PT1M")
        if query.get("aggregation", "Average").lower() != "average":
            raise _bad(f"The local Azure has the aggregation Average only, not {query['aggregation']}")
        start, end = _timespan(query.get("timespan", ""))
        wanted = _filtered(query.get("$filter", ""), names)
        told = [
            (name, answer)
            for name, answers in deployments(self.azure).fleet.answers(scope.key).items()
            for answer in answers
        ]
        return {
            "cost": 0,
            "timespan": f"{_moment(start)}/{_moment(end)}",
            "interval": "PT1M",
            "namespace": ENDPOINTS,
            "resourceregion": endpoint.body["location"],
            "value": [_metric(scope, name, _series(KINDS[name], told, wanted, start, end)) for name in names],
        }


def _series(
    kind: _Kind,
    told: Iterable[tuple[str, Answer]],
    wanted: Mapping[str, Sequence[str]],
    start: float,
    end: float,
) -> list[dict[str, Any]]:
    """Group the answers by the dimensions asked for; one series a group, with a number a minute."""
    groups: dict[tuple[str, ...], list[Answer]] = {}
    for deployment, answer in told:
        values = {
            "deployment": deployment,
            "statusCode": str(answer.status),
            "statusCodeClass": f"{answer.status // 100}xx",
        }
        if all(_among(values[name], choices) for name, choices in wanted.items()):
            groups.setdefault(tuple(values[name] for name in wanted), []).append(answer)
    if not wanted:
        groups.setdefault((), [])
    first = start - start % _MINUTE
    minutes = list(itertools.takewhile(lambda at: at < end, itertools.count(first, _MINUTE)))
    return [
        {
            "metadatavalues": [
                {"name": {"value": name, "localizedValue": name}, "value": value}
                for name, value in zip(wanted, group, strict=True)
            ],
            "data": [_point(kind, at, answers) for at in minutes],
        }
        for group, answers in sorted(groups.items())
    ]


def _point(kind: _Kind, at: float, answers: Iterable[Answer]) -> dict[str, Any]:
    """The number of a minute; a minute without any has none."""
    value = kind.of([each for each in answers if at <= each.at < at + _MINUTE])
    return {"timeStamp": _moment(at), **({} if value is None else {"average": value})}


def _metric(scope: ResourceId, name: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{scope.path}/providers/Microsoft.Insights/metrics/{name}",
        "type": "Microsoft.Insights/metrics",
        "name": {"value": name, "localizedValue": name},
        "unit": KINDS[name].unit,
        "timeseries": series,
        "errorCode": "Success",
    }


def _filtered(text: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Read `$filter`: which values of which dimensions; `*` is each of them."""
    if text and not _FILTER.fullmatch(text):
        raise _bad(f"Invalid query filter string: {text}")
    wanted: dict[str, list[str]] = {}
    for dimension, value in _TERM.findall(text):
        for name in names:
            if dimension not in KINDS[name].dimensions:
                raise _bad(f"Metric: {name} does not support requested dimension combination: {dimension.lower()}")
        wanted.setdefault(dimension, []).append(value)
    return wanted


def _among(value: str, choices: Sequence[str]) -> bool:
    return any(choice in {"*", value} or choice.lower() == value.lower() for choice in choices)


def _timespan(text: str) -> tuple[float, float]:
    """Read `start/end`; without it the last hour."""
    if not text:
        now = datetime.now(UTC).timestamp()
        return now - _HOUR, now
    try:
        start, end = (datetime.fromisoformat(part).timestamp() for part in text.split("/"))
    except ValueError:
        raise _bad(f"Detected invalid timespan: {text}; write START/END") from None
    if start >= end:
        raise _bad(f"The start time {text.partition('/')[0]} is not before the end time {text.partition('/')[2]}")
    return start, end


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadRequest", text)
