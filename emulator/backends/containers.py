"""Single containers of online deployments, in the Docker engine.

Every container carries the state folder's path as a label, so that what a killed local Azure leaves behind is found
again. Knows neither ARM documents nor HTTP towards clients.
"""

import hashlib
import json
import logging
import math
import re
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
from pydantic import BaseModel

from emulator.backends import docker_engine
from emulator.backends.image_names import split_reference
from emulator.backends.isolation import Approve, Isolation, host_of
from emulator.core.ports import HOST

STATE_LABEL = "azureml-scoring.state"
DEPLOYMENT_LABEL = "azureml-scoring.deployment"
REPLICA_LABEL = "azureml-scoring.replica"
MOST_REPLICAS = 2
"""How many containers stand for the instances of one deployment on one machine, at the most."""
LOG_LINES = 10_000
_DENIAL = re.compile(r"denied|unauthorized|forbidden|authentication required|insufficient", re.IGNORECASE)
log = logging.getLogger(__name__)


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
    """Files that a container holds besides its image's: those of a version, below a folder."""

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


class ServingSpec(BaseModel, frozen=True):
    """What shall run for one deployment."""

    image: str
    image_id: str = ""
    environment: dict[str, str] = {}
    mounts: list[Mount] = []
    port: int
    scoring: str = "/score"
    """Where the server inside takes scoring requests."""
    collector: dict[str, Any] = {}
    """ARM's `dataCollector`: which payloads are stored."""
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
    isolation: str = ""
    """The managed network that lets nothing out but what is approved; empty where everything may go out."""
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
        """Changes when a container made from the spec would be another one."""
        mounts = [mount.model_dump() for mount in self.mounts]
        share = [self.cpu, self.memory, self.gpus, self.isolation]
        content = json.dumps([self.image_id or self.image, self.environment, self.ports, mounts, share], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


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
    host: str = HOST
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


class Containers:
    """The containers of one state folder in the Docker engine. Every call answers a missing engine with a 503."""

    def __init__(self, folder: Path, files: Files, approve: Approve) -> None:
        self._state = str(folder.resolve())
        self._files = files
        self._isolation = Isolation({STATE_LABEL: self._state}, approve)

    def pull(self, image: str, login: Login | None) -> str:
        """Pull an image with some credentials (None: anonymous); its local id.

        The registry is asked even where the image lies here: a deployment without the right must fail.
        """
        credentials = {"username": login.username, "password": login.password} if login else {}
        repository, tag = split_reference(image)
        with docker_engine.connected() as client:
            try:
                # Docker itself does not ask for what it has by digest. An empty auth_config (not None) keeps the user's
                # own docker login out of it.
                client.api.inspect_distribution(image, auth_config=credentials)
                for line in client.api.pull(repository, tag, stream=True, decode=True, auth_config=credentials):
                    if "error" in line:
                        raise _pull_error(str(line["error"]))
                separator = "@" if ":" in tag else ":"
                image_id: str = client.images.get(f"{repository}{separator}{tag}").id
            except docker.errors.APIError as error:
                raise _pull_error(str(error.explanation or error)) from error
            return image_id

    def has(self, image_id: str) -> bool:
        """Whether an image lies here."""
        with docker_engine.connected() as client:
            try:
                client.images.get(image_id)
            except docker.errors.ImageNotFound:
                return False
            return True

    def start(self, deployment: str, spec: ServingSpec) -> Replica:
        """Start one container; it is not ready yet. Raises `CrashError` where its command cannot be started."""
        slug = re.sub(r"[^a-z0-9]+", "-", "-".join(deployment.split("/")[-3::2]).lower()).strip("-")
        with docker_engine.connected() as client, self._isolation.joining(spec.isolation) as (network, variables):
            container = client.containers.create(
                spec.image_id or spec.image,
                name=f"azureml-{slug}-{uuid.uuid4().hex[:8]}",
                network=network,
                environment={**variables, **spec.environment},
                ports={f"{port}/tcp": ("127.0.0.1", None) for port in spec.ports},
                labels={
                    STATE_LABEL: self._state,
                    DEPLOYMENT_LABEL: deployment,
                    REPLICA_LABEL: spec.replica_key,
                },
                log_config={"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}},
                **self._share(client, spec),
            )
            try:
                for mount in spec.mounts:
                    self._fill(container, mount)
                container.start()
            except docker.errors.APIError as error:
                container.remove(force=True, v=True)
                text = _one_line(str(error.explanation or error))
                raise CrashError(f"User container cannot be started: {text}", "") from error
            container.reload()
            return _replica(container)

    @property
    def has_gpus(self) -> bool:
        """Whether containers can have this machine's GPUs."""
        with docker_engine.connected() as client:
            return "nvidia" in (client.info().get("Runtimes") or {})

    def _share(self, client: Any, spec: ServingSpec) -> dict[str, Any]:  # noqa: ANN401 - docker has no types
        """A container's share of this machine, which may be smaller than the requested one."""
        share: dict[str, Any] = {}
        if spec.cpu is not None:
            share["nano_cpus"] = int(min(spec.cpu, client.info()["NCPU"]) * 1e9)
        if spec.memory is not None:
            share["mem_limit"] = spec.memory
        if spec.gpus and self.has_gpus:
            share["device_requests"] = [docker.types.DeviceRequest(count=spec.gpus, capabilities=[["gpu"]])]
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
        with docker_engine.connected() as client:
            try:
                container = client.containers.get(replica.container)
                container.start()
                container.reload()
            except docker.errors.NotFound:
                return False
            found = _replica(container)
            replica.ports, replica.host = found.ports, found.host
            return True

    def running(self) -> dict[str, tuple[str, str]]:
        """Our containers that run: their deployment and replica key by container id."""
        return {
            each["Id"]: (_deployment(each), each["Labels"].get(REPLICA_LABEL, ""))
            for each in self._ours(everything=False)
        }

    def adopt(self, deployment: str, spec: ServingSpec) -> list[Replica]:
        """Containers of a spec that still run."""
        replicas = []
        for id_, labels in self.running().items():
            if labels == (deployment, spec.replica_key):
                with docker_engine.connected() as client, self._isolation.joining(spec.isolation):
                    replicas.append(_replica(client.containers.get(id_)))
        return replicas

    def ended(self, replica: Replica) -> str | None:
        """How a container ended (one line); None while it runs."""
        with docker_engine.connected() as client:
            try:
                container = client.containers.get(replica.container)
            except docker.errors.NotFound:
                return "it was removed"
            if container.status in {"running", "created", "restarting"}:
                found = _replica(container)
                replica.ports, replica.host = found.ports or replica.ports, found.host
                return None
            state = container.attrs["State"]
            memory = ", out of memory" if state.get("OOMKilled") else ""
            return f"exit code {state.get('ExitCode')}{memory}"

    def log(self, replica: Replica, tail: int = LOG_LINES) -> str:
        """The last lines that a container has written."""
        with docker_engine.connected() as client:
            try:
                written: bytes = client.containers.get(replica.container).logs(tail=tail)
            except docker.errors.NotFound:
                return ""
            return written.decode(errors="replace")

    def remove(self, replicas: Iterable[Replica]) -> None:
        """Remove containers; those that are gone do not matter."""
        for replica in replicas:
            with docker_engine.connected() as client, suppress(docker.errors.NotFound):
                client.containers.get(replica.container).remove(force=True, v=True)

    def sweep(self, keep: Callable[[str, str], bool]) -> None:
        """Remove those of our containers, running or not, that `keep` (container id, deployment) does not want."""
        containers = self._ours(everything=True)
        self.remove(Replica(each["Id"]) for each in containers if not keep(each["Id"], _deployment(each)))
        self._isolation.prune()

    def _ours(self, *, everything: bool) -> list[dict[str, Any]]:
        with docker_engine.connected() as client:
            containers: list[dict[str, Any]] = client.api.containers(
                all=everything, filters={"label": f"{STATE_LABEL}={self._state}"}
            )
            return containers


def _deployment(listed: dict[str, Any]) -> str:
    return str(listed["Labels"].get(DEPLOYMENT_LABEL, ""))


def _replica(container: Any) -> Replica:  # noqa: ANN401 - docker has no types
    """Where a container is reached: an isolated one, whose ports Docker does not publish, by its own address."""
    if host := host_of(container):
        inner = [int(each.partition("/")[0]) for each in container.attrs["Config"]["ExposedPorts"]]
        return Replica(container.id, {port: port for port in inner}, host)
    return Replica(container.id, _ports(container))


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
