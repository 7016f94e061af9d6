"""The registry that holds the image, and the Azure ML workspace that serves it.

Owns the choice of both: created, or read by ARM id. Refuses to own what stands beside a workspace (`workspace.py`), who
may pull (`principal.py`) and what is in the registry (`image.py`).
https://learn.microsoft.com/azure/templates/microsoft.containerregistry/registries
"""

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import authorization, containerregistry, machinelearningservices

from azureml_scoring.component import Component, Inputs, Options, after
from azureml_scoring.lookups import examined, refuse, registry_id_at
from azureml_scoring.network import PrivateNetwork, PrivatePart, provisioned
from azureml_scoring.plan.names import ArmId, Names
from azureml_scoring.plan.needs import Name, created_names
from azureml_scoring.plan.network import registry_access
from azureml_scoring.plan.workspace import PlannedWorkspace
from azureml_scoring.sdk import RegistryAttachment
from azureml_scoring.settings import rules
from azureml_scoring.settings.arguments import RegistryAttachmentArgs
from azureml_scoring.settings.errors import SettingsError, error_line
from azureml_scoring.settings.network import NetworkSettings
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.registry import RegistrySettings, WorkspaceSettings
from azureml_scoring.settings.section import Section
from azureml_scoring.site import Site
from azureml_scoring.workspace import OwnedWorkspace, resource_group


class WorkspaceRegistryArgs(Section):
    """Inputs of `WorkspaceRegistry`."""

    location: rules.Location
    """Azure region, short form."""
    registry: RegistrySettings = RegistrySettings()
    """Which registry holds the image."""
    workspace: WorkspaceSettings = WorkspaceSettings()
    """The workspace and what Azure demands beside it."""
    network: NetworkSettings = NetworkSettings()
    """Who reaches what is made, and what deployments reach."""
    builds: bool = False
    """Whether ACR Tasks builds in the registry: one that is closed to the internet gets an agent pool."""
    name_seed: str = ""
    """Any text; another one gives other names where one is taken or held."""
    tags: rules.Tags = {}
    """Tags of every resource."""


@dataclass(frozen=True)
class Registry:
    """A registry, created or read."""

    id: pulumi.Output[str]
    """ARM id."""
    login_server: pulumi.Output[str]
    """Its address."""
    made: bool = False
    """Whether the stack makes it."""


class WorkspaceRegistry(Component):
    """A workspace and the registry its images come from: each created, or read by ARM id.

    Owns what Azure demands beside a workspace, too: resource group, storage, vault, logs, insights, its own registry.
    Refuses to own roles, images and endpoints.
    """

    Args = WorkspaceRegistryArgs
    registry_id: pulumi.Output[str]
    """ARM id of the registry that holds the image, in mode private the workspace's own; empty in mode public."""
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
    agent_pool: pulumi.Output[str]
    """Name of the registry's agent pool; empty without one."""

    def __init__(self, name: str, args: WorkspaceRegistryArgs | Inputs, opts: Options = None) -> None:
        args = parse(WorkspaceRegistryArgs, args)
        names = Names(pulumi.get_project(), pulumi.get_stack(), name, args.name_seed)
        adopted = args.workspace.id
        super().__init__(name, opts)
        if adopted is None:
            planned = _examined(args, names, opts)
            group = resource_group(name, args.workspace, args.location, args.tags, names, self.child)
        else:
            group = ArmId.parse(adopted).resource_group
        site = Site(name, names, args.location, group, args.tags, self.child)
        mode = args.registry.mode
        registry = self._registry(site, args) if adopted is None or mode == "standalone" else None
        parts = [PrivatePart("registry", "registry", registry.id)] if registry and registry.made else []
        ready: list[pulumi.Resource] = []
        if adopted is None:
            own = registry if registry and mode == "workspace" else self._created(site, "ownRegistry", args)
            owned = OwnedWorkspace(site, planned, own.id, args.network)
            if own is not registry:
                parts.append(PrivatePart("own-registry", "registry", own.id))
            parts += owned.private_parts
            registry = own if mode == "private" else registry
            workspace_id, vault_id, storage_id, logs_id = (
                owned.workspace.id,
                owned.vault.id,
                owned.storage.id,
                owned.logs.id,
            )
        else:
            workspace = machinelearningservices.Workspace.get(f"{name}-workspace", adopted, opts=self.child)
            workspace_id = workspace.id
            vault_id = workspace.key_vault.apply(lambda id_: id_ or "")
            storage_id = workspace.storage_account.apply(lambda id_: id_ or "")
            logs_id = pulumi.Output.from_input("")
            if mode in {"workspace", "private"}:
                registry, workspace_id = self._registry_of(site, workspace, adopted, args.registry.id)

        nothing = pulumi.Output.from_input("")
        agent_pool = nothing
        if args.network.private_endpoints is not None:
            private = PrivateNetwork(site, args.network.private_endpoints, parts)
            ready = private.ready
            if registry and registry.made and args.builds and args.network.limited("registry"):
                agent_pool = private.agent_pool(after(registry.id, ready))
        if args.network.isolation != "none" and adopted is None:
            beside = registry.id if registry and mode == "standalone" else None
            workspace_id = provisioned(site, args.network, owned.workspace, beside)
        self.registry_id = after(registry.id, ready) if registry else nothing
        self.login_server = registry.login_server if registry else nothing
        self.workspace_id = after(workspace_id, ready)
        self.workspace_name = workspace_id.apply(lambda id_: ArmId.parse(id_).name)
        self.resource_group_name = pulumi.Output.from_input(group)
        self.vault_id = after(vault_id, ready)
        self.storage_id = storage_id
        self.log_workspace_id = logs_id
        self.agent_pool = agent_pool
        self.finish()

    def _registry(self, site: Site, args: WorkspaceRegistryArgs) -> Registry | None:
        """Create or read the registry that holds the image; none where it belongs to others."""
        settings = args.registry
        if settings.mode == "workspace":
            return self._created(site, "registry", args)
        if settings.mode != "standalone":
            return None
        existing = settings.id or registry_id_at(settings.login_server)
        if existing is None:
            return self._created(site, "registry", args)
        return self._read(site, existing)

    def _registry_of(
        self, site: Site, workspace: "machinelearningservices.Workspace", workspace_id: str, wanted: str | None
    ) -> tuple[Registry, pulumi.Output[str]]:
        """Read the registry of an existing workspace; attach one where it has none."""
        # An invoke, since a resource's preview cannot tell "has none" from "not known yet".
        current = machinelearningservices.get_workspace_output(
            workspace_name=ArmId.parse(workspace_id).name,
            resource_group_name=site.resource_group,
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        registry_id = pulumi.Output.all(current.container_registry, workspace_id, wanted).apply(_attached)
        registry = self._read(site, registry_id)
        if wanted is None:
            return registry, workspace.id
        # What follows takes the workspace's id from here: Azure ML lets an endpoint's identity read the registry that
        # the workspace has when the endpoint is created.
        attaching = RegistryAttachmentArgs(workspace_id=workspace.id, registry_id=registry_id)
        return registry, RegistryAttachment(f"{site.name}-attachment", attaching, self.child).workspace_id

    def _read(self, site: Site, id_: pulumi.Input[str]) -> Registry:
        registry = containerregistry.Registry.get(f"{site.name}-registry", id_, opts=self.child)
        return Registry(registry.id, registry.login_server)

    def _created(self, site: Site, kind: str, args: WorkspaceRegistryArgs) -> Registry:
        # The workspace's own registry, where images come from another, holds next to nothing.
        own = RegistrySettings(sku="Premium" if args.network.premium else "Basic")
        settings = args.registry if kind == "registry" else own
        id_ = containerregistry.Registry(
            f"{site.name}-{'registry' if kind == 'registry' else 'own-registry'}",
            registry_name=settings.name or site.names.of(kind),
            resource_group_name=site.resource_group,
            location=site.location,
            sku={"name": settings.sku},
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            tags=site.tags,
            opts=site.opts,
            **registry_access(args.network, settings.sku),
        ).id
        # Asked for by the id: a preview of an update knows no output, and what hangs on it would be shown to change.
        created = containerregistry.get_registry_output(
            registry_name=id_.apply(lambda each: ArmId.parse(each).name),
            resource_group_name=id_.apply(lambda each: ArmId.parse(each).resource_group),
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        return Registry(id_, created.login_server, made=True)


def _examined(args: WorkspaceRegistryArgs, names: Names, opts: Options) -> PlannedWorkspace:
    """Tell which workspace will be, in the subscription that azure-native works in; raise where it cannot be.

    azure-native, which is signed in already, is asked first: where the workspace stands no other client is loaded.
    """
    asking = pulumi.InvokeOptions(parent=opts.parent if opts else None)
    config = authorization.get_client_config(opts=asking)
    isolation = args.network.isolation
    planned = PlannedWorkspace.of(args.workspace, names, args.location, config.subscription_id, isolation)
    try:
        existing = machinelearningservices.get_workspace(planned.id.resource_group, planned.id.name, opts=asking)
    except Exception:  # noqa: BLE001 - Pulumi's own type for whatever an invoke fails with; the next client says why
        return examined(planned, _created_names(args, names))
    linked: dict[str, Any] = {"keyVault": existing.key_vault, "storageAccount": existing.storage_account}
    if existing.managed_network is not None:
        linked["managedNetwork"] = {"isolationMode": existing.managed_network.isolation_mode}
    refuse(planned.differences({"location": existing.location, "properties": linked}))
    return planned


def _created_names(args: WorkspaceRegistryArgs, names: Names) -> list[Name]:
    """Tell under which names the workspace and what stands beside it will be created."""
    exists = bool(args.registry.id or args.registry.login_server)
    return list(created_names(args.registry, args.workspace, names, has_registry=exists))


def _attached(ids: list[str | None]) -> str:
    """Return the registry of a workspace, or the one it shall get; without either, say how it gets one."""
    registry, workspace, wanted = ids
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
