"""What becomes of pending operations: on states that the engine left when it was killed."""

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.pending import (
    ARM,
    Decisions,
    Query,
    Result,
    StateError,
    Step,
    applications,
    marked_unfinished,
    operations,
    repaired,
    resolve,
    resolve_or_query,
    unrecorded,
    unrefreshed,
    with_decisions,
)

ROOT = Path(__file__).parents[2]
STATES = Path(__file__).parent / "states"
GROUP = "/subscriptions/5d0c5a8f-6a0e-4c5b-9d0e-0a4f3a2b1c00/resourceGroups/azureml-scoring-local"
SUBSCRIPTION = GROUP.split("/")[2]
OWNER = "3b81b89c-d05f-4a6f-aeb1-c882ba1c7b3d"
ML = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/azureml-scoring-local-ml"
ACR = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/azuremlscoringlocalacr95fd4b"


def state(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((STATES / f"{name}.json").read_text())
    return result


def queries(state_: dict[str, Any], subscription: str = SUBSCRIPTION) -> dict[str, Step | Query]:
    return {each.name: resolve_or_query(state_, each, subscription) for each in operations(state_)}


def steps(state_: dict[str, Any], **results: Result) -> list[Step]:
    """All steps, where Azure answers so, by the last word of the names; what is not mentioned is not there."""
    steps = []
    for operation in operations(state_):
        query = resolve_or_query(state_, operation, SUBSCRIPTION)
        result = results.get(operation.name.rpartition("-")[2], Result())
        steps.append(resolve(operation, query, result) if isinstance(query, Query) else query)
    return steps


def edited(state_: dict[str, Any], name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The state with another pending resource of this name."""
    result = copy.deepcopy(state_)
    for each in result["deployment"]["pending_operations"]:
        if each["resource"]["urn"].endswith(f"::{name}"):
            each["type"] = changes.pop("kind", each["type"])
            each["resource"] |= changes
    return result


def preview(state_: dict[str, Any], **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The pending creations as the steps of a preview, of which the state has nothing; with other inputs."""
    steps = []
    for each in state_["deployment"].pop("pending_operations"):
        new = {**each["resource"], "inputs": {**each["resource"]["inputs"], **inputs}, "outputs": {"id": "unknown"}}
        steps.append({"op": "create", "urn": new["urn"], "newState": new})
    return {"steps": [{"op": "delete", "urn": state_["deployment"]["resources"][0]["urn"]}, *steps]}


def urns(state_: dict[str, Any]) -> list[str]:
    return [each["urn"].split("::")[3] for each in state_["deployment"]["resources"]]


def test_what_was_made_is_looked_for_under_the_id_that_its_inputs_tell() -> None:
    first, second, third = (queries(state(name)) for name in ("registry", "principal", "role"))
    assert first["scoring-registry"] == Query(arm_id=ACR, version=ARM["containerregistry:Registry"][1])
    assert first["scoring-application"] == Query(application="azureml-scoring-local-pull")
    principal, password = second["scoring-service-principal"], second["scoring-password-first"]
    assert isinstance(principal, Query)
    assert principal.principal_of == "9d1a85af-d2a7-468d-8a59-ee1cc83aa313"
    assert password == Query(password="first", owner=OWNER)
    ids = {name: query.arm_id for name, query in third.items() if isinstance(query, Query)}
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
    created = {token for token in used if token.partition(":")[2][0].isupper() and not token.endswith("Args")}
    assert len(created) > 5
    assert created <= ARM.keys(), "add a row to ARM in delivery/pending.py: where the type lives on Azure"


def test_what_azure_has_is_adopted_behind_what_it_needs_and_the_rest_is_dropped() -> None:
    before = state("registry")
    state_ = steps(before, registry=Result(ACR))
    assert {step.operation.name: step.resolution for step in state_} == {
        "scoring-application": "drop",
        "scoring-registry": "adopt",
        "scoring-own-registry": "adopt",
    }
    after = repaired(before, state_)
    assert "pending_operations" not in after["deployment"]
    assert sorted(urns(after)) == sorted([*urns(before), "scoring-registry", "scoring-own-registry"])
    assert urns(after).index("scoring-registry") > urns(after).index("scoring-group")
    adopted = next(each for each in after["deployment"]["resources"] if each["urn"].endswith("::scoring-registry"))
    assert adopted["id"] == ACR
    assert adopted["provider"].startswith("urn:pulumi:local::azureml-scoring::pulumi:providers:azure-native::")
    assert before == state("registry"), "the state_ state is not touched"


def test_what_needs_an_adopted_one_stays_behind_it() -> None:
    state_ = state("role")
    named = [each for each in state_["deployment"]["resources"] if each["urn"].endswith("::scoring-vault")]
    waiting = {"urn": "urn:pulumi:local::azureml-scoring::x:y:Z::after", "type": "x:y:Z", "custom": True, "id": "z"}
    role = next(each for each in operations(state_) if each.name == "scoring-role")
    state_["deployment"]["resources"].append({**waiting, "dependencies": [role.urn]})
    after = urns(repaired(state_, steps(state_, role=Result("/role"))))
    assert named
    assert after.index("scoring-registry") < after.index("scoring-role") < after.index("after")


def test_one_that_was_deleted_to_make_room_gives_way_to_the_adopted() -> None:
    state_ = state("registry")
    old = copy.deepcopy(next(each.resource for each in operations(state_) if each.name == "scoring-registry"))
    state_["deployment"]["resources"].append({**old, "id": ACR, "pendingReplacement": True, "outputs": {"old": True}})
    after = repaired(state_, steps(state_, registry=Result(ACR)))
    result = [each for each in after["deployment"]["resources"] if each["urn"] == old["urn"]]
    assert [each.get("outputs") for each in result] == [None]


def test_what_the_state_has_already_is_not_adopted_a_second_time() -> None:
    state_ = state("registry")
    old = next(each.resource for each in operations(state_) if each.name == "scoring-application")
    state_["deployment"]["resources"].append({**old, "id": "/applications/known"})
    step = queries(state_)["scoring-application"]
    assert isinstance(step, Step)
    assert (step.resolution, step.reason) == ("drop", "the state has it, as /applications/known")
    again = with_decisions([step], Decisions(adopt={"scoring-application": "/applications/other"}))
    with pytest.raises(StateError, match="scoring-application: the state has it already; it can only be dropped"):
        repaired(state_, again)


def test_own_resources_builds_and_components_are_dropped_since_up_finds_what_is_there() -> None:
    endpoint = queries(state("principal"))["scoring-endpoint"]
    assert isinstance(endpoint, Step)
    assert (endpoint.resolution, endpoint.reason) == ("drop", "up finds by itself what exists")
    images = ({"type": "docker:index/image:Image"}, {"type": "docker-build:index:Image"})
    for changes in (*images, {"type": "pulumi:providers:random"}, {"custom": False}):
        step = queries(edited(state("registry"), "scoring-registry", **changes))["scoring-registry"]
        assert isinstance(step, Step)
        assert step.resolution == "drop"


@pytest.mark.parametrize("kind", ["updating", "deleting", "reading", "importing"])
def test_other_operations_are_dropped_since_the_refresh_reads_what_became_of_them(kind: str) -> None:
    step = queries(edited(state("registry"), "scoring-registry", kind=kind))["scoring-registry"]
    assert isinstance(step, Step)
    assert step.resolution == "drop"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "random:index/randomId:RandomId"}, "this type is not known here"),
        ({"type": "azure-native:cache:Redis"}, "this type is not known here"),
        ({"kind": "polishing"}, "operations of kind 'polishing' are not known here"),
        ({"inputs": {"resourceGroupName": "g"}}, "its registryName is not in the state as a text"),
        (
            {"inputs": {"resourceGroupName": "g", "registryName": {"4dabf18193072939515e22adb298388d": "sealed"}}},
            "its registryName is not in the state as a text",
        ),
    ],
)
def test_what_is_not_understood_is_left_and_nothing_is_changed(changes: dict[str, Any], reason: str) -> None:
    state_ = edited(state("registry"), "scoring-registry", **changes)
    step = queries(state_)["scoring-registry"]
    assert isinstance(step, Step)
    assert (step.resolution, step.reason) == ("leave", reason)
    with pytest.raises(StateError, match="scoring-registry: not decided"):
        repaired(state_, [step])


def test_without_a_subscription_nothing_is_guessed() -> None:
    step = queries(state("registry"), "")["scoring-registry"]
    assert isinstance(step, Step)
    assert step.reason == "its subscription is unknown; set ARM_SUBSCRIPTION_ID"


def test_the_providers_own_subscription_comes_first() -> None:
    state_ = state("registry")
    for each in state_["deployment"]["resources"]:
        if each["type"] == "pulumi:providers:azure-native":
            each["inputs"]["subscriptionId"] = "other"
    query = queries(state_)["scoring-registry"]
    assert isinstance(query, Query)
    assert query.arm_id.startswith("/subscriptions/other/")


def test_a_password_is_never_adopted_since_nobody_can_read_it_back() -> None:
    state_ = steps(state("principal"), first=Result(lost=("key",)))
    step = next(each for each in state_ if each.operation.name == "scoring-password-first")
    assert (step.resolution, step.owner, step.lost) == ("drop", OWNER, ("key",))
    assert str(step).endswith("up creates a new password; removes 1 whose value is lost")


def test_nobody_can_say_that_a_password_shall_be_adopted() -> None:
    with pytest.raises(StateError, match=r"^scoring-password-first: a password cannot be read back"):
        with_decisions(steps(state("principal")), Decisions(adopt={"scoring-password-first": "/x"}))


def test_an_unclear_answer_is_left_to_the_user() -> None:
    state_ = steps(state("registry"), application=Result(unclear="there are two"))
    assert [step.reason for step in state_ if step.resolution == "leave"] == ["there are two"]


def test_a_user_decides_what_is_left() -> None:
    state_ = steps(edited(state("registry"), "scoring-registry", type="x:y:Z"))
    left = next(step for step in state_ if step.resolution == "leave")
    for name in (left.operation.name, left.operation.urn):
        adopted = with_decisions(state_, Decisions(adopt={name: "/x"}))
        assert [(step.resolution, step.id) for step in adopted if step.operation is left.operation] == [("adopt", "/x")]
        dropped = with_decisions(state_, Decisions(drop=frozenset({name})))
        assert [step.resolution for step in dropped if step.operation is left.operation] == ["drop"]


@pytest.mark.parametrize(
    ("decisions", "line"),
    [
        (Decisions(drop=frozenset({"scorin"})), "scorin: fits 0 pending operations of scoring-application, "),
        (
            Decisions({"scoring-registry": "/x"}, frozenset({"scoring-registry"})),
            "scoring-registry: both --adopt and --drop name it; use one of them",
        ),
    ],
)
def test_a_decision_about_nothing_is_refused_in_one_line(decisions: Decisions, line: str) -> None:
    with pytest.raises(StateError, match=f"^{line}"):
        with_decisions(steps(state("registry")), decisions)


def test_what_was_adopted_is_written_once_more_as_the_program_wants_it() -> None:
    before = state("registry")
    adopted = repaired(before, steps(before, registry=Result(ACR)))
    assert sorted(unrefreshed(adopted)) == ["scoring-own-registry", "scoring-registry"]
    refreshed = copy.deepcopy(adopted)
    for each in refreshed["deployment"]["resources"]:
        each.pop("initErrors", None)
        each["outputs"] = {"read": True}
        each["inputs"] = {**(each.get("inputs") or {}), "filledIn": "by Azure"}
    whole = marked_unfinished(refreshed, adopted)
    after = {each["urn"].split("::")[3]: each for each in whole["deployment"]["resources"]}
    registry = after["scoring-registry"]
    wanted = next(each.resource["inputs"] for each in operations(before) if each.name == "scoring-registry")
    assert (registry["inputs"], registry["outputs"]) == (wanted, {"read": True})
    assert len(registry["initErrors"]) == 1
    assert after["scoring-group"]["inputs"]["filledIn"] == "by Azure"
    assert "initErrors" not in after["scoring-group"]
    assert unrefreshed(whole) == []


def test_a_recovery_that_was_killed_itself_is_gone_on_with() -> None:
    before = state("registry")
    adopted = repaired(before, steps(before, registry=Result(ACR)))
    assert repaired(adopted, []) == adopted
    assert sorted(unrefreshed(adopted)) == ["scoring-own-registry", "scoring-registry"]


def test_secrets_stay_sealed_on_their_way() -> None:
    before = state("role")
    sealed = next(each.resource["inputs"] for each in operations(before) if each.name == "scoring-secret")
    assert "ciphertext" in json.dumps(sealed)
    state_ = steps(before, secret=Result("/secret"))
    adopted = repaired(before, state_)
    for after in (adopted, marked_unfinished(adopted, adopted)):
        secret = next(each for each in after["deployment"]["resources"] if each["urn"].endswith("::scoring-secret"))
        assert secret["inputs"] == sealed


def test_what_no_run_has_recorded_is_searched_for_by_the_names_of_the_preview() -> None:
    recorded = state("registry")
    expected = {each.name: resolve_or_query(recorded, each, SUBSCRIPTION) for each in operations(recorded)}
    planned = preview(recorded)
    assert operations(recorded) == []
    lost = unrecorded(recorded, planned)
    assert {each.name: resolve_or_query(recorded, each, SUBSCRIPTION) for each in lost} == expected
    registry = next(each for each in lost if each.name == "scoring-registry")
    adopted = repaired(recorded, [Step(registry, "adopt", "", id=ACR)])
    assert unrefreshed(adopted) == ["scoring-registry"]
    assert [each.name for each in unrecorded(adopted, planned)] == ["scoring-application", "scoring-own-registry"]


def test_what_a_preview_hides_is_not_taken_for_a_value() -> None:
    recorded, unknown = state("registry"), "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    planned = preview(recorded, tags={"a": "[secret]", "b": unknown, "c": "kept"}, ids=[unknown, "kept"])
    inputs = unrecorded(recorded, planned)[0].resource["inputs"]
    assert (inputs["tags"], inputs["ids"]) == ({"c": "kept"}, ["kept"])
    recorded = state("registry")
    nameless = unrecorded(recorded, preview(recorded, registryName=unknown))
    step = next(resolve_or_query(recorded, each, SUBSCRIPTION) for each in nameless if each.name == "scoring-registry")
    assert isinstance(step, Step)
    assert step.reason == "its registryName is not in the state as a text"


def test_of_a_provider_that_was_never_configured_nothing_is_searched_for() -> None:
    recorded = state("registry")
    planned = preview(recorded)
    for step in planned["steps"][1:]:
        step["newState"]["provider"] = "urn:pulumi:x::y::pulumi:providers:z::d::04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert unrecorded(recorded, planned) == []


def test_the_applications_of_a_state_are_asked_for_by_their_names() -> None:
    assert applications(state("registry")) == []
    recorded = state("principal")
    owned = next(each for each in recorded["deployment"]["resources"] if each["urn"].endswith("-application"))
    owned["inputs"] = {"displayName": "azureml-scoring-local-pull"}
    known = frozenset({f"/applications/{OWNER}"})
    assert applications(recorded) == [Query(application="azureml-scoring-local-pull", known=known)]


@pytest.mark.parametrize("broken", [{}, {"deployment": None}, {"deployment": {"pending_operations": [{"x": 1}]}}])
def test_what_is_no_state_is_refused_in_one_line(broken: dict[str, Any]) -> None:
    with pytest.raises(StateError, match=r"^the state is not as `pulumi stack export` writes it"):
        operations(broken)
