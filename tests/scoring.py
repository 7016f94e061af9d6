"""A workspace with a registry, an image that scores, and endpoints, for tests that drive a running local Azure."""

import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import httpx

from tests import stub_server
from tests.conftest import PATIENCE, Cloud
from tests.registries import BASE, PUSH, LocalRegistry, service_principal
from tests.registries import docker as docker_client

PORT = 8080
ROUTES = {
    name: {"path": path, "port": PORT}
    for name, path in (("livenessRoute", "/live"), ("readinessRoute", "/ready"), ("scoringRoute", "/score"))
}
QUICK_PROBE = {"initialDelay": "PT1S", "period": "PT1S", "timeout": "PT5S", "failureThreshold": 120}
SERVER = """
import json, os, sys, time, urllib.request
from stub_server import Answer, StubServer

print("scorer starts", flush=True)
if os.environ.get("FAIL"):
    sys.exit("scorer: cannot load the model")
BEGUN = time.monotonic()

def fetch(address, proxies=None):
    opener = urllib.request.build_opener(*([] if proxies is None else [urllib.request.ProxyHandler(proxies)]))
    try:
        return opener.open(address, timeout=5).read().decode()
    except OSError as error:
        return f"{type(error).__name__}: {error}"

def answer(request):
    if request.method == "GET":
        ready = time.monotonic() - BEGUN >= float(os.environ.get("READY_AFTER", "0"))
        return Answer({"path": request.path}, 200 if ready and not os.environ.get("NEVER_READY") else 503)
    asked = json.loads(request.content)
    if asked.get("crash"):
        os._exit(3)
    time.sleep(asked.get("sleep", 0))
    if "fetch" in asked:
        return Answer({"fetched": fetch(*asked["fetch"])})
    echo = {"name": os.environ.get("NAME"), "path": request.path, "asked": asked, "headers": request.headers}
    return Answer(echo, asked.get("status", 200))

StubServer(answer, "", 8080).serve_forever()
"""


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what} did not come true within {PATIENCE} s"
        time.sleep(0.05)


def make_image(name: str, base: str = BASE) -> None:
    """Make the scoring image under a name in the engine: a base image with one file."""
    client = docker.from_env()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(stub_server.__file__, "stub_server.py")
        entry = tarfile.TarInfo("scorer.py")
        entry.size = len(SERVER.encode())
        archive.addfile(entry, io.BytesIO(SERVER.encode()))
    container = client.containers.create(base)
    try:
        container.put_archive("/", content.getvalue())
        repository, _, tag = name.rpartition(":")
        container.commit(repository, tag, changes='CMD ["python3", "/scorer.py"]')
    finally:
        container.remove()
        client.close()


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of a running local Azure."""

    stage: "Stage"
    id: str
    uri: str

    @property
    def keys(self) -> dict[str, str]:
        """Its keys."""
        answer = self.stage.cloud.ask("POST", f"{self.id}/listKeys")
        assert answer.is_success, answer.text
        found: dict[str, str] = answer.json()
        return found

    def score(self, body: dict[str, Any] | None = None, key: str | None = None, **headers: str) -> httpx.Response:
        """One request, with the primary key unless another is given."""
        told = {"Authorization": f"Bearer {key or self.keys['primaryKey']}"}
        told.update({name.replace("_", "-"): value for name, value in headers.items()})
        return httpx.post(self.uri, json=body or {}, headers=told, timeout=PATIENCE, trust_env=False)

    def deploy(self, name: str = "blue", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """PUT a deployment and wait; the finished operation."""
        return self.stage.cloud.finish(self.ask_deploy(name, **changes))

    def ask_deploy(self, name: str = "blue", **changes: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """PUT a deployment."""
        body = {
            "location": "westeurope",
            "sku": {"name": "Default", "capacity": changes.pop("capacity", 1)},
            "properties": {
                "endpointComputeType": "Managed",
                "instanceType": "Standard_DS3_v2",
                "environmentId": self.stage.environment,
                "environmentVariables": {"NAME": name, **changes.pop("variables", {})},
                "livenessProbe": QUICK_PROBE,
                "readinessProbe": QUICK_PROBE,
                "requestSettings": {"maxConcurrentRequestsPerInstance": 10, "requestTimeout": "PT60S"},
                **changes,
            },
        }
        return self.stage.cloud.ask("PUT", f"{self.id}/deployments/{name}", body)

    def send(self, traffic: dict[str, int] | None = None, **properties: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """PUT the endpoint with a traffic split, and wait where it is taken."""
        body = self.stage.endpoint_body(**({} if traffic is None else {"traffic": traffic}), **properties)
        answer = self.stage.cloud.ask("PUT", self.id, body)
        if answer.is_success:
            told = self.stage.cloud.finish(answer)
            assert told["status"] == "Succeeded", told
        return answer


@dataclass(frozen=True)
class Stage:
    """What an endpoint needs, in a resource group of its own."""

    cloud: Cloud
    registry: LocalRegistry
    workspace: str
    environment: str
    image: str

    def endpoint_body(self, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """What is PUT for an endpoint."""
        return {"location": "westeurope", "properties": {"authMode": "Key", **properties}}

    @contextmanager
    def endpoint(self, identity: dict[str, Any] | None = None, **properties: Any) -> Iterator[Endpoint]:  # noqa: ANN401
        """An endpoint, taken away at the end."""
        path = f"{self.workspace}/onlineEndpoints/score-{uuid.uuid4().hex[:8]}"
        body = self.endpoint_body(**properties)
        made = self.cloud.put(path, {**body, **({"identity": identity} if identity else {})})
        try:
            yield Endpoint(self, path, made["properties"]["scoringUri"])
        finally:
            told = self.cloud.finish(self.cloud.ask("DELETE", path))
            assert told.get("status", "Succeeded") == "Succeeded", told

    def register(self, name: str, image: str) -> str:
        """Register an environment version of an image; its id."""
        path = f"{self.workspace}/environments/{name}/versions/1"
        self.cloud.put(path, {"properties": {"image": image, "inferenceConfig": ROUTES}})
        return path

    @property
    def containers(self) -> list[dict[str, Any]]:
        """The containers of this local Azure that run."""
        client = docker.from_env()
        try:
            label = f"azureml-scoring.state={self.cloud.folder.resolve()}"
            found: list[dict[str, Any]] = client.api.containers(filters={"label": label})
        finally:
            client.close()
        return found


@contextmanager
def stage(cloud: Cloud, base_image: str = BASE) -> Iterator[Stage]:
    """A workspace whose registry has the scoring image: Azure ML lets its endpoints' own identities pull there."""
    name = f"ml{uuid.uuid4().hex[:12]}"
    base = f"{cloud.subscription}/resourceGroups/{name}"
    providers = f"{base}/providers"
    cloud.put(base, {"location": "westeurope"})
    try:
        registry = _registry(cloud, f"{providers}/Microsoft.ContainerRegistry/registries/{name}")
        image = push(registry, base_image)
        workspace = f"{providers}/Microsoft.MachineLearningServices/workspaces/{name}"
        body = workspace_body(cloud, providers, name)
        cloud.put(workspace, {**body, "properties": {**body["properties"], "containerRegistry": registry.id}})
        made = Stage(cloud, registry, workspace, f"{workspace}/environments/scorer/versions/1", image)
        made.register("scorer", image)
        yield made
    finally:
        cloud.finish(cloud.ask("DELETE", base))


def workspace_body(cloud: Cloud, providers: str, name: str) -> dict[str, Any]:
    """What is PUT for a workspace; what it needs is made."""
    tenant = cloud.environment["ARM_TENANT_ID"]
    place = {"location": "westeurope"}
    linked = {
        "storageAccount": f"{providers}/Microsoft.Storage/storageAccounts/{name}",
        "keyVault": f"{providers}/Microsoft.KeyVault/vaults/{name}",
        "applicationInsights": f"{providers}/Microsoft.Insights/components/{name}",
    }
    logs = f"{providers}/Microsoft.OperationalInsights/workspaces/{name}"
    cloud.put(logs, {**place, "properties": {"sku": {"name": "PerGB2018"}}})
    cloud.put(linked["storageAccount"], {**place, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}})
    vault = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}
    cloud.put(linked["keyVault"], {**place, "properties": vault})
    insights = {"Application_Type": "web", "WorkspaceResourceId": logs}
    cloud.put(linked["applicationInsights"], {**place, "kind": "web", "properties": insights})
    return {**place, "identity": {"type": "SystemAssigned"}, "properties": linked}


def push(registry: LocalRegistry, base: str = BASE) -> str:
    """Push the scoring image as principal who may; its reference by digest."""
    pusher = service_principal(registry.cloud)
    registry.grant(pusher, PUSH)
    name = f"{registry.login_server}/team/scorer:1"
    make_image(name, base)
    with docker_client(registry.login_server, pusher.login) as client:
        client.good("push", name)
        told = json.loads(client.good("image", "inspect", name))[0]["RepoDigests"]
        client.good("rmi", name)
    return next(str(each) for each in told if each.startswith(registry.login_server))


def _registry(cloud: Cloud, path: str) -> LocalRegistry:
    made = cloud.put(path, {"location": "westeurope", "sku": {"name": "Standard"}})
    return LocalRegistry(cloud, path, made["properties"]["loginServer"])
