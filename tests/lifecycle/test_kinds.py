"""One stack, first on managed machines with a count that Azure sets, then on Kubernetes, on the real engine."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import docker
import httpx
import pytest

from tests.conftest import PATIENCE, ROOT, Cloud
from tests.modes import QUICK, REPLY, answer, configure, kubernetes_cluster, served
from tests.project import LocalAzure, Project, polling, until

PROBES = {"livenessProbe": QUICK, "readinessProbe": QUICK}
BLUE = {
    "instanceType": "Standard_DS3_v2",
    "autoscale": {"min": 1, "max": 3},
    "egressPublicNetworkAccess": False,
    "dataCollector": {
        "collections": {
            "request": {"samplingRate": 0.5},
            "response": {"data": "azureml://datastores/workspaceblobstore/paths/replies"},
        }
    },
    **PROBES,
}
GREEN = {"instanceType": "Standard_NC4as_T4_v3", **PROBES}
ENDPOINT = {"traffic": {"blue": 90, "green": 10}, "diagnostics": {"logs": ["console", "traffic"]}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Iterator[Project]:
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    yield project
    gone = project.destroy()
    assert gone.code == 0, gone.text


def _write(project: Project, deployments: dict[str, Any], endpoint: dict[str, Any]) -> None:
    """Write the stack file. The workspace's own registry asks for nothing else."""
    registry = {"mode": "workspace"}
    configure(project, registry=registry, deployments=deployments, endpoint=endpoint, tags={"owner": "me"})


@pytest.fixture
def outputs(project: Project) -> dict[str, Any]:
    """What the stack tells, taken up on managed machines."""
    file = project.folder / f"Pulumi.{project.stack}.yaml"
    before = file.read_text()
    _write(project, {"blue": BLUE, "green": GREEN}, ENDPOINT)
    if file.read_text() != before:
        run = project.up()
        assert run.code == 0, run.text
    return project.outputs()


def _deployment(outputs: dict[str, Any], cloud: Cloud, name: str = "blue") -> dict[str, Any]:
    found: dict[str, Any] = cloud.ask("GET", _id(outputs, name)).json()
    return found


def _endpoint(outputs: dict[str, Any]) -> str:
    return f"{outputs['workspaceId']}/onlineEndpoints/{outputs['endpointName']}"


def _id(outputs: dict[str, Any], name: str = "blue") -> str:
    return f"{_endpoint(outputs)}/deployments/{name}"


def _containers(cloud: Cloud) -> list[Any]:
    client = docker.from_env()
    try:
        found: list[Any] = client.containers.list(filters={"label": f"azureml-scoring.state={cloud.folder.resolve()}"})
    finally:
        client.close()
    return found


def test_two_deployments_answer_by_their_shares_with_what_was_set(outputs: dict[str, Any], cloud: Cloud) -> None:
    headers = {"Authorization": f"Bearer {outputs['endpointKey']}"}
    with httpx.Client(headers=headers, timeout=PATIENCE, trust_env=False) as client:
        replies = [client.post(outputs["scoringUri"], json={}) for _ in range(20)]
    assert [reply.json() for reply in replies] == [REPLY] * 20
    assert Counter(reply.headers["azureml-model-deployment"] for reply in replies) == {"blue": 18, "green": 2}
    blue = _deployment(outputs, cloud)
    assert blue["properties"]["egressPublicNetworkAccess"] == "Disabled"
    assert blue["properties"]["dataCollector"]["collections"]["request"]["samplingRate"] == 0.5
    assert blue["tags"]["owner"] == "me"
    assert len(list(cloud.folder.glob("storage/*/*/replies/2*/*/*/*/local.jsonl*"))) == 1
    told = cloud.tell("logs", _id(outputs, "green"))
    assert told.startswith("local Azure: Standard_NC4as_T4_v3 has GPUs, this machine's Docker has none")
    setting = f"{_endpoint(outputs)}/providers/Microsoft.Insights/diagnosticSettings/scoring"
    assert cloud.ask("GET", setting).json()["properties"]["workspaceId"].endswith("-logs")


def test_neither_up_nor_refresh_nor_an_update_takes_back_the_count_that_azure_monitor_sets(
    project: Project, outputs: dict[str, Any], cloud: Cloud
) -> None:
    assert _deployment(outputs, cloud)["sku"]["capacity"] == 1
    # This is what Azure Monitor does, as the docs show it.
    scaled = subprocess.run(
        ["bash", "-e", ROOT / "docs/samples/autoscale.sh"],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert scaled.returncode == 0, scaled.stderr
    until(lambda: _deployment(outputs, cloud)["properties"]["provisioningState"] == "Succeeded", "the new count")
    project.azure.tell("reset-stats")
    run = project.up("--refresh", "--expect-no-changes")
    assert run.code == 0, run.text
    assert project.azure.tell("stats")["writes"] == {}
    changed = {**BLUE, "environmentVariables": {"LOG_LEVEL": "debug"}}
    endpoint = {**ENDPOINT, "traffic": {"blue": 100, "green": 0}}
    _write(project, {"blue": changed, "green": GREEN}, endpoint)
    with polling(outputs["scoringUri"], outputs["endpointKey"], {}) as failed:
        run = project.up()
        assert run.code == 0, run.text
    assert failed == []
    blue = _deployment(outputs, cloud)
    assert blue["properties"]["environmentVariables"]["LOG_LEVEL"] == "debug"
    assert blue["sku"]["capacity"] == 2


@pytest.mark.usefixtures("outputs")
def test_the_stack_moves_to_a_cluster_and_its_containers_keep_to_their_share(project: Project, cloud: Cloud) -> None:
    cluster = kubernetes_cluster(cloud)
    blue = {
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
        "scale": {"minInstances": 1, "maxInstances": 2},
        **PROBES,
    }
    endpoint = {"kind": "kubernetes", "compute": "aks", "cluster": {"id": cluster}, "auth": "aml-token"}
    _write(project, {"blue": blue}, endpoint)
    run = project.up()
    assert run.code == 0, run.text
    outputs = project.outputs()
    parent = _endpoint(outputs)
    token = cloud.ask("POST", f"{parent}/token").json()["accessToken"]
    assert answer({**outputs, "endpointKey": token}) == REPLY
    assert cloud.ask("GET", parent).json()["kind"] == "Kubernetes"
    (container,) = _containers(cloud)
    limits = container.attrs["HostConfig"]
    assert (limits["NanoCpus"], limits["Memory"]) == (500_000_000, 256 * 1024**2)
