"""One small server image, and a stack file for each way to have a registry: what the tests of the modes share.

Owns the server, the stack files and what stands on Azure before a stack comes. Refuses to own what a mode promises.
"""

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests import stub_server
from tests.conftest import PATIENCE, Cloud
from tests.project import Project, Run
from tests.registries import BASE, PUSH, Docker, LocalRegistry, docker, service_principal

REPLY = {"served": True}
DOCKERFILE = f"""FROM {BASE}
COPY server.py stub_server.py /
CMD ["python3", "/server.py"]
"""
SERVER = f"""from stub_server import Answer, StubServer

StubServer(lambda _: Answer({REPLY!r}), "", 5001).serve_forever()
"""
QUICK = {"initialDelay": "PT1S", "period": "PT1S"}


def served(project: Project) -> Project:
    """Put the small server into a project."""
    write_image(project.folder / "app", SERVER)
    return project


def write_image(folder: Path, server: str) -> None:
    """Write the files of an image that runs a server."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "server.py").write_text(server)
    shutil.copy(stub_server.__file__, folder)


def configure(project: Project, **sections: Any) -> None:  # noqa: ANN401 - YAML
    """Write the stack file: the small server on usual settings, but for these sections; None takes one out."""
    file = project.folder / f"Pulumi.{project.stack}.yaml"
    stack = yaml.safe_load(file.read_text())
    config: dict[str, Any] = {
        "location": "westeurope",
        "image": {"context": "app", "repository": "served"},
        "deployments": {
            "blue": {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK},
        },
        **sections,
    }
    stack["config"] = {f"scoring:{name}": section for name, section in config.items() if section is not None}
    file.write_text(yaml.safe_dump(stack))


@contextmanager
def standing(project: Project) -> Iterator[dict[str, Any]]:
    """Take the stack up, see that it answers, yield its outputs, and take it down again."""
    with taken_up(project):
        outputs = project.outputs()
        assert answer(outputs) == REPLY
        yield outputs


@contextmanager
def taken_up(project: Project) -> Iterator[Run]:
    """Take the stack up, yield what was said, and take it down again; its names are purged, for the next one."""
    try:
        run = project.up()
        assert run.code == 0, run.text
        yield run
    finally:
        gone = project.destroy()
        assert gone.code == 0, gone.text
        project.azure.tell("purge")


def answer(outputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """What the endpoint says to a request."""
    headers = {"Authorization": f"Bearer {outputs['endpointKey']}"}
    reply = httpx.post(outputs["scoringUri"], json={}, headers=headers, timeout=PATIENCE, trust_env=False)
    assert reply.status_code == httpx.codes.OK, reply.text
    return reply.json()


def told(run: Run) -> list[str]:
    """What the engine says went wrong: of an update its summary alone, since progress rows repeat what stands there."""
    lines = (run.text.partition("Diagnostics:")[2] or run.text).splitlines()
    return [line.strip() for line in lines if "error:" in line or "warning:" in line]


@contextmanager
def registry_of_its_own(
    cloud: Cloud,
    subscription: str = "",
    sku: str = "Standard",
    **properties: Any,  # noqa: ANN401 - JSON
) -> Iterator[LocalRegistry]:
    """A registry in a resource group of its own, in any subscription; taken away at the end."""
    name = f"registry{uuid.uuid4().hex[:12]}"
    group = f"{subscription or cloud.subscription}/resourceGroups/{name}"
    cloud.put(group, {"location": "westeurope"})
    path = f"{group}/providers/Microsoft.ContainerRegistry/registries/{name}"
    try:
        made = cloud.put(path, {"location": "westeurope", "sku": {"name": sku}, "properties": properties})
        yield LocalRegistry(cloud, path, made["properties"]["loginServer"])
    finally:
        cloud.finish(cloud.ask("DELETE", group))


@contextmanager
def workspace(cloud: Cloud) -> Iterator[str]:
    """A workspace that somebody else has made, without a registry; its ARM id."""
    name = f"theirs{uuid.uuid4().hex[:10]}"
    group = f"{cloud.subscription}/resourceGroups/{name}"
    place = {"location": "westeurope"}
    cloud.put(group, place)
    try:
        storage = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"
        cloud.put(storage, {**place, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}})
        vault = f"{group}/providers/Microsoft.KeyVault/vaults/{name}"
        access = {"tenantId": cloud.environment["ARM_TENANT_ID"], "sku": {"family": "A", "name": "standard"}}
        cloud.put(vault, {**place, "properties": {**access, "enableRbacAuthorization": True}})
        insights = f"{group}/providers/Microsoft.Insights/components/{name}"
        logs = f"{group}/providers/Microsoft.OperationalInsights/workspaces/{name}"
        cloud.put(logs, {**place, "properties": {"sku": {"name": "PerGB2018"}}})
        kind = {"Application_Type": "web", "WorkspaceResourceId": logs}
        cloud.put(insights, {**place, "kind": "web", "properties": kind})
        made = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
        parts = {"storageAccount": storage, "keyVault": vault, "applicationInsights": insights}
        cloud.put(made, {**place, "identity": {"type": "SystemAssigned"}, "properties": parts})
        yield made
    finally:
        cloud.finish(cloud.ask("DELETE", group))


def kubernetes_cluster(cloud: Cloud) -> str:
    """A cluster with Azure ML's extension that somebody else has made; its ARM id."""
    group = f"{cloud.subscription}/resourceGroups/theirs-k8s"
    place = {"location": "westeurope"}
    cloud.put(group, place)
    cluster = f"{group}/providers/Microsoft.ContainerService/managedClusters/aks01"
    pools = {"dnsPrefix": "aks01", "agentPoolProfiles": [{"name": "one", "mode": "System"}]}
    cloud.put(cluster, {**place, "identity": {"type": "SystemAssigned"}, "properties": pools})
    extension = f"{cluster}/providers/Microsoft.KubernetesConfiguration/extensions/azureml"
    cloud.put(extension, {"properties": {"extensionType": "Microsoft.AzureML.Kubernetes"}})
    return cluster


def shelve(registry: LocalRegistry, project: Project, role: str = PUSH, tag: str = "one") -> str:
    """Build the small server, push it as somebody who may, and take it out of the engine; its name by digest."""
    pusher = service_principal(registry.cloud)
    registry.grant(pusher, role)
    return push(registry, project, pusher.login, tag)


def push(registry: LocalRegistry, project: Project, login: tuple[str, str], tag: str = "one") -> str:
    """Build the small server, push it with a login, and take it out of the engine; its name by digest."""
    name = f"{registry.login_server}/served:{tag}"
    with docker(registry.login_server, login) as client:
        _build(client, name, project)
        pushed = client.good("push", name)
        client.good("rmi", name)
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", pushed)
    assert digest, pushed
    return f"{registry.login_server}/served@{digest[1]}"


def _build(client: Docker, name: str, project: Project) -> None:
    """Make the image without a builder, which not every docker client has."""
    container = client.good("create", BASE, "python3", "/server.py").strip()
    for file in (project.folder / "app").glob("*.py"):
        client.good("cp", str(file), f"{container}:/{file.name}")
    client.good("commit", container, name)
    client.good("rm", container)
