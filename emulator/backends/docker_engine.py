"""The Docker engine: the one client that builds and containers share, and the CLI with credentials.

Owns how the engine is reached, and which CLI can build with BuildKit. Credentials reach the CLI by a DOCKER_CONFIG
folder that lives as long as the command, never by arguments.
"""

import base64
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from emulator.backends.processes import guarded
from emulator.core.errors import AzureError

_TIMEOUT = 900
#: The first docker CLI without a builder of its own: from here on BuildKit needs the buildx plugin.
_WITHOUT_BUILDER = 23
_CLI_TIMEOUT = 30
_INHERITED = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION")


@contextmanager
def connected() -> Iterator[Any]:  # the types of docker lack what is used here
    """The client. What the engine does not have is `docker.errors.NotFound`, every other failure a 503 of one line."""
    try:
        yield _client(host())
    except NotFound:
        raise
    except (DockerException, requests.RequestException) as error:
        raise _failure(error) from error


def demand() -> None:
    """Refuse with 503 while the engine does not answer."""
    with connected() as client:
        client.ping()


def close() -> None:
    """Close the connection; the next call opens another."""
    if _client.cache_info().currsize:
        _client(host()).close()
        _client.cache_clear()


def forget(images: list[str]) -> None:
    """Remove names of images from the engine, unless it does not answer or a container needs them."""
    for image in images:
        with suppress(AzureError, NotFound), connected() as client:
            client.images.remove(image)


def names_in(login_server: str) -> list[str]:
    """The names (tags and digests) by which the engine holds images of a registry."""
    with connected() as client:
        # One answer: `images.list` asks for each image again, and fails where another process removes one meanwhile.
        listed = client.api.images()
    names = [name for image in listed for kind in ("RepoTags", "RepoDigests") for name in image.get(kind) or []]
    return [name for name in names if name.startswith(f"{login_server}/")]


def cli(*, buildkit: bool) -> str:
    """A docker CLI, or with `buildkit` one that can build with BuildKit (503 with the remedy where there is none)."""
    return _cli(os.environ.get("PATH", ""), buildkit=buildkit)


@contextmanager
def environment(credentials: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, str]]:
    """A small environment in which the docker CLI reaches the engine, logged in to registries by host."""
    with tempfile.TemporaryDirectory(prefix="docker-config-") as folder:
        auths = {
            server: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
            for server, (user, password) in credentials.items()
        }
        plugins = Path.home() / ".docker" / "cli-plugins"
        settings: dict[str, object] = {"auths": auths}
        if plugins.is_dir():
            settings["cliPluginsExtraDirs"] = [str(plugins)]
        file = Path(folder) / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(settings), encoding="utf-8")
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        address = host()
        yield {**inherited, **({"DOCKER_HOST": address} if address else {}), "DOCKER_CONFIG": folder}


def pip_secret() -> list[str]:
    """Options of `docker build` for a package index behind a private CA: its bundle as a secret, never in the image."""
    bundle = os.environ.get("PIP_CERT", "")
    return ["--secret", f"id=pip-ca,src={bundle}"] if bundle and Path(bundle).is_file() else []


def run(command: list[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run a command to its end; its exit status and the lines that it has written."""
    done = subprocess.run(
        guarded(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()


def host() -> str | None:
    """Where the engine listens: DOCKER_HOST, else what the docker context says, else None (the default socket)."""
    return os.environ.get("DOCKER_HOST") or _context_host()


def _failure(error: Exception) -> AzureError:
    address = host() or "its default socket"
    if isinstance(error, APIError):
        text = " ".join(str(error.explanation or error).split())
        return AzureError(503, "DockerEngineFailed", f"The Docker engine at {address} refuses: {text}")
    text = " ".join(str(error).split())[:200]
    return AzureError(
        503,
        "DockerEngineUnavailable",
        f"The Docker engine does not answer at {address}: start it, then try again ({text})",
    )


@functools.cache
def _context_host() -> str | None:
    # A DOCKER_CONFIG of our own hides the user's context (Docker Desktop, rootless), so that it is read before.
    program = shutil.which("docker")
    if program is None:
        return None
    output = _output([program, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    return output if output.startswith(("unix://", "tcp://", "ssh://", "npipe://")) else None


@functools.cache
def _client(address: str | None) -> docker.DockerClient:
    if address and "DOCKER_TLS_VERIFY" not in os.environ:
        return docker.DockerClient(base_url=address, timeout=_TIMEOUT)
    return docker.from_env(timeout=_TIMEOUT)


@functools.cache
def _cli(path: str, *, buildkit: bool) -> str:
    folders = [*path.split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    programs = [
        str(Path(folder) / "docker") for folder in dict.fromkeys(folders) if shutil.which("docker", path=folder)
    ]
    if not programs:
        raise AzureError(503, "DockerCliMissing", "There is no docker CLI on the PATH: install one (Debian: docker.io)")
    if not buildkit:
        return programs[0]
    for program in programs:
        version = re.search(r"version (\d+)\.", _output([program, "--version"]))
        if version and (int(version[1]) < _WITHOUT_BUILDER or _output([program, "buildx", "version"])):
            return program
    raise AzureError(
        503, "BuildKitMissing", f"{', '.join(programs)} cannot build with BuildKit: install the docker-buildx plugin"
    )


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CLI_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
