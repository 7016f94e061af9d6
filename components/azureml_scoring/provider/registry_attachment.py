"""RegistryAttachment: the container registry of a workspace that has none.

Owns: the workspace's property `containerRegistry`, from empty to one registry. Refuses to own: workspace and registry,
and to detach a registry: the images that Azure ML has pushed there, and other endpoints, depend on it.

ARM: Microsoft.MachineLearningServices/workspaces.
https://learn.microsoft.com/rest/api/azureml/workspaces/update
"""

from typing import Any, ClassVar

from azureml_scoring.provider.arm import ML_API, log_states
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import as_written, last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import RegistryAttachmentArgs


class RegistryAttachmentOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


class RegistryAttachment(Resource[RegistryAttachmentArgs]):
    """The container registry of a workspace that had none. It stays when this goes."""

    name = "RegistryAttachment"
    inputs = RegistryAttachmentArgs
    outputs = RegistryAttachmentOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "registryId"})

    def _create(self, context: Context, inputs: RegistryAttachmentArgs) -> tuple[str, Outputs]:
        workspace = context.arm.get(inputs.workspace_id, ML_API)
        if workspace is None:
            raise ResourceError(f"workspace {inputs.workspace_id} does not exist; correct workspace.id")
        name, current = last(inputs.workspace_id), attached_registry(workspace)
        if current and current.lower() != inputs.registry_id.lower():
            msg = f"workspace {name} has registry {current}; write registry.id: {current}, or take it out"
            raise ResourceError(msg)
        if not current:
            body = {"properties": {"containerRegistry": inputs.registry_id}}
            context.arm.patch(inputs.workspace_id, ML_API, body, log_states(context.progress, f"workspace {name}"))
        return f"{inputs.workspace_id}/containerRegistry/{last(inputs.registry_id)}", RegistryAttachmentOutputs()

    def _update(
        self, context: Context, resource_id: str, olds: Properties, inputs: RegistryAttachmentArgs
    ) -> RegistryAttachmentOutputs:
        """Never called: a change of any input is a replacement."""
        del context, resource_id, olds, inputs
        return RegistryAttachmentOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        workspace_id = str(olds.get("workspaceId") or resource_id.rpartition("/containerRegistry/")[0])
        current = attached_registry(context.arm.get(workspace_id, ML_API) or {})
        if not current:
            return None
        known = {"workspaceId": workspace_id, "registryId": as_written(olds.get("registryId"), current)}
        return ReadResult(resource_id, {**olds, **known}, {**inputs, **known})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Leave the registry attached: Azure ML and other endpoints depend on it."""
        del resource_id
        context.log(f"workspace {last(olds['workspaceId'])} keeps registry {last(olds['registryId'])}")


def attached_registry(workspace: dict[str, Any]) -> str:
    """Return the ARM id of a workspace's registry; empty where it has none."""
    return str((workspace.get("properties") or {}).get("containerRegistry") or "")
