"""The own resources of the plugin, as a program uses them.

Owns: what `components/` and other programs import. Refuses to own: the provider side (`registry.py` leads there), so
that a program neither loads azure-identity nor docker.
"""

from components.resources.program import (
    CodeVersion,
    CodeVersionArgs,
    EndpointTraffic,
    EndpointTrafficArgs,
    EnvironmentVersion,
    EnvironmentVersionArgs,
    ImageBuild,
    ImageBuildArgs,
    ImageImport,
    ImageImportArgs,
    ImagePin,
    ImagePinArgs,
    ModelVersion,
    ModelVersionArgs,
    OnlineDeployment,
    OnlineDeploymentArgs,
    OnlineEndpoint,
    OnlineEndpointArgs,
    RegistryAttachment,
    RegistryAttachmentArgs,
)

__all__ = [
    "CodeVersion",
    "CodeVersionArgs",
    "EndpointTraffic",
    "EndpointTrafficArgs",
    "EnvironmentVersion",
    "EnvironmentVersionArgs",
    "ImageBuild",
    "ImageBuildArgs",
    "ImageImport",
    "ImageImportArgs",
    "ImagePin",
    "ImagePinArgs",
    "ModelVersion",
    "ModelVersionArgs",
    "OnlineDeployment",
    "OnlineDeploymentArgs",
    "OnlineEndpoint",
    "OnlineEndpointArgs",
    "RegistryAttachment",
    "RegistryAttachmentArgs",
]
