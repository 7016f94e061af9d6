"""What stops in the middle tells one clear error, and the next `up` finishes the work."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.project import PATIENCE, LocalAzure, Project, until


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[LocalAzure]:
    local = LocalAzure(tmp_path / "azure").start()
    yield local
    local.stop()


@pytest.fixture
def project(tmp_path: Path, azure: LocalAzure) -> Project:
    return Project.copied(tmp_path / "copy", azure)


def test_a_local_azure_that_dies_during_the_build_is_told_in_one_line_and_the_next_up_finishes(
    project: Project, azure: LocalAzure
) -> None:
    azure.tell("fault", "build-delay", "600")
    running = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)
    until(lambda: azure.tell("stats")["uploads"] == 1, "the upload of the context")
    azure.kill()
    text, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode != 0
    assert "Traceback" not in text, text
    told = [line for line in text.splitlines() if "error:" in line]
    assert any("ImageBuild" in line or "connect" in line or "reach" in line for line in told), text

    azure.start()
    azure.tell("fault", "build-delay")
    mended = project.up()
    assert mended.code == 0, mended.text
    assert project.destroy().code == 0


def test_destroy_leaves_no_container_no_volume_and_no_document(project: Project, azure: LocalAzure) -> None:
    engine = docker.from_env()
    volumes = {volume.id for volume in engine.volumes.list()}
    run = project.up()
    assert run.code == 0, run.text
    endpoint = project.outputs()["scoringUri"]
    assert endpoint
    gone = project.destroy()
    assert gone.code == 0, gone.text
    label = str(azure.folder)
    left = [
        container.name
        for container in engine.containers.list(all=True, ignore_removed=True)
        if label in json.dumps(container.labels)
    ]
    assert left == []
    assert {volume.id for volume in engine.volumes.list()} - volumes == set()
    groups = azure.request(
        "GET", f"/subscriptions/{azure.environment['ARM_SUBSCRIPTION_ID']}/resourcegroups?api-version=2021-04-01"
    )
    assert groups.json()["value"] == []
    engine.close()


def test_an_up_that_is_interrupted_by_its_user_can_go_on(project: Project, azure: LocalAzure) -> None:
    azure.tell("fault", "build-delay", "600")
    running = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)
    until(lambda: azure.tell("stats")["uploads"] == 1, "the upload of the context")
    os.killpg(running.pid, signal.SIGINT)
    azure.tell("fault", "build-delay")
    running.communicate(timeout=PATIENCE)
    mended = project.up()
    assert mended.code == 0, mended.text
    assert project.destroy().code == 0
