"""Deployments of a running local Azure: real pulls, real containers."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import docker
import httpx
import pytest
from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

from tests.conftest import PATIENCE, ROOT, Cloud
from tests.modes import registry_of_its_own
from tests.registries import PULL, STORAGE_READER, assign
from tests.scoring import Endpoint, Stage, make_image, push, stage, until


@pytest.fixture(scope="module")
def scene(azure: Cloud) -> Iterator[Stage]:
    with stage(azure) as made:
        yield made


def _containers(found: Endpoint, name: str = "blue") -> list[dict[str, Any]]:
    key = f"{found.id}/deployments/{name}".lower()
    return [each for each in found.stage.containers if each["Labels"]["azureml-scoring.deployment"] == key]


def _error(told: dict[str, Any]) -> str:
    assert told["status"] == "Failed", told
    text = f"{told['error']['code']}: {told['error']['message']}"
    assert "\n" not in text
    return text


def test_a_deployment_answers_once_traffic_is_sent_to_it_and_leaves_nothing(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        assert endpoint.score().status_code == 404
        assert endpoint.deploy()["status"] == "Succeeded"
        assert endpoint.score().status_code == 404
        assert endpoint.send({"blue": 100}).status_code == 200
        answer = endpoint.score({"x": 1})
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"] == "blue"
        assert answer.json()["asked"] == {"x": 1}
        assert answer.headers["azureml-model-deployment"] == "blue"
        told = scene.cloud.ask("POST", f"{endpoint.id}/deployments/blue/getLogs", {"tail": 5}).json()
        assert told["content"].startswith("scorer starts")
        logs = f"{endpoint.id}/deployments/blue/getLogs"
        assert scene.cloud.ask("POST", logs, {"containerType": "StorageInitializer"}).json() == {"content": ""}
        assert scene.cloud.ask("POST", logs, {"containerType": "Other"}).status_code == 400
        assert scene.cloud.tell("logs", f"{endpoint.id}/deployments/blue").startswith("scorer starts")
    assert not _containers(endpoint)


def test_a_pull_without_the_role_fails_and_names_principal_and_role(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        cloud = scene.cloud
        own = cloud.ask("GET", endpoint.id).json()["identity"]["principalId"]
        assignments = f"{scene.registry.id}/providers/Microsoft.Authorization/roleAssignments"
        held = [
            each for each in cloud.ask("GET", assignments).json()["value"] if each["properties"]["principalId"] == own
        ]
        assert len(held) == 1, "Azure ML lets the endpoint's own identity read the workspace's registry"
        assert cloud.ask("DELETE", held[0]["id"]).is_success
        text = _error(endpoint.deploy())
        assert text.startswith("BadArgument: Endpoint identity does not have pull permission on the registry.")
        for part in (own, "Deployment 'blue'", "lacks role 'AcrPull'", scene.registry.id):
            assert part in text
        refused = endpoint.ask_deploy()
        assert refused.status_code == 400
        assert "unrecoverable state. Delete and re-create." in refused.text
        cloud.finish(cloud.ask("DELETE", f"{endpoint.id}/deployments/blue"))
        assign(cloud, scene.registry.id, own, PULL)
        assert endpoint.deploy()["status"] == "Succeeded"


def test_a_user_assigned_identity_needs_a_role_on_the_registry_and_one_on_the_storage(scene: Stage) -> None:
    cloud, group = scene.cloud, scene.workspace.split("/providers/", maxsplit=1)[0]
    path = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
    made = cloud.put(path, {"location": "westeurope"})["properties"]
    with scene.endpoint({"type": "UserAssigned", "userAssignedIdentities": {path: {}}}) as endpoint:
        text = _error(endpoint.deploy())
        assert text.startswith("BadArgument: Endpoint identity does not have pull permission on the registry.")
        assert made["clientId"] in text
        assert "lacks role 'AcrPull'" in text
        cloud.finish(cloud.ask("DELETE", f"{endpoint.id}/deployments/blue"))
        assign(cloud, scene.registry.id, made["principalId"], PULL)
        assert "lacks role 'Storage Blob Data Reader'" in _error(endpoint.deploy())
        cloud.finish(cloud.ask("DELETE", f"{endpoint.id}/deployments/blue"))
        storage = cloud.ask("GET", scene.workspace).json()["properties"]["storageAccount"]
        assign(cloud, storage, made["principalId"], STORAGE_READER)
        assert endpoint.deploy()["status"] == "Succeeded"


def test_credentials_of_a_connection_pull_nothing(scene: Stage) -> None:
    with registry_of_its_own(scene.cloud, adminUserEnabled=True) as registry:
        image = push(registry)
        admin = registry.post("listCredentials").json()
        credentials = {"username": admin["username"], "password": admin["passwords"][0]["value"]}
        offered = {"category": "ContainerRegistry", "authType": "UsernamePassword", "target": registry.login_server}
        connection = f"{scene.workspace}/connections/elsewhere"
        scene.cloud.put(connection, {"properties": {**offered, "credentials": credentials}})
        with scene.endpoint() as endpoint:
            text = _error(endpoint.deploy(environmentId=scene.register("elsewhere", image)))
        assert text.startswith("BadArgument: Endpoint identity does not have pull permission on the registry.")


def test_an_image_that_only_lies_here_or_nowhere_is_refused(scene: Stage) -> None:
    make_image("scorer-only-here:1")
    client = docker.from_env()
    try:
        missing = scene.image.rpartition("@")[0] + "@sha256:" + "0" * 64
        with scene.endpoint() as endpoint:
            for name, image in (("here", "scorer-only-here:1"), ("nowhere", missing)):
                text = _error(endpoint.deploy(name, environmentId=scene.register(name, image)))
                assert f"Deployment '{name}'" in text
                assert image in text
                assert "AcrPull" not in text or name == "here"
    finally:
        client.images.remove("scorer-only-here:1")
        client.close()


def test_a_container_that_ends_is_told_with_its_last_lines(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        text = _error(endpoint.deploy(variables={"FAIL": "1"}))
        assert text.startswith("ResourceNotReady: Deployment 'blue'")
        assert "User container has crashed or terminated (exit code 1)" in text
        # Docker keeps no order between a container's two streams.
        assert "scorer starts" in text
        assert "scorer: cannot load the model" in text
        assert not _containers(endpoint)
        told = scene.cloud.ask("POST", f"{endpoint.id}/deployments/blue/getLogs").json()
        assert "cannot load the model" in told["content"]


def test_a_container_that_is_never_ready_is_given_up_after_its_probes_limit(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        probe = {"initialDelay": "PT1S", "period": "PT1S", "timeout": "PT5S", "failureThreshold": 2}
        changes: dict[str, Any] = {"livenessProbe": probe, "readinessProbe": probe, "variables": {"NEVER_READY": "1"}}
        text = _error(endpoint.deploy(**changes))
        assert "is not ready after 3 s" in text
        assert "HTTP 503" in text


def test_an_update_fails_no_request_and_a_failed_update_keeps_what_serves(scene: Stage) -> None:
    with scene.endpoint() as endpoint, ThreadPoolExecutor() as pool:
        assert endpoint.deploy()["status"] == "Succeeded"
        assert endpoint.send({"blue": 100}).is_success
        key, ended = endpoint.keys["primaryKey"], threading.Event()

        def poll() -> list[tuple[int, str]]:
            seen = []
            while not ended.is_set():
                answer = endpoint.score({"sleep": 0.05}, key)
                seen.append((answer.status_code, answer.json().get("name", "")))
            return seen

        polling = pool.submit(poll)
        first = [each["Id"] for each in _containers(endpoint)]
        assert endpoint.deploy(variables={"NAME": "second"})["status"] == "Succeeded"
        second = [each["Id"] for each in _containers(endpoint)]
        assert len(second) == 1
        assert first != second
        assert "cannot load the model" in _error(endpoint.deploy(variables={"FAIL": "1"}))
        assert [each["Id"] for each in _containers(endpoint)] == second
        assert endpoint.score(key=key).json()["name"] == "second"
        assert endpoint.deploy(variables={"NAME": "third"})["status"] == "Succeeded"
        ended.set()
        seen = polling.result(PATIENCE)
        assert {status for status, _ in seen} == {200}
        assert seen[0][1] == "blue"
        assert endpoint.score(key=key).json()["name"] == "third"


def test_a_change_that_no_container_sees_starts_none(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        assert endpoint.deploy()["status"] == "Succeeded"
        before = _containers(endpoint)
        assert endpoint.deploy(requestSettings={"requestTimeout": "PT1S"})["status"] == "Succeeded"
        assert [each["Id"] for each in _containers(endpoint)] == [each["Id"] for each in before]
        assert endpoint.send({"blue": 100}).is_success
        assert endpoint.score({"sleep": 3}).status_code == 408


def test_instances_are_containers_up_to_two(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        for capacity, containers in ((1, 1), (3, 2), (1, 1)):
            assert endpoint.deploy(capacity=capacity)["status"] == "Succeeded"
            assert len(_containers(endpoint)) == containers


def test_a_container_that_crashes_is_started_again(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        assert endpoint.deploy()["status"] == "Succeeded"
        assert endpoint.send({"blue": 100}).is_success
        key = endpoint.keys["primaryKey"]
        assert endpoint.score({"crash": True}, key).status_code == 502
        until(lambda: endpoint.score(key=key).status_code == 200, "the container to serve again")


def test_a_stop_takes_the_containers_and_a_start_brings_them_back(tmp_path: Path) -> None:
    folder = tmp_path / "azure"
    with Process(folder) as process, stage(process.cloud) as scene, scene.endpoint() as endpoint:
        assert endpoint.deploy()["status"] == "Succeeded"
        assert endpoint.send({"blue": 100}).is_success
        key = endpoint.keys["primaryKey"]
        assert len(scene.containers) == 1
        process.end(signal.SIGTERM)
        assert not scene.containers
        process.start()
        until(lambda: _status(endpoint, key) == 200, "the deployment to come back")
        kept = [each["Id"] for each in scene.containers]
        process.end(signal.SIGKILL)
        assert [each["Id"] for each in scene.containers] == kept
        process.start()
        until(lambda: _status(endpoint, key) == 200, "the container to be taken over")
        assert [each["Id"] for each in scene.containers] == kept


def test_a_delete_that_was_killed_leaves_no_container_after_the_next_start(tmp_path: Path) -> None:
    with Process(tmp_path / "azure") as process, stage(process.cloud) as scene, scene.endpoint() as endpoint:
        assert endpoint.deploy()["status"] == "Succeeded"
        process.end(signal.SIGKILL)
        client = docker.from_env()
        labels = scene.containers[0]["Labels"]
        labels["azureml-scoring.deployment"] += "-gone"
        left = client.containers.run(scene.containers[0]["ImageID"], detach=True, labels=labels)
        client.close()
        process.start()
        until(lambda: left.id not in {each["Id"] for each in scene.containers}, "the leftover to go")
        until(lambda: len(_containers(endpoint)) == 1, "the container that is wanted to stay")


@dataclass
class Process:
    """A local Azure that the test stops, kills and starts; all at the same ports."""

    folder: Path
    running: "subprocess.Popen[bytes] | None" = None

    def __enter__(self) -> Self:
        self.folder.mkdir()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cloud.http.close()
        self.end(signal.SIGTERM)

    @cached_property
    def cloud(self) -> Cloud:
        return Cloud(self.folder, json.loads((self.folder / "ready.json").read_text())["environment"])

    def start(self) -> None:
        (self.folder / "ready.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "emulator", "serve", "--state", str(self.folder)]
        with (self.folder / "azure.log").open("ab") as log:
            running = subprocess.Popen([*command, "--port=0", "--scoring-port=0"], cwd=ROOT, stdout=log, stderr=log)
        self.running = running
        until(lambda: (self.folder / "ready.json").exists() or running.poll() is not None, "the local Azure to serve")
        assert running.poll() is None, (self.folder / "azure.log").read_text()[-2000:]

    def end(self, number: signal.Signals) -> None:
        assert self.running is not None
        self.running.send_signal(number)
        self.running.wait(PATIENCE)


def _status(endpoint: Endpoint, key: str) -> int:
    time.sleep(0.1)
    try:
        return endpoint.score(key=key).status_code
    except httpx.ConnectError:
        return 0


def test_the_sdk_reads_a_workspace_and_its_keys(scene: Stage) -> None:
    cloud = scene.cloud
    group, name = scene.workspace.split("/")[4], scene.workspace.rsplit("/", 1)[1]
    client = MachineLearningServicesMgmtClient(
        cloud.credential(),
        cloud.environment["ARM_SUBSCRIPTION_ID"],
        base_url=cloud.url,
        credential_scopes=[f"{cloud.url}/.default"],
        connection_verify=cloud.environment["REQUESTS_CA_BUNDLE"],
    )
    with client:
        found = client.workspaces.get(group, name)
        assert [found.name, found.location, found.provisioning_state] == [name, "westeurope", "Succeeded"]
        assert [each.name for each in client.workspaces.list_by_resource_group(group)] == [name]
        assert client.workspaces.list_keys(group, name).user_storage_key
