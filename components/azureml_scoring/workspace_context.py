"""What the resources of one component share: workspace, region, tags and parent. Owns nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from azureml_scoring.plan.names import ArmId


@dataclass(frozen=True)
class WorkspaceContext:
    """Where a component's resources belong."""

    workspace_id: pulumi.Input[str]
    """ARM id of the workspace."""
    location: str
    """Azure region, short form."""
    tags: Mapping[str, str]
    opts: pulumi.ResourceOptions

    @property
    def workspace(self) -> pulumi.Output[str]:
        """Name of the workspace."""
        return pulumi.Output.from_input(self.workspace_id).apply(lambda id_: ArmId.parse(id_).name)

    @property
    def resource_group(self) -> pulumi.Output[str]:
        """Resource group of the workspace."""
        return pulumi.Output.from_input(self.workspace_id).apply(lambda id_: ArmId.parse(id_).resource_group)
