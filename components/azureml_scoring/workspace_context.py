"""Where a component's helpers put what they make: workspace, region, tags and parent. Owns nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from azureml_scoring.plan.names import ArmId


@dataclass(frozen=True)
class WorkspaceContext:
    """What the resources of one component share."""

    workspace_id: pulumi.Input[str]
    location: str
    tags: Mapping[str, str]
    opts: pulumi.ResourceOptions

    @property
    def workspace(self) -> pulumi.Output[str]:
        """Name of the workspace."""
        return pulumi.Output.from_input(self.workspace_id).apply(lambda path: ArmId.parse(path).name)

    @property
    def group(self) -> pulumi.Output[str]:
        """Resource group of the workspace."""
        return pulumi.Output.from_input(self.workspace_id).apply(lambda path: ArmId.parse(path).resource_group)
