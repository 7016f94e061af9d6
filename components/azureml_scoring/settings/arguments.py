"""Arguments of the own resources: what a program gives them and the provider process checks, declared once for both.

A field that a stack chooses comes from its section (`derived`), with rule, default, description and place in ARM; the
annotation that stands here as well only tells type checkers of it. Refuses to own what a resource does (`provider/`).
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Optional, TypeVar

from pydantic import Field, create_model, model_validator
from pydantic.alias_generators import to_snake

from azureml_scoring.settings import rules
from azureml_scoring.settings.deployment import DEPLOYMENT, ENVIRONMENT, DeploymentSettings, RouteSettings
from azureml_scoring.settings.endpoint import ENDPOINT, TRAFFIC, EndpointSettings, TrafficSteps
from azureml_scoring.settings.errors import error_line
from azureml_scoring.settings.image import BUILD, ImageSettings
from azureml_scoring.settings.rollout import CheckSettings, RolloutSettings
from azureml_scoring.settings.section import (
    OPTIONAL,
    Arm,
    In,
    Only,
    Section,
    Taken,
    arm_fields,
    default,
    holds_output,
    marker,
    section_of,
)

PACKAGE = "azureml-scoring"
"""Name of the plugin: the first part of every type token."""
CONTENT_TAG = "image"
"""Tag of a deployment that names its image, so that a preview shows what it is about to run."""


class ResourceArgs(Section):
    """Base of the arguments of an own resource. Any of them may be the output of another resource."""


ArgsT = TypeVar("ArgsT", bound=ResourceArgs)


def derived(resource: str, *sections: type[Section]) -> Callable[[type[ArgsT]], type[ArgsT]]:
    """Take the fields of sections that become arguments of a resource into a class of arguments."""

    def derive(base: type[ArgsT]) -> type[ArgsT]:
        fields: dict[str, Any] = {}
        for section in sections:
            for path, field, arm in arm_fields(section, resource):
                kind = arm.encoded if arm.encode else field.annotation
                if not arm.encode and section_of(field.annotation):
                    kind = dict[str, Any]
                constraints = [
                    each for each in field.metadata if isinstance(each, Only) or not (arm.encode or each is arm)
                ]
                value = arm.value(field.get_default(call_default_factory=True))
                constraints += [arm, Taken(section, path)]
                annotated: Any = Annotated[Optional[kind] if value is None else kind, *constraints]  # noqa: UP045
                fields[to_snake(arm.argument)] = (In[annotated], Field(default=value))
        return create_model(base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **fields)

    return derive


@derived(BUILD, ImageSettings)
class ImageBuildArgs(ResourceArgs):
    """What to build, from where, into which repository."""

    registry_id: In[rules.RegistryId]
    """ARM id of the registry that builds and stores the image."""
    login_server: In[rules.RegistryAddress]
    """The registry's login server."""
    repository: In[rules.Repository]
    """Repository inside the registry."""
    content_key: In[rules.ContentKey]
    """Hash of all that the image is built from; its start is the tag, its change is a new build."""
    context: In[str]
    """Folder with the Dockerfile and all it copies. Its path is no part of the diff."""
    files: In[dict[str, str]] = default({})
    """A piece of each file's hash, for reports: what a new content key changes."""
    agent_pool: In[str | None] = OPTIONAL
    """Name of the registry's agent pool that builds; ACR Tasks' own machines by default."""
    bases: In[list[str]] = default([])
    """Base images of the Dockerfile, for reports."""
    packages: In[dict[str, str]] = default({})
    """Packages that the Dockerfile asks for, with their versions, for reports."""
    dockerfile: In[str] = OPTIONAL
    build_arguments: In[dict[str, str]] = OPTIONAL
    platform: In[str] = OPTIONAL
    target: In[str | None] = OPTIONAL
    requirements: In[dict[str, str]] = OPTIONAL
    build_secrets: In[dict[str, str] | None] = OPTIONAL

    @property
    def tag(self) -> str:
        """The image's tag."""
        return self.content_key[: rules.TAG_LENGTH]


class ImageImportArgs(ResourceArgs):
    """Which image comes from where, into which registry."""

    registry_id: In[rules.RegistryId]
    """ARM id of the registry that gets the image."""
    login_server: In[rules.RegistryAddress]
    """Its login server."""
    source: In[rules.PinnedImage]
    """The image by digest in its present registry; the repository keeps its name."""
    username: In[str | None] = OPTIONAL
    """User name at the source; by default the deployer signs in at an Azure registry, nobody at any other."""
    password: In[str | None] = OPTIONAL
    """Password of `username`."""

    @property
    def server(self) -> str:
        """Login server of the source registry."""
        return self.source.partition("/")[0]

    @property
    def repository(self) -> str:
        """Repository on both sides."""
        return self.source.partition("/")[2].partition("@")[0]

    @property
    def digest(self) -> str:
        """Digest of the manifest on both sides."""
        return self.source.partition("@")[2]


class ImagePinArgs(ResourceArgs):
    """Which image, and who may read it."""

    reference: In[rules.ImageReference]
    """host/repository:tag, no tag meaning latest; with @sha256:… behind it that image is taken."""
    username: In[str | None] = OPTIONAL
    """User name at a private registry; anonymous by default."""
    password: In[str | None] = OPTIONAL
    """Password of `username`."""


@derived(ENVIRONMENT, RouteSettings)
class EnvironmentVersionArgs(ResourceArgs):
    """Which image serves, under which name and version, and on which routes."""

    workspace_id: In[rules.WorkspaceId]
    """ARM id of the workspace."""
    environment_name: In[rules.EnvironmentName]
    """Name of the environment."""
    version: In[rules.Version]
    """Name of the version; an image needs a version of its own."""
    image: In[Annotated[str, Arm(ENVIRONMENT, "properties.image")]]
    """The image by digest; with condaFile, the base image."""
    conda_file: In[Annotated[str | None, Arm(ENVIRONMENT, "properties.condaFile")]] = OPTIONAL
    """A conda file that Azure ML installs into the image, which then runs Azure ML's own server."""
    tags: In[Annotated[rules.Tags | None, Arm(ENVIRONMENT, "properties.tags")]] = OPTIONAL
    """Tags of the version."""

    @model_validator(mode="after")
    def _pinned(self) -> "EnvironmentVersionArgs":
        if self.conda_file is None and isinstance(self.image, str) and "@sha256:" not in self.image:
            raise ValueError(f'image = "{self.image}": write an image by digest, host/repository@sha256:…')
        return self


class AssetVersionArgs(ResourceArgs):
    """Which files become which version of an asset."""

    kind: ClassVar[str]
    """ARM type below the workspace."""
    workspace_id: In[rules.WorkspaceId]
    """ARM id of the workspace."""
    asset_name: In[rules.AssetName]
    """Name of the asset."""
    version: In[rules.Version]
    """The version; a model's is a positive whole number."""
    content_key: In[rules.ContentKey]
    """Hash of all files and their names; its change is another version."""
    path: In[str]
    """The folder or file. Its path is no part of the diff."""
    tags: In[rules.Tags | None] = OPTIONAL
    """Tags of the version."""

    @property
    def arm_id(self) -> str:
        """ARM id of the version."""
        return f"{self.workspace_id}/{self.kind}/{self.asset_name}/versions/{self.version}"

    @property
    def title(self) -> str:
        """Name in logs and errors."""
        return f"{self.kind.removesuffix('s')} {self.asset_name}:{self.version}"


class ModelVersionArgs(AssetVersionArgs):
    """Which files become which version of a model."""

    kind: ClassVar[str] = "models"
    version: In[rules.ModelVersionNumber]
    """The version: Azure ML counts models."""
    model_type: In[Literal["custom_model", "mlflow_model", "triton_model"]] = default("custom_model")
    """Format of the model."""


class CodeVersionArgs(AssetVersionArgs):
    """Which files become which version of code."""

    kind: ClassVar[str] = "codes"


class DataVersionArgs(AssetVersionArgs):
    """Which folder of a datastore becomes which version of a data asset."""

    kind: ClassVar[str] = "data"
    path: In[str]
    """URI of the folder, azureml://…/datastores/NAME/paths/FOLDER."""


class VersionPinArgs(ResourceArgs):
    """Which asset's latest version is meant."""

    workspace_id: In[rules.WorkspaceId]
    """ARM id of the workspace."""
    kind: In[Literal["models", "environments"]]
    """ARM type below the workspace."""
    asset_name: In[rules.AssetLabel]
    """Name of the asset."""

    @property
    def container(self) -> str:
        """ARM id of what all versions belong to."""
        return f"{self.workspace_id}/{self.kind}/{self.asset_name}"


class RegistryAttachmentArgs(ResourceArgs):
    """Which workspace gets which registry."""

    workspace_id: In[rules.WorkspaceId]
    """ARM id of the workspace."""
    registry_id: In[rules.RegistryId]
    """ARM id of the registry."""


class ManagedNetworkArgs(ResourceArgs):
    """Which workspace's managed network is provisioned, with which rules."""

    workspace_id: In[rules.WorkspaceId]
    """ARM id of the workspace."""
    outbound_rules: In[list[str]] = default([])
    """ARM ids of its outbound rules; they are waited for."""


class RoleAssignmentArgs(ResourceArgs):
    """Who gets which role where."""

    scope: In[str]
    """ARM id of what the role is for."""
    principal_id: In[str]
    """Object id of a managed identity or service principal."""
    role_definition_id: In[str]
    """ARM id of the role's definition."""
    assignment_name: In[str]
    """Name of the assignment, a GUID; not used where the principal has the role already."""


@derived(ENDPOINT, EndpointSettings)
class OnlineEndpointArgs(ResourceArgs):
    """Name, region, authentication and identity of an endpoint (ARM `OnlineEndpoint`)."""

    workspace_id: In[rules.WorkspaceId]
    """ARM id of the workspace."""
    endpoint_name: In[rules.EndpointName]
    """Name of the endpoint; unique in the region."""
    location: In[Annotated[rules.Location, Arm(ENDPOINT, "location")]]
    """Azure region, short form."""
    compute: In[Annotated[rules.ComputeId | None, Arm(ENDPOINT, "properties.compute")]] = OPTIONAL
    """ARM id of the attached Kubernetes compute it runs on; without it, it is managed."""
    identity_type: In[Annotated[Literal["SystemAssigned", "UserAssigned"], Arm(ENDPOINT, "identity.type")]] = default(
        "SystemAssigned"
    )
    """Whose identity pulls the image and reads the model."""
    user_assigned_identities: In[list[rules.IdentityId] | None] = OPTIONAL
    """ARM ids of the identities, with identityType UserAssigned."""
    tags: In[Annotated[rules.Tags | None, Arm(ENDPOINT, "tags")]] = OPTIONAL
    """Tags of the endpoint."""
    auth_mode: In[str] = OPTIONAL

    @model_validator(mode="after")
    def _identity_fits(self) -> "OnlineEndpointArgs":
        if (self.identity_type == "UserAssigned") != bool(self.user_assigned_identities):
            raise ValueError(
                f'identityType = "{self.identity_type}": userAssignedIdentities has '
                f"{len(self.user_assigned_identities or [])} entries; name identities with UserAssigned, and only then"
            )
        return self

    @model_validator(mode="after")
    def _sign_in_exists(self) -> "OnlineEndpointArgs":
        if self.compute and self.auth_mode == "AADToken":
            raise ValueError('authMode = "AADToken": Kubernetes endpoints take no Entra tokens; write Key or AMLToken')
        return self


@derived(DEPLOYMENT, DeploymentSettings)
class OnlineDeploymentArgs(ResourceArgs):
    """Which environment runs behind an endpoint, on what, and how it is probed (ARM `OnlineDeployment`)."""

    endpoint_id: In[rules.EndpointId]
    """ARM id of the endpoint."""
    deployment_name: In[rules.DeploymentName]
    """Name of the deployment; unique in the endpoint."""
    location: In[Annotated[rules.Location, Arm(DEPLOYMENT, "location")]]
    """Azure region, short form."""
    environment_id: In[Annotated[rules.EnvironmentId | None, Arm(DEPLOYMENT, "properties.environmentId")]] = OPTIONAL
    """Id of the environment version that runs; without one, Azure serves a model of a format that it knows."""
    kind: In[Literal["Kubernetes"] | None] = OPTIONAL
    """Kubernetes, behind an endpoint that is on one; else it is managed."""
    model_id: In[Annotated[rules.ModelId | None, Arm(DEPLOYMENT, "properties.model")]] = OPTIONAL
    """Id of the model version that is mounted."""
    model_mount_path: In[Annotated[rules.MountPath | None, Arm(DEPLOYMENT, "properties.modelMountPath")]] = OPTIONAL
    """Folder in the container below which the model is mounted."""
    code_id: In[Annotated[rules.CodeId | None, Arm(DEPLOYMENT, "properties.codeConfiguration.codeId")]] = OPTIONAL
    """ARM id of the code version that is mounted."""
    scoring_script: In[Annotated[str | None, Arm(DEPLOYMENT, "properties.codeConfiguration.scoringScript")]] = OPTIONAL
    """The entry script, seen from the code's folder."""
    autoscaled: In[Annotated[bool | None, Only("managed", "Azure Monitor scales managed deployments only")]] = OPTIONAL
    """Whether Azure Monitor sets the count; instanceCount is then only the first one."""
    pull_grant: In[str | None] = OPTIONAL
    """Ids of the role assignments that let the image be pulled, with blanks between them; they are waited for."""
    tags: In[Annotated[rules.Tags | None, Arm(DEPLOYMENT, "tags")]] = OPTIONAL
    """Tags of the deployment."""
    instance_type: In[str | None] = OPTIONAL
    instance_count: In[int] = OPTIONAL
    scale_settings: In[dict[str, Any] | None] = OPTIONAL

    @model_validator(mode="after")
    def _code_is_whole(self) -> "OnlineDeploymentArgs":
        if (self.code_id is None) != (self.scoring_script is None):
            raise ValueError("codeId and scoringScript come together; write both, or neither")
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> "OnlineDeploymentArgs":
        kind = "kubernetes" if self.kind else "managed"
        for name, field in type(self).model_fields.items():
            only, value = marker(field, Only), getattr(self, name)
            if only is not None and only.kind != kind and value is not None:
                raise ValueError(error_line(str(field.alias), value, only.remedy))
        size = self.instance_type or ""
        if kind == "managed" and not holds_output(size) and (problem := rules.RULES["instanceType"].problem(size)):
            raise ValueError(error_line("instanceType", size, problem))
        return self

    @property
    def path(self) -> str:
        """ARM id of the deployment."""
        return f"{self.endpoint_id}/deployments/{self.deployment_name}"


@derived(TRAFFIC, EndpointSettings, RolloutSettings)
class EndpointTrafficArgs(ResourceArgs):
    """Who gets how much, how fast it shifts, and what must be answered before."""

    endpoint_id: In[rules.EndpointId]
    """ARM id of the endpoint."""
    traffic: In[dict[str, int]] = OPTIONAL
    mirror_traffic: In[dict[str, int]] = OPTIONAL
    steps: In[TrafficSteps] = OPTIONAL
    bake_seconds: In[float] = OPTIONAL
    probe: In[dict[str, Any] | None] = OPTIONAL
    mirror_first: In[int] = OPTIONAL
    error_percent: In[float | None] = OPTIONAL
    latency_milliseconds: In[float | None] = OPTIONAL
    checks: In[list[CheckSettings]] = OPTIONAL
    tolerance: In[float] = OPTIONAL

    @model_validator(mode="after")
    def _shares_are_whole(self) -> "EndpointTrafficArgs":
        if holds_output([self.traffic, self.mirror_traffic]):
            return self
        total = sum(self.traffic.values())
        if not self.traffic or total not in {0, rules.WHOLE}:
            raise ValueError(f"traffic sums to {total}; make the shares 100, or all 0 to send nowhere")
        mirrors = {name: share for name, share in self.mirror_traffic.items() if share}
        if len(mirrors) > 1 or sum(mirrors.values()) > rules.MIRROR_LIMIT:
            raise ValueError(
                f"mirrorTraffic = {mirrors}: Azure mirrors to one deployment, at most {rules.MIRROR_LIMIT} %"
            )
        for name in sorted(mirrors.keys() & {name for name, share in self.traffic.items() if share}):
            raise ValueError(f"{name} stands in traffic and in mirrorTraffic; a deployment either answers or mirrors")
        return self
