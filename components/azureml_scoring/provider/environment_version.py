"""EnvironmentVersion: an immutable version of an Azure ML environment.

Owns: making or adopting the version, and archiving it. Refuses to own: the image and its life.

ARM: Microsoft.MachineLearningServices/workspaces/environments/versions.
https://learn.microsoft.com/rest/api/azureml/environment-versions
"""

from typing import Any, ClassVar

from azureml_scoring.provider.arm import ML_API, ArmError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import kept_tags, last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
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
        found = context.arm.get(path, ML_API)
        if found is not None:
            _adoptable(inputs, found)
            context.log(f"adopting environment {inputs.environment_name}:{inputs.version}: it is the same")
            if not found["properties"].get("isArchived") and (found["properties"].get("tags") or {}) == (
                inputs.tags or {}
            ):
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
        found = context.arm.get(resource_id, ML_API)
        if found is None or found["properties"].get("isArchived"):
            return None
        here = {**olds, **as_inputs(resource_id, found)}
        if olds:
            here = {name: value for name, value in here.items() if name != "tags"}
            here |= kept_tags(olds, found["properties"].get("tags"))
        return ReadResult(resource_id, here, {**inputs, **here})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Archive it: deployments may still point at it, and Azure keeps the number for ever."""
        del olds
        found = context.arm.get(resource_id, ML_API)
        if found is None or found["properties"].get("isArchived"):
            return
        properties = {key: value for key, value in found["properties"].items() if key in WRITABLE and value is not None}
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


def as_inputs(path: str, document: dict[str, Any]) -> Properties:
    """Read the inputs off a document."""
    head, _, version = path.rpartition("/versions/")
    workspace, _, name = head.rpartition("/environments/")
    values = {
        **from_document(EnvironmentVersionArgs, document),
        "workspaceId": workspace,
        "environmentName": name,
        "version": version,
    }
    return {key: int(value) if key == "port" else value for key, value in values.items() if value not in ("", {})}


def _adoptable(inputs: EnvironmentVersionArgs, document: dict[str, Any]) -> None:
    path = resource_id(inputs)
    here, wanted = as_inputs(path, document), inputs.wire()
    names = ("image", "condaFile") if inputs.conda_file is not None else ("image", *_ROUTES)
    for name in names:
        if here.get(name) != wanted[name]:
            msg = (
                f"environment {inputs.environment_name}:{last(path)} exists with {name} = {here.get(name)}, not "
                f"{wanted[name]}; a version cannot change: choose another version"
            )
            raise ResourceError(msg)
