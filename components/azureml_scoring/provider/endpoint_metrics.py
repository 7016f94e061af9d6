"""Metrics of a deployment in Azure Monitor: requests, failures and latency, and the limits they are compared with.

Owns: the two queries (requests by status class, latency) and the comparison. Refuses to own: when to query.

Azure Monitor counts by the minute, and may be some minutes behind: a limit is only as good as the time that a step
stands.
ARM: Microsoft.Insights/metrics below Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/azure/machine-learning/how-to-monitor-online-endpoints
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from azureml_scoring.provider.arm import Arm

METRICS_API = "2023-10-01"
SUCCESS = frozenset({"2xx", "3xx"})
"""Status classes that are no failure."""
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Limits:
    """Limits of a deployment; None is no limit."""

    error_percent: float | None = None
    latency_milliseconds: float | None = None

    def __bool__(self) -> bool:
        """Tell whether there is a limit."""
        return self.error_percent is not None or self.latency_milliseconds is not None


@dataclass(frozen=True)
class Measurement:
    """The requests of one deployment in a time span."""

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

    def violation(self, limits: Limits) -> str:
        """Say which limit is exceeded; empty when none is."""
        percent, latency = limits.error_percent, limits.latency_milliseconds
        if percent is not None and self.error_percent > percent:
            return f"{self.failures:.0f} of {self.requests:.0f} requests failed, more than {percent:g} %"
        if latency is not None and (self.latency_milliseconds or 0) > latency:
            return f"95 % of the requests took up to {self.latency_milliseconds:.0f} ms, more than {latency:g} ms"
        return ""


def measure(arm: Arm, endpoint_id: str, deployment: str, start: datetime, end: datetime) -> Measurement:
    """Query the metrics of a deployment; Azure Monitor counts whole minutes, so the first one begins before `start`."""
    first = start.replace(second=0, microsecond=0)
    last = max(end, first + timedelta(minutes=1))
    path, own = f"{endpoint_id}/providers/Microsoft.Insights/metrics", f"deployment eq '{deployment}'"
    span = f"{first.strftime(_MOMENT)}/{last.strftime(_MOMENT)}"
    query = {"timespan": span, "interval": "PT1M", "aggregation": "Average"}
    by_class = {"metricnames": "RequestsPerMinute", "$filter": f"{own} and statusCodeClass eq '*'"}
    requests = arm.get(path, METRICS_API, {**query, **by_class}) or {}
    latencies = arm.get(path, METRICS_API, {**query, "metricnames": "RequestLatency_P95", "$filter": own}) or {}
    return measurement(requests, latencies)


def measurement(requests: Mapping[str, Any], latencies: Mapping[str, Any]) -> Measurement:
    """Read both responses: requests by status class, and the latency of the worst minute."""
    total = failures = 0.0
    for series in _series(requests):
        count = sum(_values(series))
        classes = {str(each["value"]) for each in series.get("metadatavalues") or [] if _is_class(each)}
        total += count
        failures += 0.0 if classes & SUCCESS else count
    worst = max((value for series in _series(latencies) for value in _values(series)), default=None)
    return Measurement(total, failures, worst)


def _series(response: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for metric in response.get("value") or []:
        yield from metric.get("timeseries") or []


def _values(series: Mapping[str, Any]) -> Iterator[float]:
    for point in series.get("data") or []:
        if point.get("average") is not None:
            yield float(point["average"])


def _is_class(entry: Mapping[str, Any]) -> bool:
    return str((entry.get("name") or {}).get("value")).lower() == "statuscodeclass"
