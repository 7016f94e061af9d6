"""The registry that holds the image, and the Azure ML workspace that serves it.

Owns the resource group, what Azure demands beside a workspace (storage, vault, logs, insights, a registry) and the
workspace. Refuses to own who may pull (`principal.py`) and what is in the registry (`image.py`). The workspace gets
a registry from the start: one that Azure ML makes by itself, later, has the admin account on.
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces
https://learn.microsoft.com/azure/templates/microsoft.containerregistry/registries
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

import pulumi
from pulumi_azure_native import (
    applicationinsights,
    authorization,
    containerregistry,
    keyvault,
    machinelearningservices,
    operationalinsights,
    resources,
    storage,
)

from azureml_scoring.plan.names import ArmId, Names
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.sdk import RegistryAttachment, RegistryAttachmentArgs
from azureml_scoring.settings.types import RegistrySettings, SettingsError, WorkspaceSettings, error_line, require

_SKU: Final = "Standard"
_OWN_SKU: Final = "Basic"
"""The workspace's own registry, where images come from another, holds next to nothing."""
_SOFT_DELETE_DAYS: Final = 7
_LOG_DAYS: Final = 30


class WorkspaceRegistryArgs(TypedDict):
    """Inputs of `WorkspaceRegistry`."""

    location: str
    """Azure region, short form."""
    registry: RegistrySettings
    """Which registry holds the image."""
    workspace: NotRequired[WorkspaceSettings]
    """The workspace and what stands beside it."""
    name_seed: NotRequired[str]
    """Any text; another one gives other world-wide unique names."""
    tags: NotRequired[dict[str, str]]
    """Tags of everything that is made."""


class WorkspaceRegistry(pulumi.ComponentResource):
    """A workspace and the registry its images come from: each made, or found by ARM id.

    Owns both and what Azure demands beside them; refuses to own roles, images and endpoints.
    """

    registry_id: pulumi.Output[str]
    """ARM id of the registry that holds the image; empty in modes public and private."""
    login_server: pulumi.Output[str]
    """Its address; empty in mode public."""
    workspace_id: pulumi.Output[str]
    """ARM id of the workspace."""
    workspace_name: pulumi.Output[str]
    """Name of the workspace."""
    resource_group_name: pulumi.Output[str]
    """Resource group of the workspace."""
    vault_id: pulumi.Output[str]
    """ARM id of the workspace's key vault."""
    storage_id: pulumi.Output[str]
    """ARM id of the workspace's storage account."""
    log_workspace_id: pulumi.Output[str]
    """ARM id of the Log Analytics workspace; empty where the workspace exists already."""

    def __init__(self, name: str, args: WorkspaceRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("azureml-scoring:index:WorkspaceRegistry", name, None, opts)
        settings = args["registry"]
        choices = args.get("workspace") or WorkspaceSettings()
        mode = settings["mode"]
        names = Names(pulumi.get_project(), pulumi.get_stack(), name, args.get("name_seed", ""))
        adopted = choices.get("id")
        if adopted is None:
            group = _resource_group(name, args, names, self)
        else:
            group = ArmId.parse(require("workspaceId", "workspace.id", adopted)).resource_group
        place = _Place(self, name, names, args["location"], group, args.get("tags") or {})

        if mode == "standalone":
            scoring = _standalone(place, settings)
        elif mode == "workspace" and adopted is None:
            scoring = _registry(place, "registry", settings)
        else:
            scoring = None

        if adopted is None:
            own = scoring if mode == "workspace" and scoring else _registry(place, "ownRegistry", {"sku": _OWN_SKU})
            vault = _vault(place, choices)
            logs = _logs(place)
            workspace = _workspace(place, choices, own, vault, logs)
            vault_id = vault.id
            workspace_id = workspace.id
        else:
            workspace = machinelearningservices.Workspace.get(f"{name}-workspace", adopted, opts=place.opts)
            workspace_id = workspace.id
            vault_id = workspace.key_vault.apply(lambda id_: id_ or "")
            logs = None
            if mode == "workspace":
                wanted = settings.get("id")
                # Asked for, since a resource's preview cannot tell "has none" from "not known yet".
                there = machinelearningservices.get_workspace_output(
                    workspace_name=ArmId.parse(adopted).name,
                    resource_group_name=group,
                    opts=pulumi.InvokeOutputOptions(parent=self),
                )
                registry_id = pulumi.Output.all(there.container_registry, adopted, wanted).apply(_attached)
                scoring = containerregistry.Registry.get(f"{name}-registry", registry_id, opts=place.opts)
                if wanted is not None:
                    # What follows takes the workspace from here: Azure ML lets an endpoint's identity read the registry
                    # that the workspace has when the endpoint is made.
                    workspace_id = RegistryAttachment(
                        f"{name}-attachment", RegistryAttachmentArgs(workspace.id, registry_id), opts=place.opts
                    ).workspace_id

        self.registry_id = scoring.id if scoring else pulumi.Output.from_input("")
        self.login_server = scoring.login_server if scoring else pulumi.Output.from_input(settings.get("address") or "")
        self.workspace_id = workspace_id
        self.workspace_name = workspace.name
        self.resource_group_name = pulumi.Output.from_input(group)
        self.vault_id = vault_id
        self.storage_id = workspace.storage_account.apply(lambda id_: id_ or "")
        self.log_workspace_id = logs.id if logs else pulumi.Output.from_input("")
        self.register_outputs(
            {
                "registryId": self.registry_id,
                "loginServer": self.login_server,
                "workspaceId": self.workspace_id,
                "workspaceName": self.workspace_name,
                "resourceGroupName": self.resource_group_name,
                "vaultId": self.vault_id,
                "storageId": self.storage_id,
                "logWorkspaceId": self.log_workspace_id,
            }
        )


@dataclass(frozen=True)
class _Place:
    """Where the resources of one component go."""

    parent: WorkspaceRegistry
    name: str
    names: Names
    location: str
    group: pulumi.Input[str]
    tags: Mapping[str, str]

    @property
    def opts(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self.parent)


def _resource_group(
    name: str, args: WorkspaceRegistryArgs, names: Names, parent: WorkspaceRegistry
) -> pulumi.Input[str]:
    choices = args.get("workspace") or WorkspaceSettings()
    group = choices.get("resource_group")
    if group is not None and choices.get("resource_group_exists"):
        return group
    return resources.ResourceGroup(
        f"{name}-group",
        resource_group_name=group or names.of("resourceGroup"),
        location=args["location"],
        tags=args.get("tags") or {},
        opts=pulumi.ResourceOptions(parent=parent),
    ).name


def _standalone(place: _Place, settings: RegistrySettings) -> containerregistry.Registry:
    existing = settings.get("id") or _found(settings.get("login_server"))
    if existing is None:
        return _registry(place, "registry", settings)
    require("registryId", "registry.id", existing)
    return containerregistry.Registry.get(f"{place.name}-registry", existing, opts=place.opts)


def _registry(place: _Place, kind: str, settings: Mapping[str, object]) -> containerregistry.Registry:
    name = settings.get("name")
    return containerregistry.Registry(
        f"{place.name}-{'registry' if kind == 'registry' else 'own-registry'}",
        registry_name=require("registry", "registry.name", str(name)) if name else place.names.of(kind),
        resource_group_name=place.group,
        location=place.location,
        sku={"name": str(settings.get("sku") or _SKU)},
        admin_user_enabled=False,
        anonymous_pull_enabled=False,
        public_network_access="Enabled",
        tags=place.tags,
        opts=place.opts,
    )


def _vault(place: _Place, choices: WorkspaceSettings) -> keyvault.Vault:
    """Make the vault, opened by roles only: access policies would be a second list of who may what."""
    tenant = authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(parent=place.parent)).tenant_id
    name = choices.get("vault")
    return keyvault.Vault(
        f"{place.name}-vault",
        vault_name=require("vault", "workspace.vault", name) if name else place.names.of("vault"),
        resource_group_name=place.group,
        location=place.location,
        properties=keyvault.VaultPropertiesArgs(
            tenant_id=tenant,
            sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            enable_soft_delete=True,
            soft_delete_retention_in_days=int(choices.get("soft_delete_days") or _SOFT_DELETE_DAYS),
            # Azure takes true or nothing here: what is on once can never be taken back.
            enable_purge_protection=True if choices.get("purge_protection") else None,
        ),
        tags=place.tags,
        opts=place.opts,
    )


def _logs(place: _Place) -> operationalinsights.Workspace:
    return operationalinsights.Workspace(
        f"{place.name}-logs",
        workspace_name=place.names.of("logs"),
        resource_group_name=place.group,
        location=place.location,
        sku={"name": "PerGB2018"},
        retention_in_days=_LOG_DAYS,
        tags=place.tags,
        opts=place.opts,
    )


def _workspace(
    place: _Place,
    choices: WorkspaceSettings,
    registry: containerregistry.Registry,
    vault: keyvault.Vault,
    logs: operationalinsights.Workspace,
) -> machinelearningservices.Workspace:
    account = choices.get("storage_account")
    files = storage.StorageAccount(
        f"{place.name}-storage",
        account_name=require("storageAccount", "workspace.storageAccount", account)
        if account
        else place.names.of("storageAccount"),
        resource_group_name=place.group,
        location=place.location,
        kind="StorageV2",
        sku={"name": "Standard_LRS"},
        allow_blob_public_access=False,
        enable_https_traffic_only=True,
        minimum_tls_version="TLS1_2",
        tags=place.tags,
        opts=place.opts,
    )
    insights = applicationinsights.Component(
        f"{place.name}-insights",
        resource_name_=place.names.of("insights"),
        resource_group_name=place.group,
        location=place.location,
        kind="web",
        application_type="web",
        ingestion_mode="LogAnalytics",
        workspace_resource_id=logs.id,
        tags=place.tags,
        opts=place.opts,
    )
    name = choices.get("name")
    return machinelearningservices.Workspace(
        f"{place.name}-workspace",
        workspace_name=require("workspace", "workspace.name", name) if name else place.names.of("workspace"),
        resource_group_name=place.group,
        location=place.location,
        identity={"type": "SystemAssigned"},
        friendly_name=name or place.names.of("workspace"),
        storage_account=files.id,
        key_vault=vault.id,
        application_insights=insights.id,
        container_registry=registry.id,
        public_network_access="Enabled",
        tags=place.tags,
        opts=place.opts,
    )


def _found(login_server: str | None) -> str | None:
    """Return the ARM id of an existing registry by its address: everything else needs the id."""
    if login_server is None:
        return None
    # Most stacks name no address, and then need no client of their own.
    from azureml_scoring.provider.arm import connect  # noqa: PLC0415
    from azureml_scoring.provider.lookup import registry_at  # noqa: PLC0415

    try:
        return registry_at(connect(), login_server)
    except ResourceError as error:
        raise SettingsError(str(error)) from None


def _attached(found: list[str | None]) -> str:
    """Return the registry of a workspace, or the one it shall get; without either, say how it gets one."""
    registry, workspace, wanted = found
    if registry and wanted and registry.lower() != wanted.lower():
        remedy = f"the workspace has another registry already; take it out, or write {registry}"
        raise SettingsError(error_line("registry.id", wanted, remedy))
    if registry or wanted:
        return wanted or registry or ""
    remedy = (
        "it has no container registry yet (Azure ML makes one when it first needs it, with the admin account on); "
        "name one by registry.id and it is attached, or write registry.mode: standalone"
    )
    raise SettingsError(error_line("workspace.id", workspace, remedy))
