"""OnlineDeployment: instances of one environment behind an endpoint.

Owns: the deployment's body and the wait for it. Refuses to own: which share of the traffic it gets (`EndpointTraffic`),
the roles of its identity (`pull_grant`), and the count of instances where Azure sets it: `autoscaled` by Azure Monitor,
`scaleSettings` by the cluster.

What Azure does that matters here: a deployment whose first provisioning failed cannot be repaired, only deleted and
made anew; one that still gets traffic cannot be deleted. A new role takes up to ten minutes to take effect, and nothing
but a pull shows whether it has: a deployment that was refused in that time is tried again.

ARM: Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments.
https://learn.microsoft.com/rest/api/azureml/online-deployments
https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final

from azureml_scoring.provider.arm import ML_API, Arm, ArmError, Progress, clean, log_states, state_of
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import (
    as_written,
    kept_tags,
    last,
)
from azureml_scoring.provider.framework import Context, Diff, Outputs, ReadResult, Resource
from azureml_scoring.provider.role_assignment import AUTHORIZATION_API
from azureml_scoring.provider.traffic_split import TrafficSplit, put_traffic, read_traffic
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import CONTENT_TAG, OnlineDeploymentArgs
from azureml_scoring.settings.section import from_document, to_document

_ASSETS = ("modelId", "modelMountPath", "codeId", "scoringScript", "kind")
_NAMED: Final = {CONTENT_TAG: "environmentId", "model": "modelId", "code": "codeId"}
"""Tags that name a version for the readers of a preview, and the argument that has its id."""
_ROLE_SECONDS: Final = 900.0
"""Age of a role, in seconds, from which on a refusal is believed: half as long again as Azure says that it takes."""
_RETRY_SECONDS: Final = 15.0
_REFUSED: Final = re.compile(
    r"(?i)pull permission|authoriz|role assignment|ACR(Secret|Token)|registry (is|isn't) private"
)
"""Texts of a deployment whose identity may not read the registry or the storage.
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints
https://github.com/MicrosoftDocs/azure-docs/issues/107890
https://github.com/Azure/azure-sdk-for-python/issues/33611
"""


class OnlineDeploymentOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class OnlineDeployment(Resource[OnlineDeploymentArgs]):
    """A deployment, managed or on Kubernetes: instances of one environment behind an endpoint."""

    name = "OnlineDeployment"
    inputs = OnlineDeploymentArgs
    outputs = OnlineDeploymentOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"endpointId", "deploymentName", "location", "kind"})
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"pullGrant"})

    def diff(self, resource_id: str, olds: Properties, news: Properties) -> Diff:
        """Compare; neither a count that Azure sets nor another name of the same version is a difference."""
        if olds.get("autoscaled") and news.get("autoscaled"):
            news = {**news, "instanceCount": olds.get("instanceCount")}
        found = super().diff(resource_id, olds, news)
        same = [tag for tag, name in _NAMED.items() if olds.get(name) and olds[name] == news.get(name)]
        if "tags" in found.updated and _others(olds["tags"], same) == _others(news["tags"], same):
            return replace(found, updated=found.updated - {"tags"})
        return found

    def _create(self, context: Context, inputs: OnlineDeploymentArgs) -> tuple[str, Outputs]:
        existing = context.arm.wait_until_idle(inputs.path, ML_API, _progress(context, inputs.deployment_name))
        if existing is not None and state_of(existing) in {"failed", "canceled"}:
            context.log(
                f"deployment {inputs.deployment_name}: its first provisioning failed; deleting it to start anew"
            )
            _remove(context, inputs.path)
            existing = None
        _put(context, inputs, _count(existing), first=existing is None)
        return inputs.path, OnlineDeploymentOutputs()

    def _update(
        self, context: Context, resource_id: str, olds: Properties, inputs: OnlineDeploymentArgs
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


def _others(tags: object, names: Collection[str]) -> object:
    """Leave out the tags that name what runs."""
    return {name: tag for name, tag in tags.items() if name not in names} if isinstance(tags, dict) else tags


def body(inputs: OnlineDeploymentArgs, current: int | None = None) -> dict[str, Any]:
    """Build the body of the PUT: always the whole of it. `current` is the count that Azure has now."""
    document = to_document(inputs)
    kind = inputs.kind or "Managed"
    document |= {"kind": kind, "tags": inputs.tags or {}}
    document["sku"] = {"name": "Default", "tier": "Standard", **document["sku"]}
    if inputs.scale_settings:
        del document["sku"]["capacity"]
    elif inputs.autoscaled and current:
        document["sku"]["capacity"] = current
    scale = {"scaleType": "TargetUtilization", **inputs.scale_settings} if inputs.scale_settings else {}
    document["properties"] |= {"endpointComputeType": kind, "scaleSettings": scale or {"scaleType": "Default"}}
    return document


def as_inputs(path: str, document: dict[str, Any], olds: Properties) -> Properties:
    """Read the inputs off a document. Of what Azure fills in by itself, only what was written is compared."""
    endpoint, _, name = path.rpartition("/deployments/")
    values = from_document(OnlineDeploymentArgs, document)
    scale = values.pop("scaleSettings", None) or {}
    if scale.get("scaleType") == "TargetUtilization":
        values["scaleSettings"] = {key: value for key, value in scale.items() if key != "scaleType"}
    for key in ("modelId", "environmentId"):
        if key in values:
            values[key] = _asset_id(olds.get(key), str(values[key]))
    if (document.get("properties") or {}).get("endpointComputeType") == "Kubernetes":
        values["kind"] = "Kubernetes"
    if not olds:
        if values.get("egressPublicNetworkAccess") == "Enabled":
            del values["egressPublicNetworkAccess"]  # Azure's own default
        read = {"instanceCount": 1, **{key: value for key, value in values.items() if value or key != "tags"}}
        if "scaleSettings" in values:
            del read["instanceCount"]  # the cluster's choice
    else:
        read = {key: seen(olds[key], values[key]) for key in olds if key in values and key != "tags"}
        # A model, code or kind that somebody added behind the program's back is a difference.
        read |= {
            key: values[key]
            for key in ("modelId", "modelMountPath", "codeId", "scoringScript", "kind")
            if key in values
        }
        read = {key: as_written(olds.get(key), value) for key, value in read.items()}
        read |= {key: olds[key] for key in ("autoscaled", "pullGrant") if key in olds}
        read |= kept_tags(olds, document.get("tags"))
        if olds.get("autoscaled") or "scaleSettings" in values:
            read["instanceCount"] = olds.get("instanceCount", 1)
    return {**read, "endpointId": endpoint, "deploymentName": name}


def _asset_id(ours: object, theirs: str) -> str:
    """Read the id of a version; one that Azure resolved from our label is the label's."""
    if not theirs.startswith("azureml://"):
        return theirs.removeprefix("azureml:")
    labelled, _, label = str(ours).rpartition("/labels/")
    return str(ours) if label and theirs.startswith(f"{labelled}/versions/") else theirs


def _count(document: dict[str, Any] | None) -> int | None:
    found: int | None = ((document or {}).get("sku") or {}).get("capacity")
    return found


def seen(ours: object, theirs: object) -> Any:  # noqa: ANN401 - JSON
    """Read, of what Azure has, the parts that we set."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {part: seen(ours[part], theirs[part]) for part in ours if part in theirs}
    return theirs


def _put(context: Context, inputs: OnlineDeploymentArgs, current: int | None, *, first: bool = False) -> None:
    """PUT it, and again while its identity's roles are too new for a refusal to be believed; `first`: it is new."""
    name, arm = inputs.deployment_name, context.arm
    context.progress(f"deployment {name}: {_whole_log(inputs)} shows its log")
    while True:
        begun = arm.clock()
        try:
            arm.put(inputs.path, ML_API, body(inputs, current), _progress(context, name))
        except ArmError as error:
            roles = _roles(arm, inputs) if _is_refusal(error) else {}
            age = _age(roles)
            if age is None or age - (arm.clock() - begun) >= _ROLE_SECONDS:
                raise _failure(arm, inputs, error, [id_ for id_, created in roles.items() if created is None]) from None
            context.progress(
                f"deployment {name}: {error.code}: its identity is not let in yet; a new role takes up to 10 minutes "
                f"to take effect, and its newest is {age:.0f} s old: trying again in {_RETRY_SECONDS:.0f} s"
            )
        else:
            return
        arm.sleep(_RETRY_SECONDS)
        if first:
            _remove(context, inputs.path)


def _whole_log(inputs: OnlineDeploymentArgs) -> str:
    """Return the command that prints the log of its container.

    https://learn.microsoft.com/cli/azure/ml/online-deployment#az-ml-online-deployment-get-logs
    """
    parts = inputs.endpoint_id.split("/")
    group, workspace, endpoint = parts[4], parts[8], parts[10]
    where = f"--resource-group {group} --workspace-name {workspace} --endpoint-name {endpoint}"
    return f"`az ml online-deployment get-logs {where} --name {inputs.deployment_name}`"


def _is_refusal(error: ArmError) -> bool:
    """Tell whether the deployment's identity was not let in; neither the deployer, nor a user of the container."""
    ours = error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or error.code == "ResourceNotReady"
    return not ours and bool(_REFUSED.search(f"{error.code} {error.message}"))


def _roles(arm: Arm, inputs: OnlineDeploymentArgs) -> dict[str, str | None]:
    """Return when the roles of its identity were assigned, by id; None for one that is gone.

    Those that Azure ML assigns itself are as old as the endpoint.
    """
    endpoint = arm.get(inputs.endpoint_id, ML_API) or {}
    roles: dict[str, str | None] = {}
    if created := (endpoint.get("systemData") or {}).get("createdAt"):
        roles[inputs.endpoint_id] = str(created)
    for id_ in (inputs.pull_grant or "").split():
        assignment = arm.get(id_, AUTHORIZATION_API)
        roles[id_] = str(assignment["properties"]["createdOn"]) if assignment else None
    return roles


def _age(roles: Mapping[str, str | None]) -> float | None:
    """Return the age of the newest role in seconds; None where waiting is no use: one is gone, or none is known."""
    made = [datetime.fromisoformat(created) for created in roles.values() if created]
    return (datetime.now(UTC) - max(made)).total_seconds() if made and len(made) == len(roles) else None


def _failure(arm: Arm, inputs: OnlineDeploymentArgs, error: ArmError, gone: Sequence[str]) -> ResourceError:
    said = _container_says(arm, inputs.path)
    log = f"; the container says: {said}" if said else ""
    remedy = f"; {', '.join(gone)} was taken away: run up with --refresh" if gone else ""
    where = f"deployment {inputs.deployment_name} of endpoint {last(inputs.endpoint_id)}"
    return ResourceError(f"{where}: {error.code}: {error.message}{log}{remedy}")


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
    return log_states(context.progress, f"deployment {name}")
