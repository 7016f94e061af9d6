"""An endpoint that others have made comes into a stack: nothing is written, and a later change disturbs no client."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_scoring.plan.content import asset_files, asset_key
from azureml_scoring.provider.arm import connect
from azureml_scoring.provider.asset_version import CodeVersion, ModelVersion
from azureml_scoring.provider.framework import Context

from tests.clients.clients import VENV
from tests.modes import kubernetes_cluster
from tests.project import PATIENCE, ROOT, LocalAzure, Project, Run, polling
from tests.registries import PULL, STORAGE_READER, assign
from tests.samples import is_printed
from tests.scoring import Endpoint, Stage, stage

pytestmark = pytest.mark.slow

MAKER = ROOT / "tests/clients/endpoint.py"
KUBERNETES = {"endpointComputeType": "Kubernetes", "instanceType": "small"}
KUBERNETES_BLUE = {
    **KUBERNETES,
    "containerResourceRequirements": {
        "containerResourceRequests": {"cpu": "100m", "memory": "128Mi"},
        "containerResourceLimits": {"cpu": "500m", "memory": "256Mi"},
    },
}
KUBERNETES_GREEN = {**KUBERNETES, "scaleSettings": {"scaleType": "TargetUtilization", "maxInstances": 2}}
NO_WRITE = {"writes": {}, "builds": 0, "uploads": 0}
DEPLOYMENTS = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments"


@pytest.fixture(
    scope="module",
    params=[
        "requests",
        "kubernetes",
        pytest.param("azure-ai-ml", marks=pytest.mark.skipif(not VENV, reason="`make clients` installs azure-ai-ml")),
    ],
)
def endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure
) -> Iterator[Endpoint]:
    """What others have made: two deployments of a registered environment; blue has model and code, and all traffic."""
    folder = tmp_path_factory.mktemp("assets")
    with stage(azure.cloud) as made:
        registered = _register(made.workspace, folder, azure)
        if request.param == "azure-ai-ml":
            yield _made_by_the_sdk(made, registered, folder)
            return
        on_cluster = request.param == "kubernetes"
        place = {"compute": _attached(made)} if on_cluster else {}
        blue, green = (KUBERNETES_BLUE, KUBERNETES_GREEN) if on_cluster else ({}, {})
        with made.endpoint(identity={"type": "SystemAssigned"}, **place) as live:
            for name, more in (("blue", {**registered, **blue}), ("green", green)):
                done = live.deploy(name, description=f"the {name} one", variables={"LEVEL": "info"}, **more)
                assert done["status"] == "Succeeded", done
            live.send({"blue": 100, "green": 0}, description="made by hand", **place)
            yield live


def _attached(made: Stage) -> str:
    """Attach a cluster to the workspace; the compute's id."""
    compute = f"{made.workspace}/computes/aks"
    attachment: dict[str, Any] = {"computeType": "Kubernetes", "resourceId": kubernetes_cluster(made.cloud)}
    small = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    attachment["properties"] = {"namespace": "scoring", "instanceTypes": {"small": small}}
    made.cloud.put(compute, {"location": "westeurope", "properties": attachment})
    return compute


def _made_by_the_sdk(made: Stage, registered: dict[str, Any], folder: Path) -> Endpoint:
    """Let azure-ai-ml make the same."""
    code = registered["codeConfiguration"]
    assets = {
        "model": registered["model"],
        "code": {"code": code["codeId"], "scoring_script": code["scoringScript"]},
        "collected": ["request"],
    }
    machine = {"environment": made.environment, "instance_type": "Standard_DS3_v2", "instance_count": 1}
    deployments = [
        {"name": name, "description": f"the {name} one", **machine, **more}
        for name, more in (("blue", assets), ("green", {}))
    ]
    name = f"sdk-{uuid.uuid4().hex[:8]}"
    file = folder / "wanted.json"
    file.write_text(json.dumps({"workspace": made.workspace, "endpoint": name, "deployments": deployments}))
    done = subprocess.run(
        [f"{VENV}/bin/python", MAKER, file],
        env={**os.environ, **made.cloud.environment, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    id_ = f"{made.workspace}/onlineEndpoints/{name}"
    return Endpoint(made, id_, made.cloud.ask("GET", id_).json()["properties"]["scoringUri"])


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
            inputs["contentKey"] = asset_key(files, asset_files(files))
            ids.append(kind().create(Context("", preview=False, log=print, connect=connect), inputs)[0])
    return {"model": ids[0], "codeConfiguration": {"codeId": ids[1], "scoringScript": "score.py"}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure, endpoint: Endpoint) -> Project:
    del endpoint  # each has a project of its own
    copied = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
    return Project(copied.folder, azure, "iris")


@pytest.fixture(scope="module")
def adopted(project: Project, endpoint: Endpoint) -> Run:
    project.azure.tell("reset-stats")
    run = project.delivery("adopt", endpoint.id, "--stack", project.stack)
    assert project.azure.tell("stats") == NO_WRITE, "something was changed on Azure"
    return run


def test_what_is_adopted_is_in_the_state_and_the_first_up_writes_nothing(project: Project, adopted: Run) -> None:
    assert adopted.code == 0, adopted.text
    assert is_printed("adopt.txt", adopted.text)
    project.azure.tell("reset-stats")
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


def test_roles_that_a_user_assigned_identity_has_are_recorded_by_the_first_up_and_not_written(
    tmp_path: Path, azure: LocalAzure
) -> None:
    cloud, project = azure.cloud, Project(Project.copied(tmp_path / "copy", azure).folder, azure, "shared")
    with stage(cloud) as made:
        group = made.workspace.partition("/providers/")[0]
        identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shared"
        principal = cloud.put(identity, {"location": "westeurope"})["properties"]["principalId"]
        assign(cloud, made.registry.id, principal, PULL)
        assign(cloud, group, principal, STORAGE_READER)
        with made.endpoint({"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}) as live:
            assert live.deploy()["status"] == "Succeeded"
            document = cloud.ask("GET", live.id).json()
            cloud.put(live.id, {**document, "properties": {**document["properties"], "traffic": {"blue": 100}}})
            adopted = project.delivery("adopt", live.id, "--stack", project.stack)
            roles = [f"  differs  create scoring-identity-{scope}-role" for scope in ("registry", "storage")]
            assert [line for line in adopted.text.splitlines() if line.startswith("  differs")] == roles, adopted.text
            assert adopted.code == 1
            azure.tell("reset-stats")
            run = project.up()
            assert run.code == 0, run.text
            assert azure.tell("stats") == NO_WRITE


def _edit(project: Project, deployment: str, **settings: Any) -> None:  # noqa: ANN401 - YAML
    file = project.folder / f"Pulumi.{project.stack}.yaml"
    stack = yaml.safe_load(file.read_text())
    stack["config"]["scoring:deployments"][deployment] |= settings
    file.write_text(yaml.safe_dump(stack))
