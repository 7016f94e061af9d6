"""Settings of the first two steps: the registry, the workspace, and the identity that pulls."""

from typing import Annotated, Final, Literal

from pydantic import Field

from azureml_scoring.settings import rules
from azureml_scoring.settings.section import OPTIONAL, Arm, Secret, Section

REGISTRY: Final = "Microsoft.ContainerRegistry/registries"
VAULT: Final = "Microsoft.KeyVault/vaults"
STORAGE: Final = "Microsoft.Storage/storageAccounts"
WORKSPACE: Final = "Microsoft.MachineLearningServices/workspaces"


class RegistrySettings(Section):
    """Which registry holds the image."""

    mode: Literal["workspace", "standalone", "public", "private"] = "standalone"
    """`workspace`: the workspace's own registry; `standalone`: one beside it; `public`: one that is read without
    credentials; `private`: one that is read with a user name and a password, from which images are imported into the
    workspace's own."""
    id: rules.RegistryId | None = None
    """ARM id of an existing standalone registry; without it one is created. In modes workspace and private, with
    `workspace.id`: the registry that the workspace has, or gets where it has none; it keeps it after `destroy`."""
    login_server: rules.RegistryAddress | None = None
    """Address of an existing standalone Azure registry, instead of its ARM id; searched in all visible
    subscriptions."""
    address: rules.RegistryAddress | None = None
    """Address of a private registry outside this stack."""
    username: rules.UserName | None = None
    """User name at the private registry."""
    password: Secret | None = OPTIONAL
    """Password of `username`: `pulumi config set --secret --path scoring:registry.password`."""
    password_secret: rules.VaultSecretId | None = None
    """Id of an existing vault secret that holds the password, instead of the password itself:
    https://VAULT.vault.azure.net/secrets/NAME. It is read at each run by the deployer, who needs the role Key Vault
    Secrets User on it."""
    name: Annotated[rules.RegistryName | None, Arm(REGISTRY, "name")] = None
    """Name of the registry that is created; computed by default."""
    sku: Annotated[Literal["Basic", "Standard", "Premium"], Arm(REGISTRY, "sku.name")] = "Standard"
    """Service tier of the registry that is created."""
    role_assignment_mode: Literal["rbac", "abac"] = "rbac"
    """`abac` when the existing registry is in the mode "RBAC + ABAC": the role is then Container Registry Repository
    Reader, and ACR Tasks cannot build there."""


class WorkspaceSettings(Section):
    """The Azure ML workspace and what Azure demands beside it."""

    id: rules.WorkspaceId | None = None
    """ARM id of an existing workspace; without it one is created. No other field of this section goes with it."""
    name: Annotated[rules.WorkspaceName | None, Arm(WORKSPACE, "name")] = None
    """Name of the workspace that is created; computed by default."""
    resource_group: Annotated[rules.ResourceGroupName | None, Arm("Microsoft.Resources/resourceGroups", "name")] = None
    """Name of the resource group; computed by default."""
    resource_group_exists: bool = False
    """Use an existing resource group instead of creating one."""
    vault: Annotated[rules.VaultName | None, Arm(VAULT, "name")] = None
    """Name of the key vault that is created; computed by default."""
    storage_account: Annotated[rules.StorageAccountName | None, Arm(STORAGE, "name")] = None
    """Name of the storage account that is created; computed by default."""
    purge_protection: Annotated[bool, Arm(VAULT, "properties.enablePurgeProtection")] = False
    """Whether nobody can purge the deleted vault before its retention ends; it cannot be turned off again."""
    soft_delete_days: Annotated[
        int, Field(ge=7, le=90), rules.NotBool, Arm(VAULT, "properties.softDeleteRetentionInDays")
    ] = 7
    """Days for which a deleted vault and its secrets can be recovered."""
    recover: bool = False
    """Bring a deleted vault of this name back, with the secrets it had, instead of refusing the name. Azure Resource
    Manager cannot bring a deleted workspace back."""


class PasswordSettings(Section):
    """One password of the service principal."""

    expires: Annotated[rules.Moment | None, Arm("azuread:ApplicationPassword", "endDate")] = None
    """End of the password, RFC 3339 in UTC; Entra's own limit of two years by default."""


class PrincipalSettings(Section):
    """The identity that may pull the image, besides the endpoint's own."""

    kind: Literal["service-principal", "managed-identity", "none"] | None = None
    """`service-principal`, by default for a standalone registry: for clusters, pipelines and people;
    `managed-identity`: the endpoint runs as it, too; `none`: the endpoint's identity alone."""
    passwords: dict[rules.PasswordName, PasswordSettings] = {}
    """The service principal's passwords by name, two at most: both exist while one takes over from the other. One
    named `first` by default."""
    current: rules.PasswordName | None = None
    """Name of the password in use; needed when there are two."""


class RegistryLogin(Section):
    """Credentials of a private registry."""

    address: str
    """The registry's host: the password is sent to no other."""
    username: str
    """The user name."""
    password: Secret
    """The password."""
    secret: str | None = None
    """Id of the vault secret that the password comes from; then no other vault stores it."""
