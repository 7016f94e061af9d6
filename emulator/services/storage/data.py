"""What lies in storage accounts: blobs by account, container and name.

Owns where a blob lies on this machine, and which blobs begin with a path. Signatures are `storage.access`', the
protocol is `protocols.blobs`'. Containers need not be created: those that Azure ML uses come with the workspace.
"""

import json
import shutil
from pathlib import Path
from urllib.parse import quote

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document

ACCOUNTS = "Microsoft.Storage/storageAccounts"
#: A blob's file ends so, which parts of uploads that are under way do not.
_SUFFIX = ".blob"
_METADATA = ".metadata"
_LONGEST = 1024


def account_url(azure: Azure, account: str) -> str:
    """The blob endpoint of an account, without a slash at the end."""
    return f"{azure.url}/storage/{account}"


def account_named(azure: Azure, account: str) -> Document:
    """An account by its name, which is unique in the whole of Azure."""
    for document in azure.store.of_type(ACCOUNTS):
        if document.id.name == account:
            return document
    raise AzureError(404, "ResourceNotFound", f"There is no storage account '{account}'.")


def blob_path(azure: Azure, account: str, container: str, name: str) -> Path:
    """Where a blob lies, whether it exists or not."""
    parts = name.split("/")
    if not container or len(name) > _LONGEST or any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise AzureError(400, "InvalidResourceName", f"'{name}' is not the name of a blob here")
    path = _folder(azure, account, container).joinpath(*parts[:-1], parts[-1] + _SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def blobs_below(azure: Azure, url: str) -> dict[str, Path]:
    """The blobs at a path, or below it as a folder; by the name that each has from the path's last part on."""
    account, _, rest = url.removeprefix(f"{azure.url}/storage/").partition("/")
    container, _, name = rest.strip("/").partition("/")
    if not url.startswith(f"{azure.url}/storage/") or not name:
        return {}
    whole = blob_path(azure, account, container, name)
    base = whole.name.removesuffix(_SUFFIX)
    if whole.is_file():
        return {base: whole}
    folder = whole.with_name(base)
    paths = sorted(path for path in folder.rglob(f"*{_SUFFIX}") if path.is_file()) if folder.is_dir() else []
    return {f"{base}/{path.relative_to(folder).as_posix().removesuffix(_SUFFIX)}": path for path in paths}


def describe(path: Path, metadata: dict[str, str]) -> None:
    """Set the metadata of the blob in a file."""
    path.with_name(path.name + _METADATA).write_text(json.dumps(metadata), encoding="utf-8")


def metadata(path: Path) -> dict[str, str]:
    """The metadata of the blob in a file."""
    beside = path.with_name(path.name + _METADATA)
    content: dict[str, str] = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    return content


def remove(path: Path) -> None:
    """Delete the blob in a file."""
    path.unlink()
    path.with_name(path.name + _METADATA).unlink(missing_ok=True)


def names(azure: Azure, account: str, container: str, prefix: str = "") -> list[tuple[str, Path]]:
    """The blobs of a container whose names begin so, in order of their names, each with its file."""
    folder = _folder(azure, account, container)
    blobs = {path.relative_to(folder).as_posix().removesuffix(_SUFFIX): path for path in folder.rglob(f"*{_SUFFIX}")}
    return [(name, path) for name, path in sorted(blobs.items()) if name.startswith(prefix)]


def drop(azure: Azure, account: str) -> None:
    """Forget all that lies in an account."""
    shutil.rmtree(azure.folder / "storage" / account, ignore_errors=True)


def _folder(azure: Azure, account: str, container: str) -> Path:
    return azure.folder / "storage" / quote(account, safe="") / quote(container, safe="")
