"""Build agents of ACR Tasks: they build and push with a real docker CLI, and write the logs.

A request is read in `backends.task_file`, sources are extracted in `backends.archive`. Quick runs only: no stored
tasks or triggers.
https://learn.microsoft.com/rest/api/containerregistry/registries/schedule-run (2019-06-01-preview)

Faults: `build-delay` (seconds before the first step), `build-fails` (a text, or true: the first step fails with it).
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emulator.backends import archive, docker_engine, signed_blobs
from emulator.backends.image_names import pushed_digest
from emulator.backends.processes import guarded
from emulator.backends.task_file import Build, Image, Push, Run, Task, read
from emulator.core.azure import Azure, Request
from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry.access import ABAC, REGISTRIES, TOKEN_USER, Caller
from emulator.services.network.access import network_of_subnet

RUNS = f"{REGISTRIES}/runs"
#: Builds that go on at the same time; more wait in the queue.
AGENTS = 2
GOING = {"Queued", "Started", "Running"}
_AGENT = Caller("acr-tasks", rights=frozenset({"pull", "push"}))
_GRACE = 10.0
_JOIN = 60.0
_SPARE = 600
_TAIL = 60
_SECRET_LENGTH = 4


def upload_url(azure: Azure, registry: Document) -> dict[str, Any]:
    """Where a build source can be put, and the name by which a run then finds it."""
    relative = f"tasks-source/{datetime.now(UTC):%Y%m%d%H%M}-{uuid.uuid4().hex}/source.tar.gz"
    return {"uploadUrl": signed_blobs.upload_url(azure, _source_blob(registry, relative)), "relativePath": relative}


class StoppedError(Exception):
    """A run ends before its time; the text is its status."""


class StepError(Exception):
    """A step of a run failed; the text is one line."""


@dataclass
class _ActiveRun:
    """What is known of a run while it goes on."""

    run: Document
    registry: Document
    task: Task
    caller: Principal
    log: Path
    #: The network of the registry's own agents, where the run asks for those.
    network: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    status: str = ""
    process: subprocess.Popen[bytes] | None = None
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self, status: str) -> None:
        """End the run with a status, unless it has been ended already."""
        with self.lock:
            if self.stopped.is_set():
                return
            self.status = status
            self.stopped.set()
            if self.process is not None:
                _signal(self.process, signal.SIGTERM)

    def write(self, text: str) -> None:
        """Append a line to the log, without secrets."""
        for hidden in sorted(self.task.hidden, key=len, reverse=True):
            if len(hidden) >= _SECRET_LENGTH:
                text = text.replace(hidden, "***")
        with self.log.open("a", encoding="utf-8") as file:
            file.write(text.rstrip() + "\n")

    def log_event(self, text: str) -> None:
        """Append what the agent itself says."""
        self.write(f"{datetime.now(UTC):%Y/%m/%d %H:%M:%S} {text}")


class Agent:
    """The build agents of all registries. Thread-safe."""

    def __init__(self, azure: Azure) -> None:
        self.azure = azure
        self._active: dict[str, _ActiveRun] = {}
        self._lock = threading.Lock()
        self._agents = threading.Semaphore(AGENTS)
        # Two runs must not build the same name at once: one would push what the other has built.
        self._names: dict[str, threading.Lock] = {}

    def schedule(self, registry: Document, request: Request) -> dict[str, Any]:
        """Take a run into the queue; the run as Azure shows it."""
        with self._lock:
            number = 1 + len(self.azure.store.of_type(RUNS, registry.id))
            run_id = f"ca{number}"
            login_server = registry.properties["loginServer"]
            now = datetime.now(UTC)
            run = Run(run_id, login_server, registry.id.name.lower(), f"{now:%Y%m%d-%H%M%S}z")
            task = read(request.body, run)
            pool = self._pool(registry, request.body.get("agentPoolName"))
            if not signed_blobs.blob_path(self.azure, _source_blob(registry, task.source)).is_file():
                raise AzureError(
                    400,
                    "InvalidSourceLocation",
                    f"sourceLocation '{task.source}' has not been uploaded to {registry.id.name}:"
                    " put it to the URL of listBuildSourceUploadUrl, and give that answer's relativePath",
                )
            with self.azure.writing("builds"):
                document = self.azure.store.put(_document(registry, run_id, task, request.body, now))
        log = log_blob(document)
        path = signed_blobs.blob_path(self.azure, log)
        path.write_text("", encoding="utf-8")
        active = _ActiveRun(document, registry, task, request.principal, path, pool)
        self._active[document.id.key] = active
        active.thread = threading.Thread(target=self._work, args=(active,), name=f"run {run_id}", daemon=True)
        active.thread.start()
        return document.body

    def _pool(self, registry: Document, name: str | None) -> str:
        """The network of the agent pool that a run asks for; empty for the service's own agents."""
        if name is None:
            return ""
        pool = self.azure.find(registry.id.child("agentPools", name).path)
        subnet = pool.properties.get("virtualNetworkSubnetResourceId")
        return network_of_subnet(subnet) if subnet else ""

    def cancel(self, run: Document) -> bool:
        """End a run; False where it has ended already."""
        active = self._active.get(run.id.key)
        if active is not None:
            active.stop("Canceled")
        return active is not None

    def end(self, runs: Iterable[str], status: str) -> None:
        """End runs, by the keys of their ids, and wait for it."""
        ended = [active for key in runs if (active := self._active.get(key)) is not None]
        for active in ended:
            active.stop(status)
        for active in ended:
            if active.thread is not None:
                active.thread.join(_JOIN)

    def end_all(self) -> None:
        """End all runs as failed."""
        self.end(list(self._active), "Failed")

    def _work(self, active: _ActiveRun) -> None:
        began = time.monotonic()
        name = active.run.id.name
        status, problem, images = "Failed", "", []
        timer = threading.Timer(active.task.timeout, active.stop, ["Timeout"])
        timer.daemon = True
        try:
            timer.start()
            with ExitStack() as held:
                self._queue(active, held)
                self._begin(active)
                images = self._run(active)
            status = "Succeeded"
        except StoppedError:
            status, problem = active.status, f"the run was ended: {active.status}"
        except StepError as error:
            problem = f"failed during run, err: {error}"
        except AzureError as error:
            problem = f"failed during run, err: {error.message}"
        except Exception as error:  # noqa: BLE001 - no caller handles a thread's error
            problem = f"failed during run, err: {type(error).__name__}: {error}"
        finally:
            timer.cancel()
        seconds = time.monotonic() - began
        if status == "Succeeded":
            active.write(f"\nRun ID: {name} was successful after {seconds:.0f}s")
        else:
            active.write(f"\nRun ID: {name} failed after {seconds:.0f}s. Error: {problem}")
        latest = self.azure.store.get(active.run.id)
        if latest is not None:
            self.finish(latest.having(outputImages=images) if images else latest, status, problem)
        self._active.pop(active.run.id.key, None)

    def finish(self, document: Document, status: str, problem: str) -> None:
        """Write down how a run has ended: the run first, then the log's mark, at which readers of the log stop."""
        for hidden in document.private.get("hidden") or []:
            problem = problem.replace(hidden, "***")
        error: dict[str, Any] = {"runErrorMessage": problem} if problem else {}
        start = document.properties.get("startTime") or _now()
        ended: dict[str, Any] = {
            "status": status,
            "startTime": start,
            "finishTime": _now(),
            "lastUpdatedTime": _now(),
            **error,
        }
        self.azure.store.put(document.having({"hidden": []}, **ended))
        signed_blobs.describe(
            self.azure, log_blob(document), {"Complete": "successful" if status == "Succeeded" else "failed"}
        )

    def _begin(self, active: _ActiveRun) -> None:
        latest = self.azure.store.get(active.run.id)
        if latest is not None:
            self.azure.store.put(latest.having(status="Running", startTime=_now(), lastUpdatedTime=_now()))

    def _queue(self, active: _ActiveRun, held: ExitStack) -> None:
        """Wait for an agent, and for the names that will be built."""
        with self._lock:
            locks = [
                self._names.setdefault(name, threading.Lock()) for name in sorted({i.name for i in active.task.images})
            ]
        waited: list[threading.Lock | threading.Semaphore] = [*locks, self._agents]
        for lock in waited:
            while not lock.acquire(timeout=0.2):
                _demand(active)
            held.callback(lock.release)
        _demand(active)

    def _run(self, active: _ActiveRun) -> list[dict[str, str]]:
        """Fetch the source, and do the steps."""
        images: list[dict[str, str]] = []
        delay = self.azure.faults.get("build-delay")
        if delay:
            active.stopped.wait(float(delay))
            _demand(active)
        credentials = self._credentials(active)
        with (
            tempfile.TemporaryDirectory(prefix="build-source-") as folder,
            docker_engine.environment(credentials) as variables,
        ):
            active.log_event("Downloading source code...")
            source = signed_blobs.blob_path(self.azure, _source_blob(active.registry, active.task.source))
            archive.extract(source, Path(folder))
            active.log_event("Finished downloading source code")
            fails = self.azure.faults.get("build-fails")
            if fails:
                raise StepError("exit status 1" if fails is True else str(fails))
            docker_engine.demand()
            try:
                for number, step in enumerate(active.task.steps):
                    if isinstance(step, Build):
                        active.log_event(f"Executing step ID: build_{number}. Timeout(sec): {active.task.timeout}")
                        _build(active, step, Path(folder), variables)
                    else:
                        images += _push(active, step, variables)
            finally:
                # The images are in the registry now. Their layers stay with the builder, as its cache.
                docker_engine.forget([image.name for image in active.task.images])
        return images

    def _credentials(self, active: _ActiveRun) -> dict[str, tuple[str, str]]:
        """The credentials of docker, by registry."""
        server = active.registry.properties["loginServer"]
        credentials = dict(active.task.credentials)
        allowed = bool(active.registry.properties.get("networkRuleBypassAllowedForTasks"))
        as_agent = active.task.acts_as == "agent"
        if active.task.acts_as == "caller":
            caller = Caller(active.caller.name, active.caller, trusted=allowed, network=active.network)
        elif as_agent and active.registry.properties.get("roleAssignmentMode") != ABAC:
            caller = Caller(_AGENT.name, rights=_AGENT.rights, trusted=allowed, network=active.network)
        else:
            if as_agent:
                active.log_event(
                    "The registry is in ABAC mode, in which a run has no access of its own:"
                    " give credentials.sourceRegistry.identity [caller]"
                )
            return credentials
        token = registry_access.refresh_token(self.azure, active.registry, caller, active.task.timeout + _SPARE)
        return {**credentials, server: (TOKEN_USER, token)}


def _build(active: _ActiveRun, step: Build, folder: Path, variables: dict[str, str]) -> None:
    context = archive.inside(folder, step.context, "the context")
    dockerfile = archive.inside(folder, step.dockerfile, "the Dockerfile")
    command = [docker_engine.cli(buildkit=step.buildkit), "build", "--file", str(dockerfile)]
    for image in step.images:
        command += ["--tag", image.name]
    if active.task.platform != "linux/amd64" and "--platform" not in step.options:
        command += ["--platform", active.task.platform]
    command += step.options
    if step.buildkit:
        command += ["--progress", "plain", *docker_engine.pip_secret()]
    environment = {**variables, **step.variables, "DOCKER_BUILDKIT": "1" if step.buildkit else "0"}
    with tempfile.TemporaryDirectory(prefix="build-secrets-") as volume:
        for number, (name, content) in enumerate(step.secrets.items()):
            (Path(volume) / str(number)).write_bytes(content)
            command += ["--secret", f"id={name},src={Path(volume) / str(number)}"]
        _command(active, [*command, str(context)], environment, folder, "build")


def _push(active: _ActiveRun, step: Push, variables: dict[str, str]) -> list[dict[str, str]]:
    pushed = []
    for image in step.images:
        active.log_event(f"Pushing image: {image.name}")
        lines = _command(active, [docker_engine.cli(buildkit=False), "push", image.name], variables, Path("/"), "push")
        digest = pushed_digest(lines)
        if digest is None:
            raise StepError(f"docker push printed no digest for {image.name}")
        active.log_event(f"Successfully pushed image: {image.name}")
        pushed.append(_output(image, digest))
    return pushed


def _command(active: _ActiveRun, command: list[str], environment: dict[str, str], folder: Path, what: str) -> list[str]:
    """Run the CLI, its output into the log; the last lines of it."""
    with active.lock:
        if active.stopped.is_set():
            raise StoppedError
        process = active.process = subprocess.Popen(
            guarded(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        with process:
            for raw in process.stdout or ():
                line = raw.decode("utf-8", "replace").rstrip()
                tail.append(line)
                active.write(line)
    except BaseException:
        _signal(process, signal.SIGKILL)
        raise
    finally:
        with active.lock:
            active.process = None
    _demand(active)
    if process.returncode != 0:
        raise StepError(f"step {what}: exit status {process.returncode}: {_reason(list(tail))}")
    return list(tail)


def _reason(lines: list[str]) -> str:
    """The line that says best why a command failed."""
    written = [line.strip() for line in lines if line.strip()]
    marked = [line for line in written if re.search(r"(?i)^(error|failed)\b|denied|unauthorized|: error", line)]
    return (marked or written or ["it said nothing"])[-1]


def _demand(active: _ActiveRun) -> None:
    if active.stopped.is_set():
        raise StoppedError


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a command with all that it started; insist after a while."""
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
    if number != signal.SIGKILL:
        later = threading.Timer(_GRACE, _signal, [process, signal.SIGKILL])
        later.daemon = True
        later.start()


def _output(image: Image, digest: str) -> dict[str, str]:
    return {"registry": image.host, "repository": image.repository, "tag": image.tag, "digest": digest}


def _document(registry: Document, run_id: str, task: Task, body: dict[str, Any], now: datetime) -> Document:
    system, _, architecture = task.platform.partition("/")
    stamp = now.isoformat().replace("+00:00", "Z")
    id_ = registry.id.child("runs", run_id)
    properties = {
        "runId": run_id,
        "status": "Queued",
        "runType": "QuickBuild" if body.get("type") == "DockerBuildRequest" else "QuickRun",
        "createTime": stamp,
        "lastUpdatedTime": stamp,
        "platform": {"os": system, "architecture": architecture},
        "agentConfiguration": body.get("agentConfiguration") or {"cpu": 2},
        **({"agentPoolName": body["agentPoolName"]} if body.get("agentPoolName") else {}),
        "isArchiveEnabled": bool(body.get("isArchiveEnabled")),
        "provisioningState": "Succeeded",
    }
    envelope = {"id": id_.path, "name": run_id, "type": RUNS, "properties": properties}
    hidden = [text for text in task.hidden if len(text) >= _SECRET_LENGTH]
    return Document(id_, {**envelope, "systemData": {"createdAt": stamp, "lastModifiedAt": stamp}}, {"hidden": hidden})


def _source_blob(registry: Document, relative: str) -> str:
    # The registry's name stands before it, so that a run cannot take another registry's source.
    return f"source/{registry.id.name.lower()}/{relative}"


def log_blob(run: Document) -> str:
    """The name of a run's log among the blobs."""
    registry = run.id.path.split("/")[-3].lower()
    return f"runlogs/{registry}/{run.id.name.lower()}/rawtext.log"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
