"""Every ARM type that this local Azure serves, in the order in which a restart brings them back."""

from emulator.core.azure import ResourceType
from emulator.services.authorization import RoleAssignment
from emulator.services.clusters import ConnectedCluster, Extension, ManagedCluster
from emulator.services.endpoint_metrics import Metrics
from emulator.services.identity import UserAssignedIdentity
from emulator.services.insights import InsightsComponent, LogWorkspace
from emulator.services.keyvault import Secret, Vault
from emulator.services.ml_assets import Code, CodeVersion, Datastore, Model, ModelVersion
from emulator.services.ml_computes import Compute
from emulator.services.ml_endpoints import OnlineDeployment, OnlineEndpoint
from emulator.services.ml_environment import Environment, EnvironmentVersion
from emulator.services.ml_workspace import Connection, Workspace
from emulator.services.monitor import AutoscaleSetting, DiagnosticSetting
from emulator.services.registry import Registry
from emulator.services.resources import ResourceGroup, Subscription
from emulator.services.storage import StorageAccount
from emulator.services.tasks import Runs

TYPES: tuple[type[ResourceType], ...] = (
    Subscription,
    ResourceGroup,
    RoleAssignment,
    UserAssignedIdentity,
    StorageAccount,
    Vault,
    Secret,
    LogWorkspace,
    InsightsComponent,
    Registry,
    Runs,
    Workspace,
    Connection,
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
    # Deployments pull from the registries and are let in through their endpoint's port.
    OnlineEndpoint,
    OnlineDeployment,
    AutoscaleSetting,
    DiagnosticSetting,
    Metrics,
)
