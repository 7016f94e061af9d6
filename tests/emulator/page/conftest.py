"""The page of a local Azure in this process: servers of the test stand for containers, the browser is real."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from emulator.backends import signed_blobs
from emulator.backends.registry_client import ImageLocation, _Manifest, opened
from emulator.core.options import Options
from emulator.core.store import Document
from emulator.process import _realm
from emulator.protocols.page import server
from emulator.protocols.web import listening
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry import jobs
from emulator.services.containerregistry.types import Registry
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph
from tests.browser import browser
from tests.conftest import PATIENCE
from tests.emulator.conftest import InProcessAzure, in_process
from tests.ml import CONNECTION, ENVIRONMENT, PLACE, WORKSPACE, Model, Scene, scene
from tests.scoring import ROUTES

PASSWORD = "Very-secret-1234"
REGISTRY = "providers/Microsoft.ContainerRegistry/registries/shopimages"
_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Shown:
    """A stack that stands, and its page."""

    local: InProcessAzure
    scene: Scene
    page: server.Page
    principal_secret: str
    """The password of a principal that has no role."""

    def link(self) -> str:
        """A link that opens the page once."""
        return self.page.link('{"x": 1}')

    @property
    def deployer_secret(self) -> str:
        """The deployer's own."""
        return entra.deployer(self.local.azure).secret

    @property
    def connection(self) -> dict[str, Any]:
        """What is PUT for a workspace connection."""
        return {"properties": {**CONNECTION, "credentials": {"username": "pull", "password": PASSWORD}}}

    @property
    def run(self) -> Document:
        """The build run."""
        return self.local.azure.store.of_type(jobs.RUNS)[0]

    def write(self, line: str) -> None:
        """Add a line to the log of the build run."""
        with signed_blobs.blob_path(self.local.azure, jobs.log_blob(self.run)).open("a") as file:
            file.write(f"{line}\n")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a process."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A registry, a workspace, an endpoint with two deployments, a principal that may not pull, and the page."""
    with ExitStack() as stack:
        local = stack.enter_context(in_process(tmp_path_factory.mktemp("page"), Options(role_delay=0)))
        made = stack.enter_context(scene(local, Model("blue"), Model("green")))
        realm = local.azure.ports.bind(registry_access.PORT)
        stack.enter_context(listening(_realm(local.azure), realm, None))
        stack.callback(local.azure.serving(Registry).suspend)
        secret = _fill(local, made)
        page = server.Page(local.azure)
        stack.enter_context(listening(page.application, local.azure.ports.bind(server.PORT), None))
        stack.callback(page.close)
        yield Shown(local, made, page, secret)


def _fill(local: InProcessAzure, made: Scene) -> str:
    """Build, deploy, connect, send requests, and let a pull be refused; the password of who may not pull."""
    body = {**PLACE, "sku": {"name": "Basic"}, "properties": {"adminUserEnabled": False}}
    image = _push(local, local.ask("PUT", REGISTRY, body)["properties"]["loginServer"])
    local.ask("PUT", f"{ENVIRONMENT}/versions/2", {"properties": {"image": image, "inferenceConfig": ROUTES}})
    environment = f"{local.group}/{ENVIRONMENT}/versions/2"
    made.deploy("blue", environmentVariables={"DATABASE_PASSWORD": PASSWORD}, environmentId=environment)
    made.deploy("green")
    made.send({"blue": 90, "green": 10})
    credentials = {"credentials": {"username": "pull", "password": PASSWORD}}
    local.ask("PUT", f"{WORKSPACE}/connections/pull", {"properties": {**CONNECTION, **credentials}})
    key = made.key_value
    for _ in range(20):
        made.score(key)
    return _refused(local)


def _push(local: InProcessAzure, login_server: str) -> str:
    """Push an image without layers, note the run that has built it; the image by digest."""
    azure = local.azure
    registry = registry_access.find(azure, login_server)
    assert registry is not None
    login = registry_access.login(azure, registry, local.deployer)
    content, digest = b"{}", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(content)}
    manifest = {"schemaVersion": 2, "mediaType": _TYPE, "config": config, "layers": []}
    pushed = _Manifest(_TYPE, json.dumps(manifest).encode())
    with opened(ImageLocation(login_server, "scorer", "1", login), "pull,push") as target:
        target.put_blob(digest, iter([content]))
        target.put_manifest("1", pushed)
    output = {"registry": login_server, "repository": "scorer", "tag": "1", "digest": pushed.digest}
    properties = {"status": "Running", "createTime": "2026-11-30T12:00:00Z", "outputImages": [output]}
    id_ = registry.id.child("runs", "ca1")
    body = {"id": id_.path, "name": "ca1", "type": jobs.RUNS, "properties": properties}
    signed_blobs.blob_path(azure, jobs.log_blob(azure.store.put(Document(id_, body)))).write_text("Step 1/3\n")
    return f"{login_server}/scorer@{pushed.digest}"


def _refused(local: InProcessAzure) -> str:
    """Ask for a pull as somebody without a role, and as the deployer; the password of the one without."""
    azure, principal = local.azure, local.service_principal("scorer-pull")
    application = graph.find_where(azure, graph.APPLICATIONS, "appId", principal.app_id)
    secret = graph.add_password(azure, application["id"])[1]
    (registry,) = azure.store.of_type(registry_access.REGISTRIES)
    query = {"service": registry.properties["loginServer"], "scope": "repository:scorer:pull"}
    for login in ((principal.app_id, secret), registry_access.login(azure, registry, local.deployer)):
        reply = httpx.get(registry_access.realm(azure), params=query, auth=login, timeout=PATIENCE, trust_env=False)
        assert reply.is_success
    return secret
