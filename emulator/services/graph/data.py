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
from emulator.core.soft_delete import Deleted, RecycleBin
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
def create_application(azure: Azure, body: dict[str, Any], owner: str = "") -> dict[str, Any]:
    """Create an application; `body` as Graph's POST /applications. Two may have the same display name.

    Whoever creates it owns it, besides the `owners@odata.bind` of the body.
    """
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
        **_APPLICATION_FIELDS,
        **{name: value for name, value in _writable(body, _APPLICATION_FIELDS).items() if value is not None},
        "passwordCredentials": [],
        "keyCredentials": [],
    }
    private = {"passwords": {}, "owners": _bound_owners(azure, body, owner)}
    with azure.writing("azuread/Application"):
        azure.store.put(Document(_id(APPLICATIONS, object_id), application, private))
    return application


@_alone
def update(azure: Azure, type_: str, object_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change what `body` has, as Graph's PATCH: null clears."""
    document = find(azure, type_, object_id)
    fields = _APPLICATION_FIELDS if type_ == APPLICATIONS else _PRINCIPAL_FIELDS
    cleared = {name: fields[name] if value is None else value for name, value in _writable(body, fields).items()}
    changed = {**document.body, **cleared}
    with azure.writing("azuread/Application" if type_ == APPLICATIONS else "azuread/ServicePrincipal"):
        azure.store.put(Document(document.id, changed, document.private))
    return changed


@_alone
def delete_application(azure: Azure, object_id: str) -> None:
    """Delete an application; in its home tenant its service principal goes with it. It can be restored for 30 days.

    https://learn.microsoft.com/graph/api/application-delete
    """
    application = find(azure, APPLICATIONS, object_id)
    principals = [each for each in azure.store.of_type(PRINCIPALS) if each.body["appId"] == application.body["appId"]]
    with azure.writing("azuread/Application"):
        _bin(azure).add(object_id, application, principals, _RESTORABLE_DAYS)
        for principal in principals:
            azure.store.delete(principal.id)
        azure.store.delete(application.id)


def deleted_applications(azure: Azure) -> list[dict[str, Any]]:
    """Applications that can be restored."""
    found = [deleted for name in _bin(azure).names() if (deleted := _bin(azure).get(name))]
    return [{**each.document.body, "deletedDateTime": _stamp(datetime.fromtimestamp(each.at, UTC))} for each in found]


def deleted_application(azure: Azure, object_id: str) -> Document:
    """A deleted application (404 Request_ResourceNotFound)."""
    return _deleted(azure, object_id).document


@_alone
def restore_application(azure: Azure, object_id: str) -> dict[str, Any]:
    """Bring a deleted application back, with its service principal."""
    deleted = _deleted(azure, object_id)
    for document in (deleted.document, *deleted.children):
        azure.store.put(document)
    _bin(azure).purge(object_id)
    return deleted.document.body


@_alone
def purge_application(azure: Azure, object_id: str) -> None:
    """Delete a deleted application for good."""
    _deleted(azure, object_id)
    _bin(azure).purge(object_id)


def get_application(azure: Azure, object_id: str) -> dict[str, Any]:
    """An application by its object id (404 Request_ResourceNotFound)."""
    return find(azure, APPLICATIONS, object_id).body


def list_applications(azure: Azure) -> list[dict[str, Any]]:
    """All applications, oldest first."""
    return [document.body for document in azure.store.of_type(APPLICATIONS)]


def _years_after(begins: datetime) -> datetime:
    """The end of a password that is given none; of 29 February, which few years have, the day before."""
    day = 28 if (begins.month, begins.day) == (2, 29) else begins.day
    return begins.replace(year=begins.year + _PASSWORD_YEARS, day=day)


@_alone
def add_password(
    azure: Azure, object_id: str, display_name: str | None = None, end: str | None = None, start: str | None = None
) -> tuple[str, str]:
    """Create a password for an application: its key id and its secret, shown only here. `end` is RFC 3339."""
    application = find(azure, APPLICATIONS, object_id)
    begins = moment(start) if start else datetime.now(UTC)
    ends = moment(end) if end else _years_after(begins)
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
    with azure.writing("azuread/ApplicationPassword"):
        azure.store.put(Document(application.id, body, {**application.private, "passwords": passwords}))
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
    with azure.writing("azuread/ApplicationPassword"):
        azure.store.put(Document(application.id, body, {**application.private, "passwords": passwords}))


# Service principals


@_alone
def create_service_principal(
    azure: Azure, app_id: str, body: dict[str, Any] | None = None, owner: str = ""
) -> dict[str, Any]:
    """Create the service principal of an application (one an application); Graph's POST /servicePrincipals."""
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
    with azure.writing("azuread/ServicePrincipal"):
        return _put_principal(azure, app_id, application["displayName"], "Application", body or {}, owner)


def get_service_principal(azure: Azure, object_id: str) -> dict[str, Any]:
    """A service principal by its object id (404 Request_ResourceNotFound)."""
    return find(azure, PRINCIPALS, object_id).body


@_alone
def delete_service_principal(azure: Azure, object_id: str) -> None:
    """Delete a service principal; its role assignments stay behind, as on Azure."""
    principal = find(azure, PRINCIPALS, object_id)
    with azure.writing("azuread/ServicePrincipal"):
        azure.store.delete(principal.id)


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
    document = lookup(azure, PRINCIPALS, object_id)
    return _principal(document.body) if document else None


def find_by_app(azure: Azure, app_id: str) -> Principal | None:
    """Somebody by client (application) id."""
    return next((_principal(each) for each in list_principals(azure) if each["appId"] == app_id), None)


def is_replicated(azure: Azure, object_id: str) -> bool:
    """Whether Resource Manager knows a principal yet: fault `principal-replication` is how many seconds that takes."""
    document = lookup(azure, PRINCIPALS, object_id)
    delay = float(azure.faults.get("principal-replication") or 0)
    return document is not None and time.time() - float(document.private.get("made", 0)) >= delay


# Parts

#: Writable fields with what an unset one is answered with.
_APPLICATION_FIELDS: dict[str, Any] = {
    "displayName": None,
    "description": None,
    "notes": None,
    "serviceManagementReference": None,
    "signInAudience": "AzureADMyOrg",
    "identifierUris": [],
    "tags": [],
    "requiredResourceAccess": [],
    "appRoles": [],
    "optionalClaims": None,
    "groupMembershipClaims": None,
    "isFallbackPublicClient": None,
    "api": None,
    "web": None,
    "spa": None,
    "publicClient": None,
    "info": None,
}
_PRINCIPAL_FIELDS: dict[str, Any] = {
    "accountEnabled": True,
    "alternativeNames": [],
    "appRoleAssignmentRequired": False,
    "description": None,
    "displayName": None,
    "loginUrl": None,
    "notes": None,
    "notificationEmailAddresses": [],
    "preferredSingleSignOnMode": None,
    "tags": [],
}
_RESTORABLE_DAYS = 30


def owners(azure: Azure, type_: str, object_id: str) -> list[dict[str, Any]]:
    """The owners of a directory object."""
    held = find(azure, type_, object_id).private.get("owners") or []
    found = [document for owner in held if (document := azure.store.get(_id(PRINCIPALS, owner)))]
    return [{"@odata.type": "#microsoft.graph.servicePrincipal", **document.body} for document in found]


@_alone
def add_owner(azure: Azure, type_: str, object_id: str, owner: str) -> None:
    """Add an owner; Graph refuses one that owns already."""
    document = find(azure, type_, object_id)
    find(azure, PRINCIPALS, owner)
    held = document.private.get("owners") or []
    if owner in held:
        raise AzureError(
            400,
            "Request_BadRequest",
            "One or more added object references already exist for the following modified properties: 'owners'.",
        )
    azure.store.put(Document(document.id, document.body, {**document.private, "owners": [*held, owner]}))


@_alone
def remove_owner(azure: Azure, type_: str, object_id: str, owner: str) -> None:
    """Remove an owner (404 where it owns nothing)."""
    document = find(azure, type_, object_id)
    held = document.private.get("owners") or []
    if owner not in held:
        raise _not_found(owner)
    remaining = [each for each in held if each != owner]
    azure.store.put(Document(document.id, document.body, {**document.private, "owners": remaining}))


def lookup(azure: Azure, type_: str, object_id: str) -> Document | None:
    """A directory object by its type and object id, if there is one."""
    return azure.store.get(_id(type_, object_id)) if _plain(object_id) else None


def bound_id(reference: object) -> str:
    """The object id of a reference such as `https://graph.microsoft.com/v1.0/directoryObjects/ID`."""
    return str(reference or "").rstrip("/").rpartition("/")[2]


def find_where(azure: Azure, type_: str, field: str, value: str) -> dict[str, Any]:
    """A directory object by one of its fields (404 Request_ResourceNotFound)."""
    for document in azure.store.of_type(type_):
        if document.body.get(field) == value:
            return document.body
    raise _not_found(value)


def _bound_owners(azure: Azure, body: dict[str, Any], owner: str) -> list[str]:
    bound = [bound_id(reference) for reference in body.get("owners@odata.bind") or []]
    for each in bound:
        find(azure, PRINCIPALS, each)
    return list(dict.fromkeys([*([owner] if owner else []), *bound]))


def _bin(azure: Azure) -> RecycleBin:
    return RecycleBin(azure.store, APPLICATIONS)


def _deleted(azure: Azure, object_id: str) -> Deleted:
    deleted = _bin(azure).get(object_id)
    if deleted is None:
        raise _not_found(object_id)
    return deleted


def _put_principal(  # noqa: PLR0913, PLR0917 - a principal has these parts
    azure: Azure, app_id: str, name: str, kind: str, body: dict[str, Any], owner: str = ""
) -> dict[str, Any]:
    object_id = str(uuid.uuid4())
    principal = {
        "id": object_id,
        "appId": app_id,
        "displayName": name,
        "appDisplayName": name,
        "appOwnerOrganizationId": azure.tenant,
        "servicePrincipalNames": [app_id],
        "servicePrincipalType": kind,
        **{name: value for name, value in _PRINCIPAL_FIELDS.items() if name != "displayName"},
        **{name: value for name, value in _writable(body, _PRINCIPAL_FIELDS).items() if value is not None},
    }
    private = {"made": time.time(), "owners": _bound_owners(azure, body, owner)}
    azure.store.put(Document(_id(PRINCIPALS, object_id), principal, private))
    return principal


def _writable(body: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    return {name: body[name] for name in fields if name in body}


def _principal(body: dict[str, Any]) -> Principal:
    return Principal(body["id"], body["displayName"], body["appId"])


def _plain(object_id: str) -> bool:
    return bool(object_id) and "/" not in object_id


def _id(type_: str, object_id: str) -> ResourceId:
    return ResourceId.parse(f"/providers/{type_}/{object_id}")


def find(azure: Azure, type_: str, object_id: str) -> Document:
    """A directory object by its type and object id (404 Request_ResourceNotFound)."""
    document = lookup(azure, type_, object_id)
    if document is None:
        raise _not_found(object_id)
    return document


def _not_found(object_id: str) -> AzureError:
    return AzureError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{object_id}' does not exist or one of its queried reference-property objects are not present.",
    )


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
