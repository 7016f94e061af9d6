"""`python -m tests.infra.delivery.golden`: write each report anew from its preview; the diff shows what changed."""

import sys
from datetime import date
from pathlib import Path

from infra.delivery import prices, report
from infra.delivery.changes import read

FOLDER = Path(__file__).parent
TODAY = date(2034, 12, 15)
"""A day on which the recorded password ends soon."""


def names() -> list[str]:
    """The cases: a preview each, as the engine printed it, without what the report does not read."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def made(name: str) -> str:
    """The report of one case."""
    preview = read((FOLDER / f"{name}.json").read_text())
    return report.render([preview], prices=prices.load(), today=TODAY)


if __name__ == "__main__":
    for each in names():
        (FOLDER / f"{each}.md").write_text(made(each))
        print(f"{each}.md")
    sys.exit(0)
