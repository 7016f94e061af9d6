"""Stacks by the Automation API: progress and reasons from engine events, stack files and states by the real CLI."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from azureml_scoring.delivery.engine import (
    EngineError,
    LockedError,
    Progress,
    PulumiStack,
    config_of,
    reason_of,
    selected_stack,
)
from pulumi.automation.events import EngineEvent

from tests.project import until
from tools import azure

URN = "urn:pulumi:dev::azureml-scoring::azureml-scoring:index:ScoringStack$azureml-scoring:index:{}::{}"
SECRET = "s3cret-in-a-debug-message"
FAILURE = "endpoint scoring: the shift to green 100 % failed, restored blue 100 %: deployment green answers nothing"


def said(kind: str, name: str, text: str, severity: str = "info", *, ephemeral: bool = False) -> EngineEvent:
    message = {"urn": URN.format(kind, name), "message": f"<{{%reset%}}>{text}<{{%reset%}}>\n", "severity": severity}
    return EngineEvent.from_json({"diagnosticEvent": {**message, "color": "raw", "ephemeral": ephemeral}})


def done(kind: str, name: str, op: str) -> EngineEvent:
    metadata = {"op": op, "urn": URN.format(kind, name), "type": f"azureml-scoring:index:{kind}"}
    return EngineEvent.from_json({"resOutputsEvent": {"metadata": metadata}})


def progress_of(*events: EngineEvent) -> tuple[list[str], str]:
    """What is logged, and the reason of a failure."""
    lines: list[str] = []
    progress = Progress(lines.append)
    for event in events:
        progress(event)
    return [line.strip() for line in lines], progress.reason


def test_progress_is_each_message_once_and_each_step_that_is_done() -> None:
    lines, reason = progress_of(
        said("ImageBuild", "scoring-build", "run ca2 builds served:55b4", ephemeral=True),
        said("ImageBuild", "scoring-build", "run ca2 builds served:55b4", ephemeral=True),
        said("OnlineDeployment", "scoring-green", "Creating"),
        said("ImageBuild", "scoring-build", "two lines:\nthe second", "warning"),
        done("ImageBuild", "scoring-build", "update"),
        done("EnvironmentVersion", "scoring-blue-environment", "create-replacement"),
        done("OnlineEndpoint", "scoring-endpoint", "same"),
        done("OnlineDeployment", "scoring-green", "create"),
    )
    assert lines == [
        "scoring-build: run ca2 builds served:55b4",
        "scoring-green: Creating",
        "scoring-build: warning: two lines:",
        "scoring-build: ImageBuild updated",
        "scoring-green: OnlineDeployment created",
    ]
    assert reason == ""


def test_debug_messages_which_hold_secret_outputs_are_not_shown() -> None:
    assert progress_of(said("OnlineEndpoint", "scoring-endpoint", SECRET, "debug")) == ([], "")


def test_an_update_fails_for_its_informative_error() -> None:
    stack_failed = said("Stack", "azureml-scoring-dev", "update failed", "error")
    assert progress_of(stack_failed, said("EndpointTraffic", "scoring-traffic", FAILURE, "error"))[1] == FAILURE
    assert progress_of(stack_failed)[1] == "update failed"


def test_a_program_that_refuses_its_settings_is_the_reason() -> None:
    refused = said("Stack", "azureml-scoring-dev", "error: scoring:location is missing\n", "info#err")
    crashed = said("Stack", "azureml-scoring-dev", "an unhandled error occurred: exit code 1", "error")
    assert progress_of(refused, crashed)[1] == "scoring:location is missing"


def test_a_crash_of_the_program_is_told_by_the_last_line_of_its_traceback() -> None:
    trace = "Program failed with an unhandled exception:\nTraceback (most recent call last):\nKeyError: 'blue'\n"
    assert progress_of(said("Stack", "azureml-scoring-dev", trace, "error"))[1] == "KeyError: 'blue'"


def test_a_mandatory_policy_is_the_reason_and_an_advisory_one_is_not() -> None:
    def violated(level: str) -> EngineEvent:
        policy = {"policyName": "no-latest", "message": "image is\n:latest", "enforcementLevel": level}
        return EngineEvent.from_json({"policyEvent": policy})

    failed = said("Stack", "azureml-scoring-dev", "update failed", "error")
    assert progress_of(failed, violated("mandatory"))[1] == "no-latest: image is :latest"
    assert progress_of(violated("advisory"))[1] == ""


def test_a_command_that_fails_without_events_is_quoted() -> None:
    assert reason_of("\n code: 255\n stdout: \n stderr: error: no stack named 'dev' found") == (
        "no stack named 'dev' found"
    )
    assert reason_of("killed\n") == "killed"
    assert reason_of("") == "no output"


def test_a_stack_files_secrets_stay_hidden() -> None:
    text = {
        "encryptionsalt": "v1:…",
        "config": {
            "scoring:location": "westeurope",
            "scoring:registry": {"mode": "private", "password": {"secure": "v1:abc"}},
            "azure-native:location": "elsewhere",
        },
    }
    assert config_of(text) == {"location": "westeurope", "registry": {"mode": "private", "password": "[hidden]"}}


PROGRAM = """# ours
name: azureml-scoring
runtime: yaml
outputs:
  token:
    fn::secret: s3cret
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose stack `dev` has a build's secret, encrypted by the real CLI; `other` is selected."""
    (tmp_path / "Pulumi.yaml").write_text(PROGRAM)
    (tmp_path / "state").mkdir()
    local = {**azure.local_pulumi(tmp_path), "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}"}
    for name, value in local.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  scoring:image:\n    context: app # ours\n")
    for words in (
        ["stack", "init", "dev"],
        ["config", "set", "--secret", "--path", "scoring:image.buildSecrets.TOKEN", "s3cret"],
        ["stack", "init", "other"],
    ):
        subprocess.run(["pulumi", *words], cwd=tmp_path, env=os.environ, check=True, capture_output=True)
    yield tmp_path
    assert (tmp_path / "Pulumi.yaml").read_text() == PROGRAM, "project settings are the user's"


def test_what_is_encrypted_beside_a_written_field_stays_encrypted(project: Path) -> None:
    stack, file = PulumiStack(project, "dev"), project / "Pulumi.dev.yaml"
    before = yaml.safe_load(file.read_text())["config"]["scoring:image"]
    stack.configure({"image.promote": "host/app@sha256:1", "endpoint": {"traffic": {"blue": 100}}})
    config = yaml.safe_load(file.read_text())["config"]
    assert config["scoring:image"] == {**before, "promote": "host/app@sha256:1"}
    assert config["scoring:endpoint"] == {"traffic": {"blue": 100}}
    assert "# ours" in file.read_text()
    stack.configure({"image.promote": None})
    assert yaml.safe_load(file.read_text())["config"]["scoring:image"] == before
    assert selected_stack(project) == "other", "the user's selection is the user's"


def test_a_section_with_an_encrypted_value_is_not_written_over(project: Path) -> None:
    before = (project / "Pulumi.dev.yaml").read_text()
    with pytest.raises(EngineError, match="scoring:endpoint of stack dev has an encrypted value"):
        PulumiStack(project, "dev").configure({"image.promote": "x", "endpoint": {"smokeTest": {"token": "[hidden]"}}})
    assert (project / "Pulumi.dev.yaml").read_text() == before


def test_a_state_goes_out_and_in_with_its_secrets_encrypted(project: Path) -> None:
    stack = PulumiStack(project, "dev")
    urn = "urn:pulumi:dev::azureml-scoring::pulumi:pulumi:Stack::azureml-scoring-dev"
    sealed = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"s3cret"'}
    resource = {"urn": urn, "type": "pulumi:pulumi:Stack", "custom": False, "outputs": {"token": sealed}}
    empty = stack.export()
    stack.import_({**empty, "deployment": {**empty["deployment"], "resources": [resource]}})
    exported = stack.export()
    assert [each["urn"] for each in exported["deployment"]["resources"]] == [urn]
    assert "ciphertext" in json.dumps(exported)
    assert "s3cret" not in json.dumps(exported)


def test_files_that_a_kill_leaves_half_written_are_known_and_the_state_can_be_read_without_them(project: Path) -> None:
    stack, backend = PulumiStack(project, "dev"), project / "state" / ".pulumi"
    whole = stack.export()
    assert stack.half_written() == ()
    attributes = backend / "stacks" / "azureml-scoring" / "dev.json.attrs"
    attributes.write_text("")
    history = backend / "history" / "azureml-scoring" / "dev" / "dev-1.history.json.attrs"
    lock = backend / "locks" / "organization" / "azureml-scoring" / "dev" / "1.json.18a5.tmp"
    others = [backend / "stacks" / "azureml-scoring" / name for name in ("other.json.attrs", "developer.json.attrs")]
    for file in (history, lock, *others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    with pytest.raises(EngineError, match="failed to load checkpoint: EOF; a killed run left a file half written"):
        stack.export()
    assert set(stack.half_written()) == {attributes, history, lock}
    for file in stack.half_written():
        file.unlink()
    assert stack.export() == whole


def test_a_stack_that_a_kill_left_unreadable_need_not_be_named(project: Path) -> None:
    states = project / "state" / ".pulumi" / "stacks" / "azureml-scoring"
    kept = {name: (states / f"{name}.json.attrs").read_text() for name in ("dev", "other")}
    (states / "dev.json.attrs").write_text("")
    assert selected_stack(project) == "dev", "the CLI cannot say which one is selected, and this one is in its way"
    (states / "other.json.attrs").write_text("")
    with pytest.raises(EngineError, match="left the states of dev, other half written; name one"):
        selected_stack(project)
    for name, text in kept.items():
        (states / f"{name}.json.attrs").write_text(text)
    assert selected_stack(project) == "other"


def test_what_the_cli_refuses_is_one_line(project: Path) -> None:
    with pytest.raises(EngineError, match=r"^no stack named 'missing' found$"):
        PulumiStack(project, "missing").export()


def test_an_event_that_cannot_be_read_is_not_printed(project: Path) -> None:
    selected_stack(project)
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn(f"Failed to parse engine event\nEvent: {SECRET}\n", stacklevel=1)
    assert caught == []


ENGINE = """#!/bin/sh
case "$*" in
  version) echo v3.259.0 ;;
  *refresh*)
    trap 'sleep 1; touch cancelled; exit 1' INT
    touch started
    while true; do sleep 0.1; done ;;
esac
"""
REFRESH = """from pathlib import Path
from azureml_scoring.delivery.engine import PulumiStack
PulumiStack(Path.cwd(), "dev").refresh()
"""


def test_a_stack_that_another_run_holds_is_told_from_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pulumi").write_text(
        """#!/bin/sh
[ "$*" = version ] && { echo v3.259.0; exit; }
echo "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end" >&2; exit 255
"""
    )
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(LockedError, match=r"^another run holds the stack"):
        PulumiStack(tmp_path, "dev").up()


def test_an_interrupt_reaches_the_engine_which_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "pulumi").write_text(ENGINE)
    (tmp_path / "pulumi").chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-c", REFRESH]
    with subprocess.Popen(command, cwd=tmp_path, env=variables, start_new_session=True) as process:
        until((tmp_path / "started").exists, "the engine to start")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
        assert (tmp_path / "cancelled").exists()
