"""Processor time of the tests, by file: what `--processor-time FILE` appends to FILE, a line of JSON a file.

Counts the test worker and all that it has started, also what still runs. Refuses to count the Docker engine, which
serves all workers at once: `performance/suite.py` reads that from the kernel.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

_TICKS = os.sysconf("SC_CLK_TCK")


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
        now = _now()
        used, wall = (after - before for after, before in zip(now, self.begun, strict=True))
        line = {"file": str(name), "tests": self.tests, "cpu": round(used, 2), "wall": round(wall, 2)}
        with self.file.open("a", encoding="utf-8") as file:  # one write a line: workers do not mix
            file.write(json.dumps(line) + "\n")
        self.tests, self.begun = 0, now


def _now() -> tuple[float, float]:
    """Seconds of the processors, and of the clock."""
    return seconds_of([os.getpid()]), time.monotonic()


def seconds_of(processes: list[int]) -> float:
    """Return the processor seconds of processes and of all that they have started, whether it has ended or not."""
    children, used = defaultdict(list), {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        children[int(fields[1])].append(int(folder.name))
        used[int(folder.name)] = sum(map(int, fields[11:15]))  # utime, stime, and those of children that have ended
    total, waiting = 0, list(processes)
    while waiting:
        process = waiting.pop()
        total += used.pop(process, 0)  # once, also where one of the processes has started another
        waiting += children[process]
    return total / _TICKS
