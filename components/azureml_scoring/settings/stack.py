"""Settings of a whole stack: what a stack file and the component `ScoringStack` choose."""

from typing import Annotated

from pydantic import Field

from azureml_scoring.settings import rules
from azureml_scoring.settings.deployment import DeploymentSettings
from azureml_scoring.settings.endpoint import EndpointSettings
from azureml_scoring.settings.image import CodeSettings, EnvironmentSettings, ImageSettings, ModelSettings
from azureml_scoring.settings.network import NetworkSettings
from azureml_scoring.settings.registry import PrincipalSettings, RegistrySettings, WorkspaceSettings
from azureml_scoring.settings.rollout import RolloutSettings
from azureml_scoring.settings.section import OPTIONAL, Secret, Section


class StackSettings(Section):
    """All that a stack chooses, one section a step: `Pulumi.STACK.yaml` below `config`, each key with `scoring:`."""

    location: rules.Location
    """Azure region, short form: `westeurope`."""
    registry: RegistrySettings = RegistrySettings()
    """Which registry holds the image."""
    workspace: WorkspaceSettings = WorkspaceSettings()
    """The Azure ML workspace and what Azure demands beside it."""
    principal: PrincipalSettings = PrincipalSettings()
    """The identity that may pull the image, besides the endpoint's own."""
    image: ImageSettings | None = None
    """Which image serves; needed unless `environment` is written, or every deployment has its own or needs none."""
    environment: EnvironmentSettings | None = None
    """What Azure ML builds by itself instead, a base image and packages; or a registered environment."""
    model: ModelSettings | None = None
    """What is mounted into every deployment that names no model of its own."""
    code: CodeSettings | None = None
    """What is mounted into every deployment that names no code of its own."""
    endpoint: EndpointSettings = EndpointSettings()
    """The endpoint and how its traffic is split."""
    deployments: Annotated[dict[rules.DeploymentName, DeploymentSettings], Field(max_length=20), rules.Distinct]
    """What runs behind the endpoint, by name."""
    network: NetworkSettings = NetworkSettings()
    """Who reaches the parts of the stack, and what its deployments reach."""
    rollout: RolloutSettings = RolloutSettings()
    """What a version must show before it serves."""
    tags: rules.Tags = {}
    """Tags of every resource that can have them."""
    name_seed: Annotated[rules.Lines, Field(max_length=64)] = ""
    """Any text; another one gives registry, storage account, vault, workspace and endpoint other names, for when one is
    taken, or held by what was deleted."""

    @property
    def images(self) -> list[ImageSettings]:
        """The stack's image and those of deployments."""
        return [image for image in (self.image, *(each.image for each in self.deployments.values())) if image]

    @property
    def acr_builds(self) -> bool:
        """Whether ACR Tasks builds an image."""
        return any(image.acr_builds for image in self.images)


class ScoringStackArgs(StackSettings):
    """Inputs of `ScoringStack`."""

    push_username: Secret | None = OPTIONAL
    """User name that pushes, not with builder `acr`; the Docker engine's own login by default."""
    push_password: Secret | None = OPTIONAL
    """Password of `pushUsername`."""
