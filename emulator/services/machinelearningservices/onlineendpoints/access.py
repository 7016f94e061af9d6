"""Who may score at an endpoint, and with which identity a deployment's image is pulled.

Owns the gateway's view of an endpoint (`Route`), the check of its tokens, and the choice of the pull's credentials.
What a principal may do in a registry is decided by `containerregistry.access`.
https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint
https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online-auth
"""

import re
from dataclasses import dataclass, field

import jwt

from emulator.backends.containers import Login, PullError
from emulator.backends.image_names import registry_host
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.graph import data as graph
from emulator.services.machinelearningservices.onlineendpoints.rules import ENDPOINTS, parent_of
from emulator.services.machinelearningservices.workspaces.types import CONNECTIONS

SCORE = f"{ENDPOINTS}/score/action"
PULL_ROLE = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
_CHECK_CREDENTIALS = "check the credentials, and that the registry lets them in"


@dataclass(frozen=True)
class Route:
    """An endpoint as the gateway needs it."""

    id: ResourceId
    auth_mode: str = "Key"
    public: bool = True
    keys: tuple[str, ...] = field(default=(), repr=False)
    token_key: str = field(default="", repr=False)
    traffic: dict[str, int] = field(default_factory=dict)
    mirror: dict[str, int] = field(default_factory=dict)

    def deployment(self, name: str) -> str:
        """The key of one of the endpoint's deployments."""
        return f"{self.id.key}/deployments/{name.lower()}"


def token_is_valid(route: Route, token: str) -> bool:
    """Whether an AML token was issued for an endpoint and has not expired."""
    try:
        jwt.decode(token, route.token_key, ["HS256"], audience=route.id.key)
    except jwt.InvalidTokenError:
        return False
    return True


@dataclass(frozen=True)
class Pull:
    """One pull: the image's registry, the identity, and its credentials (None: anonymous)."""

    host: str
    registry: Document | None
    description: str = "anonymous"
    principal: Principal | None = None
    login: Login | None = field(default=None, repr=False)

    def remedy(self, azure: Azure) -> str:
        """What lets a denied pull succeed."""
        if self.login is not None and self.principal is None:
            return _CHECK_CREDENTIALS
        registry, principal = self.registry, self.principal
        if registry is None or (principal and registry_access.may(azure, registry, principal)):
            return _CHECK_CREDENTIALS
        abac = registry.properties.get("roleAssignmentMode") == registry_access.ABAC
        role = "Container Registry Repository Reader" if abac else "AcrPull"
        if principal is None:
            return (
                f"role '{role}' is needed: assign it to the endpoint's identity or to the identity of a connection to"
                f" '{self.host}'"
            )
        return f"authorization failed: the principal lacks role '{role}' on registry '{registry.id.path}': assign it"


def pull_of(azure: Azure, deployment: ResourceId, image: str) -> Pull:
    """The identity that pulls a deployment's image: that of a connection to its registry, else the endpoint's."""
    host = registry_host(image)
    registry = registry_access.find(azure, host)
    endpoint = azure.find(parent_of(deployment).path)
    if azure.options.endpoint_pull == "identity" and endpoint.body["kind"] == "Managed":
        # "Endpoint identity does not have pull permission on the registry" is the only failure that Azure knows.
        # https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#authorization-error
        return _by_identity(azure, endpoint, host, registry)
    for connection in azure.store.of_type(CONNECTIONS, parent_of(endpoint.id)):
        same = _host_of(connection.properties["target"]) == host.lower()
        if same and connection.properties["category"] == "ContainerRegistry":
            pull = _by_connection(azure, connection, host, registry)
            if pull is not None:
                return pull
    return _by_identity(azure, endpoint, host, registry)


def pull_failure(azure: Azure, deployment: ResourceId, image: str, pull: Pull, error: PullError) -> AzureError:
    """A failed pull as Azure ML reports it."""
    cause = f"unable to pull image '{image}' from registry '{pull.host}' as {pull.description}: {error}"
    if error.denied:
        cause += f"; {pull.remedy(azure)}"
    where = f"Deployment '{deployment.name}' of endpoint '{parent_of(deployment).name}'"
    return AzureError(400, "ImagePullFailure", f"{where}: {cause}")


def user_assigned(azure: Azure, endpoint: Document) -> list[Principal]:
    """The user-assigned identities of an endpoint."""
    identities = ((endpoint.body.get("identity") or {}).get("userAssignedIdentities") or {}).values()
    return [principal for each in identities if (principal := graph.find_principal(azure, each["principalId"]))]


def _by_connection(azure: Azure, connection: Document, host: str, registry: Document | None) -> Pull | None:
    credentials, name = connection.private["credentials"], f"connection '{connection.id.name}'"
    auth_type = connection.properties["authType"]
    if auth_type == "UsernamePassword":
        user = str(credentials["username"])
        principal = graph.find_by_app(azure, user)
        login = Login(user, str(credentials["password"]))
        return Pull(host, registry, _describe(principal, f"user '{user}'", name), principal, login)
    if auth_type == "ManagedIdentity":
        client_id = str(credentials["clientId"])
        return _as_identity(
            azure, Pull(host, registry), graph.find_by_app(azure, client_id), f"client id '{client_id}'", name
        )
    return None


def _by_identity(azure: Azure, endpoint: Document, host: str, registry: Document | None) -> Pull:
    own = (endpoint.body.get("identity") or {}).get("principalId")
    principals = user_assigned(azure, endpoint)
    if own and (principal := graph.find_principal(azure, own)):
        principals.append(principal)
    anonymous = Pull(host, registry)
    if registry is None or not principals:
        return anonymous
    able = [each for each in principals if registry_access.may(azure, registry, each)]
    if not able and registry.properties.get("anonymousPullEnabled"):
        return anonymous
    return _as_identity(azure, anonymous, (able or principals)[0], "", f"identity of endpoint '{endpoint.id.name}'")


def _as_identity(azure: Azure, pull: Pull, principal: Principal | None, name: str, source: str) -> Pull:
    login = None
    if principal is not None and pull.registry is not None:
        login = Login(*registry_access.login(azure, pull.registry, principal))
    return Pull(pull.host, pull.registry, _describe(principal, name, source), principal, login)


def _host_of(target: str) -> str:
    return re.sub(r"^https?://", "", target).split("/")[0].lower()


def _describe(principal: Principal | None, name: str, source: str) -> str:
    if principal is None:
        return f"{name} ({source})"
    return f"principal '{principal.name}' (client id '{principal.app_id}', object id '{principal.object_id}'; {source})"
