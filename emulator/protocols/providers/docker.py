"""The docker provider's fake: `docker.Image` by a real `docker build` and push, `docker.RegistryImage` by a push.

Owns the provider's ways (what is hashed, what counts as a change, where credentials go). Building and pushing is the
Docker engine's. Credentials only stand in a temporary DOCKER_CONFIG folder; build arguments travel by the environment.
https://www.pulumi.com/registry/packages/docker/api-docs/image/
"""

import hashlib
import json
import os
import platform
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from docker.utils.build import exclude_paths

from emulator.backends import docker_engine
from emulator.backends.image_names import pushed_digest, split_reference
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.protocols.providers.base import (
    UNKNOWN,
    Change,
    CheckFailure,
    FakeProvider,
    ResourceHandler,
    Step,
    Values,
    client,
    has_unknown,
)
from emulator.services.containerregistry import access as registry_access
from emulator.services.network import access as network

_BAD_REQUEST = 400
_SHOWN_LINES = 3
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Image(ResourceHandler):
    """`docker.Image`; its id is the image's name."""

    computed = frozenset({"baseImageName", "context", "dockerfile", "platform", "registryServer", "repoDigest"})
    stable = frozenset()

    def __init__(self, azure: Azure) -> None:
        self._azure = azure

    def check(self, step: Step, old: Values, new: Values) -> Values:  # noqa: ARG002
        """Hash the context, so that the diff sees what changed in it."""
        build = dict(new.get("build") or {})
        if has_unknown({name: build.get(name) for name in ("context", "dockerfile")}):
            return {**new, "build": {**build, "contextDigest": UNKNOWN}}
        context = Path(build.get("context") or ".")
        dockerfile = Path(build.get("dockerfile") or context / "Dockerfile")
        if not context.is_absolute():
            raise CheckFailure(
                "build.context", f"context '{context}' is relative: give an absolute path, this provider runs elsewhere"
            )
        if not dockerfile.is_file():
            where = "absolute" if dockerfile.is_absolute() else "relative"
            raise CheckFailure(
                "build.dockerfile", f"could not open dockerfile at {where} path {dockerfile}: no such file"
            )
        name = str(new.get("imageName") or "")
        if not name:
            raise CheckFailure("imageName", "Missing required property 'imageName'")
        if not new.get("skipPush") and name != UNKNOWN and "/" not in name:
            raise CheckFailure("imageName", f'"{name}" must be a fully qualified image name, such as "host/{name}"')
        build["contextDigest"] = hash_context(context, dockerfile)
        build.setdefault("platform", f"linux/{_MACHINES.get(platform.machine(), platform.machine())}")
        return {**new, "build": build}

    def ignored(self, change: Change, old: Values, new: Values) -> bool:  # noqa: ARG002
        """Another user or password builds no other image."""
        return change.path in {"registry.username", "registry.password"}

    def create(self, step: Step, new: Values) -> tuple[str, Values]:  # noqa: ARG002
        """Build, and push unless `skipPush`."""
        return str(new["imageName"]), self._made(new)

    def read(self, id_: str, outputs: Values) -> Values | None:  # noqa: ARG002
        """As the real provider: the state, unread."""
        return outputs

    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:  # noqa: ARG002
        """Build and push again."""
        return self._made(new)

    def delete(self, id_: str, outputs: Values) -> None:
        """The real one leaves the image where it is."""

    def _made(self, new: Values) -> Values:
        build, name = new.get("build") or {}, str(new["imageName"])
        context = Path(build.get("context") or ".")
        dockerfile = Path(build.get("dockerfile") or context / "Dockerfile")
        arguments = {str(key): str(value) for key, value in (build.get("args") or {}).items()}
        command = ["build", "--file", str(dockerfile), "--tag", name, "--platform", str(build["platform"])]
        command += [part for key in arguments for part in ("--build-arg", key)]
        command += ["--target", str(build["target"])] if build.get("target") else []
        command += ["--network", str(build["network"])] if build.get("network") else []
        command += [part for host in build.get("addHosts") or [] for part in ("--add-host", str(host))]
        registry = new.get("registry") or {}
        with signed_in(self._azure, registry) as environment:
            with self._azure.writing("builds"):
                run_docker(
                    [*command, *docker_engine.pip_secret(), str(context)],
                    {**environment, **arguments, "DOCKER_BUILDKIT": "1"},
                )
            digest = ""
            if not new.get("skipPush"):
                with self._azure.writing("uploads"):
                    digest = push(name, environment)
        if self._azure.faults.get("no-digest"):
            # What the provider tells when the engine's answer to the push has none, and the image's list neither.
            # https://github.com/pulumi/pulumi-docker/blob/master/provider/image.go (nodigest)
            digest = "<none>@<none>"
        outputs = {
            "baseImageName": name,
            "imageName": name,
            "context": str(context),
            "dockerfile": str(dockerfile),
            "platform": build["platform"],
            "registryServer": registry.get("server") or "",
        }
        return {**new, **outputs, **({"repoDigest": digest} if digest else {})}


class RegistryImage(ResourceHandler):
    """`docker.RegistryImage`: a local image, pushed. The password comes with the resource or the provider's config."""

    required = ("name",)
    computed = frozenset({"sha256Digest"})
    stable = frozenset({"sha256Digest"})
    replaces = frozenset({"name", "triggers"})

    def __init__(self, azure: Azure, settings: Mapping[str, object]) -> None:
        self._azure = azure
        self._settings = settings

    def create(self, step: Step, new: Values) -> tuple[str, Values]:  # noqa: ARG002
        """Push."""
        with signed_in(self._azure, self._credentials(new)) as environment, self._azure.writing("uploads"):
            digest = push(str(new["name"]), environment).rpartition("@")[2]
        return digest, {**new, "sha256Digest": digest}

    def read(self, id_: str, outputs: Values) -> Values | None:  # noqa: ARG002
        """What the state has stands."""
        return outputs

    def update(self, step: Step, id_: str, old: Values, new: Values) -> Values:  # noqa: ARG002
        """What does not replace changes nothing in the registry."""
        return {**new, "sha256Digest": old.get("sha256Digest", id_)}

    def delete(self, id_: str, outputs: Values) -> None:
        """The registry keeps it."""

    def _credentials(self, new: Values) -> Values:
        own = new.get("authConfig")
        if isinstance(own, dict):
            return {"server": own.get("address"), "username": own.get("username"), "password": own.get("password")}
        configured = self._settings.get("registryAuth")
        host = str(new["name"]).split("/", 1)[0]
        for each in (
            json.loads(configured)
            if isinstance(configured, str)
            else configured
            if isinstance(configured, list)
            else []
        ):
            if str(each.get("address", "")).removeprefix("https://") == host:
                return {"server": host, "username": each.get("username"), "password": each.get("password")}
        return {}


class Docker(FakeProvider):
    """docker, with this machine's own engine."""

    name: ClassVar[str] = "docker"
    module: ClassVar[str] = "pulumi_docker"

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self.handlers = {
            "docker:index/image:Image": Image(azure),
            "docker:index/registryImage:RegistryImage": RegistryImage(azure, self.settings),
        }


def hash_context(context: Path, dockerfile: Path) -> str:
    """A digest of what the build would see: the names, modes and contents that .dockerignore lets through."""
    ignore = context / ".dockerignore"
    lines = ignore.read_text("utf-8").splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    total = hashlib.sha256(dockerfile.read_bytes())
    for name in sorted(exclude_paths(str(context), patterns)):
        path = context / name
        if path.is_symlink():
            total.update(f"\0{name}\0link\0{path.readlink()}".encode())
        elif path.is_file():
            mode = stat.S_IMODE(path.stat().st_mode)
            total.update(f"\0{name}\0{mode:o}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def push(name: str, environment: Mapping[str, str]) -> str:
    """Push an image; its reference by digest."""
    digest = pushed_digest(run_docker(["push", name], environment))
    if digest is None:
        raise AzureError(_BAD_REQUEST, "PushFailed", f"{name} was pushed, but docker printed no digest for it")
    return f"{split_reference(name)[0]}@{digest}"


def run_docker(command: list[str], environment: Mapping[str, str]) -> list[str]:
    """Run the Docker CLI; a failure repeats the last lines of its output that report an error."""
    code, lines = docker_engine.run([docker_engine.cli(buildkit=True), *command], environment)
    if code != 0:
        errors = [line.strip() for line in lines if re.search(r"error|denied|fail|not found", line, re.IGNORECASE)]
        text = " | ".join((errors or [line.strip() for line in lines if line.strip()])[-_SHOWN_LINES:])
        raise AzureError(_BAD_REQUEST, "DockerFailed", f"docker {command[0]} ended with {code}: {text}")
    return lines


@contextmanager
def signed_in(azure: Azure, registry: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """The CLI's environment with a registry's credentials; without any, the user's own logins hold.

    Docker's engine stands where Pulumi's does: the real provider would reach it by a socket.
    """
    server, user, password = (str(registry.get(key) or "") for key in ("server", "username", "password"))
    if not (server and user and password):
        yield dict(os.environ)
        return
    host = server.removeprefix("https://").rstrip("/")
    found = registry_access.find(azure, host)
    if found is not None and not network.is_open(found):
        user, password = registry_access.login_from(azure, found, user, password, client())
    with docker_engine.environment({host: (user, password)}) as environment:
        yield environment
