"""The whole: registry, pull identity, image and endpoint, put together.

Owns the order of the four, which is stated here and nowhere else, and that nothing is begun which cannot be finished:
all settings are checked, and all files are read, before the first resource. Refuses to own any Azure resource itself.
"""

from typing import Any

import pulumi

from azureml_scoring.component import Component, Inputs, Options
from azureml_scoring.endpoint import ScoringEndpoint, ScoringEndpointArgs
from azureml_scoring.image import CustomImage, CustomImageArgs
from azureml_scoring.lookups import vault_secret
from azureml_scoring.plan.roles import STORAGE_READER
from azureml_scoring.plan.stack import StackPlan, plan_stack
from azureml_scoring.principal import PullPrincipal, PullPrincipalArgs, assign_role
from azureml_scoring.registry import WorkspaceRegistry, WorkspaceRegistryArgs
from azureml_scoring.settings.endpoint import EndpointSettings
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.registry import PrincipalSettings, RegistryLogin
from azureml_scoring.settings.stack import ScoringStackArgs
from azureml_scoring.settings.validation import default_principal, validate


class ScoringStack(Component):
    """A custom image behind a live scoring endpoint, with the registry it lies in and the identity that pulls it.

    Owns the order of the steps; refuses to own what a step does.
    """

    Args = ScoringStackArgs
    scoring_uri: pulumi.Output[str]
    """Where clients post."""
    endpoint_name: pulumi.Output[str]
    """Name of the endpoint."""
    traffic: pulumi.Output[dict[str, int]]
    """The confirmed split in percent."""
    image: pulumi.Output[str]
    """host/repository@sha256:…; with `environment`, the base image that Azure ML builds on; empty without the two."""
    image_tag: pulumi.Output[str]
    """A short name of the image's content, known in preview; empty without image and environment."""
    login_server: pulumi.Output[str]
    """Address of the registry; empty when it is public."""
    registry_id: pulumi.Output[str]
    """ARM id of the registry; empty when it is public."""
    workspace_id: pulumi.Output[str]
    """ARM id of the workspace."""
    workspace_name: pulumi.Output[str]
    """Name of the workspace."""
    resource_group_name: pulumi.Output[str]
    """Resource group of the workspace."""
    client_id: pulumi.Output[str]
    """Application id of the pull principal; empty without one."""
    principal_id: pulumi.Output[str]
    """Object id of the pull principal; empty without one."""
    password_expires: pulumi.Output[str]
    """End of the principal's password; empty without one."""

    def __init__(self, name: str, args: ScoringStackArgs | Inputs, opts: Options = None) -> None:
        args = parse(ScoringStackArgs, args)
        validate(args)
        plan = plan_stack(args)
        login = _login(args)
        super().__init__(name, opts)
        mode = args.registry.mode
        principal = args.principal.model_copy(update={"kind": args.principal.kind or default_principal(mode)})

        # 1. Where the image is stored and where it serves.
        registry = WorkspaceRegistry(
            name,
            WorkspaceRegistryArgs(
                location=args.location,
                registry=args.registry,
                workspace=args.workspace,
                network=args.network,
                builds=args.acr_builds,
                name_seed=args.name_seed,
                tags=args.tags,
            ),
            self.child,
        )

        # 2. Who may pull it besides the endpoint: by now the registry exists, which is the scope of the role.
        puller = self._puller(name, args, principal, registry, login)

        # 3. The image; it needs the registry only, so it is built while the identity is created.
        image, tag = self._image(name, args, registry, plan, login) or (None, None)

        # 4. The endpoint: it waits for the image and for the roles of the identity that pulls.
        pull_identity_id = pull_grant = None
        if puller and principal.kind == "managed-identity":
            # Azure ML lets a system-assigned identity read the workspace's storage, a user-assigned one it does not.
            reader = assign_role(
                f"{name}-storage-role", STORAGE_READER, puller.principal_id, registry.storage_id, "storage", self
            )
            pull_identity_id, pull_grant = puller.identity_id, pulumi.Output.concat(puller.grant, " ", reader.id)
        endpoint = ScoringEndpoint(
            name,
            ScoringEndpointArgs(
                workspace_id=registry.workspace_id,
                location=args.location,
                endpoint=_reached(args),
                deployments=args.deployments,
                rollout=args.rollout,
                image=image,
                image_tag=tag,
                repository=_repository(plan),
                environment=args.environment,
                model=args.model,
                code=args.code,
                login=login,
                pull_grant=pull_grant,
                pull_identity_id=pull_identity_id,
                pull_registry_id=registry.registry_id if mode != "public" else None,
                pull_login_server=registry.login_server,
                own_registry=mode in {"workspace", "private"},
                role_assignment_mode=args.registry.role_assignment_mode,
                storage_id=registry.storage_id,
                log_workspace_id=registry.log_workspace_id,
                name_seed=args.name_seed,
                tags=args.tags,
                plan=plan.endpoint,
                images=self._images_of_deployments(name, args, registry, plan, image),
            ),
            self.child,
        )

        nothing = pulumi.Output.from_input("")
        self.scoring_uri = endpoint.scoring_uri
        self.endpoint_name = endpoint.endpoint_name
        self.traffic = endpoint.traffic
        self.image = nothing if image is None else image
        self.image_tag = nothing if tag is None else tag
        self.login_server = registry.login_server
        self.registry_id = registry.registry_id
        self.workspace_id = registry.workspace_id
        self.workspace_name = registry.workspace_name
        self.resource_group_name = registry.resource_group_name
        self.client_id = puller.client_id if puller else nothing
        self.principal_id = puller.principal_id if puller else nothing
        self.password_expires = puller.password_expires if puller else nothing
        self.finish()

    def _puller(
        self,
        name: str,
        args: ScoringStackArgs,
        principal: PrincipalSettings,
        registry: WorkspaceRegistry,
        login: RegistryLogin | None,
    ) -> PullPrincipal | None:
        """Create the pull identity, or offer the credentials of a private registry to the workspace."""
        if principal.kind == "none" and args.registry.mode != "private":
            return None
        return PullPrincipal(
            name,
            PullPrincipalArgs(
                principal=principal,
                registry_id=registry.registry_id,
                login_server=registry.login_server,
                workspace_id=registry.workspace_id,
                vault_id=registry.vault_id,
                resource_group_name=registry.resource_group_name,
                location=args.location,
                role_assignment_mode=args.registry.role_assignment_mode,
                login=login,
                tags=args.tags,
            ),
            self.child,
        )

    def _image(
        self,
        name: str,
        args: ScoringStackArgs,
        registry: WorkspaceRegistry,
        plan: StackPlan,
        login: RegistryLogin | None,
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]] | None:
        """Create the image; of an environment only name what Azure ML builds on when a deployment first needs it."""
        environment = plan.endpoint.environment
        if environment is not None:
            return pulumi.Output.from_input(environment.base), pulumi.Output.from_input(environment.version)
        if args.image is None:
            return None
        image = self._custom_image(name, args, registry, image=args.image, plan=plan.image, login=login)
        return image.image, image.tag

    def _images_of_deployments(
        self,
        name: str,
        args: ScoringStackArgs,
        registry: WorkspaceRegistry,
        plan: StackPlan,
        image: pulumi.Output[str] | None,
    ) -> dict[str, pulumi.Output[str]]:
        """Create the images that deployments have of their own, unless they exist; the same content is built once."""
        made = {} if plan.image is None or image is None else {plan.image.content: image}
        plans = {key: each for key, each in plan.endpoint.images.items() if each.reference is None}
        for key, each in plans.items():
            if each.content not in made:
                image_of = {"image": args.deployments[key].image, "plan": each}
                made[each.content] = self._custom_image(f"{name}-{key}", args, registry, **image_of).image
        return {key: made[each.content] for key, each in plans.items()}

    def _custom_image(
        self,
        name: str,
        args: ScoringStackArgs,
        registry: WorkspaceRegistry,
        **image: Any,  # noqa: ANN401 - inputs of `CustomImage`
    ) -> CustomImage:
        return CustomImage(
            name,
            CustomImageArgs(
                registry_id=registry.registry_id,
                login_server=registry.login_server,
                push_username=args.push_username,
                push_password=args.push_password,
                agent_pool=registry.agent_pool,
                **image,
            ),
            self.child,
        )


def _repository(plan: StackPlan) -> str:
    """Name the repository, or the environment, that environments of deployments are called after."""
    if plan.endpoint.environment is not None:
        return plan.endpoint.environment.name
    return plan.image.repository if plan.image else ""


def _reached(args: ScoringStackArgs) -> EndpointSettings:
    """Return the endpoint's settings, closed to the internet where either section says so."""
    public = args.endpoint.public_network_access and args.network.public_access.endpoint
    return args.endpoint.model_copy(update={"public_network_access": public})


def _login(args: ScoringStackArgs) -> RegistryLogin | None:
    """Return the credentials of a private registry; the password comes with the settings, or from a vault."""
    registry = args.registry
    if registry.address is None or registry.username is None:
        return None
    secret = registry.password_secret
    password = registry.password if secret is None else vault_secret(secret)
    return RegistryLogin(address=registry.address, username=registry.username, password=password or "", secret=secret)
