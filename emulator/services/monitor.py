"""Azure Monitor, as far as endpoints need it: who sets a deployment's count, and where an endpoint's logs go.

Owns Microsoft.Insights/autoscaleSettings and .../diagnosticSettings: what Azure demands of them. Measures nothing: a
count changes when somebody changes `sku.capacity`, which is what Azure Monitor does.
https://learn.microsoft.com/rest/api/monitor/autoscale-settings
https://learn.microsoft.com/rest/api/monitor/diagnostic-settings
"""

from typing import Any, ClassVar

from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.insights import WORKSPACES as LOG_WORKSPACES
from emulator.services.ml_endpoints import DEPLOYMENTS, ENDPOINTS, seconds
from emulator.services.rules import one_of

AUTOSCALE = "Microsoft.Insights/autoscaleSettings"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
METRICS = frozenset(
    """
    CpuMemoryUtilizationPercentage CpuUtilizationPercentage DataCollectionErrorsPerMinute DataCollectionEventsPerMinute
    DeploymentCapacity DiskUtilization GpuEnergyJoules GpuMemoryUtilizationPercentage GpuUtilizationPercentage
    RequestLatency_P50 RequestLatency_P90 RequestLatency_P95 RequestLatency_P99 RequestsPerMinute
    """.split()  # noqa: SIM905 - a list would be fifteen lines
)
"""Metrics of a deployment. Those of its endpoint may be used too: see `ENDPOINT_METRICS`.
https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-machinelearningservices-workspaces-onlineendpoints-deployments-metrics
"""
ENDPOINT_METRICS = frozenset(
    """
    ConnectionsActive DataCollectionErrorsPerMinute DataCollectionEventsPerMinute NetworkBytes NewConnectionsPerSecond
    RequestLatency RequestLatency_P50 RequestLatency_P90 RequestLatency_P95 RequestLatency_P99 RequestsPerMinute
    """.split()  # noqa: SIM905 - a list would be eleven lines
)
LOGS = ("AmlOnlineEndpointConsoleLog", "AmlOnlineEndpointEventLog", "AmlOnlineEndpointTrafficLog")
_OPERATORS = ("Equals", "NotEquals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual")
_STATISTICS = ("Average", "Min", "Max", "Sum", "Count")
_AGGREGATIONS = ("Average", "Minimum", "Maximum", "Total", "Count", "Last")
_DIRECTIONS = ("None", "Increase", "Decrease")
_CHANGES = ("ChangeCount", "PercentChangeCount", "ExactCount", "ServiceAllowedNextValue")
_MOST_PROFILES, _MOST_RULES, _MOST_TAGS = 20, 10, 15
_TRIGGER = ("metricName", "metricResourceUri", "timeGrain", "statistic", "timeWindow", "timeAggregation", "operator")
_HOUR = 3600.0
_DESTINATIONS = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId")


class AutoscaleSetting(ResourceType):
    """Microsoft.Insights/autoscaleSettings, for managed online deployments."""

    type = AUTOSCALE
    required: ClassVar[tuple[str, ...]] = ("location",)

    def check(self, new: Document, old: Document | None) -> Document:
        """The target, its limits, the rules; one setting for a target."""
        name, given = new.id.name, new.properties
        if len(new.body.get("tags") or {}) > _MOST_TAGS:
            raise _bad(f"Autoscale setting '{name}' has more than {_MOST_TAGS} tags")
        target = self._target(name, given.get("targetResourceUri"))
        for other in self.azure.store.of_type(AUTOSCALE):
            taken = other.properties["targetResourceUri"].lower() == target.id.key
            if taken and (old is None or other.id.key != old.id.key):
                raise AzureError(
                    409, "Conflict", f"'{target.id.path}' has the autoscale setting '{other.id.name}' already"
                )
        profiles = given.get("profiles") or []
        if not 0 < len(profiles) <= _MOST_PROFILES:
            raise _bad(f"Autoscale setting '{name}' has {len(profiles)} profiles: 1 to {_MOST_PROFILES} are needed")
        for profile in profiles:
            self._profile(name, profile)
        told = {"enabled": True, "notifications": [], "predictiveAutoscalePolicy": None, **given, "name": name}
        return Document(new.id, {**new.body, "properties": told}, new.private)

    def show(self, document: Document) -> dict[str, Any]:
        """Without a provisioning state: this type has none."""
        return _stateless(document)

    def _target(self, name: str, path: object) -> Document:
        found = self._existing(path)
        if found is None or found.id.type.lower() != DEPLOYMENTS.lower():
            raise _bad(f"targetResourceUri '{path}' of autoscale setting '{name}' names no online deployment here")
        if found.properties["endpointComputeType"] != "Managed":
            raise _bad(f"'{path}' cannot be scaled by Azure Monitor: it is on Kubernetes, which scales itself")
        return found

    def _existing(self, path: object) -> Document | None:
        try:
            return self.azure.store.get(ResourceId.parse(str(path or "")))
        except AzureError:
            return None

    def _profile(self, name: str, profile: dict[str, Any]) -> None:
        capacity = profile.get("capacity") or {}
        if not profile.get("name"):
            raise _bad(f"A profile of autoscale setting '{name}' lacks 'name'")
        least, default, most = (_whole(name, field, capacity.get(field)) for field in ("minimum", "default", "maximum"))
        if not least <= default <= most:
            raise _bad(
                f"The capacity of profile '{profile['name']}' is minimum {least}, default {default}, maximum {most}:"
                " the default must lie between the other two"
            )
        rules = profile.get("rules") or []
        if len(rules) > _MOST_RULES:
            raise _bad(f"Profile '{profile['name']}' has {len(rules)} rules: at most {_MOST_RULES}")
        for rule in rules:
            self._trigger(name, rule.get("metricTrigger") or {})
            _action(name, rule.get("scaleAction") or {})

    def _trigger(self, name: str, trigger: dict[str, Any]) -> None:
        for field in _TRIGGER:
            if not trigger.get(field):
                raise _bad(f"A rule of autoscale setting '{name}' lacks 'metricTrigger.{field}'")
        if isinstance(trigger.get("threshold"), bool) or not isinstance(trigger.get("threshold"), (int, float)):
            raise _bad(f"metricTrigger.threshold '{trigger.get('threshold')}' of '{name}' is not a number")
        one_of("metricTrigger.operator", trigger["operator"], _OPERATORS)
        one_of("metricTrigger.statistic", trigger["statistic"], _STATISTICS)
        one_of("metricTrigger.timeAggregation", trigger["timeAggregation"], _AGGREGATIONS)
        measured = self._existing(trigger["metricResourceUri"])
        known = {DEPLOYMENTS.lower(): METRICS, ENDPOINTS.lower(): ENDPOINT_METRICS}
        metrics = known.get(measured.id.type.lower()) if measured else None
        if metrics is None:
            raise _bad(f"metricResourceUri '{trigger['metricResourceUri']}' of '{name}' names nothing that has metrics")
        if trigger["metricName"] not in metrics:
            raise _bad(f"metricName '{trigger['metricName']}' of '{name}' is none of {', '.join(sorted(metrics))}")
        _within(trigger, "timeGrain", 60, 12 * _HOUR)
        _within(trigger, "timeWindow", 300, 12 * _HOUR)


class DiagnosticSetting(ResourceType):
    """Microsoft.Insights/diagnosticSettings, on an online endpoint."""

    type = DIAGNOSTICS

    def check(self, new: Document, old: Document | None) -> Document:
        """Somewhere to send to, something to send, and nothing sent twice to one place."""
        name, given, parent = new.id.name, new.properties, new.id.parent
        if parent is None or parent.type.lower() != ENDPOINTS.lower():
            raise _bad(f"Diagnostic setting '{name}' does not lie on an online endpoint, the only kind with logs here")
        if not any(given.get(field) for field in _DESTINATIONS):
            raise _bad(f"Diagnostic setting '{name}' has no destination: at least one of {', '.join(_DESTINATIONS)}")
        if path := given.get("workspaceId"):
            found = self.azure.store.get(ResourceId.parse(path))
            if found is None or found.id.type.lower() != LOG_WORKSPACES.lower():
                raise _bad(f"workspaceId '{path}' of diagnostic setting '{name}' is no Log Analytics workspace")
        sent = _sent(given, name)
        if not sent:
            raise _bad(f"Diagnostic setting '{name}' sends nothing: name at least one log or metric category")
        for other in self.azure.store.of_type(DIAGNOSTICS, parent):
            twice = sent & _sent(other.properties, other.id.name)
            same = given.get("workspaceId") and other.properties.get("workspaceId") == given["workspaceId"]
            if twice and same and (old is None or other.id.key != old.id.key):
                raise AzureError(
                    409,
                    "Conflict",
                    f"Data sink '{given['workspaceId']}' is already used in diagnostic setting '{other.id.name}' for"
                    f" category '{min(twice)}'. Data sinks can't be reused in different settings on the same category.",
                )
        return new

    def show(self, document: Document) -> dict[str, Any]:
        """Without a provisioning state: this type has none."""
        return _stateless(document)


def _sent(given: dict[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    for field, allowed in (("logs", LOGS), ("metrics", ("AllMetrics",))):
        for each in given.get(field) or []:
            if not isinstance(each.get("enabled"), bool):
                raise _bad(f"{field} of diagnostic setting '{name}' lacks 'enabled'")
            group = each.get("categoryGroup")
            if field == "logs" and group:
                if group not in {"allLogs", "audit"} or each.get("category"):
                    raise _bad(f"categoryGroup '{group}' of diagnostic setting '{name}' is not 'allLogs', alone")
                categories: tuple[str, ...] = LOGS
            else:
                if each.get("category") not in allowed:
                    raise _bad(
                        f"Category '{each.get('category')}' of diagnostic setting '{name}' is not supported:"
                        f" {', '.join(allowed)}"
                    )
                categories = (each["category"],)
            found.update(categories if each["enabled"] else ())
    return found


def _action(name: str, action: dict[str, Any]) -> None:
    for field in ("direction", "type", "cooldown"):
        if not action.get(field):
            raise _bad(f"A rule of autoscale setting '{name}' lacks 'scaleAction.{field}'")
    one_of("scaleAction.direction", action["direction"], _DIRECTIONS)
    one_of("scaleAction.type", action["type"], _CHANGES)
    if _whole(name, "scaleAction.value", action.get("value", "1")) < 1:
        raise _bad(f"scaleAction.value '{action['value']}' of '{name}' is less than 1")
    _within(action, "cooldown", 60, 168 * _HOUR)


def _within(given: dict[str, Any], field: str, least: float, most: float) -> None:
    if not least <= seconds(given[field], field) <= most:
        raise _bad(f"{field} '{given[field]}' is not between {least:g} and {most:g} seconds")


def _whole(name: str, field: str, value: object) -> int:
    if not str(value).isdigit():
        raise _bad(f"{field} '{value}' of autoscale setting '{name}' is not a whole number, written as a text")
    return int(str(value))


def _stateless(document: Document) -> dict[str, Any]:
    shown = {name: value for name, value in document.properties.items() if name != "provisioningState"}
    return {**document.body, "properties": shown}


def _bad(text: str) -> AzureError:
    return AzureError(400, "InvalidRequestContent", text)
