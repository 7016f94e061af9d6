"""The whole: registry, pull identity, image and endpoint, put together.

Owns the order of the four, which is stated here and nowhere else, and that nothing is begun which cannot be
finished: all settings are checked, and the build's content is read, before the first resource. Refuses to own any
Azure resource itself.
"""

from typing import Final, NotRequired, TypedDict

import pulumi

from azureml_scoring.assets import check_assets, mounts
from azureml_scoring.endpoint import ScoringEndpoint, ScoringEndpointArgs
from azureml_scoring.image import CustomImage, CustomImageArgs, plan_image
from azureml_scoring.plan.environment import EnvironmentPlan, plan_environment
from azureml_scoring.plan.roles import STORAGE_READER
from azureml_scoring.principal import PullPrincipal, PullPrincipalArgs, assign_role
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.registry import WorkspaceRegistry
from azureml_scoring.settings.types import (
    CodeSettings,
    DeploymentSettings,
    EndpointSettings,
    EnvironmentSettings,
    ImageSettings,
    ModelSettings,
    PrincipalSettings,
    RegistryLogin,
    RegistrySettings,
    SettingsError,
    WorkspaceSettings,
    require,
)
from azureml_scoring.settings.validation import default_principal, refusals

_PARTS: Final = ("environment", "model", "code")
"""Sections that the endpoint takes as they are."""


class ScoringStackArgs(TypedDict):
    """Inputs of `ScoringStack`: one section a step."""

    location: str
    """Azure region, short form: westeurope."""
    registry: RegistrySettings
    """Which registry holds the image."""
    workspace: NotRequired[WorkspaceSettings]
    """The Azure ML workspace and what Azure demands beside it."""
    principal: NotRequired[PrincipalSettings]
    """Who pulls the image."""
    image: NotRequired[ImageSettings]
    """What to build, or which image to use; needed unless `environment` is given."""
    environment: NotRequired[EnvironmentSettings]
    """What Azure ML builds by itself instead: a base image and packages."""
    model: NotRequired[ModelSettings]
    """What is mounted into every deployment that names no model of its own."""
    code: NotRequired[CodeSettings]
    """What is mounted into every deployment that names no code of its own."""
    endpoint: NotRequired[EndpointSettings]
    """Name, authentication and traffic of the endpoint."""
    deployments: dict[str, DeploymentSettings]
    """What runs behind the endpoint, by name."""
    registry_password: NotRequired[pulumi.Input[str]]
    """The password of `registry.username`; mode private only, instead of `registry.password_secret`."""
    build_secrets: NotRequired[dict[str, pulumi.Input[str]]]
    """What a step of the Dockerfile may read by `RUN --mount=type=secret,id=NAME`, by name; the image never holds it.
    Another value alone does not build again. Builder acr only."""
    push_username: NotRequired[pulumi.Input[str]]
    """Who pushes, builder docker only; without it the engine's own login."""
    push_password: NotRequired[pulumi.Input[str]]
    """The secret of who pushes."""
    name_seed: NotRequired[str]
    """Any text; another one gives other world-wide unique names, for when one is taken."""
    tags: NotRequired[dict[str, str]]
    """Tags of everything that is made."""


class ScoringStack(pulumi.ComponentResource):
    """A custom image behind a live scoring endpoint, with the registry it lies in and the identity that pulls it.

    Owns the order of the steps; refuses to own what a step does.
    """

    scoring_uri: pulumi.Output[str]
    """Where clients post."""
    endpoint_name: pulumi.Output[str]
    """Name of the endpoint."""
    traffic: pulumi.Output[dict[str, int]]
    """The confirmed split in percent."""
    image: pulumi.Output[str]
    """host/repository@sha256:…; with `environment`, the base image that Azure ML builds on."""
    image_tag: pulumi.Output[str]
    """A short name of the image's content, known in preview."""
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

    def __init__(self, name: str, args: ScoringStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if problems := refusals(args):
            raise SettingsError("\n".join(problems))
        check_assets(args)
        secrets = args.get("build_secrets") or {}
        login = _login(args)
        environment = plan_environment(args["environment"]) if "environment" in args else None
        built = args.get("image", ImageSettings())
        repository = environment.name if environment else plan_image(built, secrets=secrets).repository
        super().__init__("azureml-scoring:index:ScoringStack", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        location, tags, seed = args["location"], args.get("tags") or {}, args.get("name_seed") or ""
        mode = args["registry"]["mode"]
        principal = args.get("principal") or PrincipalSettings(kind=default_principal(mode))
        trust = args["registry"].get("role_assignment_mode") or "rbac"

        # 1. Where the image lies and where it serves.
        registry = WorkspaceRegistry(
            name,
            {
                "location": location,
                "registry": args["registry"],
                "workspace": args.get("workspace") or WorkspaceSettings(),
                "name_seed": seed,
                "tags": tags,
            },
            child,
        )

        # 2. Who pulls it: by now the registry exists, which is the scope of the role.
        puller = None
        if principal["kind"] != "none" or mode == "private":
            pulling: PullPrincipalArgs = {
                "principal": principal,
                "registry_id": registry.registry_id,
                "login_server": registry.login_server,
                "workspace_id": registry.workspace_id,
                "vault_id": registry.vault_id,
                "resource_group_name": registry.resource_group_name,
                "location": location,
                "role_assignment_mode": trust,
                "login": login,
                "tags": tags,
            }
            puller = PullPrincipal(name, pulling, child)

        # 3. The image; it needs the registry only, so it is built while the identity is made.
        image, image_tag = self._image(name, args, registry, environment, login)

        # 4. The endpoint: it waits for the image and, through the grant, for role and connection.
        serving: ScoringEndpointArgs = {
            "location": location,
            "name_seed": seed,
            "tags": tags,
            "workspace_id": registry.workspace_id,
            "log_workspace_id": registry.log_workspace_id,
            "endpoint": args.get("endpoint") or EndpointSettings(),
            "deployments": args["deployments"],
            "image": image,
            "image_tag": image_tag,
            "repository": repository,
            "role_assignment_mode": trust,
            "login": login,
        }
        for part in _PARTS:
            if part in args:
                serving[part] = args[part]
        if puller is not None:
            serving["pull_grant"] = puller.grant
            if principal["kind"] == "managed-identity":
                serving["pull_identity_id"] = puller.identity_id
            if principal["kind"] == "managed-identity" and mounts(args):
                # Azure ML lets an endpoint's own identity read the workspace's storage; one of the user's it does not.
                reader = assign_role(
                    f"{name}-storage-role", STORAGE_READER, puller.principal_id, registry.storage_id, "storage", self
                )
                serving["pull_grant"] = pulumi.Output.concat(puller.grant, " ", reader.id)
        elif mode == "workspace" and trust == "abac":
            # Azure ML itself gives an endpoint's own identity AcrPull on the workspace's registry, and refuses a second
            # assignment of it; of registries in ABAC mode it knows nothing.
            serving["pull_registry_id"] = registry.registry_id
        endpoint = ScoringEndpoint(name, serving, child)

        nothing = pulumi.Output.from_input("")
        self.scoring_uri = endpoint.scoring_uri
        self.endpoint_name = endpoint.endpoint_name
        self.traffic = endpoint.traffic
        self.image = image
        self.image_tag = image_tag
        self.login_server = registry.login_server
        self.registry_id = registry.registry_id
        self.workspace_id = registry.workspace_id
        self.workspace_name = registry.workspace_name
        self.resource_group_name = registry.resource_group_name
        self.client_id = puller.client_id if puller else nothing
        self.principal_id = puller.principal_id if puller else nothing
        self.password_expires = puller.password_expires if puller else nothing
        self.register_outputs(
            {
                "scoringUri": self.scoring_uri,
                "endpointName": self.endpoint_name,
                "traffic": self.traffic,
                "image": self.image,
                "imageTag": self.image_tag,
                "loginServer": self.login_server,
                "registryId": self.registry_id,
                "workspaceId": self.workspace_id,
                "workspaceName": self.workspace_name,
                "resourceGroupName": self.resource_group_name,
                "clientId": self.client_id,
                "principalId": self.principal_id,
                "passwordExpires": self.password_expires,
            }
        )

    def _image(
        self,
        name: str,
        args: ScoringStackArgs,
        registry: WorkspaceRegistry,
        environment: EnvironmentPlan | None,
        login: RegistryLogin | None,
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """Make the image; of an environment only tell what Azure ML builds on when a deployment first needs it."""
        if environment is not None:
            return pulumi.Output.from_input(environment.base), pulumi.Output.from_input(environment.version)
        build: CustomImageArgs = {
            "image": args.get("image", ImageSettings()),
            "registry_id": registry.registry_id,
            "login_server": registry.login_server,
            "build_secrets": args.get("build_secrets") or {},
            "login": login,
        }
        if "push_username" in args and "push_password" in args:
            build |= {"push_username": args["push_username"], "push_password": args["push_password"]}
        made = CustomImage(name, build, pulumi.ResourceOptions(parent=self))
        return made.image, made.tag


def _login(args: ScoringStackArgs) -> RegistryLogin | None:
    """Return who reads a private registry; the password comes with the settings, or from a vault."""
    registry = args["registry"]
    if "address" not in registry or "username" not in registry:
        return None
    login = RegistryLogin(address=registry["address"], username=registry["username"], password="")
    if "registry_password" in args:
        return {**login, "password": args["registry_password"]}
    secret = registry.get("password_secret") or ""
    return {**login, "password": _secret(secret), "secret": secret}


def _secret(id_: str) -> pulumi.Output[str]:
    """Read a password from a vault, as the deployer."""
    field = "registry.passwordSecret"
    require("vaultSecret", field, id_)
    # Most stacks name no secret, and then need no client of their own.
    from azureml_scoring.provider.arm import connect  # noqa: PLC0415
    from azureml_scoring.provider.lookup import secret_at  # noqa: PLC0415

    try:
        return pulumi.Output.secret(secret_at(connect(), field, id_))
    except ResourceError as error:
        raise SettingsError(str(error)) from None
