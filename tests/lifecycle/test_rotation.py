"""A new password takes over from the old one while a client pulls all the while: it never fails.

One stack for both tests: each changes to the password that the stack does not have. The deployer of this stack may
create applications, and change those that it owns: `Application.ReadWrite.OwnedBy`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import Cloud
from tests.modes import answer, configure, served, standing, told, workspace
from tests.project import LocalAzure, Project, until
from tests.registries import Docker, LocalRegistry, docker, own_only

CONNECTION = "azure-native:machinelearningservices:WorkspaceConnection"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
PASSWORDS = {"first": {"expires": "2035-01-01T00:00:00Z"}, "second": {"expires": "2036-01-01T00:00:00Z"}}


@dataclass(frozen=True)
class Rotated:
    """A stack in a workspace of somebody else, whose principal has one password."""

    project: Project
    workspace: str
    outputs: dict[str, Any]

    def choose(self, current: str, *names: str, **changed: Any) -> None:  # noqa: ANN401 - YAML
        """Write the stack file: these passwords, and the one that the connection has."""
        passwords = {**{name: PASSWORDS[name] for name in (current, *names)}, **changed}
        configure(
            self.project,
            registry={"mode": "standalone"},
            principal={"kind": "service-principal", "passwords": passwords, "current": current},
            workspace={"id": self.workspace},
        )

    @property
    def passwords(self) -> set[str]:
        """Names of the passwords in the state."""
        names = [each["urn"] for each in self.project.state()["deployment"]["resources"] if each["type"] == PASSWORD]
        return {name.rpartition("-")[2] for name in names}


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Iterator[Rotated]:
    own_only(azure.cloud)
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    with workspace(azure.cloud) as theirs:
        stack = Rotated(project, theirs, {})
        stack.choose("first")
        with standing(project) as outputs:
            stack.outputs.update(outputs)
            yield stack


@pytest.fixture
def old(rotated: Rotated) -> str:
    """The password that the stack has."""
    (name,) = rotated.passwords
    return name


@pytest.fixture
def new(old: str) -> str:
    """The one that takes over."""
    (name,) = PASSWORDS.keys() - {old}
    return name


@dataclass
class Puller:
    """A client that reads the workspace's connection and pulls with it, again and again, as Azure ML does."""

    registry: LocalRegistry
    connection: str
    image: str
    failed: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    pulls: int = 0

    def pull(self, client: Docker) -> None:
        """Take the credentials off the connection; pull with them by the registry's protocol and by docker."""
        kept = self.registry.cloud.ask("POST", f"{self.connection}/listsecrets").json()["properties"]["credentials"]
        login = (kept["username"], kept["password"])
        if login[1] not in self.passwords:
            self.passwords.append(login[1])
        repository, _, digest = self.image.removeprefix(f"{self.registry.login_server}/").partition("@")
        token = self.registry.token(login, f"repository:{repository}:pull")
        manifest = self.registry.ask("GET", f"{repository}/manifests/{digest}", token.json().get("access_token", ""))
        if not manifest.is_success:
            self.failed.append(f"{token.status_code} {token.text[:200]}; {manifest.status_code} {manifest.text[:200]}")
        for done in (client.login(self.registry.login_server, login), client.run("pull", self.image)):
            if done.returncode:
                self.failed.append(done.stderr)
        self.pulls += 1


@contextmanager
def pulling(cloud: Cloud, rotated: Rotated) -> Iterator[Puller]:
    """Pull all the while."""
    outputs = rotated.outputs
    registry = LocalRegistry(cloud, outputs["registry"]["id"], outputs["registry"]["loginServer"])
    puller = Puller(registry, rotated.project.resource(CONNECTION)["id"], outputs["image"])
    stop = threading.Event()

    def loop() -> None:
        with docker() as client:
            while not stop.is_set():
                try:
                    puller.pull(client)
                except Exception as error:  # noqa: BLE001 - whatever happens to a client is a failure
                    puller.failed.append(repr(error))
                stop.wait(0.3)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        until(lambda: puller.pulls or puller.failed, "the first pull")
        yield puller
        before = puller.pulls
        until(lambda: puller.pulls > before + 1 or puller.failed, "one more pull")
    finally:
        stop.set()
        thread.join()


def test_a_client_that_pulls_all_the_while_never_fails_in_a_rotation(
    rotated: Rotated, azure: LocalAzure, old: str, new: str
) -> None:
    project = rotated.project
    with pulling(azure.cloud, rotated) as puller:
        rotated.choose(new, old)
        preview = project.preview()
        assert preview.code == 0, preview.text
        assert PASSWORDS[new]["expires"] in preview.text, "the preview does not tell when the new password ends"
        overlap = project.up()
        assert overlap.code == 0, overlap.text
        assert rotated.passwords == {old, new}
        until(lambda: puller.passwords[1:], "a pull with the new password")
        rotated.choose(new)
        ended = project.up()
        assert ended.code == 0, ended.text
        assert rotated.passwords == {new}
        assert answer(rotated.outputs)
        _an_end_that_is_taken_out_is_told_and_stays(rotated, new)
    assert puller.failed == []


def _an_end_that_is_taken_out_is_told_and_stays(rotated: Rotated, name: str) -> None:
    before = rotated.project.resource(PASSWORD)["id"]
    rotated.choose(name, **{name: {}})
    for run in (rotated.project.preview(), rotated.project.up("--expect-no-changes")):
        assert run.code == 0, run.text
        warned = [
            line for line in told(run) if f"principal.passwords.{name}.expires: it is not written any more" in line
        ]
        assert len(warned) == 1, run.text
        assert PASSWORDS[name]["expires"] in warned[0]
    assert rotated.project.resource(PASSWORD)["id"] == before


def test_the_old_password_is_refused_once_it_is_taken_out_and_dies_after_the_connection_has_changed(
    rotated: Rotated, azure: LocalAzure, new: str
) -> None:
    with pulling(azure.cloud, rotated) as puller:
        pass
    # All at once, in one up: what is listed takes over before what is not listed dies.
    rotated.choose(new)
    run = rotated.project.up()
    assert run.code == 0, run.text
    steps = [line for line in run.text.splitlines() if "WorkspaceConnection" in line or "ApplicationPassword" in line]
    done = [n for n, line in enumerate(steps) if "updated" in line and "WorkspaceConnection" in line]
    dead = [n for n, line in enumerate(steps) if "deleted" in line or "deleting" in line]
    assert done
    assert dead
    assert max(done) < min(dead), run.text
    user = rotated.outputs["principal"]["clientId"]
    repository = rotated.outputs["image"].removeprefix(f"{puller.registry.login_server}/").partition("@")[0]
    refused = puller.registry.token((user, puller.passwords[0]), f"repository:{repository}:pull")
    assert not refused.is_success, refused.text
