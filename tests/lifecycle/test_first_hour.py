"""The first hour of the docs (`docs/first-hour.md`), step by step on the real engine, watched in a real browser.

The tests of this file build on each other, in this order, as the hour does. They make its pictures.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser import browser, opened, visit
from tests.project import PATIENCE, LocalAzure, Project, Run, kill, until
from tests.screenshots import picture, text

pytestmark = pytest.mark.slow

SCRIPT = "examples/sklearn/score.py"
VIEW: ViewportSize = {"width": 1180, "height": 640}
STEPS = "    trafficSteps: [10, 50]\n    bakeSeconds: 3\n"


@dataclass
class Hour:
    """A project, and the page of its local Azure."""

    project: Project
    browser: Browser
    page: Page

    @cached_property
    def endpoint(self) -> str:
        """The endpoint's ARM id."""
        outputs = self.project.outputs()
        return f"{outputs['workspaceId']}/onlineEndpoints/{outputs['endpointName']}"

    def split(self) -> dict[str, int]:
        """The split as Azure has it."""
        traffic: dict[str, int] = self.project.azure.cloud.ask("GET", self.endpoint).json()["properties"]["traffic"]
        return {name: share for name, share in traffic.items() if share}

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start `azureml-scoring` in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "azureml_scoring", *words],
            cwd=self.project.folder,
            env=self.project.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def roll_out(self, meanwhile: Callable[[], None]) -> Run:
        """Roll out, and do something while it goes on."""
        process = self.begin("rollout", "local")
        try:
            meanwhile()
        finally:
            text, _ = process.communicate(timeout=PATIENCE)
        return Run(process.returncode, text)


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Iterator[Hour]:
    """What stands after `make up`."""
    with browser() as chromium:
        project = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
        run = project.up()
        assert run.code == 0, run.text
        request = str(project.folder / "examples/sklearn/request.json")
        link = azure.tell("page", "--example", request)
        with opened(chromium, link, viewport=VIEW) as page:
            yield Hour(project, chromium, page)


def test_the_stack_is_on_the_overview(hour: Hour) -> None:
    visit(hour.page, "overview")
    picture(hour.page, "overview", "Online deployment blue: Succeeded", "Online endpoint")


def test_a_change_is_a_page_for_its_reviewers(hour: Hour, tmp_path: Path) -> None:
    hour.project.edit(SCRIPT, "MAX_ROWS = 1000", "MAX_ROWS = 100")
    preview = hour.project.pulumi("preview", "--json", "--show-sames", "--stack", "local")
    assert preview.code == 0, preview.text
    (tmp_path / "preview.json").write_text(preview.text)
    run = hour.project.delivery("report", "--html", "--out", f"{tmp_path}/preview.html", f"{tmp_path}/preview.json")
    assert run.code == 0, run.text
    context = hour.browser.new_context(viewport=VIEW, color_scheme="light", java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "preview.html").as_uri())
    page.get_by_text("An arrow leads").scroll_into_view_if_needed()
    reported = ("local: clients get answers of another image", "files: score.py", "Graph of local")
    framed = ("ImageBuild: updated", "EnvironmentVersion: new version", "OnlineDeployment: updated")
    picture(page, "preview", *reported, *framed)
    context.close()


def test_a_rollout_moves_the_bar(hour: Hour) -> None:
    hour.project.edit("Pulumi.local.yaml", "scoring:endpoint:\n", f"scoring:endpoint:\n{STEPS}")
    visit(hour.page, "endpoints")
    run = hour.roll_out(lambda: picture(hour.page, "rollout", "Split: blue 50 %, green 50 %", patience=PATIENCE))
    assert run.code == 0, run.text
    assert hour.split() == {"green": 100}


def test_a_wrong_version_goes_and_what_served_serves_on(hour: Hour) -> None:
    hour.project.edit(SCRIPT, "argmax", "argmin")
    run = hour.project.delivery("rollout", "local")
    assert run.code == 1, run.text
    assert "wrongly: reply.predictions[0] is 'class_1' instead of 'class_0'; green serves on" in run.text
    assert hour.split() == {"green": 100}
    visit(hour.page, "endpoints")
    picture(hour.page, "back", "Split: green 100 %")
    assert not re.search(r"\bblue\b", text(hour.page)), "the wrong version is still there"
    hour.project.edit(SCRIPT, "argmin", "argmax")


def test_a_killed_rollout_is_recovered_and_goes_on(hour: Hour) -> None:
    hour.project.edit(SCRIPT, "MAX_ROWS = 100", "MAX_ROWS = 200")
    hour.project.edit("Pulumi.local.yaml", "bakeSeconds: 3", "bakeSeconds: 600")
    visit(hour.page, "endpoints")
    process = hour.begin("rollout", "local")
    try:
        until(lambda: hour.split() == {"blue": 10, "green": 90}, "the first step of the shift")
    finally:
        kill(process)
        process.communicate(timeout=PATIENCE)
    picture(hour.page, "killed", "blue 10 %", "green 90 %")
    hour.project.edit("Pulumi.local.yaml", "bakeSeconds: 600", "bakeSeconds: 1")
    recovered = hour.project.delivery("recover", "--yes", "local")
    assert recovered.code == 0, recovered.text
    run = hour.project.delivery("rollout", "local")
    assert run.code == 0, run.text
    assert hour.split() == {"blue": 100}
