"""How the Docker engine is reached."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from emulator.backends import docker_engine
from emulator.backends.containers import Containers, PullError
from emulator.core.errors import AzureError


def test_an_engine_that_does_not_answer_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(AzureError) as refused:
        docker_engine.demand()
    assert refused.value.status == 503
    assert "start it, then try again" in refused.value.message
    assert "\n" not in refused.value.message
    docker_engine.forget(["no/such:image"])


def test_the_engine_answers_again_once_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as away:
        away.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
        with pytest.raises(AzureError):
            docker_engine.demand()
    docker_engine.demand()


def test_the_cli_that_is_chosen_can_build_with_buildkit() -> None:
    told = subprocess.run(
        [docker_engine.cli(buildkit=True), "build", "--help"],
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--secret" in told.stdout


def test_credentials_lie_in_a_folder_that_goes_with_the_command() -> None:
    with docker_engine.environment({"localhost:5000": ("me", "hush")}) as variables:
        file = Path(variables["DOCKER_CONFIG"]) / "config.json"
        assert list(json.loads(file.read_text())["auths"]) == ["localhost:5000"]
        assert file.stat().st_mode & 0o077 == 0
        assert "hush" not in str(variables)
    assert not file.exists()


def test_an_image_that_nobody_has_cannot_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(PullError) as refused:
        Containers(tmp_path, lambda _: {}, lambda *_: None).pull("localhost:1/nothing:here", None)
    assert "\n" not in str(refused.value)
