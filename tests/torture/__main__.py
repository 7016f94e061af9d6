"""`make torture`: all that is done to break a stack, and one table of what came of it."""

import argparse
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.torture.matrix import VICTIMS
from tests.torture.parts import PARTS, Options, Row, rows

HEAD = ("| Part | Tried | Failed | Seconds | Seen |", "| --- | ---: | ---: | ---: | --- |")


def main() -> int:
    """Run the parts, print what happens, and at the end the table."""
    words = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    log = partial(print, flush=True)
    options = Options(folder, log, words.workers, tuple(words.victim or VICTIMS), words.only, words.step, words.cases)
    table: list[Row] = []
    for part in words.part or PARTS:
        log(f"» {part}")
        table += rows(part, options)
    print("\n".join((*HEAD, *map(str, table))))
    if any(row.failed for row in table):
        print(f"What failed has left its files in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be given repeatedly")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="kills and graphs that are tried at once")
    parser.add_argument("--cases", type=int, default=Options.cases, metavar="N", help="random graphs")
    kills = parser.add_argument_group("kills")
    kills.add_argument("--victim", action="append", choices=VICTIMS, help="only this one; may be given repeatedly")
    kills.add_argument(
        "--only", default="", metavar="REGEX", help="points whose name matches: VICTIM before|after WRITE"
    )
    kills.add_argument("--step", type=int, default=1, metavar="N", help="every n-th of the chosen points")
    return parser


if __name__ == "__main__":
    sys.exit(main())
