import uuid

import pytest
from azureml_scoring.plan.roles import ACR_PULL, REPOSITORY_READER, assignment_name, definition_id, pull_role

SCOPE = "/subscriptions/abc/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"


def test_a_plain_registry_is_read_with_acr_pull() -> None:
    assert pull_role("rbac") is ACR_PULL


def test_an_abac_registry_is_read_with_the_repository_reader() -> None:
    assert pull_role("abac") is REPOSITORY_READER


def test_a_definition_lies_in_the_subscription_of_its_scope() -> None:
    assert definition_id(SCOPE, ACR_PULL) == (
        "/subscriptions/abc/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d"
    )


def test_a_scope_outside_of_subscriptions_is_refused() -> None:
    with pytest.raises(ValueError, match='"myregistry" lies in no subscription'):
        definition_id("myregistry", ACR_PULL)


def test_an_assignments_name_is_a_guid_that_is_the_same_every_time() -> None:
    assert uuid.UUID(assignment_name("a", "b"))
    assert assignment_name("a", "b") == assignment_name("a", "b")
    assert assignment_name("a", "b") != assignment_name("a", "c")
