"""Log Analytics workspaces: Microsoft.OperationalInsights/workspaces. They take no telemetry.

https://learn.microsoft.com/rest/api/loganalytics/workspaces
"""

import base64
import re
import secrets
import uuid
from typing import Any, ClassVar

from emulator.core.azure import Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.rules import between, one_of
from emulator.core.store import Document

WORKSPACES = "Microsoft.OperationalInsights/workspaces"
_WORKSPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]")
_SKUS = ("PerGB2018", "Free", "Standard", "Premium", "PerNode", "Standalone", "CapacityReservation", "LACluster")
_ENABLED = ("Enabled", "Disabled")
_FREE_DAYS = 7
_LEAST_DAYS, _MOST_DAYS = 30, 730


class LogWorkspace(ResourceType):
    """Microsoft.OperationalInsights/workspaces."""

    type = WORKSPACES
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """Name, SKU, retention; a customer id and keys that stay."""
        name, requested = new.id.name, new.properties
        if not _WORKSPACE_NAME.fullmatch(name):
            raise AzureError(
                400,
                "InvalidResourceName",
                f"The workspace name '{name}' is invalid: 4 to 63 letters, digits and '-', the '-' not at an end.",
            )
        sku = one_of("properties.sku.name", (requested.get("sku") or {}).get("name"), _SKUS)
        days = requested.get("retentionInDays")
        if sku != "Free" or days != _FREE_DAYS:
            between("properties.retentionInDays", days, _LEAST_DAYS, _MOST_DAYS)
        previous = old.properties if old else {}
        properties = {
            "features": {"enableLogAccessUsingOnlyResourcePermissions": True},
            "workspaceCapping": {"dailyQuotaGb": -1.0, "quotaNextResetTime": "", "dataIngestionStatus": "RespectQuota"},
            **requested,
            "customerId": previous.get("customerId") or str(uuid.uuid4()),
            "sku": {**(requested.get("sku") or {}), "name": sku},
            "retentionInDays": int(days) if days is not None else previous.get("retentionInDays", _LEAST_DAYS),
            "publicNetworkAccessForIngestion": network_access(requested, "Ingestion"),
            "publicNetworkAccessForQuery": network_access(requested, "Query"),
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


def network_access(properties: dict[str, Any], what: str) -> str:
    """`publicNetworkAccessForIngestion` or `…ForQuery`, Enabled by default."""
    field = f"publicNetworkAccessFor{what}"
    return one_of(f"properties.{field}", properties.get(field), _ENABLED)


def _shared_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
