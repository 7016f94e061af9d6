"""OnlineDeployment: instances of one environment behind an endpoint.

Owns: the deployment's body and the wait for it. Refuses to own: which share of the traffic it gets (`EndpointTraffic`)
and the role that lets its identity pull (`pull_grant` is only waited for).

What Azure does that matters here: a deployment whose first provisioning failed cannot be repaired, only deleted and
made anew; one that still gets traffic cannot be deleted.

ARM: Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments.
https://learn.microsoft.com/rest/api/azureml/online-deployments
"""

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from components.resources.arm import ML_API, Arm, ArmError, Progress, clean, spoken, state_of
from components.resources.fields import (
    CONTENT_TAG,
    CodeId,
    DeploymentName,
    EndpointId,
    EnvironmentId,
    Location,
    ModelId,
    Tags,
    as_written,
    kept_tags,
    last,
    shaped,
)
from components.resources.framework import Context, Diff, Found, Inputs, Outputs, Resource, ResourceError
from components.resources.split import Split, put_split, read_split, without
from components.resources.values import Plain


class OnlineDeploymentInputs(Inputs):
    """Which environment runs behind an endpoint, on what, and how it is probed."""

    endpoint_id: EndpointId = Field(description="ARM id of the endpoint.")
    deployment_name: DeploymentName = Field(description="Name of the deployment; unique in the endpoint.")
    location: Location = Field(description="Region, as its short name.")
    environment_id: EnvironmentId = Field(description="ARM id of the environment version that runs.")
    instance_type: Annotated[str, shaped(r"Standard_\w+", "a machine size such as Standard_DS3_v2")] = Field(
        description="Machine size."
    )
    instance_count: int = Field(default=1, ge=1, le=1000, description="How many instances.")
    model_id: ModelId | None = Field(default=None, description="ARM id of the model version that is mounted.")
    model_mount_path: Annotated[str, shaped(r"/\S*", "an absolute path")] | None = Field(
        default=None, description="Folder in the container below which the model is mounted."
    )
    code_id: CodeId | None = Field(default=None, description="ARM id of the code version that is mounted.")
    scoring_script: str | None = Field(default=None, description="The entry script, seen from the code's folder.")
    environment_variables: dict[str, str] | None = Field(
        default=None, description="Environment variables of the container; secret values stay secret in the state."
    )
    liveness_probe: dict[str, Any] | None = Field(
        default=None,
        description="As in ARM: initialDelay, period, timeout (PT10S), successThreshold, failureThreshold.",
    )
    readiness_probe: dict[str, Any] | None = Field(default=None, description="As livenessProbe.")
    request_settings: dict[str, Any] | None = Field(
        default=None, description="As in ARM: requestTimeout, maxQueueWait (PT5S), maxConcurrentRequestsPerInstance."
    )
    app_insights_enabled: bool = Field(
        default=False, description="Whether requests are logged to Application Insights."
    )
    pull_grant: str | None = Field(
        default=None, description="Id of the role assignment that lets the image be pulled; only waited for."
    )
    tags: Tags | None = Field(default=None, description="Tags of the deployment.")

    @model_validator(mode="after")
    def _whole_code(self) -> "OnlineDeploymentInputs":
        if (self.code_id is None) != (self.scoring_script is None):
            msg = "codeId and scoringScript come together; give both, or neither"
            raise ValueError(msg)
        return self

    @property
    def path(self) -> str:
        """The ARM id."""
        return f"{self.endpoint_id}/deployments/{self.deployment_name}"


class OnlineDeploymentOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class OnlineDeployment(Resource[OnlineDeploymentInputs]):
    """A managed deployment: instances of one environment behind an endpoint."""

    name = "OnlineDeployment"
    inputs = OnlineDeploymentInputs
    outputs = OnlineDeploymentOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"endpointId", "deploymentName", "location"})
    silent: ClassVar[frozenset[str]] = frozenset({"pullGrant"})

    def diff(self, resource_id: str, olds: Plain, news: Plain) -> Diff:
        """Take another name of the same image for no change: only the environment says which image runs."""
        found = super().diff(resource_id, olds, news)
        same = olds.get("environmentId") == news.get("environmentId")
        if same and "tags" in found.updated and _others(olds["tags"]) == _others(news["tags"]):
            return replace(found, updated=found.updated - {"tags"})
        return found

    def _create(self, context: Context, inputs: OnlineDeploymentInputs) -> tuple[str, Outputs]:
        existing = context.arm.settle(inputs.path, ML_API, _progress(context, inputs.deployment_name))
        if existing is not None and state_of(existing) in {"failed", "canceled"}:
            context.log(
                f"deployment {inputs.deployment_name}: its first provisioning failed; deleting it to start anew"
            )
            _remove(context, inputs.path)
        _put(context, inputs)
        return inputs.path, OnlineDeploymentOutputs()

    def _update(
        self, context: Context, resource_id: str, olds: Plain, inputs: OnlineDeploymentInputs
    ) -> OnlineDeploymentOutputs:
        del olds
        context.arm.settle(resource_id, ML_API, _progress(context, inputs.deployment_name))
        _put(context, inputs)
        return OnlineDeploymentOutputs()

    def _read(self, context: Context, resource_id: str, olds: Plain, inputs: Plain) -> Found | None:
        found = context.arm.get(resource_id, ML_API)
        if found is None:
            return None
        here = as_inputs(resource_id, found, olds)
        return Found(resource_id, here, {**inputs, **here})

    def _delete(self, context: Context, resource_id: str, olds: Plain) -> None:
        del olds
        _remove(context, resource_id)


def _others(tags: object) -> object:
    """Leave out the tag that names the image."""
    return {name: tag for name, tag in tags.items() if name != CONTENT_TAG} if isinstance(tags, dict) else tags


def body(inputs: OnlineDeploymentInputs) -> dict[str, Any]:
    """Build the body of the PUT: always the whole of it."""
    optional = {
        "livenessProbe": inputs.liveness_probe,
        "readinessProbe": inputs.readiness_probe,
        "requestSettings": inputs.request_settings,
        "model": inputs.model_id,
        "modelMountPath": inputs.model_mount_path,
        "codeConfiguration": inputs.code_id and {"codeId": inputs.code_id, "scoringScript": inputs.scoring_script},
    }
    return {
        "location": inputs.location,
        "kind": "Managed",
        "tags": inputs.tags or {},
        "sku": {"name": "Default", "tier": "Standard", "capacity": inputs.instance_count},
        "properties": {
            "endpointComputeType": "Managed",
            "environmentId": inputs.environment_id,
            "instanceType": inputs.instance_type,
            "environmentVariables": inputs.environment_variables or {},
            "appInsightsEnabled": inputs.app_insights_enabled,
            "scaleSettings": {"scaleType": "Default"},
            **{name: value for name, value in optional.items() if value is not None},
        },
    }


def as_inputs(path: str, document: dict[str, Any], olds: Plain) -> Plain:
    """Read the inputs off a document. Of what Azure fills in by itself, only what we set is looked at."""
    properties = document.get("properties") or {}
    endpoint, _, name = path.rpartition("/deployments/")
    code = properties.get("codeConfiguration") or {}
    plain = {
        "endpointId": endpoint,
        "deploymentName": name,
        "location": document.get("location"),
        "environmentId": properties.get("environmentId"),
        "modelId": str(properties.get("model") or "").removeprefix("azureml:") or None,
        "modelMountPath": properties.get("modelMountPath"),
        "codeId": code.get("codeId"),
        "scoringScript": code.get("scoringScript"),
        "instanceType": properties.get("instanceType"),
        "instanceCount": (document.get("sku") or {}).get("capacity"),
        "appInsightsEnabled": properties.get("appInsightsEnabled"),
        "pullGrant": olds.get("pullGrant"),
    }
    here = {key: as_written(olds.get(key), value) for key, value in plain.items()}
    for key in ("livenessProbe", "readinessProbe", "requestSettings", "environmentVariables"):
        ours, theirs = olds.get(key), properties.get(key) or {}
        here[key] = {part: theirs[part] for part in ours if part in theirs} if ours is not None else None
    if not olds:
        here |= {key: properties.get(key) or None for key in ("livenessProbe", "readinessProbe", "requestSettings")}
        here |= {"environmentVariables": properties.get("environmentVariables"), "tags": document.get("tags") or None}
    else:
        here |= kept_tags(olds, document.get("tags"))
    return {key: value for key, value in here.items() if value is not None}


def _put(context: Context, inputs: OnlineDeploymentInputs) -> None:
    name = inputs.deployment_name
    try:
        context.arm.put(inputs.path, ML_API, body(inputs), _progress(context, name))
    except ArmError as error:
        said = _container_says(context.arm, inputs.path)
        log = f"; the container says: {said}" if said else ""
        msg = f"deployment {name} of endpoint {last(inputs.endpoint_id)}: {error.code}: {error.message}{log}"
        raise ResourceError(msg) from None


def _container_says(arm: Arm, path: str) -> str:
    """Return the last telling lines of the container's log; nothing where there is none to be had."""
    try:
        answer = arm.post(f"{path}/getLogs", ML_API, {"containerType": "InferenceServer", "tail": 40})
    except ResourceError:
        return ""
    lines = [line.strip() for line in str(answer.get("content") or "").splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "denied" in line]
    return clean(" | ".join((telling or lines)[-2:]))


def _remove(context: Context, path: str) -> None:
    """Delete it. While the endpoint still sends to it Azure refuses; then its share goes to the others first.

    That happens at `destroy` (EndpointTraffic leaves traffic alone, so that clients are served to the last) and after a
    failed shift. The last receiver has nobody to hand over to: its endpoint then sends nowhere, as was asked for.
    """
    endpoint, _, name = path.rpartition("/deployments/")
    progress = _progress(context, name)
    context.arm.settle(path, ML_API, progress)
    try:
        context.arm.delete(path, ML_API, progress)
    except ArmError as error:
        split = read_split(context.arm, endpoint)
        if split is None or not split.sends_to(name):
            raise
        rest = without(split, name)
        context.log(f"deployment {name} still gets traffic ({error.code}); the endpoint now sends {rest}")
        put_split(context.arm, endpoint, Split({**rest.traffic, name: 0}, rest.mirror))
        context.arm.delete(path, ML_API, progress)


def _progress(context: Context, name: str) -> Progress:
    return spoken(context.log, f"deployment {name}")
