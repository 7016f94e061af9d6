"""A stack that nobody on the internet reaches: up from nothing inside, refused outside, opened and closed, and gone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.modes import REPLY, configure, served
from tests.network import ask_from
from tests.project import LocalAzure, Project, until

pytestmark = pytest.mark.slow

INSIDE, OUTSIDE = "inside", ""
CLOSED: dict[str, Any] = {
    "isolation": "approved-outbound",
    "outbound": {"packages": {"fqdn": "packages.example.com"}},
    "privateEndpoints": {"subnet": "made"},
    "publicAccess": False,
}


def score(outputs: dict[str, Any], address: str) -> tuple[int, Any]:
    """Ask the endpoint from inside or outside."""
    key, headers = outputs["endpointKey"], {"Content-Type": "application/json"}
    status, text = ask_from(address, "POST", outputs["scoringUri"], "{}", Authorization=f"Bearer {key}", **headers)
    return status, json.loads(text)


@contextmanager
def asking(outputs: dict[str, Any]) -> Iterator[list[tuple[int, Any]]]:
    """Ask from inside all the while; what is yielded fills with whatever was not the reply."""
    failed: list[tuple[int, Any]] = []
    asked: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.1):
            answer = score(outputs, INSIDE)
            failed.extend([answer] if answer != (200, REPLY) else [])
            asked.append(answer[0])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield failed
        before = len(asked)
        until(lambda: len(asked) > before, "one more request")
    finally:
        stop.set()
        thread.join()


def write(project: Project, **network: Any) -> None:  # noqa: ANN401 - settings
    configure(project, registry={"mode": "workspace", "sku": "Premium"}, network={**CLOSED, **network})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    project = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    project.extra["LOCAL_AZURE_ADDRESS"] = INSIDE
    write(project)
    return project


def test_a_stack_without_public_access_lives_its_whole_life_inside(project: Project, azure: LocalAzure) -> None:
    run = project.up()
    assert run.code == 0, run.text
    assert "provisioning takes about half an hour" in run.text
    assert "in an agent pool of the stack's own" in run.text
    assert "network.outbound.packages: Azure ML makes an Azure Firewall for host names" in run.text
    outputs = project.outputs()
    assert score(outputs, INSIDE) == (200, REPLY)
    status, refusal = score(outputs, OUTSIDE)
    assert (status, "Public network access" in str(refusal)) == (403, True)

    again = project.up("--expect-no-changes")
    assert again.code == 0, again.text

    with asking(outputs) as failed:
        write(project, publicAccess=True)
        opened = project.up()
        assert opened.code == 0, opened.text
        assert score(outputs, OUTSIDE) == (200, REPLY)
        write(project)
        closed = project.up()
        assert closed.code == 0, closed.text
    assert failed == []
    assert "replace" not in opened.text + closed.text
    assert score(outputs, OUTSIDE)[0] == 403

    project.edit("app/server.py", "{", "{'version': 2, ")
    project.extra["LOCAL_AZURE_ADDRESS"] = OUTSIDE
    outside = project.up()
    lines = {line.partition("error: ")[2] for line in outside.errors if "does not let this machine in" in line}
    assert len(lines) == 1, outside.text
    assert "run inside" in lines.pop()

    write(project, isolation="internet-outbound", outbound={})
    refused = project.preview()
    assert 'network.isolation = "internet-outbound": workspace ' in refused.text
    write(project)

    project.extra["LOCAL_AZURE_ADDRESS"] = INSIDE
    gone = project.destroy()
    assert gone.code == 0, gone.text
    group = outputs["workspaceId"].partition("/providers/")[0]
    assert azure.cloud.ask("GET", group).status_code == 404
