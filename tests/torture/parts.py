"""The parts of `make torture`, each with the rows that it adds to the table.

Owns how a part is run and counted. Refuses to own what is tried: `matrix.py`, `graphs.py`, and tests.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.conftest import ROOT
from tests.torture.graphs import explored
from tests.torture.matrix import VICTIMS, End, Point, points, tried, undisturbed

CHUNK = 100
"""Cases of random graphs that share a local Azure."""
TESTS = {
    "faults": ("tests/provider/test_faults.py",),
    "two-ups": ("tests/torture/test_two_ups.py",),
    "four-stacks": ("tests/torture/scenes.py", "-k", "four_stacks"),
    "rollout-twice": ("tests/lifecycle/test_rollout.py",),
    "load": ("tests/torture/scenes.py", "-k", "no_request_fails"),
    "canaries": ("tests/security/test_canary.py",),
}
"""What pytest runs of a part."""
PARTS = ("kills", "faults", "graphs", *(name for name in TESTS if name != "faults"))


@dataclass(frozen=True)
class Options:
    """What the command line chooses: of the kills a share, of random graphs how many."""

    folder: Path
    log: Callable[[str], None]
    workers: int = 1
    victims: tuple[str, ...] = VICTIMS
    only: str = ""
    step: int = 1
    cases: int = 2_000


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    part: str
    tried: int
    failed: int
    seconds: float
    seen: str = ""

    def __str__(self) -> str:
        """As Markdown."""
        return f"| {self.part} | {self.tried:,} | {self.failed:,} | {self.seconds:,.0f} | {self.seen} |"


@dataclass(frozen=True)
class Outcome:
    """What came of one point: an empty reason where it recovered."""

    point: Point
    folder: Path
    seconds: float
    reason: str = ""

    def __str__(self) -> str:
        """One line."""
        result = f"failed in {self.folder}: {self.reason}" if self.reason else "recovered"
        return f"{self.point} ({self.seconds:.0f} s): {result}"


def rows(part: str, options: Options) -> Iterator[Row]:
    """Run a part."""
    begun = time.monotonic()
    if part == "kills":
        yield from _kills(options)
    elif part == "graphs":
        yield _graphs(options, begun)
    else:
        yield _tests(part, options, begun)


def _kills(options: Options) -> Iterator[Row]:
    folder = options.folder / "kills"
    writes, expected = undisturbed(folder / "undisturbed")
    every = points(writes)
    chosen = [each for each in every if each.victim in options.victims and re.search(options.only, str(each))]
    chosen = chosen[:: options.step]
    options.log(f"{len(writes)} writes, {len(every)} points, {len(chosen)} of them tried")
    outcomes = []
    with ThreadPoolExecutor(options.workers) as pool:
        jobs = [pool.submit(_outcome, each, folder / f"{n}", expected) for n, each in enumerate(chosen)]
        for job in as_completed(jobs):
            outcomes.append(job.result())
            options.log(str(outcomes[-1]))
    yield from kill_rows(every, outcomes)


def kill_rows(every: list[Point], outcomes: list[Outcome]) -> Iterator[Row]:
    """A row for each victim that was tried."""
    for victim in VICTIMS:
        of = [each for each in outcomes if each.point.victim == victim]
        if of:
            there = sum(each.victim == victim for each in every)
            failed, seconds = sum(bool(each.reason) for each in of), sum(each.seconds for each in of)
            yield Row(f"kills: {victim}", len(of), failed, seconds, f"{there} points, {seconds / len(of):.0f} s each")


def _outcome(point: Point, folder: Path, expected: End) -> Outcome:
    begun = time.monotonic()
    try:
        tried(point, folder, expected)
    except Exception as error:  # noqa: BLE001 - a point that cannot be tried has failed
        return Outcome(point, folder, time.monotonic() - begun, f"{type(error).__name__}: {error}")
    shutil.rmtree(folder)
    return Outcome(point, folder, time.monotonic() - begun)


def _graphs(options: Options, begun: float) -> Row:
    chunks = -(-options.cases // CHUNK)
    explore: Callable[[int], tuple[int, int, str]] = partial(explored, options.folder / "graphs", CHUNK)
    cases = faults = failed = 0
    with ProcessPoolExecutor(options.workers) as pool:
        for count, met, failure in pool.map(explore, range(chunks)):
            cases, faults, failed = cases + count, faults + met, failed + bool(failure)
            options.log(failure or f"{cases:,} graphs, {faults:,} faults")
    return Row("graphs", cases, failed, time.monotonic() - begun, f"{faults:,} faults met")


def _tests(part: str, options: Options, begun: float) -> Row:
    report = options.folder / f"{part}.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--override-ini=junit_family=xunit1",
        f"--junitxml={report}",
        *TESTS[part],
    ]
    subprocess.run(command, cwd=ROOT, check=False)
    return counted(part, report.read_text() if report.exists() else "", time.monotonic() - begun)


def counted(part: str, report: str, seconds: float) -> Row:
    """Count the tests of a JUnit report, with the figures that they have recorded; none is a failure."""
    root = ET.fromstring(report or "<testsuites/>")  # noqa: S314 - our own
    suites = [{name: int(each.get(name, 0)) for name in ("tests", "failures", "errors")} for each in root]
    total = sum(each["tests"] for each in suites)
    failed = sum(each["failures"] + each["errors"] for each in suites)
    figures = [str(each.get("value")) for each in root.iter("property") if each.get("name") == "figures"]
    return Row(part, total, failed if total else 1, seconds, "; ".join(figures))
