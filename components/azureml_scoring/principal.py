"""Who may pull the image besides the endpoint: an identity with one role on the registry, that reads and never pushes.

Owns the service principal with its passwords, or the user-assigned identity; the role assignment; the password in
the workspace's vault; the workspace's connection to the registry. Refuses to own the registry and the deployer's
own rights. Rotation is a change of the map of passwords: the new one is made first, then the vault and the
connection change, and one that is no longer listed dies last, because deletions come after updates.
https://learn.microsoft.com/azure/container-registry/container-registry-auth-service-principal
https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/workspaces/connections
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pulumi
from pulumi_azure_native import authorization, keyvault, machinelearningservices, managedidentity

from azureml_scoring.component import Component, Inputs, Options
from azureml_scoring.plan.names import ArmId, Names, unique_name
from azureml_scoring.plan.roles import Role, assignment_name, definition_id, pull_role
from azureml_scoring.sdk import RoleAssignment
from azureml_scoring.settings import rules
from azureml_scoring.settings.arguments import RoleAssignmentArgs
from azureml_scoring.settings.errors import SettingsError, error_line
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.registry import PasswordSettings, PrincipalSettings, RegistryLogin
from azureml_scoring.settings.section import In, Section, sealed

FIRST_PASSWORD: Final = "first"  # noqa: S105 - a name
"""The password's name when nobody lists any."""

_WARN_BEFORE: Final = timedelta(days=14)
_DEFAULT_LIFETIME: Final = timedelta(days=730.5)
_TOLERANCE: Final = timedelta(days=3)
"""How far two years may be off: leap days, and how Entra counts them."""
"""Two years, whether one of them has a leap day or not."""


class PullPrincipalArgs(Section):
    """Inputs of `PullPrincipal`."""

    principal: PrincipalSettings
    """Kind of the identity, and its passwords."""
    registry_id: In[str]
    """ARM id of the registry it reads: the role's scope."""
    login_server: In[str]
    """The registry's login server."""
    workspace_id: In[str]
    """ARM id of the workspace that gets a connection to the registry."""
    vault_id: In[str]
    """ARM id of the vault that stores the password."""
    resource_group_name: In[str]
    """Resource group of a managed identity."""
    location: rules.Location
    """Azure region of a managed identity."""
    role_assignment_mode: str = "rbac"
    """`rbac` or `abac`: how the registry evaluates role assignments."""
    login: RegistryLogin | None = None
    """Credentials of a private registry outside this stack; with it no identity is created and no role assigned."""
    tags: rules.Tags = {}
    """Tags of a managed identity."""


class PullPrincipal(Component):
    """An identity that can pull from one registry and do nothing else.

    Owns identity, password, role and connection; refuses to own the registry.
    """

    Args = PullPrincipalArgs
    client_id: pulumi.Output[str]
    """Application id: the user name at the registry; empty where a user name was given."""
    principal_id: pulumi.Output[str]
    """Object id: what the role is assigned to; empty where a user name was given."""
    identity_id: pulumi.Output[str]
    """ARM id of the managed identity; empty for a service principal."""
    password_expires: pulumi.Output[str]
    """End of the password in use; empty for a managed identity."""
    grant: pulumi.Output[str]
    """What lets it pull: ids of the role assignment and of the connection."""

    def __init__(self, name: str, args: PullPrincipalArgs | Inputs, opts: Options = None) -> None:
        args = parse(PullPrincipalArgs, args)
        super().__init__(name, opts)
        names = Names(pulumi.get_project(), pulumi.get_stack(), name)
        if args.login is not None:
            self._existing_login(name, args, args.login, names)
        elif args.principal.kind == "managed-identity":
            self._managed_identity(name, args, names)
        else:
            self._service_principal(name, args, names)
        self.finish()

    def _managed_identity(self, name: str, args: PullPrincipalArgs, names: Names) -> None:
        identity = managedidentity.UserAssignedIdentity(
            f"{name}-identity",
            resource_name_=names.of("identity"),
            resource_group_name=args.resource_group_name,
            location=args.location,
            tags=args.tags,
            opts=self.child,
        )
        # Asked for by the id: a preview of an update knows no output, and the role would be shown to be replaced.
        created = managedidentity.get_user_assigned_identity_output(
            resource_name=identity.id.apply(lambda id_: ArmId.parse(id_).name),
            resource_group_name=identity.id.apply(lambda id_: ArmId.parse(id_).resource_group),
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        self.client_id = created.client_id
        self.principal_id = created.principal_id
        self.identity_id = identity.id
        self.password_expires = pulumi.Output.from_input("")
        # Named apart from a service principal's role: a change of kind keeps the old one while it is in use.
        role = assign_role(
            f"{name}-identity-role",
            pull_role(args.role_assignment_mode),
            self.principal_id,
            args.registry_id,
            names.of("identity"),
            self,
        )
        self.grant = role.id

    def _service_principal(self, name: str, args: PullPrincipalArgs, names: Names) -> None:
        # With Application.ReadWrite.OwnedBy alone a deployer changes only what it owns, and azuread leaves its caller
        # an owner only where it is named. Set once: another deployer's run must not put the first one out.
        # https://registry.terraform.io/providers/hashicorp/azuread/latest/docs/resources/application#api-permissions
        import pulumi_azuread as entra  # noqa: PLC0415 - only a service principal needs it

        owners = [entra.get_client_config_output(pulumi.InvokeOutputOptions(parent=self)).object_id]
        owned = pulumi.ResourceOptions(parent=self, ignore_changes=["owners"])
        application = entra.Application(
            f"{name}-application",
            display_name=names.of("application"),
            sign_in_audience="AzureADMyOrg",
            owners=owners,
            opts=owned,
        )
        principal = entra.ServicePrincipal(
            f"{name}-service-principal",
            client_id=application.client_id,
            app_role_assignment_required=False,
            owners=owners,
            opts=owned,
        )
        passwords = {
            key: entra.ApplicationPassword(
                f"{name}-password-{key}",
                application_id=application.id,
                display_name=key,
                end_date=settings.expires,
                opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["value"]),
            )
            for key, settings in listed_passwords(args.principal).items()
        }
        for key, settings in listed_passwords(args.principal).items():
            if settings.expires is None:
                pulumi.Output.all(key, passwords[key].start_date, passwords[key].end_date).apply(_warn_of_kept_end)
        current = passwords[current_password(args.principal)]
        secret: pulumi.Output[str] = pulumi.Output.secret(current.value)
        role = assign_role(
            f"{name}-role",
            pull_role(args.role_assignment_mode),
            principal.object_id,
            args.registry_id,
            names.of("application"),
            self,
        )
        what = "password of the service principal that pulls images"
        connection = self._connection(name, args, names, application.client_id, secret, what)
        self.client_id = application.client_id
        self.principal_id = principal.object_id
        self.identity_id = pulumi.Output.from_input("")
        self.password_expires = current.end_date.apply(_warn_before_end)
        self.grant = pulumi.Output.concat(role.id, " ", connection.id)

    def _existing_login(self, name: str, args: PullPrincipalArgs, login: RegistryLogin, names: Names) -> None:
        """Pass on the credentials of a registry outside this stack."""
        nothing = pulumi.Output.from_input("")
        secret = sealed(login.password)
        what = "" if login.secret else "password of the private registry that images are pulled from"
        self.grant = self._connection(name, args, names, login.username, secret, what).id
        self.client_id = self.principal_id = self.identity_id = self.password_expires = nothing

    def _connection(  # noqa: PLR0913, PLR0917 - whose credentials, where they are kept, and under which names
        self,
        name: str,
        args: PullPrincipalArgs,
        names: Names,
        username: pulumi.Input[str],
        password: pulumi.Output[str],
        what: str,
    ) -> "machinelearningservices.WorkspaceConnection":
        """Keep credentials in the vault under `what` they are, and offer them to the workspace for this registry."""
        workspace = pulumi.Output.from_input(args.workspace_id).apply(ArmId.parse)
        connection = machinelearningservices.WorkspaceConnection(
            f"{name}-connection",
            connection_name=names.of("connection"),
            workspace_name=workspace.apply(lambda id_: id_.name),
            resource_group_name=workspace.apply(lambda id_: id_.resource_group),
            properties=machinelearningservices.UsernamePasswordAuthTypeWorkspaceConnectionPropertiesArgs(
                auth_type="UsernamePassword",
                category="ContainerRegistry",
                target=args.login.address if args.login else args.login_server,
                is_shared_to_all=True,
                credentials=machinelearningservices.WorkspaceConnectionUsernamePasswordArgs(
                    username=username, password=password
                ),
            ),
            opts=self.child,
        )
        if what:
            self._secret(name, args, names.of("secret"), connection, password, what)
        return connection

    def _secret(  # noqa: PLR0913, PLR0917 - what is kept, where, and under which name
        self,
        name: str,
        args: PullPrincipalArgs,
        secret_name: str,
        connection: "machinelearningservices.WorkspaceConnection",
        value: pulumi.Output[str],
        what: str,
    ) -> None:
        """Keep a secret in the vault. It goes with the vault alone, so that no right on the vault's data is needed.

        azure-native deletes a secret through the data plane, for which Contributor is not enough, and a deleted one
        holds its name. What an earlier stack left has another name: the connection is made once in a stack's life.
        https://github.com/pulumi/pulumi-azure-native/blob/master/provider/pkg/resources/customresources/custom_keyvault.go
        https://learn.microsoft.com/azure/key-vault/general/rbac-guide
        """
        vault = pulumi.Output.from_input(args.vault_id).apply(_vault_of)
        keyvault.Secret(
            f"{name}-secret",
            secret_name=connection.system_data.apply(
                lambda data: unique_name(secret_name, data.created_at if data else None)
            ),
            vault_name=vault.apply(lambda id_: id_.name),
            resource_group_name=vault.apply(lambda id_: id_.resource_group),
            properties={"value": value, "content_type": what},
            # The name of a secret that stands stays: version 0.1.0 gave one without an end.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True, ignore_changes=["secretName"]),
        )


def assign_role(  # noqa: PLR0913, PLR0917 - who, what, where, and how it is named
    name: str,
    role: Role,
    principal_id: pulumi.Input[str],
    scope_id: pulumi.Input[str],
    identity: str,
    parent: pulumi.Resource,
) -> "authorization.RoleAssignment":
    """Assign a role on one resource; `identity` says who gets it, so that the name is always the same."""
    scope = pulumi.Output.from_input(scope_id)
    return authorization.RoleAssignment(
        name,
        role_assignment_name=assignment_name(pulumi.get_project(), pulumi.get_stack(), name, identity, role.guid),
        principal_id=principal_id,
        # Said outright, so that Azure does not look a principal up that its directory may not show yet.
        principal_type="ServicePrincipal",
        role_definition_id=scope.apply(lambda id_: definition_id(id_, role)),
        scope=scope,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def ensure_role(  # noqa: PLR0913, PLR0917 - who, what, where, and how it is named
    name: str,
    role: Role,
    principal_id: pulumi.Input[str],
    scope_id: pulumi.Input[str],
    identity: str,
    parent: pulumi.Resource,
) -> RoleAssignment:
    """Assign a role unless the principal has it already: it is another's identity, or Azure ML may have assigned it."""
    scope = pulumi.Output.from_input(scope_id)
    args = RoleAssignmentArgs(
        scope=scope,
        principal_id=principal_id,
        role_definition_id=scope.apply(lambda id_: definition_id(id_, role)),
        assignment_name=assignment_name(pulumi.get_project(), pulumi.get_stack(), name, identity, role.guid),
    )
    return RoleAssignment(name, args, pulumi.ResourceOptions(parent=parent))


def listed_passwords(principal: PrincipalSettings) -> Mapping[str, PasswordSettings]:
    """Return the passwords that shall exist, by name."""
    return principal.passwords or {FIRST_PASSWORD: PasswordSettings()}


def current_password(principal: PrincipalSettings) -> str:
    """Return the name of the password in use."""
    listed = listed_passwords(principal)
    current = principal.current or next(iter(listed))
    if current not in listed:
        raise SettingsError(error_line("principal.current", current, f"no such password; one of {', '.join(listed)}"))
    return current


def _vault_of(id_: str) -> ArmId:
    if not id_:
        raise SettingsError(error_line("workspace.id", "", "the workspace has no key vault to keep the password in"))
    return ArmId.parse(id_)


def _warn_of_kept_end(password: list[str]) -> None:
    """Warn of an end that the settings no longer name: azuread keeps it, and shows no difference.

    It is known by the password's own dates: without an end Entra gives it two years from its start.
    https://learn.microsoft.com/graph/api/application-addpassword
    """
    key, start, end = password
    if abs(datetime.fromisoformat(end) - datetime.fromisoformat(start) - _DEFAULT_LIFETIME) > _TOLERANCE:
        pulumi.log.warn(
            f"principal.passwords.{key}.expires: it is not written any more, but the password still ends on {end}; "
            "write that again, or add another password and make it principal.current"
        )


def _warn_before_end(end: str) -> str:
    """Warn while there is time to rotate."""
    left = datetime.fromisoformat(end) - datetime.now(UTC)
    if left < _WARN_BEFORE:
        pulumi.log.warn(
            f"the pull principal's password ends on {end}: add another one to principal.passwords, make it "
            "principal.current, and take the old one out in a later up"
        )
    return end
