"""The data plane of key vaults: secrets, their versions, deletion, recovery and purge.

Owns who may read a secret: by roles where the vault says `enableRbacAuthorization`, else by its access policies. A
secret that the data plane deletes can be recovered or purged until its vault goes. Values are sealed at rest and never
shown by Resource Manager.
https://learn.microsoft.com/rest/api/keyvault/secrets
"""

import re
import time
import uuid
from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import Principal
from emulator.core.store import Document

VAULTS = "Microsoft.KeyVault/vaults"
SECRETS = "Microsoft.KeyVault/vaults/secrets"
_SECRET_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_LONGEST_VALUE = 25 * 1024
MOST_DAYS = 90
#: Data actions (the roles') and what access policies call them.
_PERMISSIONS = {
    "getSecret": "get",
    "setSecret": "set",
    "update": "set",
    "readMetadata": "list",
    "delete": "delete",
    "recover": "recover",
    "purge": "purge",
}


def port_name(vault: str) -> str:
    """The name under which a vault's port is kept."""
    return f"vault {vault.lower()}"


def uri_of(azure: Azure, vault: str) -> str:
    """Where a vault's data plane is, without a slash at the end."""
    return f"https://localhost:{azure.ports.choose(port_name(vault))}"


def vault_named(azure: Azure, name: str) -> Document:
    """A vault by its name, which is unique in the whole of Azure."""
    for found in azure.store.of_type(VAULTS):
        if found.id.name.lower() == name.lower():
            return found
    raise AzureError(404, "VaultNotFound", f"The vault '{name}' does not exist.")


def set_secret(azure: Azure, who: Principal, vault: Document, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """The data plane's PUT: a new version."""
    check_name(name)
    id_ = vault.id.child("secrets", name)
    _demand(azure, who, vault, id_, "setSecret")
    if not isinstance(body.get("value"), str):
        raise AzureError(400, "BadParameter", f"Property 'value' of secret '{name}' is required.")
    if name.lower() in _deleted(vault):
        raise AzureError(
            409,
            "Conflict",
            f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this"
            " state, the secret can only be recovered or purged.",
        )
    old = azure.store.get(id_)
    made = new_version(
        body["value"], new_attributes(body.get("attributes") or {}, None), body.get("contentType"), body.get("tags")
    )
    versions = [*(old.private["versions"] if old else []), made]
    now = old.body["systemData"] if old else {"createdAt": _iso(), "lastModifiedAt": _iso()}
    shown = {"id": id_.path, "name": name, "type": SECRETS, "location": vault.body["location"], "systemData": now}
    document = Document(id_, {**shown, "properties": {}, **({"tags": body["tags"]} if body.get("tags") else {})})
    azure.store.put(with_versions(azure, vault.id, document, versions))
    azure.count(SECRETS)
    return _bundle(azure, vault, name, made, value=True)


def get_secret(azure: Azure, who: Principal, vault: Document, name: str, version: str | None = None) -> dict[str, Any]:
    """The data plane's GET: a version with its value, the latest where none is named."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, who, vault, id_, "getSecret")
    found = azure.store.get(id_)
    for each in reversed(found.private["versions"] if found else []):
        if version in {None, "", each["version"]}:
            if not each["attributes"]["enabled"]:
                raise AzureError(403, "Forbidden", "Operation get is not allowed on a disabled secret.")
            return _bundle(azure, vault, name, each, value=True)
    raise AzureError(
        404, "SecretNotFound", f"A secret with (name/id) {name}/{version or ''} was not found in this key vault."
    )


def list_secrets(azure: Azure, who: Principal, vault: Document) -> list[dict[str, Any]]:
    """The data plane's list: without values."""
    _demand(azure, who, vault, vault.id, "readMetadata")
    found = azure.store.of_type(SECRETS, vault.id)
    return [_bundle(azure, vault, each.id.name, each.private["versions"][-1], value=False) for each in found]


def list_versions(azure: Azure, who: Principal, vault: Document, name: str) -> list[dict[str, Any]]:
    """The versions of one secret: without values."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, who, vault, id_, "readMetadata")
    found = azure.store.get(id_)
    return [_bundle(azure, vault, name, each, value=False) for each in (found.private["versions"] if found else [])]


def delete_secret(azure: Azure, who: Principal, vault: Document, name: str) -> dict[str, Any]:
    """The data plane's DELETE."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, who, vault, id_, "delete")
    found = azure.store.get(id_)
    if found is None:
        raise AzureError(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
    azure.store.delete(id_)
    azure.count(SECRETS)
    kept = {"name": name, "document": found.body, "versions": found.private["versions"], "date": int(time.time())}
    azure.store.put(vault.having({"deleted": {**_deleted(vault), name.lower(): kept}}))
    return _deleted_bundle(azure, vault, kept)


def update_secret(  # noqa: PLR0913, PLR0917 - who, where, which and what
    azure: Azure, who: Principal, vault: Document, name: str, version: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The data plane's PATCH: attributes, tags and content type of a version; its value stays."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, who, vault, id_, "update")
    found = azure.store.get(id_)
    versions = list(found.private["versions"]) if found else []
    for place, each in enumerate(versions):
        if found is not None and each["version"] == version:
            attributes = new_attributes({**each["attributes"], **(body.get("attributes") or {})}, each["attributes"])
            told = {key: body[key] for key in ("contentType", "tags") if body.get(key) is not None}
            versions[place] = {**each, **told, "attributes": attributes}
            azure.store.put(with_versions(azure, vault.id, found, versions))
            azure.count(SECRETS)
            return _bundle(azure, vault, name, versions[place], value=False)
    raise AzureError(
        404, "SecretNotFound", f"A secret with (name/id) {name}/{version} was not found in this key vault."
    )


def list_deleted(azure: Azure, who: Principal, vault: Document) -> list[dict[str, Any]]:
    """What can be recovered or purged."""
    _demand(azure, who, vault, vault.id, "readMetadata")
    return [_deleted_bundle(azure, vault, each) for each in _deleted(vault).values()]


def get_deleted(azure: Azure, who: Principal, vault: Document, name: str) -> dict[str, Any]:
    """One of those."""
    _demand(azure, who, vault, vault.id.child("secrets", name), "readMetadata")
    return _deleted_bundle(azure, vault, _one_deleted(vault, name))


def recover_secret(azure: Azure, who: Principal, vault: Document, name: str) -> dict[str, Any]:
    """Bring a deleted secret back, with all its versions."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, who, vault, id_, "recover")
    kept = _one_deleted(vault, name)
    _forget(azure, vault, name)
    azure.store.put(Document(id_, kept["document"], {"versions": kept["versions"]}))
    azure.count(SECRETS)
    return _bundle(azure, vault, kept["name"], kept["versions"][-1], value=False)


def purge_secret(azure: Azure, who: Principal, vault: Document, name: str) -> None:
    """Take a deleted secret away for good; its name is free again."""
    _demand(azure, who, vault, vault.id.child("secrets", name), "purge")
    _one_deleted(vault, name)
    _forget(azure, vault, name)
    azure.count(SECRETS)


def _deleted(vault: Document) -> dict[str, dict[str, Any]]:
    return dict(vault.private.get("deleted") or {})


def _one_deleted(vault: Document, name: str) -> dict[str, Any]:
    found = _deleted(vault).get(name.lower())
    if found is None:
        raise AzureError(404, "SecretNotFound", f"Deleted Secret not found: {name}")
    return found


def _forget(azure: Azure, vault: Document, name: str) -> None:
    azure.store.put(
        vault.having({"deleted": {key: one for key, one in _deleted(vault).items() if key != name.lower()}})
    )


def _deleted_bundle(azure: Azure, vault: Document, kept: dict[str, Any]) -> dict[str, Any]:
    days = int(vault.properties.get("softDeleteRetentionInDays") or MOST_DAYS)
    return {
        **_bundle(azure, vault, kept["name"], kept["versions"][-1], value=False),
        "recoveryId": f"{vault.properties['vaultUri']}deletedsecrets/{kept['name']}",
        "deletedDate": kept["date"],
        "scheduledPurgeDate": kept["date"] + days * 86400,
    }


def _demand(azure: Azure, who: Principal, vault: Document, scope: ResourceId, action: str) -> None:
    full = f"{SECRETS}/{action}" if action == "delete" else f"{SECRETS}/{action}/action"
    if vault.properties["enableRbacAuthorization"]:
        allowed = azure.access.allows(who, full, scope, data=True)
        reason = f"Caller is not authorized to perform action on resource. Action: '{full}'"
    else:
        wanted = _PERMISSIONS[action]
        allowed = any(
            policy.get("objectId") == who.object_id
            and {wanted, "all"} & {str(each).lower() for each in (policy.get("permissions") or {}).get("secrets") or []}
            for policy in vault.properties["accessPolicies"]
        )
        reason = (
            f"The user, group or application does not have secrets {wanted} permission on key vault '{vault.id.name}'"
        )
    if not allowed:
        raise AzureError(
            403,
            "Forbidden",
            f"{reason} (caller: appid={who.app_id};oid={who.object_id}, vault: {vault.id.name}).",
        )


def check_name(name: str) -> None:
    """Refuse a secret name that Azure refuses."""
    if not _SECRET_NAME.fullmatch(name):
        raise AzureError(
            400,
            "BadParameter",
            f"The secret name '{name}' is invalid: 1 to 127 letters, digits and '-' (^[0-9a-zA-Z-]+$).",
        )


def new_attributes(given: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """Attributes of a version: `created` stays, `updated` is now."""
    now = int(time.time())
    times = {key: int(given[key]) for key in ("nbf", "exp") if given.get(key) is not None}
    if times.get("exp", now) < times.get("nbf", 0):
        raise AzureError(400, "BadParameter", "The secret's 'exp' is before its 'nbf'.")
    created = old["created"] if old else now
    return {"enabled": given.get("enabled") is not False, **times, "created": created, "updated": now}


def new_version(
    value: str, attributes: dict[str, Any], kind: str | None, tags: dict[str, str] | None
) -> dict[str, Any]:
    """A version of a secret, with its value."""
    if len(value.encode()) > _LONGEST_VALUE:
        raise AzureError(400, "BadParameter", f"The secret's value is longer than {_LONGEST_VALUE} bytes.")
    version = uuid.uuid4().hex
    return {"version": version, "value": value, "attributes": attributes, "contentType": kind, "tags": tags or {}}


def with_versions(azure: Azure, vault: ResourceId, document: Document, versions: list[dict[str, Any]]) -> Document:
    """A secret's document as Resource Manager shows it: the latest version, without its value."""
    uri = f"{uri_of(azure, vault.name)}/secrets/{document.id.name}"
    latest = versions[-1]
    properties = {
        "attributes": latest["attributes"],
        **({"contentType": latest["contentType"]} if latest["contentType"] else {}),
        "secretUri": uri,
        "secretUriWithVersion": f"{uri}/{latest['version']}",
    }
    found = azure.store.get(vault)
    location = {"location": found.body["location"]} if found else {}
    return Document(document.id, {**document.body, **location, "properties": properties}, {"versions": versions})


def _bundle(azure: Azure, vault: Document, name: str, version: dict[str, Any], *, value: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": f"{uri_of(azure, vault.id.name)}/secrets/{name}/{version['version']}",
        "attributes": {**version["attributes"], "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90},
        "tags": version["tags"],
    }
    if version["contentType"]:
        told["contentType"] = version["contentType"]
    return {**told, "value": version["value"]} if value else told


def _iso() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
