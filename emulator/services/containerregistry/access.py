"""Who may do what in a registry, and the tokens that say so.

Owns: proving who somebody is at a registry's door, the decision by role assignments, and the signed tokens (refresh
tokens, which are an identity for one registry, and access tokens, which the registry server reads). The protocol is a
face's.
https://learn.microsoft.com/azure/container-registry/container-registry-roles
https://learn.microsoft.com/azure/container-registry/container-registry-rbac-abac-repository-permissions
"""

import base64
import hmac
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import jwt
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph
from emulator.services.network import access as network
from emulator.services.network.access import Client

SERVICE = "Container Registry"
"""What the journal calls the token service."""
REGISTRIES = "Microsoft.ContainerRegistry/registries"
ABAC = "AbacRepositoryPermissions"
#: The user name that goes with a refresh token as password.
TOKEN_USER = "00000000-0000-0000-0000-000000000000"  # noqa: S105 - a public constant of Azure
#: The name under which `azure.ports` keeps the port of the plain-http listener that serves /oauth2/.
PORT = "http"
ACCESS_LIFETIME = 900
REFRESH_LIFETIME = 3 * 3600
_GROUP = "registry"
"""What a private endpoint to a registry leads to."""
_ISSUER = "Azure Container Registry"
_KEY = "registry-token-key"
_LEEWAY = 60

# The actions of the control plane count in legacy mode, the data actions in ABAC mode.
_LEGACY = {
    "metadata_read": f"{REGISTRIES}/pull/read",
    "pull": f"{REGISTRIES}/pull/read",
    "push": f"{REGISTRIES}/push/write",
    "delete": f"{REGISTRIES}/artifacts/delete",
    "catalog": f"{REGISTRIES}/pull/read",
}
_DATA = {
    "metadata_read": f"{REGISTRIES}/repositories/metadata/read",
    "pull": f"{REGISTRIES}/repositories/content/read",
    "push": f"{REGISTRIES}/repositories/content/write",
    "delete": f"{REGISTRIES}/repositories/content/delete",
    "catalog": f"{REGISTRIES}/catalog/read",
}


@dataclass(frozen=True)
class Caller:
    """Somebody at a registry's door: a principal, who gets what roles give, or a bearer of fixed `rights`."""

    name: str
    principal: Principal | None = None
    rights: frozenset[str] = frozenset()
    #: A service of Azure, which a firewall may let pass.
    trusted: bool = False
    #: The virtual network in which it has proved who it is: its refresh token lets in from there. Docker's engine
    #: presents one for a client, and has no place of its own.
    network: str = ""


ANONYMOUS = Caller("anonymous", rights=frozenset({"pull"}))


class DeniedError(AzureError):
    """The door stays shut."""

    def __init__(self, text: str, status: int = 401, code: str = "UNAUTHORIZED") -> None:
        super().__init__(status, code, text)


# Finding registries


def find(azure: Azure, login_server: str) -> Document | None:
    """The registry behind a login server."""
    host = login_server.lower()
    registries = azure.store.of_type(REGISTRIES)
    return next(
        (registry for registry in registries if registry.properties.get("loginServer", "").lower() == host), None
    )


def realm(azure: Azure) -> str:
    """Where tokens are to be had. The port is chosen here if the listener has not been bound yet."""
    return f"http://localhost:{azure.ports.choose(PORT)}/oauth2/token"


# Decisions


def may(azure: Azure, registry: Document, principal: Principal, action: str = "pull") -> bool:
    """Whether a principal may pull, push, delete or read the catalog, by role assignments."""
    abac = registry.properties.get("roleAssignmentMode") == ABAC
    wanted_action = (_DATA if abac else _LEGACY).get(action)
    return wanted_action is not None and azure.access.allows(principal, wanted_action, registry.id, data=abac)


def granted(azure: Azure, registry: Document, caller: Caller, scopes: Iterable[str]) -> list[dict[str, Any]]:
    """The granted part of scopes such as `repository:NAME:pull,push` or `registry:catalog:*`: a token's `access`."""

    def allowed(action: str) -> bool:
        assigned = caller.principal is not None and may(azure, registry, caller.principal, action)
        return (action in caller.rights or (action == "metadata_read" and "pull" in caller.rights)) or assigned

    access: list[dict[str, Any]] = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, requested = rest.rpartition(":")
        actions: list[str] = []
        if kind == "repository" and name:
            actions = [
                action
                for action in requested.split(",")
                if action in {"pull", "push", "delete", "metadata_read"} and allowed(action)
            ]
        elif scope == "registry:catalog:*" and allowed("catalog"):
            actions = ["*"]
        if actions:
            access.append({"type": kind, "name": name, "actions": actions})
    return access


def refusal(azure: Azure, registry: Document, caller: Caller, scopes: Iterable[str]) -> str:
    """Why scopes are not granted whole, and what would do it; empty where they are."""
    for scope in scopes:
        name, _, requested = scope.partition(":")[2].rpartition(":")
        actions = {action for entry in granted(azure, registry, caller, [scope]) for action in entry["actions"]}
        if refused := [action for action in requested.split(",") if action not in actions]:
            who = caller.principal.name if caller.principal else caller.name
            remedy = f"; role '{pull_role(registry)}' on the registry gives it" if refused == ["pull"] else ""
            return f"'{who}' has no role that lets it {', '.join(refused)} '{name}'{remedy}"
    return ""


def pull_role(registry: Document) -> str:
    """The built-in role that lets a principal pull and do nothing else."""
    is_abac = registry.properties.get("roleAssignmentMode") == ABAC
    return "Container Registry Repository Reader" if is_abac else "AcrPull"


def pass_firewall(azure: Azure, registry: Document, caller: Caller, client: Client) -> None:
    """Refuse a caller whom the registry's network settings exclude.

    https://learn.microsoft.com/azure/container-registry/container-registry-troubleshoot-access
    https://learn.microsoft.com/azure/container-registry/allow-access-trusted-services
    """
    client = replace(client, network=client.network or caller.network)
    bypass = registry.properties.get("networkRuleBypassOptions", "AzureServices")
    if (caller.trusted and bypass == "AzureServices") or not network.refusal(azure, registry, client, _GROUP):
        return
    raise DeniedError(
        f"client with IP '{client.address}' is not allowed access, refer https://aka.ms/acr/firewall to grant access",
        403,
        "DENIED",
    )


# Proof


def login(azure: Azure, registry: Document, principal: Principal, network: str = "") -> tuple[str, str]:
    """A user name and a password (a refresh token) with which one of Azure's services acts as an identity here.

    For pulls by managed identities. Says nothing of what the identity may do: the registry decides, at each token.
    """
    return TOKEN_USER, refresh_token(azure, registry, Caller(principal.name, principal, trusted=True, network=network))


def login_from(azure: Azure, registry: Document, user: str, password: str, client: Client) -> tuple[str, str]:
    """Credentials that Docker's engine presents for a client: they let in from where that is."""
    if not client.network:
        return user, password
    caller = replace(by_password(azure, registry, user, password), network=client.network)
    return TOKEN_USER, refresh_token(azure, registry, caller)


def by_password(azure: Azure, registry: Document, user: str, password: str) -> Caller:
    """Prove a user name and a password: a refresh token, the admin user, or a service principal (401 otherwise)."""
    if user == TOKEN_USER:
        return by_refresh_token(azure, registry, password)
    if registry.properties.get("adminUserEnabled") and user.lower() == registry.id.name.lower():
        passwords = registry.private.get("passwords") or {}
        if any(hmac.compare_digest(password.encode(), value.encode()) for value in passwords.values()):
            return Caller(registry.id.name, rights=frozenset({"pull", "push", "delete", "catalog"}))
    principal = entra.verify_secret(azure, user, password)
    if principal is None:
        raise DeniedError("authentication required, visit https://aka.ms/acr/authorization for more information.")
    return Caller(principal.app_id, principal)


def by_entra_token(azure: Azure, registry: Document, token: str) -> Caller:
    """Prove an Entra access token: for the registry service, or for ARM where the registry's policy takes those."""
    policies = registry.properties.get("policies") or {}
    as_arm = (policies.get("azureADAuthenticationAsArmPolicy") or {}).get("status", "enabled") == "enabled"
    audiences = [*entra.REGISTRY_AUDIENCES, *([*entra.ARM_AUDIENCES, azure.url] if as_arm else [])]
    try:
        principal = entra.verify_token(azure, token, audiences)
    except AzureError as error:
        raise DeniedError(f"{error.message} visit https://aka.ms/acr/authorization for more information.") from error
    return Caller(principal.app_id, principal)


def by_refresh_token(azure: Azure, registry: Document, token: str) -> Caller:
    """Prove a refresh token of this registry (401 otherwise)."""
    claims = _claims(azure, registry, token, "refresh")
    if claims.get("grant_type") != "refresh_token":
        raise DeniedError("the token is no refresh token")
    principal = graph.find_principal(azure, claims["sub"]) if claims.get("principal") else None
    if claims.get("principal") and principal is None:
        raise DeniedError("the principal of the refresh token does not exist any more")
    return Caller(
        claims["name"], principal, frozenset(claims["rights"]), bool(claims.get("trusted")), claims.get("network", "")
    )


# Tokens


def refresh_token(azure: Azure, registry: Document, caller: Caller, lifetime: float = REFRESH_LIFETIME) -> str:
    """An identity for one registry, good for a few hours; it holds no right of a principal, only who it is."""
    return _sign(
        azure,
        {
            **_times(lifetime),
            "aud": registry.properties["loginServer"],
            "sub": caller.principal.object_id if caller.principal else caller.name,
            "name": caller.name,
            "principal": caller.principal is not None,
            "rights": sorted(caller.rights),
            "trusted": caller.trusted,
            "network": caller.network,
            "grant_type": "refresh_token",
        },
    )


def access_token(azure: Azure, registry: Document, caller: Caller, scopes: Iterable[str]) -> str:
    """What the registry server takes: the rights themselves, good for a quarter of an hour."""
    return _sign(
        azure,
        {
            **_times(ACCESS_LIFETIME),
            "aud": registry.properties["loginServer"],
            "sub": caller.name,
            "grant_type": "access_token",
            "access": granted(azure, registry, caller, scopes),
        },
    )


def read_access(azure: Azure, registry: Document, token: str) -> list[dict[str, Any]]:
    """The `access` of an access token of this registry (401 for any other token)."""
    claims = _claims(azure, registry, token, "access")
    entries: list[dict[str, Any]] = claims.get("access") or []
    return entries


def _claims(azure: Azure, registry: Document, token: str, kind: str) -> dict[str, Any]:
    """What a token of this registry says (401 for one that it did not sign, or not any more)."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            _signer(azure).key.public_key(),
            ["RS256"],
            audience=registry.properties["loginServer"],
            issuer=_ISSUER,
            leeway=_LEEWAY,
        )
    except jwt.InvalidTokenError as error:
        raise DeniedError(f"the {kind} token is invalid, expired, or of another registry") from error
    return claims


def issuer() -> str:
    """Who signs the tokens."""
    return _ISSUER


def certificate(azure: Azure) -> str:
    """The certificate (PEM) by which a registry server knows our tokens."""
    return _signer(azure).certificate


def _times(lifetime: float) -> dict[str, object]:
    now = int(time.time())
    return {"iss": _ISSUER, "iat": now, "nbf": now - _LEEWAY, "exp": now + int(lifetime), "jti": str(uuid.uuid4())}


@dataclass(frozen=True)
class _Signer:
    key: rsa.RSAPrivateKey
    certificate: str

    @property
    def chain(self) -> list[str]:
        encoded = x509.load_pem_x509_certificate(self.certificate.encode()).public_bytes(serialization.Encoding.DER)
        return [base64.b64encode(encoded).decode()]


def _sign(azure: Azure, claims: dict[str, object]) -> str:
    signer = _signer(azure)
    return jwt.encode(claims, signer.key, "RS256", {"x5c": signer.chain})


#: Signers by tenant: reading a key takes longer than signing with it.
_SIGNERS: dict[str, _Signer] = {}


def _signer(azure: Azure) -> _Signer:
    if azure.tenant not in _SIGNERS:
        stored: dict[str, str] = azure.store.fact_or_create(_KEY, _new_key)
        key = serialization.load_pem_private_key(stored["key"].encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the registry token key in the state is of another kind")
        _SIGNERS[azure.tenant] = _Signer(key, stored["certificate"])
    return _SIGNERS[azure.tenant]


def _new_key() -> dict[str, str]:
    authority = trustme.CA(organization_name="Local Azure, registry tokens", key_type=trustme.KeyType.RSA)
    return {"key": authority.private_key_pem.bytes().decode(), "certificate": authority.cert_pem.bytes().decode()}
