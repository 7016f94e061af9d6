import os
import subprocess
import sys

from tests.performance.suite import table
from tests.processor_time import seconds_of

USED = 0.2
"""Processor seconds of one process."""
BURN = f"""import time
while time.process_time() < {USED}: pass
"""


def test_what_a_process_has_started_counts_while_it_runs_and_after_it() -> None:
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\nprint(flush=True)\ninput()"
    before = seconds_of([os.getpid()])
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the child of the child has ended
        assert seconds_of([process.pid]) >= USED
        assert seconds_of([os.getpid()]) >= before + USED
        process.communicate(b"\n")
    assert seconds_of([os.getpid()]) >= before + USED
    assert seconds_of([process.pid]) == 0


def test_the_table_has_the_files_that_take_most_the_others_together_and_the_engine() -> None:
    files = [{"file": f"tests/test_{number}.py", "tests": 2, "cpu": 2.0} for number in range(22)]
    lines = table({"files": files, "engine": 6.0}).splitlines()
    assert lines[2] == "| `tests/test_0.py` | 2 | 2 | 4% |"
    assert lines[-2:] == [
        "| 2 other files | 4 | 4 | 8% |",
        "| the Docker engine itself, for all of them |  | 6 | 12% |",
    ]
    assert len(lines) == 24
