"""RoleAssignment: a role that a principal has on a scope; assigned, unless it has it there or above already.

Owns: an assignment that it has made itself. Refuses to own: one that was there before, by an administrator or by Azure
ML itself: Azure refuses a second assignment of the same role, and an existing one needs no right to assign roles.
Whether Azure honours the role by now is known to nobody but who uses it (`online_deployment.py`).

ARM: Microsoft.Authorization/roleAssignments.
https://learn.microsoft.com/rest/api/authorization/role-assignments/create
https://learn.microsoft.com/rest/api/authorization/role-assignments/list-for-scope
"""

from http import HTTPStatus
from typing import Any, ClassVar

from azureml_scoring.provider.arm import Arm, ArmError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import RoleAssignmentArgs

AUTHORIZATION_API = "2022-04-01"
_ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"


class RoleAssignmentOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class RoleAssignment(Resource[RoleAssignmentArgs]):
    """A role that a principal has on a scope: assigned, unless it has it there or above already."""

    name = "RoleAssignment"
    inputs = RoleAssignmentArgs
    outputs = RoleAssignmentOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"scope", "principalId", "roleDefinitionId", "assignmentName"})

    def _create(self, context: Context, inputs: RoleAssignmentArgs) -> tuple[str, Outputs]:
        if existing := _existing(context.arm, inputs):
            context.log(f"principal {inputs.principal_id} has the role already: {existing}")
            return existing, RoleAssignmentOutputs()
        path = f"{inputs.scope}/{_ASSIGNMENTS}/{inputs.assignment_name}"
        properties = {
            "principalId": inputs.principal_id,
            "roleDefinitionId": inputs.role_definition_id,
            # Said outright, so that Azure does not look a principal up that its directory may not show yet.
            "principalType": "ServicePrincipal",
        }
        try:
            context.arm.put(path, AUTHORIZATION_API, {"properties": properties})
        except ArmError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            msg = (
                f"{error.code}: {error.message}; give the deployer the role Role Based Access Control Administrator on "
                f"{inputs.scope}, or let somebody assign {inputs.role_definition_id} there to {inputs.principal_id}"
            )
            raise ResourceError(msg) from None
        return path, RoleAssignmentOutputs()

    def _update(
        self, context: Context, resource_id: str, olds: Properties, inputs: RoleAssignmentArgs
    ) -> RoleAssignmentOutputs:
        """Never called: a change of any input is a replacement."""
        del context, resource_id, olds, inputs
        return RoleAssignmentOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        document = context.arm.get(resource_id, AUTHORIZATION_API)
        if document is None:
            return None
        if not olds:
            olds = inputs = _inputs_of(document)
        return ReadResult(resource_id, olds, inputs)

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        if last(resource_id) == olds["assignmentName"]:
            context.arm.delete(resource_id, AUTHORIZATION_API)
        else:
            context.log(f"the role stays: {resource_id} was there before")


def _existing(arm: Arm, inputs: RoleAssignmentArgs) -> str | None:
    """Find an assignment of the role to the principal, on the scope or above it; one under a condition is none."""
    query = {"$filter": f"principalId eq '{inputs.principal_id}'"}
    scope, role = f"{inputs.scope.lower()}/", last(inputs.role_definition_id).lower()
    for each in arm.list_all(f"{inputs.scope}/{_ASSIGNMENTS}", AUTHORIZATION_API, query):
        properties: dict[str, Any] = each["properties"]
        covers = scope.startswith(f"{str(properties['scope']).lower().rstrip('/')}/")
        same = last(str(properties["roleDefinitionId"])).lower() == role
        if covers and same and not properties.get("condition"):
            return str(each["id"])
    return None


def _inputs_of(document: dict[str, Any]) -> Properties:
    properties = document["properties"]
    return {
        "scope": properties["scope"],
        "principalId": properties["principalId"],
        "roleDefinitionId": properties["roleDefinitionId"],
        "assignmentName": document["name"],
    }
