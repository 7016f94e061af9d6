"""What stops in the middle tells one clear error, and the next `up` finishes the work.

One stack for all: each test changes the image, so that there is a build to stop.
"""

import json
import os
import signal
import uuid
from collections.abc import Iterator

import docker
import pytest

from tests.modes import DOCKERFILE, REPLY, answer, configure, served
from tests.project import PATIENCE, LocalAzure, Project, Run, until
from tests.relay import Relay

# Another text each time: the engine would have the step in its cache.
SLOW = DOCKERFILE.replace("CMD", f"RUN echo slow step begins {uuid.uuid4()} && sleep 15\nCMD")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay.of_docker(tmp_path_factory.mktemp("docker") / "engine.sock").begin()
    yield relay
    relay.cut()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory, engine: Relay) -> Iterator[LocalAzure]:
    with LocalAzure(tmp_path_factory.mktemp("azure"), extra={"DOCKER_HOST": engine.address}) as local:
        yield local


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    configure(project)
    return project


@pytest.fixture
def change(project: Project, azure: LocalAzure, request: pytest.FixtureRequest) -> None:
    """Something to build, and no build counted yet."""
    (project.folder / "app" / "change.txt").write_text(request.node.name)
    azure.tell("reset-stats")


def _in_one_line(run: Run) -> list[str]:
    """The errors of a run that failed, none of them with a traceback."""
    assert run.code != 0, run.text
    assert "Traceback" not in run.text, run.text
    return [line for line in run.errors if "ImageBuild" in line]


@pytest.mark.usefixtures("change")
def test_a_local_azure_that_dies_during_the_build_is_told_in_one_line_and_the_next_up_finishes(
    project: Project, azure: LocalAzure
) -> None:
    azure.tell("fault", "build-delay", "600")
    running = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)
    until(lambda: azure.tell("stats")["uploads"] == 1, "the upload of the context")
    azure.kill()
    text, _ = running.communicate(timeout=PATIENCE)
    assert _in_one_line(Run(running.returncode, text)), text

    azure.start()
    azure.tell("fault", "build-delay")
    mended = project.up()
    assert mended.code == 0, mended.text
    assert answer(project.outputs()) == REPLY


@pytest.mark.usefixtures("change")
def test_a_docker_engine_that_stops_during_the_build_is_told_in_one_line_and_the_next_up_finishes(
    project: Project, azure: LocalAzure, engine: Relay
) -> None:
    (project.folder / "app" / "Dockerfile").write_text(SLOW)
    running = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)
    logs = azure.folder / "blobs" / "runlogs"
    until(lambda: any("slow step begins" in file.read_text() for file in logs.rglob("rawtext.log")), "the slow step")
    engine.cut()
    text, _ = running.communicate(timeout=PATIENCE)
    assert _in_one_line(Run(running.returncode, text)), text

    engine.begin()
    mended = project.up()
    assert mended.code == 0, mended.text
    assert answer(project.outputs()) == REPLY


@pytest.mark.usefixtures("change")
def test_an_up_that_is_interrupted_by_its_user_can_go_on(project: Project, azure: LocalAzure) -> None:
    azure.tell("fault", "build-delay", "600")
    running = project.begin("up", "--yes", "--skip-preview", "--stack", project.stack)
    until(lambda: azure.tell("stats")["uploads"] == 1, "the upload of the context")
    os.killpg(running.pid, signal.SIGINT)
    azure.tell("fault", "build-delay")
    running.communicate(timeout=PATIENCE)
    mended = project.up()
    assert mended.code == 0, mended.text


def test_destroy_leaves_no_container_no_volume_and_no_document(project: Project, azure: LocalAzure) -> None:
    client = docker.from_env()
    volumes = {volume.id for volume in client.volumes.list()}
    run = project.up()
    assert run.code == 0, run.text
    gone = project.destroy()
    assert gone.code == 0, gone.text
    label = str(azure.folder)
    left = [
        container.name
        for container in client.containers.list(all=True, ignore_removed=True)
        if label in json.dumps(container.labels)
    ]
    assert left == []
    assert {volume.id for volume in client.volumes.list()} - volumes == set()
    client.close()
    groups = azure.cloud.ask("GET", f"{azure.cloud.subscription}/resourcegroups")
    assert groups.json()["value"] == []
