"""One point of the kill matrix: an `up` during which something dies at a write, `recover`, `up`, and what stands then.

Owns holding the run at the write, killing the victim by its process id, and comparing two ends. Refuses to own what a
recovery does.
"""

import itertools
import json
import re
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.modes import configure, served
from tests.project import PATIENCE, LocalAzure, Project, Run, kill, until
from tests.relay import Relay

VICTIMS = ("engine", "plugin", "provider", "azure")
"""Pulumi with all that it started; our plugin; azure-native and azuread; the local Azure, with those two."""
MOMENTS = ("before", "after")
_PLUGIN = "pulumi-resource-azureml-scoring"
_HISTORY = frozenset({"microsoft.containerregistry/registries/runs"})
"""Types whose documents tell what was done, not what stands."""
_FLEETING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "GUID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)?"), "TIME"),
    (re.compile(r"[\w-]*(vault\.)?(localhost|127\.0\.0\.1):\d+"), "HOST"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "VERSION"),
    # Environments are named by their image, secrets by the connection's time.
    (re.compile(r"\b[0-9a-f]{12}-[0-9a-f]{6}\b"), "VERSION"),
    (re.compile(r"-password-[0-9a-f]{6}\b"), "-password"),
)
_RANDOM = frozenset(
    {"ciphertext", "created", "durationSeconds", "etag", "hint", "modified", "runId", "updated"}
    | {"sourcePosition", "stackTrace"}
)


@dataclass(frozen=True)
class Point:
    """What dies, at which write (`TYPE#NUMBER`), and when."""

    victim: str
    write: str
    when: str

    def __str__(self) -> str:
        """The name of the point."""
        return f"{self.victim} {self.when} {self.write}"


End = Mapping[str, str]
"""What stands on Azure, and in the state, without what is another each time: JSON by type and id, or by URN."""


class PointError(AssertionError):
    """A point did not end as the undisturbed run."""


@dataclass
class Stand:
    """A project and a local Azure of their own."""

    azure: LocalAzure
    project: Project

    def writes(self) -> dict[str, int]:
        """How often what was written since the last reset."""
        stats = self.azure.cloud.ask("GET", "/_local/stats", token=self._secret).json()
        return {**stats.pop("writes"), **{name: count for name, count in stats.items() if count}}

    def reset(self) -> None:
        """Count anew."""
        self.azure.cloud.ask("DELETE", "/_local/stats", token=self._secret)

    def fault(self, value: Mapping[str, Any] | None) -> dict[str, Any]:
        """Set or end the fault `hold`; all faults."""
        body = {"name": "hold", "value": value}
        faults: dict[str, Any] = self.azure.cloud.ask("PUT", "/_local/faults", body, self._secret).json()
        return faults

    def held(self) -> dict[str, str]:
        """The write that is held."""
        held: dict[str, str] = self.azure.cloud.ask("GET", "/_local/faults", token=self._secret).json().get("held", {})
        return held

    def end(self) -> End:
        """What stands now."""
        documents = [*_documents(self.azure.folder), *_resources(self.project.state())]
        return named(documents, str(self.azure.folder.parent))

    @property
    def _secret(self) -> str:
        return self.azure.environment["ARM_CLIENT_SECRET"]


@contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """Make a project with the small server on a local Azure, and take both away."""
    with LocalAzure(folder / "azure", extra={"LOCAL_AZURE_ROLE_DELAY": "0"}) as azure:
        project = served(Project.copied(folder / "copy", azure))
        configure(project, registry={"mode": "standalone"})
        yield Stand(azure, project)


def undisturbed(folder: Path) -> tuple[list[str], End]:
    """Run `up` without a fault: its writes, and what stands then."""
    with stand(folder) as made:
        good(made.project.up())
        writes = made.writes()
        calm(made)
        return [f"{type_}#{n + 1}" for type_, count in writes.items() for n in range(count)], made.end()


def points(writes: list[str]) -> list[Point]:
    """All points of the matrix; each fifth of them is a share with every victim."""
    return [Point(victim, write, when) for write, when, victim in itertools.product(writes, MOMENTS, VICTIMS)]


def tried(point: Point, folder: Path, expected: End) -> None:
    """Try one point; raise PointError with what differs."""
    with stand(folder) as made:
        log = folder / "log.txt"
        interrupted = interrupt(made, point)
        log.write_text(interrupted.text)
        for run in (made.project.delivery("recover", "--yes"), made.project.up()):
            with log.open("a") as file:
                file.write(f"\n==== {run.code}\n{run.text}")
            good(run)
        calm(made)
        if lines := differences(made.end(), expected):
            raise PointError("\n".join(lines))


def interrupt(made: Stand, point: Point) -> Run:
    """Run `up`, kill the victim at the write, and wait for the end of what is left."""
    made.reset()
    made.fault({"write": point.write, "when": point.when})
    with _relayed(made) as relays:
        running = made.project.begin("up", "--yes", "--skip-preview", "--stack", made.project.stack)
        until(lambda: running.poll() is not None or made.held(), f"the write of {point}", pause=0.1)
        if running.poll() is not None:
            raise PointError(f"{point.write} was not made: {running.communicate()[0]}")
        client = made.held()["thread"].rpartition("_")[0]
        dead = client in {"azure-native", "azuread", "docker"} if point.victim == "provider" else client == ""
        _kill(made, point.victim, running, relays)
        if point.victim != "azure":
            is_dropped = point.when == "before" and (point.victim == "engine" or dead)
            made.fault({"write": point.write, "when": point.when, "drop": True} if is_dropped else None)
            until(lambda: not made.held(), f"the end of the write of {point}", pause=0.1)
        text, _ = running.communicate(timeout=PATIENCE)
    if point.victim == "azure":
        made.azure.start()
    made.fault(None)
    return Run(running.returncode, text)


def _kill(made: Stand, victim: str, running: subprocess.Popen[str], relays: list[Relay]) -> None:
    if victim == "azure":
        made.azure.kill()
    elif victim == "provider":
        for relay in relays:
            relay.cut()
    else:
        kill(running, _PLUGIN if victim == "plugin" else "")


@contextmanager
def _relayed(made: Stand) -> Iterator[list[Relay]]:
    """Put relays before the providers of the local Azure: one that is cut is, to the engine, a process that died."""
    ports = dict(each.split(":") for each in made.azure.environment["PULUMI_DEBUG_PROVIDERS"].split(","))
    relays = {name: Relay(int(port)).begin() for name, port in ports.items()}
    made.project.extra["PULUMI_DEBUG_PROVIDERS"] = ",".join(f"{name}:{each.port}" for name, each in relays.items())
    try:
        yield list(relays.values())
    finally:
        del made.project.extra["PULUMI_DEBUG_PROVIDERS"]
        for relay in relays.values():
            relay.cut()


def good(run: Run) -> None:
    if run.code != 0:
        raise PointError("\n".join(run.errors) or run.text[-2000:])


def calm(made: Stand) -> None:
    """One more `up` writes nothing."""
    made.reset()
    good(made.project.up())
    if writes := made.writes():
        raise PointError(f"a second up writes: {writes}")


def named(documents: Iterable[tuple[str, Any]], folder: str) -> End:
    """What stands, by name and number."""
    bodies = ((name, json.dumps(_lasting(body), sort_keys=True).replace(folder, "")) for name, body in documents)
    counts, end = Counter[str](), {}
    # Sorted: of two that only differ in a random id, which was made first is chance.
    for name, body in sorted((_steady(name), _steady(body)) for name, body in bodies):
        counts[name] += 1
        end[f"{name} {counts[name]}"] = body
    return end


def differences(end: End, expected: End) -> list[str]:
    """What two ends differ in, a line each."""
    lines = [f"+ {name}" for name in end.keys() - expected.keys()]
    lines += [f"- {name}" for name in expected.keys() - end.keys()]
    for name in end.keys() & expected.keys():
        pairs = zip(end[name], expected[name], strict=False)
        if (start := next((n for n, (is_, was) in enumerate(pairs) if is_ != was), None)) is not None:
            part = slice(max(0, start - 60), start + 60)
            lines.append(f"~ {name}: {end[name][part]} instead of {expected[name][part]}")
    return sorted(lines)


def _documents(folder: Path) -> Iterator[tuple[str, Any]]:
    with closing(sqlite3.connect(f"file:{folder / 'azure.sqlite'}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT type, path, body FROM documents").fetchall()
    for type_, path, body in rows:
        if type_ not in _HISTORY:
            yield f"{type_} {path}", json.loads(body)


def _resources(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    deployment = state["deployment"]
    for each in deployment["resources"] + deployment.get("pending_operations", []):
        yield str(each.get("urn", "pending operation")), each


def _lasting(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: _lasting(item) for name, item in value.items() if name not in _RANDOM}
    # The order of a list of ids is the order in which the engine came to know them.
    return sorted((_lasting(item) for item in value), key=json.dumps) if isinstance(value, list) else value


def _steady(text: str) -> str:
    for pattern, word in _FLEETING:
        text = pattern.sub(word, text)
    return text
