"""The endpoint that answers: environments, endpoint, grant, deployments and traffic, in that order.

Owns the environment versions (named from the image's digest, because Azure never lets one change), the endpoint,
the roles of its identity where Azure ML gives it none, the deployments, who scales them, and the split of traffic.
Refuses to own the image. Azure ML pulls it with the endpoint's identity and takes no credentials of a registry.
https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online-auth#permissions-needed-for-endpoint-identity
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces/onlineendpoints
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_azure_native import managedidentity

from azureml_scoring.assets import Assets
from azureml_scoring.component import Component, Inputs, Options
from azureml_scoring.compute import Compute, compute_of
from azureml_scoring.image import ImportTarget, log_findings, pullable
from azureml_scoring.monitoring import autoscale_setting, diagnostic_setting
from azureml_scoring.plan.image import ImagePlan
from azureml_scoring.plan.names import Names, environment_name
from azureml_scoring.plan.reference import short
from azureml_scoring.plan.roles import STORAGE_READER, pull_role
from azureml_scoring.plan.stack import EndpointPlan, MountPlan, plan_endpoint
from azureml_scoring.principal import assign_role, ensure_role
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
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.image import CodeSettings, EnvironmentSettings, ModelSettings
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.registry import RegistryLogin
from azureml_scoring.settings.rollout import RolloutSettings
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
    rollout: RolloutSettings = RolloutSettings()
    """What a version must show before it serves."""
    image: In[str | None] = OPTIONAL
    """host/repository@sha256:…, of the deployments that name no image or environment of their own."""
    image_tag: In[str | None] = OPTIONAL
    """A short name of the image's content, known in preview."""
    repository: str = ""
    """Repository of the image; it names the environment."""
    environment: EnvironmentSettings | None = None
    """What runs where a deployment names no image or environment of its own; `image` is not used then."""
    model: ModelSettings | None = None
    """What is mounted where a deployment names no model of its own."""
    code: CodeSettings | None = None
    """What is mounted where a deployment names no code of its own."""
    login: RegistryLogin | None = None
    """Credentials of a private registry: a deployment's tag is resolved there, and its image imported from there."""
    pull_grant: In[str | None] = OPTIONAL
    """Ids of the role assignments that `pullIdentityId` needs, with blanks between them."""
    pull_identity_id: In[str | None] = OPTIONAL
    """ARM id of a user-assigned identity that has its roles and that the endpoint runs as; `endpoint.identity` by
    default, else a system-assigned one."""
    pull_registry_id: In[str | None] = OPTIONAL
    """ARM id of the private Azure registry that images lie in: the endpoint's identity, and that of a cluster which is
    attached here, are allowed to read it."""
    pull_login_server: In[str | None] = OPTIONAL
    """Login server of that registry; needed with `login`."""
    own_registry: bool = False
    """Whether it is the workspace's own registry: Azure ML itself lets a system-assigned identity read that."""
    role_assignment_mode: str = "rbac"
    """`rbac` or `abac`: how that registry evaluates role assignments."""
    storage_id: In[str | None] = OPTIONAL
    """ARM id of the workspace's storage account, which `endpoint.identity` is allowed to read."""
    log_workspace_id: In[str | None] = OPTIONAL
    """ARM id of the Log Analytics workspace for the endpoint's logs, where `endpoint.diagnostics` names none."""
    name_seed: str = ""
    """Any text; another one gives another name of the endpoint."""
    tags: rules.Tags = {}
    """Tags of every resource."""
    plan: Internal[EndpointPlan] = OPTIONAL
    """What the files of deployments hold, where they were read already."""
    images: Internal[Mapping[str, pulumi.Output[str]]] = OPTIONAL
    """Images of deployments that are built or imported, by digest."""


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
    """Id of the environment version that the first deployment runs; empty where Azure serves its model by itself."""

    def __init__(self, name: str, args: ScoringEndpointArgs | Inputs, opts: Options = None) -> None:
        args = parse(ScoringEndpointArgs, args)
        plan = args.plan or plan_endpoint(_without_builds(At.root(args)))
        super().__init__(name, opts)
        names = Names(pulumi.get_project(), pulumi.get_stack(), name, args.name_seed)
        endpoint_name = args.endpoint.name or names.of("endpoint")
        context = WorkspaceContext(args.workspace_id, args.location, args.tags, self.child)
        compute = compute_of(f"{name}-compute", args.endpoint, context)
        endpoint = self._endpoint(name, args, endpoint_name, compute)
        grant = self._grant(name, args, endpoint, endpoint_name, compute)
        images = {key: self._image(name, key, args, image) for key, image in plan.images.items()}
        assets = Assets(name, context)
        environments = {
            key: assets.registered("environments", plan.references[key]).id
            if key in plan.references
            else self._environment(name, key, args, plan, images.get(key))
            for key in args.deployments
        }
        deployments = []
        for key, settings in args.deployments.items():
            collected = _collected(assets, endpoint_name, key, settings)
            deployment = OnlineDeployment(
                f"{name}-{key}",
                OnlineDeploymentArgs(
                    endpoint_id=endpoint.id,
                    deployment_name=key,
                    location=args.location,
                    environment_id=environments[key],
                    pull_grant=grant,
                    **_mounted(assets, plan.mounts[key], _tags(args, key, plan, images.get(key))),
                    **_hosting(settings, collected, kubernetes=compute is not None),
                ),
                # Azure deletes deployments with their endpoint, and refuses to delete one that has traffic.
                pulumi.ResourceOptions(parent=self, deleted_with=endpoint),
            )
            deployments.append(deployment)
            if settings.autoscale is not None:
                setting = f"{endpoint_name}-{key}"
                measured = {"deployment": deployment.id, "endpoint": endpoint.id}
                autoscale_setting(f"{name}-{key}-autoscale", setting, measured, settings.autoscale, context)
        if args.endpoint.diagnostics is not None:
            logs = args.endpoint.diagnostics.log_workspace or args.log_workspace_id or ""
            diagnostic_setting(f"{name}-logs-of-endpoint", endpoint.id, logs, args.endpoint.diagnostics, context.opts)
        traffic = EndpointTraffic(
            f"{name}-traffic",
            EndpointTrafficArgs(
                endpoint_id=endpoint.id,
                **{
                    **arguments(args.endpoint, TRAFFIC),
                    **arguments(args.rollout.model_copy(update={"checks": plan.checks}), TRAFFIC),
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
        self.environment_id = pulumi.Output.from_input(next(iter(environments.values())) or "")
        self.finish()

    def _endpoint(
        self, name: str, args: ScoringEndpointArgs, endpoint_name: str, compute: Compute | None
    ) -> OnlineEndpoint:
        identity = args.endpoint.identity if args.pull_identity_id is None else args.pull_identity_id
        return OnlineEndpoint(
            f"{name}-endpoint",
            OnlineEndpointArgs(
                workspace_id=args.workspace_id,
                endpoint_name=endpoint_name,
                location=args.location,
                compute=compute.id if compute else None,
                identity_type="UserAssigned" if identity is not None else "SystemAssigned",
                user_assigned_identities=[identity] if identity is not None else None,
                tags={**args.tags, **args.endpoint.tags},
                **arguments(args.endpoint, ENDPOINT),
            ),
            self.child,
        )

    def _grant(
        self,
        name: str,
        args: ScoringEndpointArgs,
        endpoint: OnlineEndpoint,
        endpoint_name: str,
        compute: Compute | None,
    ) -> pulumi.Input[str] | None:
        """Return the ids of the roles that deployments wait for, assigned first to identities that were not given any.

        The documentation names the endpoint's identity for both kinds, and the compute's for Kubernetes.
        https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#authorization-error
        https://learn.microsoft.com/azure/machine-learning/how-to-attach-kubernetes-to-workspace#assign-azure-roles-to-managed-identity
        """
        if args.pull_identity_id is not None:
            roles: list[pulumi.Input[str]] = [args.pull_grant] if args.pull_grant is not None else []
        elif args.endpoint.identity is not None:
            roles = self._roles_of_identity(name, args, args.endpoint.identity)
        else:
            roles = self._roles_of_endpoint(name, args, endpoint, endpoint_name)
        if compute is not None and compute.principal_id is not None and args.pull_registry_id is not None:
            role, registry = pull_role(args.role_assignment_mode), args.pull_registry_id
            roles.append(
                ensure_role(f"{name}-compute-role", role, compute.principal_id, registry, endpoint_name, self).id
            )
        return pulumi.Output.all(*roles).apply(" ".join) if roles else None

    def _roles_of_identity(self, name: str, args: ScoringEndpointArgs, id_: str) -> list[pulumi.Input[str]]:
        """Let an existing user-assigned identity read registry and storage: Azure ML gives it no role."""
        identity = managedidentity.UserAssignedIdentity.get(f"{name}-endpoint-identity", id_, opts=self.child)
        role = pull_role(args.role_assignment_mode)
        scopes = {"registry": (role, args.pull_registry_id), "storage": (STORAGE_READER, args.storage_id)}
        return [
            ensure_role(f"{name}-identity-{what}-role", role, identity.principal_id, scope, id_, self).id
            for what, (role, scope) in scopes.items()
            if scope is not None
        ]

    def _roles_of_endpoint(
        self, name: str, args: ScoringEndpointArgs, endpoint: OnlineEndpoint, endpoint_name: str
    ) -> list[pulumi.Input[str]]:
        """Let the endpoint's system-assigned identity read the registry.

        Azure ML itself gives it AcrPull on the workspace's registry, and Azure refuses a second assignment; registries
        in ABAC mode are not covered.
        """
        mode, registry = args.role_assignment_mode, args.pull_registry_id
        if registry is None or (args.own_registry and mode == "rbac"):
            return []
        role, principal = pull_role(mode), endpoint.principal_id
        if args.own_registry:
            return [assign_role(f"{name}-role", role, principal, registry, endpoint_name, self).id]
        return [ensure_role(f"{name}-endpoint-role", role, principal, registry, endpoint_name, self).id]

    def _image(self, name: str, key: str, args: ScoringEndpointArgs, image: ImagePlan) -> pulumi.Output[str]:
        """Return the image that a deployment has instead of the stack's; one that exists gets pinned."""
        if image.reference is None:
            return (args.images or {})[key]
        log_findings(f"deployments.{key}.image", image, self)
        target = ImportTarget(args.pull_registry_id or "", args.pull_login_server or "")
        return pullable(f"{name}-{key}", image.reference, args.login, target, self)

    def _environment(
        self,
        name: str,
        key: str,
        args: ScoringEndpointArgs,
        plan: EndpointPlan,
        image: pulumi.Output[str] | None,
    ) -> pulumi.Output[str] | None:
        """Create the environment version that a deployment runs; each deployment has an environment of its own.

        None where Azure serves a model by itself. Its name and number follow from the image alone, not from which
        section names it: when the stack's image is pinned for a deployment that runs it already, nothing changes.
        """
        built = plan.environments.get(key)
        if built is not None:
            repository, version = built.name, pulumi.Output.from_input(built.version)
            content: dict[str, Any] = {"image": built.base, "conda_file": built.conda}
        elif image is None and args.image is None:
            return None
        else:
            repository = plan.images[key].repository if image is not None else args.repository
            served = pulumi.Output.from_input(args.image or "") if image is None else image
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
        ).id


def _without_builds(settings: At) -> At:
    """Refuse a deployment's image that would have to be built: that is the stack's to do."""
    for _, deployment in settings.deployments.entries():
        if deployment.image and not deployment.image.reference:
            raise SettingsError(
                deployment.image.refused("ScoringStack builds it; build it by CustomImage, and name it by reference")
            )
    return settings


def _tags(
    args: ScoringEndpointArgs, key: str, plan: EndpointPlan, image: pulumi.Output[str] | None
) -> dict[str, pulumi.Input[str]]:
    """Return a deployment's tags; one names the image or environment that it runs, so that a preview shows it."""
    built = plan.environments.get(key)
    content: pulumi.Input[str] | None = plan.references.get(key) or (built.version if built else None)
    if content is None:
        content = args.image_tag if image is None else plan.images[key].tag or image.apply(short)
    named = {CONTENT_TAG: content} if content is not None else {}
    return {**args.tags, **args.deployments[key].tags, **named}


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


def _collected(assets: Assets, endpoint: str, key: str, settings: DeploymentSettings) -> dict[str, pulumi.Output[str]]:
    """Return the ids of the data assets of a deployment's collections that name a place of their own."""
    collections = settings.data_collector.collections if settings.data_collector else {}
    return {
        name: assets.collected(f"{key}-{name}", f"{endpoint}-{key}-{name}", each.data)
        for name, each in collections.items()
        if each.data
    }


def _hosting(
    settings: DeploymentSettings, collected: Mapping[str, pulumi.Output[str]], *, kubernetes: bool
) -> dict[str, Any]:
    """Return the arguments of a deployment for its own settings."""
    hosting = arguments(settings, DEPLOYMENT)
    for name, data_id in collected.items():
        hosting["data_collector"]["collections"][name]["dataId"] = data_id
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
