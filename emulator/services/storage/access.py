"""Shared access signatures of storage accounts: service SAS of a container or a blob.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.storage.data import ACCOUNTS

_VERSION = "2021-12-02"
#: The fields of a service SAS from version 2020-12-06 on, in the order in which they are signed.
_BEFORE, _AFTER = ("sp", "st", "se"), ("si", "sip", "spr", "sv", "sr", "snapshot", "ses")
_HEADERS = ("rscc", "rscd", "rsce", "rscl", "rsct")


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


def demand(azure: Azure, account: str, container: str, name: str, query: Mapping[str, str], permission: str) -> None:  # noqa: PLR0913, PLR0917 - a request has these parts
    """Refuse, as Azure Storage does (403 AuthenticationFailed), what a URL's signature does not allow."""
    document = next((each for each in azure.store.of_type(ACCOUNTS) if each.id.name == account), None)
    if document is None:
        raise AzureError(404, "ResourceNotFound", f"There is no storage account '{account}'.")
    signed = f"{account}/{container}" + (f"/{name}" if query.get("sr") == "b" else "")
    signature = _signature(document, signed, query)
    right = hmac.compare_digest(query.get("sig", "").encode(), signature.encode())
    late = query.get("se", "") < f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not right or late or query.get("sr") not in {"b", "c"} or permission not in query.get("sp", ""):
        raise AzureError(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
            " including the signature.",
        )


def _signature(account: Document, resource: str, query: Mapping[str, str]) -> str:
    fields = [query.get(name, "") for name in _BEFORE]
    fields += [f"/blob/{resource}"]
    fields += [query.get(name, "") for name in (*_AFTER, *_HEADERS)]
    key = base64.b64decode(account.private["keys"][0])
    return base64.b64encode(hmac.new(key, "\n".join(fields).encode(), hashlib.sha256).digest()).decode()
