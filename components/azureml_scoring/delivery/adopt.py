"""Takes a live endpoint into the state of a stack that describes it, so that the first `up` writes nothing.

Owns which resources are taken, under which ids, and what the first `up` would write all the same. Refuses to own the
description (`convert/live.py`), and the reading of resources, which is `pulumi import`'s. Changes nothing on Azure.
https://www.pulumi.com/docs/iac/guides/migration/import/
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from azureml_scoring.delivery.engine import PulumiStack
from azureml_scoring.delivery.pending import shown

_IDS: Final = {
    "azureml-scoring:index:OnlineEndpoint": "",
    "azureml-scoring:index:OnlineDeployment": "/deployments/{deploymentName}",
    "azureml-scoring:index:EndpointTraffic": "/traffic",
}
"""What is taken: the rest of its id behind that of the endpoint, with inputs in braces."""
_READING: Final = frozenset({"same", "read", "refresh"})

Inputs = Mapping[str, Mapping[str, Any]]
"""Inputs of resources by URN."""


@dataclass(frozen=True)
class Adoption:
    """What came into the state."""

    taken: tuple[str, ...]
    """A line for each resource."""
    left: tuple[str, ...]
    """A line for each resource that the next `up` writes all the same."""


def adopt(stack: PulumiStack, endpoint_id: str) -> Adoption:
    """Take an endpoint, its deployments and its traffic.

    It can be repeated: what the state has already is not taken again.
    """
    stack.create()
    plan, file = stack.importable()
    inputs = declared(plan)
    taken = with_ids(file, inputs, endpoint_id)
    if taken["resources"]:
        stack.take(taken)
    state = stack.export()
    if (after := as_declared(state, inputs)) != state:
        # `pulumi import` reads whatever Azure fills in; a refresh reads what the program writes, in its spelling.
        stack.import_(after)
        stack.refresh()
    resources = sorted((each for each in taken["resources"] if "id" in each), key=lambda each: str(each["id"]))
    lines = (f"{each['name']} ({each['type'].rpartition(':')[2]}): {each['id']}" for each in resources)
    return Adoption(tuple(lines), tuple(sorted(writes(stack.preview()))))


def declared(plan: Mapping[str, Any]) -> Inputs:
    """Read from a preview what the program writes, without what a preview hides."""
    steps = (each for each in plan.get("steps") or [] if each.get("newState"))
    return {each["urn"]: shown(each["newState"].get("inputs") or {}) for each in steps}


def with_ids(file: Mapping[str, Any], inputs: Inputs, endpoint_id: str) -> dict[str, Any]:
    """Complete a file of `pulumi import` by the ids of what the endpoint consists of; leave out other resources."""
    names = {urn.rpartition("::")[2]: each for urn, each in inputs.items()}
    resources = []
    for each in file.get("resources") or []:
        if each["type"] in _IDS:
            rest = _IDS[each["type"]].format(**names[each.get("logicalName") or each["name"]])
            resources.append({**each, "id": f"{endpoint_id}{rest}"})
        elif each.get("component"):
            resources.append(each)
    return {**file, "resources": resources}


def as_declared(state: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """Return the state with the program's own inputs of what is taken."""
    result: dict[str, Any] = copy.deepcopy(dict(state))
    for each in result["deployment"].get("resources") or []:
        if each["type"] in _IDS and each["urn"] in inputs:
            each["inputs"] = each["outputs"] = dict(inputs[each["urn"]])
    return result


def writes(plan: Mapping[str, Any]) -> list[str]:
    """Say what an update would write, a line for each resource."""
    lines = []
    for each in plan.get("steps") or []:
        resource = each.get("newState") or each.get("oldState") or {}
        if each["op"] not in _READING and resource.get("custom") and not resource["type"].startswith("pulumi:"):
            changed = ", ".join(each.get("diffReasons") or [])
            lines.append(f"{each['op']} {each['urn'].rpartition('::')[2]}{f': {changed}' if changed else ''}")
    return lines
