"""Managed identities: those that resources have of their own, and those that users make.

Owns Microsoft.ManagedIdentity/userAssignedIdentities and the meaning of `identity` on any resource.
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/overview
"""

from typing import Any, ClassVar

from emulator.core.azure import Azure, ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services import entra

USER_ASSIGNED = "Microsoft.ManagedIdentity/userAssignedIdentities"
_KINDS = {"none": "None", "systemassigned": "SystemAssigned", "userassigned": "UserAssigned"}


def assign(azure: Azure, body: dict[str, Any], old: Document | None = None) -> dict[str, Any]:
    """The body of a PUT with its `identity` filled in: principals made, found or kept from `old`; dropped ones deleted.

    Call it from a service's `check` (`new.body`, `old`), and `release` from its `remove`.
    """
    wanted = body.get("identity")
    before = (old.body.get("identity") if old else None) or {}
    kinds = _kinds_of((wanted or {}).get("type"))
    principal_id = before.get("principalId")
    if "SystemAssigned" not in kinds and principal_id:
        entra.delete_identity(azure, principal_id)
    if not wanted or kinds == {"None"}:
        return {**body, "identity": {"type": "None"}} if wanted else body
    made: dict[str, Any] = {"type": ",".join(kind for kind in _KINDS.values() if kind in kinds)}
    if "UserAssigned" in kinds:
        made["userAssignedIdentities"] = _users(azure, wanted.get("userAssignedIdentities"))
    if "SystemAssigned" in kinds:
        # A name without a document yet still has one in its body: Azure names the principal after the resource.
        made["principalId"] = principal_id or entra.create_identity(azure, body.get("name", "")).object_id
        made["tenantId"] = azure.tenant
    return {**body, "identity": made}


def release(azure: Azure, document: Document) -> None:
    """Delete the principal of a resource's own identity, if it has one."""
    principal_id = (document.body.get("identity") or {}).get("principalId")
    if principal_id:
        entra.delete_identity(azure, principal_id)


def principal_of(azure: Azure, document: Document, client_id: str | None = None) -> Principal | None:
    """As whom a resource acts: the user-assigned identity of that client id, else its own, else its first other one."""
    identity = document.body.get("identity") or {}
    users = list((identity.get("userAssignedIdentities") or {}).values())
    if client_id is not None:
        users = [user for user in users if user["clientId"] == client_id]
        return entra.find_principal(azure, users[0]["principalId"]) if users else None
    if identity.get("principalId"):
        return entra.find_principal(azure, identity["principalId"])
    return entra.find_principal(azure, users[0]["principalId"]) if users else None


def _kinds_of(text: str | None) -> set[str]:
    found = {part.strip().lower() for part in (text or "None").split(",")}
    if not found <= set(_KINDS) or (len(found) > 1 and "none" in found):
        raise AzureError(
            400,
            "InvalidIdentityType",
            f"The identity type '{text}' is not one of 'None', 'SystemAssigned', 'UserAssigned',"
            " 'SystemAssigned,UserAssigned'.",
        )
    return {_KINDS[kind] for kind in found}


def _users(azure: Azure, wanted: dict[str, Any] | None) -> dict[str, Any]:
    if not wanted:
        raise AzureError(
            400,
            "LinkedInvalidPropertyId",
            "Property id 'userAssignedIdentities' is empty: an identity of type UserAssigned names at least one"
            " identity.",
        )
    users = {}
    for path in wanted:
        found = azure.store.get(ResourceId.parse(path))
        if found is None or found.id.type.lower() != USER_ASSIGNED.lower():
            raise AzureError(
                400,
                "FailedIdentityOperation",
                f"Identity operation failed with error 'The Resource '{path}' was not found'.",
            )
        users[found.id.path] = {
            "principalId": found.properties["principalId"],
            "clientId": found.properties["clientId"],
        }
    return users


class UserAssignedIdentity(ResourceType):
    """Microsoft.ManagedIdentity/userAssignedIdentities."""

    type = USER_ASSIGNED
    required: ClassVar[tuple[str, ...]] = ("location",)

    def check(self, new: Document, old: Document | None) -> Document:
        """Keep the principal of a former PUT."""
        known = old.properties if old else {}
        return new.having(**{name: known[name] for name in ("principalId", "clientId", "tenantId") if name in known})

    def provision(self, new: Document, old: Document | None) -> Document:
        """Make the principal at the first PUT."""
        if old is not None:
            return new
        made = entra.create_identity(self.azure, new.id.name)
        return new.having(principalId=made.object_id, clientId=made.app_id, tenantId=self.azure.tenant)

    def show(self, document: Document) -> dict[str, Any]:
        """Without a provisioning state: this type has none."""
        shown = {name: value for name, value in document.properties.items() if name != "provisioningState"}
        return {**document.body, "properties": shown}

    def remove(self, document: Document) -> None:
        """The principal goes too."""
        entra.delete_identity(self.azure, document.properties["principalId"])
