"""Entra's sign-in: proofs of who a client is, access tokens, and the deployer's own credentials.

Owns passwords' verification and the signing key. Who exists is `graph.data`'s; the OAuth protocol is
`protocols.sign_in`'s.
https://learn.microsoft.com/entra/identity-platform/access-tokens
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services.graph.data import (
    APPLICATIONS,
    PRINCIPALS,
    add_password,
    create_application,
    create_service_principal,
    find,
    find_by_app,
    find_principal,
    matches,
    moment,
)

ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
GRAPH_AUDIENCES = ("https://graph.microsoft.com",)
VAULT_AUDIENCE = "https://vault.azure.net"
REGISTRY_AUDIENCES = ("https://containerregistry.azure.net",)
ML_AUDIENCES = ("https://ml.azure.com", "https://ai.azure.com")
STORAGE_AUDIENCES = ("https://storage.azure.com",)
LIFETIME = 3599
_KEY = "signing-key"


def vault_audience(azure: Azure) -> str:
    """The audience of vaults by name: clients compare its host with the end of a vault's."""
    return f"https://vault.{azure.url.removeprefix('https://')}"


# Proof


def verify_secret(azure: Azure, app_id: str, secret: str) -> Principal | None:
    """The service principal whose application has this password, unless that has expired."""
    return authenticate(azure, app_id, secret).principal


@dataclass(frozen=True)
class Proof:
    """How a client id and a secret fared: a principal, or the AADSTS error's number and text."""

    principal: Principal | None = None
    number: int = 0
    text: str = ""


def authenticate(azure: Azure, app_id: str, secret: str) -> Proof:
    """Check a client id and a secret, and say what is wrong as Entra does."""
    application = next((each for each in azure.store.of_type(APPLICATIONS) if each.body["appId"] == app_id), None)
    if application is None:
        return Proof(
            number=700016,
            text=f"Application with identifier '{app_id}' was not found in the directory 'Local Azure'. This can"
            " happen if the application has not been installed by the administrator of the tenant or consented to by"
            " any user in the tenant. You may have sent your authentication request to the wrong tenant.",
        )
    for credential in application.body["passwordCredentials"]:
        if not matches(secret, application.private["passwords"][credential["keyId"]]):
            continue
        if moment(credential["endDateTime"]) <= datetime.now(UTC):
            return Proof(
                number=7000222,
                text=f"The provided client secret keys for app '{app_id}' are expired. Visit the Azure portal to"
                " create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate"
                " credentials for added security: https://aka.ms/certCreds.",
            )
        principal = find_by_app(azure, app_id)
        if principal is None:
            return Proof(
                number=7000229, text=f"The client application {app_id} is missing service principal in the tenant."
            )
        return Proof(principal)
    return Proof(
        number=7000215,
        text="Invalid client secret provided. Ensure the secret being sent in the request is the client secret"
        f" value, not the client secret ID, for a secret added to app '{app_id}'.",
    )


def issue_token(azure: Azure, principal: Principal, audience: str) -> str:
    """A signed access token for a resource."""
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": issuer(azure),
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "appid": principal.app_id,
        "idtyp": "app",
        "oid": principal.object_id,
        "sub": principal.object_id,
        "tid": azure.tenant,
        "uti": secrets.token_urlsafe(16),
        "ver": "1.0",
    }
    return jwt.encode(claims, _signing_key(azure), "RS256", {"kid": key_id(azure)})


def verify_token(azure: Azure, token: str, audiences: Iterable[str]) -> Principal:
    """Whose token it is; raises 401 InvalidAuthenticationToken for a bad one, and one for another audience."""
    allowed = [form for each in audiences for form in (each.rstrip("/"), each.rstrip("/") + "/")]
    try:
        claims = jwt.decode(
            token, _signing_key(azure).public_key(), ["RS256"], audience=allowed, issuer=issuer(azure), leeway=60
        )
    except jwt.ExpiredSignatureError as error:
        raise AzureError(
            401, "ExpiredAuthenticationToken", "The access token has expired; ask for a new one."
        ) from error
    except jwt.InvalidAudienceError as error:
        raise AzureError(
            401,
            "InvalidAuthenticationTokenAudience",
            "The access token has been obtained for wrong audience or resource. It should be one of"
            f" {sorted(allowed)}.",
        ) from error
    except jwt.InvalidTokenError as error:
        raise AzureError(401, "InvalidAuthenticationToken", "The access token is invalid.") from error
    principal = find_principal(azure, claims["oid"])
    if principal is None:
        raise AzureError(401, "InvalidAuthenticationToken", "The access token's principal does not exist any more.")
    return principal


def issuer(azure: Azure) -> str:
    """Who signs this tenant's tokens."""
    return f"{azure.url}/{azure.tenant}/v2.0"


def key_id(azure: Azure) -> str:
    """The name of the signing key."""
    public = _signing_key(azure).public_key()
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()[:27]


def key_set(azure: Azure) -> dict[str, Any]:
    """The public signing key as a JSON Web Key Set."""
    numbers = _signing_key(azure).public_key().public_numbers()
    return {
        "keys": [
            {
                "kty": "RSA",
                "use": "sig",
                "alg": "RS256",
                "kid": key_id(azure),
                "n": _number(numbers.n),
                "e": _number(numbers.e),
                "issuer": issuer(azure),
            }
        ]
    }


# The deployer


@dataclass(frozen=True)
class Deployer:
    """Who deploys: the subscription's owner, made at the first start."""

    app_id: str
    object_id: str
    secret: str

    @property
    def principal(self) -> Principal:
        """Who that is to access control."""
        return Principal(self.object_id, "deployer", self.app_id)


def deployer(azure: Azure) -> Deployer:
    """The deployer, made with a password and directory rights at first."""
    stored = azure.store.fact("deployer")
    if stored is None:
        application = create_application(azure, {"displayName": "deployer"})
        principal = create_service_principal(azure, application["appId"])
        _, secret = add_password(azure, application["id"], "made at first start")
        document = find(azure, PRINCIPALS, principal["id"])
        rights = {"graph": _EVERY}
        azure.store.put(Document(document.id, document.body, {**document.private, **rights}))
        stored = {"app_id": application["appId"], "object_id": principal["id"], "secret": secret}
        azure.store.put_fact("deployer", stored)
        azure.counts.clear()
    return Deployer(**stored)


_EVERY, _OWNED = "Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"
#: Directory rights by the id of Graph's app role.
#: https://learn.microsoft.com/graph/permissions-reference
RIGHTS = {
    "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9": _EVERY,
    "18a4783c-866b-4cc7-a460-3d5e5662c884": _OWNED,
}


def demand_right(azure: Azure, principal: Principal, target: Document | None = None) -> None:
    """Refuse a principal without a right to write applications; with `OwnedBy`, one that does not own the target."""
    rights = _rights(azure, principal.object_id)
    owns = target is None or principal.object_id in (target.private.get("owners") or [])
    if _EVERY not in rights and not (_OWNED in rights and owns):
        raise _denied()


def demand_right_over_owners(azure: Azure, principal: Principal) -> None:
    """Refuse a principal that may not add an owner to what exists: `OwnedBy` is not enough for that.

    https://learn.microsoft.com/graph/api/application-post-owners#permissions
    """
    if _EVERY not in _rights(azure, principal.object_id):
        raise _denied()


def demand_right_to_register(azure: Azure, principal: Principal, app_id: str) -> None:
    """Refuse a service principal to one that, with `OwnedBy`, does not own its application.

    https://registry.terraform.io/providers/hashicorp/azuread/latest/docs/resources/service_principal#api-permissions
    """
    applications = azure.store.of_type(APPLICATIONS)
    demand_right(azure, principal, next((each for each in applications if each.body["appId"] == app_id), None))


def grant_right(azure: Azure, object_id: str, app_role: str) -> dict[str, Any]:
    """Give a service principal a directory right, by the id of Graph's app role."""
    if app_role not in RIGHTS:
        raise AzureError(400, "Request_BadRequest", f"Permission being assigned was not found: '{app_role}'.")
    _set_rights(azure, object_id, {*_rights(azure, object_id), RIGHTS[app_role]})
    return _assignment(object_id, app_role)


def revoke_right(azure: Azure, object_id: str, assignment: str) -> None:
    """Take a directory right away, by the id of its app role assignment (404 where there is none)."""
    role = next((each["appRoleId"] for each in rights_of(azure, object_id) if each["id"] == assignment), None)
    if role is None:
        raise AzureError(404, "Request_ResourceNotFound", f"Resource '{assignment}' does not exist.")
    _set_rights(azure, object_id, _rights(azure, object_id) - {RIGHTS[role]})


def rights_of(azure: Azure, object_id: str) -> list[dict[str, Any]]:
    """A service principal's directory rights as app role assignments."""
    held = _rights(azure, object_id)
    return [_assignment(object_id, role) for role, right in RIGHTS.items() if right in held]


def _rights(azure: Azure, object_id: str) -> set[str]:
    return set(str(find(azure, PRINCIPALS, object_id).private.get("graph") or "").split())


def _set_rights(azure: Azure, object_id: str, rights: set[str]) -> None:
    document = find(azure, PRINCIPALS, object_id)
    azure.store.put(Document(document.id, document.body, {**document.private, "graph": " ".join(sorted(rights))}))


def _assignment(object_id: str, app_role: str) -> dict[str, Any]:
    return {"id": f"{object_id}-{app_role}", "principalId": object_id, "appRoleId": app_role}


def _denied() -> AzureError:
    return AzureError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def _signing_key(azure: Azure) -> rsa.RSAPrivateKey:
    cached = _KEYS.get(azure.tenant)
    if cached is not None:
        return cached
    text = azure.store.fact_or_create(_KEY, _new_key)
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the signing key in the state is no RSA key")
    _KEYS[azure.tenant] = key
    return key


def _new_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


#: Signing keys by tenant: reading one takes longer than signing with it.
_KEYS: dict[str, rsa.RSAPrivateKey] = {}


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
