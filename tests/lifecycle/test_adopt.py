"""An endpoint that others have made comes into a stack: nothing is written, and a later change disturbs no client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_scoring.plan.content import asset_files, asset_key
from azureml_scoring.provider.arm import connect
from azureml_scoring.provider.asset_version import CodeVersion, ModelVersion
from azureml_scoring.provider.framework import Context

from tests.project import LocalAzure, Project, Run, polling
from tests.samples import is_printed
from tests.scoring import Endpoint, stage

pytestmark = pytest.mark.slow

NO_WRITE = {"writes": {}, "builds": 0, "uploads": 0}
DEPLOYMENTS = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Iterator[Endpoint]:
    """What others have made: two deployments of a registered environment; blue has model and code, and all traffic."""
    with stage(azure.cloud) as made, made.endpoint(identity={"type": "SystemAssigned"}) as live:
        registered = _register(made.workspace, tmp_path_factory.mktemp("assets"), azure)
        for name, more in (("blue", registered), ("green", {})):
            done = live.deploy(name, description=f"the {name} one", variables={"LEVEL": "info"}, **more)
            assert done["status"] == "Succeeded", done
        live.send({"blue": 100, "green": 0}, description="made by hand")
        yield live


def _register(workspace: str, folder: Path, azure: LocalAzure) -> dict[str, Any]:
    """Register a model and code; what a deployment says of them."""
    ids = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in azure.environment.items():
            patch.setenv(name, value)
        for kind in (ModelVersion, CodeVersion):
            files = folder / kind.name
            files.mkdir()
            (files / "score.py").write_text("def init(): ...\n")
            inputs = {"workspaceId": workspace, "assetName": "iris", "version": "1", "path": str(files)}
            inputs["contentKey"] = asset_key(asset_files(files))
            ids.append(kind().create(Context("", preview=False, log=print, connect=connect), inputs)[0])
    return {"model": ids[0], "codeConfiguration": {"codeId": ids[1], "scoringScript": "score.py"}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    copied = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
    return Project(copied.folder, azure, "iris")


@pytest.fixture(scope="module")
def adopted(project: Project, endpoint: Endpoint) -> Run:
    project.azure.tell("reset-stats")
    return project.delivery("adopt", endpoint.id, "--stack", project.stack)


def test_what_is_adopted_is_in_the_state_and_nothing_is_written(project: Project, adopted: Run) -> None:
    assert adopted.code == 0, adopted.text
    assert project.azure.tell("stats") == NO_WRITE
    assert is_printed("adopt.txt", adopted.text)
    run = project.up()
    assert run.code == 0, run.text
    assert project.azure.tell("stats") == NO_WRITE
    again = project.up("--refresh", "--expect-no-changes")
    assert again.code == 0, again.text


def test_adopting_once_more_changes_nothing(project: Project, adopted: Run, endpoint: Endpoint) -> None:
    assert adopted.code == 0, adopted.text
    before = project.state()["deployment"]["resources"]
    again = project.delivery("adopt", endpoint.id, "--stack", project.stack)
    assert again.code == 0, again.text
    assert project.state()["deployment"]["resources"] == before


def test_a_change_of_what_is_adopted_is_one_write_and_no_request_fails(
    project: Project, adopted: Run, endpoint: Endpoint
) -> None:
    assert adopted.code == 0, adopted.text
    _edit(project, "blue", instanceCount=2)
    project.azure.tell("reset-stats")
    with polling(endpoint.uri, endpoint.keys["primaryKey"], {}) as failed:
        run = project.up()
    assert run.code == 0, run.text
    assert failed == []
    assert project.azure.tell("stats") == {**NO_WRITE, "writes": {DEPLOYMENTS: 1}}
    blue = project.azure.cloud.ask("GET", f"{endpoint.id}/deployments/blue").json()
    assert blue["sku"]["capacity"] == 2
    assert blue["properties"]["description"] == "the blue one"


def _edit(project: Project, deployment: str, **settings: Any) -> None:  # noqa: ANN401 - YAML
    file = project.folder / f"Pulumi.{project.stack}.yaml"
    stack = yaml.safe_load(file.read_text())
    stack["config"]["scoring:deployments"][deployment] |= settings
    file.write_text(yaml.safe_dump(stack))
