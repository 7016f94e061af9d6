"""Blobs: files below the state folder, reached by signed URLs (build sources, run logs).

Owns where a blob lies and who may reach it by URL. Knows no storage account: Azure's services keep such blobs in
accounts of their own, of which a client sees only URLs with a shared access signature.
https://learn.microsoft.com/rest/api/storageservices/create-service-sas
"""

import hashlib
import hmac
import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from emulator.core.azure import Azure
from emulator.core.errors import AzureError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_KEY = "blob-key"


def blob_path(azure: Azure, name: str) -> Path:
    """Where a blob lies, whether it exists or not; `name` is like `source/2f1c.tar.gz`."""
    if not _NAME.fullmatch(name):
        raise AzureError(400, "InvalidResourceName", f"'{name}' is not the name of a blob")
    path = azure.folder / "blobs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def describe(azure: Azure, name: str, metadata: dict[str, str]) -> None:
    """Set a blob's metadata, which readers see as `x-ms-meta-*` (a finished run log has `Complete`)."""
    _beside(azure, name).write_text(json.dumps(metadata), encoding="utf-8")


def metadata(azure: Azure, name: str) -> dict[str, str]:
    """A blob's metadata."""
    path = _beside(azure, name)
    content: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def upload_url(azure: Azure, name: str, valid: timedelta = timedelta(hours=1)) -> str:
    """A URL with which anybody may write (and read) this one blob for a while."""
    return _signed(azure, name, "rcw", valid)


def read_url(azure: Azure, name: str, valid: timedelta = timedelta(hours=1)) -> str:
    """A URL with which anybody may read this one blob for a while."""
    return _signed(azure, name, "r", valid)


def demand(azure: Azure, name: str, query: dict[str, str], permission: str) -> None:
    """Refuse, as Azure Storage does (403 AuthenticationFailed), where a URL's signature does not allow this."""
    permissions, until = query.get("sp", ""), query.get("se", "")
    right = hmac.compare_digest(query.get("sig", "").encode(), _signature(azure, name, permissions, until).encode())
    if not right or permission not in permissions or until < _stamp(datetime.now(UTC)):
        raise AzureError(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
            " including the signature.",
        )


def _beside(azure: Azure, name: str) -> Path:
    path = blob_path(azure, name)
    return path.with_name(f"{path.name}.metadata")


def _signed(azure: Azure, name: str, permissions: str, valid: timedelta) -> str:
    blob_path(azure, name)
    until = _stamp(datetime.now(UTC) + valid)
    query = {
        "sv": "2023-11-03",
        "sr": "b",
        "sp": permissions,
        "se": until,
        "sig": _signature(azure, name, permissions, until),
    }
    return f"{azure.url}/blob/{name}?{urlencode(query)}"


def _signature(azure: Azure, name: str, permissions: str, until: str) -> str:
    key = azure.store.fact_or_create(_KEY, lambda: secrets.token_hex(32))
    return hmac.new(bytes.fromhex(key), f"{name}\n{permissions}\n{until}".encode(), hashlib.sha256).hexdigest()


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
