"""Application Insights components, autoscale and diagnostic settings.

Owns Microsoft.Insights/components, .../autoscaleSettings and .../diagnosticSettings. Takes no telemetry and measures
nothing: an instance count changes when a client writes `sku.capacity`, which is what Azure Monitor does.
https://learn.microsoft.com/rest/api/application-insights/components
https://learn.microsoft.com/rest/api/monitor/autoscale-settings
https://learn.microsoft.com/rest/api/monitor/diagnostic-settings
"""

import re
import uuid
from typing import Any, ClassVar

from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.rules import between, one_of
from emulator.core.store import Document
from emulator.services.insights.rules import (
    AGGREGATIONS,
    DESTINATIONS,
    ENDPOINT_METRICS,
    HOUR,
    METRICS,
    MOST_PROFILES,
    MOST_RULES,
    MOST_TAGS,
    OPERATORS,
    STATISTICS,
    TRIGGER,
    bad_request,
    check_duration,
    check_recurrence,
    check_scale_action,
    sent_categories,
    whole_number,
)
from emulator.services.machinelearningservices.onlineendpoints.rules import DEPLOYMENTS, ENDPOINTS
from emulator.services.operationalinsights.types import WORKSPACES, network_access

_COMPONENT_NAME = re.compile(r"[^%&\\?/]{1,259}[^%&\\?/. ]")
_KEPT_DAYS = (30, 60, 90, 120, 180, 270, 365, 550, 730)
"""Days of retention that a component accepts."""


class InsightsComponent(ResourceType):
    """Microsoft.Insights/components."""

    type = "Microsoft.Insights/components"
    system_data = False
    required: ClassVar[tuple[str, ...]] = ("location", "kind")
    created = 200

    def check(self, new: Document, old: Document | None) -> Document:
        """Application type and the Log Analytics workspace behind it; keys that stay."""
        name, requested, location = new.id.name, new.properties, new.body["location"]
        if not _COMPONENT_NAME.fullmatch(name):
            raise AzureError(
                400, "InvalidResourceName", f"The component name '{name}' is invalid: no '%&\\?/', no '.' at its end."
            )
        kind = requested.get("Application_Type") or requested.get("applicationType")
        if kind is None:
            raise AzureError(400, "InvalidRequestContent", "The component lacks 'properties.Application_Type'.")
        mode = one_of(
            "properties.IngestionMode",
            requested.get("IngestionMode"),
            ("LogAnalytics", "ApplicationInsights", "ApplicationInsightsWithDiagnosticSettings"),
        )
        between("properties.SamplingPercentage", requested.get("SamplingPercentage"), 0, 100)
        days = requested.get("RetentionInDays")
        if days is not None and days not in _KEPT_DAYS:
            one_of("properties.RetentionInDays", days, tuple(map(str, _KEPT_DAYS)))
        workspace = requested.get("WorkspaceResourceId")
        if mode == "LogAnalytics" and self.azure.linked(workspace, WORKSPACES) is None:
            raise AzureError(
                400,
                "ResourceNotFound" if workspace else "InvalidRequestContent",
                f"The component's 'properties.WorkspaceResourceId' is '{workspace or ''}': it must name a Log"
                " Analytics workspace that exists (classic components are retired).",
            )
        previous = old.properties if old else {}
        key = previous.get("InstrumentationKey") or str(uuid.uuid4())
        app = previous.get("AppId") or str(uuid.uuid4())
        ingestion = (
            f"IngestionEndpoint=https://{location}-0.in.applicationinsights.azure.com/"
            f";LiveEndpoint=https://{location}.livediagnostics.monitor.azure.com/"
        )
        properties = {
            "Flow_Type": "Bluefield",
            "Request_Source": "rest",
            "RetentionInDays": 90,
            "DisableIpMasking": False,
            "DisableLocalAuth": False,
            "SamplingPercentage": None,
            **requested,
            "Application_Type": one_of("properties.Application_Type", kind, ("web", "other")),
            "IngestionMode": mode,
            "ApplicationId": name,
            "AppId": app,
            "Name": name,
            "InstrumentationKey": key,
            "ConnectionString": f"InstrumentationKey={key};{ingestion};ApplicationId={app}",
            "CreationDate": new.body["systemData"]["createdAt"],
            "TenantId": self.azure.subscription,
            "publicNetworkAccessForIngestion": network_access(requested, "Ingestion"),
            "publicNetworkAccessForQuery": network_access(requested, "Query"),
        }
        return Document(new.id, {**new.body, "properties": properties}, new.private)


AUTOSCALE = "Microsoft.Insights/autoscaleSettings"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"


class AutoscaleSetting(ResourceType):
    """Microsoft.Insights/autoscaleSettings, for managed online deployments."""

    type = AUTOSCALE
    stateless = True
    required: ClassVar[tuple[str, ...]] = ("location",)

    def check(self, new: Document, old: Document | None) -> Document:
        """The target, its limits, the rules; one setting for a target."""
        name, properties = new.id.name, new.properties
        if len(new.body.get("tags") or {}) > MOST_TAGS:
            raise bad_request(f"Autoscale setting '{name}' has more than {MOST_TAGS} tags")
        target = self._target(name, properties.get("targetResourceUri"))
        for other in self.azure.store.of_type(AUTOSCALE):
            same = other.properties["targetResourceUri"].lower() == target.id.key
            if same and (old is None or other.id.key != old.id.key):
                raise AzureError(
                    409, "Conflict", f"'{target.id.path}' has the autoscale setting '{other.id.name}' already"
                )
        profiles = properties.get("profiles") or []
        if not 0 < len(profiles) <= MOST_PROFILES:
            raise bad_request(
                f"Autoscale setting '{name}' has {len(profiles)} profiles: 1 to {MOST_PROFILES} are needed"
            )
        for profile in profiles:
            self._profile(name, profile)
        filled = {"enabled": True, "notifications": [], "predictiveAutoscalePolicy": None, **properties, "name": name}
        return Document(new.id, {**new.body, "properties": filled}, new.private)

    def _target(self, name: str, path: object) -> Document:
        deployment = self.azure.linked(path, DEPLOYMENTS)
        if deployment is None:
            raise bad_request(
                f"targetResourceUri '{path}' of autoscale setting '{name}' names no online deployment here"
            )
        if deployment.properties["endpointComputeType"] != "Managed":
            raise bad_request(f"'{path}' cannot be scaled by Azure Monitor: it is on Kubernetes, which scales itself")
        return deployment

    def _profile(self, name: str, profile: dict[str, Any]) -> None:
        capacity = profile.get("capacity") or {}
        if not profile.get("name"):
            raise bad_request(f"A profile of autoscale setting '{name}' lacks 'name'")
        minimum, default, maximum = (
            whole_number(name, field, capacity.get(field)) for field in ("minimum", "default", "maximum")
        )
        if not minimum <= default <= maximum:
            raise bad_request(
                f"The capacity of profile '{profile['name']}' is minimum {minimum}, default {default}, maximum"
                f" {maximum}: the default must lie between the other two"
            )
        if profile.get("recurrence"):
            check_recurrence(profile)
        rules = profile.get("rules") or []
        if len(rules) > MOST_RULES:
            raise bad_request(f"Profile '{profile['name']}' has {len(rules)} rules: at most {MOST_RULES}")
        for rule in rules:
            self._trigger(name, rule.get("metricTrigger") or {})
            check_scale_action(name, rule.get("scaleAction") or {})

    def _trigger(self, name: str, trigger: dict[str, Any]) -> None:
        for field in TRIGGER:
            if not trigger.get(field):
                raise bad_request(f"A rule of autoscale setting '{name}' lacks 'metricTrigger.{field}'")
        if isinstance(trigger.get("threshold"), bool) or not isinstance(trigger.get("threshold"), (int, float)):
            raise bad_request(f"metricTrigger.threshold '{trigger.get('threshold')}' of '{name}' is not a number")
        one_of("metricTrigger.operator", trigger["operator"], OPERATORS)
        one_of("metricTrigger.statistic", trigger["statistic"], STATISTICS)
        one_of("metricTrigger.timeAggregation", trigger["timeAggregation"], AGGREGATIONS)
        measured = self.azure.linked(trigger["metricResourceUri"], DEPLOYMENTS, ENDPOINTS)
        if measured is None:
            raise bad_request(
                f"metricResourceUri '{trigger['metricResourceUri']}' of '{name}' names nothing that has metrics"
            )
        metrics = METRICS if measured.id.type.lower() == DEPLOYMENTS.lower() else ENDPOINT_METRICS
        if trigger["metricName"] not in metrics:
            raise bad_request(
                f"metricName '{trigger['metricName']}' of '{name}' is none of {', '.join(sorted(metrics))}"
            )
        check_duration(trigger, "timeGrain", 60, 12 * HOUR)
        check_duration(trigger, "timeWindow", 300, 12 * HOUR)


class DiagnosticSetting(ResourceType):
    """Microsoft.Insights/diagnosticSettings, on an online endpoint."""

    type = DIAGNOSTICS
    stateless = True

    def check(self, new: Document, old: Document | None) -> Document:
        """A destination, an enabled category, and no category twice to one destination."""
        name, properties, parent = new.id.name, new.properties, new.id.parent
        if parent is None or parent.type.lower() != ENDPOINTS.lower():
            raise bad_request(
                f"Diagnostic setting '{name}' does not lie on an online endpoint, the only kind with logs here"
            )
        if not any(properties.get(field) for field in DESTINATIONS):
            raise bad_request(
                f"Diagnostic setting '{name}' has no destination: at least one of {', '.join(DESTINATIONS)}"
            )
        if (path := properties.get("workspaceId")) and self.azure.linked(path, WORKSPACES) is None:
            raise bad_request(f"workspaceId '{path}' of diagnostic setting '{name}' is no Log Analytics workspace")
        categories = sent_categories(properties, name)
        if not categories:
            raise bad_request(f"Diagnostic setting '{name}' sends nothing: name at least one log or metric category")
        for other in self.azure.store.of_type(DIAGNOSTICS, parent):
            twice = categories & sent_categories(other.properties, other.id.name)
            same = properties.get("workspaceId") and other.properties.get("workspaceId") == properties["workspaceId"]
            if twice and same and (old is None or other.id.key != old.id.key):
                raise AzureError(
                    409,
                    "Conflict",
                    f"Data sink '{properties['workspaceId']}' is already used in diagnostic setting '{other.id.name}'"
                    f" for category '{min(twice)}'. Data sinks can't be reused in different settings on the same"
                    " category.",
                )
        return new
