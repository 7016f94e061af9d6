"""What a report of a large preview costs.

Processor time of the whole command, its imports included, and of its parts; ratios are to what no report can go below:
reading the preview as JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azureml_scoring.delivery import prices, report
from azureml_scoring.delivery.changes import read

from tests.performance.clocks import children
from tests.performance.figures import Figure

STEPS = 5000
ROUNDS = 5
COMMAND = "import sys; from azureml_scoring.cli import main; sys.exit(main())"


def measure(scratch: Path) -> list[Figure]:
    """Render a preview as large as any, by its parts and as a command."""
    text = json.dumps({"steps": [_step(n) for n in range(STEPS)], "changeSummary": {"update": STEPS}}, indent=4)
    table, preview = prices.load(), read(text)
    file = scratch / "preview.json"
    file.write_text(text, encoding="utf-8")
    measured = {
        "JSON alone": _best(lambda: json.loads(text)),
        "reading": _best(lambda: read(text)),
        "rendering": _best(lambda: report.render([preview], prices=table)),
        "the command": _best(lambda: _command("report", str(file), "--out", f"{file}.md"), children),
        "the command's help": _best(lambda: _command("--help"), children),
    }
    parse = measured["JSON alone"][1]
    figures = [
        Figure(f"{STEPS} steps: {name}", wall, "s", processor, processor / parse, "JSON alone")
        for name, (wall, processor) in measured.items()
    ]
    together = [sum(pair) for pair in zip(measured["reading"], measured["rendering"], strict=True)]
    whole = Figure(f"{STEPS} steps: reading and rendering", together[0], processor=together[1], aim="≤ 0.7 s")
    return [*figures, whole]


def _best(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> tuple[float, float]:
    times = []
    for _ in range(ROUNDS):
        begun, used = time.monotonic(), clock()
        work()
        times.append((time.monotonic() - begun, clock() - used))
    return min(times, key=lambda each: each[1])


def _command(*words: str) -> None:
    subprocess.run([sys.executable, "-c", COMMAND, *words], check=True, stdout=subprocess.DEVNULL)


def _step(number: int) -> dict[str, Any]:
    """A deployment of which one in ten is replaced, none like another: as much work as a step can make."""
    tags = {f"tag{n}": f"value {n} of {number}" for n in range(8)}
    old = {"instanceType": "Standard_DS3_v2", "instanceCount": 1, "location": "westeurope", "tags": tags}
    new = {**old, "instanceCount": 2, "tags": {**tags, "tag1": f"other {number}"}}
    path = {"kind": "update-replace" if number % 10 == 0 else "update"}
    urn = "urn:pulumi:dev::azureml-scoring::azureml-scoring:index:OnlineDeployment::d"
    return {
        "op": "replace" if number % 10 == 0 else "update",
        "urn": f"{urn}{number}",
        "oldState": {"inputs": old, "outputs": old},
        "newState": {"inputs": new, "outputs": new, "dependencies": [f"{urn}{number - 1}"]},
        "detailedDiff": {"instanceCount": path, "tags.tag1": {"kind": "update"}},
    }
