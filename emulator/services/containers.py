"""Real containers behind online deployments: pulled, started, probed, replaced without a lost request, and removed.

Owns containers and who is inside one at a moment. Knows neither ARM documents nor HTTP towards clients: what shall run
is told by `ml_endpoints`, who may come in is asked by the gateway. Every container carries the state folder's path as a
label, so that what a killed local Azure leaves behind is found again.
"""

import hashlib
import json
import logging
import math
import re
import tarfile
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import httpx
import requests.exceptions
from pydantic import BaseModel

from emulator.core.errors import AzureError

STATE_LABEL = "azureml-scoring.state"
DEPLOYMENT_LABEL = "azureml-scoring.deployment"
REPLICA_LABEL = "azureml-scoring.replica"
MOST_REPLICAS = 2
"""How many containers stand for the instances of one deployment on one machine, at the most."""
_WATCH_PAUSE = 2.0
_RETRY_PAUSE = 10.0
_LOG_LINES = 10_000
_ERROR_LINES = 8
_ERROR_LENGTH = 1500
_DIED_WITHIN = 60.0
_DENIAL = re.compile(r"denied|unauthorized|forbidden|authentication required|insufficient", re.IGNORECASE)
_log = logging.getLogger(__name__)


class Probe(BaseModel, frozen=True):
    """One HTTP probe; times in seconds."""

    path: str
    port: int
    delay: float = 10.0
    period: float = 10.0
    timeout: float = 2.0
    successes: int = 1
    failures: int = 30

    @property
    def limit(self) -> float:
        """After how many seconds without success Azure gives up."""
        return self.delay + self.period * self.failures


class Mount(BaseModel, frozen=True):
    """Files that a container holds beside its image's: those of a version, below a folder."""

    source: str
    """The version; it never changes."""
    target: str


Files = Callable[[str], Mapping[str, Path]]
"""Finds a version's files on this machine, by the path that each has below where it is mounted."""


class Scale(BaseModel, frozen=True):
    """Between which counts a cluster scales, and how busy in percent it wants containers to be."""

    least: int
    most: int
    target: int


class Plan(BaseModel, frozen=True):
    """What shall run for one deployment."""

    image: str
    image_id: str = ""
    environment: dict[str, str] = {}
    mounts: list[Mount] = []
    port: int
    scoring: str = "/score"
    """Where the server inside takes scoring requests."""
    collector: dict[str, Any] = {}
    """Which payloads are kept, as ARM says it."""
    liveness: Probe
    readiness: Probe
    concurrency: int = 1
    timeout: float = 5.0
    instances: int = 1
    cpu: float | None = None
    """Cores that one container may use; None is all of them."""
    memory: int | None = None
    """Bytes that one container may use."""
    gpus: int = 0
    scale: Scale | None = None

    def wanted(self, inside: int) -> int:
        """How many instances a cluster wants while so many requests are inside; one less at a time."""
        if self.scale is None:
            return self.instances
        enough = math.ceil(100 * inside / (self.concurrency * self.scale.target))
        return min(self.scale.most, max(self.scale.least, enough, self.instances - 1))

    @property
    def ports(self) -> list[int]:
        """The ports that must be reachable."""
        return sorted({self.port, self.liveness.port, self.readiness.port})

    @property
    def replicas(self) -> int:
        """How many containers stand for the instances here."""
        return min(self.instances, MOST_REPLICAS)

    @property
    def limit(self) -> int:
        """How many requests Azure lets in at a time: twice what the instances take."""
        return 2 * self.concurrency * self.instances

    @property
    def replica_key(self) -> str:
        """Changes when a container made from the plan would be another one."""
        mounts = [mount.model_dump() for mount in self.mounts]
        share = [self.cpu, self.memory, self.gpus]
        told = json.dumps([self.image_id or self.image, self.environment, self.ports, mounts, share], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True)
class Login:
    """Credentials for a registry."""

    username: str
    password: str = field(repr=False)


@dataclass(eq=False)
class Replica:
    """One container: where its ports are on this machine, and how many requests are inside."""

    container: str
    ports: dict[int, int] = field(default_factory=dict)
    ready: bool = False
    busy: int = 0
    repairing: bool = False
    retry_at: float = 0.0


class PullError(Exception):
    """The image cannot be had; `denied` where the registry says that one may not."""

    def __init__(self, text: str, *, denied: bool) -> None:
        super().__init__(text)
        self.denied = denied


class CrashError(Exception):
    """A container ended, or its probes never succeeded; the text is one line, `log` what it has written."""

    def __init__(self, text: str, log: str) -> None:
        super().__init__(text)
        self.log = log


class Docker:
    """The Docker engine as deployments use it. Every call answers a missing engine with one `AzureError`."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._state = str(folder.resolve())
        self._files = files
        self._client: Any = None
        self._lock = threading.Lock()

    def pull(self, image: str, login: Login | None) -> str:
        """Have the registry give an image to whom `login` names (None: anonymous), and tell its local id.

        The registry is asked even where the image lies here: a deployment without the right must fail.
        """
        credentials = {"username": login.username, "password": login.password} if login else {}
        repository, tag = _split(image)
        with self._engine() as client:
            try:
                # Docker itself does not ask for what it has by digest. An empty auth_config (not None) keeps the user's
                # own docker login out of it.
                client.api.inspect_distribution(image, auth_config=credentials)
                for line in client.api.pull(repository, tag, stream=True, decode=True, auth_config=credentials):
                    if "error" in line:
                        raise _pull_error(str(line["error"]))
                separator = "@" if ":" in tag else ":"
                found: str = client.images.get(f"{repository}{separator}{tag}").id
            except docker.errors.APIError as error:
                raise _pull_error(str(error.explanation or error)) from error
            return found

    def has(self, image_id: str) -> bool:
        """Whether an image lies here."""
        with self._engine() as client:
            try:
                client.images.get(image_id)
            except docker.errors.ImageNotFound:
                return False
            return True

    def start(self, deployment: str, plan: Plan) -> Replica:
        """Start one container; it is not ready yet. Raises `CrashError` where its command cannot be started."""
        slug = re.sub(r"[^a-z0-9]+", "-", "-".join(deployment.split("/")[-3::2]).lower()).strip("-")
        with self._engine() as client:
            container = client.containers.create(
                plan.image_id or plan.image,
                name=f"azureml-{slug}-{uuid.uuid4().hex[:8]}",
                environment=plan.environment,
                ports={f"{port}/tcp": ("127.0.0.1", None) for port in plan.ports},
                labels={
                    STATE_LABEL: self._state,
                    DEPLOYMENT_LABEL: deployment,
                    REPLICA_LABEL: plan.replica_key,
                },
                log_config={"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}},
                **self._share(client, plan),
            )
            try:
                for mount in plan.mounts:
                    self._fill(container, mount)
                container.start()
            except docker.errors.APIError as error:
                container.remove(force=True, v=True)
                text = _one_line(str(error.explanation or error))
                raise CrashError(f"User container cannot be started: {text}", "") from error
            container.reload()
            return Replica(container.id, _ports(container))

    @property
    def has_gpus(self) -> bool:
        """Whether containers can have this machine's GPUs."""
        with self._engine() as client:
            return "nvidia" in (client.info().get("Runtimes") or {})

    def _share(self, client: Any, plan: Plan) -> dict[str, Any]:  # noqa: ANN401 - docker has no types
        """What a container may have; of this machine, which may be smaller than what was asked for."""
        share: dict[str, Any] = {}
        if plan.cpu is not None:
            share["nano_cpus"] = int(min(plan.cpu, client.info()["NCPU"]) * 1e9)
        if plan.memory is not None:
            share["mem_limit"] = plan.memory
        if plan.gpus and self.has_gpus:
            share["device_requests"] = [docker.types.DeviceRequest(count=plan.gpus, capabilities=[["gpu"]])]
        return share

    def _fill(self, container: Any, mount: Mount) -> None:  # noqa: ANN401 - docker has no types
        """Copy files into a container that has not started; bound ones would need the engine on this machine."""
        with tempfile.TemporaryFile(prefix="azureml-mount-") as packed:
            with tarfile.open(fileobj=packed, mode="w|") as archive:
                for name, path in self._files(mount.source).items():
                    entry = tarfile.TarInfo(f"{mount.target.strip('/')}/{name}")
                    entry.size, entry.mode = path.stat().st_size, 0o755
                    with path.open("rb") as content:
                        archive.addfile(entry, content)
            packed.seek(0)
            container.put_archive("/", packed)

    def restart(self, replica: Replica) -> bool:
        """Start a container again that has ended; False where it does not exist any more."""
        with self._engine() as client:
            try:
                container = client.containers.get(replica.container)
                container.start()
                container.reload()
            except docker.errors.NotFound:
                return False
            replica.ports = _ports(container)
            return True

    def running(self) -> dict[str, tuple[str, str]]:
        """Our containers that run: their deployment and replica key by container id."""
        return {
            each["Id"]: (_deployment(each), each["Labels"].get(REPLICA_LABEL, ""))
            for each in self._ours(everything=False)
        }

    def adopt(self, deployment: str, plan: Plan) -> list[Replica]:
        """Containers of a plan that still run."""
        found = []
        for id_, labels in self.running().items():
            if labels == (deployment, plan.replica_key):
                with self._engine() as client:
                    found.append(Replica(id_, _ports(client.containers.get(id_))))
        return found

    def ended(self, replica: Replica) -> str | None:
        """How a container ended (one line); None while it runs."""
        with self._engine() as client:
            try:
                container = client.containers.get(replica.container)
            except docker.errors.NotFound:
                return "it was removed"
            if container.status in {"running", "created", "restarting"}:
                replica.ports = _ports(container) or replica.ports
                return None
            state = container.attrs["State"]
            memory = ", out of memory" if state.get("OOMKilled") else ""
            return f"exit code {state.get('ExitCode')}{memory}"

    def log(self, replica: Replica, tail: int = _LOG_LINES) -> str:
        """The last lines that a container has written."""
        with self._engine() as client:
            try:
                written: bytes = client.containers.get(replica.container).logs(tail=tail)
            except docker.errors.NotFound:
                return ""
            return written.decode(errors="replace")

    def remove(self, replicas: Iterable[Replica]) -> None:
        """Remove containers; those that are gone do not matter."""
        for replica in replicas:
            with self._engine() as client, suppress(docker.errors.NotFound):
                client.containers.get(replica.container).remove(force=True, v=True)

    def sweep(self, keep: Callable[[str, str], bool]) -> None:
        """Remove those of our containers, running or not, that `keep` (container id, deployment) does not want."""
        found = self._ours(everything=True)
        self.remove(Replica(each["Id"]) for each in found if not keep(each["Id"], _deployment(each)))

    def close(self) -> None:
        """Close the connection to the engine; the next call opens another."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _ours(self, *, everything: bool) -> list[dict[str, Any]]:
        with self._engine() as client:
            found: list[dict[str, Any]] = client.api.containers(
                all=everything, filters={"label": f"{STATE_LABEL}={self._state}"}
            )
            return found

    @contextmanager
    def _engine(self) -> Iterator[Any]:
        try:
            with self._lock:
                if self._client is None:
                    self._client = docker.from_env(timeout=900)
            yield self._client
        except (docker.errors.NotFound, PullError, CrashError):
            raise
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise AzureError(
                503, "DockerUnavailable", f"The Docker engine does not do its work: {_one_line(str(error))}"
            ) from error


def _deployment(listed: dict[str, Any]) -> str:
    return str(listed["Labels"].get(DEPLOYMENT_LABEL, ""))


def _split(image: str) -> tuple[str, str]:
    """An image's repository, and its tag or digest. Without either Docker would fetch every tag."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return _untagged(repository), digest
    repository = _untagged(image)
    return repository, image[len(repository) + 1 :] or "latest"


def _untagged(image: str) -> str:
    head, _, last = image.rpartition("/")
    return f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]


def _ports(container: Any) -> dict[int, int]:  # noqa: ANN401 - docker has no types
    return {
        int(inner.partition("/")[0]): int(outer[0]["HostPort"])
        for inner, outer in (container.ports or {}).items()
        if outer
    }


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _pull_error(text: str) -> PullError:
    return PullError(_one_line(text), denied=_DENIAL.search(text) is not None)


class RetiredError(Exception):
    """This pool takes no requests any more: ask the fleet again."""


class FullError(Exception):
    """As many requests are inside as Azure lets in."""


class AbsentError(Exception):
    """No replica is ready."""


@dataclass(frozen=True)
class Answer:
    """One answer: when it was given (seconds since 1970), what it took, and its status."""

    at: float
    seconds: float
    status: int


@dataclass
class Metrics:
    """What one deployment has answered since the process started."""

    requests: int = 0
    failures: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    answers: deque["Answer"] = field(default_factory=lambda: deque(maxlen=100_000))

    @property
    def body(self) -> dict[str, Any]:
        """As JSON; latencies in milliseconds, of the last thousand requests."""
        ordered = sorted(self.seconds)
        told = {
            f"p{percent}": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 2)
            for percent in (50, 95, 99)
            if ordered
        }
        return {"requests": self.requests, "failures": self.failures, "latencyMilliseconds": told}


class Pool:
    """The replicas that serve one deployment by one plan. Thread-safe."""

    def __init__(self, plan: Plan, replicas: list[Replica]) -> None:
        self.plan = plan
        self.replicas = replicas
        self.scaling = False
        self._inside = 0
        self._retired = False
        self._change = threading.Condition()

    def enter(self) -> Replica:
        """Take a place in the least busy replica; `leave` gives it back."""
        with self._change:
            if self._retired:
                raise RetiredError
            ready = [each for each in self.replicas if each.ready]
            if not ready:
                raise AbsentError
            if self._inside >= self.plan.limit:
                raise FullError
            replica = min(ready, key=lambda each: each.busy)
            replica.busy += 1
            self._inside += 1
            return replica

    @property
    def inside(self) -> int:
        """How many requests are inside."""
        with self._change:
            return self._inside

    def leave(self, replica: Replica) -> None:
        """Give a place back."""
        with self._change:
            replica.busy -= 1
            self._inside -= 1
            self._change.notify_all()

    def retire(self, seconds: float) -> None:
        """Let nobody in any more, and wait until all are out."""
        with self._change:
            self._retired = True
            self._change.wait_for(lambda: self._inside == 0, seconds)


class Fleet:
    """All deployments of one local Azure that serve, by their ARM id in lower case."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.docker = Docker(folder, files)
        self.pools: dict[str, Pool] = {}
        self.metrics: dict[str, Metrics] = {}
        self.stopping = threading.Event()
        self._logs = folder / "logs" / "deployments"
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._change = threading.Condition()
        self._working = 0
        self._watcher: threading.Thread | None = None

    def deploy(
        self,
        deployment: str,
        plan: Plan,
        *,
        fail_probes: bool = False,
        resuming: bool = False,
        over: "Pool | None" = None,
    ) -> None:
        """Bring a plan into service: new containers start and become ready before old ones go.

        Raises `CrashError` where they do not become ready; what served before then serves on. Where it only brings back
        what served before a restart (`resuming`), it gives way to a plan that serves by now; where it only scales a
        pool (`over`), to any other.
        """
        with self._work(), self._held(deployment):
            old = self.pools.get(deployment)
            if (resuming and old is not None) or (over is not None and old is not over):
                return
            kept: list[Replica] = []
            if old and old.plan.replica_key == plan.replica_key:
                kept = [each for each in old.replicas if each.ready][: plan.replicas]
            elif old is None:
                kept = self._wait_all(deployment, self.docker.adopt(deployment, plan)[: plan.replicas], plan)
            made: list[Replica] = []
            try:
                while len(kept) + len(made) < plan.replicas:
                    made.append(self.docker.start(deployment, plan))
                for replica in made:
                    self._wait(replica, plan, fail_probes=fail_probes)
            except CrashError as error:
                self._keep_log(deployment, error.log)
                self.docker.remove(made)
                raise
            except BaseException:
                with suppress(AzureError):
                    self.docker.remove(made)
                raise
            self._switch(deployment, Pool(plan, [*kept, *made]))

    def drop(self, deployment: str) -> None:
        """Take a deployment out of service and remove its containers; requests inside end first."""
        with self._held(deployment):
            pool = self.pools.pop(deployment, None)
            if pool is not None:
                pool.retire(pool.plan.timeout + 1)
            self.docker.sweep(lambda _, found: found != deployment)
            self.metrics.pop(deployment, None)
            self._log_file(deployment).unlink(missing_ok=True)

    def log(self, deployment: str, tail: int = _LOG_LINES) -> str:
        """What a deployment's containers have written; of one that has failed, what was kept of it."""
        pool = self.pools.get(deployment)
        if pool is None:
            file = self._log_file(deployment)
            text = file.read_text() if file.exists() else ""
        else:
            text = "".join(self.docker.log(each, tail) for each in pool.replicas)
        return "\n".join(text.splitlines()[-tail:])

    def record(self, deployment: str, seconds: float, status: int) -> None:
        """Note one answer."""
        with self._lock:
            metrics = self.metrics.setdefault(deployment, Metrics())
            metrics.requests += 1
            metrics.failures += status >= httpx.codes.BAD_REQUEST
            metrics.seconds.append(seconds)
            metrics.answers.append(Answer(time.time(), seconds, status))

    def answers(self, endpoint: str) -> dict[str, list[Answer]]:
        """What the deployments of an endpoint have answered, by their names in lower case."""
        prefix = f"{endpoint}/deployments/"
        with self._lock:
            return {
                key.removeprefix(prefix): list(metrics.answers)
                for key, metrics in self.metrics.items()
                if key.startswith(prefix)
            }

    def watch(self) -> None:
        """Keep an eye on containers from now on: start again what ends."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._keep_watch, name="containers", daemon=True)
            self._watcher.start()

    def suspend(self) -> None:
        """End everything: unfinished starts are given up, all containers are removed."""
        self.stopping.set()
        with self._change:
            self._change.wait_for(lambda: self._working == 0, _DIED_WITHIN)
        for deployment, pool in self.pools.items():
            pool.retire(0)
            with suppress(AzureError):
                self._keep_log(deployment, "".join(self.docker.log(each) for each in pool.replicas))
        self.pools.clear()
        self.docker.sweep(lambda *_: False)
        self.docker.close()

    @contextmanager
    def _work(self) -> Iterator[None]:
        with self._change:
            self._working += 1
        try:
            self._demand_time()
            yield
        finally:
            with self._change:
                self._working -= 1
                self._change.notify_all()

    def _held(self, deployment: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(deployment, threading.Lock())

    def _demand_time(self) -> None:
        if self.stopping.is_set():
            raise AzureError(503, "ServiceUnavailable", "The local Azure stopped before the work was done; repeat it.")

    def _switch(self, deployment: str, pool: Pool) -> None:
        old = self.pools.get(deployment)
        self.pools[deployment] = pool
        if old is not None:
            old.retire(old.plan.timeout + 1)
        # Also those that earlier troubles have left behind.
        serving = {each.container for each in pool.replicas}
        self.docker.sweep(lambda container, found: found != deployment or container in serving)

    def _wait_all(self, deployment: str, replicas: list[Replica], plan: Plan) -> list[Replica]:
        ready = []
        for replica in replicas:
            try:
                self._wait(replica, plan)
            except CrashError as error:
                _log.warning("%s: an old container is given up: %s", deployment, error)
                self.docker.remove([replica])
            else:
                ready.append(replica)
        return ready

    def _wait(self, replica: Replica, plan: Plan, *, fail_probes: bool = False) -> None:
        """Poll a container's probes until both have succeeded. The initial delay is not slept, it adds to the limit."""
        end = time.monotonic() + max(plan.liveness.limit, plan.readiness.limit)
        left = {"liveness": plan.liveness.successes, "readiness": plan.readiness.successes}
        pause, said = 0.1, "no answer yet"
        while True:
            self._demand_time()
            ended = self.docker.ended(replica)
            if ended is not None:
                raise self._crash(f"User container has crashed or terminated ({ended})", replica)
            for name, probe in (("liveness", plan.liveness), ("readiness", plan.readiness)):
                if left[name] > 0:
                    found = "refused by a fault" if fail_probes else _ask(replica, probe)
                    said = said if found is None else f"{name} probe GET :{probe.port}{probe.path}: {found}"
                    left[name] = probe.successes if found else left[name] - 1
            if all(count <= 0 for count in left.values()):
                replica.ready = True
                return
            if time.monotonic() > end:
                raise self._crash(f"User container is not ready after {end_of(plan):g} s ({said})", replica)
            self.stopping.wait(pause)
            pause = min(pause * 1.3, 1.0)

    def _crash(self, text: str, replica: Replica) -> CrashError:
        log = self.docker.log(replica)
        lines = [line.strip() for line in log.splitlines() if line.strip()][-_ERROR_LINES:]
        told = " | ".join(lines)[-_ERROR_LENGTH:] or "it has written nothing"
        return CrashError(f"{text}; its last lines: {told}", log)

    def _keep_watch(self) -> None:
        while not self.stopping.wait(_WATCH_PAUSE):
            if not self.pools:
                continue
            try:
                running = self.docker.running()
            except AzureError as error:
                _log.warning("%s", error)
                self.stopping.wait(_RETRY_PAUSE)
                continue
            self.scale()
            for deployment, pool in list(self.pools.items()):
                for replica in list(pool.replicas):
                    late = time.monotonic() >= replica.retry_at
                    if replica.container not in running and not replica.repairing and late:
                        replica.ready, replica.repairing = False, True
                        arguments = (deployment, pool, replica)
                        threading.Thread(target=self._repair, args=arguments, daemon=True).start()

    def scale(self) -> None:
        """Begin to change the count of what a cluster scales, where its load asks for it."""
        for deployment, pool in list(self.pools.items()):
            wanted = pool.plan.wanted(pool.inside)
            if wanted != pool.plan.instances and not pool.scaling:
                pool.scaling = True
                threading.Thread(target=self._scale, args=(deployment, pool, wanted), daemon=True).start()

    def _scale(self, deployment: str, pool: Pool, wanted: int) -> None:
        _log.info("%s: %d instances, %d are wanted", deployment, pool.plan.instances, wanted)
        try:
            self.deploy(deployment, pool.plan.model_copy(update={"instances": wanted}), over=pool)
        except (AzureError, CrashError) as error:
            _log.warning("%s does not scale: %s", deployment, error)
        finally:
            pool.scaling = False

    def _repair(self, deployment: str, pool: Pool, replica: Replica) -> None:
        _log.warning("%s: a container has ended; it is started again", deployment)
        try:
            with self._work():
                if not self.docker.restart(replica):
                    fresh = self.docker.start(deployment, pool.plan)
                    replica.container, replica.ports = fresh.container, fresh.ports
                if self.pools.get(deployment) is pool:
                    self._wait(replica, pool.plan)
                if self.pools.get(deployment) is not pool:
                    self.docker.remove([replica])
        except (AzureError, CrashError) as error:
            _log.warning("%s: %s", deployment, error)
            replica.retry_at = time.monotonic() + _RETRY_PAUSE
        finally:
            replica.repairing = False

    def _log_file(self, deployment: str) -> Path:
        return self._logs / f"{hashlib.sha256(deployment.encode()).hexdigest()[:32]}.log"

    def _keep_log(self, deployment: str, text: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._log_file(deployment).write_text(text)


def end_of(plan: Plan) -> float:
    """After how many seconds a container of a plan must be ready."""
    return max(plan.liveness.limit, plan.readiness.limit)


def _ask(replica: Replica, probe: Probe) -> str | None:
    """Probe once: None where it succeeds, else why not."""
    port = replica.ports.get(probe.port)
    if port is None:
        return "the port is not open"
    try:
        with httpx.Client(trust_env=False, timeout=probe.timeout) as client:
            answer = client.get(f"http://127.0.0.1:{port}/{probe.path.lstrip('/')}")
    except httpx.HTTPError as error:
        return type(error).__name__
    return None if answer.status_code < httpx.codes.BAD_REQUEST else f"HTTP {answer.status_code}"
