"""`python -m tests.performance.report_bench`: what a report of a large preview costs. Prints; judges nothing.

Processor time of the whole command, its imports included, and of its parts; ratios are to what no report can go below:
reading the preview as JSON.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azureml_scoring.delivery import prices, report
from azureml_scoring.delivery.changes import read

STEPS = 5000
ROUNDS = 5
COMMAND = "import sys; from azureml_scoring.cli import main; sys.exit(main())"


def main() -> int:
    """Measure and print."""
    steps = [_step(n) for n in range(STEPS)]
    text = json.dumps({"steps": steps, "changeSummary": {"update": STEPS}}, indent=4)
    table, preview = prices.load(), read(text)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "preview.json"
        file.write_text(text, encoding="utf-8")
        measured = {
            "JSON alone": _best(lambda: json.loads(text)),
            "reading": _best(lambda: read(text)),
            "rendering": _best(lambda: report.render([preview], prices=table)),
            "the command": _best_of_command("report", str(file), "--out", f"{file}.md"),
            "its help": _best_of_command("--help"),
        }
    print(f"{STEPS} steps, {len(text) / 1e6:.1f} MB, best of {ROUNDS}: seconds of one processor, ratio to JSON alone")
    for name, seconds in measured.items():
        print(f"  {name:12} {seconds:.3f} s  {seconds / measured['JSON alone']:5.2f}")
    return 0


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def _best_of_command(*words: str) -> float:
    times = []
    for _ in range(ROUNDS):
        before = _children()
        subprocess.run([sys.executable, "-c", COMMAND, *words], check=True, stdout=subprocess.DEVNULL)
        times.append(_children() - before)
    return min(times)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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


if __name__ == "__main__":
    sys.exit(main())
