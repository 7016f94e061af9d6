"""Who may score at an endpoint, and with which identity a deployment's image is pulled.

Owns the gateway's view of an endpoint (`Route`), the check of its tokens, and the choice of the pull's credentials.
What a principal may do in a registry is decided by `containerregistry.access`.
https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint
https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online-auth
"""

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
from emulator.services.machinelearningservices.managednetworks.types import is_linked, workspace_of
from emulator.services.machinelearningservices.onlineendpoints.rules import ENDPOINTS, parent_of
from emulator.services.network.access import LINKED

SCORE = f"{ENDPOINTS}/score/action"
PULL_ROLE = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
_NO_PERMISSION = (
    "Endpoint identity does not have pull permission on the registry. For System Assigned Identity case and workspace"
    " ACR, platform will wire up the permissions but if user is creating deployment with User Assigned Identity or if"
    " using non-workspace ACR, then User should grant pull permissions to identity on the registry. Please see"
    " troubleshooting guide, available here: https://aka.ms/oe-tsg#authorization-error"
)
"""https://github.com/MicrosoftDocs/azure-docs/issues/107890"""
_NOT_LET_IN = (
    "Failed to create Kubernetes deployment identity, Reason:ACRTokenExchangeForbidden Details:Cluster exchange ACR"
    " token failed because AAD token is unauthorized. The role assignment takes some time, please wait a moment and"
    " try again. The identity is used to give access for user container, such as pull image from ACR. Please see"
    " troubleshooting guide, available here: https://aka.ms/amlarc-tsg"
)
"""https://github.com/Azure/azure-sdk-for-python/issues/33611"""


@dataclass(frozen=True)
class Route:
    """An endpoint as the gateway needs it."""

    id: ResourceId
    auth_mode: str = "Key"
    managed: bool = True
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
        registry, principal = self.registry, self.principal
        if registry is None or principal is None or registry_access.may(azure, registry, principal):
            return "Azure Machine Learning APIs can't accept private registry credentials"
        role = registry_access.pull_role(registry)
        return f"authorization failed: the principal lacks role '{role}' on registry '{registry.id.path}': assign it"


def pull_of(azure: Azure, deployment: ResourceId, image: str) -> Pull:
    """The pull of a deployment's image by its endpoint's identity: Azure ML takes no credentials of a registry.

    The documentation says so of managed and of Kubernetes online endpoints.
    https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#authorization-error
    https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#container-registry-authorization-error
    """
    endpoint = azure.find(parent_of(deployment).path)
    host = registry_host(image)
    registry = registry_access.find(azure, host)
    anonymous = Pull(host, registry)
    principals = identities(azure, endpoint)
    if registry is None or not principals:
        return anonymous
    able = [each for each in principals if registry_access.may(azure, registry, each)]
    if not able and registry.properties.get("anonymousPullEnabled"):
        return anonymous
    principal = (able or principals)[0]
    description = (
        f"principal '{principal.name}' (client id '{principal.app_id}', object id '{principal.object_id}'; identity of"
        f" endpoint '{endpoint.id.name}')"
    )
    workspace = workspace_of(azure, deployment)
    network = LINKED if is_linked(azure, workspace, registry, "registry") else ""
    login = Login(*registry_access.login(azure, registry, principal, network))
    return Pull(host, registry, description, principal, login)


def pull_failure(azure: Azure, deployment: ResourceId, image: str, pull: Pull, error: PullError) -> AzureError:
    """A failed pull as Azure ML reports it, and behind it what this local Azure knows."""
    cause = f"unable to pull image '{image}' from registry '{pull.host}' as {pull.description}: {error}"
    where = f"Deployment '{deployment.name}' of endpoint '{parent_of(deployment).name}'"
    if not error.denied:
        return AzureError(400, "ImagePullFailure", f"{where}: {cause}")
    cause += f"; {pull.remedy(azure)}"
    if pull.registry is None:
        return AzureError(400, "ResourceNotFound", f"{where}: the container registry is private: {cause}")
    if azure.find(parent_of(deployment).path).body["kind"] == "Kubernetes":
        return AzureError(400, "DeploymentIdentityError", f"{_NOT_LET_IN} {where}: {cause}")
    return AzureError(400, "BadArgument", f"{_NO_PERMISSION} {where}: {cause}")


def user_assigned(azure: Azure, endpoint: Document) -> list[Principal]:
    """The user-assigned identities of an endpoint."""
    identities = ((endpoint.body.get("identity") or {}).get("userAssignedIdentities") or {}).values()
    return [principal for each in identities if (principal := graph.find_principal(azure, each["principalId"]))]


def identities(azure: Azure, endpoint: Document) -> list[Principal]:
    """All identities of an endpoint."""
    own = (endpoint.body.get("identity") or {}).get("principalId")
    system_assigned = graph.find_principal(azure, own) if own else None
    return [*user_assigned(azure, endpoint), *([system_assigned] if system_assigned else [])]
