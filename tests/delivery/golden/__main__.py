"""`python -m tests.delivery.golden`: write each report anew from its previews; the diff shows what changed."""

import sys
from datetime import date
from pathlib import Path

from azureml_scoring.delivery import changes, drift, html_report, prices, report

FOLDER = Path(__file__).parent
TODAY = date(2028, 11, 15)
"""A day on which the passwords of some of the recorded stacks end soon."""
STACKS = ("image", "traffic", "identity")
"""The previews of a report on three stacks."""
STACKED = "stacks"
"""The case with all of them; it is kept as a page as well."""
STREAMED = "drift-streaming"
"""The same preview as `drift`, in the other format."""
PRICES = FOLDER.parent / "prices.json"


def names() -> list[str]:
    """The cases: a preview each, and three stacks at once."""
    return [*sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != STREAMED), STACKED]


def previews(name: str) -> list[str]:
    """What the engine printed, in either format."""
    return [(FOLDER / f"{each}.json").read_text() for each in (STACKS if name == STACKED else (name,))]


def made(name: str) -> str:
    """The report of one case."""
    read, title = _read(name)
    return report.render(read, prices=prices.load(PRICES), title=title, today=TODAY)


def made_page(name: str) -> str:
    """The same as a page."""
    read, title = _read(name)
    return html_report.render(read, prices=prices.load(PRICES), title=title, today=TODAY)


def _read(name: str) -> tuple[list[changes.Preview], str]:
    read = [changes.read(text) for text in previews(name)]
    return ([drift.drifted(preview) for preview in read], drift.TITLE) if name == "drift" else (read, report.TITLE)


if __name__ == "__main__":
    for each in names():
        (FOLDER / f"{each}.md").write_text(made(each))
        print(f"{each}.md")
    (FOLDER / f"{STACKED}.html").write_text(made_page(STACKED))
    print(f"{STACKED}.html")
    sys.exit(0)
