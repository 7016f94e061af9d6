"""Checks of autoscale and diagnostic settings. Pure.

https://learn.microsoft.com/rest/api/monitor/autoscale-settings
https://learn.microsoft.com/rest/api/monitor/diagnostic-settings
"""

from typing import Any

from emulator.core.errors import AzureError
from emulator.core.rules import one_of
from emulator.services.machinelearningservices.onlineendpoints.rules import seconds

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
OPERATORS = ("Equals", "NotEquals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual")
STATISTICS = ("Average", "Min", "Max", "Sum", "Count")
AGGREGATIONS = ("Average", "Minimum", "Maximum", "Total", "Count", "Last")
_DIRECTIONS = ("None", "Increase", "Decrease")
_CHANGES = ("ChangeCount", "PercentChangeCount", "ExactCount", "ServiceAllowedNextValue")
_FREQUENCIES = ("Week",)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOST_PROFILES, MOST_RULES, MOST_TAGS = 20, 10, 15
TRIGGER = ("metricName", "metricResourceUri", "timeGrain", "statistic", "timeWindow", "timeAggregation", "operator")
HOUR = 3600.0
DESTINATIONS = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId")


def sent_categories(properties: dict[str, Any], name: str) -> set[str]:
    """The enabled log and metric categories of a diagnostic setting (400 for wrong ones)."""
    sent: set[str] = set()
    for field, allowed in (("logs", LOGS), ("metrics", ("AllMetrics",))):
        for each in properties.get(field) or []:
            if not isinstance(each.get("enabled"), bool):
                raise bad_request(f"{field} of diagnostic setting '{name}' lacks 'enabled'")
            group = each.get("categoryGroup")
            if field == "logs" and group:
                if group not in {"allLogs", "audit"} or each.get("category"):
                    raise bad_request(f"categoryGroup '{group}' of diagnostic setting '{name}' is not 'allLogs', alone")
                categories: tuple[str, ...] = LOGS
            else:
                if each.get("category") not in allowed:
                    raise bad_request(
                        f"Category '{each.get('category')}' of diagnostic setting '{name}' is not supported:"
                        f" {', '.join(allowed)}"
                    )
                categories = (each["category"],)
            sent.update(categories if each["enabled"] else ())
    return sent


def check_scale_action(name: str, action: dict[str, Any]) -> None:
    """Refuse what Azure refuses of a rule's `scaleAction`."""
    for field in ("direction", "type", "cooldown"):
        if not action.get(field):
            raise bad_request(f"A rule of autoscale setting '{name}' lacks 'scaleAction.{field}'")
    one_of("scaleAction.direction", action["direction"], _DIRECTIONS)
    one_of("scaleAction.type", action["type"], _CHANGES)
    if whole_number(name, "scaleAction.value", action.get("value", "1")) < 1:
        raise bad_request(f"scaleAction.value '{action['value']}' of '{name}' is less than 1")
    check_duration(action, "cooldown", 60, 168 * HOUR)


def check_recurrence(profile: dict[str, Any]) -> None:
    """Refuse what Azure refuses of the times at which a profile begins."""
    name, recurrence = profile["name"], profile["recurrence"]
    schedule = recurrence.get("schedule") or {}
    one_of("recurrence.frequency", recurrence.get("frequency"), _FREQUENCIES)
    if not schedule.get("timeZone") or not schedule.get("days"):
        raise bad_request(f"recurrence.schedule of profile '{name}' lacks 'timeZone' or 'days'")
    for day in schedule["days"]:
        one_of("recurrence.schedule.days", day, _DAYS)
    for field, most in (("hours", 23), ("minutes", 59)):
        values = schedule.get(field)
        if not isinstance(values, list) or len(values) != 1 or not 0 <= int(values[0]) <= most:
            raise bad_request(f"recurrence.schedule.{field} of profile '{name}' is not one number from 0 to {most}")


def check_duration(properties: dict[str, Any], field: str, minimum: float, maximum: float) -> None:
    """Refuse an ISO 8601 duration out of range; the bounds are seconds."""
    if not minimum <= seconds(properties[field], field) <= maximum:
        raise bad_request(f"{field} '{properties[field]}' is not between {minimum:g} and {maximum:g} seconds")


def whole_number(name: str, field: str, value: object) -> int:
    """A whole number that is written as a text (400 for anything else)."""
    if not str(value).isdigit():
        raise bad_request(f"{field} '{value}' of autoscale setting '{name}' is not a whole number, written as a text")
    return int(str(value))


def bad_request(text: str) -> AzureError:
    """Azure Monitor's refusal of a body."""
    return AzureError(400, "InvalidRequestContent", text)
