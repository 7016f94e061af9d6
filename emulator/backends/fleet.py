"""The containers of all deployments: started, probed, scaled, replaced without a lost request, and removed.

Owns which containers serve, and how many requests are inside one. Single containers are `containers`'.
"""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from emulator.backends.containers import LOG_LINES, Containers, CrashError, Files, Probe, Replica, ServingSpec, log
from emulator.backends.isolation import Approve
from emulator.core.errors import AzureError

_WATCH_PAUSE = 2.0
_RETRY_PAUSE = 10.0
_ERROR_LINES = 8
_ERROR_LENGTH = 1500
_DIED_WITHIN = 60.0


class RetiredError(Exception):
    """This pool takes no requests any more: ask the fleet again."""


class FullError(Exception):
    """As many requests are inside as Azure lets in."""


class AbsentError(Exception):
    """No replica is ready."""


@dataclass(frozen=True)
class Sample:
    """One answer: its time (seconds since 1970), its duration in seconds, and its status."""

    at: float
    seconds: float
    status: int


@dataclass
class DeploymentMetrics:
    """What one deployment has answered since the process started."""

    requests: int = 0
    failures: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    samples: deque["Sample"] = field(default_factory=lambda: deque(maxlen=100_000))

    @property
    def body(self) -> dict[str, Any]:
        """As JSON; latencies in milliseconds, of the last thousand requests."""
        ordered = sorted(self.seconds)
        latencies = {
            f"p{percent}": round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 2)
            for percent in (50, 95, 99)
            if ordered
        }
        return {"requests": self.requests, "failures": self.failures, "latencyMilliseconds": latencies}


class Pool:
    """The replicas that serve one deployment by one spec. Thread-safe."""

    def __init__(self, spec: ServingSpec, replicas: list[Replica]) -> None:
        self.spec = spec
        self.replicas = replicas
        self.scaling = False
        self._inside = 0
        self._retired = False
        self._change = threading.Condition()

    def enter(self) -> Replica:
        """Enter the least busy replica, until `leave`."""
        with self._change:
            if self._retired:
                raise RetiredError
            ready = [each for each in self.replicas if each.ready]
            if not ready:
                raise AbsentError
            if self._inside >= self.spec.limit:
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
        """Leave a replica."""
        with self._change:
            replica.busy -= 1
            self._inside -= 1
            self._change.notify_all()

    def retire(self, seconds: float) -> None:
        """Refuse new requests, and wait until those inside have ended."""
        with self._change:
            self._retired = True
            self._change.wait_for(lambda: self._inside == 0, seconds)


class Fleet:
    """All deployments of one local Azure that serve, by their ARM id in lower case."""

    def __init__(self, folder: Path, files: Files, approve: Approve) -> None:
        self.containers = Containers(folder, files, approve)
        self.pools: dict[str, Pool] = {}
        self.metrics: dict[str, DeploymentMetrics] = {}
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
        spec: ServingSpec,
        *,
        fail_probes: bool = False,
        resuming: bool = False,
        over: "Pool | None" = None,
    ) -> None:
        """Bring a spec into service: new containers start and become ready before old ones go.

        Raises `CrashError` where they do not become ready; what served before then serves on. Where it only brings back
        what served before a restart (`resuming`), it gives way to a spec that serves by now; where it only scales a
        pool (`over`), to any other.
        """
        with self._work(), self._held(deployment):
            old = self.pools.get(deployment)
            if (resuming and old is not None) or (over is not None and old is not over):
                return
            reused: list[Replica] = []
            if old and old.spec.replica_key == spec.replica_key:
                reused = [each for each in old.replicas if each.ready][: spec.replicas]
            elif old is None:
                reused = self._wait_all(deployment, self.containers.adopt(deployment, spec)[: spec.replicas], spec)
            started: list[Replica] = []
            try:
                while len(reused) + len(started) < spec.replicas:
                    started.append(self.containers.start(deployment, spec))
                for replica in started:
                    self._wait(replica, spec, fail_probes=fail_probes)
            except CrashError as error:
                self._keep_log(deployment, error.log)
                self.containers.remove(started)
                raise
            except BaseException:
                with suppress(AzureError):
                    self.containers.remove(started)
                raise
            self._switch(deployment, Pool(spec, [*reused, *started]))

    def drop(self, deployment: str) -> None:
        """Take a deployment out of service and remove its containers; requests inside end first."""
        with self._held(deployment):
            pool = self.pools.pop(deployment, None)
            if pool is not None:
                pool.retire(pool.spec.timeout + 1)
            self.containers.sweep(lambda _, other: other != deployment)
            self.metrics.pop(deployment, None)
            self._log_file(deployment).unlink(missing_ok=True)

    def log(self, deployment: str, tail: int = LOG_LINES) -> str:
        """What a deployment's containers have written; after a failure, the stored end of it."""
        pool = self.pools.get(deployment)
        if pool is None:
            file = self._log_file(deployment)
            text = file.read_text() if file.exists() else ""
        else:
            text = "".join(self.containers.log(each, tail) for each in pool.replicas)
        return "\n".join(text.splitlines()[-tail:])

    def record(self, deployment: str, seconds: float, status: int) -> None:
        """Note one answer."""
        with self._lock:
            metrics = self.metrics.setdefault(deployment, DeploymentMetrics())
            metrics.requests += 1
            metrics.failures += status >= httpx.codes.BAD_REQUEST
            metrics.seconds.append(seconds)
            metrics.samples.append(Sample(time.time(), seconds, status))

    def samples(self, endpoint: str) -> dict[str, list[Sample]]:
        """What the deployments of an endpoint have answered, by their names in lower case."""
        prefix = f"{endpoint}/deployments/"
        with self._lock:
            return {
                key.removeprefix(prefix): list(metrics.samples)
                for key, metrics in self.metrics.items()
                if key.startswith(prefix)
            }

    def watch(self) -> None:
        """Keep an eye on containers from now on: start again what ends."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._keep_watch, name="containers", daemon=True)
            self._watcher.start()

    def suspend(self) -> None:
        """End everything: unfinished starts are abandoned, all containers are removed."""
        self.stopping.set()
        with self._change:
            self._change.wait_for(lambda: self._working == 0, _DIED_WITHIN)
        for deployment, pool in self.pools.items():
            pool.retire(0)
            with suppress(AzureError):
                self._keep_log(deployment, "".join(self.containers.log(each) for each in pool.replicas))
        self.pools.clear()
        self.containers.sweep(lambda *_: False)

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
            old.retire(old.spec.timeout + 1)
        # Also those that earlier troubles have left behind.
        serving = {each.container for each in pool.replicas}
        self.containers.sweep(lambda container, other: other != deployment or container in serving)

    def _wait_all(self, deployment: str, replicas: list[Replica], spec: ServingSpec) -> list[Replica]:
        ready = []
        for replica in replicas:
            try:
                self._wait(replica, spec)
            except CrashError as error:
                log.warning("%s: an old container is abandoned: %s", deployment, error)
                self.containers.remove([replica])
            else:
                ready.append(replica)
        return ready

    def _wait(self, replica: Replica, spec: ServingSpec, *, fail_probes: bool = False) -> None:
        """Poll a container's probes until both have succeeded. The initial delay is not slept, it adds to the limit."""
        end = time.monotonic() + max(spec.liveness.limit, spec.readiness.limit)
        left = {"liveness": spec.liveness.successes, "readiness": spec.readiness.successes}
        pause, reason = 0.1, "no answer yet"
        while True:
            self._demand_time()
            ended = self.containers.ended(replica)
            if ended is not None:
                raise self._crash(f"User container has crashed or terminated ({ended})", replica)
            for name, probe in (("liveness", spec.liveness), ("readiness", spec.readiness)):
                if left[name] > 0:
                    failure = "refused by a fault" if fail_probes else _ask(replica, probe)
                    reason = reason if failure is None else f"{name} probe GET :{probe.port}{probe.path}: {failure}"
                    left[name] = probe.successes if failure else left[name] - 1
            if all(count <= 0 for count in left.values()):
                replica.ready = True
                return
            if time.monotonic() > end:
                raise self._crash(f"User container is not ready after {end_of(spec):g} s ({reason})", replica)
            self.stopping.wait(pause)
            pause = min(pause * 1.3, 1.0)

    def _crash(self, text: str, replica: Replica) -> CrashError:
        log = self.containers.log(replica)
        lines = [line.strip() for line in log.splitlines() if line.strip()][-_ERROR_LINES:]
        tail = " | ".join(lines)[-_ERROR_LENGTH:] or "it has written nothing"
        return CrashError(f"{text}; its last lines: {tail}", log)

    def _keep_watch(self) -> None:
        while not self.stopping.wait(_WATCH_PAUSE):
            if not self.pools:
                continue
            try:
                running = self.containers.running()
            except AzureError as error:
                log.warning("%s", error)
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
            instances = pool.spec.wanted(pool.inside)
            if instances != pool.spec.instances and not pool.scaling:
                pool.scaling = True
                threading.Thread(target=self._scale, args=(deployment, pool, instances), daemon=True).start()

    def _scale(self, deployment: str, pool: Pool, instances: int) -> None:
        log.info("%s: %d instances, %d are wanted", deployment, pool.spec.instances, instances)
        try:
            self.deploy(deployment, pool.spec.model_copy(update={"instances": instances}), over=pool)
        except (AzureError, CrashError) as error:
            log.warning("%s does not scale: %s", deployment, error)
        finally:
            pool.scaling = False

    def _repair(self, deployment: str, pool: Pool, replica: Replica) -> None:
        log.warning("%s: a container has ended; it is started again", deployment)
        try:
            with self._work():
                if not self.containers.restart(replica):
                    fresh = self.containers.start(deployment, pool.spec)
                    replica.container, replica.ports, replica.host = fresh.container, fresh.ports, fresh.host
                if self.pools.get(deployment) is pool:
                    self._wait(replica, pool.spec)
                if self.pools.get(deployment) is not pool:
                    self.containers.remove([replica])
        except (AzureError, CrashError) as error:
            log.warning("%s: %s", deployment, error)
            replica.retry_at = time.monotonic() + _RETRY_PAUSE
        finally:
            replica.repairing = False

    def _log_file(self, deployment: str) -> Path:
        return self._logs / f"{hashlib.sha256(deployment.encode()).hexdigest()[:32]}.log"

    def _keep_log(self, deployment: str, text: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._log_file(deployment).write_text(text)


def end_of(spec: ServingSpec) -> float:
    """After how many seconds a container of a spec must be ready."""
    return max(spec.liveness.limit, spec.readiness.limit)


def _ask(replica: Replica, probe: Probe) -> str | None:
    """Probe once: None where it succeeds, else why not."""
    port = replica.ports.get(probe.port)
    if port is None:
        return "the port is not open"
    try:
        with httpx.Client(trust_env=False, timeout=probe.timeout) as client:
            response = client.get(f"http://{replica.host}:{port}/{probe.path.lstrip('/')}")
    except httpx.HTTPError as error:
        return type(error).__name__
    return None if response.status_code < httpx.codes.BAD_REQUEST else f"HTTP {response.status_code}"
