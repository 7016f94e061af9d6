"""What a stack needs of Azure before its first resource: names, rights, resource providers, machines.

Owns what follows from the settings alone. Refuses to own asking Azure whether it is there (`provider/readiness.py`).
Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from azureml_scoring.plan.names import ArmId, Names
from azureml_scoring.plan.workspace import PlannedWorkspace
from azureml_scoring.settings.network import MADE, NONE, NetworkSettings
from azureml_scoring.settings.registry import RegistrySettings, WorkspaceSettings
from azureml_scoring.settings.stack import StackSettings
from azureml_scoring.settings.validation import default_principal

REGISTRIES: Final = "Microsoft.ContainerRegistry/registries"
VAULTS: Final = "Microsoft.KeyVault/vaults"
STORAGE: Final = "Microsoft.Storage/storageAccounts"
WORKSPACES: Final = "Microsoft.MachineLearningServices/workspaces"
NETWORKS: Final = "Microsoft.Network"
IDENTITIES: Final = "Microsoft.ManagedIdentity/userAssignedIdentities"
ASSIGN_ROLES: Final = "Microsoft.Authorization/roleAssignments/write"
CREATE_GROUPS: Final = "Microsoft.Resources/subscriptions/resourceGroups/write"

PROVIDERS: Final = tuple(
    f"Microsoft.{name}"
    for name in (
        *("MachineLearningServices", "ContainerRegistry", "KeyVault", "Storage"),
        *("Insights", "OperationalInsights", "ManagedIdentity"),
    )
)
"""Resource providers of what a stack consists of.
https://learn.microsoft.com/azure/machine-learning/how-to-move-workspace#prerequisites names the workspace's own."""
NETWORK_PROVIDERS: Final = (NETWORKS,)
"""Resource provider of private endpoints, the stack's own and those of a managed network.
https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#prerequisites"""
ENDPOINT_PROVIDERS: Final = ("Microsoft.PolicyInsights", "Microsoft.Cdn")
"""Resource providers without which Azure ML makes no managed endpoint (`SubscriptionNotRegistered`).
https://learn.microsoft.com/answers/questions/1983847/error-while-creating-a-managed-online-endpoint-in"""


@dataclass(frozen=True)
class Name:
    """The name of a resource that the stack creates, unique beyond its resource group."""

    type: str
    """ARM type."""
    name: str
    field: str
    """Field of the settings that gives another one."""


@dataclass(frozen=True)
class Machines:
    """The machines of one managed deployment."""

    deployment: str
    size: str
    instances: int
    """At most, where Azure Monitor sets the number."""


@dataclass(frozen=True)
class Needs:
    """What a stack needs."""

    location: str
    group: str
    """ARM id of the workspace's resource group."""
    creates_group: bool
    workspace: PlannedWorkspace | None
    """The workspace that is created; none where an existing one is used."""
    endpoint: str
    """ARM id of the endpoint."""
    providers: tuple[str, ...]
    names: tuple[Name, ...]
    actions: frozenset[str]
    """Actions in the resource group, those on the registry apart."""
    registry: str
    """ARM id of the registry that gets the image, existing or not; empty for none."""
    registry_actions: frozenset[str]
    builds: bool
    """Whether ACR Tasks builds the image."""
    machines: tuple[Machines, ...]


def plan_needs(settings: StackSettings, names: Names, subscription: str, registry_id: str = "") -> Needs:
    """Say what a stack needs in a subscription.

    `registry_id` is the existing registry that the settings name by its address, or by its workspace.
    """
    workspace, registry = settings.workspace, settings.registry
    adopted = ArmId.parse(workspace.id) if workspace.id else None
    isolation = settings.network.isolation
    planned = None if adopted else PlannedWorkspace.of(workspace, names, settings.location, subscription, isolation)
    place = planned.id if planned else ArmId.parse(workspace.id or "")
    group = f"/subscriptions/{place.subscription}/resourceGroups/{place.resource_group}"
    created = tuple(created_names(registry, workspace, names, has_registry=bool(registry_id or registry.id)))
    paths = [f"{group}/providers/{each.type}/{each.name}" for each in created if each.type == REGISTRIES]
    own = next(iter(paths), "") if registry.mode != "public" else ""
    managed, networked = settings.endpoint.kind == "managed", _is_networked(settings.network)
    return Needs(
        location=settings.location,
        group=group,
        creates_group=not (adopted or (workspace.resource_group and workspace.resource_group_exists)),
        workspace=planned,
        endpoint=f"{place}/onlineEndpoints/{settings.endpoint.name or names.of('endpoint')}",
        providers=PROVIDERS + (ENDPOINT_PROVIDERS if managed else ()) + (NETWORK_PROVIDERS if networked else ()),
        names=created,
        actions=frozenset({f"{each.type}/write" for each in created} | set(_actions(settings))),
        registry=registry_id or registry.id or own,
        registry_actions=frozenset(_registry_actions(settings)),
        builds=settings.acr_builds,
        machines=tuple(_machines(settings)) if managed else (),
    )


def created_names(
    registry: RegistrySettings, workspace: WorkspaceSettings, names: Names, *, has_registry: bool
) -> Iterator[Name]:
    """Name what a stack creates under names that are taken in all of Azure, or held after a deletion."""
    serves_itself = workspace.id is not None and registry.mode == "workspace"
    if registry.mode in {"standalone", "workspace"} and not has_registry and not serves_itself:
        yield Name(REGISTRIES, registry.name or names.of("registry"), "registry.name")
    if workspace.id is not None:
        return
    if registry.mode != "workspace":
        yield Name(REGISTRIES, names.of("ownRegistry"), "nameSeed")
    yield Name(VAULTS, workspace.vault or names.of("vault"), "workspace.vault")
    yield Name(STORAGE, workspace.storage_account or names.of("storageAccount"), "workspace.storageAccount")
    yield Name(WORKSPACES, workspace.name or names.of("workspace"), "workspace.name")


def _actions(settings: StackSettings) -> Iterator[str]:
    """Return the actions beside those that create what has a name of its own."""
    yield from (f"{WORKSPACES}/{each}/write" for each in ("onlineEndpoints", "onlineEndpoints/deployments"))
    yield f"{WORKSPACES}/environments/versions/write"
    if settings.workspace.id is None:
        yield from ("Microsoft.OperationalInsights/workspaces/write", "Microsoft.Insights/components/write")
    kind = settings.principal.kind or default_principal(settings.registry.mode)
    if kind == "service-principal" or settings.registry.username:
        yield f"{WORKSPACES}/connections/write"
        if not settings.registry.password_secret:
            yield f"{VAULTS}/secrets/write"
    if kind == "managed-identity":
        yield from (f"{IDENTITIES}/write", f"{IDENTITIES}/assign/action")
        # It gets a role on the workspace's storage, too.
        yield ASSIGN_ROLES
    if settings.endpoint.cluster:
        yield f"{WORKSPACES}/computes/write"
    yield from _network_actions(settings)
    if settings.endpoint.diagnostics:
        yield "Microsoft.Insights/diagnosticSettings/write"
    yield from _deployment_actions(settings)


def _is_networked(network: NetworkSettings) -> bool:
    return network.private_endpoints is not None or network.isolation != "none"


def _network_actions(settings: StackSettings) -> Iterator[str]:
    """Return the actions of private endpoints and of a managed network.

    https://learn.microsoft.com/azure/private-link/rbac-permissions
    """
    network, endpoints = settings.network, settings.network.private_endpoints
    if network.isolation != "none":
        yield f"{WORKSPACES}/privateEndpointConnections/write"
    if network.outbound:
        yield f"{WORKSPACES}/outboundRules/write"
    if endpoints is None:
        return
    yield f"{NETWORKS}/privateEndpoints/write"
    if endpoints.subnet == MADE:
        yield f"{NETWORKS}/virtualNetworks/write"
    if endpoints.dns == [MADE]:
        yield from (f"{NETWORKS}/privateDnsZones/{each}write" for each in ("", "virtualNetworkLinks/"))
    if endpoints.dns != [NONE]:
        yield f"{NETWORKS}/privateEndpoints/privateDnsZoneGroups/write"


def _deployment_actions(settings: StackSettings) -> Iterator[str]:
    deployments = settings.deployments.values()
    if any(each and each.path for each in (settings.model, *(deployment.model for deployment in deployments))):
        yield from (f"{WORKSPACES}/models/versions/write", f"{WORKSPACES}/datastores/listSecrets/action")
    if any((settings.code, *(deployment.code for deployment in deployments))):
        yield from (f"{WORKSPACES}/codes/versions/write", f"{WORKSPACES}/codes/versions/startPendingUpload/action")
    collectors = [each.data_collector for each in deployments if each.data_collector]
    if any(collection.data for each in collectors for collection in each.collections.values()):
        yield f"{WORKSPACES}/data/versions/write"
    if any(deployment.autoscale for deployment in deployments):
        yield "Microsoft.Insights/autoscaleSettings/write"


def _registry_actions(settings: StackSettings) -> Iterator[str]:
    mode = settings.registry.mode
    if mode == "public":
        return
    if _assigns_roles(settings):
        yield ASSIGN_ROLES
    if settings.acr_builds:
        yield from (f"{REGISTRIES}/listBuildSourceUploadUrl/action", f"{REGISTRIES}/scheduleRun/action")
        if settings.network.limited("registry") and settings.network.private_endpoints:
            yield f"{REGISTRIES}/agentPools/write"
    # An image of a private registry is imported into the workspace's.
    if mode == "private" or any(image.promote for image in settings.images):
        yield f"{REGISTRIES}/importImage/action"


def _assigns_roles(settings: StackSettings) -> bool:
    """Whether somebody certainly gets a role on the registry; an existing identity may have it."""
    registry, endpoint = settings.registry, settings.endpoint
    if (settings.principal.kind or default_principal(registry.mode)) != "none" or endpoint.cluster:
        return True
    return not endpoint.identity and (registry.mode == "standalone" or registry.role_assignment_mode == "abac")


def _machines(settings: StackSettings) -> Iterator[Machines]:
    for name, deployment in settings.deployments.items():
        count = deployment.autoscale.most if deployment.autoscale else deployment.instance_count
        yield Machines(name, deployment.instance_type or "", count)
