"""What a rollout leaves alone, without an engine: the lifecycle tests show the rest."""

from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.engine import LockedError, PulumiStack
from azureml_scoring.delivery.rollout import Rollout
from azureml_scoring.errors import ExitCode

STACK_FILE = """config:
  scoring:location: westeurope
  scoring:registry: {mode: workspace}
  scoring:image: {context: app, repository: served}
  scoring:deployments: {blue: {instanceType: Standard_DS3_v2}}
"""
OWN = "azureml-scoring:index"
STATE = [
    {"type": f"{OWN}:EnvironmentVersion", "id": "/env/1", "created": "2026", "outputs": {"image": "acr/x@sha256:1"}},
    {"type": f"{OWN}:OnlineEndpoint", "id": "/endpoint"},
    {"type": f"{OWN}:OnlineDeployment", "outputs": {"deploymentName": "blue", "environmentId": "/env/1"}},
    {"type": f"{OWN}:EndpointTraffic", "outputs": {"traffic": {"blue": 100}}},
]


def test_a_stack_that_another_run_holds_is_no_failure_of_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM python:3.12-slim\nCMD python3\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK_FILE)
    written: list[dict[str, Any]] = []

    def locked(_stack: PulumiStack) -> None:
        raise LockedError("another run holds the stack")

    monkeypatch.setattr(PulumiStack, "export", lambda _: {"deployment": {"resources": STATE}})
    monkeypatch.setattr(PulumiStack, "locks", lambda _: ())
    monkeypatch.setattr(PulumiStack, "configure", lambda _, changes: written.append(changes))
    monkeypatch.setattr(PulumiStack, "up", locked)
    lines: list[str] = []
    assert Rollout(tmp_path, lines.append).roll(["dev"]) is ExitCode.LOCKED
    assert len(written) == 1, "nothing is undone"
    assert "error: dev: another run holds the stack" in lines
    assert lines[-1].split()[2:5] == ["green", "is", "locked"]
