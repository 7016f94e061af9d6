import re

import pytest
from azureml_scoring.plan.names import ArmId, Names, environment_name
from azureml_scoring.settings.rules import RULES

KINDS = {
    "resourceGroup": "resourceGroup",
    "registry": "registry",
    "ownRegistry": "registry",
    "storageAccount": "storageAccount",
    "vault": "vault",
    "workspace": "workspace",
    "logs": "logs",
    "insights": "insights",
    "identity": "identity",
    "application": "identity",
    "connection": "connection",
    "secret": "secret",
    "endpoint": "endpoint",
    "environment": "environment",
}
STACKS = [
    Names("azureml-scoring", "local"),
    Names("azureml-scoring", "dev", "second"),
    Names("p", "s"),
    Names("9lives", "7", "3"),
    Names("A_Project.with-Odd_letters", "Feature_Branch.42"),
    Names("a-project-with-a-name-that-is-far-too-long-for-most-of-azure", "and-a-stack-with-a-long-name", "part"),
    Names("x" * 100, "y" * 100),
    Names("a--b", "-c-"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", STACKS, ids=lambda names: f"{names.project[:12]}-{names.stack[:8]}")
def test_every_name_obeys_azures_rule_for_its_kind(names: Names, kind: str) -> None:
    assert RULES[KINDS[kind]].problem(names.of(kind)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_the_same_every_time(kind: str) -> None:
    assert Names("azureml-scoring", "local").of(kind) == Names("azureml-scoring", "local").of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_two_stacks_never_share_a_name(kind: str) -> None:
    long = "a-project-with-a-name-that-is-far-too-long-for-most-of-azure-and-for-people-and-for-anybody"
    assert Names("scoring", "dev").of(kind) != Names("scoring", "prod").of(kind)
    assert Names(long, "dev").of(kind) != Names(long, "prod").of(kind)


@pytest.mark.parametrize("kind", ["registry", "ownRegistry", "storageAccount", "vault", "endpoint"])
def test_names_that_the_world_shares_end_in_a_hash_that_the_seed_changes(kind: str) -> None:
    first, other = Names("scoring", "dev").of(kind), Names("scoring", "dev", seed="mine").of(kind)
    assert first != other
    assert first[:-6] == other[:-6]
    assert re.fullmatch("[0-9a-f]{6}", first[-6:])


def test_the_two_registries_of_a_stack_differ() -> None:
    names = Names("scoring", "dev")
    assert names.of("registry") != names.of("ownRegistry")


def test_an_arm_id_comes_apart_and_together_again() -> None:
    text = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v"
    parsed = ArmId.parse(text)
    assert parsed == ArmId("s", "g", "Microsoft.KeyVault/vaults", "v")
    assert str(parsed) == text


def test_what_is_no_arm_id_is_shown() -> None:
    with pytest.raises(ValueError, match='"myregistry" is no ARM id'):
        ArmId.parse("myregistry")


def test_an_environment_is_named_after_its_repository() -> None:
    assert environment_name("team/scoring/sklearn_v2") == "team-scoring-sklearn_v2"
