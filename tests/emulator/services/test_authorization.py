import uuid
from typing import Any

import pytest

from emulator.core.errors import AzureError
from emulator.services.authorization import types as authorization
from emulator.services.graph import data as graph
from tests.emulator.conftest import Inner

PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def _assignment(inner: Inner, who: str, role: str = PULL, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    definition = authorization.definition(inner.azure, role)
    return {"properties": {"principalId": who, "roleDefinitionId": definition, **more}}


def _path(name: str | None = None) -> str:
    return f"providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"


def test_a_role_counts_as_soon_as_it_is_given_and_no_longer_than_it_is(inner: Inner) -> None:
    somebody, path = inner.somebody(), _path()
    with pytest.raises(AzureError, match="AuthorizationFailed"):
        inner.ask("GET", inner.group, who=somebody)
    inner.ask("PUT", path, _assignment(inner, somebody.object_id, READER))
    assert inner.ask("GET", inner.group, who=somebody)["name"] == "rg"
    inner.ask("DELETE", path)
    with pytest.raises(AzureError, match="AuthorizationFailed"):
        inner.ask("GET", inner.group, who=somebody)


def test_the_scope_is_what_the_assignment_extends(inner: Inner) -> None:
    made = inner.ask("PUT", _path(), _assignment(inner, inner.somebody().object_id))
    assert made["properties"]["scope"] == inner.group
    assert made["properties"]["principalType"] == "ServicePrincipal"


def test_the_same_assignment_under_another_name_exists_already(inner: Inner) -> None:
    body = _assignment(inner, inner.somebody().object_id)
    inner.ask("PUT", _path(), body)
    with pytest.raises(AzureError, match="RoleAssignmentExists") as refused:
        inner.ask("PUT", _path(), body)
    assert refused.value.status == 409


def test_the_same_assignment_again_is_no_error(inner: Inner) -> None:
    body, path = _assignment(inner, inner.somebody().object_id), _path()
    inner.ask("PUT", path, body)
    inner.ask("PUT", path, body)


def test_an_assignment_cannot_change_hands(inner: Inner) -> None:
    path = _path()
    inner.ask("PUT", path, _assignment(inner, inner.somebody("one").object_id))
    with pytest.raises(AzureError, match="RoleAssignmentUpdateNotPermitted"):
        inner.ask("PUT", path, _assignment(inner, inner.somebody("two").object_id))


def test_a_fresh_principal_is_unknown_for_a_while_unless_its_type_is_told(inner: Inner) -> None:
    inner.azure.fault("principal-replication", 3600)
    somebody = inner.somebody()
    with pytest.raises(AzureError, match=r"PrincipalNotFound: .*replication delay"):
        inner.ask("PUT", _path(), _assignment(inner, somebody.object_id))
    inner.ask("PUT", _path(), _assignment(inner, somebody.object_id, principalType="ServicePrincipal"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"principalId": "not-a-guid"}, "InvalidPrincipalId"),
        ({"principalId": ""}, "InvalidRequestContent"),
        ({"roleDefinitionId": "/x/" + str(uuid.UUID(int=1))}, "RoleDefinitionDoesNotExist"),
        ({"principalType": "Robot"}, "InvalidPrincipalType"),
    ],
)
def test_what_azure_refuses_is_refused(inner: Inner, change: dict[str, str], code: str) -> None:
    body = _assignment(inner, inner.somebody().object_id)
    body["properties"] |= change
    with pytest.raises(AzureError, match=f"^{code}:"):
        inner.ask("PUT", _path(), body)


def test_an_assignments_name_is_a_guid(inner: Inner) -> None:
    with pytest.raises(AzureError, match=r"InvalidRoleAssignmentId: .*'pull'"):
        inner.ask("PUT", _path("pull"), _assignment(inner, inner.somebody().object_id))


def test_a_contributor_cannot_give_roles(inner: Inner) -> None:
    somebody = inner.somebody()
    inner.ask("PUT", _path(), _assignment(inner, somebody.object_id, "b24988ac-6180-42a0-ab88-20f7382dd24c"))
    with pytest.raises(AzureError, match="AuthorizationFailed"):
        inner.ask("PUT", _path(), _assignment(inner, somebody.object_id, READER), who=somebody)


def test_a_list_holds_those_above_the_scope_too(inner: Inner) -> None:
    who = inner.somebody().object_id
    inner.ask("PUT", _path(), _assignment(inner, who))
    found = inner.ask("GET", "providers/Microsoft.Authorization/roleAssignments")["value"]
    assert {each["properties"]["principalId"] for each in found} == {inner.deployer.object_id, who}


def test_a_deleted_principals_assignment_stays(inner: Inner) -> None:
    somebody, path = inner.somebody(), _path()
    inner.ask("PUT", path, _assignment(inner, somebody.object_id))
    graph.delete_service_principal(inner.azure, somebody.object_id)
    assert inner.ask("GET", path)["properties"]["principalId"] == somebody.object_id


def test_an_assignment_goes_with_the_resource_it_was_made_on(inner: Inner) -> None:
    account = "providers/Microsoft.Storage/storageAccounts/sttest"
    inner.ask("PUT", account, {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    path = f"{account}/{_path()}"
    inner.ask("PUT", path, _assignment(inner, inner.somebody().object_id))
    inner.ask("DELETE", account)
    with pytest.raises(AzureError, match="ResourceNotFound"):
        inner.ask("GET", path)
