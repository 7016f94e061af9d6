"""What lies in storage accounts: blobs by account, container and name, reached with a service SAS of the account's key.

Owns where a blob lies on this machine, which signatures open a container, and which blobs begin with a path. Refuses
to own the accounts and their keys (`storage`) and the protocol (emulator/faces/blobs.py). Containers need not be made:
those that Azure ML uses are there with the workspace.
https://learn.microsoft.com/rest/api/storageservices/create-service-sas
"""

import base64
import hashlib
import hmac
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document

ACCOUNTS = "Microsoft.Storage/storageAccounts"
_VERSION = "2021-12-02"
#: The fields of a service SAS from version 2020-12-06 on, in the order in which they are signed.
_BEFORE, _AFTER = ("sp", "st", "se"), ("si", "sip", "spr", "sv", "sr", "snapshot", "ses")
_HEADERS = ("rscc", "rscd", "rsce", "rscl", "rsct")
#: A blob's file ends so, which parts of uploads that are under way do not.
_SUFFIX = ".blob"
_LONGEST = 1024


def account_url(azure: Azure, account: str) -> str:
    """The blob endpoint of an account, without a slash at the end."""
    return f"{azure.url}/storage/{account}"


def blob_path(azure: Azure, account: str, container: str, name: str) -> Path:
    """Where a blob lies, whether it exists or not."""
    parts = name.split("/")
    if not container or len(name) > _LONGEST or any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise AzureError(400, "InvalidResourceName", f"'{name}' is not the name of a blob here")
    path = _folder(azure, account, container).joinpath(*parts[:-1], parts[-1] + _SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def blobs_below(azure: Azure, url: str) -> dict[str, Path]:
    """The blobs at a path, or below it as a folder; by the name that each has when the path's last part is kept."""
    account, _, rest = url.removeprefix(f"{azure.url}/storage/").partition("/")
    container, _, name = rest.strip("/").partition("/")
    if not url.startswith(f"{azure.url}/storage/") or not name:
        return {}
    whole = blob_path(azure, account, container, name)
    kept = whole.name.removesuffix(_SUFFIX)
    if whole.is_file():
        return {kept: whole}
    folder = whole.with_name(kept)
    found = sorted(path for path in folder.rglob(f"*{_SUFFIX}") if path.is_file()) if folder.is_dir() else []
    return {f"{kept}/{path.relative_to(folder).as_posix().removesuffix(_SUFFIX)}": path for path in found}


def drop(azure: Azure, account: str) -> None:
    """Forget all that lies in an account."""
    shutil.rmtree(azure.folder / "storage" / account, ignore_errors=True)


def container_sas(account: Document, container: str, permissions: str, valid: timedelta = timedelta(hours=1)) -> str:
    """The query with which anybody may use a container for a while."""
    given = {
        "sp": permissions,
        "se": f"{datetime.now(UTC) + valid:%Y-%m-%dT%H:%M:%SZ}",
        "spr": "https",
        "sv": _VERSION,
        "sr": "c",
    }
    return urlencode({**given, "sig": _signature(account, f"{account.id.name}/{container}", given)})


def demand(azure: Azure, account: str, container: str, name: str, query: Mapping[str, str], permission: str) -> None:  # noqa: PLR0913, PLR0917 - a request has these parts
    """Refuse, as Azure Storage does (403 AuthenticationFailed), what a URL's signature does not allow."""
    found = next((each for each in azure.store.of_type(ACCOUNTS) if each.id.name == account), None)
    if found is None:
        raise AzureError(404, "ResourceNotFound", f"There is no storage account '{account}'.")
    signed = f"{account}/{container}" + (f"/{name}" if query.get("sr") == "b" else "")
    wanted = _signature(found, signed, query)
    right = hmac.compare_digest(query.get("sig", "").encode(), wanted.encode())
    late = query.get("se", "") < f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not right or late or query.get("sr") not in {"b", "c"} or permission not in query.get("sp", ""):
        raise AzureError(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
            " including the signature.",
        )


def _folder(azure: Azure, account: str, container: str) -> Path:
    return azure.folder / "storage" / quote(account, safe="") / quote(container, safe="")


def _signature(account: Document, resource: str, given: Mapping[str, str]) -> str:
    fields = [given.get(name, "") for name in _BEFORE]
    fields += [f"/blob/{resource}"]
    fields += [given.get(name, "") for name in (*_AFTER, *_HEADERS)]
    key = base64.b64decode(account.private["keys"][0])
    return base64.b64encode(hmac.new(key, "\n".join(fields).encode(), hashlib.sha256).digest()).decode()
