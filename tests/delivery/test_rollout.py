"""What a rollout leaves alone, waits for and tells, without an engine: the lifecycle tests show the rest."""

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azureml_scoring.delivery.engine import Lock, LockedError, PulumiStack
from azureml_scoring.delivery.rollout import Rollout
from azureml_scoring.errors import ExitCode

if TYPE_CHECKING:
    from azureml_scoring.delivery.rollout_events import Event

STACK_FILE = """config:
  scoring:location: westeurope
  scoring:registry: {mode: workspace}
  scoring:image: {context: app, repository: served, promote: "acr.azurecr.io/x@NEW"}
  scoring:deployments: {blue: {instanceType: Standard_DS3_v2}}
"""
OLD, NEW = (f"sha256:{letter * 64}" for letter in "ab")
OWN = "azureml-scoring:index"
PENDING = {"urn": f"urn:pulumi:dev::azureml-scoring::{OWN}:OnlineEndpoint::endpoint", "type": f"{OWN}:OnlineEndpoint"}


def state(serving: str, **pending: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A stack's state with one deployment."""
    name, digest = ("green", NEW) if serving == NEW else ("blue", OLD)
    environment = {"type": f"{OWN}:EnvironmentVersion", "id": "/env/1", "created": "2026"}
    resources = [
        {**environment, "outputs": {"image": f"acr.azurecr.io/x@{digest}"}},
        {"type": f"{OWN}:OnlineEndpoint", "id": "/endpoint"},
        {"type": f"{OWN}:OnlineDeployment", "outputs": {"deploymentName": name, "environmentId": "/env/1"}},
        {"type": f"{OWN}:EndpointTraffic", "outputs": {"traffic": {name: 100}}},
    ]
    return {"deployment": {"resources": resources, **pending}}


class Stack:
    """The engine's and Azure's part, as far as these tests need one: what it says, and what it was asked to do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "app").mkdir()
        (folder / "app" / "Dockerfile").write_text("FROM python:3.12-slim\nCMD python3\n")
        (folder / "Pulumi.dev.yaml").write_text(STACK_FILE.replace("NEW", NEW))
        self.events: list[Event] = []
        self.state = state(OLD)
        self.locks: tuple[Lock, ...] | None = ()
        self.written: list[dict[str, Any]] = []
        self.ups = 0
        self.rollout = Rollout(folder, self.events.append, arm=lambda: self)  # type: ignore[arg-type, return-value]
        monkeypatch.setattr(PulumiStack, "export", lambda _: self.state)
        monkeypatch.setattr(PulumiStack, "locks", lambda _: self.locks)
        monkeypatch.setattr(PulumiStack, "half_written", lambda _: ())
        monkeypatch.setattr(PulumiStack, "configure", lambda _, changes: self.written.append(changes))
        monkeypatch.setattr(PulumiStack, "up", lambda _: self.up())

    def up(self) -> None:
        """Refuse, as the engine does while another run holds the stack."""
        self.ups += 1
        raise LockedError("another run holds the stack")

    def get(self, _path: str, _api: str) -> dict[str, Any]:
        """What Azure has of anything: its environment, and that one's image."""
        return {"properties": {"environmentId": "/env/1", "image": f"acr.azurecr.io/x@{NEW}"}}

    @property
    def told(self) -> list[str]:
        """The kinds of events, in their order."""
        return [event.kind for event in self.events]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(tmp_path, monkeypatch)


def lock(host: str, process: int = 0) -> Lock:
    return Lock("me", host, process, "2026-11-30T04:00:00")


def test_a_stack_that_another_run_holds_is_no_failure_of_a_version(stack: Stack) -> None:
    stack.locks = None  # as of a backend that does not show them
    assert stack.rollout.roll(["dev"]) is ExitCode.LOCKED
    assert stack.told == ["started", "import", "check", "locked"]
    assert (stack.ups, len(stack.written)) == (1, 1), "nothing is tried again, nothing is undone"
    assert stack.events[-1].text == "error: dev: another run holds the stack"
    assert [row.result for row in stack.rollout.rows] == ["is locked"]


def test_a_lock_of_another_machine_is_left_alone_and_named(stack: Stack) -> None:
    stack.locks = (lock("elsewhere"),)
    assert stack.rollout.roll(["dev"]) is ExitCode.LOCKED
    assert (stack.ups, stack.written) == (0, [])
    assert stack.events[-1].message == (
        "held by me@elsewhere, process 0 since 2026-11-30T04:00:00, on another machine: make sure that it has ended, "
        "then run `azureml-scoring recover dev`"
    )


def test_what_may_be_a_run_at_work_is_not_recovered_where_the_backend_shows_no_locks(stack: Stack) -> None:
    stack.locks = None
    stack.state = state(OLD, pending_operations=[{"type": "creating", "resource": PENDING}])
    assert stack.rollout.roll(["dev"]) is ExitCode.LOCKED
    assert (stack.ups, stack.written) == (0, [])


def test_a_run_that_brings_the_same_version_is_waited_for_and_both_end_as_one(stack: Stack) -> None:
    def another() -> None:
        stack.ups += 1
        stack.state = state(NEW)
        raise LockedError("another run holds the stack")

    stack.up = another  # type: ignore[method-assign]
    assert stack.rollout.roll(["dev"]) is ExitCode.OK
    assert stack.ups == 1
    assert [row.cells[2:4] for row in stack.rollout.rows] == [("green", "serves it already")]


def test_a_live_run_of_this_machine_is_waited_for(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azureml_scoring.delivery.rollout._PAUSE", 0)
    looks = [(lock(socket.gethostname(), os.getpid()),)] * 3

    def locks(_: PulumiStack) -> tuple[Lock, ...]:
        stack.state = state(OLD if looks else NEW)
        return looks.pop() if looks else ()

    monkeypatch.setattr(PulumiStack, "locks", locks)
    monkeypatch.setattr(Lock, "is_alive", True)
    assert stack.rollout.roll(["dev"]) is ExitCode.OK
    assert stack.told == ["started", "waiting", "done"]
    assert stack.ups == 0


def test_an_event_is_one_line_of_json_with_the_same_fields_for_every_stack(stack: Stack) -> None:
    stack.locks = None
    stack.rollout.roll(["dev"])
    lines = [json.loads(event.json) for event in stack.events]
    assert [set(line) - {"percent"} for line in lines] == [{"time", "stack", "event", "message"}] * 4
    assert lines[1] | {"time": ""} == {
        "time": "",
        "stack": "dev",
        "event": "import",
        "percent": 0,
        "message": "importing, then green beside blue, at 0 %",
    }
    assert lines[0]["time"].endswith("Z")
    assert "\n" not in stack.events[-1].json


def test_an_error_before_the_first_stack_names_none(stack: Stack) -> None:
    assert stack.rollout.roll(["dev", "prod"]) is ExitCode.FAILED
    assert [json.loads(event.json)["stack"] for event in stack.events] == [""]
    assert stack.events[0].text.startswith("error: Pulumi.prod.yaml does not exist")
    assert [row.result for row in stack.rollout.rows] == ["not begun", "not begun"]
