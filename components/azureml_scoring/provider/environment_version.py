"""EnvironmentVersion: an immutable version of an Azure ML environment.

Owns: making or adopting the version, and archiving it. Refuses to own: the image and its life.

ARM: Microsoft.MachineLearningServices/workspaces/environments/versions.
https://learn.microsoft.com/rest/api/azureml/environment-versions
"""

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from azureml_scoring.provider.arm import ML_API, ArmError
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import EnvironmentName, Route, Tags, WorkspaceId, kept_tags, last, shaped
from azureml_scoring.provider.framework import Context, Inputs, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties


class EnvironmentVersionInputs(Inputs):
    """Which image serves, under which name and version, and on which routes."""

    workspace_id: WorkspaceId = Field(description="ARM id of the workspace.")
    environment_name: EnvironmentName = Field(description="Name of the environment.")
    version: Annotated[str, shaped(r"[A-Za-z0-9][\w.-]{0,29}", "at most 30 letters, digits, - _ and .")] = Field(
        description="Name of the version; an image needs a version of its own."
    )
    image: Annotated[str, shaped(r"\S+", "an image, HOST/REPOSITORY@sha256:…")] = Field(
        description="The image by digest; with condaFile, the base image."
    )
    conda_file: str | None = Field(
        default=None,
        description="A conda file that Azure ML installs into the image, which then runs Azure ML's own server.",
    )
    liveness_path: Route = Field(default="/", description="Route that says the server lives.")
    readiness_path: Route = Field(default="/", description="Route that says the server can take requests.")
    scoring_path: Route = Field(default="/score", description="Route that scores.")
    port: int = Field(default=5001, ge=1, le=65535, description="Port of all three routes.")
    tags: Tags | None = Field(default=None, description="Tags of the version.")

    @model_validator(mode="after")
    def _pinned(self) -> "EnvironmentVersionInputs":
        if self.conda_file is None and not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", self.image):
            msg = f"image = {self.image!r}: it should be an image by digest, HOST/REPOSITORY@sha256:…"
            raise ValueError(msg)
        return self


class EnvironmentVersionOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class EnvironmentVersion(Resource[EnvironmentVersionInputs]):
    """An immutable version of an Azure ML environment that points at one image."""

    name = "EnvironmentVersion"
    inputs = EnvironmentVersionInputs
    outputs = EnvironmentVersionOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset(
        {"workspaceId", "environmentName", "version", "image", "condaFile"}
        | {"livenessPath", "readinessPath", "scoringPath", "port"}
    )

    def _create(self, context: Context, inputs: EnvironmentVersionInputs) -> tuple[str, Outputs]:
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
        self, context: Context, resource_id: str, olds: Properties, inputs: EnvironmentVersionInputs
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


def resource_id(inputs: EnvironmentVersionInputs) -> str:
    """Compute the ARM id."""
    return f"{inputs.workspace_id}/environments/{inputs.environment_name}/versions/{inputs.version}"


def body(inputs: EnvironmentVersionInputs, *, archived: bool) -> dict[str, Any]:
    """Build the body of the PUT."""
    properties = {**_content(inputs), "osType": "Linux", "tags": inputs.tags or {}, "isArchived": archived}
    return {"properties": properties}


def as_inputs(path: str, document: dict[str, Any]) -> Properties:
    """Read the inputs off a document."""
    properties = document["properties"]
    config = properties.get("inferenceConfig") or {}
    head, _, version = path.rpartition("/versions/")
    workspace, _, name = head.rpartition("/environments/")
    port = (config.get("scoringRoute") or {}).get("port")
    found = {
        "workspaceId": workspace,
        "environmentName": name,
        "version": version,
        "image": properties.get("image"),
        "condaFile": properties.get("condaFile"),
        "livenessPath": (config.get("livenessRoute") or {}).get("path"),
        "readinessPath": (config.get("readinessRoute") or {}).get("path"),
        "scoringPath": (config.get("scoringRoute") or {}).get("path"),
        "port": int(port) if port is not None else None,
        "tags": properties.get("tags") or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _content(inputs: EnvironmentVersionInputs) -> dict[str, Any]:
    if inputs.conda_file is not None:
        # Without routes Azure ML runs its own server; with them it would run the base image's command.
        return {"image": inputs.image, "condaFile": inputs.conda_file}
    paths = {
        "livenessRoute": inputs.liveness_path,
        "readinessRoute": inputs.readiness_path,
        "scoringRoute": inputs.scoring_path,
    }
    routes = {route: {"path": path, "port": inputs.port} for route, path in paths.items()}
    return {"image": inputs.image, "inferenceConfig": routes}


def _adoptable(inputs: EnvironmentVersionInputs, document: dict[str, Any]) -> None:
    path = resource_id(inputs)
    here, wanted = as_inputs(path, document), inputs.properties()
    names = ("image", "condaFile") if inputs.conda_file is not None else ("image", *_ROUTES)
    for name in names:
        if here.get(name) != wanted[name]:
            msg = (
                f"environment {inputs.environment_name}:{last(path)} exists with {name} = {here.get(name)}, not "
                f"{wanted[name]}; a version cannot change: choose another version"
            )
            raise ResourceError(msg)
