"""What a rollout of three stacks costs, beside a `pulumi up` of each that brings a new version in place."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.lifecycle.test_rollout import STACKS, Trio
from tests.performance.clocks import children
from tests.performance.figures import Figure
from tests.performance.no_op import demand
from tests.project import LocalAzure, Project

_ROLLOUT = ("rollout", *STACKS, "--approve", "prod")
_AIM = "≤ 39 s"


def measure(scratch: Path) -> list[Figure]:
    """Take two versions through three stacks by a rollout, and a third one by an `up` of each."""
    with LocalAzure(scratch / "azure") as azure:
        project = Project.copied(scratch / "copy", azure, STACKS[0])
        for stack in STACKS[1:]:
            demand(project.pulumi("stack", "init", stack))
        (project.folder / "request.json").write_text("{}")
        trio = Trio(project)
        trio.configure(trafficSteps=[], bakeSeconds=0)
        made = _timed("the first version", lambda: _roll(trio, "first"))
        rolled = _timed("the next version", lambda: _roll(trio, "second"))
        again = _timed("the same version again", lambda: _roll(trio, "second"))
        trio.configure(trafficSteps=[], bakeSeconds=0)
        trio.version("third")
        plain = _timed(
            "another version by `pulumi up`, built thrice and put in place of the one that serves", lambda: _up(trio)
        )
    ratio = rolled.value / plain.value
    return [replace(made, aim=_AIM), replace(rolled, ratio=ratio, to="by `pulumi up`", aim=_AIM), again, plain]


def _timed(name: str, work: Callable[[], None]) -> Figure:
    used, begun = children(), time.monotonic()
    work()
    return Figure(name, time.monotonic() - begun, processor=children() - used)


def _roll(trio: Trio, version: str) -> None:
    trio.version(version)
    demand(trio.run(*_ROLLOUT))


def _up(trio: Trio) -> None:
    for stack in STACKS:
        demand(trio.project.pulumi("up", "--yes", "--skip-preview", "--stack", stack))
