"""`make bench`: measure, and keep the figures (ARGS="context gateway" for some of the parts)."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.performance import change, context, deployments, gateway, no_op, page, report, rollout
from tests.performance.figures import Figure, save
from tests.performance.no_op import demand
from tests.project import LocalAzure, Project

ALONE: dict[str, tuple[str, Callable[[Path], list[Figure]]]] = {
    "context": ("Content key of a build context", context.measure),
    "report": ("Report of a large preview", report.measure),
    "page": ("Page of the local Azure", page.measure),
    "rollout": ("A version through three stacks, without bake times", rollout.measure),
}
STACK: dict[str, tuple[str, Callable[[Path, Project], list[Figure]]]] = {
    "no-op": ("`pulumi up` that changes nothing", no_op.measure),
    "change": ("score.py changed, until the new answer", change.measure),
    "gateway": ("Gateway of the local Azure before a container", gateway.measure),
    "deployments": ("Further deployments and stacks", deployments.measure),
}


def main() -> int:
    """Measure the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *ALONE, *STACK])
    chosen = parser.parse_args().parts or [*ALONE, *STACK]
    for name in filter(chosen.__contains__, ALONE):
        title, measure = ALONE[name]
        with tempfile.TemporaryDirectory(prefix="azureml-scoring-bench-") as scratch:
            save(name, measure(Path(scratch)), title)
    if stacked := [name for name in STACK if name in chosen]:
        _with_stack(stacked)
    return 0


def _with_stack(names: list[str]) -> None:
    scratch = tempfile.TemporaryDirectory(prefix="azureml-scoring-bench-")
    with scratch as folder, LocalAzure(Path(folder) / "azure") as local:
        project = Project.copied(Path(folder) / "project", local)
        demand(project.up())
        for name in names:
            title, measure = STACK[name]
            (Path(folder) / name).mkdir()
            save(name, measure(Path(folder) / name, project), title)
        demand(project.destroy())


if __name__ == "__main__":
    sys.exit(main())
