"""Who may use blobs: by a service SAS of a container or a blob, by the account's key, or by a role.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.graph import access as entra
from emulator.services.network import access as network
from emulator.services.network.access import Client
from emulator.services.storage import data as storage_data

_VERSION = "2021-12-02"
#: The fields of a service SAS from version 2020-12-06 on, in the order in which they are signed.
_BEFORE, _AFTER = ("sp", "st", "se"), ("si", "sip", "spr", "sv", "sr", "snapshot", "ses")
_HEADERS = ("rscc", "rscd", "rsce", "rscl", "rsct")
_SIGNED_HEADERS = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
#: What a role calls the permissions of a SAS.
_VERBS = {"r": "read", "l": "read", "w": "write", "d": "delete"}


def container_sas(account: Document, container: str, permissions: str, valid: timedelta = timedelta(hours=1)) -> str:
    """The query with which anybody may use a container for a while."""
    query = {
        "sp": permissions,
        "se": f"{datetime.now(UTC) + valid:%Y-%m-%dT%H:%M:%SZ}",
        "spr": "https",
        "sv": _VERSION,
        "sr": "c",
    }
    return urlencode({**query, "sig": _signature(account, f"{account.id.name}/{container}", query)})


@dataclass(frozen=True)
class Asked:
    """One request for a container or a blob, as far as its proof goes."""

    method: str
    path: str
    """As the client sent it, still encoded: the account's key signs it."""
    headers: Mapping[str, str]
    query: Mapping[str, str]


def demand(azure: Azure, account: str, container: str, name: str, asked: Asked, permission: str) -> None:  # noqa: PLR0913, PLR0917 - a request has these parts
    """Refuse, as Azure Storage does, what neither signature, nor key, nor role allows; `permission` as in a SAS."""
    document = storage_data.account_named(azure, account)
    scheme, _, proof = asked.headers.get("authorization", "").partition(" ")
    if scheme == "SharedKey":
        _demand_key(document, asked, proof)
    elif scheme == "Bearer":
        _demand_role(azure, document, proof, permission)
    elif not _is_signed(document, container, name, asked.query, permission):
        raise _unproven()


def pass_firewall(azure: Azure, account: Document, client: Client) -> None:
    """Refuse a client whom the account's network settings exclude.

    https://learn.microsoft.com/troubleshoot/azure/azure-storage/blobs/authentication/storage-troubleshoot-403-errors
    """
    if network.refusal(azure, account, client, "blob"):
        raise AzureError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")


def _is_signed(account: Document, container: str, name: str, query: Mapping[str, str], permission: str) -> bool:
    signed = f"{account.id.name}/{container}" + (f"/{name}" if query.get("sr") == "b" else "")
    right = hmac.compare_digest(query.get("sig", "").encode(), _signature(account, signed, query).encode())
    late = query.get("se", "") < f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return right and not late and query.get("sr") in {"b", "c"} and permission in query.get("sp", "")


def _demand_key(account: Document, asked: Asked, proof: str) -> None:
    if account.properties["allowSharedKeyAccess"] is False:
        raise AzureError(
            403,
            "KeyBasedAuthenticationNotPermitted",
            "Key based authentication is not permitted on this storage account.",
        )
    text = _string_to_sign(account.id.name, asked)
    signatures = [f"{account.id.name}:{_hmac(key, text)}" for key in account.private["keys"]]
    if not any(hmac.compare_digest(proof.encode(), each.encode()) for each in signatures):
        raise _unproven()


def _string_to_sign(account: str, asked: Asked) -> str:
    headers = {key: value for key, value in asked.headers.items() if key not in {"content-length", "date"}}
    length = asked.headers.get("content-length", "")
    fields = {**headers, "content-length": "" if length == "0" else length}
    microsoft = sorted(f"{key}:{value}" for key, value in headers.items() if key.startswith("x-ms-"))
    query = [f"{key.lower()}:{value}" for key, value in sorted(asked.query.items())]
    lines = [asked.method, *(fields.get(name, "") for name in _SIGNED_HEADERS), *microsoft]
    return "\n".join([*lines, f"/{account}{asked.path}", *query])


def _demand_role(azure: Azure, account: Document, token: str, permission: str) -> None:
    principal = entra.verify_token(azure, token, entra.STORAGE_AUDIENCES)
    verb = _VERBS[permission]
    if not azure.access.allows(principal, f"{_BLOBS}/{verb}", account.id, data=True):
        raise AzureError(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        )


def _unproven() -> AzureError:
    return AzureError(
        403,
        "AuthenticationFailed",
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
        " including the signature.",
    )


def _signature(account: Document, resource: str, query: Mapping[str, str]) -> str:
    fields = [query.get(name, "") for name in _BEFORE]
    fields += [f"/blob/{resource}"]
    fields += [query.get(name, "") for name in (*_AFTER, *_HEADERS)]
    return _hmac(account.private["keys"][0], "\n".join(fields))


def _hmac(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
