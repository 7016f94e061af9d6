"""Log Analytics workspaces and Application Insights components.

Owns Microsoft.OperationalInsights/workspaces and Microsoft.Insights/components: rules, defaults, keys. Takes no
telemetry.
https://learn.microsoft.com/rest/api/loganalytics/workspaces
https://learn.microsoft.com/rest/api/application-insights/components
"""

import base64
import re
import secrets
import uuid
from typing import Any, ClassVar

from emulator.core.azure import Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.rules import between, one_of

WORKSPACES = "Microsoft.OperationalInsights/workspaces"
_WORKSPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]")
_COMPONENT_NAME = re.compile(r"[^%&\\?/]{1,259}[^%&\\?/. ]")
_SKUS = ("PerGB2018", "Free", "Standard", "Premium", "PerNode", "Standalone", "CapacityReservation", "LACluster")
_ENABLED = ("Enabled", "Disabled")
_FREE_DAYS = 7
_LEAST_DAYS, _MOST_DAYS = 30, 730
_KEPT_DAYS = (30, 60, 90, 120, 180, 270, 365, 550, 730)
"""What a component can be told to keep."""


class LogWorkspace(ResourceType):
    """Microsoft.OperationalInsights/workspaces."""

    type = WORKSPACES
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """Name, SKU, retention; a customer id and keys that stay."""
        name, given = new.id.name, new.properties
        if not _WORKSPACE_NAME.fullmatch(name):
            raise AzureError(
                400,
                "InvalidResourceName",
                f"The workspace name '{name}' is invalid: 4 to 63 letters, digits and '-', the '-' not at an end.",
            )
        sku = one_of("properties.sku.name", (given.get("sku") or {}).get("name"), _SKUS)
        days = given.get("retentionInDays")
        if sku != "Free" or days != _FREE_DAYS:
            between("properties.retentionInDays", days, _LEAST_DAYS, _MOST_DAYS)
        known = old.properties if old else {}
        properties = {
            "features": {"enableLogAccessUsingOnlyResourcePermissions": True},
            "workspaceCapping": {"dailyQuotaGb": -1.0, "quotaNextResetTime": "", "dataIngestionStatus": "RespectQuota"},
            **given,
            "customerId": known.get("customerId") or str(uuid.uuid4()),
            "sku": {**(given.get("sku") or {}), "name": sku},
            "retentionInDays": int(days) if days is not None else known.get("retentionInDays", _LEAST_DAYS),
            "publicNetworkAccessForIngestion": _access(given, "Ingestion"),
            "publicNetworkAccessForQuery": _access(given, "Query"),
        }
        return Document(
            new.id, {**new.body, "properties": properties}, new.private or {"keys": [_shared_key(), _shared_key()]}
        )

    def action(self, document: Document, name: str, request: Request) -> Response:
        """Answer sharedKeys."""
        if name.lower() != "sharedkeys":
            return super().action(document, name, request)
        first, second = document.private["keys"]
        return Response(200, {"primarySharedKey": first, "secondarySharedKey": second})


class InsightsComponent(ResourceType):
    """Microsoft.Insights/components."""

    type = "Microsoft.Insights/components"
    required: ClassVar[tuple[str, ...]] = ("location", "kind")
    created = 200

    def check(self, new: Document, old: Document | None) -> Document:
        """Application type and the Log Analytics workspace behind it; keys that stay."""
        name, given, location = new.id.name, new.properties, new.body["location"]
        if not _COMPONENT_NAME.fullmatch(name):
            raise AzureError(
                400, "InvalidResourceName", f"The component name '{name}' is invalid: no '%&\\?/', no '.' at its end."
            )
        kind = given.get("Application_Type") or given.get("applicationType")
        if kind is None:
            raise AzureError(400, "InvalidRequestContent", "The component lacks 'properties.Application_Type'.")
        mode = one_of(
            "properties.IngestionMode",
            given.get("IngestionMode"),
            ("LogAnalytics", "ApplicationInsights", "ApplicationInsightsWithDiagnosticSettings"),
        )
        between("properties.SamplingPercentage", given.get("SamplingPercentage"), 0, 100)
        days = given.get("RetentionInDays")
        if days is not None and days not in _KEPT_DAYS:
            one_of("properties.RetentionInDays", days, tuple(map(str, _KEPT_DAYS)))
        behind = given.get("WorkspaceResourceId")
        if mode == "LogAnalytics":
            found = self.azure.store.get(ResourceId.parse(behind)) if behind else None
            if found is None or found.id.type.lower() != WORKSPACES.lower():
                raise AzureError(
                    400,
                    "InvalidRequestContent" if not behind else "ResourceNotFound",
                    f"The component's 'properties.WorkspaceResourceId' is '{behind or ''}': it must name a Log"
                    " Analytics workspace that exists (classic components are retired).",
                )
        known = old.properties if old else {}
        key = known.get("InstrumentationKey") or str(uuid.uuid4())
        app = known.get("AppId") or str(uuid.uuid4())
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
            **given,
            "Application_Type": one_of("properties.Application_Type", kind, ("web", "other")),
            "IngestionMode": mode,
            "ApplicationId": name,
            "AppId": app,
            "Name": name,
            "InstrumentationKey": key,
            "ConnectionString": f"InstrumentationKey={key};{ingestion};ApplicationId={app}",
            "CreationDate": new.body["systemData"]["createdAt"],
            "TenantId": self.azure.subscription,
            "publicNetworkAccessForIngestion": _access(given, "Ingestion"),
            "publicNetworkAccessForQuery": _access(given, "Query"),
        }
        return Document(new.id, {**new.body, "properties": properties}, new.private)


def _access(given: dict[str, Any], what: str) -> str:
    field = f"publicNetworkAccessFor{what}"
    return one_of(f"properties.{field}", given.get(field), _ENABLED)


def _shared_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
