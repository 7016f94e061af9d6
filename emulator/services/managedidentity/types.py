"""User-assigned identities: Microsoft.ManagedIdentity/userAssignedIdentities.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/overview
"""

from typing import ClassVar

from emulator.core.azure import ResourceType
from emulator.core.store import Document
from emulator.services.graph import data as graph

USER_ASSIGNED = "Microsoft.ManagedIdentity/userAssignedIdentities"


class UserAssignedIdentity(ResourceType):
    """Microsoft.ManagedIdentity/userAssignedIdentities."""

    type = USER_ASSIGNED
    stateless = True
    required: ClassVar[tuple[str, ...]] = ("location",)

    def check(self, new: Document, old: Document | None) -> Document:
        """Keep the principal of a former PUT."""
        previous = old.properties if old else {}
        return new.having(
            **{name: previous[name] for name in ("principalId", "clientId", "tenantId") if name in previous}
        )

    def provision(self, new: Document, old: Document | None) -> Document:
        """Make the principal at the first PUT."""
        if old is not None:
            return new
        principal = graph.create_identity(self.azure, new.id.name)
        return new.having(principalId=principal.object_id, clientId=principal.app_id, tenantId=self.azure.tenant)

    def remove(self, document: Document) -> None:
        """The principal goes too."""
        graph.delete_identity(self.azure, document.properties["principalId"])
