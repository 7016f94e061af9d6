"""Role assignments: who has which role at which scope.

Owns Microsoft.Authorization/roleAssignments as documents. What a role allows, and the decision, is
emulator/core/rbac.py.
https://learn.microsoft.com/rest/api/authorization/role-assignments
"""

import re
import time
import uuid
from typing import Any

from emulator.core.azure import Azure, Request, ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import ASSIGNMENTS, ROLES
from emulator.core.store import Document
from emulator.services.graph import data as graph

_FIXED = ("principalId", "roleDefinitionId", "scope")
_OPTIONAL = ("description", "condition", "conditionVersion", "delegatedManagedIdentityResourceId")
_TERM = re.compile(r"atScope\(\)|principalId eq '([^']*)'|assignedTo\('([^']*)'\)", re.IGNORECASE)
_ROLE_NAME = re.compile(r"roleName eq '([^']*)'", re.IGNORECASE)
_PRINCIPAL_TYPES = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")


def grant(azure: Azure, principal_id: str, role: str, scope: ResourceId) -> ResourceId:
    """Give a role without asking who grants it: for what Azure itself sets up (the deployer)."""
    id_ = ResourceId.parse(
        f"{scope.path}/providers/{ASSIGNMENTS}/{uuid.uuid5(uuid.UUID(principal_id), scope.key + role)}"
    )
    properties = {
        "principalId": principal_id,
        "principalType": "ServicePrincipal",
        "roleDefinitionId": definition(azure, role),
        "scope": scope.path,
    }
    body = {"id": id_.path, "name": id_.name, "type": ASSIGNMENTS, "properties": properties}
    if azure.store.get(id_) is None:
        azure.store.put(Document(id_, body))
    return id_


def definition(azure: Azure, role: str) -> str:
    """The id of a built-in role's definition."""
    return f"/subscriptions/{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"


class RoleAssignment(ResourceType):
    """Microsoft.Authorization/roleAssignments. Its scope is the resource that its id extends."""

    type = ASSIGNMENTS
    stateless = True
    filtered = True
    #: https://learn.microsoft.com/rest/api/authorization/role-assignments/delete
    shows_deleted = True

    def check(self, new: Document, old: Document | None) -> Document:
        """All of Azure's refusals: wrong ids, an unknown role or principal, an assignment that exists or changes."""
        requested = new.properties
        for name in ("principalId", "roleDefinitionId"):
            if not requested.get(name):
                raise AzureError(400, "InvalidRequestContent", f"The role assignment lacks 'properties.{name}'.")
        if not _is_guid(new.id.name):
            raise AzureError(
                400,
                "InvalidRoleAssignmentId",
                f"The role assignment ID '{new.id.name}' is not valid. The role assignment ID must be a GUID.",
            )
        role = str(requested["roleDefinitionId"]).rstrip("/").rpartition("/")[2].lower()
        if role not in ROLES:
            raise AzureError(
                400, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role}' does not exist."
            )
        kind = requested.get("principalType")
        if kind is not None and kind not in _PRINCIPAL_TYPES:
            raise AzureError(
                400, "InvalidPrincipalType", f"The principal type '{kind}' is not one of {', '.join(_PRINCIPAL_TYPES)}."
            )
        parent = new.id.parent
        if parent is None:
            raise AzureError(400, "InvalidRequestContent", f"'{new.id.path}' has no scope.")
        properties: dict[str, Any] = {
            "principalId": self._principal(str(requested["principalId"]), kind),
            "principalType": kind or "ServicePrincipal",
            "roleDefinitionId": definition(self.azure, role),
            "scope": parent.path,
            **{name: requested[name] for name in _OPTIONAL if requested.get(name)},
            "createdOn": new.body["systemData"]["createdAt"],
            "updatedOn": new.body["systemData"]["lastModifiedAt"],
            "createdBy": new.body["systemData"]["createdBy"],
            "updatedBy": new.body["systemData"]["lastModifiedBy"],
        }
        self._only(new, old, properties)
        return Document(new.id, {**new.body, "properties": properties}, new.private)

    def provision(self, new: Document, old: Document | None) -> Document:
        """Note since when the role is assigned: it holds a while later."""
        return new if old is not None else new.having({"since": time.time()})

    def _principal(self, object_id: str, kind: str | None) -> str:
        if not _is_guid(object_id):
            raise AzureError(
                400,
                "InvalidPrincipalId",
                f"A valid principal ID must be provided for role assignment, not '{object_id}'.",
            )
        principal = graph.find_principal(self.azure, object_id)
        if kind is not None and principal is not None and kind != principal.kind:
            # The letters of "PrinciaplType" are Azure's.
            raise AzureError(
                400,
                "UnmatchedPrincipalType",
                f"The PrincipalId '{object_id.replace('-', '')}' has type '{principal.kind}' , which is different from"
                f" specified PrinciaplType '{kind}'.",
            )
        # With a principal type Azure does not query the directory: the documented way round the replication delay.
        if kind is None and not graph.is_replicated(self.azure, object_id):
            raise AzureError(
                400,
                "PrincipalNotFound",
                f"Principal {object_id.replace('-', '')} does not exist in the directory {self.azure.tenant}. Check"
                " that you have the correct principal ID. If you are creating this principal and then immediately"
                " assigning a role, this error might be related to a replication delay. In this case, set the role"
                " assignment principalType property to a value, such as ServicePrincipal, User, or Group. See"
                " https://aka.ms/docs-principaltype",
            )
        return object_id

    def _only(self, new: Document, old: Document | None, properties: dict[str, Any]) -> None:
        if old is not None:
            changed = [name for name in _FIXED if old.properties[name].lower() != properties[name].lower()]
            if changed:
                raise AzureError(
                    400,
                    "RoleAssignmentUpdateNotPermitted",
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
                )
            return
        for other in self.azure.store.of_type(ASSIGNMENTS):
            if other.id.key != new.id.key and all(
                other.properties[name].lower() == properties[name].lower() for name in _FIXED
            ):
                raise AzureError(
                    409,
                    "RoleAssignmentExists",
                    f"The role assignment already exists. The ID of the existing role assignment is"
                    f" {other.id.name.replace('-', '')}.",
                )

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:
        """At, below and above the scope, as `$filter` says.

        https://learn.microsoft.com/azure/role-based-access-control/role-assignments-list-rest
        """
        terms = [term.strip() for term in query.get("$filter", "").split(" and ") if term.strip()]
        matches = [_TERM.fullmatch(term) for term in terms]
        if not all(matches):
            raise AzureError(
                400, "UnsupportedQuery", f"The query string filter is not supported: '{query['$filter']}'."
            )
        principals = {principal.lower() for match in matches if match for principal in match.groups() if principal}
        at_scope = any(term.lower() == "atscope()" for term in terms)
        documents = []
        for each in self.azure.store.of_type(self.type):
            where = each.properties["scope"].lower()
            above = (scope.key + "/").startswith(where + "/")
            below = where.startswith(scope.key + "/") and not at_scope
            if (above or below) and (not principals or each.properties["principalId"].lower() in principals):
                documents.append(each)
        return documents


class RoleDefinition(ResourceType):
    """Microsoft.Authorization/roleDefinitions: the built-in roles.

    https://learn.microsoft.com/rest/api/authorization/role-definitions/list
    """

    type = "Microsoft.Authorization/roleDefinitions"
    filtered = True

    def check_envelope(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """Refuse every PUT: custom roles are not served."""
        del body
        raise AzureError(405, "MethodNotAllowed", f"The role definition '{id_.name}' cannot be written here.")

    def read(self, id_: ResourceId) -> Document:
        """A role by its id (404 where there is none)."""
        role = ROLES.get(id_.name.lower())
        if role is None:
            raise AzureError(404, "RoleDefinitionDoesNotExist", f"The role definition '{id_.name}' does not exist.")
        whole = ResourceId.parse(definition(self.azure, id_.name.lower()))
        properties = {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.name,
            "assignableScopes": ["/"],
            "permissions": [role.permissions],
        }
        return Document(whole, {"id": whole.path, "name": whole.name, "type": self.type, "properties": properties})

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:
        """All roles, or the one of `roleName eq '…'`."""
        del scope
        terms = [term for term in query.get("$filter", "").split(" and ") if term and term.lower() != "atscope()"]
        names = [match[1] for term in terms if (match := _ROLE_NAME.fullmatch(term.strip()))]
        if len(names) != len(terms):
            raise AzureError(
                400, "UnsupportedQuery", f"The query string filter is not supported: '{query['$filter']}'."
            )
        roles = [self.read(ResourceId.parse(definition(self.azure, role))) for role in ROLES]
        return [role for role in roles if all(role.properties["roleName"].lower() == name.lower() for name in names)]


class Permissions(ResourceType):
    """Microsoft.Authorization/permissions: what the caller may do at a scope, by each of its roles.

    https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource
    """

    type = "Microsoft.Authorization/permissions"

    def listed(self, scope: ResourceId, request: Request) -> dict[str, Any]:
        """The caller's roles at the scope (404 where that does not exist)."""
        self.azure.find(scope.path)
        roles = self.azure.access.roles_of(request.principal.object_id, scope)
        return {"value": [role.permissions for role in roles]}


def _is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
