"""Every own resource by its token: what the plugin serves."""

from typing import Any

from azureml_scoring.provider.asset_version import CodeVersion, DataVersion, ModelVersion
from azureml_scoring.provider.endpoint_traffic import EndpointTraffic
from azureml_scoring.provider.environment_version import EnvironmentVersion
from azureml_scoring.provider.framework import Resource
from azureml_scoring.provider.image_build import ImageBuild
from azureml_scoring.provider.image_import import ImageImport
from azureml_scoring.provider.image_pin import ImagePin
from azureml_scoring.provider.managed_network import ManagedNetwork
from azureml_scoring.provider.online_deployment import OnlineDeployment
from azureml_scoring.provider.online_endpoint import OnlineEndpoint
from azureml_scoring.provider.registry_attachment import RegistryAttachment
from azureml_scoring.provider.role_assignment import RoleAssignment
from azureml_scoring.provider.version_pin import VersionPin

_ALL: tuple[Resource[Any], ...] = (
    ImageBuild(),
    ImageImport(),
    ImagePin(),
    EnvironmentVersion(),
    ModelVersion(),
    CodeVersion(),
    DataVersion(),
    VersionPin(),
    OnlineEndpoint(),
    OnlineDeployment(),
    EndpointTraffic(),
    RegistryAttachment(),
    ManagedNetwork(),
    RoleAssignment(),
)

RESOURCES: dict[str, Resource[Any]] = {resource.token: resource for resource in _ALL}
