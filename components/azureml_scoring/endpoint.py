"""The endpoint that answers: environments, endpoint, grant, deployments and traffic, in that order.

Owns the environment versions (named from the image's digest, because Azure never lets one change), the endpoint,
its own identity's role where Azure ML gives it none, the deployments, who scales them, and the split of traffic.
Refuses to own the image and the credentials it is pulled with.
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces/onlineendpoints
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi

from azureml_scoring.assets import Assets
from azureml_scoring.component import Component, Inputs, Options
from azureml_scoring.compute import compute_of
from azureml_scoring.image import log_findings, pinned
from azureml_scoring.monitoring import autoscale_setting, diagnostic_setting
from azureml_scoring.plan.image import ImagePlan
from azureml_scoring.plan.names import Names, environment_name
from azureml_scoring.plan.reference import short
from azureml_scoring.plan.roles import pull_role
from azureml_scoring.plan.stack import EndpointPlan, MountPlan, plan_endpoint
from azureml_scoring.principal import assign_role
from azureml_scoring.sdk import EndpointTraffic, EnvironmentVersion, OnlineDeployment, OnlineEndpoint
from azureml_scoring.settings import rules
from azureml_scoring.settings.arguments import (
    CONTENT_TAG,
    EndpointTrafficArgs,
    EnvironmentVersionArgs,
    OnlineDeploymentArgs,
    OnlineEndpointArgs,
)
from azureml_scoring.settings.at import At
from azureml_scoring.settings.deployment import DEPLOYMENT, ENVIRONMENT, DeploymentSettings, RouteSettings
from azureml_scoring.settings.endpoint import ENDPOINT, TRAFFIC, EndpointSettings
from azureml_scoring.settings.image import CodeSettings, EnvironmentSettings, ModelSettings
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.registry import RegistryLogin
from azureml_scoring.settings.section import OPTIONAL, In, Internal, Section, arguments
from azureml_scoring.settings.validation import default_traffic
from azureml_scoring.workspace_context import WorkspaceContext


class ScoringEndpointArgs(Section):
    """Inputs of `ScoringEndpoint`."""

    workspace_id: In[str]
    """ARM id of the workspace it lives in."""
    location: rules.Location
    """Azure region, short form."""
    endpoint: EndpointSettings = EndpointSettings()
    """Name, authentication and traffic."""
    deployments: dict[rules.DeploymentName, DeploymentSettings]
    """What runs behind it, by name."""
    image: In[str]
    """host/repository@sha256:…"""
    image_tag: In[str]
    """A short name of the image's content, known in preview."""
    repository: str
    """Repository of the image; it names the environment."""
    environment: EnvironmentSettings | None = None
    """What Azure ML builds and runs where a deployment names no image of its own; `image` is not used then."""
    model: ModelSettings | None = None
    """What is mounted where a deployment names no model of its own."""
    code: CodeSettings | None = None
    """What is mounted where a deployment names no code of its own."""
    login: RegistryLogin | None = None
    """Credentials of a private registry in which a deployment's tag is resolved."""
    pull_grant: In[str | None] = OPTIONAL
    """Ids of what must be there before an image can be pulled."""
    pull_identity_id: In[str | None] = OPTIONAL
    """ARM id of the user-assigned identity that pulls; a system-assigned one by default."""
    pull_registry_id: In[str | None] = OPTIONAL
    """ARM id of the registry that the endpoint's system-assigned identity shall be allowed to read."""
    role_assignment_mode: str = "rbac"
    """`rbac` or `abac`: how that registry evaluates role assignments."""
    log_workspace_id: In[str | None] = OPTIONAL
    """ARM id of the Log Analytics workspace for the endpoint's logs, where `endpoint.diagnostics` names none."""
    name_seed: str = ""
    """Any text; another one gives another name of the endpoint."""
    tags: rules.Tags = {}
    """Tags of every resource."""
    plan: Internal[EndpointPlan] = OPTIONAL
    """What the files of deployments hold, where they were read already."""


class ScoringEndpoint(Component):
    """A live scoring endpoint with its deployments and their traffic.

    Owns what is needed to answer; refuses to own the image and who may pull it.
    """

    Args = ScoringEndpointArgs
    endpoint_id: pulumi.Output[str]
    """ARM id of the endpoint."""
    endpoint_name: pulumi.Output[str]
    """Its name."""
    scoring_uri: pulumi.Output[str]
    """Where clients post."""
    traffic: pulumi.Output[dict[str, int]]
    """The confirmed split in percent."""
    environment_id: pulumi.Output[str]
    """ARM id of the environment version that the first deployment runs."""

    def __init__(self, name: str, args: ScoringEndpointArgs | Inputs, opts: Options = None) -> None:
        args = parse(ScoringEndpointArgs, args)
        plan = args.plan or plan_endpoint(At.root(args))
        super().__init__(name, opts)
        names = Names(pulumi.get_project(), pulumi.get_stack(), name, args.name_seed)
        endpoint_name = args.endpoint.name or names.of("endpoint")
        context = WorkspaceContext(args.workspace_id, args.location, args.tags, self.child)
        compute = compute_of(f"{name}-compute", args.endpoint, context)
        endpoint = self._endpoint(name, args, endpoint_name, compute)
        grant = self._grant(name, args, endpoint, endpoint_name)
        images = {key: self._image(name, key, args, image) for key, image in plan.images.items()}
        environments = {key: self._environment(name, key, args, plan, images.get(key)) for key in args.deployments}
        assets = Assets(name, context)
        deployments = []
        for key, settings in args.deployments.items():
            deployment = OnlineDeployment(
                f"{name}-{key}",
                OnlineDeploymentArgs(
                    endpoint_id=endpoint.id,
                    deployment_name=key,
                    location=args.location,
                    environment_id=environments[key].id,
                    pull_grant=grant,
                    **_mounted(assets, plan.mounts[key], {**args.tags, CONTENT_TAG: _tag(args, images.get(key))}),
                    **_hosting(settings, kubernetes=compute is not None),
                ),
                # Azure deletes deployments with their endpoint, and refuses to delete one that has traffic.
                pulumi.ResourceOptions(parent=self, deleted_with=endpoint),
            )
            deployments.append(deployment)
            if settings.autoscale is not None:
                setting = f"{endpoint_name}-{key}"
                autoscale_setting(f"{name}-{key}-autoscale", setting, deployment.id, settings.autoscale, context)
        if args.endpoint.diagnostics is not None:
            logs = args.endpoint.diagnostics.log_workspace or args.log_workspace_id or ""
            diagnostic_setting(f"{name}-logs-of-endpoint", endpoint.id, logs, args.endpoint.diagnostics, context.opts)
        traffic = EndpointTraffic(
            f"{name}-traffic",
            EndpointTrafficArgs(
                endpoint_id=endpoint.id,
                **{
                    **arguments(args.endpoint, TRAFFIC),
                    "traffic": args.endpoint.traffic or default_traffic(args.deployments),
                },
            ),
            # Azure refuses traffic to a deployment that is not there yet, and names are all that traffic knows of them.
            pulumi.ResourceOptions(parent=self, depends_on=deployments, deleted_with=endpoint),
        )
        self.endpoint_id = endpoint.id
        self.endpoint_name = pulumi.Output.from_input(endpoint_name)
        self.scoring_uri = endpoint.scoring_uri
        self.traffic = traffic.traffic.apply(dict)
        self.environment_id = next(iter(environments.values())).id
        self.finish()

    def _endpoint(
        self, name: str, args: ScoringEndpointArgs, endpoint_name: str, compute: pulumi.Input[str] | None
    ) -> OnlineEndpoint:
        identity = args.pull_identity_id
        return OnlineEndpoint(
            f"{name}-endpoint",
            OnlineEndpointArgs(
                workspace_id=args.workspace_id,
                endpoint_name=endpoint_name,
                location=args.location,
                compute=compute,
                identity_type="UserAssigned" if identity is not None else "SystemAssigned",
                user_assigned_identities=[identity] if identity is not None else None,
                tags=args.tags,
                **arguments(args.endpoint, ENDPOINT),
            ),
            self.child,
        )

    def _grant(
        self, name: str, args: ScoringEndpointArgs, endpoint: OnlineEndpoint, endpoint_name: str
    ) -> pulumi.Input[str] | None:
        """Return what deployments wait for; let the endpoint's own identity read a registry first where asked to."""
        if args.pull_registry_id is None:
            return args.pull_grant
        role, registry = pull_role(args.role_assignment_mode), args.pull_registry_id
        return assign_role(f"{name}-role", role, endpoint.principal_id, registry, endpoint_name, self).id

    def _image(self, name: str, key: str, args: ScoringEndpointArgs, image: ImagePlan) -> pulumi.Output[str]:
        """Pin the image that a deployment has instead of the stack's."""
        log_findings(f"deployments.{key}.image", image, self)
        return pinned(f"{name}-{key}", image.reference or "", args.login, self)

    def _environment(
        self,
        name: str,
        key: str,
        args: ScoringEndpointArgs,
        plan: EndpointPlan,
        image: pulumi.Output[str] | None,
    ) -> EnvironmentVersion:
        """Create the environment version that a deployment runs; each deployment has an environment of its own.

        Its name and number follow from the image alone, not from which section names it: when the stack's image is
        pinned for a deployment that runs it already, nothing changes.
        """
        if image is None and plan.environment is not None:
            repository, version = plan.environment.name, pulumi.Output.from_input(plan.environment.version)
            content: dict[str, Any] = {"image": plan.environment.base, "conda_file": plan.environment.conda}
        else:
            repository = plan.images[key].repository if image is not None else args.repository
            served = pulumi.Output.from_input(args.image) if image is None else image
            routes = args.deployments[key].routes
            version = served.apply(_version)
            if routes != RouteSettings():
                version = pulumi.Output.concat(version, "-", _routes_hash(routes))
            content = {"image": served, **arguments(routes, ENVIRONMENT)}
        return EnvironmentVersion(
            f"{name}-{key}-environment",
            EnvironmentVersionArgs(
                workspace_id=args.workspace_id,
                environment_name=environment_name(f"{repository}-{key}"),
                version=version,
                tags=args.tags,
                **content,
            ),
            self.child,
        )


def _tag(args: ScoringEndpointArgs, image: pulumi.Output[str] | None) -> pulumi.Input[str]:
    """Name the image that a deployment runs, so that a preview shows it."""
    return args.image_tag if image is None else image.apply(short)


def _mounted(assets: Assets, mount: MountPlan, tags: Mapping[str, pulumi.Input[str]]) -> dict[str, Any]:
    """Return the arguments of a deployment for its model and code; tags name both, so that a preview shows them."""
    model, code = assets.model(mount), assets.code(mount)
    return {
        "model_id": model.id if model else None,
        "model_mount_path": mount.model.mount_path if mount.model else None,
        "code_id": code.id if code else None,
        "scoring_script": mount.code.entry_script if mount.code else None,
        "tags": {**tags, **{kind: each.title for kind, each in (("model", model), ("code", code)) if each}},
    }


def _hosting(settings: DeploymentSettings, *, kubernetes: bool) -> dict[str, Any]:
    """Return the arguments of a deployment for its own settings."""
    hosting = arguments(settings, DEPLOYMENT)
    if kubernetes:
        hosting["kind"] = "Kubernetes"
    if settings.autoscale is not None:
        hosting |= {"instance_count": settings.autoscale.first, "autoscaled": True}
    return hosting


def _version(image: str) -> str:
    """Name a version by digest and repository: a digest may lie in two registries, and a version never changes."""
    return f"{short(image)}-{_hash(image.partition('@')[0])}"


def _routes_hash(routes: RouteSettings) -> str:
    return _hash("\n".join(f"{key} {value}" for key, value in sorted(routes.model_dump().items())))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
