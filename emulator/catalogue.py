"""Every ARM type that this local Azure serves, in the order in which a restart brings them back."""

from emulator.core.azure import ResourceType
from emulator.services.authorization.types import Permissions, RoleAssignment, RoleDefinition
from emulator.services.containerregistry.types import AgentPool, Registry, Runs
from emulator.services.insights.data import Metrics
from emulator.services.insights.types import AutoscaleSetting, DiagnosticSetting, InsightsComponent
from emulator.services.keyvault.types import DeletedVault, DeletedVaults, Secret, Vault
from emulator.services.kubernetes.types import ConnectedCluster, Extension, ManagedCluster
from emulator.services.machinelearningservices.assets.types import (
    Code,
    CodeVersion,
    Data,
    DataVersion,
    Environment,
    EnvironmentVersion,
    Model,
    ModelVersion,
)
from emulator.services.machinelearningservices.computes.types import Compute
from emulator.services.machinelearningservices.managednetworks.types import OutboundRule
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment, OnlineEndpoint
from emulator.services.machinelearningservices.quotas.types import Usages, VirtualMachineSizes
from emulator.services.machinelearningservices.workspaces.types import Connection, Datastore, Workspace
from emulator.services.managedidentity.types import UserAssignedIdentity
from emulator.services.network.types import (
    AccountConnection,
    PrivateEndpoint,
    PrivateZone,
    Record,
    RegistryConnection,
    Subnet,
    VaultConnection,
    VirtualNetwork,
    WorkspaceConnection,
    ZoneGroup,
    ZoneLink,
)
from emulator.services.operationalinsights.types import LogWorkspace
from emulator.services.resources.types import (
    Locations,
    Providers,
    ResourceGroup,
    Resources,
    ResourcesOfGroup,
    Subscription,
)
from emulator.services.storage.types import StorageAccount

TYPES: tuple[type[ResourceType], ...] = (
    Subscription,
    ResourceGroup,
    Resources,
    ResourcesOfGroup,
    Locations,
    Providers,
    RoleAssignment,
    RoleDefinition,
    Permissions,
    UserAssignedIdentity,
    StorageAccount,
    Vault,
    Secret,
    DeletedVault,
    DeletedVaults,
    LogWorkspace,
    InsightsComponent,
    Registry,
    Runs,
    AgentPool,
    Workspace,
    OutboundRule,
    Connection,
    Usages,
    VirtualMachineSizes,
    ManagedCluster,
    ConnectedCluster,
    Extension,
    Compute,
    Datastore,
    Environment,
    EnvironmentVersion,
    Model,
    ModelVersion,
    Code,
    CodeVersion,
    Data,
    DataVersion,
    VirtualNetwork,
    Subnet,
    PrivateZone,
    ZoneLink,
    Record,
    PrivateEndpoint,
    ZoneGroup,
    RegistryConnection,
    VaultConnection,
    AccountConnection,
    WorkspaceConnection,
    # Deployments pull from the registries and are let in through their endpoint's port.
    OnlineEndpoint,
    OnlineDeployment,
    AutoscaleSetting,
    DiagnosticSetting,
    Metrics,
)
