"""How recovery goes on a backend that is no folder, and where it stops: the CLI is a script here, Azure in memory."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.pending import StateError
from azureml_scoring.delivery.recover import Azure, Lock, Plan, RecoverError, _recovered

from tests.provider.fake_azure import FakeAzure

STATES = Path(__file__).parent / "states"
SUBSCRIPTION = "5d0c5a8f-6a0e-4c5b-9d0e-0a4f3a2b1c00"
REGISTRIES = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/azureml-scoring-local/providers/Microsoft.ContainerRegistry"
ACR = f"{REGISTRIES}/registries/azuremlscoringlocalacr95fd4b"
PULUMI = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> said
case "$*" in
  *whoami*) echo '{"url": "https://api.pulumi.com/me"}' ;;
  *export*) cat state.json ;;
  *import*) cat > state.json ;;
  *cancel*) echo "error: [409] no update is running" >&2; exit 255 ;;
  *refresh*) sh ./refresh ;;
esac
"""


@dataclass
class Bench:
    """A project's folder, a script for the CLI, and an Azure in memory."""

    folder: Path
    azure: FakeAzure = field(default_factory=FakeAzure)
    told: list[str] = field(default_factory=list)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    @property
    def said(self) -> list[str]:
        """The commands of the CLI, without the options that all have."""
        lines = (self.folder / "said").read_text().splitlines()
        return [line.removeprefix("--non-interactive --color=never ").partition(" --stack")[0] for line in lines]

    def recover(self, agree: Callable[[Plan], bool] = lambda _: True) -> bool:
        return _recovered(self.folder, "dev", Azure(self.azure.arm()), agree, self.told.append, None, None)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    state = json.loads((STATES / "registry.json").read_text())
    pending = state["deployment"]["pending_operations"]
    pending[:] = [each for each in pending if each["resource"]["urn"].endswith("::scoring-registry")]
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "refresh").write_text("")
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
    assert "by `pulumi cancel`: make sure that nobody deploys this stack now" in "\n".join(bench.told)
    assert bench.said == [
        "stack export",
        "whoami --json",
        "cancel --yes",
        "stack export",
        "stack import",
        "refresh --yes --skip-preview --suppress-progress",
        "stack export",
    ]
    adopted = next(
        each for each in bench.state["deployment"]["resources"] if each["urn"].endswith("::scoring-registry")
    )
    assert adopted["id"] == ACR
    assert "pending_operations" not in bench.state["deployment"]


def test_who_says_no_changes_nothing(bench: Bench) -> None:
    before = bench.state
    assert not bench.recover(agree=lambda _: False)
    assert bench.state == before
    assert bench.said == ["stack export", "whoami --json"]
    assert not (bench.folder / ".local").exists()


def test_a_state_that_changes_meanwhile_stops_it(bench: Bench) -> None:
    def somebody_else(plan: Plan) -> bool:
        del plan
        state = bench.state
        state["deployment"]["resources"].pop()
        (bench.folder / "state.json").write_text(json.dumps(state))
        return True

    with pytest.raises(RecoverError, match=r"^stack dev: its state has changed meanwhile"):
        bench.recover(somebody_else)
    assert "stack import" not in bench.said


def test_a_refresh_that_fails_names_the_copy_and_can_be_gone_on_with(bench: Bench) -> None:
    (bench.folder / "refresh").write_text("echo 'error: no answer' >&2; exit 1")
    before = bench.state
    with pytest.raises(RecoverError, match=r"^pulumi refresh: no answer; the state as it was: (.+)$") as caught:
        bench.recover()
    copy = Path(str(caught.value).rpartition(": ")[2])
    assert json.loads(copy.read_text()) == before
    assert copy.stat().st_mode & 0o777 == 0o600

    (bench.folder / "refresh").write_text("")
    bench.told.clear()
    assert bench.recover()
    assert any("with scoring-registry from a recovery that did not end" in line for line in bench.told)


def test_what_azure_is_still_at_is_waited_for(bench: Bench) -> None:
    states = iter(["Creating", "Creating", "Succeeded"])
    bench.azure.on(
        "GET", ACR, lambda _: (200, {}, {"id": ACR, "properties": {"provisioningState": next(states, "Succeeded")}})
    )
    assert bench.recover()
    assert "Azure is still at it, which is waited for" in "\n".join(bench.told)
    assert next(states, None) is None


def test_what_azure_does_not_tell_is_left(bench: Bench) -> None:
    bench.azure.on("GET", ACR, lambda _: (403, {}, {"error": {"code": "AuthorizationFailed", "message": "no right"}}))
    before = bench.state
    assert not bench.recover()
    assert any("leave    scoring-registry (Registry): AuthorizationFailed: no right" in line for line in bench.told)
    assert bench.state == before


def test_where_no_copy_can_be_kept_nothing_is_done(bench: Bench) -> None:
    (bench.folder / ".local").write_text("a file")
    with pytest.raises(RecoverError, match=r"the state cannot be kept there \(.+\); say --copies FOLDER$"):
        bench.recover()
    assert bench.said == ["stack export", "whoami --json"]


def test_a_lock_of_another_machine_is_for_the_user_to_judge() -> None:
    lock = Lock("me", "elsewhere", 1, "2026-01-01T00:00:00")
    assert not lock.lives
    assert str(lock).endswith("elsewhere: make sure that it has ended")


def test_without_pulumi_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StateError, match=r"^pulumi is not on PATH"):
        bench.recover()
