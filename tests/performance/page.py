"""How long the local Azure's page takes until it shows, with 500 resources."""

from pathlib import Path

from playwright.sync_api import Page

from emulator.core.ids import ResourceId
from emulator.core.options import Options
from emulator.core.store import Document
from emulator.protocols.page import server
from emulator.protocols.web import listening
from tests.browser import browser, opened
from tests.emulator.conftest import InProcessAzure, in_process
from tests.performance.figures import Figure

RESOURCES = 500
ROUNDS = 7


def measure(folder: Path) -> list[Figure]:
    """Measure from a reload until all is drawn: the best of some rounds, since other work only adds to it."""
    with in_process(folder, Options(role_delay=0)) as local, browser() as chromium:
        fill(local)
        page = server.Page(local.azure)
        with listening(page.application, local.azure.ports.bind(server.PORT), None):
            with opened(chromium, page.link()) as shown:
                milliseconds = [_reload(shown) for _ in range(ROUNDS)]
            page.close()
    return [Figure(f"{RESOURCES} resources: from a reload until all is drawn", min(milliseconds), "ms", aim="≤ 300 ms")]


def fill(local: InProcessAzure) -> None:
    """Make a chain of resources with many that hang on each of its links."""
    base = f"{local.group}/providers/Microsoft.Storage/storageAccounts"
    for number in range(RESOURCES):
        path = f"{base}/account{number:03}"
        needs = f"{base}/account{number // 8:03}" if number else ""
        body = {"id": path, "name": f"account{number:03}", "properties": {"needs": needs}}
        local.azure.store.put(Document(ResourceId.parse(path), body))


def _reload(page: Page) -> float:
    """Milliseconds from the navigation to the frame in which everything stands, by the browser's own clock."""
    page.reload(wait_until="commit")
    script = f"() => document.querySelectorAll('.node').length === {RESOURCES} && performance.now()"
    milliseconds: float = page.wait_for_function(script, polling="raf").json_value()
    return milliseconds
