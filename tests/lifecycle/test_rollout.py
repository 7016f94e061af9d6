"""A version from dev over staging to prod, on three local stacks of one local Azure, while clients ask all the time.

The tests of this file build on each other, in this order: stacks take long to make, and a rollout's life is one story.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.modes import QUICK, write_image
from tests.project import PATIENCE, LocalAzure, Project, Run, polling, until
from tests.samples import is_printed

pytestmark = pytest.mark.slow

STACKS = ("dev", "staging", "prod")
PAUSE = 0.2
"""Seconds between two of a client's requests."""
SERVER = """from stub_server import Answer, StubServer

SCORED = 0


def answer(request):
    global SCORED
    SCORED += request.method == "POST"
    return Answer({"version": VERSION, "share": 0.1 + 0.2}, 500 if request.method == "POST" and SCORED > LASTS else 200)


StubServer(answer, "", 5001).serve_forever()
"""


class Trio:
    """Three stacks in one copy of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def version(self, name: str, lasts: int = 10**9, replies: str = "") -> None:
        """Write a version of the server: what it says, and after how many requests it fails."""
        text = SERVER.replace("VERSION", repr(replies or name)).replace("LASTS", str(lasts))
        write_image(self.project.folder / "app", text)
        (self.project.folder / "reply.json").write_text(json.dumps({"version": name, "share": 0.3}))

    def configure(self, **endpoint: Any) -> None:  # noqa: ANN401 - YAML
        """Write the three stack files anew, as a fresh checkout has them."""
        for stack in STACKS:
            config: dict[str, Any] = {
                "location": "westeurope",
                # The fewest resources, and no principal: what is rolled out is the same everywhere.
                "registry": {"mode": "workspace"},
                "image": {"context": "app", "repository": "served"},
                "endpoint": {"trafficSteps": [50], "bakeSeconds": 1, **endpoint},
                "deployments": {
                    "blue": {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK},
                },
                "rollout": {
                    "checks": [{"request": "request.json", "reply": "reply.json"}],
                    "approval": "required" if stack == "prod" else "none",
                },
            }
            file = self.project.folder / f"Pulumi.{stack}.yaml"
            rest = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key != "config"}
            sections = {f"scoring:{name}": section for name, section in config.items()}
            file.write_text(yaml.safe_dump({**rest, "config": sections}))

    def begin(self, *words: str, folder: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """Start the command line in a session of its own, as CI would: nobody at the terminal."""
        return subprocess.Popen(
            [sys.executable, "-m", "azureml_scoring", *words],
            cwd=folder or self.project.folder,
            env={**self.project.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> Run:
        """Run it to its end."""
        process = self.begin(*words)
        text, _ = process.communicate(timeout=PATIENCE)
        return Run(process.returncode, text)

    def outputs(self, stack: str) -> dict[str, Any]:
        """A stack's outputs."""
        output = self.project.pulumi("stack", "output", "--json", "--show-secrets", "--stack", stack)
        outputs: dict[str, Any] = json.loads(output.text)
        return outputs

    def says(self, stack: str) -> str:
        """The version that answers clients of a stack."""
        outputs = self.outputs(stack)
        headers = {"Authorization": f"Bearer {outputs['endpointKey']}"}
        reply = httpx.post(outputs["scoringUri"], json={}, headers=headers, timeout=60, trust_env=False)
        assert reply.is_success, reply.text
        return str(reply.json()["version"])

    def split(self, outputs: dict[str, Any]) -> dict[str, int]:
        """The split of a stack's endpoint as Azure has it."""
        path = f"{outputs['workspaceId']}/onlineEndpoints/{outputs['endpointName']}"
        traffic: dict[str, int] = self.project.azure.cloud.ask("GET", path).json()["properties"]["traffic"]
        return {name: share for name, share in traffic.items() if share}


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Trio:
    project = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure, "dev")
    for stack in STACKS[1:]:
        assert project.pulumi("stack", "init", stack).code == 0
    (project.folder / "request.json").write_text("{}")
    made = Trio(project)
    made.configure()
    made.version("first")
    return made


def test_one_build_goes_through_all_stacks_and_prod_waits_for_approval(trio: Trio, azure: LocalAzure) -> None:
    foreseen = trio.run("rollout", *STACKS, "--dry-run")
    assert foreseen.code == 0, foreseen.text
    assert "prod: import it and serve it from blue, as the first version, after approval" in foreseen.text
    assert azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}
    waits = trio.run("rollout", *STACKS)
    assert waits.code == 3, waits.text
    assert "prod waits for approval; to go on: azureml-scoring rollout dev staging prod --approve prod" in (waits.text)
    done = trio.run("rollout", *STACKS, "--approve", "prod")
    assert done.code == 0, done.text
    assert is_printed("rollout-first.txt", waits.text)
    assert is_printed("rollout-approved.txt", done.text)
    assert azure.tell("stats")["builds"] == 1
    digests = {trio.outputs(stack)["image"].partition("@")[2] for stack in STACKS}
    assert len(digests) == 1
    assert [trio.says(stack) for stack in STACKS] == ["first"] * 3


def test_a_version_that_answers_wrongly_never_takes_traffic(trio: Trio) -> None:
    trio.version("second", replies="nonsense")
    outputs = trio.outputs("dev")
    with polling(outputs["scoringUri"], outputs["endpointKey"], {}, PAUSE) as failed:
        run = trio.run("rollout", *STACKS)
    assert run.code == 1, run.text
    assert "green answers request.json wrongly: reply.version is 'nonsense' instead of 'second'; blue serves on" in (
        run.text
    )
    assert is_printed("rollout-wrong.txt", run.text)
    assert failed == []
    assert (trio.says("dev"), trio.split(outputs)) == ("first", {"blue": 100})
    assert trio.outputs("dev")["deployments"] == ["blue"]


def test_a_version_that_fails_only_under_load_fails_no_client(trio: Trio) -> None:
    trio.configure(mirrorFirst=50, bakeSeconds=8, limits={"errorPercent": 5})
    trio.version("third", lasts=3)
    outputs = trio.outputs("dev")
    with polling(outputs["scoringUri"], outputs["endpointKey"], {}, PAUSE) as failed:
        run = trio.run("rollout", "dev")
    assert run.code == 1, run.text
    assert "the shift to green 100 % failed, restored blue 100 %: deployment green:" in run.text
    assert "requests failed, more than 5 %" in run.text
    assert is_printed("rollout-load.txt", run.text)
    assert failed == []
    assert (trio.says("dev"), trio.split(outputs)) == ("first", {"blue": 100})


def test_a_rollout_that_was_killed_half_way_is_finished_by_another_machine(trio: Trio) -> None:
    trio.configure(bakeSeconds=600)
    trio.version("fourth")
    outputs = trio.outputs("dev")
    with polling(outputs["scoringUri"], outputs["endpointKey"], {}, PAUSE) as failed:
        running = trio.begin("rollout", "dev", "staging")
        until(lambda: trio.split(outputs).get("green") or running.poll() is not None, "the first step of the shift")
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        assert trio.split(outputs) == {"blue": 50, "green": 50}
        # A fresh checkout: nothing is known but what the stacks' states say.
        trio.configure()
        done = trio.run("rollout", "dev", "staging")
        assert done.code == 0, done.text
        assert is_printed("rollout-killed.txt", done.text)
    assert failed == []
    status = trio.run("status", *STACKS)
    assert status.code == 0, status.text
    assert is_printed("status.txt", status.text)
    assert [trio.says(stack) for stack in STACKS] == ["fourth", "fourth", "first"]
    assert len({trio.outputs(stack)["image"].partition("@")[2] for stack in STACKS}) == 2


def test_one_command_goes_back_and_an_update_then_changes_nothing(trio: Trio, azure: LocalAzure) -> None:
    outputs = trio.outputs("staging")
    with polling(outputs["scoringUri"], outputs["endpointKey"], {}, PAUSE) as failed:
        back = trio.run("rollback", "staging")
    assert back.code == 0, back.text
    assert is_printed("rollback.txt", back.text)
    assert failed == []
    assert trio.says("staging") == "first"
    azure.tell("reset-stats")
    trio.configure()
    assert trio.run("pin", "staging").code == 0
    again = trio.project.pulumi("preview", "--expect-no-changes", "--stack", "staging")
    assert again.code == 0, again.text
    assert azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def test_two_rollouts_of_one_version_at_once_end_as_one(trio: Trio, azure: LocalAzure, tmp_path: Path) -> None:
    trio.version("twice")
    outputs = trio.outputs("dev")
    (other,) = {"blue", "green"} - trio.split(outputs).keys()
    azure.tell("reset-stats")
    shutil.copytree(trio.project.folder, tmp_path / "checkout", symlinks=True)
    page = tmp_path / "summary.md"
    with polling(outputs["scoringUri"], outputs["endpointKey"], {}, PAUSE) as failed:
        both = [
            trio.begin("rollout", "dev", "--json", GITHUB_STEP_SUMMARY=str(page)),
            trio.begin("rollout", "dev", "--json", folder=tmp_path / "checkout"),
        ]
        texts = [run.communicate(timeout=PATIENCE)[0] for run in both]
    assert [run.returncode for run in both] == [0, 0], texts
    assert failed == []
    assert azure.tell("stats")["builds"] == 1
    assert (trio.says("dev"), trio.split(outputs)) == ("twice", {other: 100})
    events = [[json.loads(line) for line in text.splitlines()] for text in texts]
    assert [(each[0]["event"], each[-1]["event"]) for each in events] == [("started", "done")] * 2
    assert len({each[-1]["message"] for each in events}) == 1
    assert [each["event"] for text in events for each in text if each["event"] in {"failed", "undone"}] == []
    shares = sorted({each["percent"] for text in events for each in text if "percent" in each})
    assert shares == [0, 50, 100]
    assert page.read_text().startswith("### Rollout")
