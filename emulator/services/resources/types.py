"""Subscriptions and resource groups.

Owns Microsoft.Resources/subscriptions (two, made with the state: the deployer's, and another one) and
Microsoft.Resources/resourceGroups. What a group's deletion takes along is the core's business.
https://learn.microsoft.com/rest/api/resources/resource-groups
"""

import re
from typing import Any, ClassVar

from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document

SUBSCRIPTIONS = "Microsoft.Resources/subscriptions"
GROUPS = "Microsoft.Resources/resourceGroups"
_GROUP_NAME = re.compile(r"[-\w._()]{0,89}[-\w_()]")


def make_subscription(azure: Azure, subscription: str = "", title: str = "Local Azure") -> ResourceId:
    """A subscription (the deployer's unless another is named), made where it does not exist."""
    subscription = subscription or azure.subscription
    id_ = ResourceId.parse(f"/subscriptions/{subscription}")
    if azure.store.get(id_) is None:
        body = {
            "id": id_.path,
            "subscriptionId": subscription,
            "tenantId": azure.tenant,
            "displayName": title,
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "subscriptionPolicies": {"spendingLimit": "Off", "quotaId": "Local_2014-09-01"},
        }
        azure.store.put(Document(id_, body))
    return id_


class Subscription(ResourceType):
    """Microsoft.Resources/subscriptions: can be read."""

    type = SUBSCRIPTIONS

    def check_envelope(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """Refuse every PUT and PATCH."""
        raise AzureError(
            405, "MethodNotAllowed", f"The subscription '{id_.name}' cannot be written ({len(body)} fields)."
        )

    def check_delete(self, document: Document) -> None:
        """Refuse every DELETE."""
        raise AzureError(405, "MethodNotAllowed", f"The subscription '{document.id.name}' cannot be deleted.")

    def action(self, document: Document, name: str, request: Request) -> Response:
        """No POST is known."""
        del request
        raise AzureError(405, "MethodNotAllowed", f"The subscription '{document.id.name}' has no action '{name}'.")


class ResourceGroup(ResourceType):
    """Microsoft.Resources/resourceGroups."""

    type = GROUPS
    system_data = False
    long_delete = True
    required: ClassVar[tuple[str, ...]] = ("location",)

    def check(self, new: Document, old: Document | None) -> Document:
        """Names as Azure allows them; a group does not move."""
        name = new.id.name
        if not _GROUP_NAME.fullmatch(name):
            raise AzureError(
                400,
                "InvalidResourceGroup",
                f"The provided resource group name '{name}' has these invalid characters or a dot at its end, or is"
                " longer than 90 characters: it can have letters, digits, '_', '-', '(', ')' and '.'.",
            )
        if old is not None and old.body["location"] != new.body["location"]:
            raise AzureError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{new.body['location']}'. The Resource group already exists in"
                f" location '{old.body['location']}'.",
            )
        return Document(new.id, {**new.body, "properties": {}}, new.private)
