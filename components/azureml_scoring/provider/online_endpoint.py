"""OnlineEndpoint: the address that clients post to.

Owns: the endpoint's existence, kind, authentication, network access and identity. A compute makes it one on Kubernetes.
Refuses to own: its traffic, which belongs to `EndpointTraffic`. A PUT replaces the whole document, so what stands there
is re-sent: an endpoint PUT without it would send 0 % everywhere.

ARM: Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/rest/api/azureml/online-endpoints
"""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from azureml_scoring.provider.arm import ML_API, Progress, log_states
from azureml_scoring.provider.fields import ComputeId, EndpointName, Location, Tags, WorkspaceId, as_written, kept_tags
from azureml_scoring.provider.framework import Context, Inputs, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties


class OnlineEndpointInputs(Inputs):
    """Name, place, authentication and identity of an endpoint."""

    workspace_id: WorkspaceId = Field(description="ARM id of the workspace.")
    endpoint_name: EndpointName = Field(description="Name of the endpoint; unique in the region.")
    location: Location = Field(description="Region, as its short name.")
    compute: ComputeId | None = Field(
        default=None, description="ARM id of the attached Kubernetes compute it runs on; without it, it is managed."
    )
    auth_mode: Literal["Key", "AADToken", "AMLToken"] = Field(default="Key", description="Key, AADToken or AMLToken.")
    public_network_access: Literal["Enabled", "Disabled"] = Field(
        default="Enabled", description="Whether the endpoint answers from the public internet: Enabled or Disabled."
    )
    identity_type: Literal["SystemAssigned", "UserAssigned"] = Field(
        default="SystemAssigned", description="Whose identity pulls the image and reads the model."
    )
    user_assigned_identities: list[str] | None = Field(
        default=None, description="ARM ids of the identities, with identityType UserAssigned."
    )
    description: str | None = Field(default=None, description="What the endpoint is for.")
    tags: Tags | None = Field(default=None, description="Tags of the endpoint.")

    @model_validator(mode="after")
    def _identity_fits(self) -> "OnlineEndpointInputs":
        if (self.identity_type == "UserAssigned") != bool(self.user_assigned_identities):
            msg = (
                f"identityType = {self.identity_type!r}: userAssignedIdentities has "
                f"{len(self.user_assigned_identities or [])} entries; name identities with UserAssigned, and only then"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sign_in_exists(self) -> "OnlineEndpointInputs":
        if self.compute and self.auth_mode == "AADToken":
            msg = f"authMode = {self.auth_mode!r}: Kubernetes endpoints know no Entra tokens; give Key or AMLToken"
            raise ValueError(msg)
        return self


class OnlineEndpointOutputs(Outputs):
    """What Azure chose."""

    scoring_uri: str = Field(description="Where clients post.")
    principal_id: str = Field(default="", description="The system-assigned identity; empty when there is none.")


class OnlineEndpoint(Resource[OnlineEndpointInputs]):
    """An online endpoint, managed or on Kubernetes; its traffic belongs to EndpointTraffic."""

    name = "OnlineEndpoint"
    inputs = OnlineEndpointInputs
    outputs = OnlineEndpointOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset(
        {"workspaceId", "endpointName", "location", "compute", "identityType", "userAssignedIdentities"}
    )
    # The name is unique in the region, and replacing mostly keeps it.
    delete_before_replace = True

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell that an update keeps address and identity."""
        return {**super().preview_state(olds, news), **{name: olds[name] for name in STABLE if name in olds}}

    def _create(self, context: Context, inputs: OnlineEndpointInputs) -> tuple[str, Outputs]:
        path = f"{inputs.workspace_id}/onlineEndpoints/{inputs.endpoint_name}"
        return path, _put(context, path, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: OnlineEndpointInputs) -> Outputs:
        del olds
        return _put(context, resource_id, inputs)

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        found = context.arm.get(resource_id, ML_API)
        if found is None:
            return None
        here = as_inputs(resource_id, found)
        given = {name: as_written(olds.get(name), value) for name, value in here.items()}
        if olds:
            given = {name: value for name, value in given.items() if name != "tags"}
            given |= kept_tags(olds, found.get("tags"))
        return ReadResult(resource_id, {**given, **outputs_of(found).properties()}, {**inputs, **given})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Delete it with whatever is behind it."""
        context.arm.delete(resource_id, ML_API, _progress(context, str(olds.get("endpointName") or resource_id)))


STABLE = ("scoringUri", "principalId")


def body(inputs: OnlineEndpointInputs, existing: dict[str, Any] | None) -> dict[str, Any]:
    """Build the body of the PUT; the traffic that stands there is sent again."""
    here = (existing or {}).get("properties") or {}
    traffic = {name: here[name] for name in ("traffic", "mirrorTraffic") if here.get(name)}
    identity: dict[str, Any] = {"type": inputs.identity_type}
    if inputs.user_assigned_identities:
        identity["userAssignedIdentities"] = {one: {} for one in inputs.user_assigned_identities}
    described = {"description": inputs.description} if inputs.description is not None else {}
    return {
        "location": inputs.location,
        "kind": "Kubernetes" if inputs.compute else "Managed",
        "identity": identity,
        "tags": inputs.tags or {},
        "properties": {
            "authMode": inputs.auth_mode,
            "publicNetworkAccess": inputs.public_network_access,
            **({"compute": inputs.compute} if inputs.compute else {}),
            **described,
            **traffic,
        },
    }


def as_inputs(path: str, document: dict[str, Any]) -> Properties:
    """Read the inputs off a document."""
    properties = document.get("properties") or {}
    identity = document.get("identity") or {}
    workspace, _, name = path.rpartition("/onlineEndpoints/")
    found = {
        "workspaceId": workspace,
        "endpointName": name,
        "location": document.get("location"),
        "compute": properties.get("compute"),
        "authMode": properties.get("authMode"),
        "publicNetworkAccess": properties.get("publicNetworkAccess"),
        "identityType": identity.get("type"),
        "userAssignedIdentities": sorted(identity.get("userAssignedIdentities") or {}) or None,
        "description": properties.get("description") or None,
        "tags": document.get("tags") or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def outputs_of(document: dict[str, Any]) -> OnlineEndpointOutputs:
    """Read the outputs off a document."""
    return OnlineEndpointOutputs(
        scoring_uri=str(document["properties"].get("scoringUri") or ""),
        principal_id=str((document.get("identity") or {}).get("principalId") or ""),
    )


def _put(context: Context, path: str, inputs: OnlineEndpointInputs) -> OnlineEndpointOutputs:
    existing = context.arm.wait_until_idle(path, ML_API, _progress(context, inputs.endpoint_name))
    document = context.arm.put(path, ML_API, body(inputs, existing), _progress(context, inputs.endpoint_name))
    return outputs_of(document)


def _progress(context: Context, name: str) -> Progress:
    return log_states(context.log, f"endpoint {name}")
