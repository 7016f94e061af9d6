"""Claims about roles that an identity may have already, against a scripted Azure."""

from typing import Any

import pytest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.role_assignment import RoleAssignment
from azureml_scoring.provider.values import Properties

from tests.provider.fake_azure import GROUP, REGISTRY, FakeAzure

DEFINITION = "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d"
ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"
INPUTS: Properties = {
    "scope": REGISTRY,
    "principalId": "principal",
    "roleDefinitionId": DEFINITION,
    "assignmentName": "ours",
}


def held(azure: FakeAzure, scope: str, **more: object) -> str:
    """Let the principal have the role on a scope already; the assignment's id."""
    id_ = f"{scope}/{ASSIGNMENTS}/theirs"
    properties: dict[str, Any] = {"scope": scope, "principalId": "principal", "roleDefinitionId": DEFINITION, **more}
    listed = {"value": [{"id": id_, "name": "theirs", "properties": properties}]}
    azure.on("GET", f"{ASSIGNMENTS}\\?", lambda _: (200, {}, listed))
    return id_


def test_a_role_is_assigned_to_a_principal_that_the_directory_may_not_show_yet() -> None:
    azure = FakeAzure()
    id_, _ = RoleAssignment().create(azure.context(), INPUTS)
    assert id_ == f"{REGISTRY}/{ASSIGNMENTS}/ours"
    assert azure.of("PUT")[0].body["properties"] == {
        "principalId": "principal",
        "roleDefinitionId": DEFINITION,
        "principalType": "ServicePrincipal",
    }
    asked = azure.of("GET", ASSIGNMENTS)[0].query
    assert asked["$filter"] == "principalId eq 'principal'"


@pytest.mark.parametrize("scope", [REGISTRY, REGISTRY.upper(), GROUP, GROUP.rpartition("/resourceGroups/")[0]])
def test_a_role_that_the_principal_has_there_or_above_is_taken_and_stays(scope: str) -> None:
    azure = FakeAzure()
    theirs = held(azure, scope)
    id_, state = RoleAssignment().create(azure.context(), INPUTS)
    assert (id_, azure.count("PUT")) == (theirs, 0)
    RoleAssignment().delete(azure.context(), id_, state)
    assert azure.count("DELETE") == 0
    assert azure.logged[-1] == f"the role stays: {theirs} was there before"


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        (f"{REGISTRY}2", {}),
        (REGISTRY, {"roleDefinitionId": f"{DEFINITION[:-1]}e"}),
        (REGISTRY, {"condition": "@Resource[…]"}),
    ],
)
def test_a_role_elsewhere_another_one_and_one_under_a_condition_do_not_count(
    scope: str, more: dict[str, object]
) -> None:
    azure = FakeAzure()
    held(azure, scope, **more)
    RoleAssignment().create(azure.context(), INPUTS)
    assert azure.count("PUT") == 1


def test_a_role_that_was_assigned_here_goes_with_the_resource() -> None:
    azure = FakeAzure()
    id_, state = RoleAssignment().create(azure.context(), INPUTS)
    RoleAssignment().delete(azure.context(), id_, state)
    assert id_ not in azure.documents
    assert RoleAssignment().read(azure.context(), id_, state, INPUTS) is None


def test_a_deployer_who_may_assign_no_roles_is_told_both_ways_out() -> None:
    azure = FakeAzure()
    error = {"error": {"code": "AuthorizationFailed", "message": "no right"}}
    azure.on("PUT", ASSIGNMENTS, lambda _: (403, {}, error))
    with pytest.raises(ResourceError) as told:
        RoleAssignment().create(azure.context(), INPUTS)
    assert str(told.value) == (
        "AuthorizationFailed: no right; give the deployer the role Role Based Access Control Administrator on "
        f"{REGISTRY}, or let somebody assign {DEFINITION} there to principal"
    )


def test_an_assignment_can_be_imported_and_any_change_is_another_one() -> None:
    azure = FakeAzure()
    id_, state = RoleAssignment().create(azure.context(), INPUTS)
    azure.documents[id_] |= {"name": "ours"}
    azure.documents[id_]["properties"] |= {"scope": REGISTRY}
    imported = RoleAssignment().read(azure.context(), id_, {}, {})
    assert imported is not None
    assert imported.inputs == INPUTS
    for name in INPUTS:
        assert RoleAssignment().diff(id_, state, {**INPUTS, name: "other"}).replaces == {name}
