"""Output of commands as the docs show it, compared with what a command printed just now.

A sample is shortened: lines may be missing between its lines, and `…` stands for any text. Numbers, times and
hexadecimal names differ from run to run. Everything else must be printed, in this order.
`UPDATE_SAMPLES=1 make test ARGS=tests/lifecycle/…` writes the lines that are printed now into the samples.
"""

import difflib
import os
import re
from pathlib import Path

from tests.conftest import ROOT

SAMPLES = ROOT / "docs" / "samples"
_CHANGES = re.compile(r"…|sha256:\w+|\b[0-9a-f-]{6,}\b|\d(?:[\d.:TZ-]*[\dZ-])?|\w+@\S+|localhost:\S+|\S+\.azurecr\.io")


def pattern(line: str) -> re.Pattern[str]:
    """What a line of a sample looks like in any run."""
    parts, end = [], 0
    for match in _CHANGES.finditer(line):
        parts += [re.escape(line[end : match.start()]), ".*?"]
        end = match.end()
    # Columns are as wide as their widest cell.
    return re.compile(re.sub(r"(\\ ){2,}", r"\\s+", "".join([*parts, re.escape(line[end:])])))


def sample(name: str, command: str = "") -> list[str]:
    """The lines of a sample; of the one command where it shows several. README.md stands for its run of `make up`."""
    text = _file(name).read_text()
    if name == "README.md":
        text = text.partition("<!-- make up -->\n```text\n")[2].partition("```\n")[0]
    if command:
        text = text.partition(f"$ {command}\n")[2].partition("\n$ ")[0]
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line not in {"", "..."} and not line.startswith("$ ")]
    assert lines, f"{name} does not show {command}"
    return lines


def is_printed(name: str, printed: str, command: str = "", *, ordered: bool = True) -> bool:
    """Whether each line of a sample was printed, in its order; an assertion says which one was not."""
    lines = printed.splitlines()
    for line in sample(name, command):
        wanted = pattern(line)
        at = next((n for n, each in enumerate(lines) if wanted.search(each)), None)
        if at is None and os.environ.get("UPDATE_SAMPLES"):
            at = _update(name, line, lines)
        assert at is not None, f"{name}: not printed: {line}\n{printed}"
        lines = lines[at + 1 if ordered else 0 :]
    return True


def _file(name: str) -> Path:
    return ROOT / name if name == "README.md" else SAMPLES / name


def _update(name: str, line: str, lines: list[str]) -> int | None:
    """Replace a line of a sample by the printed one that is most like it; its index."""
    nearest = difflib.get_close_matches(line, [each.strip() for each in lines], n=1)
    if not nearest:
        return None
    text = _file(name).read_text()
    _file(name).write_text(text.replace(line, nearest[0], 1))
    return [each.strip() for each in lines].index(nearest[0])
