"""`python -m tests.performance.suite [tests/…]`: the processor time of the tests, by file.

Runs the tests as `make test` does (`--slow`: as `make slow`), then says which files take most, and what the Docker
engine takes beside them. Seconds of processors differ between machines: shares of the whole are what can be compared.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.local_azure import ROOT
from tests.processor_time import seconds_of

_ENGINE = {"dockerd", "containerd"}
_SHOWN = 20
"""Files that are listed by name."""


def main() -> int:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", help="files or folders, by default all")
    parser.add_argument("--slow", action="store_true", help="the slow tests instead")
    parser.add_argument("--workers", default="6", help="test workers")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "files.jsonl"
        engine = _engine_seconds()
        lines.touch()
        marker = "slow" if given.slow else "not slow"
        command = [sys.executable, "-m", "pytest", f"--processor-time={lines}", "-m", marker]
        command += ["--numprocesses", given.workers, "--dist", "loadfile", "--no-loadscope-reorder", *given.tests]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        files = [json.loads(line) for line in lines.read_text().splitlines()]
    figures = {"files": sorted(files, key=lambda file: -file["cpu"]), "engine": round(_engine_seconds() - engine, 1)}
    if files:
        print(table(figures))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    return code


def table(figures: dict[str, Any]) -> str:
    """Write the figures as Markdown: the files that take most, the others together, the engine."""
    files, engine = figures["files"], figures["engine"]
    whole = engine + sum(file["cpu"] for file in files)
    shown, others = files[:_SHOWN], files[_SHOWN:]
    rows = [(f"`{file['file']}`", file["tests"], file["cpu"]) for file in shown]
    tests, seconds = (sum(file[name] for file in others) for name in ("tests", "cpu"))
    rows.append((f"{len(others)} other files", tests, seconds))
    rows.append(("the Docker engine itself, for all of them", "", engine))
    lines = [f"| {name} | {count} | {cpu:.0f} | {cpu / whole:.0%} |" for name, count, cpu in rows]
    return "\n".join(["| File | Tests | CPU seconds | Share |", "| --- | --- | --- | --- |", *lines])


def _engine_seconds() -> float:
    """Return the processor seconds of the engine, without containers; 0 where it runs on another machine."""
    return seconds_of([int(each.parent.name) for each in Path("/proc").glob("[0-9]*/comm") if _name(each) in _ENGINE])


def _name(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # it has just ended
        return ""


if __name__ == "__main__":
    sys.exit(main())
