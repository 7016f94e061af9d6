"""What Azure Monitor does for an endpoint: how many instances a deployment has, and where its logs go.

Owns autoscale settings of managed deployments and the diagnostic setting of an endpoint. Refuses to own the count that
Azure Monitor sets (`OnlineDeployment` leaves it alone), and the Log Analytics workspace.
https://learn.microsoft.com/azure/machine-learning/how-to-autoscale-endpoints
https://learn.microsoft.com/azure/machine-learning/how-to-monitor-online-endpoints
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import pulumi
from pulumi_azure_native import monitor

from azureml_scoring.settings.deployment import (
    AutoscaleRuleSettings,
    AutoscaleSettings,
    CapacitySettings,
    ScheduleSettings,
)
from azureml_scoring.settings.endpoint import DiagnosticsSettings
from azureml_scoring.workspace_context import WorkspaceContext

_LOGS: Final = {
    "console": "AmlOnlineEndpointConsoleLog",
    "traffic": "AmlOnlineEndpointTrafficLog",
    "events": "AmlOnlineEndpointEventLog",
}


def autoscale_setting(
    name: str,
    setting_name: str,
    measured: Mapping[str, pulumi.Input[str]],
    autoscale: AutoscaleSettings,
    context: WorkspaceContext,
) -> "monitor.AutoscaleSetting":
    """Let Azure Monitor set the number of a deployment's instances; `measured`: ids of deployment and endpoint."""
    usual = _profile("default", autoscale, autoscale.rules, measured)
    profiles = [usual]
    for key, schedule in autoscale.schedules.items():
        special = _profile(key, schedule, schedule.rules or autoscale.rules, measured, _recurrence(schedule, "start"))
        # A profile lasts until another one begins; the usual one does so under this name, as the portal and az have it.
        ends = json.dumps({"name": "default", "for": key})
        again = _profile(ends, autoscale, autoscale.rules, measured, _recurrence(schedule, "end"))
        profiles += [special, again]
    return monitor.AutoscaleSetting(
        name,
        autoscale_setting_name=setting_name,
        resource_group_name=context.resource_group,
        location=context.location,
        enabled=True,
        target_resource_uri=measured["deployment"],
        profiles=profiles,
        tags=context.tags,
        opts=context.opts,
    )


def _profile(
    name: str,
    limits: CapacitySettings,
    rules: Sequence[AutoscaleRuleSettings],
    measured: Mapping[str, pulumi.Input[str]],
    recurrence: "monitor.RecurrenceArgs | None" = None,
) -> "monitor.AutoscaleProfileArgs":
    """Compose the limits and rules that hold at a time."""
    return monitor.AutoscaleProfileArgs(
        name=name,
        capacity=monitor.ScaleCapacityArgs(minimum=str(limits.min), maximum=str(limits.max), default=str(limits.first)),
        rules=[_rule(measured[rule.of], rule) for rule in rules],
        recurrence=recurrence,
    )


def _recurrence(schedule: ScheduleSettings, moment: Literal["start", "end"]) -> "monitor.RecurrenceArgs":
    """Say when a profile begins.

    https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-multiprofile#recurring-profiles
    """
    hour, _, minute = getattr(schedule, moment).partition(":")
    return monitor.RecurrenceArgs(
        frequency=monitor.RecurrenceFrequency.WEEK,
        schedule=monitor.RecurrentScheduleArgs(
            time_zone=schedule.time_zone, days=list(schedule.days), hours=[int(hour)], minutes=[int(minute)]
        ),
    )


def _rule(resource_id: pulumi.Input[str], rule: AutoscaleRuleSettings) -> "monitor.ScaleRuleArgs":
    operator = monitor.ComparisonOperationType
    return monitor.ScaleRuleArgs(
        metric_trigger=monitor.MetricTriggerArgs(
            metric_name=rule.metric,
            metric_resource_uri=resource_id,
            operator=operator.LESS_THAN if rule.above is None else operator.GREATER_THAN,
            threshold=(rule.below or 0) if rule.above is None else rule.above,
            statistic=monitor.MetricStatisticType.AVERAGE,
            time_aggregation=monitor.TimeAggregationType.AVERAGE,
            time_grain="PT1M",
            time_window=rule.window,
        ),
        scale_action=monitor.ScaleActionArgs(
            direction=monitor.ScaleDirection.INCREASE if rule.change > 0 else monitor.ScaleDirection.DECREASE,
            type=monitor.ScaleType.CHANGE_COUNT,
            value=str(abs(rule.change)),
            cooldown=rule.cooldown,
        ),
    )


def diagnostic_setting(
    name: str,
    endpoint_id: pulumi.Input[str],
    log_workspace_id: pulumi.Input[str],
    settings: DiagnosticsSettings,
    opts: pulumi.ResourceOptions,
) -> "monitor.DiagnosticSetting":
    """Send an endpoint's logs to Log Analytics."""
    return monitor.DiagnosticSetting(
        name,
        name="scoring",
        resource_uri=endpoint_id,
        workspace_id=log_workspace_id,
        # As mappings: their classes have other names in older releases of the SDK.
        logs=[{"category": _LOGS[log], "enabled": True} for log in settings.logs],
        metrics=[{"category": "AllMetrics", "enabled": True}] if settings.metrics else None,
        opts=opts,
    )
