"""Registries, principals and a docker client, for tests that drive the registry of a running local Azure."""

import base64
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import PATIENCE, Cloud
from tests.small_base import image as small_base

BASE = small_base.NAME
PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
PUSH = "8311e382-0749-4cb8-b61a-304f252e45ec"
DELETE = "c2f4ef07-c644-48eb-af81-4b1b4947fb11"
STORAGE_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
REPOSITORY_READER = "b93aa761-3e63-49ed-ac28-beffa264f7ac"
REPOSITORY_WRITER = "2a1e307c-b015-4ebd-883e-5b7698a07328"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
TOKEN_USER = "00000000-0000-0000-0000-000000000000"
GRAPH = "https://graph.microsoft.com"
EVERY = "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9"
"""Graph's app role `Application.ReadWrite.All`."""
OWNED_BY = "18a4783c-866b-4cc7-a460-3d5e5662c884"
"""Graph's app role `Application.ReadWrite.OwnedBy`."""


@dataclass(frozen=True)
class ServicePrincipal:
    """A service principal with a password."""

    object_id: str
    app_id: str
    secret: str

    @property
    def login(self) -> tuple[str, str]:
        """What docker login takes."""
        return self.app_id, self.secret


def assign(cloud: Cloud, scope: str, principal_id: str, role: str) -> str:
    """Give a service principal or managed identity a role on a scope; the assignment's id."""
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    definition = f"{cloud.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    properties = {"principalId": principal_id, "roleDefinitionId": definition, "principalType": "ServicePrincipal"}
    cloud.put(path, {"properties": properties})
    return path


@dataclass(frozen=True)
class LocalRegistry:
    """One registry of a running local Azure."""

    cloud: Cloud
    id: str
    login_server: str

    def grant(self, who: ServicePrincipal, role: str) -> str:
        """Give a role on the registry; the assignment's id."""
        return assign(self.cloud, self.id, who.object_id, role)

    def change(self, **properties: Any) -> None:  # noqa: ANN401 - JSON
        """PATCH the registry and wait."""
        told = self.cloud.finish(self.cloud.ask("PATCH", self.id, {"properties": properties}))
        assert told.get("status", "Succeeded") == "Succeeded", told

    def post(self, action: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """An action of the registry, as the deployer."""
        return self.cloud.ask("POST", f"{self.id}/{action}", body or {})

    def token(self, login: tuple[str, str] | None, *scopes: str) -> httpx.Response:
        """Ask for an access token as docker does, where the registry says that tokens are to be had."""
        realm = self.realm
        query = {"service": self.login_server, "scope": list(scopes)}
        return httpx.get(realm, params=query, auth=login, timeout=PATIENCE, trust_env=False)

    @property
    def realm(self) -> str:
        """Where tokens are to be had, as the registry itself says."""
        challenge = httpx.get(f"http://{self.login_server}/v2/", trust_env=False).headers["www-authenticate"]
        found = re.search(r'realm="([^"]+)"', challenge)
        assert found
        return found[1]

    def ask(self, method: str, path: str, token: str) -> httpx.Response:
        """One request to the registry server."""
        headers = {"Authorization": f"Bearer {token}", "Accept": MANIFEST}
        url = f"http://{self.login_server}/v2/{path}"
        return httpx.request(method, url, headers=headers, timeout=PATIENCE, trust_env=False)

    def upload(self, files: dict[str, str]) -> str:
        """Upload a build source; its relative path."""
        told = self.post("listBuildSourceUploadUrl").json()
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        headers = {"x-ms-blob-type": "BlockBlob"}
        answer = self.cloud.http.put(told["uploadUrl"], content=content.getvalue(), headers=headers)
        assert answer.status_code == 201, answer.text
        found: str = told["relativePath"]
        return found

    def schedule(self, source: str, task: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        """Schedule a run of a task file."""
        body = {
            "type": "EncodedTaskRunRequest",
            "encodedTaskContent": base64.b64encode(task.encode()).decode(),
            "sourceLocation": source,
            "platform": {"os": "Linux", "architecture": "amd64"},
            **more,
        }
        return self.post("scheduleRun", body)

    def wait(self, run_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until a run has one of these statuses (its end by default); its properties."""
        wanted = statuses or ("Succeeded", "Failed", "Canceled", "Timeout", "Error")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found: dict[str, Any] = self.cloud.ask("GET", f"{self.id}/runs/{run_id}").json()["properties"]
            if found["status"] in wanted:
                return found
            assert found["status"] in {"Queued", "Started", "Running"}, found
            time.sleep(0.2)
        raise AssertionError(f"run {run_id} did not become {wanted}")

    def log(self, run_id: str) -> httpx.Response:
        """The log of a run, as a client reads it."""
        link = self.post(f"runs/{run_id}/listLogSasUrl").json()["logLink"]
        return self.cloud.http.get(link)


@contextmanager
def registry_in_group(cloud: Cloud, sku: str = "Standard", **properties: Any) -> Iterator[LocalRegistry]:  # noqa: ANN401 - JSON
    """A registry in a resource group of its own, taken away at the end."""
    name = f"registry{uuid.uuid4().hex[:12]}"
    cloud.put(f"resourceGroups/{name}", {"location": "westeurope"})
    path = f"{cloud.subscription}/resourceGroups/{name}/providers/Microsoft.ContainerRegistry/registries/{name}"
    try:
        made = cloud.put(path, {"location": "westeurope", "sku": {"name": sku}, "properties": properties})
        yield LocalRegistry(cloud, path, made["properties"]["loginServer"])
    finally:
        cloud.finish(cloud.ask("DELETE", f"resourceGroups/{name}"))


def service_principal(cloud: Cloud) -> ServicePrincipal:
    """A service principal without any role."""
    headers = {"Authorization": f"Bearer {cloud.token(GRAPH)}"}

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = cloud.http.post(f"/graph/v1.0/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    application = post("applications", {"displayName": f"puller-{uuid.uuid4().hex[:8]}"})
    principal = post("servicePrincipals", {"appId": application["appId"]})
    password = post(f"applications/{application['id']}/addPassword", {"passwordCredential": {"displayName": "one"}})
    return ServicePrincipal(principal["id"], application["appId"], password["secretText"])


def own_only(cloud: Cloud) -> None:
    """Leave the deployer `Application.ReadWrite.OwnedBy` alone, as an administrator of the directory would."""
    deployer = f"servicePrincipals(appId='{cloud.environment['ARM_CLIENT_ID']}')"
    headers = {"Authorization": f"Bearer {cloud.token(GRAPH)}"}
    id_ = cloud.http.get(f"/graph/v1.0/{deployer}", headers=headers).json()["id"]
    rights = f"/graph/v1.0/servicePrincipals/{id_}/appRoleAssignments"
    assert cloud.http.post(rights, json={"appRoleId": OWNED_BY}, headers=headers).is_success
    assert cloud.http.delete(f"{rights}/{id_}-{EVERY}", headers=headers).is_success


@dataclass(frozen=True)
class Docker:
    """The real docker client with a configuration of its own."""

    folder: Path

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; whether it fails is for the test to say."""
        return subprocess.run(
            ["docker", *words],
            env={**os.environ, "DOCKER_CONFIG": str(self.folder)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def good(self, *words: str) -> str:
        """Run it to success; its output."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def login(self, server: str, login: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        """`docker login`."""
        return self.run("login", server, "--username", login[0], "--password-stdin", stdin=login[1])


@contextmanager
def docker(server: str = "", login: tuple[str, str] | None = None) -> Iterator[Docker]:
    """A docker client, logged in where a login is given."""
    with tempfile.TemporaryDirectory() as folder:
        client = Docker(Path(folder))
        (client.folder / "config.json").write_text(json.dumps({"auths": {}}))
        if login:
            done = client.login(server, login)
            assert done.returncode == 0, done.stderr
        yield client


def push_image(registry: LocalRegistry, repository: str = "scorer", tag: str = "one", image: str = "") -> str:
    """Push an image (by default one of a single file) as principal who may, and untag it here; its name there."""
    pusher = service_principal(registry.cloud)
    registry.grant(pusher, PUSH)
    name = f"{registry.login_server}/{repository}:{tag}"
    with docker(registry.login_server, pusher.login) as client:
        if image:
            client.good("tag", image, name)
        else:
            with tarfile.open(client.folder / "files.tar", "w") as files:
                files.addfile(tarfile.TarInfo("file"))
            client.good("import", str(client.folder / "files.tar"), name)
        client.good("push", name)
        client.good("rmi", name)
    return name
