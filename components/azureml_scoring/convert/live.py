"""A live endpoint, turned into a stack file that describes it: what portal, Azure CLI or SDK have made.

Owns what each field of the documents of Azure Resource Manager becomes, and the refusal of what the stack file cannot
say: the first `up` would change it. Refuses to own the state (`delivery/adopt.py`). Reads Azure, and changes nothing.
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces/onlineendpoints
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces/onlineendpoints/deployments
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic.alias_generators import to_camel

from azureml_scoring.convert.files import check, load, stack_text, write
from azureml_scoring.convert.reading import ConvertError, Note
from azureml_scoring.provider import online_deployment, online_endpoint
from azureml_scoring.provider.arm import ML_API, Arm, ArmError, state_of
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import as_written, last
from azureml_scoring.provider.traffic_split import TrafficSplit, nonzero
from azureml_scoring.settings.arguments import (
    EndpointTrafficArgs,
    OnlineDeploymentArgs,
    OnlineEndpointArgs,
    ResourceArgs,
)
from azureml_scoring.settings.deployment import DEPLOYMENT, DeploymentSettings
from azureml_scoring.settings.endpoint import ENDPOINT, EndpointSettings
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.regions import short_form
from azureml_scoring.settings.rules import RULES, WHOLE
from azureml_scoring.settings.section import Arm as ArmMarker
from azureml_scoring.settings.section import Section, arguments, arm_fields, marker

Document = Mapping[str, Any]
_MONITOR_API: Final = "2022-10-01"
_DIAGNOSTICS_API: Final = "2021-05-01-preview"
_FILLED_IN: Final = frozenset(
    {"endpointComputeType", "keys", "properties", "provisioningState", "scaleSettings", "scoringUri", "swaggerUri"}
)
"""Properties that Azure fills in, that follow from the kind, or that Azure keeps as they are: what `properties` has
"can be added, but not removed or altered" (the templates' reference)."""
_STAYS: Final = "it stays as it is, outside of the stack"


@dataclass(frozen=True)
class LiveEndpoint:
    """An endpoint as Azure has it: documents of Azure Resource Manager."""

    endpoint: Document
    deployments: tuple[Document, ...]
    workspace: Document
    beside: tuple[Note, ...] = ()
    """What hangs on it and stays outside of the stack."""


def adopt_file(arm: Arm, endpoint_id: str, out: Path | None) -> tuple[str, list[Note], str]:
    """Return the stack file's text, the notes, and the endpoint's id as Azure spells it; write the file at `out`.

    Raises ConvertError; then nothing is written. A file that says the same already stays, with what Pulumi added to it.
    """
    try:
        live = read_endpoint(arm, endpoint_id)
    except ResourceError as error:
        raise ConvertError(str(error)) from None
    config, notes = config_of(live)
    text = stack_text(config, f"Adopted: {live.endpoint['id']}", notes)
    if out and not (out.exists() and _config_in(out) == yaml.safe_load(text)["config"]):
        write({out: text}, config, out.parent)
    return text, notes, str(live.endpoint["id"])


def _config_in(file: Path) -> object:
    document = load(file)
    return document.get("config") if isinstance(document, Mapping) else None


def read_endpoint(arm: Arm, endpoint_id: str) -> LiveEndpoint:
    """Read an endpoint and what belongs to it; raise a ConvertError where there is none."""
    if problem := RULES["endpointId"].problem(endpoint_id):
        raise ConvertError(f"ENDPOINT-ARM-ID = {endpoint_id}: {problem}")
    workspace = arm.get(endpoint_id.rpartition("/onlineEndpoints/")[0], ML_API)
    endpoint = arm.get(endpoint_id, ML_API) if workspace else None
    if workspace is None or endpoint is None:
        remedy = "no such endpoint is visible; `az ml online-endpoint show --query id` prints the id of one"
        raise ConvertError(f"ENDPOINT-ARM-ID = {endpoint_id}: {remedy}")
    id_ = str(endpoint["id"])  # as Azure spells it
    deployments = tuple(_without_nulls(each) for each in arm.list_all(f"{id_}/deployments", ML_API))
    return LiveEndpoint(_without_nulls(endpoint), deployments, workspace, tuple(_beside(arm, id_)))


def config_of(live: LiveEndpoint) -> tuple[dict[str, Any], list[Note]]:
    """Describe it as a stack's config; a note for each thing that stays outside. Raise where one would be changed."""
    name, notes = str(live.endpoint["name"]), list(live.beside)
    section = _endpoint(live.endpoint)
    config: dict[str, Any] = {
        "location": short_form(str(live.endpoint["location"])),
        "registry": {"mode": "workspace" if live.workspace["properties"].get("containerRegistry") else "public"},
        "workspace": {"id": str(live.endpoint["id"]).rpartition("/onlineEndpoints/")[0]},
        "endpoint": section,
        "deployments": {},
    }
    notes += _unknown(f"endpoint {name}", live.endpoint, OnlineEndpointArgs, EndpointTrafficArgs)
    for document in live.deployments:
        title = f"deployment {document['name']}"
        if state_of(document) == "succeeded":
            config["deployments"][document["name"]] = _deployment(document)
            notes += _unknown(title, document, OnlineDeploymentArgs)
        elif document["name"] in TrafficSplit.of(live.endpoint).receivers:
            remedy = "wait for it, repair it, or take its traffic away"
            raise ConvertError(f"{title} is {state_of(document)} and gets traffic; {remedy}")
        else:
            notes.append(Note("dropped", title, f"it is {state_of(document)}; {_STAYS}"))
    check(config)
    return config, notes


def _endpoint(document: Document) -> dict[str, Any]:
    """Describe the endpoint with its traffic."""
    name = document["name"]
    inputs = online_endpoint.as_inputs(str(document["id"]), dict(document))
    split = TrafficSplit.of(document)
    if (total := sum(split.traffic.values())) != WHOLE:
        raise ConvertError(f"endpoint {name} sends {total} percent of its traffic; a stack sends 100: set that first")
    section = {
        "name": name,
        **({"kind": "kubernetes", "compute": inputs["compute"]} if "compute" in inputs else {}),
        **_identity(name, inputs),
        **_settings(f"endpoint {name}", EndpointSettings, ENDPOINT, inputs),
    }
    section |= {"tags": inputs.get("tags"), "traffic": nonzero(split.traffic), "mirror": nonzero(split.mirror)}
    return {key: value for key, value in section.items() if value not in (None, {})}


def _identity(name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Name the user-assigned identity; none for a system-assigned one."""
    kind, named = str(inputs.get("identityType") or "none"), inputs.get("userAssignedIdentities") or []
    if kind.lower() == "systemassigned":
        return {}
    if kind.lower() == "userassigned" and len(named) == 1:
        return {"identity": named[0]}
    remedy = "a stack's endpoint has a system-assigned one, or one that is user-assigned"
    raise ConvertError(f"endpoint {name} has the identities {kind}, {len(named)} of them user-assigned; {remedy}")


def _deployment(document: Document) -> dict[str, Any]:
    inputs = online_deployment.as_inputs(str(document["id"]), dict(document), {})
    title = f"deployment {document['name']}"
    section = _settings(title, DeploymentSettings, DEPLOYMENT, inputs)
    if environment := inputs.get("environmentId"):
        section["environment"] = {"reference": environment}
    if model := inputs.get("modelId"):
        mounted = {"mountPath": inputs["modelMountPath"]} if "modelMountPath" in inputs else {}
        section["model"] = {"reference": model, **mounted}
    if code := inputs.get("codeId"):
        section["code"] = {"reference": code, "entryScript": inputs["scoringScript"]}
    return {**section, "tags": inputs["tags"]} if inputs.get("tags") else section


def _settings(title: str, model: type[Section], resource: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Write a section by the arguments of its resource; raise where the section would send another argument."""
    section: dict[str, Any] = {}
    fields = [each for each in arm_fields(model, resource) if "." not in each[0]]
    for _, field, arm in fields:
        value = inputs.get(arm.argument)
        if value not in (None, {}):
            section[str(field.alias)] = arm.decode(value) if arm.decode else value
    section = {name: value for name, value in section.items() if value != _default(model, name)}
    try:
        sent = {to_camel(name): value for name, value in arguments(parse(model, section), resource).items()}
    except SettingsError as error:
        raise ConvertError("\n".join(f"{title}: {line}" for line in str(error).splitlines())) from None
    for _, field, arm in fields:
        value, ours = inputs.get(arm.argument), sent.get(arm.argument)
        if value not in (None, {}) and as_written(ours, value) != ours:
            lost = "the stack file cannot say all of it, so that `pulumi up` would change it"
            raise ConvertError(f"{title}: {arm.places[0]} = {value}: {lost}; write it as {field.alias} can say it")
    return section


def _default(model: type[Section], alias: str) -> object:
    return next(field.default for field in model.model_fields.values() if field.alias == alias)


def _unknown(title: str, document: Document, *resources: type[ResourceArgs]) -> Iterator[Note]:
    """Note the properties that no field of the stack file becomes."""
    markers = (marker(field, ArmMarker) for each in resources for field in each.model_fields.values())
    known = {place.split(".")[1] for each in markers if each for place in each.places if "." in place}
    for name, value in document["properties"].items():
        if name not in known | _FILLED_IN and value not in ({}, [], "", False):
            field = f"{title}: properties.{name}"
            yield Note("dropped", field, "no field; a later change of this resource is sent without it")


def _beside(arm: Arm, endpoint_id: str) -> Iterator[Note]:
    """Note the autoscale and diagnostic settings that point at an endpoint and its deployments."""
    group = endpoint_id.rpartition("/providers/")[0]
    settings = f"{group}/providers/Microsoft.Insights/autoscaleSettings"
    for each in _listed(arm, settings, _MONITOR_API):
        target = str(each["properties"].get("targetResourceUri") or "")
        if target.lower().startswith(f"{endpoint_id.lower()}/deployments/"):
            text = f"{_STAYS}; a change of the deployment sets instanceCount, until Azure Monitor scales again"
            yield Note("dropped", f"deployment {last(target)}: autoscale setting {each['name']}", text)
    path = f"{endpoint_id}/providers/Microsoft.Insights/diagnosticSettings"
    for each in _listed(arm, path, _DIAGNOSTICS_API):
        yield Note("dropped", f"diagnostic setting {each['name']}", _STAYS)


def _listed(arm: Arm, path: str, version: str) -> list[dict[str, Any]]:
    """List what a reader of the endpoint alone may not be allowed to see."""
    try:
        return list(arm.list_all(path, version))
    except ArmError as error:
        raise ConvertError(f"{error}; the role Reader on the resource group lets it be listed") from None


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out what Azure answers as null: nothing was written there."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
