"""What the content key of a large build context costs: read for the first time, and again when nothing has changed.

Three contexts: many small files with two large ones, in two sizes, and files as large as a model's shards. The large
files are sparse: they are read in full and take no disk. The cache is one of its own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azureml_scoring.plan.digest_cache import OFF

from tests.performance.figures import Figure

ROUNDS = 3
_FOLDER = 1000
"""Files in a folder."""
_SETTLED = 61.0
"""Seconds after which the digests of files that were just made are kept."""
_KEY = """
import json, resource, sys, time
from pathlib import Path
from azureml_scoring.plan.content import read_content
from azureml_scoring.settings.image import ImageSettings
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wall, processor = time.monotonic(), time.process_time()
read_content(Path(sys.argv[1]), ImageSettings())
wall, processor = time.monotonic() - wall, time.process_time() - processor
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([wall, processor, peak / 1024]))
"""
_PLAIN = """
import hashlib, json, os, sys, time
wall, processor = time.monotonic(), time.process_time()
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        found = hashlib.sha256()
        with open(os.path.join(folder, name), "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
print(json.dumps([time.monotonic() - wall, time.process_time() - processor, 0]))
"""
"""The least that any key costs: each file is read and hashed."""


@dataclass(frozen=True)
class _Context:
    """A build context: so many files of so many bytes, and two that make up the rest."""

    name: str
    files: int
    each: int
    rest: int = 0

    def make(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
        for number in range(self.files):
            place = folder / f"{number // _FOLDER:04}"
            if number % _FOLDER == 0:
                place.mkdir()
            _sparse(place / f"{number:06}.bin", number, self.each)
        for number in range(2 if self.rest else 0):
            _sparse(folder / f"weights{number}.bin", number, self.rest // 2)


CONTEXTS = (
    _Context("10,000 files, 200 MB", 10_000, 1024, 190 << 20),
    _Context("100,000 files, 2 GB", 100_000, 1024, 1950 << 20),
    _Context("10,000 files of 200 KB, 2 GB", 10_000, 200 << 10),
)


def measure(scratch: Path) -> list[Figure]:
    """Make the contexts, wait until their digests are kept, and read them."""
    for number, each in enumerate(CONTEXTS):
        each.make(scratch / str(number))
    time.sleep(_SETTLED)
    return [
        figure
        for number, each in enumerate(CONTEXTS)
        for figure in _figures(each.name, scratch / str(number), scratch / "cache")
    ]


def _figures(name: str, folder: Path, cache: Path) -> list[Figure]:
    variables = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    runs: dict[str, list[tuple[float, float, float]]] = {"plain": [], "cold": [], "warm": []}
    _run(_KEY, folder, variables)
    for _ in range(ROUNDS):
        runs["plain"].append(_run(_PLAIN, folder, variables))
        runs["cold"].append(_run(_KEY, folder, {**variables, OFF: "1"}))
        runs["warm"].append(_run(_KEY, folder, variables))
    (plain, cold, warm) = (min(each, key=lambda run: run[1]) for each in runs.values())
    return [
        Figure(f"{name}: plain read and SHA-256", plain[0], processor=plain[1]),
        Figure(f"{name}: key, cold", cold[0], "s", cold[1], cold[1] / plain[1], "plain", "≤ 1.3 of plain"),
        Figure(f"{name}: key, warm", warm[0], "s", warm[1], warm[1] / cold[1], "cold", "≤ 0.1 of cold"),
        Figure(f"{name}: memory beyond imports, cold", cold[2], "MB", aim="≤ 40 MB"),
        Figure(f"{name}: memory beyond imports, warm", warm[2], "MB", aim="≤ 40 MB"),
    ]


def _sparse(file: Path, number: int, size: int) -> None:
    with file.open("wb") as made:
        made.write(number.to_bytes(8, "big"))
        made.truncate(size)


def _run(program: str, folder: Path, variables: Mapping[str, str]) -> tuple[float, float, float]:
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    wall, processor, peak = json.loads(done.stdout)
    return wall, processor, peak
