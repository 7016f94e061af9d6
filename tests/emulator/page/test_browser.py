"""The page in a real browser. Each test also fails on an error of a script and on a request that leaves the machine."""

import json
import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from emulator.core.errors import AzureError
from emulator.protocols.page import server
from tests.browser import opened, visit
from tests.emulator.page.conftest import PASSWORD, Shown
from tests.ml import BLUE, ENDPOINT, WORKSPACE

VIEWS = ["overview", "endpoints", "registries", "roles", "requests", "faults"]
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def page(shown: Shown, chromium: Browser) -> Iterator[Page]:
    with opened(chromium, shown.link()) as found:
        yield found


def deployment(shown: Shown) -> str:
    return f"resource?id={shown.local.group}/{BLUE}"


def log(shown: Shown) -> str:
    return f"log?id={shown.local.group}/{BLUE}"


def test_the_overview_draws_each_resource_with_its_state(shown: Shown, page: Page) -> None:
    visit(page, "overview")
    expect(page.get_by_role("link", name="Online deployment blue: Succeeded")).to_be_visible()
    expect(page.get_by_role("link", name="Azure ML workspace ml-test: Succeeded")).to_be_visible()
    assert page.locator(".edges path").count() >= 5
    page.get_by_role("link", name="Online deployment blue: Succeeded").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Online deployment blue")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator("#history + .scroll")).to_contain_text("PUT")
    expect(page.locator("#access + .scroll")).to_contain_text("Owner")
    document = json.loads(page.get_by_label("ARM document as JSON").inner_text())
    assert document["id"] == f"{shown.local.group}/{BLUE}"


def test_what_fails_is_shown_at_once_and_says_why(shown: Shown, page: Page) -> None:
    visit(page, "overview")
    path = "providers/Microsoft.Storage/storageAccounts/nosku"
    with pytest.raises(AzureError, match="sku"):
        shown.local.ask("PUT", path, {"location": "westeurope"})
    failed = page.get_by_role("region", name="What failed")
    expect(failed).to_contain_text("Storage account nosku")
    expect(failed).to_contain_text("The sku property is required")


def test_a_rollout_moves_the_bar_and_is_announced(shown: Shown, page: Page) -> None:
    visit(page, "endpoints")
    bar = page.get_by_role("img", name=re.compile("^Split"))
    expect(bar).to_have_attribute("aria-label", "Split: blue 90 %, green 10 %")
    widths = []
    for share in (50, 100):
        shown.scene.send({"blue": 100 - share, "green": share})
        part = page.locator("[data-share='traffic green']")
        expect(part).to_have_attribute("width", str(share))
        widths.append(share)
        expect(page.locator("#news")).to_contain_text(f"green {share} %")
    shown.scene.send({"blue": 100}, mirrorTraffic={"green": 20})
    expect(page.get_by_role("img", name=re.compile("^Mirror"))).to_have_attribute("aria-label", "Mirror: green 20 %")
    assert widths == [50, 100]


def test_requests_are_counted_by_deployment_while_one_watches(shown: Shown, page: Page) -> None:
    visit(page, "endpoints")
    cell = page.get_by_role("row", name=re.compile("^ *blue")).get_by_role("cell").nth(3)
    before = int(cell.inner_text())
    for _ in range(3):
        shown.scene.score(azureml_model_deployment="blue")
    expect(cell).to_have_text(str(before + 3))


def test_asking_shows_the_reply_the_time_and_the_deployment_that_answered(shown: Shown, page: Page) -> None:
    visit(page, "endpoints")
    expect(page.get_by_label("Request", exact=True)).to_have_value('{"x": 1}')
    page.get_by_label("Request", exact=True).fill('{"x": 42}')
    page.get_by_label("Deployment", exact=True).fill("green")
    page.get_by_role("button", name="Send").click()
    reply = page.locator(".reply")
    expect(reply).to_contain_text(re.compile(r"HTTP 200 in .* ms from green"))
    assert json.loads(page.get_by_label("Reply").inner_text()) == {"name": "green", "asked": {"x": 42}}
    shown.scene.send({"blue": 80, "green": 20})
    expect(page.locator("[data-share='traffic green']")).to_have_attribute("width", "20")
    expect(page.get_by_label("Request", exact=True)).to_have_value('{"x": 42}')
    expect(reply).to_contain_text("from green")


def test_roles_show_principals_their_scopes_and_when_passwords_end(page: Page) -> None:
    visit(page, "roles")
    expect(page.get_by_role("row", name=re.compile("the deployer of this local Azure"))).to_contain_text(
        "Owner at Subscription"
    )
    expect(page.locator("#principals + .scroll tr", has_text="scorer-pull")).to_contain_text("valid")


def test_a_refused_pull_says_who_lacks_which_role(page: Page) -> None:
    said = "'scorer-pull' has no role that lets it pull 'scorer'; role 'AcrPull' on the registry gives it"
    for view in ("roles", "registries"):
        visit(page, view)
        expect(page.get_by_role("row", name=re.compile("scorer-pull.*has no role"))).to_contain_text(said)


def test_the_registry_shows_tags_digests_what_runs_them_and_who_pulled(page: Page) -> None:
    visit(page, "registries")
    tag = page.get_by_role("row", name=re.compile("^ *scorer"))
    expect(tag).to_contain_text("sha256:")
    expect(tag).to_contain_text("score/blue")
    expect(tag).to_contain_text("deployer at")


def test_the_log_of_a_build_streams(shown: Shown, page: Page) -> None:
    visit(page, "registries")
    expect(page.get_by_role("row", name=re.compile("^ *ca1"))).to_contain_text("Running")
    page.get_by_role("link", name="Log of ca1").click()
    text = page.get_by_label("Log", exact=True)
    expect(text).to_contain_text("Step 1/3")
    shown.write("Step 2/3")
    expect(text).to_contain_text("Step 2/3")


def test_requests_are_in_order_and_reads_can_be_shown(shown: Shown, page: Page) -> None:
    shown.local.azure.journal.begin_run()
    shown.local.ask("GET", ENDPOINT)
    with pytest.raises(AzureError):
        shown.local.ask("GET", f"{WORKSPACE}/connections/nothing")
    shown.local.ask("PUT", f"{WORKSPACE}/connections/other", shown.connection)
    visit(page, "requests")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Workspace connection other")
    page.get_by_label("Show reads, too").check()
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("GET")
    expect(page.locator(".lead")).to_contain_text("3 requests")
    expect(page.locator(".lead")).to_contain_text("0 refused or failed")


def test_a_fault_refuses_one_write_and_no_more(shown: Shown, page: Page) -> None:
    visit(page, "faults")
    page.locator("select[name=status]").select_option("429")
    page.get_by_role("button", name="Refuse the next write").click()
    expect(page.locator("#next + p")).to_contain_text("429 TooManyRequests")
    path = f"{WORKSPACE}/connections/other"
    with pytest.raises(AzureError, match="TooManyRequests"):
        shown.local.ask("PUT", path, shown.connection)
    expect(page.locator("#next + p")).to_contain_text("None will be refused")
    shown.local.ask("PUT", path, shown.connection)


def test_a_switch_sets_a_fault_until_it_is_ended(shown: Shown, page: Page) -> None:
    visit(page, "faults")
    switch = page.get_by_role("switch", name=re.compile("Builds fail"))
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    assert shown.local.azure.faults == {"build-fails": True}
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    assert shown.local.azure.faults == {}


def test_a_log_follows(shown: Shown, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["first"]
    monkeypatch.setattr(shown.scene.fleet, "log", lambda *_: "\n".join(lines))
    visit(page, log(shown))
    expect(page.get_by_label("Log", exact=True)).to_have_text("first")
    lines.append("second")
    expect(page.get_by_label("Log", exact=True)).to_contain_text("second")


@pytest.mark.parametrize(("scheme", "width", "least", "most"), [("light", 1280, 600, 765), ("dark", 380, 0, 150)])
def test_every_view_fits_and_has_no_serious_finding_of_axe(  # noqa: PLR0913, PLR0917 - the fixtures, and the case
    shown: Shown, chromium: Browser, scheme: str, width: int, least: int, most: int
) -> None:
    viewport = {"width": width, "height": 800}
    with opened(chromium, shown.link(), color_scheme=scheme, viewport=viewport) as page:
        ground = page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
        assert least <= sum(int(each) for each in re.findall(r"\d+", ground)[:3]) <= most
        for view in [*VIEWS, deployment(shown), log(shown)]:
            visit(page, view)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width, view
            found = Axe().run(page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in SERIOUS] == [], view


def test_the_keyboard_alone_reaches_everything(shown: Shown, chromium: Browser) -> None:
    with opened(chromium, shown.link()) as page:
        focused = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "Skip to the content"
        order = []
        for _ in range(30):
            page.keyboard.press("Tab")
            order.append(page.evaluate(focused))
        assert order[:6] == ["Overview", "Endpoint", "Registry", "Roles", "Requests", "Faults"]
        assert "Online deployment blue: Succeeded" in order
        page.locator("nav a", has_text="Endpoint").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Endpoint")
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        page.get_by_label("Request", exact=True).focus()
        page.keyboard.press("Tab")
        page.keyboard.type("blue")
        page.keyboard.press("Enter")
        expect(page.locator(".reply")).to_contain_text("from blue")


def test_a_change_leaves_the_focus_where_it_is(shown: Shown, page: Page) -> None:
    visit(page, "overview")
    node = page.get_by_role("link", name="Key vault kvtest: Succeeded")
    node.focus()
    shown.local.ask("PUT", f"{WORKSPACE}/connections/third", shown.connection)
    expect(page.get_by_role("link", name=re.compile("Workspace connection third"))).to_be_visible()
    expect(node).to_be_focused()


def test_nothing_secret_is_in_what_the_page_gets(shown: Shown, chromium: Browser) -> None:
    with opened(chromium, shown.link()) as page:
        answers = []
        others = [f"resource?id={shown.local.group}/{each}" for each in (ENDPOINT, f"{WORKSPACE}/connections/pull")]
        for view in [*server.VIEWS, *others]:
            path = view if "?" in view else f"{view}?id={shown.local.group}/{BLUE}"
            answers.append(page.evaluate("path => fetch(path).then((answer) => answer.text())", f"/data/{path}"))
        answers.append(page.content())
    text = "\n".join(answers)
    assert "DATABASE_PASSWORD" in text
    for secret in (PASSWORD, shown.scene.key_value, shown.deployer_secret, shown.principal_secret):
        assert secret not in text
