"""A real browser for tests: Debian's Chromium, driven by Playwright.

Owns starting it, watching that it talks to the loopback interface only, and screenshots: `screenshot(page, name)`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError, sync_playwright  # noqa: A004 - Playwright's

PATIENCE_MILLISECONDS = 15_000
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window; skipped with its reason where there is none."""
    program = shutil.which("chromium", path=f"{os.environ.get('PATH', '')}:/usr/bin")
    if program is None:
        pytest.skip("chromium is not on PATH: install it (`python -m tools browser` does, as root on Debian)")
    # Chromium's own sandbox refuses root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=options)
        yield started
        started.close()


@contextmanager
def opened(browser_: Browser, link: str, **options: Any) -> Iterator[Page]:  # noqa: ANN401 - Playwright's options
    """A new session of the page behind a link; each error in it and each request elsewhere fails the test."""
    context = browser_.new_context(**{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options})
    strangers, problems = watched(context)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: problems.append(f"{message.text} {message.location}") if message.type == "error" else None,
    )
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    page.goto(link)
    try:
        page.wait_for_selector("main[data-ready]")
    except TimeoutError as error:
        raise AssertionError([*problems, page.content()]) from error
    yield page
    context.close()
    assert strangers == []
    assert problems == [], problems


def watched(context: BrowserContext) -> tuple[list[str], list[str]]:
    """The requests of a context that leave the machine, and a list for other problems."""
    strangers: list[str] = []

    def check(url: str) -> None:
        if urlsplit(url).hostname not in {host.strip("[]") for host in LOOPBACK}:
            strangers.append(url)

    context.on("request", lambda request: check(request.url))
    return strangers, []


def visit(page: Page, view: str) -> None:
    """Open a view and wait until it shows."""
    page.evaluate("() => delete document.querySelector('main').dataset.ready")
    page.evaluate(
        "hash => { if (location.hash === hash) dispatchEvent(new Event('hashchange')); location.hash = hash; }",
        f"#/{view}",
    )
    page.wait_for_selector(f"main[data-ready={view.partition('?')[0]}]")


def screenshot(page: Page, name: str, folder: Path | None = None) -> Path:
    """A picture of the whole page, `NAME.png` in a folder, else in the one that SCREENSHOTS names."""
    target = folder or Path(os.environ.get("SCREENSHOTS") or ".local/screenshots")
    target.mkdir(parents=True, exist_ok=True)
    file = target / f"{name}.png"
    page.evaluate("() => scrollTo(0, 0)")
    page.screenshot(path=file, full_page=True, animations="disabled")
    return file
