"""What becomes of pending operations: on states that the engine left when it was killed."""

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.pending import (
    ARM,
    Answer,
    Decisions,
    Look,
    StateError,
    Step,
    conclude,
    decided,
    judge,
    mended,
    operations,
    redone,
    unread,
)

ROOT = Path(__file__).parents[2]
STATES = Path(__file__).parent / "states"
GROUP = "/subscriptions/5d0c5a8f-6a0e-4c5b-9d0e-0a4f3a2b1c00/resourceGroups/azureml-scoring-local"
SUBSCRIPTION = GROUP.split("/")[2]
OWNER = "3b81b89c-d05f-4a6f-aeb1-c882ba1c7b3d"
ML = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/azureml-scoring-local-ml"
ACR = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/azuremlscoringlocalacr95fd4b"


def state(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STATES / f"{name}.json").read_text())
    return found


def looks(given: dict[str, Any], subscription: str = SUBSCRIPTION) -> dict[str, Step | Look]:
    return {each.name: judge(given, each, subscription) for each in operations(given)}


def steps(given: dict[str, Any], **answers: Answer) -> list[Step]:
    """All steps, where Azure answers so, by the last word of the names; what is not mentioned is not there."""
    found = []
    for operation in operations(given):
        judged = judge(given, operation, SUBSCRIPTION)
        told = answers.get(operation.name.rpartition("-")[2], Answer())
        found.append(conclude(operation, judged, told) if isinstance(judged, Look) else judged)
    return found


def edited(given: dict[str, Any], name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The state with another pending resource of this name."""
    result = copy.deepcopy(given)
    for each in result["deployment"]["pending_operations"]:
        if each["resource"]["urn"].endswith(f"::{name}"):
            each["type"] = changes.pop("kind", each["type"])
            each["resource"] |= changes
    return result


def urns(given: dict[str, Any]) -> list[str]:
    return [each["urn"].split("::")[3] for each in given["deployment"]["resources"]]


def test_what_was_made_is_looked_for_under_the_id_that_its_inputs_tell() -> None:
    first, second, third = (looks(state(name)) for name in ("registry", "principal", "role"))
    assert first["scoring-registry"] == Look(arm_id=ACR, version=ARM["containerregistry:Registry"][1])
    assert first["scoring-application"] == Look(application="azureml-scoring-local-pull")
    principal, password = second["scoring-service-principal"], second["scoring-password-first"]
    assert isinstance(principal, Look)
    assert principal.principal_of == "9d1a85af-d2a7-468d-8a59-ee1cc83aa313"
    assert password == Look(password="first", owner=OWNER)
    ids = {name: look.arm_id for name, look in third.items() if isinstance(look, Look)}
    vault = f"{GROUP}/providers/Microsoft.KeyVault/vaults/azureml-scorin-kv-95fd4b"
    assert ids == {
        "scoring-role": f"{ACR}/providers/Microsoft.Authorization/roleAssignments/7dc7609f-d580-5933-8429-909ff7c9475e",
        "scoring-secret": f"{vault}/secrets/azureml-scoring-local-pull-password",
        "scoring-connection": f"{ML}/connections/azureml-scoring-local-pull",
    }


def test_every_azure_native_type_of_the_components_can_be_looked_for() -> None:
    used = set()
    for file in (ROOT / "components").rglob("*.py"):
        tree = ast.parse(file.read_text())
        modules = {
            name.asname or name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "pulumi_azure_native"
            for name in node.names
        }
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id in modules:
                used.add(f"{called.value.id}:{called.attr}")
    made = {token for token in used if token.partition(":")[2][0].isupper() and not token.endswith("Args")}
    assert len(made) > 5
    assert made <= ARM.keys(), "add a row to ARM in delivery/pending.py: where the type lives on Azure"


def test_what_azure_has_is_adopted_behind_what_it_needs_and_the_rest_is_dropped() -> None:
    before = state("registry")
    given = steps(before, registry=Answer(ACR))
    assert {step.operation.name: step.fate for step in given} == {
        "scoring-application": "drop",
        "scoring-registry": "adopt",
        "scoring-own-registry": "adopt",
    }
    after = mended(before, given)
    assert "pending_operations" not in after["deployment"]
    assert sorted(urns(after)) == sorted([*urns(before), "scoring-registry", "scoring-own-registry"])
    assert urns(after).index("scoring-registry") > urns(after).index("scoring-group")
    adopted = next(each for each in after["deployment"]["resources"] if each["urn"].endswith("::scoring-registry"))
    assert adopted["id"] == ACR
    assert adopted["provider"].startswith("urn:pulumi:local::azureml-scoring::pulumi:providers:azure-native::")
    assert before == state("registry"), "the given state is not touched"


def test_what_needs_an_adopted_one_stays_behind_it() -> None:
    given = state("role")
    named = [each for each in given["deployment"]["resources"] if each["urn"].endswith("::scoring-vault")]
    waiting = {"urn": "urn:pulumi:local::azureml-scoring::x:y:Z::after", "type": "x:y:Z", "custom": True, "id": "z"}
    role = next(each for each in operations(given) if each.name == "scoring-role")
    given["deployment"]["resources"].append({**waiting, "dependencies": [role.urn]})
    after = urns(mended(given, steps(given, role=Answer("/role"))))
    assert named
    assert after.index("scoring-registry") < after.index("scoring-role") < after.index("after")


def test_one_that_was_deleted_to_make_room_gives_way_to_the_adopted() -> None:
    given = state("registry")
    old = copy.deepcopy(next(each.resource for each in operations(given) if each.name == "scoring-registry"))
    given["deployment"]["resources"].append({**old, "id": ACR, "pendingReplacement": True, "outputs": {"old": True}})
    after = mended(given, steps(given, registry=Answer(ACR)))
    found = [each for each in after["deployment"]["resources"] if each["urn"] == old["urn"]]
    assert [each.get("outputs") for each in found] == [None]


def test_what_the_state_has_already_is_not_adopted_a_second_time() -> None:
    given = state("registry")
    old = next(each.resource for each in operations(given) if each.name == "scoring-application")
    given["deployment"]["resources"].append({**old, "id": "/applications/known"})
    step = looks(given)["scoring-application"]
    assert isinstance(step, Step)
    assert (step.fate, step.why) == ("drop", "the state has it, as /applications/known")
    again = decided([step], Decisions(adopt={"scoring-application": "/applications/other"}))
    with pytest.raises(StateError, match="scoring-application: the state has it already; it can only be dropped"):
        mended(given, again)


def test_own_resources_builds_and_components_are_dropped_since_up_finds_what_is_there() -> None:
    endpoint = looks(state("principal"))["scoring-endpoint"]
    assert isinstance(endpoint, Step)
    assert (endpoint.fate, endpoint.why) == ("drop", "up finds by itself what is there")
    for changes in ({"type": "docker:index/image:Image"}, {"type": "pulumi:providers:random"}, {"custom": False}):
        step = looks(edited(state("registry"), "scoring-registry", **changes))["scoring-registry"]
        assert isinstance(step, Step)
        assert step.fate == "drop"


@pytest.mark.parametrize("kind", ["updating", "deleting", "reading", "importing"])
def test_other_operations_are_dropped_since_the_refresh_reads_what_became_of_them(kind: str) -> None:
    step = looks(edited(state("registry"), "scoring-registry", kind=kind))["scoring-registry"]
    assert isinstance(step, Step)
    assert step.fate == "drop"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": "random:index/randomId:RandomId"}, "this type is not known here"),
        ({"type": "azure-native:cache:Redis"}, "this type is not known here"),
        ({"kind": "polishing"}, "an operation of kind 'polishing' is not known here"),
        ({"inputs": {"resourceGroupName": "g"}}, "its registryName is not in the state as a text"),
        (
            {"inputs": {"resourceGroupName": "g", "registryName": {"4dabf18193072939515e22adb298388d": "sealed"}}},
            "its registryName is not in the state as a text",
        ),
    ],
)
def test_what_is_not_understood_is_left_and_nothing_is_changed(changes: dict[str, Any], why: str) -> None:
    given = edited(state("registry"), "scoring-registry", **changes)
    step = looks(given)["scoring-registry"]
    assert isinstance(step, Step)
    assert (step.fate, step.why) == ("leave", why)
    with pytest.raises(StateError, match="scoring-registry: not decided"):
        mended(given, [step])


def test_without_a_subscription_nothing_is_guessed() -> None:
    step = looks(state("registry"), "")["scoring-registry"]
    assert isinstance(step, Step)
    assert step.why == "nobody says in which subscription; set ARM_SUBSCRIPTION_ID"


def test_the_providers_own_subscription_comes_first() -> None:
    given = state("registry")
    for each in given["deployment"]["resources"]:
        if each["type"] == "pulumi:providers:azure-native":
            each["inputs"]["subscriptionId"] = "other"
    look = looks(given)["scoring-registry"]
    assert isinstance(look, Look)
    assert look.arm_id.startswith("/subscriptions/other/")


def test_a_password_is_never_adopted_since_nobody_can_read_it_back() -> None:
    given = steps(state("principal"), first=Answer(lost=("key",)))
    step = next(each for each in given if each.operation.name == "scoring-password-first")
    assert (step.fate, step.owner, step.lost) == ("drop", OWNER, ("key",))
    assert str(step).endswith("up makes a new password; removes 1 whose value nobody knows")


def test_nobody_can_say_that_a_password_shall_be_adopted() -> None:
    with pytest.raises(StateError, match=r"^scoring-password-first: a password cannot be read back"):
        decided(steps(state("principal")), Decisions(adopt={"scoring-password-first": "/x"}))


def test_an_unclear_answer_is_left_to_the_user() -> None:
    given = steps(state("registry"), application=Answer(unclear="there are two"))
    assert [(step.fate, step.why) for step in given if step.fate == "leave"] == [("leave", "there are two")]


def test_a_user_decides_what_is_left() -> None:
    given = steps(edited(state("registry"), "scoring-registry", type="x:y:Z"))
    left = next(step for step in given if step.fate == "leave")
    for name in (left.operation.name, left.operation.urn):
        adopted = decided(given, Decisions(adopt={name: "/x"}))
        assert [(step.fate, step.id) for step in adopted if step.operation is left.operation] == [("adopt", "/x")]
        dropped = decided(given, Decisions(drop=frozenset({name})))
        assert [step.fate for step in dropped if step.operation is left.operation] == ["drop"]


@pytest.mark.parametrize(
    ("decisions", "line"),
    [
        (Decisions(drop=frozenset({"scorin"})), "scorin: fits 0 pending operations of scoring-application, "),
        (
            Decisions({"scoring-registry": "/x"}, frozenset({"scoring-registry"})),
            "scoring-registry: to be adopted and to be dropped; say one of them",
        ),
    ],
)
def test_a_decision_about_nothing_is_refused_in_one_line(decisions: Decisions, line: str) -> None:
    with pytest.raises(StateError, match=f"^{line}"):
        decided(steps(state("registry")), decisions)


def test_what_was_adopted_is_written_once_more_as_the_program_wants_it() -> None:
    before = state("registry")
    adopted = mended(before, steps(before, registry=Answer(ACR)))
    assert sorted(unread(adopted)) == ["scoring-own-registry", "scoring-registry"]
    refreshed = copy.deepcopy(adopted)
    for each in refreshed["deployment"]["resources"]:
        each.pop("initErrors", None)
        each["outputs"] = {"read": True}
        each["inputs"] = {**(each.get("inputs") or {}), "filledIn": "by Azure"}
    whole = redone(refreshed, adopted)
    after = {each["urn"].split("::")[3]: each for each in whole["deployment"]["resources"]}
    registry = after["scoring-registry"]
    wanted = next(each.resource["inputs"] for each in operations(before) if each.name == "scoring-registry")
    assert (registry["inputs"], registry["outputs"]) == (wanted, {"read": True})
    assert len(registry["initErrors"]) == 1
    assert after["scoring-group"]["inputs"]["filledIn"] == "by Azure"
    assert "initErrors" not in after["scoring-group"]
    assert unread(whole) == []


def test_a_recovery_that_was_killed_itself_is_gone_on_with() -> None:
    before = state("registry")
    adopted = mended(before, steps(before, registry=Answer(ACR)))
    assert mended(adopted, []) == adopted
    assert sorted(unread(adopted)) == ["scoring-own-registry", "scoring-registry"]


def test_secrets_stay_sealed_on_their_way() -> None:
    before = state("role")
    sealed = next(each.resource["inputs"] for each in operations(before) if each.name == "scoring-secret")
    assert "ciphertext" in json.dumps(sealed)
    given = steps(before, secret=Answer("/secret"))
    adopted = mended(before, given)
    for after in (adopted, redone(adopted, adopted)):
        kept = next(each for each in after["deployment"]["resources"] if each["urn"].endswith("::scoring-secret"))
        assert kept["inputs"] == sealed


@pytest.mark.parametrize("broken", [{}, {"deployment": None}, {"deployment": {"pending_operations": [{"x": 1}]}}])
def test_what_is_no_state_is_refused_in_one_line(broken: dict[str, Any]) -> None:
    with pytest.raises(StateError, match=r"^the state is not as `pulumi stack export` writes it"):
        operations(broken)
