"""Files of `az ml` in, a stack file out. Owns paths, and what several deployments have in common."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from azureml_scoring.convert.files import check, load, stack_text, write
from azureml_scoring.convert.reading import ConvertError, Note, Part
from azureml_scoring.convert.v2.assets import Base
from azureml_scoring.convert.v2.deployment import Deployment, read_deployment
from azureml_scoring.convert.v2.endpoint import Endpoint, read_endpoint
from azureml_scoring.plan.reference import Reference
from azureml_scoring.settings.rules import RULES, WHOLE

_ENDPOINT_ONLY: Final = ("auth_mode", "traffic", "mirror_traffic", "public_network_access", "identity", "compute")
_LOCATION: Final = "westeurope"


@dataclass
class Read:
    """All files, read."""

    endpoints: list[Endpoint] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def convert_files(
    files: Sequence[Path],
    out: Path | None,
    *,
    changes: Iterable[tuple[str, str]] = (),
    workspace: str = "",
    location: str = "",
) -> tuple[str, Sequence[Note]]:
    """Return the stack file's text, and a note for each field that changes; write all files where `out` names one.

    `changes` are fields of all deployments by dotted path, as `az ml … --set` has them. Raises ConvertError.
    """
    if workspace and (problem := RULES["workspaceId"].problem(workspace)):
        raise ConvertError(f"--workspace = {workspace}: {problem}")
    root = (out.parent if out else Path()).resolve()
    read = Read()
    for file in files:
        _read(file, root, list(changes), read)
    config = _config(read, workspace, location)
    check(config)
    text = stack_text(config, "From the YAML of az ml. Paths start at this file.", read.notes)
    beside = {root / name: content for each in read.deployments for name, content in each.source.files.items()}
    if out:
        write({**beside, out: text}, config, root)
    return text, read.notes


def _read(file: Path, root: Path, changes: list[tuple[str, str]], read: Read) -> None:
    document = load(file)
    if not isinstance(document, Mapping):
        raise ConvertError(f"{file} is a {type(document).__name__}, not an object; name a file of az ml")
    kind = _kind(document)
    if kind == "endpoint":
        read.endpoints.append(read_endpoint(Part.of(file.stem, document, read.notes)))
        return
    if kind != "deployment":
        remedy = "it describes neither an online endpoint nor an online deployment"
        raise ConvertError(f"{file}: {remedy}; name the files of az ml online-endpoint and online-deployment create")
    changed = _changed(document, changes)
    base = Base(file.parent.resolve(), root)
    read.deployments.append(read_deployment(Part.of(file.stem, changed, read.notes), base))


def _kind(document: Mapping[str, Any]) -> str:
    """Tell what a file describes: its schema says so, else its fields do."""
    schema = str(document.get("$schema") or "").lower()
    for kind in ("deployment", "endpoint"):
        if f"online{kind}" in schema:
            return kind
    if "$schema" in document:
        return ""
    if any(
        name in document for name in ("instance_type", "endpoint_name", "code_configuration", "environment", "model")
    ):
        return "deployment"
    return "endpoint" if any(name in document for name in _ENDPOINT_ONLY) else ""


def _changed(document: Mapping[str, Any], changes: list[tuple[str, str]]) -> dict[str, Any]:
    """Set fields by their dotted paths."""
    changed = dict(document)
    for path, value in changes:
        *parents, last = path.split(".")
        inside = changed
        for parent in parents:
            inside[parent] = dict(inside.get(parent) or {})
            inside = inside[parent]
        inside[last] = value
    return changed


def _config(read: Read, workspace: str, location: str) -> dict[str, Any]:
    """Put the sections together."""
    if not read.deployments:
        raise ConvertError(
            "no file describes a deployment: an endpoint without one answers nothing; name its file, too"
        )
    endpoint = _endpoint(read)
    config = {"location": _location(read, location), "registry": _registry(read)}
    config |= _workspace(read, endpoint, workspace) | _shared(read.deployments)
    sections = {each.name: _own(each, config) for each in read.deployments}
    return config | {"endpoint": endpoint, "deployments": sections}


def _location(read: Read, location: str) -> str:
    region = next((each.location for each in read.endpoints if each.location), location)
    if not region:
        text = f"az ml takes the workspace's; {_LOCATION} is written, --location changes it"
        read.notes.append(Note("changed", "location", text))
    return region or _LOCATION


def _workspace(read: Read, endpoint: Mapping[str, Any], workspace: str) -> dict[str, Any]:
    """Name the workspace; without one, say what needs it."""
    if workspace:
        return {"workspace": {"id": workspace}}
    if endpoint.get("kind") == "kubernetes":
        raise ConvertError(f"compute = {endpoint.get('compute')}: it is attached to a workspace; add --workspace ID")
    text = "it is registered in a workspace; --workspace names that one, else a new workspace is created"
    read.notes.extend(Note("changed", reference, text) for reference in sorted(_references(read)))
    return {}


def _endpoint(read: Read) -> dict[str, Any]:
    """Return the section of the endpoint, with the shares of traffic that the config needs."""
    names = {str(each.section["name"]) for each in read.endpoints} | {each.endpoint for each in read.deployments}
    names.discard("")
    if len(names) > 1:
        raise ConvertError(f"{', '.join(sorted(names))}: a stack has one endpoint; convert them one by one")
    section: dict[str, Any] = dict(read.endpoints[0].section) if read.endpoints else {"auth": "key"}
    section |= {"name": next(iter(names), None)}
    on_cluster = [each.name for each in read.deployments if each.kind == "kubernetes"]
    if on_cluster and "compute" not in section:
        raise ConvertError(
            f"{on_cluster[0]} is a Kubernetes deployment; name the file of its endpoint, which has compute"
        )
    first = read.deployments[0].name
    if len(read.deployments) > 1 and not section.get("traffic"):
        section["traffic"] = {each.name: WHOLE if each.name == first else 0 for each in read.deployments}
        text = f"no file shares it; {first}, the first, gets all"
        read.notes.append(Note("changed", "traffic", text))
    return {key: value for key, value in section.items() if value is not None}


def _registry(read: Read) -> dict[str, Any]:
    """Choose the registry: the Azure registry that all images lie in, else the workspace's own."""
    sources = [each.source for each in read.deployments]
    hosts = {Reference.parse(each.image).host.lower() for each in sources if each.image}
    azure = sorted(host for host in hosts if host.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us")))
    builds = any(each.build or "base" in each.environment for each in sources)
    if len(azure) == 1 and not builds:
        return {"mode": "standalone", "loginServer": azure[0]}
    for host in azure:
        text = "unless it is the workspace's registry, give the endpoint's identity the role AcrPull there"
        read.notes.append(Note("changed", host, text))
    return {"mode": "workspace"}


def _references(read: Read) -> set[str]:
    named = [each.model.get("reference", "") for each in read.deployments]
    named += [each.source.environment.get("reference", "") for each in read.deployments]
    return {each for each in named if each.startswith("azureml:") and not each.startswith("azureml://")}


def _shared(deployments: Sequence[Deployment]) -> dict[str, Any]:
    """Return the sections that all deployments have in common; the first build is the stack's in any case."""
    shared: dict[str, Any] = {}
    images = [_image(each) for each in deployments]
    if (first := next((each for each in images if "context" in each), images[0])) and (
        "context" in first or all(each == first for each in images)
    ):
        shared["image"] = first
    for name in ("environment", "model", "code"):
        first, *others = (_section(each, name) for each in deployments)
        if first and all(each == first for each in others) and (name != "environment" or "image" not in shared):
            shared[name] = first
    return shared


def _image(deployment: Deployment) -> dict[str, str]:
    """Return the section of the image that a deployment runs; an empty one where it runs an environment."""
    source = deployment.source
    return source.build or ({"reference": source.image} if source.image else {})


def _section(deployment: Deployment, name: str) -> dict[str, Any]:
    sections = {"environment": deployment.source.environment, "model": deployment.model, "code": deployment.code}
    return sections[name]


def _own(deployment: Deployment, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deployment's entry: what it does not share is its own."""
    own = dict(deployment.section)
    if (image := _image(deployment)) and image != config.get("image"):
        own["image"] = image.get("reference") or image
    for name in ("environment", "model", "code"):
        if (section := _section(deployment, name)) and name not in config:
            own[name] = section
    return own
