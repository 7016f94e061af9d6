"""Two updates of one stack at once: one goes through, the other is told in one line that the stack is locked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import PATIENCE, Run, until
from tests.torture.matrix import calm, good, stand

pytestmark = pytest.mark.slow


def test_the_second_update_is_told_that_the_stack_is_locked_and_nothing_is_made_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with stand(tmp_path) as made:
        locks = made.project.folder / f".local/state/.pulumi/locks/organization/azureml-scoring/{made.project.stack}"
        first = made.project.begin("up", "--yes", "--skip-preview", "--stack", made.project.stack)
        until(lambda: first.poll() is not None or any(locks.glob("*.json")), "the lock of the first update", pause=0.1)
        second = made.project.up()
        text, _ = first.communicate(timeout=PATIENCE)
        good(Run(first.returncode, text))
        assert second.code != 0
        assert "the stack is currently locked by 1 lock(s)" in second.text
        assert "Traceback" not in second.text
        writes = made.writes()
        assert {name: count for name, count in writes.items() if name in {"builds", "uploads"}} == {
            "builds": 1,
            "uploads": 1,
        }
        calm(made)
        record_property("figures", f"{sum(writes.values())} writes, {writes['builds']} build")
