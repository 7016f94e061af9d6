"""The registry server: one real `docker-registry` (distribution) process for each registry.

Owns the process: its configuration, its start and its end, and what an emulator that was killed has left behind.
Knows no Azure: who may do what is said by the tokens that the process demands.
https://distribution.github.io/distribution/about/configuration/
"""

import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import yaml

from emulator.backends.processes import guarded
from emulator.core.errors import AzureError

_PATIENCE = 60.0
_GRACE = 10.0
_PAUSE = 0.05
#: Linux ends a child marked so when the *thread* that started it ends: all are started by this one, which lives as long
#: as the process.
_STARTER = ThreadPoolExecutor(1, "registry-starter")


class PortTakenError(AzureError):
    """Another process listens on the registry's port."""

    def __init__(self, port: int) -> None:
        text = f"port {port} is in use: end what listens there, then start the local Azure again"
        super().__init__(503, "PortInUse", text)


@dataclass(frozen=True)
class Settings:
    """What one registry server needs to know. `folder` holds all of it: configuration, images, log, pid."""

    folder: Path
    port: int
    service: str
    realm: str
    issuer: str
    certificate: str


class Server:
    """One running registry server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        program = shutil.which("docker-registry") or shutil.which("registry")
        if program is None:
            raise AzureError(
                503, "RegistryServerMissing", "docker-registry is not on the PATH: install it (Debian: docker-registry)"
            )
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "config.yml"
        self._pid = folder / "pid"
        self._log = folder / "registry.log"
        _end_leftover(self._pid, self._file)
        (folder / "tokens.pem").write_text(settings.certificate, encoding="utf-8")
        self._file.write_text(yaml.safe_dump(_configuration(settings)), encoding="utf-8")
        self._begin = self._log.stat().st_size if self._log.exists() else 0
        self._process = _STARTER.submit(self._start, program).result()
        self._pid.write_text(str(self._process.pid), encoding="utf-8")
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._pid.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    def _start(self, program: str) -> subprocess.Popen[bytes]:
        # Even a killed emulator takes its registries along, where the system can do that.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                guarded([program, "serve", str(self._file)]),
                cwd=self.settings.folder,
                env=inherited,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            # Asked first: a stranger on the port answers too.
            if self._process.poll() is not None:
                if "address already in use" in self._said():
                    raise PortTakenError(self.settings.port)
                break
            if self._answers():
                return
            time.sleep(_PAUSE)
        text = " ".join(self._said().splitlines()[-1:])
        raise AzureError(
            503, "RegistryServerFailed", f"docker-registry does not start for {self.settings.service}: {text}"
        )

    def _answers(self) -> bool:
        try:
            reply = httpx.get(f"http://127.0.0.1:{self.settings.port}/v2/", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        challenge = reply.headers.get("www-authenticate", "")
        return reply.status_code == HTTPStatus.UNAUTHORIZED and f'service="{self.settings.service}"' in challenge

    def _said(self) -> str:
        """What this very process has written."""
        with self._log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode("utf-8", "replace")


def _configuration(settings: Settings) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(settings.folder / "data")},
            "delete": {"enabled": True},
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {"addr": f"127.0.0.1:{settings.port}", "headers": {"X-Content-Type-Options": ["nosniff"]}},
        "auth": {
            "token": {
                "realm": settings.realm,
                "service": settings.service,
                "issuer": settings.issuer,
                "rootcertbundle": str(settings.folder / "tokens.pem"),
            }
        },
    }


def _end_leftover(pid: Path, configuration: Path) -> None:
    """End the server that a killed emulator has left behind, if the pid is still that server."""
    try:
        number = int(pid.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _GRACE
        while _is_ours(number, configuration) and time.monotonic() < end:
            try:
                os.kill(number, signal_number)
            except ProcessLookupError:
                break
            time.sleep(_PAUSE)
    pid.unlink(missing_ok=True)


def _is_ours(number: int, configuration: Path) -> bool:
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(configuration).encode() in words
