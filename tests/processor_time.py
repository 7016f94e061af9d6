"""Processor time of the tests, by file: what `--processor-time FILE` appends to FILE, a line of JSON a file.

Counts the test worker and every process that it started and waited for, with theirs. Refuses to count the Docker
engine, which serves all workers at once (`test_bench.py` reads that from the kernel).
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class ProcessorTime:
    """Measures each file from its first fixture to its last; files do not overlap in one worker (`--dist loadfile`)."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.tests = 0
        self.begun = _now()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        """Run one test; after the last one of its file, with the fixtures' ends, write the line."""
        result = yield
        self.tests += 1
        if nextitem is None or nextitem.path != item.path:
            self._write(item.path.relative_to(item.config.rootpath))
        return result

    def _write(self, name: Path) -> None:
        used, wall = (now - before for now, before in zip(_now(), self.begun, strict=True))
        line = {"file": str(name), "tests": self.tests, "cpu": round(used, 2), "wall": round(wall, 2)}
        with self.file.open("a", encoding="utf-8") as file:  # one write a line: workers do not mix
            file.write(json.dumps(line) + "\n")
        self.tests, self.begun = 0, _now()


def _now() -> tuple[float, float]:
    """Seconds of the processors, and of the clock."""
    return sum(os.times()[:4]), time.monotonic()
