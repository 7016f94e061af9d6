import uuid
from typing import Any

import pytest

from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.services.authorization import types as authorization
from emulator.services.graph import data as graph
from tests.emulator.conftest import InProcessAzure

PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def _assignment(local: InProcessAzure, who: str, role: str = PULL, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    definition = authorization.definition(local.azure, role)
    return {"properties": {"principalId": who, "roleDefinitionId": definition, **more}}


def _path(name: str | None = None) -> str:
    return f"providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"


def test_a_role_counts_as_soon_as_it_is_given_and_no_longer_than_it_is(local: InProcessAzure) -> None:
    principal, path = local.service_principal(), _path()
    with pytest.raises(AzureError, match="AuthorizationFailed"):
        local.ask("GET", local.group, who=principal)
    local.ask("PUT", path, _assignment(local, principal.object_id, READER))
    assert local.ask("GET", local.group, who=principal)["name"] == "rg"
    local.ask("DELETE", path)
    with pytest.raises(AzureError, match="AuthorizationFailed"):
        local.ask("GET", local.group, who=principal)


def test_the_scope_is_what_the_assignment_extends(local: InProcessAzure) -> None:
    made = local.ask("PUT", _path(), _assignment(local, local.service_principal().object_id))
    assert made["properties"]["scope"] == local.group
    assert made["properties"]["principalType"] == "ServicePrincipal"


def test_a_delete_answers_with_the_assignment_that_is_gone(local: InProcessAzure) -> None:
    path = _path()
    made = local.ask("PUT", path, _assignment(local, local.service_principal().object_id))
    assert local.ask("DELETE", path) == made
    assert local.ask("DELETE", path) is None


def test_the_same_assignment_under_another_name_exists_already(local: InProcessAzure) -> None:
    body = _assignment(local, local.service_principal().object_id)
    local.ask("PUT", _path(), body)
    with pytest.raises(AzureError, match="RoleAssignmentExists") as refused:
        local.ask("PUT", _path(), body)
    assert refused.value.status == 409


def test_the_same_assignment_again_is_no_error(local: InProcessAzure) -> None:
    body, path = _assignment(local, local.service_principal().object_id), _path()
    local.ask("PUT", path, body)
    local.ask("PUT", path, body)


def test_an_assignment_cannot_change_hands(local: InProcessAzure) -> None:
    path = _path()
    local.ask("PUT", path, _assignment(local, local.service_principal("one").object_id))
    with pytest.raises(AzureError, match="RoleAssignmentUpdateNotPermitted"):
        local.ask("PUT", path, _assignment(local, local.service_principal("two").object_id))


def test_a_fresh_principal_is_unknown_for_a_while_unless_its_type_is_told(local: InProcessAzure) -> None:
    local.azure.fault("principal-replication", 3600)
    principal = local.service_principal()
    with pytest.raises(AzureError, match=r"PrincipalNotFound: .*replication delay"):
        local.ask("PUT", _path(), _assignment(local, principal.object_id))
    local.ask("PUT", _path(), _assignment(local, principal.object_id, principalType="ServicePrincipal"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"principalId": "not-a-guid"}, "InvalidPrincipalId"),
        ({"principalId": ""}, "InvalidRequestContent"),
        ({"roleDefinitionId": "/x/" + str(uuid.UUID(int=1))}, "RoleDefinitionDoesNotExist"),
        ({"principalType": "Robot"}, "InvalidPrincipalType"),
    ],
)
def test_what_azure_refuses_is_refused(local: InProcessAzure, change: dict[str, str], code: str) -> None:
    body = _assignment(local, local.service_principal().object_id)
    body["properties"] |= change
    with pytest.raises(AzureError, match=f"^{code}:"):
        local.ask("PUT", _path(), body)


def test_an_assignments_name_is_a_guid(local: InProcessAzure) -> None:
    with pytest.raises(AzureError, match=r"InvalidRoleAssignmentId: .*'pull'"):
        local.ask("PUT", _path("pull"), _assignment(local, local.service_principal().object_id))


def test_a_contributor_cannot_give_roles(local: InProcessAzure) -> None:
    principal = local.service_principal()
    local.ask("PUT", _path(), _assignment(local, principal.object_id, "b24988ac-6180-42a0-ab88-20f7382dd24c"))
    with pytest.raises(AzureError, match="AuthorizationFailed"):
        local.ask("PUT", _path(), _assignment(local, principal.object_id, READER), who=principal)


def test_a_list_holds_those_above_the_scope_too(local: InProcessAzure) -> None:
    who = local.service_principal().object_id
    local.ask("PUT", _path(), _assignment(local, who))
    found = local.ask("GET", "providers/Microsoft.Authorization/roleAssignments")["value"]
    assert {each["properties"]["principalId"] for each in found} == {local.deployer.object_id, who}


def test_a_deleted_principals_assignment_stays(local: InProcessAzure) -> None:
    principal, path = local.service_principal(), _path()
    local.ask("PUT", path, _assignment(local, principal.object_id))
    graph.delete_service_principal(local.azure, principal.object_id)
    assert local.ask("GET", path)["properties"]["principalId"] == principal.object_id


def test_an_assignment_goes_with_the_resource_it_was_made_on(local: InProcessAzure) -> None:
    account = "providers/Microsoft.Storage/storageAccounts/sttest"
    local.ask("PUT", account, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    path = f"{account}/{_path()}"
    local.ask("PUT", path, _assignment(local, local.service_principal().object_id))
    local.ask("DELETE", account)
    with pytest.raises(AzureError, match="ResourceNotFound"):
        local.ask("GET", path)


def _permissions(local: InProcessAzure, who: Principal, scope: str) -> Any:  # noqa: ANN401 - JSON
    return local.ask("GET", f"{scope}/providers/Microsoft.Authorization/permissions", who=who)["value"]


def test_a_caller_reads_its_own_permissions_at_a_scope(local: InProcessAzure) -> None:
    principal = local.service_principal()
    with pytest.raises(AzureError, match=r"Microsoft[.]Authorization/permissions/read"):
        _permissions(local, principal, local.group)
    local.ask("PUT", _path(), _assignment(local, principal.object_id, READER))
    (reader,) = _permissions(local, principal, local.group)
    assert (reader["actions"], reader["notActions"]) == (["*/read"], [])
    assert [each["actions"] for each in _permissions(local, local.deployer, local.group)] == [["*"]]
    with pytest.raises(AzureError, match="ResourceGroupNotFound"):
        _permissions(local, local.deployer, f"{local.group}-none")
