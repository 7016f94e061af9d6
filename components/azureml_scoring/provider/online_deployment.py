"""OnlineDeployment: instances of one environment behind an endpoint.

Owns: the deployment's body and the wait for it. Refuses to own: which share of the traffic it gets (`EndpointTraffic`),
the role that lets its identity pull (`pull_grant` is only waited for), and the count of instances where Azure sets it:
`autoscaled` by Azure Monitor, `scaleSettings` by the cluster.

What Azure does that matters here: a deployment whose first provisioning failed cannot be repaired, only deleted and
made anew; one that still gets traffic cannot be deleted.

ARM: Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments.
https://learn.microsoft.com/rest/api/azureml/online-deployments
"""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from azureml_scoring.provider.arm import ML_API, Arm, ArmError, Progress, clean, log_states, state_of
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import (
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
from azureml_scoring.provider.framework import Context, Diff, Inputs, Outputs, ReadResult, Resource
from azureml_scoring.provider.traffic_split import TrafficSplit, put_traffic, read_traffic
from azureml_scoring.provider.values import Properties

_SECTIONS = (
    "livenessProbe",
    "readinessProbe",
    "requestSettings",
    "scaleSettings",
    "containerResourceRequirements",
    "dataCollector",
)


class OnlineDeploymentInputs(Inputs):
    """Which environment runs behind an endpoint, on what, and how it is probed."""

    endpoint_id: EndpointId = Field(description="ARM id of the endpoint.")
    deployment_name: DeploymentName = Field(description="Name of the deployment; unique in the endpoint.")
    location: Location = Field(description="Region, as its short name.")
    environment_id: EnvironmentId = Field(description="ARM id of the environment version that runs.")
    kind: Literal["Kubernetes"] | None = Field(
        default=None, description="Kubernetes, behind an endpoint that is on one; else it is managed."
    )
    instance_type: Annotated[str, shaped(r"[\w.-]+", "a machine size such as Standard_DS3_v2")] | None = Field(
        default=None, description="Machine size; on Kubernetes the name of an instance type of the cluster, or none."
    )
    instance_count: int = Field(default=1, ge=1, le=1000, description="How many instances.")
    model_id: ModelId | None = Field(default=None, description="ARM id of the model version that is mounted.")
    model_mount_path: Annotated[str, shaped(r"/\S*", "an absolute path")] | None = Field(
        default=None, description="Folder in the container below which the model is mounted."
    )
    code_id: CodeId | None = Field(default=None, description="ARM id of the code version that is mounted.")
    scoring_script: str | None = Field(default=None, description="The entry script, seen from the code's folder.")
    autoscaled: bool | None = Field(
        default=None, description="Whether Azure Monitor sets the count; instanceCount is then only the first one."
    )
    scale_settings: dict[str, Any] | None = Field(
        default=None,
        description="On Kubernetes, as in ARM: minInstances, maxInstances, targetUtilizationPercentage, …",
    )
    container_resource_requirements: dict[str, dict[str, str]] | None = Field(
        default=None, description="On Kubernetes, as in ARM: containerResourceRequests and containerResourceLimits."
    )
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
    egress_public_network_access: Literal["Enabled", "Disabled"] | None = Field(
        default=None, description="Managed only: whether it may reach the internet; without it, it may."
    )
    data_collector: dict[str, Any] | None = Field(
        default=None, description="As in ARM: collections, rollingRate, requestLogging."
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

    @model_validator(mode="after")
    def _kind_fits(self) -> "OnlineDeploymentInputs":
        if self.kind is None and not (self.instance_type or "").startswith("Standard_"):
            msg = f"instanceType = {self.instance_type!r}: a managed deployment takes a size such as Standard_DS3_v2"
            raise ValueError(msg)
        given: dict[str, object] = {
            "scaleSettings": self.scale_settings,
            "containerResourceRequirements": self.container_resource_requirements,
        }
        if self.kind is not None:
            given = {"autoscaled": self.autoscaled, "egressPublicNetworkAccess": self.egress_public_network_access}
        for name, value in given.items():
            if value is not None:
                kinds = "managed deployments" if self.kind else "kind Kubernetes"
                msg = f"{name}: it is for {kinds} only; take it out"
                raise ValueError(msg)
        return self

    @property
    def path(self) -> str:
        """The ARM id."""
        return f"{self.endpoint_id}/deployments/{self.deployment_name}"


class OnlineDeploymentOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class OnlineDeployment(Resource[OnlineDeploymentInputs]):
    """A deployment, managed or on Kubernetes: instances of one environment behind an endpoint."""

    name = "OnlineDeployment"
    inputs = OnlineDeploymentInputs
    outputs = OnlineDeploymentOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"endpointId", "deploymentName", "location", "kind"})
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"pullGrant"})

    def diff(self, resource_id: str, olds: Properties, news: Properties) -> Diff:
        """Compare; neither a count that Azure sets nor another name of the same image is a difference."""
        if olds.get("autoscaled") and news.get("autoscaled"):
            news = {**news, "instanceCount": olds.get("instanceCount")}
        found = super().diff(resource_id, olds, news)
        same = olds.get("environmentId") == news.get("environmentId")
        if same and "tags" in found.updated and _others(olds["tags"]) == _others(news["tags"]):
            return replace(found, updated=found.updated - {"tags"})
        return found

    def _create(self, context: Context, inputs: OnlineDeploymentInputs) -> tuple[str, Outputs]:
        existing = context.arm.wait_until_idle(inputs.path, ML_API, _progress(context, inputs.deployment_name))
        if existing is not None and state_of(existing) in {"failed", "canceled"}:
            context.log(
                f"deployment {inputs.deployment_name}: its first provisioning failed; deleting it to start anew"
            )
            _remove(context, inputs.path)
            existing = None
        _put(context, inputs, _count(existing))
        return inputs.path, OnlineDeploymentOutputs()

    def _update(
        self, context: Context, resource_id: str, olds: Properties, inputs: OnlineDeploymentInputs
    ) -> OnlineDeploymentOutputs:
        del olds
        found = context.arm.wait_until_idle(resource_id, ML_API, _progress(context, inputs.deployment_name))
        _put(context, inputs, _count(found))
        return OnlineDeploymentOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        found = context.arm.get(resource_id, ML_API)
        if found is None:
            return None
        here = as_inputs(resource_id, found, olds)
        return ReadResult(resource_id, here, {**inputs, **here})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        del olds
        _remove(context, resource_id)


def _others(tags: object) -> object:
    """Leave out the tag that names the image."""
    return {name: tag for name, tag in tags.items() if name != CONTENT_TAG} if isinstance(tags, dict) else tags


def body(inputs: OnlineDeploymentInputs, there: int | None = None) -> dict[str, Any]:
    """Build the body of the PUT: always the whole of it. `there` is the count that Azure has now."""
    optional = {
        "instanceType": inputs.instance_type,
        "containerResourceRequirements": inputs.container_resource_requirements,
        "egressPublicNetworkAccess": inputs.egress_public_network_access,
        "dataCollector": inputs.data_collector,
        "livenessProbe": inputs.liveness_probe,
        "readinessProbe": inputs.readiness_probe,
        "requestSettings": inputs.request_settings,
        "model": inputs.model_id,
        "modelMountPath": inputs.model_mount_path,
        "codeConfiguration": inputs.code_id and {"codeId": inputs.code_id, "scoringScript": inputs.scoring_script},
    }
    count = there if inputs.autoscaled and there else inputs.instance_count
    sku = {"name": "Default", "tier": "Standard", **({} if inputs.scale_settings else {"capacity": count})}
    scale = {"scaleType": "TargetUtilization", **inputs.scale_settings} if inputs.scale_settings else {}
    return {
        "location": inputs.location,
        "kind": inputs.kind or "Managed",
        "tags": inputs.tags or {},
        "sku": sku,
        "properties": {
            "endpointComputeType": inputs.kind or "Managed",
            "environmentId": inputs.environment_id,
            "environmentVariables": inputs.environment_variables or {},
            "appInsightsEnabled": inputs.app_insights_enabled,
            "scaleSettings": scale or {"scaleType": "Default"},
            **{name: value for name, value in optional.items() if value is not None},
        },
    }


def as_inputs(path: str, document: dict[str, Any], olds: Properties) -> Properties:
    """Read the inputs off a document. Of what Azure fills in by itself, only what we set is looked at."""
    properties = document.get("properties") or {}
    endpoint, _, name = path.rpartition("/deployments/")
    code = properties.get("codeConfiguration") or {}
    scale = properties.get("scaleSettings") or {}
    elsewhere = olds.get("autoscaled") or scale.get("scaleType") == "TargetUtilization"
    kind = properties.get("endpointComputeType")
    plain = {
        "endpointId": endpoint,
        "deploymentName": name,
        "location": document.get("location"),
        "environmentId": properties.get("environmentId"),
        "modelId": str(properties.get("model") or "").removeprefix("azureml:") or None,
        "modelMountPath": properties.get("modelMountPath"),
        "codeId": code.get("codeId"),
        "scoringScript": code.get("scoringScript"),
        # Without ours the cluster chooses.
        "instanceType": properties.get("instanceType") if "instanceType" in olds or not olds else None,
        "kind": kind if kind == "Kubernetes" else None,
        "instanceCount": olds.get("instanceCount", 1) if elsewhere else _count(document),
        "autoscaled": olds.get("autoscaled"),
        "egressPublicNetworkAccess": properties.get("egressPublicNetworkAccess")
        if "egressPublicNetworkAccess" in olds
        else None,
        "appInsightsEnabled": properties.get("appInsightsEnabled"),
        "pullGrant": olds.get("pullGrant"),
    }
    here = {key: as_written(olds.get(key), value) for key, value in plain.items()}
    for key in (*_SECTIONS, "environmentVariables"):
        ours, theirs = olds.get(key), properties.get(key) or {}
        here[key] = seen(ours, theirs) if ours is not None else None
    if not olds:
        here |= {key: properties.get(key) or None for key in _SECTIONS}
        here["scaleSettings"] = {k: v for k, v in scale.items() if k != "scaleType"} or None
        here |= {"environmentVariables": properties.get("environmentVariables"), "tags": document.get("tags") or None}
    else:
        here |= kept_tags(olds, document.get("tags"))
    return {key: value for key, value in here.items() if value is not None}


def _count(document: dict[str, Any] | None) -> int | None:
    found: int | None = ((document or {}).get("sku") or {}).get("capacity")
    return found


def seen(ours: object, theirs: object) -> Any:  # noqa: ANN401 - JSON
    """Read, of what Azure has, the parts that we set."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {part: seen(ours[part], theirs[part]) for part in ours if part in theirs}
    return theirs


def _put(context: Context, inputs: OnlineDeploymentInputs, there: int | None = None) -> None:
    name = inputs.deployment_name
    try:
        context.arm.put(inputs.path, ML_API, body(inputs, there), _progress(context, name))
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
    context.arm.wait_until_idle(path, ML_API, progress)
    try:
        context.arm.delete(path, ML_API, progress)
    except ArmError as error:
        split = read_traffic(context.arm, endpoint)
        if split is None or name not in split.receivers:
            raise
        rest = split.without(name)
        context.log(f"deployment {name} still gets traffic ({error.code}); the endpoint now sends {rest}")
        put_traffic(context.arm, endpoint, TrafficSplit({**rest.traffic, name: 0}, rest.mirror))
        context.arm.delete(path, ML_API, progress)


def _progress(context: Context, name: str) -> Progress:
    return log_states(context.log, f"deployment {name}")
