"""What takes a machine to itself: four stacks at once, and fifty clients through every change of a stack.

`make torture` runs it; no other target collects it.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.modes import QUICK, REPLY, answer, configure, served, write_image
from tests.project import LocalAzure, Project, until
from tests.torture.matrix import good

Record = Callable[[str, object], None]
CLIENTS = 50
PAUSE = 0.5
"""Seconds between two requests of a client."""
SERVER = """from stub_server import Answer, StubServer

StubServer(lambda _: Answer({"version": VERSION}), "", 5001).serve_forever()
"""


def test_four_stacks_go_up_and_down_at_once(tmp_path: Path, record_property: Record) -> None:
    with LocalAzure(tmp_path / "azure", extra={"LOCAL_AZURE_ROLE_DELAY": "0"}) as azure:
        projects = [served(Project.copied(tmp_path / name, azure, name)) for name in ("one", "two", "three", "four")]
        for project in projects:
            configure(project)
        with ThreadPoolExecutor(len(projects)) as pool:
            for run in pool.map(Project.up, projects):
                good(run)
            writes = azure.tell("stats")
            assert writes["builds"] == len(projects)
            outputs = [project.outputs() for project in projects]
            assert [answer(each) for each in outputs] == [REPLY] * len(projects)
            assert len({each["scoringUri"] for each in outputs}) == len(projects)
            azure.tell("reset-stats")
            for run in pool.map(Project.up, projects):
                good(run)
            assert azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}
            for run in pool.map(Project.destroy, projects):
                good(run)
        groups = azure.cloud.ask("GET", f"{azure.cloud.subscription}/resourcegroups")
        assert groups.json()["value"] == []
        record_property("figures", f"{sum(writes['writes'].values())} writes, then 0")


@dataclass
class Load:
    """What clients have seen so far."""

    during: str = ""
    """What changes now."""
    asked: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@contextmanager
def clients(url: str, key: str) -> Iterator[Load]:
    """Let clients ask all the while, each with a connection of its own."""
    load, stop, lock, trust = Load(), threading.Event(), threading.Lock(), ssl.create_default_context()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(timeout=60, headers=headers, trust_env=False, verify=trust) as client:
            while not stop.is_set():
                begun = time.monotonic()
                try:
                    reply = client.post(url, json={})
                    problem = "" if reply.is_success else f"{reply.status_code} {reply.text[:200]}"
                except httpx.HTTPError as error:
                    problem = repr(error)
                with lock:
                    load.asked += 1
                    load.seconds.append(time.monotonic() - begun)
                    load.failed += [f"{load.during}: {problem}"] if problem else []
                stop.wait(PAUSE)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_request_fails_whatever_changes(tmp_path: Path, record_property: Record) -> None:
    with LocalAzure(tmp_path / "azure", extra={"LOCAL_AZURE_ROLE_DELAY": "0"}) as azure:
        project = Project.copied(tmp_path / "copy", azure)
        _version(project, "first")
        _configure(project, {"blue": {}}, {"blue": 100})
        good(project.up())
        outputs = project.outputs()
        with clients(outputs["scoringUri"], outputs["endpointKey"]) as load:
            changes = 0
            for load.during in _changes(project):
                changes += 1
        assert load.failed == []
        median = sorted(load.seconds)[len(load.seconds) // 2]
        record_property(
            "figures",
            f"{CLIENTS} clients, {changes} changes, {load.asked:,} requests, {len(load.failed)} failed, "
            f"median {median * 1000:.0f} ms",
        )
        good(project.destroy())


def _version(project: Project, name: str) -> None:
    write_image(project.folder / "app", SERVER.replace("VERSION", repr(name)))


def _configure(project: Project, deployments: dict[str, Any], traffic: dict[str, int], **sections: Any) -> None:  # noqa: ANN401 - YAML
    # By default an instance takes one request at a time, and two wait: Azure answers 429 to all others.
    takes = {"requestSettings": {"maxConcurrentRequestsPerInstance": CLIENTS}}
    usual = {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK, **takes}
    every = {name: {**usual, **own} for name, own in deployments.items()}
    endpoint = {"traffic": traffic, "trafficSteps": [10, 50], "bakeSeconds": 1, "smokeTest": {}}
    configure(project, registry={"mode": "standalone"}, deployments=every, endpoint=endpoint, **sections)


def _changes(project: Project) -> Iterator[str]:
    """Change one thing after the other: say what, then update."""
    blue: dict[str, Any] = {"blue": {}}
    both: dict[str, Any] = {"blue": {}, "green": {}}
    two, said = {"instanceCount": 2}, {"environmentVariables": {"LOG_LEVEL": "debug"}}
    for name, deployments, traffic, sections in (
        ("a new image", blue, {"blue": 100}, {}),
        ("variables", {"blue": said}, {"blue": 100}, {}),
        ("more instances", {"blue": two}, {"blue": 100}, {}),
        ("fewer instances", blue, {"blue": 100}, {}),
        ("tags", blue, {"blue": 100}, {"tags": {"owner": "data-team"}}),
        ("a second deployment", both, {"blue": 100, "green": 0}, {}),
        ("a shift of half", both, {"blue": 50, "green": 50}, {}),
        ("a shift of all", both, {"blue": 0, "green": 100}, {}),
        ("the first one's end", {"green": {}}, {"green": 100}, {}),
        ("another size", {"green": {"instanceType": "Standard_F4s_v2"}}, {"green": 100}, {}),
    ):
        if name == "a new image":
            _version(project, "second")
        _configure(project, deployments, traffic, **sections)
        yield name
        good(project.up())
    yield "a refresh"
    refreshed = project.pulumi("refresh", "--yes", "--skip-preview", "--stack", project.stack)
    good(refreshed)


def test_requests_that_fail_are_seen() -> None:
    with clients("http://127.0.0.1:9/score", "key") as load:
        until(lambda: load.asked >= CLIENTS, "a request of each client", pause=0.1)
    assert len(load.failed) == load.asked
