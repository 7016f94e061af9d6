"""How recovery goes on a backend that is no folder, and where it stops: the CLI is a script here, Azure in memory."""

import json
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.engine import EngineError, Lock, PulumiStack
from azureml_scoring.delivery.pending import Query
from azureml_scoring.delivery.recover import Azure, RecoverError, RecoveryPlan, recover
from azureml_scoring.provider.arm import Arm, find_cloud, find_credential

from tests.conftest import Cloud
from tests.project import until
from tests.provider.fake_azure import FakeAzure

STATES = Path(__file__).parent / "states"
SUBSCRIPTION = "5d0c5a8f-6a0e-4c5b-9d0e-0a4f3a2b1c00"
REGISTRIES = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/azureml-scoring-local/providers/Microsoft.ContainerRegistry"
ACR = f"{REGISTRIES}/registries/azuremlscoringlocalacr95fd4b"
PULUMI = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> commands
case "$*" in
  version) echo v3.259.0 ;;
  *whoami*) echo '{"user": "me", "url": "https://api.pulumi.com/me"}' ;;
  *export*) cat state.json ;;
  preview*|*" preview "*) cat preview.json ;;
  *import*) file=${*#*--file }; cp "${file%% *}" state.json ;;
  *cancel*) echo "error: [409] no update is running" >&2; exit 255 ;;
  *refresh*) sh ./refresh ;;
  *history*) echo '[{"kind": "refresh", "startTime": "2026-01-01T00:00:00.000Z", "message": "", "environment": {},' \
    '"config": {}, "result": "succeeded", "version": 1}]' ;;
esac
"""


@dataclass
class Bench:
    """A project's folder, a script for the CLI, and an Azure in memory."""

    folder: Path
    azure: FakeAzure = field(default_factory=FakeAzure)
    lines: list[str] = field(default_factory=list)

    @property
    def state(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return result

    @property
    def commands(self) -> list[str]:
        """The commands of the CLI by their first words, without `version`."""
        text = (self.folder / "commands").read_text().replace("--non-interactive", "").replace("  ", " ")
        lines = [line.strip() for line in text.splitlines() if line != "version"]
        return [" ".join(line.split()[: 2 if line.startswith("stack") else 1]) for line in lines]

    def recover(self, confirm: Callable[[RecoveryPlan], bool] = lambda _: True) -> bool:
        return recover(PulumiStack(self.folder, "dev", self.lines.append), confirm, arm=self.azure.arm)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    state = json.loads((STATES / "registry.json").read_text())
    pending = state["deployment"]["pending_operations"]
    pending[:] = [each for each in pending if each["resource"]["urn"].endswith("::scoring-registry")]
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "refresh").write_text("")
    (tmp_path / "preview.json").write_text(json.dumps({"steps": []}))
    (tmp_path / "pulumi").write_text(PULUMI)
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", SUBSCRIPTION)
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    made = Bench(tmp_path)
    made.azure.documents[f"/subscriptions/{SUBSCRIPTION}"] = {"id": f"/subscriptions/{SUBSCRIPTION}"}
    made.azure.documents[ACR] = {"id": ACR, "properties": {"provisioningState": "Succeeded"}}
    return made


def test_a_backend_that_shows_no_locks_is_unlocked_all_the_same_and_its_refusal_is_no_end(bench: Bench) -> None:
    assert bench.recover()
    assert "by `pulumi cancel`: make sure that nobody deploys this stack now" in "\n".join(bench.lines)
    assert bench.commands == [
        "whoami",
        "stack export",
        "preview",
        "cancel",
        "stack export",
        "stack import",
        "refresh",
        "stack history",
        "stack export",
    ]
    adopted = next(
        each for each in bench.state["deployment"]["resources"] if each["urn"].endswith("::scoring-registry")
    )
    assert adopted["id"] == ACR
    assert "pending_operations" not in bench.state["deployment"]


def test_who_says_no_changes_nothing(bench: Bench) -> None:
    before = bench.state
    assert not bench.recover(confirm=lambda _: False)
    assert bench.state == before
    assert bench.commands == ["whoami", "stack export", "preview"]
    assert not (bench.folder / ".local").exists()


def test_a_state_that_changes_meanwhile_stops_it(bench: Bench) -> None:
    def another_run(plan: RecoveryPlan) -> bool:
        del plan
        state = bench.state
        state["deployment"]["resources"].pop()
        (bench.folder / "state.json").write_text(json.dumps(state))
        return True

    with pytest.raises(RecoverError, match=r"^stack dev: its state has changed meanwhile"):
        bench.recover(another_run)
    assert "stack import" not in bench.commands


def test_a_refresh_that_fails_names_the_copy_and_can_be_gone_on_with(bench: Bench) -> None:
    (bench.folder / "refresh").write_text("echo 'error: no answer' >&2; exit 1")
    before = bench.state
    with pytest.raises(RecoverError, match=r"^no answer; the state as it was: (.+)$") as caught:
        bench.recover()
    copy = Path(str(caught.value).rpartition(": ")[2])
    assert json.loads(copy.read_text()) == before
    assert copy.stat().st_mode & 0o777 == 0o600

    (bench.folder / "refresh").write_text("")
    bench.lines.clear()
    assert bench.recover()
    assert any("with scoring-registry from an interrupted recovery" in line for line in bench.lines)


def test_what_azure_is_still_at_is_waited_for(bench: Bench) -> None:
    states = iter(["Creating", "Creating", "Succeeded"])
    bench.azure.on(
        "GET", ACR, lambda _: (200, {}, {"id": ACR, "properties": {"provisioningState": next(states, "Succeeded")}})
    )
    assert bench.recover()
    assert "Azure still works on it, which is waited for" in "\n".join(bench.lines)
    assert next(states, None) is None


def test_what_azure_does_not_tell_is_left(bench: Bench) -> None:
    bench.azure.on("GET", ACR, lambda _: (403, {}, {"error": {"code": "AuthorizationFailed", "message": "no right"}}))
    before = bench.state
    assert not bench.recover()
    assert any("leave    scoring-registry (Registry): AuthorizationFailed: no right" in line for line in bench.lines)
    assert bench.state == before


def test_where_no_copy_can_be_kept_nothing_is_done(bench: Bench) -> None:
    (bench.folder / ".local").write_text("a file")
    with pytest.raises(RecoverError, match=r"the state cannot be saved there \(.+\); add --copies FOLDER$"):
        bench.recover()
    assert bench.commands == ["whoami", "stack export", "preview"]


def dead_provider(bench: Bench) -> None:
    """The engine has recorded nothing of what a provider made before it died."""
    state = bench.state
    steps = [
        {"op": "create", "urn": each["resource"]["urn"], "newState": each["resource"]}
        for each in state["deployment"].pop("pending_operations")
    ]
    (bench.folder / "state.json").write_text(json.dumps(state))
    (bench.folder / "preview.json").write_text(json.dumps({"steps": steps}))


def test_what_a_dead_provider_made_is_adopted_although_no_operation_is_pending(bench: Bench) -> None:
    dead_provider(bench)
    assert bench.recover()
    assert (
        bench.lines[0] == "Stack dev: 0 pending operations, resources that the state does not have: 1, perhaps locked."
    )
    assert f"  adopt    scoring-registry (Registry): Azure has it, as {ACR}" in bench.lines
    resources = bench.state["deployment"]["resources"]
    assert [each["id"] for each in resources if each["urn"].endswith("::scoring-registry")] == [ACR]


def test_what_is_yet_to_be_created_is_no_part_of_the_plan(bench: Bench) -> None:
    dead_provider(bench)
    del bench.azure.documents[ACR]
    before = bench.state
    assert bench.recover()
    assert not any("scoring-registry" in line for line in bench.lines)
    assert bench.state == before


def test_without_a_preview_what_is_pending_is_recovered_all_the_same(bench: Bench) -> None:
    (bench.folder / "preview.json").unlink()
    assert bench.recover()
    assert bench.lines[0].startswith(
        "Resources that the state does not have are not searched for: the preview failed ("
    )
    assert "stack import" in bench.commands


def test_files_that_a_kill_left_half_written_are_removed_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{bench.folder}")
    (bench.folder / "Pulumi.yaml").write_text("name: azureml-scoring\n")
    stacks = bench.folder / ".pulumi" / "stacks" / "azureml-scoring"
    stacks.mkdir(parents=True)
    attributes = stacks / "dev.json.attrs"
    attributes.touch()
    assert not bench.recover(confirm=lambda _: False)
    assert bench.lines[1:] == [f"  remove   {attributes}", "Nothing was changed."]
    assert attributes.exists()
    assert bench.recover()
    assert not attributes.exists()
    assert "stack import" in bench.commands


@pytest.fixture
def entra(azure: Cloud, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """Entra as `recover` sees it."""
    for name, value in azure.environment.items():
        monkeypatch.setenv(name, value)
    cloud = find_cloud(os.environ)
    return Azure(Arm(cloud, find_credential(os.environ, cloud)))


def created(azure: Cloud, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """An object of Entra."""
    headers = {"Authorization": f"Bearer {azure.token(f'{azure.url}/graph')}"}
    reply = azure.http.post(f"/graph/v1.0/{kind}", json=body, headers=headers)
    assert reply.is_success, reply.text
    made: dict[str, Any] = reply.json()
    return made


def test_a_double_of_the_application_is_told_apart_from_one_that_is_used_elsewhere(azure: Cloud, entra: Azure) -> None:
    name = f"double-{uuid.uuid4()}"
    ours, orphan, used = (created(azure, "applications", {"displayName": name}) for _ in range(3))
    created(azure, "servicePrincipals", {"appId": used["appId"]})
    query = Query(application=name, known=frozenset({f"/applications/{ours['id']}"}))
    lines = {line.split(",")[0]: line for line in entra.doubles(query)}
    assert lines.keys() == {f"/applications/{orphan['id']}", f"/applications/{used['id']}"}
    assert f"`az ad app delete --id {orphan['id']}` deletes it" in lines[f"/applications/{orphan['id']}"]
    assert lines[f"/applications/{used['id']}"].endswith("so that it is in use elsewhere: leave it")


def test_a_lock_of_another_machine_is_for_the_user_to_judge() -> None:
    lock = Lock("me", "elsewhere", 1, "2026-01-01T00:00:00")
    assert not lock.is_alive
    assert str(lock).endswith("on another machine: make sure that it has ended")


def test_a_process_that_has_ended_holds_no_lock_though_its_parent_took_no_note(tmp_path: Path) -> None:
    program = shutil.copy(shutil.which("sleep") or "/bin/sleep", tmp_path / "pulumi-works")
    with subprocess.Popen(["sleep", "30"], executable=program) as running:
        lock = Lock("me", socket.gethostname(), running.pid, "2026-01-01T00:00:00")
        # A process gets its name a moment after it has begun.
        until(lambda: lock.is_alive, "the process", 20, 0.01)
        running.kill()
        # Like wait(), but the process stays in the list of processes.
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{running.pid}").exists()
        assert not lock.is_alive


def test_without_pulumi_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match=r"^pulumi is not on PATH"):
        bench.recover()
