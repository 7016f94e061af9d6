"""`python -m tests.delivery.golden`: write each report anew from its previews; the diff shows what changed."""

import sys
from datetime import date
from pathlib import Path

from azureml_scoring.delivery import prices, report
from azureml_scoring.delivery.changes import read

FOLDER = Path(__file__).parent
TODAY = date(2028, 11, 15)
"""A day on which the passwords of some of the recorded stacks end soon."""
STACKS = ("dev", "staging", "prod")


def names() -> list[str]:
    """The cases: NAME.json, or NAME.STACK.json for each stack of a report on several."""
    return sorted({path.name.partition(".")[0] for path in FOLDER.glob("*.json")})


def previews(name: str) -> list[str]:
    """What the engine printed, in either shape, without what the report does not read."""
    paths = [FOLDER / f"{name}.json", *(FOLDER / f"{name}.{stack}.json" for stack in STACKS)]
    return [path.read_text() for path in paths if path.exists()]


def made(name: str) -> str:
    """The report of one case."""
    return report.render([read(text) for text in previews(name)], prices=prices.load(), today=TODAY)


if __name__ == "__main__":
    for each in names():
        (FOLDER / f"{each}.md").write_text(made(each))
        print(f"{each}.md")
    sys.exit(0)
