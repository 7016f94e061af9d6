"""What clients of an endpoint were answered, as Azure Monitor has measured it.

Owns: the two questions (answers by status class, latency), and the judgement by limits. Refuses to own: when to ask.

Azure Monitor counts by the minute, and may be some minutes behind: a limit is only as good as the time it is given.
ARM: Microsoft.Insights/metrics below Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/azure/machine-learning/how-to-monitor-online-endpoints
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from azureml_scoring.provider.arm import Arm

METRICS_API = "2023-10-01"
GOOD = ("2xx", "3xx")
"""Status classes that count as answered."""
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Limits:
    """What a deployment may not exceed; None is no limit."""

    error_percent: float | None = None
    latency_milliseconds: float | None = None

    def __bool__(self) -> bool:
        """Tell whether there is anything to measure by."""
        return self.error_percent is not None or self.latency_milliseconds is not None


@dataclass(frozen=True)
class Measured:
    """What one deployment has answered in a time."""

    requests: float = 0
    failures: float = 0
    latency_milliseconds: float | None = None
    """95th percentile, of the worst minute."""

    def __str__(self) -> str:
        """Write it for people: `120 requests, 0.0 % failed, 95 % within 43 ms`."""
        if not self.requests:
            return "no request measured"
        latency = f", 95 % within {self.latency_milliseconds:.0f} ms" if self.latency_milliseconds is not None else ""
        return f"{self.requests:.0f} requests, {self.error_percent:.1f} % failed{latency}"

    @property
    def error_percent(self) -> float:
        """Failed answers among all; a client's own mistake counts too."""
        return 100 * self.failures / self.requests if self.requests else 0.0

    def beyond(self, limits: Limits) -> str:
        """Say which limit is exceeded; empty when none is."""
        most, longest = limits.error_percent, limits.latency_milliseconds
        if most is not None and self.error_percent > most:
            return f"{self.failures:.0f} of {self.requests:.0f} requests failed, more than {most:g} %"
        if longest is not None and (self.latency_milliseconds or 0) > longest:
            return f"95 % of the requests took up to {self.latency_milliseconds:.0f} ms, more than {longest:g} ms"
        return ""


def measure(arm: Arm, endpoint_id: str, deployment: str, start: datetime, end: datetime) -> Measured:
    """Ask what a deployment has answered; Azure Monitor counts whole minutes, so that the first begins before."""
    first = start.replace(second=0, microsecond=0)
    last = max(end, first + timedelta(minutes=1))
    span = {"timespan": f"{first.strftime(_MOMENT)}/{last.strftime(_MOMENT)}", "interval": "PT1M"}
    asked = {**span, "aggregation": "Average"}
    path, mine = f"{endpoint_id}/providers/Microsoft.Insights/metrics", f"deployment eq '{deployment}'"
    by_class = {"metricnames": "RequestsPerMinute", "$filter": f"{mine} and statusCodeClass eq '*'"}
    counted = arm.get(path, METRICS_API, {**asked, **by_class}) or {}
    slow = arm.get(path, METRICS_API, {**asked, "metricnames": "RequestLatency_P95", "$filter": mine}) or {}
    return read(counted, slow)


def read(counted: Mapping[str, Any], slow: Mapping[str, Any]) -> Measured:
    """Read both answers: requests by status class, and the latency of the worst minute."""
    numbers = {"good": 0.0, "bad": 0.0}
    for series in _series(counted):
        classes = [str(each["value"]) for each in series.get("metadatavalues") or [] if _is_class(each)]
        numbers["good" if classes and classes[0] in GOOD else "bad"] += sum(_values(series))
    latencies = [value for series in _series(slow) for value in _values(series)]
    return Measured(sum(numbers.values()), numbers["bad"], max(latencies, default=None))


def _series(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for metric in answer.get("value") or []:
        yield from metric.get("timeseries") or []


def _values(series: Mapping[str, Any]) -> Iterator[float]:
    for point in series.get("data") or []:
        if point.get("average") is not None:
            yield float(point["average"])


def _is_class(entry: Mapping[str, Any]) -> bool:
    return str((entry.get("name") or {}).get("value")).lower() == "statuscodeclass"
