"""A run request and its task file, read into the steps of a build agent. Pure.

Owns the reading and every refusal that needs no engine. Task files may build and push; a `cmd` step, which runs any
container, is refused by name.
https://learn.microsoft.com/azure/container-registry/container-registry-tasks-reference-yaml
"""

import base64
import binascii
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from emulator.core.errors import AzureError

_VALUED = frozenset(
    """
    --build-arg --cache-from --cpu-period --cpu-quota --cpu-shares --cpuset-cpus --file --isolation --label --memory
    --memory-swap --platform --progress --secret --shm-size --tag --target --ulimit
    """.split()  # noqa: SIM905 - a list would be eighteen lines
)
_FLAGS = {"--compress", "--force-rm", "--no-cache", "--pull", "--rm", "--quiet"}
_SHORT = {"-t": "--tag", "-f": "--file", "-m": "--memory", "-q": "--quiet"}
_DROPPED = {"--isolation", "--progress", "--quiet"}
#: Names that mean something to the docker CLI itself: such a build argument cannot travel by environment.
_OWN = re.compile(r"(PATH|HOME|TMPDIR|LD_.*|DOCKER_.*|BUILDKIT_.*|BUILDX_.*)", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEMPLATE = re.compile(r"\{\{\s*\.(\w+)\.(\w+)\s*(\|\s*b64enc\s*)?\}\}")
_REFERENCE = re.compile(
    r"(?P<host>[a-zA-Z0-9.-]+(:\d+)?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(:(?P<tag>[\w][\w.-]{0,127}))?"
)
#: As the agent checks the names of volumes and of the files in them.
_VOLUME = re.compile(r"[a-zA-Z0-9_-]+")
_SECRET_FILE = re.compile(r"[a-zA-Z0-9_.-]+")
_SHORTEST, _LONGEST, _USUAL = 300, 28800, 3600
_STEPS = ("build", "push", "cmd")


@dataclass(frozen=True)
class Image:
    """A name under which an image is pushed."""

    host: str
    repository: str
    tag: str

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{self.host}/{self.repository}:{self.tag}"


@dataclass(frozen=True)
class Build:
    """One `docker build`. Values of build arguments stand in `variables`, not in `options`."""

    images: tuple[Image, ...]
    context: str = "."
    dockerfile: str = "Dockerfile"
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    buildkit: bool = False
    #: What `--secret` mounts, by id.
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Push:
    """Pushes, one after the other."""

    images: tuple[Image, ...]


@dataclass(frozen=True)
class Task:
    """All that a run does."""

    steps: tuple[Build | Push, ...]
    source: str
    timeout: int = _USUAL
    platform: str = "linux/amd64"
    #: Texts that must not show in the log.
    hidden: frozenset[str] = field(default_factory=frozenset, repr=False)
    #: Credentials for other registries, by host.
    credentials: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    #: The run's identity in its own registry: "agent" (the service's own right), "caller", or "none".
    acts_as: str = "agent"

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image that is built."""
        return tuple(image for step in self.steps if isinstance(step, Build) for image in step.images)


@dataclass(frozen=True)
class Run:
    """What templates may ask of a run."""

    id: str
    registry: str
    name: str
    date: str

    @property
    def values(self) -> dict[str, str]:
        """By the names that `{{.Run.…}}` has."""
        return {
            "ID": self.id,
            "Registry": self.registry,
            "RegistryName": self.name,
            "Date": self.date,
            "OS": "linux",
            "Architecture": "amd64",
        }


def read(body: dict[str, Any], run: Run) -> Task:
    """Read a scheduleRun request."""
    kind = body.get("type")
    platform = _platform(body.get("platform") or {})
    timeout = body.get("timeout") or _USUAL
    if not isinstance(timeout, int) or not _SHORTEST <= timeout <= _LONGEST:
        raise _bad(f"timeout {timeout} is not between {_SHORTEST} and {_LONGEST} seconds")
    if kind == "EncodedTaskRunRequest":
        steps, hidden = _encoded(body, run)
    elif kind == "DockerBuildRequest":
        steps, hidden = _docker_build(body, run)
    else:
        raise _bad(f"type '{kind}' is not served here: use EncodedTaskRunRequest or DockerBuildRequest")
    source = str(body.get("sourceLocation") or "")
    if not source:
        raise _bad("sourceLocation is missing: upload the context to the URL of listBuildSourceUploadUrl first")
    credentials, acts_as = _credentials(body.get("credentials") or {})
    return Task(tuple(steps), source, timeout, platform, frozenset(hidden), credentials, acts_as)


def _platform(requested: dict[str, Any]) -> str:
    system, architecture = str(requested.get("os") or "").lower(), str(requested.get("architecture") or "amd64").lower()
    if system != "linux":
        raise _bad(f"platform.os '{requested.get('os')}' is not served here: use Linux")
    if architecture not in {"amd64", "arm64", "arm"}:
        raise _bad(f"platform.architecture '{architecture}' is none of amd64, arm64, arm")
    return f"{system}/{architecture}"


def _credentials(requested: dict[str, Any]) -> tuple[dict[str, tuple[str, str]], str]:
    custom = {}
    for server, login in (requested.get("customRegistries") or {}).items():
        pair = [(login.get(part) or {}).get("value") for part in ("userName", "password")]
        if not all(isinstance(each, str) and each for each in pair):
            raise _bad(f"credentials.customRegistries['{server}'] needs userName.value and password.value")
        custom[str(server)] = (str(pair[0]), str(pair[1]))
    own = requested.get("sourceRegistry") or {}
    if own.get("identity") == "[caller]":
        return custom, "caller"
    return custom, "none" if own.get("loginMode") == "None" or own.get("identity") == "none" else "agent"


# DockerBuildRequest


def _docker_build(body: dict[str, Any], run: Run) -> tuple[list[Build | Push], set[str]]:
    names = [_expand(str(name), run, {}, aliases=False) for name in body.get("imageNames") or []]
    images = tuple(
        _image(name if name.startswith(f"{run.registry}/") else f"{run.registry}/{name}", run) for name in names
    )
    options, variables, hidden = [], {}, set()
    for argument in body.get("arguments") or []:
        name, value = str(argument.get("name") or ""), str(argument.get("value") or "")
        if not _VARIABLE.fullmatch(name) or _OWN.fullmatch(name):
            raise _bad(f"arguments: '{name}' is not the name of a build argument")
        options += ["--build-arg", name]
        variables[name] = value
        if argument.get("isSecret"):
            hidden.add(value)
    options += ["--no-cache"] if body.get("noCache") else []
    options += ["--target", str(body["target"])] if body.get("target") else []
    build = Build(images, ".", str(body.get("dockerFilePath") or "Dockerfile"), tuple(options), variables)
    pushes = [Push(images)] if images and body.get("isPushEnabled", True) else []
    return [build, *pushes], hidden


# EncodedTaskRunRequest


def _encoded(body: dict[str, Any], run: Run) -> tuple[list[Build | Push], set[str]]:
    values, hidden = _values(body)
    task = _yaml("encodedTaskContent", body.get("encodedTaskContent"))
    if not isinstance(task, dict) or not isinstance(task.get("steps"), list) or not task["steps"]:
        raise _bad("encodedTaskContent is no task file: it has no list of steps")
    # Aliases such as $Registry came with version 1.1.0 of the format.
    aliases = str(task.get("version") or "v1.0.0") not in {"v1.0.0", "1.0-preview-1"}
    common = _environment("env", task.get("env"))
    volumes = _volumes(task.get("volumes") or [], run, values, aliases=aliases)
    steps: list[Build | Push] = []
    for number, step in enumerate(task["steps"], 1):
        what = f"step {number}"
        kinds = [kind for kind in _STEPS if isinstance(step, dict) and kind in step]
        if len(kinds) != 1:
            raise _bad(f"{what} of the task is not one of {', '.join(_STEPS)}")
        if kinds == ["cmd"]:
            raise _bad(f"{what} of the task is a cmd, which the local Azure does not run: use build and push")
        variables = common | _environment(what, step.get("env"))
        if kinds == ["push"]:
            names = step["push"] if isinstance(step["push"], list) else [step["push"]]
            steps.append(Push(tuple(_image(_expand(str(name), run, values, aliases=aliases), run) for name in names)))
        else:
            text = _expand(str(step["build"]), run, values, aliases=aliases)
            build = _build(what, text, run, _mounted(what, step.get("volumeMounts") or [], volumes))
            steps.append(replace(build, buildkit=variables.get("DOCKER_BUILDKIT") == "1"))
    return steps, hidden


def _volumes(
    declared: list[dict[str, Any]], run: Run, values: dict[str, str], *, aliases: bool
) -> dict[str, dict[str, bytes]]:
    """The files of each volume. Secrets are the only source of volumes; they are written in base64."""
    volumes = {}
    for volume in declared:
        name, files = str(volume.get("name") or ""), volume.get("secret")
        if not _VOLUME.fullmatch(name):
            raise _bad(f"the volume's name '{name}' is not well formed: use letters, digits, - and _")
        if not isinstance(files, dict) or not files:
            raise _bad(f"the volume '{name}' has no secret, which is the only source of a volume")
        if wrong := [file for file in files if not _SECRET_FILE.fullmatch(str(file))]:
            raise _bad(f"the volume '{name}': the file name '{wrong[0]}' is not well formed")
        try:
            volumes[name] = {
                str(file): base64.b64decode(_expand(str(text), run, values, aliases=aliases), validate=True)
                for file, text in files.items()
            }
        except binascii.Error as error:
            raise _bad(f"the volume '{name}': a secret is not base64; write {{{{ … | b64enc }}}}") from error
    return volumes


def _mounted(what: str, mounts: list[dict[str, Any]], volumes: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    """What a step finds in its volumes, by path."""
    files: dict[str, bytes] = {}
    paths = [str(mount.get("mountPath") or "") for mount in mounts]
    if len(set(paths)) != len(paths) or "" in paths:
        raise _bad(f"{what}: each of volumeMounts needs a mountPath of its own")
    for mount, path in zip(mounts, paths, strict=True):
        if mount.get("name") not in volumes:
            raise _bad(f"{what}: there is no volume '{mount.get('name')}'")
        files |= {f"{path.rstrip('/')}/{file}": content for file, content in volumes[str(mount["name"])].items()}
    return files


def _values(body: dict[str, Any]) -> tuple[dict[str, str], set[str]]:
    encoded = body.get("encodedValuesContent")
    content = _yaml("encodedValuesContent", encoded) if encoded else {}
    if not isinstance(content, dict):
        raise _bad("encodedValuesContent is no set of values")
    values, hidden = {str(name): str(value) for name, value in content.items()}, set()
    for each in body.get("values") or []:
        values[str(each.get("name"))] = str(each.get("value"))
        if each.get("isSecret"):
            hidden.add(str(each.get("value")))
    return values, hidden


def _yaml(name: str, encoded: object) -> object:
    try:
        return yaml.safe_load(base64.b64decode(str(encoded or ""), validate=True).decode())
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _bad(f"{name} is not base64 of a text") from error
    except yaml.YAMLError as error:
        raise _bad(f"{name} is no YAML: {' '.join(str(error).split())}") from error


def _environment(what: str, entries: object) -> dict[str, str]:
    pairs = entries if isinstance(entries, list) else []
    if not all(isinstance(pair, str) and "=" in pair for pair in pairs):
        raise _bad(f"{what}: env is a list of NAME=value")
    return dict(pair.split("=", 1) for pair in pairs)


def _expand(text: str, run: Run, values: dict[str, str], *, aliases: bool) -> str:
    """Fill in `{{.Run.X}}`, `{{.Values.x}}` and aliases such as `$Registry`."""

    def fill(match: re.Match[str]) -> str:
        scope = {"Run": run.values, "Values": values}.get(match[1], {})
        if match[2] not in scope:
            raise _bad(f"{match[0]} of the task has no value")
        return base64.b64encode(scope[match[2]].encode()).decode() if match[3] else scope[match[2]]

    if aliases:
        # `$$` is the alias language's way to write a `$`.
        text = re.sub(rf"\$(\$|(?:{'|'.join(run.values)})\b)", lambda match: {**run.values, "$": "$"}[match[1]], text)
    return "{{".join(_TEMPLATE.sub(fill, part) for part in text.split('{{"{{"}}'))


def _build(what: str, text: str, run: Run, mounted: dict[str, bytes]) -> Build:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _bad(f"{what}: build '{text}': {error}") from error
    images: list[Image] = []
    contexts: list[str] = []
    options: list[str] = []
    variables: dict[str, str] = {}
    secrets: dict[str, bytes] = {}
    dockerfile = "Dockerfile"
    for option, value in _options(what, words):
        if option == "":
            contexts.append(value)
        elif option == "--tag":
            images.append(_image(value, run))
        elif option == "--file":
            dockerfile = value
        elif option == "--build-arg":
            argument, variable = _argument(what, value)
            options += [option, argument]
            variables |= variable
        elif option == "--secret":
            secrets |= _secret(what, value, mounted)
        elif option not in _DROPPED:
            options += [option, value] if value else [option]
    context = _context(what, contexts)
    return Build(tuple(images), context, dockerfile, tuple(options), variables, secrets=secrets)


def _secret(what: str, option: str, mounted: dict[str, bytes]) -> dict[str, bytes]:
    """A secret for BuildKit: a file of a volume that the step mounts."""
    parts = dict(part.partition("=")[::2] for part in option.split(","))
    source = parts.get("src") or parts.get("source") or ""
    if not parts.get("id") or source not in mounted:
        raise _bad(f"{what}: --secret {option} is not id=NAME,src=PATH with a file of a volume that the step mounts")
    return {parts["id"]: mounted[source]}


def _argument(what: str, option: str) -> tuple[str, dict[str, str]]:
    """A build argument as the CLI gets it, and what it then finds in its environment."""
    name, equals, value = option.partition("=")
    if not _VARIABLE.fullmatch(name) or not equals:
        raise _bad(f"{what}: --build-arg {name} is not NAME=value")
    return (option, {}) if _OWN.fullmatch(name) else (name, {name: value})


def _context(what: str, contexts: list[str]) -> str:
    if len(contexts) != 1:
        raise _bad(f"{what}: build needs exactly 1 context, such as '.', and has {len(contexts)}")
    context = contexts[0]
    if context == "-" or "://" in context or context.startswith(("git@", "github.com/")):
        raise _bad(f"{what}: the context '{context}' is not a folder in the uploaded source")
    return context


def _options(what: str, words: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value; a word that belongs to no option comes with an empty one."""
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            yield "", word
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--") and len(name) > len("-t"):
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        name = _SHORT.get(name, name)
        if name in _FLAGS:
            if not equals or value.lower() == "true":
                yield name, ""
        elif name in _VALUED:
            if not equals:
                value = next(left, "")
            if not value:
                raise _bad(f"{what}: {name} has no value")
            yield name, value
        else:
            # The agent's own files, network and privileges are no build's business.
            raise _bad(f"{what}: '{name}' is not an option of a build in ACR Tasks")


def _image(name: str, run: Run) -> Image:
    match = _REFERENCE.fullmatch(name)
    if match is None or not (("." in match["host"]) or (":" in match["host"]) or match["host"] == "localhost"):
        raise _bad(f"'{name}' is not the name of an image in a registry: write {run.registry}/REPOSITORY:TAG")
    return Image(match["host"], match["repository"], match["tag"] or "latest")


def _bad(text: str) -> AzureError:
    return AzureError(400, "InvalidRunRequest", f"The run request is invalid: {text}.")
