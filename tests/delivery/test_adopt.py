"""What of a live endpoint comes into the state, under which ids, and what is left to the next `up`."""

from typing import Any

from azureml_scoring.delivery.adopt import as_declared, declared, with_ids, writes

ENDPOINT = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/onlineEndpoints/e"
)
HIDDEN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What a preview shows for a value that is known only after the update."""
OWN = "azureml-scoring:index:"
BASE = "urn:pulumi:s::p::"


def step(type_: str, name: str, op: str = "create", **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """One step of `pulumi preview --json`."""
    resource = {"type": type_, "custom": True, "inputs": inputs}
    return {"op": op, "urn": f"{BASE}{type_}::{name}", "newState": resource}


BLUE = step(f"{OWN}OnlineDeployment", "scoring-blue", endpointId=HIDDEN, deploymentName="blue")
TRAFFIC = step(f"{OWN}EndpointTraffic", "scoring-traffic", endpointId=HIDDEN, traffic={"blue": 100})
ROLE = step(f"{OWN}RoleAssignment", "scoring-role", scope=HIDDEN)
PLAN = {"steps": [BLUE, TRAFFIC, ROLE]}


def test_the_endpoints_parts_get_their_ids_and_others_are_left_out() -> None:
    component = {"type": f"{OWN}ScoringEndpoint", "name": "scoringScoringEndpoint", "component": True}
    entries = [
        {"type": each["newState"]["type"], "name": each["urn"].rpartition("::")[2], "id": "<PLACEHOLDER>"}
        for each in PLAN["steps"]
    ]
    # The file of `pulumi preview --import-file` numbers names that two resources have.
    entries[0] |= {"name": "scoring-blue2", "logicalName": "scoring-blue"}
    file = with_ids({"nameTable": {}, "resources": [component, *entries]}, declared(PLAN), ENDPOINT)
    assert file["nameTable"] == {}
    assert [each.get("id") for each in file["resources"]] == [
        None,
        f"{ENDPOINT}/deployments/blue",
        f"{ENDPOINT}/traffic",
    ]


def test_a_preview_that_creates_nothing_has_nothing_to_take() -> None:
    assert with_ids({}, {}, ENDPOINT)["resources"] == []


def test_the_state_gets_what_the_program_writes_without_what_a_preview_hides() -> None:
    read = {"urn": BLUE["urn"], "type": f"{OWN}OnlineDeployment", "id": "x", "inputs": {"filledIn": True}}
    other = {"urn": ROLE["urn"], "type": f"{OWN}RoleAssignment", "inputs": {"scope": "there"}}
    state = {"deployment": {"resources": [read, other]}}
    blue, role = as_declared(state, declared(PLAN))["deployment"]["resources"]
    assert blue == {**read, "inputs": {"deploymentName": "blue"}, "outputs": {"deploymentName": "blue"}}
    assert role == other


def test_what_the_next_up_writes_is_named_and_what_it_reads_is_not() -> None:
    update = {**step(f"{OWN}OnlineDeployment", "scoring-blue", "update"), "diffReasons": ["tags", "instanceCount"]}
    reads = step("azure-native:machinelearningservices:Workspace", "scoring-workspace", "read")
    provider = step("pulumi:providers:azure-native", "default")
    lines = writes({"steps": [update, ROLE, reads, provider, step(f"{OWN}OnlineEndpoint", "e", "same")]})
    assert lines == ["update scoring-blue: tags, instanceCount", "create scoring-role"]
