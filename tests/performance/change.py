"""How long a change of score.py takes until its answer, and where the time goes: by step of the update."""

import re
import time
from pathlib import Path

from tests.performance.clocks import children
from tests.performance.figures import Figure
from tests.performance.no_op import demand
from tests.project import Project, Run

_SCRIPT = "examples/sklearn/score.py"
_STEP = re.compile(r"^ *[~+-]+ +(\S+) (\S+) (\w+)")
_ENDS = {"created", "updated", "replaced", "deleted"}


def measure(scratch: Path, project: Project) -> list[Figure]:
    """Change the script, and follow the update line by line."""
    del scratch
    project.edit(_SCRIPT, '"predictions": [', '"changed": True,\n        "predictions": [')
    used = children()
    begun = time.monotonic()
    times, run = _followed(project)
    ended = time.monotonic() - begun
    demand(run)
    assert project.outputs()
    figures = [Figure("until `pulumi up` has ended", ended, processor=children() - used)]
    starts = [at for at, _, action in times if action not in _ENDS]
    ends = [at for at, _, action in times if action in _ENDS]
    figures.append(Figure("of it: engine and program until the first step", min(starts) - begun))
    opened: dict[str, float] = {}
    for at, name, action in times:
        if action not in _ENDS:
            opened[name] = at
        elif name in opened:
            figures.append(Figure(f"of it: {name} {action}", at - opened.pop(name)))
    figures.append(Figure("of it: from the last step to the end", begun + ended - max(ends)))
    return figures


def _followed(project: Project) -> tuple[list[tuple[float, str, str]], Run]:
    """Run `pulumi up`; each line that tells of a step, with its time."""
    process = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)
    assert process.stdout is not None
    times, text = [], ""
    for line in process.stdout:
        text += line
        if step := _STEP.match(line):
            kind, name, action = step.groups()
            times.append((time.monotonic(), f"{kind.rpartition(':')[2]} {name}", action))
    return times, Run(process.wait(), text)
