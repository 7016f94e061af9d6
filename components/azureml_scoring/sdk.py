"""The own resources seen from a Pulumi program.

Owns the outputs' names and types in Python. Refuses to own arguments (`settings/arguments.py`) and behaviour, which is
the provider's and therefore the same from every language. An argument left at None is not sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

import pulumi
from pydantic.alias_generators import to_camel

from azureml_scoring.settings.arguments import (
    PACKAGE,
    CodeVersionArgs,
    DataVersionArgs,
    EndpointTrafficArgs,
    EnvironmentVersionArgs,
    ImageBuildArgs,
    ImageImportArgs,
    ImagePinArgs,
    ManagedNetworkArgs,
    ModelVersionArgs,
    OnlineDeploymentArgs,
    OnlineEndpointArgs,
    RegistryAttachmentArgs,
    ResourceArgs,
    RoleAssignmentArgs,
    VersionPinArgs,
)
from azureml_scoring.settings.section import Section

T = TypeVar("T")
ArgsT = TypeVar("ArgsT", bound=ResourceArgs)


class Out(Generic[T]):
    """An output: the attribute reads the property of the same name on the wire."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the property's name."""
        self._property = to_camel(name)

    def __get__(self, instance: pulumi.Resource, owner: type) -> pulumi.Output[T]:
        """Read the property."""
        return cast("pulumi.Output[T]", pulumi.get(instance, self._property))


class OwnResource(pulumi.CustomResource, Generic[ArgsT]):
    """Base of the resources of this package."""

    def __init__(self, name: str, args: ArgsT, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = {to_camel(each): None for each, kind in vars(type(self)).items() if isinstance(kind, Out)}
        inputs = {
            field.alias or each: _on_the_wire(getattr(args, each))
            for each, field in type(args).model_fields.items()
            if each in args.model_fields_set
        }
        super().__init__(f"{PACKAGE}:index:{type(self).__name__}", name, {**outputs, **inputs}, opts)


def _on_the_wire(value: object) -> object:
    """Write sections as objects, also those in a list."""
    if isinstance(value, list):
        return [_on_the_wire(each) for each in value]
    return value.wire() if isinstance(value, Section) else value


class ImageBuild(OwnResource[ImageBuildArgs]):
    """An image built by ACR Tasks and named by its content: one build a content."""

    image = Out[str]()
    """The image by digest: `host/repository@sha256:…`."""
    digest = Out[str]()
    """The manifest's digest, `sha256:…`."""
    tag = Out[str]()
    """The tag, made from the content key; known in preview."""
    run_id = Out[str]()
    """The ACR run that built it; empty when the registry had it already."""
    duration_seconds = Out[float]()
    """Seconds that the build took; 0 when there was none."""
    findings = Out[Sequence[str]]()
    """What the checks of the built image say, a line each."""


class ImageImport(OwnResource[ImageImportArgs]):
    """An image built elsewhere, copied into a registry by its digest."""

    image = Out[str]()
    """The image by digest, in the registry it was imported into."""
    digest = Out[str]()
    """The manifest's digest, `sha256:…`."""


class ImagePin(OwnResource[ImagePinArgs]):
    """The image that a tag named when it was first resolved; it does not follow the tag."""

    image = Out[str]()
    """The image by digest: `host/repository@sha256:…`."""
    digest = Out[str]()
    """The digest that is pinned."""
    moved_to = Out[str]()
    """What the tag names now, where a refresh saw it moved."""


class EnvironmentVersion(OwnResource[EnvironmentVersionArgs]):
    """An immutable version of an Azure ML environment that points at one image."""


class ModelVersion(OwnResource[ModelVersionArgs]):
    """An immutable version of a model, uploaded into the workspace's default datastore."""


class CodeVersion(OwnResource[CodeVersionArgs]):
    """An immutable version of code, uploaded to the container that Azure ML opens for it."""


class DataVersion(OwnResource[DataVersionArgs]):
    """An immutable version of a data asset: a folder of a datastore, which others fill."""


class VersionPin(OwnResource[VersionPinArgs]):
    """The version of a model or an environment that was the latest when it was first asked for."""

    version_id = Out[str]()
    """ARM id of the version."""
    version = Out[str]()
    """The version that is pinned."""
    moved_to = Out[str]()
    """The latest version, where a refresh saw a newer one."""


class RegistryAttachment(OwnResource[RegistryAttachmentArgs]):
    """The container registry of a workspace that had none. It stays when this goes."""

    workspace_id = Out[str]()
    """ARM id of the workspace, once it has the registry."""


class ManagedNetwork(OwnResource[ManagedNetworkArgs]):
    """The managed network of a workspace, provisioned. It goes with its workspace."""

    workspace_id = Out[str]()
    """ARM id of the workspace, once its network stands."""
    status = Out[str]()
    """Active, once it is provisioned."""


class RoleAssignment(OwnResource[RoleAssignmentArgs]):
    """A role that a principal has on a scope: assigned, unless it has it there or above already."""


class OnlineEndpoint(OwnResource[OnlineEndpointArgs]):
    """An online endpoint, managed or on Kubernetes; its traffic belongs to `EndpointTraffic`."""

    scoring_uri = Out[str]()
    """Where clients post."""
    principal_id = Out[str]()
    """Object id of the system-assigned identity; empty when there is none."""


class OnlineDeployment(OwnResource[OnlineDeploymentArgs]):
    """A deployment, managed or on Kubernetes: instances of one environment behind an endpoint."""


class EndpointTraffic(OwnResource[EndpointTrafficArgs]):
    """The split of an endpoint's requests over its deployments, shifted in probed steps."""

    served = Out[Mapping[str, str]]()
    """What each deployment ran when it last got requests: environment, model and code."""

    @property
    def traffic(self) -> pulumi.Output[Mapping[str, int]]:
        """The split that was confirmed, in percent."""
        split: pulumi.Output[Mapping[str, Any]] = pulumi.get(self, "traffic")
        return split.apply(lambda shares: {deployment: int(percent) for deployment, percent in shares.items()})
