"""Who may do what where: built-in roles and the evaluation of role assignments.

Owns the decision; role assignments themselves are ARM documents (Microsoft.Authorization/roleAssignments).
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

import time
from dataclasses import dataclass
from fnmatch import fnmatchcase

from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Store

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"


@dataclass(frozen=True)
class Principal:
    """A principal of Entra: roles are assigned to its object id."""

    object_id: str
    name: str
    app_id: str = ""
    kind: str = "ServicePrincipal"


@dataclass(frozen=True)
class Role:
    """A built-in role: what it allows in the control plane and, by `data`, in a service's own data plane."""

    name: str
    actions: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    data: tuple[str, ...] = ()

    @property
    def permissions(self) -> dict[str, list[str]]:
        """The same as ARM shows it."""
        return {
            "actions": list(self.actions),
            "notActions": list(self.without),
            "dataActions": list(self.data),
            "notDataActions": [],
        }

    def allows(self, action: str, *, data: bool) -> bool:
        """Tell whether the role grants an action."""
        granted, denied = (self.data, ()) if data else (self.actions, self.without)
        return _matches(action, granted) and not _matches(action, denied)


_REGISTRY = "Microsoft.ContainerRegistry/registries"
_REPOSITORIES = f"{_REGISTRY}/repositories"
_SECRETS = "Microsoft.KeyVault/vaults/secrets"
_CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"
ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": Role("Owner", ("*",)),
    "b24988ac-6180-42a0-ab88-20f7382dd24c": Role(
        "Contributor", ("*",), ("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write")
    ),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": Role("Reader", ("*/read",)),
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": Role("User Access Administrator", ("*/read", "Microsoft.Authorization/*")),
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": Role(
        "Role Based Access Control Administrator", ("*/read", f"{ASSIGNMENTS}/write", f"{ASSIGNMENTS}/delete")
    ),
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": Role("AcrPull", (f"{_REGISTRY}/pull/read",)),
    "8311e382-0749-4cb8-b61a-304f252e45ec": Role("AcrPush", (f"{_REGISTRY}/pull/read", f"{_REGISTRY}/push/write")),
    "c2f4ef07-c644-48eb-af81-4b1b4947fb11": Role("AcrDelete", (f"{_REGISTRY}/artifacts/delete",)),
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": Role(
        "Container Registry Repository Reader",
        data=(f"{_REPOSITORIES}/content/read", f"{_REPOSITORIES}/metadata/read"),
    ),
    "2a1e307c-b015-4ebd-883e-5b7698a07328": Role(
        "Container Registry Repository Writer",
        data=(f"{_REPOSITORIES}/content/*", f"{_REPOSITORIES}/metadata/*"),
    ),
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": Role(
        "Key Vault Secrets Officer",
        ("Microsoft.KeyVault/vaults/read",),
        data=(f"{_SECRETS}/*",),
    ),
    "4633458b-17de-408a-b874-0445c86b69e6": Role(
        "Key Vault Secrets User", data=(f"{_SECRETS}/getSecret/action", f"{_SECRETS}/readMetadata/action")
    ),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": Role("Storage Blob Data Reader", data=(f"{_CONTAINERS}/blobs/read",)),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": Role(
        "Storage Blob Data Contributor",
        (f"{_CONTAINERS}/read", f"{_CONTAINERS}/write", f"{_CONTAINERS}/delete"),
        data=tuple(f"{_CONTAINERS}/blobs/{verb}" for verb in ("read", "write", "delete")),
    ),
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": Role(
        "AzureML Data Scientist",
        (
            "Microsoft.MachineLearningServices/workspaces/*/read",
            "Microsoft.MachineLearningServices/workspaces/*/action",
        ),
    ),
}
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


def _matches(action: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


class AccessControl:
    """Answers by the role assignments in the store: at the scope itself or at any scope above it.

    A new assignment holds after `delay` seconds.
    https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
    """

    def __init__(self, store: Store, delay: float = 0.0) -> None:
        self._store = store
        self._delay = delay

    def roles_of(self, object_id: str, scope: ResourceId) -> list[Role]:
        """The roles that hold for a principal at a scope."""
        return [
            ROLES[document.properties["roleDefinitionId"].rsplit("/", 1)[1].lower()]
            for document in self._store.of_type(ASSIGNMENTS)
            if document.properties["principalId"] == object_id
            and time.time() - float(document.private.get("since", 0)) >= self._delay
            and (scope.key + "/").startswith(document.properties["scope"].lower().rstrip("/") + "/")
        ]

    def allows(self, principal: Principal, action: str, scope: ResourceId, *, data: bool = False) -> bool:
        """Tell whether a principal may do an action (a data action by `data`) at a scope."""
        return any(role.allows(action, data=data) for role in self.roles_of(principal.object_id, scope))

    def demand(self, principal: Principal, action: str, scope: ResourceId, *, data: bool = False) -> None:
        """Refuse with 403 AuthorizationFailed, in Azure's words, where `allows` says no."""
        if not self.allows(principal, action, scope, data=data):
            raise AzureError(
                403,
                "AuthorizationFailed",
                f"The client '{principal.app_id or principal.name}' with object id '{principal.object_id}' does not"
                f" have authorization to perform action '{action}' over scope '{scope.path}' or the scope is invalid."
                " If access was recently granted, please refresh your credentials.",
            )
