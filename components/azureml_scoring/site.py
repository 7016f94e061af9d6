"""What the resources around a workspace share. Owns nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from azureml_scoring.plan.names import Names


@dataclass(frozen=True)
class Site:
    """What the resources around a workspace share."""

    name: str
    """Start of their logical names."""
    names: Names
    location: str
    resource_group: pulumi.Input[str]
    tags: Mapping[str, str]
    opts: pulumi.ResourceOptions
