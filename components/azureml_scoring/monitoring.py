"""What Azure Monitor does for an endpoint: how many instances a deployment has, and where its logs go.

Owns autoscale settings of managed deployments and the diagnostic setting of an endpoint. Refuses to own the count that
Azure Monitor sets (`OnlineDeployment` leaves it alone), and the Log Analytics workspace.
https://learn.microsoft.com/azure/machine-learning/how-to-autoscale-endpoints
https://learn.microsoft.com/azure/machine-learning/how-to-monitor-online-endpoints
"""

from typing import Final

import pulumi
from pulumi_azure_native import monitor

from azureml_scoring.settings.deployment import AutoscaleRuleSettings, AutoscaleSettings
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
    deployment_id: pulumi.Input[str],
    autoscale: AutoscaleSettings,
    context: WorkspaceContext,
) -> "monitor.AutoscaleSetting":
    """Let Azure Monitor set the number of a deployment's instances."""
    profile = monitor.AutoscaleProfileArgs(
        name="default",
        capacity=monitor.ScaleCapacityArgs(
            minimum=str(autoscale.min), maximum=str(autoscale.max), default=str(autoscale.first)
        ),
        rules=[_rule(deployment_id, rule) for rule in autoscale.rules],
    )
    return monitor.AutoscaleSetting(
        name,
        autoscale_setting_name=setting_name,
        resource_group_name=context.resource_group,
        location=context.location,
        enabled=True,
        target_resource_uri=deployment_id,
        profiles=[profile],
        tags=context.tags,
        opts=context.opts,
    )


def _rule(deployment_id: pulumi.Input[str], rule: AutoscaleRuleSettings) -> "monitor.ScaleRuleArgs":
    operator = monitor.ComparisonOperationType
    return monitor.ScaleRuleArgs(
        metric_trigger=monitor.MetricTriggerArgs(
            metric_name=rule.metric,
            metric_resource_uri=deployment_id,
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
