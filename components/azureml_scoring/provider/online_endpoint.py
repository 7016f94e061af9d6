"""OnlineEndpoint: the address that clients post to.

Owns: the endpoint's existence, kind, authentication, network access and identity. A compute makes it one on Kubernetes.
Refuses to own: its traffic, which belongs to `EndpointTraffic`. A PUT replaces the whole document, so what stands there
is re-sent: an endpoint PUT without it would send 0 % everywhere.

ARM: Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/rest/api/azureml/online-endpoints
"""

from typing import Any, ClassVar

from pydantic import Field

from azureml_scoring.provider.arm import ML_API, Progress, log_states
from azureml_scoring.provider.fields import as_written, kept_tags
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import OnlineEndpointArgs
from azureml_scoring.settings.section import from_document, to_document


class OnlineEndpointOutputs(Outputs):
    """What Azure chose."""

    scoring_uri: str = Field(description="Where clients post.")
    principal_id: str = Field(default="", description="The system-assigned identity; empty when there is none.")


class OnlineEndpoint(Resource[OnlineEndpointArgs]):
    """An online endpoint, managed or on Kubernetes; its traffic belongs to EndpointTraffic."""

    name = "OnlineEndpoint"
    inputs = OnlineEndpointArgs
    outputs = OnlineEndpointOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset(
        {"workspaceId", "endpointName", "location", "compute", "identityType", "userAssignedIdentities"}
    )
    # The name is unique in the region, and replacing mostly keeps it.
    delete_before_replace = True

    def preview_state(self, olds: Properties, news: Properties) -> Properties:
        """Tell that an update keeps address and identity."""
        return {**super().preview_state(olds, news), **{name: olds[name] for name in STABLE if name in olds}}

    def _create(self, context: Context, inputs: OnlineEndpointArgs) -> tuple[str, Outputs]:
        path = f"{inputs.workspace_id}/onlineEndpoints/{inputs.endpoint_name}"
        return path, _put(context, path, inputs)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: OnlineEndpointArgs) -> Outputs:
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
        return ReadResult(resource_id, {**given, **outputs_of(found).wire()}, {**inputs, **given})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Delete it with whatever is behind it."""
        context.arm.delete(resource_id, ML_API, _progress(context, str(olds.get("endpointName") or resource_id)))


STABLE = ("scoringUri", "principalId")


def body(inputs: OnlineEndpointArgs, existing: dict[str, Any] | None) -> dict[str, Any]:
    """Build the body of the PUT; the current traffic is sent again."""
    document = to_document(inputs)
    document["kind"] = "Kubernetes" if inputs.compute else "Managed"
    document.setdefault("tags", {})
    if inputs.user_assigned_identities:
        document["identity"]["userAssignedIdentities"] = {one: {} for one in inputs.user_assigned_identities}
    current = (existing or {}).get("properties") or {}
    document["properties"] |= {name: current[name] for name in ("traffic", "mirrorTraffic") if current.get(name)}
    return document


def as_inputs(path: str, document: dict[str, Any]) -> Properties:
    """Read the inputs off a document."""
    workspace, _, name = path.rpartition("/onlineEndpoints/")
    identities = sorted((document.get("identity") or {}).get("userAssignedIdentities") or {})
    values = {
        **from_document(OnlineEndpointArgs, document),
        "workspaceId": workspace,
        "endpointName": name,
        **({"userAssignedIdentities": identities} if identities else {}),
    }
    # Azure answers with empty texts and maps where nothing was written.
    return {key: value for key, value in values.items() if value not in ("", {})}


def outputs_of(document: dict[str, Any]) -> OnlineEndpointOutputs:
    """Read the outputs off a document."""
    return OnlineEndpointOutputs(
        scoring_uri=str(document["properties"].get("scoringUri") or ""),
        principal_id=str((document.get("identity") or {}).get("principalId") or ""),
    )


def _put(context: Context, path: str, inputs: OnlineEndpointArgs) -> OnlineEndpointOutputs:
    existing = context.arm.wait_until_idle(path, ML_API, _progress(context, inputs.endpoint_name))
    document = context.arm.put(path, ML_API, body(inputs, existing), _progress(context, inputs.endpoint_name))
    return outputs_of(document)


def _progress(context: Context, name: str) -> Progress:
    return log_states(context.progress, f"endpoint {name}")
