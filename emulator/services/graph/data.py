"""The directory as Microsoft Graph has it: applications, their passwords, and service principals.

Objects are documents with ids such as `/providers/Microsoft.Graph/applications/{objectId}`. Of a password only a salted
hash is stored. Tokens are `graph.access`'.
https://learn.microsoft.com/graph/api/resources/application
https://learn.microsoft.com/graph/api/resources/serviceprincipal
"""

import functools
import hashlib
import hmac
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import Principal
from emulator.core.store import Document

APPLICATIONS = "Microsoft.Graph/applications"
PRINCIPALS = "Microsoft.Graph/servicePrincipals"
_PASSWORD_YEARS = 2


Args = ParamSpec("Args")
Result = TypeVar("Result")
_WRITING = threading.RLock()


def _alone(work: Callable[Args, Result]) -> Callable[Args, Result]:
    """One change at a time: two passwords that are added to an application side by side must both last."""

    @functools.wraps(work)
    def locked(*arguments: Args.args, **named: Args.kwargs) -> Result:
        with _WRITING:
            return work(*arguments, **named)

    return locked


# Applications


@_alone
def create_application(azure: Azure, body: dict[str, Any]) -> dict[str, Any]:
    """Make an application; `body` as Graph's POST /applications. Two may have the same display name."""
    if not body.get("displayName"):
        raise _invalid("Property 'displayName' is required but is null or empty", "displayName")
    object_id = str(uuid.uuid4())
    application = {
        "id": object_id,
        "appId": str(uuid.uuid4()),
        "displayName": body["displayName"],
        "createdDateTime": _stamp(datetime.now(UTC)),
        "signInAudience": "AzureADMyOrg",
        "publisherDomain": "local.onmicrosoft.com",
        "identifierUris": [],
        "tags": [],
        **_writable(body, _APPLICATION_FIELDS),
        "passwordCredentials": [],
        "keyCredentials": [],
    }
    azure.store.put(Document(_id(APPLICATIONS, object_id), application, {"passwords": {}}))
    azure.count("azuread/Application")
    return application


@_alone
def update_application(azure: Azure, object_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change what `body` has; Graph's PATCH /applications/{id}."""
    application = find(azure, APPLICATIONS, object_id)
    changed = {**application.body, **_writable(body, _APPLICATION_FIELDS)}
    azure.store.put(Document(application.id, changed, application.private))
    azure.count("azuread/Application")
    return changed


@_alone
def delete_application(azure: Azure, object_id: str) -> None:
    """Delete an application; in its home tenant its service principal goes with it."""
    application = find(azure, APPLICATIONS, object_id)
    for principal in list_principals(azure):
        if principal["appId"] == application.body["appId"]:
            azure.store.delete(_id(PRINCIPALS, principal["id"]))
    azure.store.delete(application.id)
    azure.count("azuread/Application")


def get_application(azure: Azure, object_id: str) -> dict[str, Any]:
    """An application by its object id (404 Request_ResourceNotFound)."""
    return find(azure, APPLICATIONS, object_id).body


def list_applications(azure: Azure) -> list[dict[str, Any]]:
    """All applications, oldest first."""
    return [document.body for document in azure.store.of_type(APPLICATIONS)]


@_alone
def add_password(
    azure: Azure, object_id: str, display_name: str | None = None, end: str | None = None, start: str | None = None
) -> tuple[str, str]:
    """Create a password for an application: its key id and its secret, shown only here. `end` is RFC 3339."""
    application = find(azure, APPLICATIONS, object_id)
    begins = moment(start) if start else datetime.now(UTC)
    ends = moment(end) if end else begins.replace(year=begins.year + _PASSWORD_YEARS, day=min(begins.day, 28))
    if ends <= begins:
        raise _invalid("Key credential end date is invalid: it is not after the start date", "endDateTime")
    key_id, secret = str(uuid.uuid4()), _new_secret()
    credential = {
        "keyId": key_id,
        "displayName": display_name,
        "hint": secret[:3],
        "startDateTime": _stamp(begins),
        "endDateTime": _stamp(ends),
        "secretText": None,
        "customKeyIdentifier": None,
    }
    body = {**application.body, "passwordCredentials": [*application.body["passwordCredentials"], credential]}
    passwords = {**application.private["passwords"], key_id: _hash(secret)}
    azure.store.put(Document(application.id, body, {**application.private, "passwords": passwords}))
    azure.count("azuread/ApplicationPassword")
    return key_id, secret


@_alone
def remove_password(azure: Azure, object_id: str, key_id: str) -> None:
    """Take a password away; it is worthless at once."""
    application = find(azure, APPLICATIONS, object_id)
    if key_id not in application.private["passwords"]:
        raise _invalid(f"No password credential found with keyId '{key_id}'", "keyId")
    remaining = [each for each in application.body["passwordCredentials"] if each["keyId"] != key_id]
    passwords = {key: value for key, value in application.private["passwords"].items() if key != key_id}
    body = {**application.body, "passwordCredentials": remaining}
    azure.store.put(Document(application.id, body, {**application.private, "passwords": passwords}))
    azure.count("azuread/ApplicationPassword")


# Service principals


@_alone
def create_service_principal(azure: Azure, app_id: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make the service principal of an application (one an application); Graph's POST /servicePrincipals."""
    application = next((each for each in list_applications(azure) if each["appId"] == app_id), None)
    if application is None:
        raise AzureError(
            400,
            "Request_BadRequest",
            f"The appId '{app_id}' of the service principal does not reference a valid application object.",
        )
    if find_by_app(azure, app_id) is not None:
        raise AzureError(
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            f"The service principal cannot be created because the service principal name {app_id} is already in use.",
        )
    principal = _put_principal(azure, app_id, application["displayName"], "Application", body or {})
    azure.count("azuread/ServicePrincipal")
    return principal


@_alone
def update_service_principal(azure: Azure, object_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change what `body` has; Graph's PATCH /servicePrincipals/{id}."""
    principal = find(azure, PRINCIPALS, object_id)
    changed = {**principal.body, **_writable(body, _PRINCIPAL_FIELDS)}
    azure.store.put(Document(principal.id, changed, principal.private))
    azure.count("azuread/ServicePrincipal")
    return changed


def get_service_principal(azure: Azure, object_id: str) -> dict[str, Any]:
    """A service principal by its object id (404 Request_ResourceNotFound)."""
    return find(azure, PRINCIPALS, object_id).body


@_alone
def delete_service_principal(azure: Azure, object_id: str) -> None:
    """Delete a service principal; its role assignments stay behind, as on Azure."""
    azure.store.delete(find(azure, PRINCIPALS, object_id).id)
    azure.count("azuread/ServicePrincipal")


def list_principals(azure: Azure) -> list[dict[str, Any]]:
    """All service principals, those of managed identities included, oldest first."""
    return [document.body for document in azure.store.of_type(PRINCIPALS)]


@_alone
def create_identity(azure: Azure, name: str) -> Principal:
    """Create the service principal of a managed identity; it has no password."""
    return _principal(_put_principal(azure, str(uuid.uuid4()), name, "ManagedIdentity", {}))


@_alone
def delete_identity(azure: Azure, object_id: str) -> None:
    """Delete a managed identity's service principal; nothing happens where it is gone."""
    azure.store.delete(_id(PRINCIPALS, object_id))


def find_principal(azure: Azure, object_id: str) -> Principal | None:
    """Somebody by object id."""
    document = azure.store.get(_id(PRINCIPALS, object_id)) if _plain(object_id) else None
    return _principal(document.body) if document else None


def find_by_app(azure: Azure, app_id: str) -> Principal | None:
    """Somebody by client (application) id."""
    return next((_principal(each) for each in list_principals(azure) if each["appId"] == app_id), None)


def is_replicated(azure: Azure, object_id: str) -> bool:
    """Whether Resource Manager knows a principal yet: fault `principal-replication` is how many seconds that takes."""
    document = azure.store.get(_id(PRINCIPALS, object_id)) if _plain(object_id) else None
    delay = float(azure.faults.get("principal-replication") or 0)
    return document is not None and time.time() - float(document.private.get("made", 0)) >= delay


# Parts

_APPLICATION_FIELDS = (
    *("displayName", "description", "identifierUris", "signInAudience", "tags", "notes", "serviceManagementReference"),
    *("api", "web", "spa", "publicClient", "requiredResourceAccess", "appRoles", "optionalClaims"),
    *("groupMembershipClaims", "isFallbackPublicClient", "info"),
)
_PRINCIPAL_FIELDS = (
    *("accountEnabled", "alternativeNames", "appRoleAssignmentRequired", "description", "displayName", "loginUrl"),
    *("notes", "notificationEmailAddresses", "preferredSingleSignOnMode", "tags"),
)


def _put_principal(azure: Azure, app_id: str, name: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    object_id = str(uuid.uuid4())
    principal = {
        "id": object_id,
        "appId": app_id,
        "displayName": name,
        "appDisplayName": name,
        "accountEnabled": True,
        "alternativeNames": [],
        "appRoleAssignmentRequired": False,
        "appOwnerOrganizationId": azure.tenant,
        "servicePrincipalNames": [app_id],
        "servicePrincipalType": kind,
        "tags": [],
        **_writable(body, _PRINCIPAL_FIELDS),
    }
    azure.store.put(Document(_id(PRINCIPALS, object_id), principal, {"made": time.time()}))
    return principal


def _writable(body: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    return {name: body[name] for name in fields if body.get(name) is not None}


def _principal(body: dict[str, Any]) -> Principal:
    return Principal(body["id"], body["displayName"], body["appId"])


def _plain(object_id: str) -> bool:
    return bool(object_id) and "/" not in object_id


def _id(type_: str, object_id: str) -> ResourceId:
    return ResourceId.parse(f"/providers/{type_}/{object_id}")


def find(azure: Azure, type_: str, object_id: str) -> Document:
    """A directory object by its type and object id (404 Request_ResourceNotFound)."""
    document = azure.store.get(_id(type_, object_id)) if _plain(object_id) else None
    if document is None:
        raise AzureError(
            404,
            "Request_ResourceNotFound",
            f"Resource '{object_id}' does not exist or one of its queried reference-property objects are not present.",
        )
    return document


def _invalid(text: str, field: str) -> AzureError:
    return AzureError(400, "Request_BadRequest", f"{text} (property '{field}').")


def _new_secret() -> str:
    """A password of Entra's length and shape."""
    return f"{secrets.token_urlsafe(2)[:3]}8Q~{secrets.token_urlsafe(32)[:34]}"


def _hash(secret: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_stretch(secret, salt)}"


def matches(secret: str, hashed: str) -> bool:
    """Whether a password is the one of a hash."""
    salt, _, expected = hashed.partition("$")
    return hmac.compare_digest(_stretch(secret, bytes.fromhex(salt)), expected)


def _stretch(secret: str, salt: bytes) -> str:
    # The secrets are long and random, so that a cheap stretch is enough; every docker login pays for it.
    return hashlib.scrypt(secret.encode(), salt=salt, n=2**10, r=8, p=1).hex()


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """A date and time as RFC 3339 has it (400 for anything else)."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid(f"Invalid value '{text}': not a date and time as RFC 3339 has it", "endDateTime") from error
    return value if value.tzinfo else value.replace(tzinfo=UTC)
