"""The meaning of `identity` on any resource: principals that are created and deleted with it.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/overview
"""

from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.graph import data as graph
from emulator.services.managedidentity.types import USER_ASSIGNED

_KINDS = {"none": "None", "systemassigned": "SystemAssigned", "userassigned": "UserAssigned"}


def assign(azure: Azure, body: dict[str, Any], old: Document | None = None) -> dict[str, Any]:
    """The body of a PUT with its `identity` filled in: principals created or kept from `old`, dropped ones deleted.

    Call it from a service's `check` (`new.body`, `old`), and `release` from its `remove`.
    """
    requested = body.get("identity")
    before = (old.body.get("identity") if old else None) or {}
    kinds = _kinds_of((requested or {}).get("type"))
    principal_id = before.get("principalId")
    if "SystemAssigned" not in kinds and principal_id:
        graph.delete_identity(azure, principal_id)
    if not requested or kinds == {"None"}:
        return {**body, "identity": {"type": "None"}} if requested else body
    identity: dict[str, Any] = {"type": ",".join(kind for kind in _KINDS.values() if kind in kinds)}
    if "UserAssigned" in kinds:
        identity["userAssignedIdentities"] = _users(azure, requested.get("userAssignedIdentities"))
    if "SystemAssigned" in kinds:
        # A name without a document yet still has one in its body: Azure names the principal after the resource.
        identity["principalId"] = principal_id or graph.create_identity(azure, body.get("name", "")).object_id
        identity["tenantId"] = azure.tenant
    return {**body, "identity": identity}


def release(azure: Azure, document: Document) -> None:
    """Delete the principal of a resource's own identity, if it has one."""
    principal_id = (document.body.get("identity") or {}).get("principalId")
    if principal_id:
        graph.delete_identity(azure, principal_id)


def _kinds_of(text: str | None) -> set[str]:
    kinds = {part.strip().lower() for part in (text or "None").split(",")}
    if not kinds <= set(_KINDS) or (len(kinds) > 1 and "none" in kinds):
        raise AzureError(
            400,
            "InvalidIdentityType",
            f"The identity type '{text}' is not one of 'None', 'SystemAssigned', 'UserAssigned',"
            " 'SystemAssigned,UserAssigned'.",
        )
    return {_KINDS[kind] for kind in kinds}


def _users(azure: Azure, ids: dict[str, Any] | None) -> dict[str, Any]:
    if not ids:
        raise AzureError(
            400,
            "LinkedInvalidPropertyId",
            "Property id 'userAssignedIdentities' is empty: an identity of type UserAssigned names at least one"
            " identity.",
        )
    users = {}
    for path in ids:
        document = azure.linked(path, USER_ASSIGNED)
        if document is None:
            raise AzureError(
                400,
                "FailedIdentityOperation",
                f"Identity operation failed with error 'The Resource '{path}' was not found'.",
            )
        # Azure answers these ids with another letter case than everybody writes.
        # https://learn.microsoft.com/azure/machine-learning/how-to-setup-authentication
        users[document.id.path.replace("/resourceGroups/", "/resourcegroups/")] = {
            "principalId": document.properties["principalId"],
            "clientId": document.properties["clientId"],
        }
    return users
