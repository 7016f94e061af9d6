"""`make torture`: the kill matrix on the local Azure, and a table of its figures."""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.torture.matrix import VICTIMS, End, Point, points, tried, undisturbed


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


def main() -> int:
    """Try the points, print each outcome and the table."""
    words = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    writes, expected = undisturbed(folder / "undisturbed")
    every = points(writes)
    chosen = [each for each in every if each.victim in (words.victim or VICTIMS) and re.search(words.only, str(each))][
        :: words.step
    ]
    print(f"{len(writes)} writes, {len(every)} points, {len(chosen)} of them tried", flush=True)
    outcomes = []
    with ThreadPoolExecutor(words.workers) as pool:
        jobs = [pool.submit(_outcome, each, folder / f"{n}", expected) for n, each in enumerate(chosen)]
        for job in as_completed(jobs):
            outcomes.append(job.result())
            print(outcomes[-1], flush=True)
    print("\n".join(table(every, outcomes)))
    if any(each.reason for each in outcomes):
        print(f"The folders of the points that failed: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--victim", action="append", choices=VICTIMS, help="only this one; may be given repeatedly")
    parser.add_argument(
        "--only", default="", metavar="REGEX", help="points whose name matches: VICTIM before|after WRITE"
    )
    parser.add_argument("--step", type=int, default=1, metavar="N", help="every n-th of the chosen points")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="points that are tried side by side")
    return parser


def _outcome(point: Point, folder: Path, expected: End) -> Outcome:
    begun = time.monotonic()
    try:
        tried(point, folder, expected)
    except Exception as error:  # noqa: BLE001 - a point that cannot be tried has failed
        return Outcome(point, folder, time.monotonic() - begun, f"{type(error).__name__}: {error}")
    shutil.rmtree(folder)
    return Outcome(point, folder, time.monotonic() - begun)


def table(every: list[Point], outcomes: list[Outcome]) -> Iterator[str]:
    """The figures: a row for each victim."""
    yield "| Dies | Points | Tried | Recovered | Failed | Seconds a point |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for victim in VICTIMS:
        of = [each for each in outcomes if each.point.victim == victim]
        failed = sum(bool(each.reason) for each in of)
        mean = sum(each.seconds for each in of) / len(of) if of else 0
        there = sum(each.victim == victim for each in every)
        yield f"| {victim} | {there} | {len(of)} | {len(of) - failed} | {failed} | {mean:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
