"""How the Docker engine is reached."""

import json
import os
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

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


def test_names_are_listed_while_others_remove_images(monkeypatch: pytest.MonkeyPatch) -> None:
    class Api:
        def images(self) -> list[dict[str, list[str] | None]]:
            digest = f"localhost:5000/served@sha256:{'a' * 64}"
            return [
                {"RepoTags": ["localhost:5000/served:1"], "RepoDigests": [digest]},
                {"RepoTags": None, "RepoDigests": None},
            ]

    class Client:
        api = Api()

    monkeypatch.setattr(docker_engine, "connected", lambda: nullcontext(Client()))
    assert docker_engine.names_in("localhost:5000") == [
        "localhost:5000/served:1",
        f"localhost:5000/served@sha256:{'a' * 64}",
    ]


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


def test_the_images_of_a_registry_are_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        {"RepoTags": ["localhost:5000/a:1", "elsewhere/a:1"], "RepoDigests": None},
        {"RepoTags": None, "RepoDigests": ["localhost:5000/b@sha256:1"]},
    ]
    # Nothing more can be asked: another may have removed an image by then.
    client = SimpleNamespace(api=SimpleNamespace(images=lambda: listed))
    monkeypatch.setattr(docker_engine, "connected", lambda: nullcontext(client))
    assert docker_engine.names_in("localhost:5000") == ["localhost:5000/a:1", "localhost:5000/b@sha256:1"]


def test_an_image_that_nobody_has_cannot_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(PullError) as refused:
        Containers(tmp_path, lambda _: {}, lambda *_: None).pull("localhost:1/nothing:here", None)
    assert "\n" not in str(refused.value)
