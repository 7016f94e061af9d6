"""What each further deployment of a stack costs, and each further stack in one workspace, when nothing changes.

The containers are the smallest that answer; each deployment has one of its own.
"""

import functools
from pathlib import Path

from tests.modes import QUICK, configure, served
from tests.performance.clocks import alternating
from tests.performance.figures import Figure
from tests.performance.no_op import demand, no_op
from tests.project import Project

DEPLOYMENTS = (1, 10, 20)
"""Azure ML takes no more for an endpoint."""
STACKS = 2
ROUNDS = 3


def measure(scratch: Path, project: Project) -> list[Figure]:
    """Grow a stack by deployments, then its workspace by stacks."""
    stack = served(Project.copied(scratch / "many", project.azure, "many"))
    return [*_deployments(stack), *_stacks(scratch, stack)]


def _deployments(stack: Project) -> list[Figure]:
    figures: list[Figure] = []
    found: list[tuple[int, float]] = []
    for number in DEPLOYMENTS:
        blue = {"instanceType": "Standard_DS1_v2", "livenessProbe": QUICK, "readinessProbe": QUICK}
        names = [f"d{each:02}" for each in range(number)]
        configure(stack, deployments=dict.fromkeys(names, blue), endpoint={"traffic": {names[0]: 100}})
        demand(stack.up())
        (wall, processor) = alternating(ROUNDS, {"": functools.partial(no_op, stack)})[""].middle
        resources = len(stack.state()["deployment"]["resources"])
        found.append((resources, processor))
        figures.append(Figure(f"no-op of {number} deployments, {resources} resources", wall, processor=processor))
    (few, used), (many, all_used) = found[0], found[-1]
    each = 1000 * (all_used - used) / (many - few)
    return [*figures, Figure("processor time of each further resource", each, "ms", aim="≤ 25 ms")]


def _stacks(scratch: Path, first: Project) -> list[Figure]:
    """No-ops of stacks in the workspace of the first."""
    workspace = first.outputs()["workspaceId"]
    blue = {"instanceType": "Standard_DS1_v2", "livenessProbe": QUICK, "readinessProbe": QUICK}
    figures = []
    for number in range(1, STACKS + 1):
        stack = served(Project.copied(scratch / f"stack{number}", first.azure, f"stack{number}"))
        configure(stack, workspace={"id": workspace}, deployments={"blue": blue}, endpoint={"traffic": {"blue": 100}})
        demand(stack.up())
        (wall, processor) = alternating(ROUNDS, {"": functools.partial(no_op, stack)})[""].middle
        figures.append(Figure(f"no-op of further stack {number} in one workspace", wall, processor=processor))
    return figures
