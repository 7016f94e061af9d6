"""A real local Azure process in a folder of its own, and the same as its clients see it.

Owns starting and ending the process and the clients' credentials. Refuses to own what Azure does.
"""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import httpx
from azure.identity import ClientSecretCredential

from emulator.core import api_versions
from tests.small_base import image as small_base
from tools import azure

ROOT = Path(__file__).parents[1]
PATIENCE = 180.0
"""Seconds that a wait may take on a loaded machine."""
_EMULATOR = (sys.executable, "-m", "emulator")


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
        return _emulator(verb, self.folder, *words)


@dataclass
class LocalAzure:
    """One local Azure process of a test, in a folder of its own and on free ports."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)
    """Variables of the process beside the test's own."""
    options: tuple[str, ...] = ()
    """Options of `serve`."""

    def start(self) -> Self:
        """Start it and wait until it serves."""
        small_base.ensure()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ready.json").unlink(missing_ok=True)
        with (self.folder / "azure.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_EMULATOR, "serve", "--state", str(self.folder), "--port=0", "--scoring-port=0", *self.options],
                cwd=ROOT,
                env={**os.environ, **azure.machine(), **self.extra},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while not self.ready and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert self.ready, (self.folder / "azure.log").read_text()[-3000:]
        return self

    @property
    def ready(self) -> dict[str, Any]:
        """What the process says of itself; empty before it serves."""
        file = self.folder / "ready.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The variables that programs and clients need."""
        found: dict[str, str] = self.ready["environment"]
        return found

    @cached_property
    def cloud(self) -> Cloud:
        """The running one as its clients see it, the program apart."""
        return Cloud(self.folder, self.environment)

    def tell(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        """Run `python -m emulator WORDS` on this state; its JSON where it prints some."""
        verb, *rest = words
        text = _emulator(verb, self.folder, *rest)
        return json.loads(text) if text.lstrip().startswith("{") else text

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it cleanly."""
        self.stop()

    def stop(self) -> None:
        """Stop it cleanly, as its user would."""
        self.end(lambda process: process.terminate())

    def kill(self) -> None:
        """End it as a power cut would."""
        self.end(lambda process: process.kill())

    def end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        """End the process and wait for it."""
        if isinstance(cloud := self.__dict__.pop("cloud", None), Cloud):
            cloud.http.close()  # the next start has other ports
        if self.process is not None and self.process.poll() is None:
            how(self.process)
            self.process.wait(timeout=PATIENCE)


@contextmanager
def local_azure(folder: Path, *options: str) -> Iterator[Cloud]:
    """Start the real process in a folder, and end it cleanly."""
    with LocalAzure(folder, options=options) as local:
        yield local.cloud


def _emulator(verb: str, folder: Path, *words: str) -> str:
    """Run `python -m emulator VERB` on a state; its output."""
    command = [*_EMULATOR, verb, "--state", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
