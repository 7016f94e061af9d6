"""What stacks serve now: versions, the split, requests and latency, age, and the end of the pull principal's password.

Owns reading it (versions from the state, the split from the endpoint, the last minutes from Azure Monitor) and the
table. Refuses to own any change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic.alias_generators import to_camel

from azureml_scoring.delivery.rollout_plan import ObservedState, read_state, short_digest
from azureml_scoring.delivery.table import table
from azureml_scoring.errors import CommandError
from azureml_scoring.provider.arm import Arm
from azureml_scoring.provider.endpoint_metrics import Measurement, measure
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.traffic_split import TrafficSplit, read_traffic

HEADER: Final = (
    *("STACK", "DEPLOYMENT", "VERSION", "TRAFFIC", "REQUESTS", "ERRORS"),
    *("95 % WITHIN", "AGE", "PASSWORD ENDS"),
)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class DeploymentStatus:
    """A deployment of a stack, or why a stack cannot be read."""

    stack: str
    deployment: str = ""
    image: str = ""
    """By digest."""
    traffic: int = 0
    """Percent of the requests."""
    since: str = ""
    """When it got its image; RFC 3339."""
    requests: float | None = None
    """In the time that was measured; None: it could not be measured."""
    error_percent: float | None = None
    latency_milliseconds: float | None = None
    """95th percentile of the worst minute."""
    password_expires: str = ""
    """End of the pull principal's password; empty without one."""
    problem: str = ""

    def cells(self, now: datetime) -> tuple[str, ...]:
        """Return what the table shows."""
        return (
            self.stack,
            self.deployment or "-",
            short_digest(self.image),
            f"{self.traffic} %" if self.deployment else "-",
            _number(self.requests),
            _number(self.error_percent, " %", 1),
            _number(self.latency_milliseconds, " ms"),
            _age(self.since, now),
            self.password_expires.partition("T")[0] or "-",
        )

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {to_camel(name): value for name, value in asdict(self).items()}


@dataclass
class Status:
    """Reads stacks."""

    export: Callable[[str], Mapping[str, Any]]
    """Returns the state of a stack, as `pulumi stack export` does."""
    arm: Callable[[], Arm]
    minutes: int = 10
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def read(self, stacks: Sequence[str]) -> list[DeploymentStatus]:
        """Read all stacks; one that cannot be read is a line of its own."""
        return [each for stack in stacks for each in self._stack(stack)]

    def _stack(self, stack: str) -> list[DeploymentStatus]:
        try:
            export = self.export(stack)
        except CommandError as error:
            return [DeploymentStatus(stack, problem=str(error))]
        observed, expires = read_state(export), _password_expires(export)
        if not observed.images:
            return [DeploymentStatus(stack, password_expires=expires, problem="it serves nothing")]
        return [self._deployment(stack, name, observed, expires) for name in sorted(observed.images)]

    def _deployment(self, stack: str, name: str, observed: ObservedState, expires: str) -> DeploymentStatus:
        end, problem, measured, split = self.now(), "", None, TrafficSplit(observed.traffic)
        try:
            # While traffic shifts, and after a run that was killed, the state has the split of before.
            split = read_traffic(self.arm(), observed.endpoint_id) or split
            measured = measure(self.arm(), observed.endpoint_id, name, end - timedelta(minutes=self.minutes), end)
        except ResourceError as error:
            problem = str(error)
        return DeploymentStatus(
            stack,
            name,
            observed.images[name],
            split.traffic.get(name, 0),
            observed.since[name],
            *_measured(measured),
            password_expires=expires,
            problem=problem,
        )


def show(entries: Sequence[DeploymentStatus], now: datetime) -> Iterator[str]:
    """Write the table, and below it a line for each problem."""
    yield from table([HEADER, *(each.cells(now) for each in entries)])
    for each in entries:
        if each.problem:
            yield f"{each.stack}{f' {each.deployment}' if each.deployment else ''}: {each.problem}"


def _password_expires(export: Mapping[str, Any]) -> str:
    resources: Sequence[Mapping[str, Any]] = (export.get("deployment") or {}).get("resources") or []
    outputs = (each.get("outputs") or {} for each in resources if str(each["type"]).endswith(":PullPrincipal"))
    return next((str(each.get("passwordExpires") or "") for each in outputs), "")


def _measured(measured: Measurement | None) -> tuple[float | None, float | None, float | None]:
    if measured is None:
        return None, None, None
    return measured.requests, measured.error_percent if measured.requests else None, measured.latency_milliseconds


def _number(value: float | None, unit: str = "", digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def _age(since: str, now: datetime) -> str:
    """Write the time since a moment in its largest unit: `3 d`, `5 h`, `12 min`."""
    if not since:
        return "-"
    age = now - datetime.fromisoformat(since)
    for unit, name in ((_DAY, "d"), (_HOUR, "h")):
        if age >= unit:
            return f"{age // unit} {name}"
    return f"{age // timedelta(minutes=1)} min"
