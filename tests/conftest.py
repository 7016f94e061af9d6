"""What all tests share: a real local Azure process in a folder of its own, one for each test worker."""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.identity import ClientSecretCredential

from emulator.core import api_versions

ROOT = Path(__file__).parents[1]
# Tests assign a role and use it at once; the delay itself has its own test.
os.environ.setdefault("LOCAL_AZURE_ROLE_DELAY", "0")
PATIENCE = 180.0
"""Seconds that a wait may take on a loaded machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole lifecycles first: they take longest, and no worker shall end alone with one."""
    items.sort(key=lambda item: "lifecycle" not in item.path.parts)


def newest_version(path: str) -> str:
    """The newest released api-version of the resource type (and action) that an ARM path names."""
    words = path.partition("?")[0].strip("/").split("/")
    if "providers" in [word.lower() for word in words]:
        last = len(words) - 1 - [word.lower() for word in reversed(words)].index("providers")
        namespace, *rest = words[last + 1 :]
        type_ = "/".join([namespace, *rest[::2]])
    else:
        type_ = "Microsoft.Resources/" + ("resourceGroups" if len(words) > 2 else "subscriptions")
    known = api_versions.versions(type_)
    return next((each for each in reversed(known) if "preview" not in each), known[-1] if known else "2024-01-01")


@dataclass(frozen=True)
class Cloud:
    """A running local Azure, as clients see it."""

    folder: Path
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Where Resource Manager answers."""
        return f"https://{self.environment['ARM_METADATA_HOSTNAME']}"

    @property
    def subscription(self) -> str:
        """The subscription's ARM id."""
        return f"/subscriptions/{self.environment['ARM_SUBSCRIPTION_ID']}"

    def credential(self, client_id: str | None = None, secret: str | None = None) -> ClientSecretCredential:
        """A real client's credential: the deployer's, or somebody else's."""
        return ClientSecretCredential(
            self.environment["ARM_TENANT_ID"],
            client_id or self.environment["ARM_CLIENT_ID"],
            secret or self.environment["ARM_CLIENT_SECRET"],
            authority=self.url,
            disable_instance_discovery=True,
            connection_verify=self.environment["REQUESTS_CA_BUNDLE"],
        )

    @cached_property
    def http(self) -> httpx.Client:
        """A client that trusts this Azure and has no credentials."""
        trust = ssl.create_default_context(cafile=self.environment["REQUESTS_CA_BUNDLE"])
        return httpx.Client(base_url=self.url, verify=trust, timeout=PATIENCE, trust_env=False)

    def token(self, audience: str | None = None, client_id: str | None = None, secret: str | None = None) -> str:
        """An access token, for Resource Manager unless said otherwise."""
        answer = self.http.post(
            f"/{self.environment['ARM_TENANT_ID']}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": client_id or self.environment["ARM_CLIENT_ID"],
                "client_secret": secret or self.environment["ARM_CLIENT_SECRET"],
                "scope": f"{audience or self.url}/.default",
            },
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        found: str = answer.json()["access_token"]
        return found

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:  # noqa: ANN401
        """One ARM request below the subscription (or of a whole id), as the deployer unless a token is given."""
        whole = path if path.startswith("/") else f"{self.subscription}/{path}"
        joiner = "" if "api-version=" in whole else "&" if "?" in whole else "?"
        version = f"api-version={newest_version(whole)}" if joiner else ""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return self.http.request(method, f"{whole}{joiner}{version}", json=body, headers=headers)

    def finish(self, answer: httpx.Response) -> dict[str, Any]:
        """Wait for a long operation's end and return the operation (or the answer itself where nothing goes on)."""
        assert answer.is_success, answer.text
        status = answer.headers.get("azure-asyncoperation")
        if status is None:
            return answer.json() if answer.content else {}
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found: dict[str, Any] = self.http.get(status, headers={"Authorization": f"Bearer {self.token()}"}).json()
            if found["status"] != "InProgress":
                return found
        raise AssertionError(f"{status} did not end within {PATIENCE} s")

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PUT and wait; the finished resource."""
        told = self.finish(self.ask("PUT", path, body))
        assert told.get("status", "Succeeded") == "Succeeded", told
        found: dict[str, Any] = self.ask("GET", path).json()
        return found

    def tell(self, verb: str, *words: str) -> str:
        """Run `python -m emulator VERB` on it."""
        command = [sys.executable, "-m", "emulator", verb, "--state", str(self.folder), *words]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


@contextmanager
def local_azure(folder: Path, *options: str) -> Iterator[Cloud]:
    """Start the real process in a folder on free ports, and end it cleanly."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)  # a killed process left it
    with (folder / "azure.log").open("ab") as log:
        command = [sys.executable, "-m", "emulator", "serve", "--state", str(folder), "--port=0", "--scoring-port=0"]
        running = subprocess.Popen([*command, *options], cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready.exists():
            told = (folder / "azure.log").read_text()
            assert running.poll() is None, told[-3000:]
            assert time.monotonic() < deadline, told[-3000:]
            time.sleep(0.05)
        cloud = Cloud(folder, json.loads(ready.read_text())["environment"])
        yield cloud
        cloud.http.close()
    finally:
        running.terminate()
        running.wait(PATIENCE)


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A local Azure that the tests of this worker share: each takes a resource group of its own name."""
    with local_azure(tmp_path_factory.mktemp("azure")) as cloud:
        yield cloud
