"""`python -m tests.performance.report_bench`: how long a report of a large preview takes. Prints; judges nothing."""

import json
import sys
import time
from typing import Any

from azureml_scoring.delivery import prices, report
from azureml_scoring.delivery.changes import read

STEPS = 5000
ROUNDS = 3


def main() -> int:
    """Measure and print."""
    text = json.dumps({"steps": [_step(n) for n in range(STEPS)]})
    table = prices.load()
    best = {"read": float("inf"), "render": float("inf")}
    size = 0
    for _ in range(ROUNDS):
        begun = time.process_time()
        preview = read(text)
        between = time.process_time()
        size = len(report.render([preview], prices=table))
        done = time.process_time()
        best = {"read": min(best["read"], between - begun), "render": min(best["render"], done - between)}
    print(f"{STEPS} steps, {len(text) / 1e6:.1f} MB, best of {ROUNDS}, seconds of one processor")
    print(f"  reading   {best['read']:.3f} s")
    print(f"  rendering {best['render']:.3f} s, {size} characters")
    return 0


def _step(number: int) -> dict[str, Any]:
    """A deployment of which one in ten is replaced: as much work as a step can make."""
    tags = {f"tag{n}": f"value {n}" for n in range(8)}
    old = {"instanceType": "Standard_DS3_v2", "instanceCount": 1, "location": "westeurope", "tags": tags}
    new = {**old, "instanceCount": 2, "tags": {**tags, "tag1": "other"}}
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
