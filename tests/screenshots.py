"""Pictures of the docs, and what is on them: a picture is made anew where its view has changed, else its test fails.

`UPDATE_SCREENSHOTS=1 make test ARGS=tests/lifecycle/test_first_hour.py` writes them. What a view is made of (headings,
columns, labels, buttons) is kept beside the pictures, without numbers and names of one run; what a picture is to show
is named by the test.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.conftest import ROOT
from tests.project import until

IMAGES = ROOT / "docs" / "images"
RECORD = IMAGES / "pictures.json"
"""Of each picture what it is to show, and the outline of its view."""
_PATIENCE = 60.0
_OUTLINE = "h1, h2, h3, th[scope=col], thead th, label, button, summary, figcaption, legend"
_CHANGES = re.compile(r"\b[0-9a-f]{6,}\b|\d[\d.,:]*")


def picture(page: Page, name: str, *facts: str, patience: float = _PATIENCE) -> None:
    """Wait until a view shows the facts, and take its picture, or see that the one of the docs is still true."""
    until(lambda: all(fact in text(page) for fact in facts), f"{facts} on {name}", patience, 0.1)
    found = {"facts": [*facts], "outline": outline(page)}
    if os.environ.get("UPDATE_SCREENSHOTS"):
        IMAGES.mkdir(exist_ok=True)
        page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")
        RECORD.write_text(json.dumps(recorded() | {name: found}, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    assert recorded()[name] == found, f"{name}.png shows something else: write it anew with UPDATE_SCREENSHOTS=1"


def recorded() -> dict[str, Any]:
    """What is on each picture."""
    return dict(json.loads(RECORD.read_text())) if RECORD.exists() else {}


def outline(page: Page) -> list[str]:
    """What a view is made of, each once."""
    texts = page.locator("main").locator(_OUTLINE).all_inner_texts()
    return list(dict.fromkeys(_CHANGES.sub("…", " ".join(each.split())) for each in texts if each.strip()))


def text(page: Page) -> str:
    """The text of a view, as it is seen and as it is read out."""
    main = page.locator("main")
    return " ".join(f"{main.inner_text()} {main.aria_snapshot()}".replace('"', "").split())


def size(name: str) -> int:
    """The size of a picture in bytes."""
    return Path(IMAGES / f"{name}.png").stat().st_size
