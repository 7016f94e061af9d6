"""The Docker engine as the local Azure uses it: one client, one way to run the CLI with credentials, pulls.

Owns how the engine is reached, and which CLI can build with BuildKit. Containers and images are their services'.
Credentials reach the CLI by a DOCKER_CONFIG folder that lives as long as the command, never by arguments.
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

import docker
import requests
from docker.errors import APIError, DockerException

from emulator.core.errors import AzureError

#: The first docker CLI without a builder of its own: from here on BuildKit needs the buildx plugin.
_WITHOUT_BUILDER = 23
_BRIEF = 30
_KEPT = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION")


def client() -> docker.DockerClient:
    """The client that all share; refused with 503 while the engine does not answer."""
    try:
        found = _client()
        found.ping()
    except (DockerException, requests.RequestException, OSError) as error:
        _client.cache_clear()
        raise unreachable(error) from error
    return found


def unreachable(error: Exception | str) -> AzureError:
    """The one-line refusal while the engine does not answer."""
    text = " ".join(str(error).split())[:200]
    where = host() or "its default socket"
    return AzureError(
        503,
        "DockerEngineUnavailable",
        f"The Docker engine does not answer at {where}: start it, then try again ({text})",
    )


def pull(image: str, credentials: tuple[str, str] | None = None) -> str:
    """Pull an image as somebody (nobody by None); its id. What the registry refuses is 400 ImagePullFailed."""
    engine = client()
    sent = {"username": credentials[0], "password": credentials[1]} if credentials else {}
    repository, tag = _split(image)
    try:
        # Given always: without it the SDK would use what the user of this machine is logged in with.
        found = engine.images.pull(repository, tag=tag, auth_config=sent)
    except APIError as error:
        text = " ".join(str(error.explanation or error).split())
        raise AzureError(400, "ImagePullFailed", f"The image '{image}' cannot be pulled: {text}") from error
    except (DockerException, requests.RequestException) as error:
        raise unreachable(error) from error
    return str(found.id)


def forget(images: list[str]) -> None:
    """Take names off images in the engine, as far as it answers, they are there, and no container needs them."""
    for image in images:
        with suppress(APIError, AzureError):
            client().images.remove(image)


def names_in(login_server: str) -> list[str]:
    """The names (tags and digests) by which the engine holds images of a registry."""
    found: list[str] = []
    for image in client().images.list():
        names = [*image.tags, *(image.attrs.get("RepoDigests") or [])]
        found += [name for name in names if name.startswith(f"{login_server}/")]
    return found


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
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        where = host()
        yield {**kept, **({"DOCKER_HOST": where} if where else {}), "DOCKER_CONFIG": folder}


def run(command: list[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run a command to its end, which comes with ours at the latest; its exit status and what it has written."""
    guard = [found, "--pdeathsig", "TERM", "--"] if (found := shutil.which("setpriv")) else []
    done = subprocess.run(
        [*guard, *command],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()


def host() -> str | None:
    """Where the engine listens: DOCKER_HOST, else what the docker context says, else None (the default socket)."""
    return os.environ.get("DOCKER_HOST") or _context()


@functools.cache
def _context() -> str | None:
    # A DOCKER_CONFIG of our own hides the user's context (Docker Desktop, rootless), so that it is read before.
    program = shutil.which("docker")
    if program is None:
        return None
    told = _ask([program, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
    return told if told.startswith(("unix://", "tcp://", "ssh://", "npipe://")) else None


@functools.cache
def _client() -> docker.DockerClient:
    where = host()
    return docker.DockerClient(base_url=where) if where and "DOCKER_TLS_VERIFY" not in os.environ else docker.from_env()


@functools.cache
def _cli(path: str, *, buildkit: bool) -> str:
    folders = [*path.split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    found = [str(Path(folder) / "docker") for folder in dict.fromkeys(folders) if shutil.which("docker", path=folder)]
    if not found:
        raise AzureError(503, "DockerCliMissing", "There is no docker CLI on the PATH: install one (Debian: docker.io)")
    if not buildkit:
        return found[0]
    for program in found:
        version = re.search(r"version (\d+)\.", _ask([program, "--version"]))
        if version and (int(version[1]) < _WITHOUT_BUILDER or _ask([program, "buildx", "version"])):
            return program
    raise AzureError(
        503, "BuildKitMissing", f"{', '.join(found)} cannot build with BuildKit: install the docker-buildx plugin"
    )


def _ask(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BRIEF, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _split(image: str) -> tuple[str, str]:
    """An image's repository, and its tag or digest."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    repository, colon, tag = image.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (image, "latest")
