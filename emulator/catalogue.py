"""Every ARM type that this local Azure serves, in the order in which a restart brings them back."""

import importlib
import importlib.util

from emulator.core.azure import ResourceType
from emulator.services.authorization import RoleAssignment
from emulator.services.identity import UserAssignedIdentity
from emulator.services.insights import InsightsComponent, LogWorkspace
from emulator.services.keyvault import Secret, Vault
from emulator.services.resources import ResourceGroup, Subscription
from emulator.services.storage import StorageAccount


def _others() -> list[type[ResourceType]]:
    found: list[type[ResourceType]] = []
    for name in ("registry", "tasks", "ml_workspace", "ml_environment", "ml_endpoint", "ml_deployment", "ml_connection"):
        if importlib.util.find_spec(f"emulator.services.{name}"):
            module = importlib.import_module(f"emulator.services.{name}")
            found += [
                each
                for each in vars(module).values()
                if isinstance(each, type)
                and issubclass(each, ResourceType)
                and each.__module__ == module.__name__
                and "type" in vars(each)
            ]
    return found


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
    *_others(),
)
