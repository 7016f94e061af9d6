"""The own resources seen from a Pulumi program: argument classes and resources.

Owns: names and types of inputs and outputs in Python. Refuses to own: defaults, checks and behaviour, which are the
provider's and therefore the same from every language. An argument left at None is not given.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import pulumi
from pydantic.alias_generators import to_camel

PACKAGE = "azureml-scoring"


class _Args(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _OwnResource(pulumi.CustomResource):
    """A resource of this package: its properties are named as on the wire, its Python attributes read them."""

    def __init__(
        self, name: str, args: _Args, outputs: Sequence[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        given = {to_camel(field.name): getattr(args, field.name) for field in dataclasses.fields(args)}
        super().__init__(f"{PACKAGE}:index:{type(self).__name__}", name, {**given, **dict.fromkeys(outputs)}, opts)

    def _output(self, name: str) -> pulumi.Output[Any]:
        return cast("pulumi.Output[Any]", pulumi.get(self, name))


@dataclass(frozen=True)
class ImageBuildArgs:
    """What to build, from where, into which repository."""

    registry_id: pulumi.Input[str]
    login_server: pulumi.Input[str]
    repository: pulumi.Input[str]
    content_key: pulumi.Input[str]
    context: pulumi.Input[str]
    dockerfile: pulumi.Input[str] | None = None
    build_arguments: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    platform: pulumi.Input[str] | None = None
    target: pulumi.Input[str] | None = None
    requirements: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    files: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    bases: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None
    packages: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    build_secrets: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None


class ImageBuild(_OwnResource):
    """An image built by ACR Tasks and named by the content it was built from: one build a content."""

    def __init__(self, name: str, args: ImageBuildArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, ("image", "digest", "tag", "runId", "durationSeconds", "findings"), opts)

    @property
    def image(self) -> pulumi.Output[str]:
        """The image by digest: `host/repository@sha256:…`."""
        return self._output("image")

    @property
    def digest(self) -> pulumi.Output[str]:
        """The manifest's digest, `sha256:…`."""
        return self._output("digest")

    @property
    def tag(self) -> pulumi.Output[str]:
        """The tag, made from the content key; known in preview."""
        return self._output("tag")

    @property
    def run_id(self) -> pulumi.Output[str]:
        """The ACR run that built it; empty when the registry had it already."""
        return self._output("runId")

    @property
    def duration_seconds(self) -> pulumi.Output[float]:
        """How long the build took; 0 when there was none."""
        return self._output("durationSeconds")

    @property
    def findings(self) -> pulumi.Output[Sequence[str]]:
        """What the checks of the built image found, a line each."""
        return self._output("findings")


@dataclass(frozen=True)
class ImageImportArgs:
    """Which image comes from where, into which registry."""

    registry_id: pulumi.Input[str]
    login_server: pulumi.Input[str]
    source: pulumi.Input[str]


class ImageImport(_OwnResource):
    """An image built elsewhere, copied into a registry by its digest."""

    def __init__(self, name: str, args: ImageImportArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, ("image", "digest"), opts)

    @property
    def image(self) -> pulumi.Output[str]:
        """The image by digest, where it lies now."""
        return self._output("image")

    @property
    def digest(self) -> pulumi.Output[str]:
        """The manifest's digest, `sha256:…`."""
        return self._output("digest")


@dataclass(frozen=True)
class ImagePinArgs:
    """Which image, and who may read it."""

    reference: pulumi.Input[str]
    username: pulumi.Input[str] | None = None
    password: pulumi.Input[str] | None = None


class ImagePin(_OwnResource):
    """The image that a tag named when it was first looked up; it does not follow the tag."""

    def __init__(self, name: str, args: ImagePinArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, ("image", "digest", "movedTo"), opts)

    @property
    def image(self) -> pulumi.Output[str]:
        """The image by digest: `host/repository@sha256:…`."""
        return self._output("image")

    @property
    def digest(self) -> pulumi.Output[str]:
        """The digest that is pinned."""
        return self._output("digest")

    @property
    def moved_to(self) -> pulumi.Output[str]:
        """What the tag names now, where a refresh found it moved."""
        return self._output("movedTo")


@dataclass(frozen=True)
class EnvironmentVersionArgs:
    """Which image serves, under which name and version, and on which routes."""

    workspace_id: pulumi.Input[str]
    environment_name: pulumi.Input[str]
    version: pulumi.Input[str]
    image: pulumi.Input[str]
    conda_file: pulumi.Input[str] | None = None
    liveness_path: pulumi.Input[str] | None = None
    readiness_path: pulumi.Input[str] | None = None
    scoring_path: pulumi.Input[str] | None = None
    port: pulumi.Input[int] | None = None
    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None


class EnvironmentVersion(_OwnResource):
    """An immutable version of an Azure ML environment that points at one image."""

    def __init__(self, name: str, args: EnvironmentVersionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, (), opts)


@dataclass(frozen=True)
class ModelVersionArgs:
    """Which files become which version of a model."""

    workspace_id: pulumi.Input[str]
    asset_name: pulumi.Input[str]
    version: pulumi.Input[str]
    content_key: pulumi.Input[str]
    path: pulumi.Input[str]
    model_type: pulumi.Input[str] | None = None
    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None


class ModelVersion(_OwnResource):
    """An immutable version of a model, uploaded into the workspace's default datastore."""

    def __init__(self, name: str, args: ModelVersionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, (), opts)


@dataclass(frozen=True)
class CodeVersionArgs:
    """Which files become which version of code."""

    workspace_id: pulumi.Input[str]
    asset_name: pulumi.Input[str]
    version: pulumi.Input[str]
    content_key: pulumi.Input[str]
    path: pulumi.Input[str]
    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None


class CodeVersion(_OwnResource):
    """An immutable version of code, uploaded where Azure ML opens a place for it."""

    def __init__(self, name: str, args: CodeVersionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, (), opts)


@dataclass(frozen=True)
class RegistryAttachmentArgs:
    """Which workspace gets which registry."""

    workspace_id: pulumi.Input[str]
    registry_id: pulumi.Input[str]


class RegistryAttachment(_OwnResource):
    """The container registry of a workspace that had none. It stays when this goes."""

    def __init__(self, name: str, args: RegistryAttachmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, (), opts)

    @property
    def workspace_id(self) -> pulumi.Output[str]:
        """The workspace, once it has the registry."""
        return self._output("workspaceId")


@dataclass(frozen=True)
class OnlineEndpointArgs:
    """Name, place, authentication and identity of an endpoint."""

    workspace_id: pulumi.Input[str]
    endpoint_name: pulumi.Input[str]
    location: pulumi.Input[str]
    compute: pulumi.Input[str] | None = None
    auth_mode: pulumi.Input[str] | None = None
    public_network_access: pulumi.Input[str] | None = None
    identity_type: pulumi.Input[str] | None = None
    user_assigned_identities: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None
    description: pulumi.Input[str] | None = None
    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None


class OnlineEndpoint(_OwnResource):
    """An online endpoint, managed or on Kubernetes; its traffic belongs to `EndpointTraffic`."""

    def __init__(self, name: str, args: OnlineEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, ("scoringUri", "principalId"), opts)

    @property
    def scoring_uri(self) -> pulumi.Output[str]:
        """Where clients post."""
        return self._output("scoringUri")

    @property
    def principal_id(self) -> pulumi.Output[str]:
        """The system-assigned identity; empty when there is none."""
        return self._output("principalId")


@dataclass(frozen=True)
class OnlineDeploymentArgs:
    """Which environment runs behind an endpoint, on what, and how it is probed."""

    endpoint_id: pulumi.Input[str]
    deployment_name: pulumi.Input[str]
    location: pulumi.Input[str]
    environment_id: pulumi.Input[str]
    kind: pulumi.Input[str] | None = None
    instance_type: pulumi.Input[str] | None = None
    instance_count: pulumi.Input[int] | None = None
    model_id: pulumi.Input[str] | None = None
    model_mount_path: pulumi.Input[str] | None = None
    code_id: pulumi.Input[str] | None = None
    scoring_script: pulumi.Input[str] | None = None
    autoscaled: pulumi.Input[bool] | None = None
    scale_settings: pulumi.Input[Mapping[str, Any]] | None = None
    container_resource_requirements: pulumi.Input[Mapping[str, Any]] | None = None
    environment_variables: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None
    liveness_probe: pulumi.Input[Mapping[str, Any]] | None = None
    readiness_probe: pulumi.Input[Mapping[str, Any]] | None = None
    request_settings: pulumi.Input[Mapping[str, Any]] | None = None
    egress_public_network_access: pulumi.Input[str] | None = None
    data_collector: pulumi.Input[Mapping[str, Any]] | None = None
    app_insights_enabled: pulumi.Input[bool] | None = None
    pull_grant: pulumi.Input[str] | None = None
    tags: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None


class OnlineDeployment(_OwnResource):
    """A deployment, managed or on Kubernetes: instances of one environment behind an endpoint."""

    def __init__(self, name: str, args: OnlineDeploymentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, (), opts)


@dataclass(frozen=True)
class EndpointTrafficArgs:
    """Who gets how much, how fast it shifts, and what must be answered first."""

    endpoint_id: pulumi.Input[str]
    traffic: pulumi.Input[Mapping[str, pulumi.Input[int]]]
    mirror_traffic: pulumi.Input[Mapping[str, pulumi.Input[int]]] | None = None
    steps: pulumi.Input[Sequence[pulumi.Input[int]]] | None = None
    bake_seconds: pulumi.Input[float] | None = None
    probe: Any = None
    mirror_first: pulumi.Input[int] | None = None
    error_percent: pulumi.Input[float] | None = None
    latency_milliseconds: pulumi.Input[float] | None = None


class EndpointTraffic(_OwnResource):
    """The split of an endpoint's requests over its deployments, shifted in probed steps."""

    def __init__(self, name: str, args: EndpointTrafficArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, (), opts)

    @property
    def traffic(self) -> pulumi.Output[Mapping[str, int]]:
        """The split that was confirmed, in percent."""
        found: pulumi.Output[Mapping[str, float]] = self._output("traffic")
        return found.apply(lambda split: {deployment: int(percent) for deployment, percent in split.items()})
