"""Turns the model, code and environment of a deployment's YAML into sections of the config.

Owns references, local paths and inline assets. Refuses to own reading files: what must be written is returned.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from azureml_scoring.convert.reading import CURATED, ConvertError, Part, registered_environment

_TYPES: Final = {"mlflow_model": "mlflow", "triton_model": "triton"}
_ROUTES: Final = {"liveness": "/", "readiness": "/", "scoring": "/score"}
_PORT: Final = 5001
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_VERSIONED: Final = "versions follow from the content, so that none is overwritten"
_WORDS: Final = ("tags", "properties", "description")


@dataclass
class Base:
    """Where a file lies, and where the stack file will."""

    folder: Path
    """The file's folder: its paths are seen from there."""
    root: Path
    """The stack file's folder."""

    def path(self, part: Part, key: str, text: str) -> str:
        """Turn a local path into one seen from the stack file."""
        if _SCHEME.match(text) and not re.match(r"[A-Za-z]:[\\/]", text):
            remedy = "download it, or register it by az ml and name it as azureml:NAME:VERSION"
            raise ConvertError(f"{part.name(key)} = {text}: it lies on no disk of this machine; {remedy}")
        path = (self.folder / text.replace("\\", "/")).resolve()
        return Path(os.path.relpath(path, self.root)).as_posix()


@dataclass
class Source:
    """What a deployment runs: an image, a build, an environment, or nothing where Azure serves the model by itself."""

    image: str = ""
    build: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    routes: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Files to write beside the stack file, by name."""


def reference(part: Part, key: str, text: str) -> str:
    """Read the id of a registered asset: azureml:NAME:VERSION and its relatives; a name alone means the latest."""
    plain = text.removeprefix("azureml:")
    if text.startswith("azureml://"):
        return text
    if plain.startswith("/"):
        return plain
    if text == plain:
        raise ConvertError(f"{part.name(key)} = {text}: a registered asset is written azureml:NAME:VERSION")
    return text if re.search(r"[:@]", plain) else f"{text}@latest"


def read_model(part: Part, base: Base) -> dict[str, Any]:
    """Read the model: a reference, or files of this machine."""
    mount = part.text("model_mount_path")
    value = part.rest.get("model")
    model = {"reference": reference(part, "model", part.text("model"))} if isinstance(value, str) else {}
    if not isinstance(value, str):
        model = _inline_model(part.part("model"), base)
    if mount and model:
        model["mountPath"] = mount.rstrip("/") or "/"
    return model


def _inline_model(part: Part, base: Base) -> dict[str, Any]:
    path, name, version, kind = (part.text(key) for key in ("path", "name", "version", "type"))
    part.skip(
        "$schema", "id", "creation_context", "job_name", "latest_version", "utc_time_created", "intellectual_property"
    )
    part.drop(*_WORDS, "stage", "flavors", "system_metadata", reason="a model that is uploaded has none of it")
    part.drop("datastore", reason="files go to the workspace's default datastore")
    part.drop("default_deployment_template", "allowed_deployment_templates", reason="it is for models of a registry")
    part.end()
    if not path:
        return {}
    model = {"path": base.path(part, "path", path)}
    if name:
        model["name"] = re.sub("[^A-Za-z0-9_-]+", "-", name).strip("-_")
    if version:
        model["version"] = version
    if kind and kind != "custom_model":
        if kind not in _TYPES:
            raise ConvertError(f"{part.name('type')} = {kind}: write custom_model, mlflow_model or triton_model")
        model["type"] = _TYPES[kind]
    return model


def read_code(part: Part, base: Base) -> dict[str, Any]:
    """Read the code configuration."""
    code = part.part("code_configuration")
    code.skip("$schema")
    folder, script = code.text("code"), code.path_text("scoring_script")
    code.end()
    if not folder:
        return {}
    if not script:
        raise ConvertError(f"{code.name('scoring_script')} is missing: name the file with init() and run()")
    return {"path": base.path(code, "code", folder), "entryScript": script.removeprefix("./")}


def read_source(part: Part, base: Base, name: str) -> Source:
    """Read the environment: a reference, an image, a build context, or a base image with packages."""
    value = part.rest.get("environment")
    if isinstance(value, str) and value.startswith("file:"):
        return _from_file(part, base, name)
    if isinstance(value, str):
        named = reference(part, "environment", part.text("environment"))
        if named.startswith(f"azureml:{CURATED}"):
            label, _, version = named.removeprefix("azureml:").removesuffix("@latest").partition(":")
            named = registered_environment(label, version)
        return Source(environment={"reference": named})
    return _inline(part.part("environment"), base, name)


def _from_file(part: Part, base: Base, name: str) -> Source:
    path = base.folder / part.text("environment").removeprefix("file:")
    try:
        document = yaml.safe_load(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConvertError(f"{part.name('environment')} = file:{path}: {type(error).__name__}") from None
    inner = Part.of(part.name("environment"), document, part.notes)
    return _inline(inner, Base(path.parent, base.root), name)


def _inline(part: Part, base: Base, name: str) -> Source:
    label, image, conda = part.text("name"), part.text("image"), part.take("conda_file")
    part.skip("$schema", "id", "creation_context", "latest_version", "intellectual_property")
    part.drop("version", reason=_VERSIONED, kind="changed")
    part.drop(*_WORDS, reason="an environment version has the stack's tags only")
    part.drop("datastore", "auto_delete_setting", reason="the config has no such choice")
    if part.text("os_type").lower() not in {"", "linux"}:
        raise ConvertError(f"{part.name('os_type')} = windows: online endpoints run Linux; write linux")
    routes, build = _routes(part.part("inference_config")), _build(part.part("build"), base)
    part.end()
    if build:
        return Source(build=build, routes=routes)
    if conda is None:
        if label and image:
            part.note("changed", "name", "the environment is called after the image's repository", label)
        return Source(image=image_name(part, image) if image else "", routes=routes)
    if routes:
        part.note("dropped", "inference_config", "an environment with a conda file runs Azure ML's own server")
    environment: dict[str, Any] = {"base": image_name(part, image), **({"name": label} if label else {})}
    if not isinstance(conda, Mapping):
        text = str(conda).removeprefix("file:")
        return Source(environment={**environment, "condaFile": base.path(part, "conda_file", text)})
    file = f"{name}.conda.yml"
    text = yaml.safe_dump(dict(conda), sort_keys=False, allow_unicode=True)
    return Source(environment={**environment, "condaFile": file}, files={file: text})


def _build(part: Part, base: Base) -> dict[str, str]:
    path, dockerfile = part.text("path"), part.path_text("dockerfile_path")
    part.end()
    if not path:
        return {}
    return {
        "context": base.path(part, "path", path),
        **({"dockerfile": dockerfile.removeprefix("./")} if dockerfile else {}),
    }


def _routes(part: Part) -> dict[str, Any]:
    """Read the routes; none where they are the defaults. The config has one port."""
    routes: dict[str, Any] = {}
    ports: dict[str, int] = {}
    for name, usual in _ROUTES.items():
        route = part.part(f"{name}_route")
        port, path = int(route.number("port") or _PORT), route.text("path") or usual
        route.end()
        ports[name] = port
        if path != usual:
            routes[name] = path
    part.end()
    if len(set(ports.values())) > 1:
        listed = ", ".join(f"{name} {port}" for name, port in ports.items())
        part.note("changed", "scoring_route", f"one port serves all routes; probes go to {ports['scoring']}", listed)
    if ports["scoring"] != _PORT:
        routes["port"] = ports["scoring"]
    return routes


def image_name(part: Part, image: str) -> str:
    """Write an image as host/repository:tag; without a host it lies on Docker Hub, as docker has it."""
    if not image:
        raise ConvertError(f"{part.name('image')} is missing: conda_file is installed into an image; name it")
    host, slash, _ = image.partition("/")
    if slash and (re.search("[.:]", host) or host == "localhost"):
        return image
    whole = f"docker.io/{image}" if slash else f"docker.io/library/{image}"
    part.note("changed", "image", f"the host is written: {whole}", image)
    return whole
