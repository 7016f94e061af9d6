"""Every own resource by its token: what the plugin serves."""

from typing import Any

from components.resources.asset_version import CodeVersion, ModelVersion
from components.resources.endpoint_traffic import EndpointTraffic
from components.resources.environment_version import EnvironmentVersion
from components.resources.framework import Resource
from components.resources.image_build import ImageBuild
from components.resources.image_import import ImageImport
from components.resources.image_pin import ImagePin
from components.resources.online_deployment import OnlineDeployment
from components.resources.online_endpoint import OnlineEndpoint
from components.resources.registry_attachment import RegistryAttachment

_ALL: tuple[Resource[Any], ...] = (
    ImageBuild(),
    ImageImport(),
    ImagePin(),
    EnvironmentVersion(),
    ModelVersion(),
    CodeVersion(),
    OnlineEndpoint(),
    OnlineDeployment(),
    EndpointTraffic(),
    RegistryAttachment(),
)

RESOURCES: dict[str, Resource[Any]] = {resource.token: resource for resource in _ALL}
