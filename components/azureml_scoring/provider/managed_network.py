"""ManagedNetwork: the managed network of a workspace, provisioned before anything runs in it.

Owns: that it is provisioned, with a line of progress now and then, for it takes up to an hour. Refuses to own its
isolation mode (a property of the workspace), its rules, and its end, which is the workspace's.

ARM: Microsoft.MachineLearningServices/workspaces (provisionManagedNetwork, properties.managedNetwork.status).
https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#manually-provision-a-managed-vnet
"""

from typing import Any, ClassVar

from pydantic import Field

from azureml_scoring.provider.arm import ML_API, log_states
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import ManagedNetworkArgs


class ManagedNetworkOutputs(Outputs):
    """What Azure says of it."""

    status: str = Field(description="Active, once it is provisioned.")


class ManagedNetwork(Resource[ManagedNetworkArgs]):
    """The managed network of a workspace, provisioned. It goes with its workspace."""

    name = "ManagedNetwork"
    inputs = ManagedNetworkArgs
    outputs = ManagedNetworkOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId"})

    def _create(self, context: Context, inputs: ManagedNetworkArgs) -> tuple[str, Outputs]:
        return f"{inputs.workspace_id}/managedNetwork", self._provisioned(context, inputs)

    def _update(
        self, context: Context, resource_id: str, olds: Properties, inputs: ManagedNetworkArgs
    ) -> ManagedNetworkOutputs:
        """Provision it where it is not; Azure takes new rules into one that stands by itself."""
        del resource_id, olds
        return self._provisioned(context, inputs)

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        workspace_id = resource_id.removesuffix("/managedNetwork")
        if _status(context, workspace_id) != "Active":
            return None
        known = {"workspaceId": workspace_id}
        return ReadResult(resource_id, {**olds, **known, "status": "Active"}, {**inputs, **known})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        del resource_id
        context.log(f"the managed network goes with workspace {last(olds['workspaceId'])}")

    @staticmethod
    def _provisioned(context: Context, inputs: ManagedNetworkArgs) -> ManagedNetworkOutputs:
        name = last(inputs.workspace_id)
        if _status(context, inputs.workspace_id) != "Active":
            context.log(f"managed network of {name}: provisioning takes about half an hour, with a firewall longer")
            progress = log_states(context.progress, f"managed network of {name}")
            path = f"{inputs.workspace_id}/provisionManagedNetwork"
            context.arm.post(path, ML_API, {"includeSpark": False}, progress)
        if (status := _status(context, inputs.workspace_id)) != "Active":
            raise ResourceError(f"managed network of {name} is {status or 'not there'}; run up again")
        return ManagedNetworkOutputs(status=status)


def _status(context: Context, workspace_id: str) -> str:
    """Return the status of a workspace's managed network; empty where it has none."""
    workspace: dict[str, Any] = context.arm.get(workspace_id, ML_API) or {}
    network = (workspace.get("properties") or {}).get("managedNetwork") or {}
    return str((network.get("status") or {}).get("status") or "")
