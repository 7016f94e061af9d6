"""EnvironmentVersion: an immutable version of an Azure ML environment.

Owns: making or adopting the version, and archiving it. Refuses to own: the image and its life.

ARM: Microsoft.MachineLearningServices/workspaces/environments/versions.
https://learn.microsoft.com/rest/api/azureml/environment-versions
"""

from typing import Any, ClassVar

import yaml

from azureml_scoring.provider.arm import ML_API, ArmError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import kept_tags, last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.provider.version_use import keeps_version
from azureml_scoring.settings.arguments import EnvironmentVersionArgs
from azureml_scoring.settings.section import from_document, to_document


class EnvironmentVersionOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class EnvironmentVersion(Resource[EnvironmentVersionArgs]):
    """An immutable version of an Azure ML environment that points at one image."""

    name = "EnvironmentVersion"
    inputs = EnvironmentVersionArgs
    outputs = EnvironmentVersionOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset(
        {"workspaceId", "environmentName", "version", "image", "condaFile"}
        | {"livenessPath", "readinessPath", "scoringPath", "port"}
    )

    def _create(self, context: Context, inputs: EnvironmentVersionArgs) -> tuple[str, Outputs]:
        path = resource_id(inputs)
        document = context.arm.get(path, ML_API)
        if document is not None:
            _check_adoptable(inputs, document)
            context.log(f"adopting environment {inputs.environment_name}:{inputs.version}: it is the same")
            properties = document["properties"]
            if not properties.get("isArchived") and (properties.get("tags") or {}) == (inputs.tags or {}):
                return path, EnvironmentVersionOutputs()
        context.arm.put(path, ML_API, body(inputs, archived=False))
        return path, EnvironmentVersionOutputs()

    def _update(
        self, context: Context, resource_id: str, olds: Properties, inputs: EnvironmentVersionArgs
    ) -> EnvironmentVersionOutputs:
        """Only tags get here: everything else is a new version."""
        del olds
        context.arm.put(resource_id, ML_API, body(inputs, archived=False))
        return EnvironmentVersionOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        document = context.arm.get(resource_id, ML_API)
        if document is None or document["properties"].get("isArchived"):
            return None
        current = {**olds, **as_inputs(resource_id, document, str(olds.get("condaFile") or ""))}
        if olds:
            current.pop("tags", None)
            current |= kept_tags(olds, document["properties"].get("tags"))
        return ReadResult(resource_id, current, {**inputs, **current})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Archive it, unless a deployment runs it: Azure keeps the number for ever."""
        document = context.arm.get(resource_id, ML_API)
        if document is None or document["properties"].get("isArchived") or keeps_version(context, resource_id):
            return
        current = document["properties"]
        properties = {key: value for key, value in current.items() if key in WRITABLE and value not in (None, "")}
        if "condaFile" in properties:
            properties["condaFile"] = olds["condaFile"]  # a version is immutable: in the words that it was created with
        try:
            context.arm.put(resource_id, ML_API, {"properties": {**properties, "isArchived": True}})
        except ArmError as error:
            if error.status != NOT_FOUND:
                raise


NOT_FOUND = 404
_ROUTES = ("livenessPath", "readinessPath", "scoringPath", "port")
WRITABLE = frozenset(
    {"description", "tags", "properties", "image", "condaFile", "inferenceConfig", "osType", "autoRebuild"}
)


def resource_id(inputs: EnvironmentVersionArgs) -> str:
    """Compute the ARM id."""
    return f"{inputs.workspace_id}/environments/{inputs.environment_name}/versions/{inputs.version}"


def body(inputs: EnvironmentVersionArgs, *, archived: bool) -> dict[str, Any]:
    """Build the body of the PUT."""
    properties = to_document(inputs)["properties"]
    if inputs.conda_file is not None:
        # Without routes Azure ML runs its own server; with them it would run the base image's command.
        del properties["inferenceConfig"]
    return {"properties": {"tags": {}, **properties, "osType": "Linux", "isArchived": archived}}


def as_inputs(path: str, document: dict[str, Any], conda: str = "") -> Properties:
    """Read the inputs off a document; `conda` is the conda file that was written."""
    head, _, version = path.rpartition("/versions/")
    workspace, _, name = head.rpartition("/environments/")
    values = {
        **from_document(EnvironmentVersionArgs, document),
        "workspaceId": workspace,
        "environmentName": name,
        "version": version,
    }
    if _same_yaml(conda, values.get("condaFile")):
        values["condaFile"] = conda
    return {key: int(value) if key == "port" else value for key, value in values.items() if value not in ("", {})}


def _same_yaml(ours: str, theirs: object) -> bool:
    """Compare conda files by what they say: Azure ML answers with the JSON of the YAML that it got."""
    try:
        return bool(ours) and yaml.safe_load(ours) == yaml.safe_load(str(theirs))
    except yaml.YAMLError:
        return False


def _check_adoptable(inputs: EnvironmentVersionArgs, document: dict[str, Any]) -> None:
    path = resource_id(inputs)
    current, wanted = as_inputs(path, document, inputs.conda_file or ""), inputs.wire()
    names = ("image", "condaFile") if inputs.conda_file is not None else ("image", *_ROUTES)
    for name in names:
        if current.get(name) != wanted[name]:
            msg = (
                f"environment {inputs.environment_name}:{last(path)} exists with {name} = {current.get(name)}, not "
                f"{wanted[name]}; a version cannot change: choose another version"
            )
            raise ResourceError(msg)
