"""Workspaces, endpoints and deployments in this process; servers of the test stand for containers."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import httpx

from emulator.backends.containers import Replica, ServingSpec
from emulator.backends.fleet import Fleet, Pool
from emulator.core.ids import ResourceId
from emulator.protocols.gateway import Gateway
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment
from tests.conftest import PATIENCE
from tests.emulator.conftest import InProcessAzure
from tests.scoring import PORT, QUICK_PROBE, ROUTES
from tests.stub_server import Answer, Request, StubServer

ML = "providers/Microsoft.MachineLearningServices/workspaces"
WORKSPACE = f"{ML}/ml-test"
ENVIRONMENT = f"{WORKSPACE}/environments/scorer"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/score"
BLUE = f"{ENDPOINT}/deployments/blue"
PLACE = {"location": "westeurope"}
CONNECTION: dict[str, Any] = {
    "category": "ContainerRegistry",
    "authType": "UsernamePassword",
    "target": "shop.azurecr.io",
    "credentials": {"username": "somebody", "password": "pass-word"},
}


def workspace_body(local: InProcessAzure) -> dict[str, Any]:
    """What is PUT for a workspace; what it needs is made."""
    group = f"{local.group}/providers"
    logs = f"{group}/Microsoft.OperationalInsights/workspaces/logs-test"
    linked = {
        "storageAccount": f"{group}/Microsoft.Storage/storageAccounts/sttest",
        "keyVault": f"{group}/Microsoft.KeyVault/vaults/kvtest",
        "applicationInsights": f"{group}/Microsoft.Insights/components/insights-test",
    }
    vault = {"tenantId": local.azure.tenant, "sku": {"name": "standard"}, "enableRbacAuthorization": True}
    insights = {"Application_Type": "web", "WorkspaceResourceId": logs}
    local.ask("PUT", linked["storageAccount"], {**PLACE, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}})
    local.ask("PUT", linked["keyVault"], {**PLACE, "properties": vault})
    local.ask("PUT", logs, {**PLACE, "properties": {"sku": {"name": "PerGB2018"}}})
    local.ask("PUT", linked["applicationInsights"], {**PLACE, "kind": "web", "properties": insights})
    return {**PLACE, "identity": {"type": "SystemAssigned"}, "properties": linked}


def make_workspace(local: InProcessAzure) -> dict[str, Any]:
    """A workspace."""
    made: dict[str, Any] = local.ask("PUT", WORKSPACE, workspace_body(local))
    return made


def on_kubernetes(local: InProcessAzure) -> None:
    """A workspace with a cluster attached as `aks`."""
    make_workspace(local)
    cluster = f"{local.group}/providers/Microsoft.ContainerService/managedClusters/aks01"
    pools = {"dnsPrefix": "aks01", "agentPoolProfiles": [{"name": "one", "mode": "System"}]}
    local.ask("PUT", cluster, {**PLACE, "identity": {"type": "SystemAssigned"}, "properties": pools})
    extension = f"{cluster}/providers/Microsoft.KubernetesConfiguration/extensions/azureml"
    local.ask("PUT", extension, {"properties": {"extensionType": "Microsoft.AzureML.Kubernetes"}})
    attached = {"computeType": "Kubernetes", "resourceId": cluster}
    local.ask("PUT", f"{WORKSPACE}/computes/aks", {**PLACE, "properties": attached})


def endpoint_body(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What is PUT for an endpoint."""
    return {**PLACE, "properties": {"authMode": "Key", **properties}}


def deployment_body(local: InProcessAzure, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What is PUT for a deployment."""
    told = {
        "endpointComputeType": "Managed",
        "instanceType": "Standard_DS3_v2",
        "environmentId": f"{local.group}/{ENVIRONMENT}/versions/1",
        "livenessProbe": QUICK_PROBE,
        "readinessProbe": QUICK_PROBE,
        "requestSettings": {"maxConcurrentRequestsPerInstance": 50, "requestTimeout": "PT60S"},
        **properties,
    }
    return {**PLACE, "sku": {"name": "Default", "capacity": 1}, "properties": told}


@dataclass
class Model:
    """A server of the test that stands for one deployment's container."""

    name: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    status: int = 200
    hold: threading.Event | None = None
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def answer(self, request: Request) -> Answer:
        """What a request gets."""
        self.asked.append((request.path, dict(request.headers)))
        self.entered.release()
        if self.hold is not None:
            self.hold.wait(PATIENCE)
        return Answer({"name": self.name, "asked": json.loads(request.content)}, self.status)


@dataclass
class Scene:
    """An endpoint `score` in this process; its deployments are the test's `models`."""

    local: InProcessAzure
    ports: dict[str, int]

    @property
    def fleet(self) -> Fleet:
        """What serves."""
        return self.local.azure.serving(OnlineDeployment).fleet

    def key(self, name: str) -> str:
        """A deployment's key in the fleet."""
        return ResourceId.parse(f"{self.local.group}/{ENDPOINT}/deployments/{name}").key

    def deploy(self, name: str, **properties: Any) -> Any:  # noqa: ANN401 - JSON
        """PUT a deployment and wait."""
        path = f"{ENDPOINT}/deployments/{name}"
        return self.local.ask("PUT", path, deployment_body(self.local, **properties))

    def send(self, traffic: dict[str, int], **properties: Any) -> Any:  # noqa: ANN401 - JSON
        """PUT the endpoint with a traffic split."""
        return self.local.ask("PUT", ENDPOINT, endpoint_body(traffic=traffic, **properties))

    @property
    def uri(self) -> str:
        """Where the endpoint is scored."""
        return str(self.local.ask("GET", ENDPOINT)["properties"]["scoringUri"])

    @property
    def key_value(self) -> str:
        """The endpoint's primary key."""
        return str(self.local.ask("POST", f"{ENDPOINT}/listKeys")["primaryKey"])

    def score(self, key: str | None = None, **headers: str) -> httpx.Response:
        """One request."""
        told = {"Authorization": f"Bearer {key or self.key_value}"}
        told.update({name.replace("_", "-"): value for name, value in headers.items()})
        return httpx.post(self.uri, json={"x": 1}, headers=told, timeout=PATIENCE, trust_env=False)


@contextmanager
def scene(local: InProcessAzure, *models: Model, listen: bool = True, **properties: Any) -> Iterator[Scene]:  # noqa: ANN401
    """An endpoint without deployments; each `deploy` of a model's name is served by that model."""
    make_workspace(local)
    version = {"properties": {"image": "shop.azurecr.io/team/scorer:1", "inferenceConfig": ROUTES}}
    local.ask("PUT", f"{ENVIRONMENT}/versions/1", version)
    local.azure.store.put_fact("scoring-port", 0)
    made = Scene(local, {})
    fleet = made.fleet

    def deploy(key: str, spec: ServingSpec, **_: bool) -> None:
        name = key.rsplit("/", 1)[1]
        old = fleet.pools.get(key)
        fleet.pools[key] = Pool(spec, [Replica(name, {PORT: made.ports.get(name, 0)}, ready=name in made.ports)])
        if old is not None:
            old.retire(PATIENCE)

    def drop(key: str) -> None:
        pool = fleet.pools.pop(key, None)
        if pool is not None:
            pool.retire(PATIENCE)

    with ExitStack() as stack:
        for holder, name, stand_in in (
            (fleet, "deploy", deploy),
            (fleet, "drop", drop),
            (fleet, "watch", lambda: None),
            (fleet.containers, "pull", lambda *_: "sha256:0"),
            (fleet.containers, "sweep", lambda _: None),
        ):
            stack.enter_context(mock.patch.object(holder, name, stand_in))
        for model in models:
            made.ports[model.name] = stack.enter_context(StubServer(model.answer).serving()).server_port
        if listen:
            gateway = Gateway(local.azure)
            gateway.start()
            stack.callback(gateway.stop)
        kind = properties.pop("kind", "Managed")
        local.ask("PUT", ENDPOINT, {**endpoint_body(**properties), "kind": kind})
        yield made
