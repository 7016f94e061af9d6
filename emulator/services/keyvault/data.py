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
from emulator.services.network import access as network
from emulator.services.network.access import Client

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
    """The name under which a vault's port is stored."""
    return f"vault {vault.lower()}"


def uri_of(azure: Azure, vault: str) -> str:
    """Where a vault's data plane is, without a slash at the end."""
    return f"https://localhost:{azure.ports.choose(port_name(vault))}"


def vault_named(azure: Azure, name: str) -> Document:
    """A vault by its name, which is unique in the whole of Azure."""
    for vault in azure.store.of_type(VAULTS):
        if vault.id.name.lower() == name.lower():
            return vault
    raise AzureError(404, "VaultNotFound", f"The vault '{name}' does not exist.")


def pass_firewall(azure: Azure, vault: Document, principal: Principal, client: Client) -> None:
    """Refuse a client whom the vault's network settings exclude.

    https://learn.microsoft.com/azure/key-vault/general/common-error-codes, and with the words of both:
    https://github.com/Azure/secrets-store-csi-driver-provider-azure/issues/873
    """
    refused = network.refusal(azure, vault, client, "vault")
    if not refused:
        return
    issuer = f"https://sts.windows.net/{azure.tenant}/"
    caller = f"Caller: appid={principal.app_id};oid={principal.object_id};iss={issuer}"
    where = f"Vault: {vault.id.name};location={vault.body['location']}"
    if refused == network.DISABLED:
        text = "Public network access is disabled and request is not from a trusted service nor via an approved private"
        raise AzureError(403, "Forbidden", f"{text} link.\r\n{caller}\r\n{where}", "ForbiddenByConnection")
    text = "Client address is not authorized and caller is not a trusted service."
    address = f"Client address: {client.address}"
    raise AzureError(403, "Forbidden", f"{text}\r\n{address}\r\n{caller}\r\n{where}", "ForbiddenByFirewall")


def set_secret(azure: Azure, principal: Principal, vault: Document, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """The data plane's PUT: a new version."""
    check_name(name)
    id_ = vault.id.child("secrets", name)
    _demand(azure, principal, vault, id_, "setSecret")
    if not isinstance(body.get("value"), str):
        raise AzureError(400, "BadParameter", f"Property 'value' of secret '{name}' is required.")
    if name.lower() in deleted_secrets(vault):
        raise name_is_held(name)
    old = azure.store.get(id_)
    version = new_version(
        body["value"], new_attributes(body.get("attributes") or {}, None), body.get("contentType"), body.get("tags")
    )
    versions = [*(old.private["versions"] if old else []), version]
    now = old.body["systemData"] if old else {"createdAt": _iso(), "lastModifiedAt": _iso()}
    envelope = {"id": id_.path, "name": name, "type": SECRETS, "location": vault.body["location"], "systemData": now}
    document = Document(id_, {**envelope, "properties": {}, **({"tags": body["tags"]} if body.get("tags") else {})})
    with azure.writing(SECRETS):
        azure.store.put(with_versions(azure, vault.id, document, versions))
    return _bundle(azure, vault, name, version, value=True)


def get_secret(
    azure: Azure, principal: Principal, vault: Document, name: str, version: str | None = None
) -> dict[str, Any]:
    """The data plane's GET: a version with its value, the latest where none is named."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, principal, vault, id_, "getSecret")
    secret = azure.store.get(id_)
    for each in reversed(secret.private["versions"] if secret else []):
        if version in {None, "", each["version"]}:
            if not each["attributes"]["enabled"]:
                raise AzureError(403, "Forbidden", "Operation get is not allowed on a disabled secret.")
            return _bundle(azure, vault, name, each, value=True)
    raise AzureError(
        404, "SecretNotFound", f"A secret with (name/id) {name}/{version or ''} was not found in this key vault."
    )


def list_secrets(azure: Azure, principal: Principal, vault: Document) -> list[dict[str, Any]]:
    """The data plane's list: without values."""
    _demand(azure, principal, vault, vault.id, "readMetadata")
    secrets = azure.store.of_type(SECRETS, vault.id)
    return [_bundle(azure, vault, each.id.name, each.private["versions"][-1], value=False) for each in secrets]


def list_versions(azure: Azure, principal: Principal, vault: Document, name: str) -> list[dict[str, Any]]:
    """The versions of one secret: without values."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, principal, vault, id_, "readMetadata")
    secret = azure.store.get(id_)
    return [_bundle(azure, vault, name, each, value=False) for each in (secret.private["versions"] if secret else [])]


def delete_secret(azure: Azure, principal: Principal, vault: Document, name: str) -> dict[str, Any]:
    """The data plane's DELETE."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, principal, vault, id_, "delete")
    secret = azure.store.get(id_)
    if secret is None:
        raise AzureError(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
    with azure.writing(SECRETS):
        azure.store.delete(id_)
    deleted = {"name": name, "document": secret.body, "versions": secret.private["versions"], "date": int(time.time())}
    azure.store.put(vault.having({"deleted": {**deleted_secrets(vault), name.lower(): deleted}}))
    return _deleted_bundle(azure, vault, deleted)


def update_secret(  # noqa: PLR0913, PLR0917 - who, where, which and what
    azure: Azure, principal: Principal, vault: Document, name: str, version: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The data plane's PATCH: attributes, tags and content type of a version; its value stays."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, principal, vault, id_, "update")
    secret = azure.store.get(id_)
    versions = list(secret.private["versions"]) if secret else []
    for index, each in enumerate(versions):
        if secret is not None and each["version"] == version:
            attributes = new_attributes({**each["attributes"], **(body.get("attributes") or {})}, each["attributes"])
            changes = {key: body[key] for key in ("contentType", "tags") if body.get(key) is not None}
            versions[index] = {**each, **changes, "attributes": attributes}
            with azure.writing(SECRETS):
                azure.store.put(with_versions(azure, vault.id, secret, versions))
            return _bundle(azure, vault, name, versions[index], value=False)
    raise AzureError(
        404, "SecretNotFound", f"A secret with (name/id) {name}/{version} was not found in this key vault."
    )


def list_deleted(azure: Azure, principal: Principal, vault: Document) -> list[dict[str, Any]]:
    """What can be recovered or purged."""
    _demand(azure, principal, vault, vault.id, "readMetadata")
    return [_deleted_bundle(azure, vault, each) for each in deleted_secrets(vault).values()]


def get_deleted(azure: Azure, principal: Principal, vault: Document, name: str) -> dict[str, Any]:
    """One of those."""
    _demand(azure, principal, vault, vault.id.child("secrets", name), "readMetadata")
    return _deleted_bundle(azure, vault, _one_deleted(vault, name))


def recover_secret(azure: Azure, principal: Principal, vault: Document, name: str) -> dict[str, Any]:
    """Bring a deleted secret back, with all its versions."""
    id_ = vault.id.child("secrets", name)
    _demand(azure, principal, vault, id_, "recover")
    deleted = _one_deleted(vault, name)
    with azure.writing(SECRETS):
        _forget(azure, vault, name)
        azure.store.put(Document(id_, deleted["document"], {"versions": deleted["versions"]}))
    return _bundle(azure, vault, deleted["name"], deleted["versions"][-1], value=False)


def purge_secret(azure: Azure, principal: Principal, vault: Document, name: str) -> None:
    """Take a deleted secret away for good; its name is free again."""
    _demand(azure, principal, vault, vault.id.child("secrets", name), "purge")
    _one_deleted(vault, name)
    with azure.writing(SECRETS):
        _forget(azure, vault, name)


def deleted_secrets(vault: Document) -> dict[str, dict[str, Any]]:
    """Deleted secrets of a vault by their names in lower case."""
    return dict(vault.private.get("deleted") or {})


def name_is_held(name: str) -> AzureError:
    """The refusal of a name that a deleted secret holds."""
    return AzureError(
        409,
        "Conflict",
        f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this"
        " state, the secret can only be recovered or purged.",
    )


def _one_deleted(vault: Document, name: str) -> dict[str, Any]:
    deleted = deleted_secrets(vault).get(name.lower())
    if deleted is None:
        raise AzureError(404, "SecretNotFound", f"Deleted Secret not found: {name}")
    return deleted


def _forget(azure: Azure, vault: Document, name: str) -> None:
    azure.store.put(
        vault.having({"deleted": {key: one for key, one in deleted_secrets(vault).items() if key != name.lower()}})
    )


def _deleted_bundle(azure: Azure, vault: Document, deleted: dict[str, Any]) -> dict[str, Any]:
    days = int(vault.properties.get("softDeleteRetentionInDays") or MOST_DAYS)
    return {
        **_bundle(azure, vault, deleted["name"], deleted["versions"][-1], value=False),
        "recoveryId": f"{vault.properties['vaultUri']}deletedsecrets/{deleted['name']}",
        "deletedDate": deleted["date"],
        "scheduledPurgeDate": deleted["date"] + days * 86400,
    }


def _demand(azure: Azure, principal: Principal, vault: Document, scope: ResourceId, action: str) -> None:
    full = f"{SECRETS}/{action}" if action == "delete" else f"{SECRETS}/{action}/action"
    if vault.properties["enableRbacAuthorization"]:
        allowed = azure.access.allows(principal, full, scope, data=True)
        reason = f"Caller is not authorized to perform action on resource. Action: '{full}'"
    else:
        permission = _PERMISSIONS[action]
        allowed = any(
            policy.get("objectId") == principal.object_id
            and {permission, "all"}
            & {str(each).lower() for each in (policy.get("permissions") or {}).get("secrets") or []}
            for policy in vault.properties["accessPolicies"]
        )
        reason = (
            f"The user, group or application does not have secrets {permission} permission on key vault"
            f" '{vault.id.name}'"
        )
    if not allowed:
        raise AzureError(
            403,
            "Forbidden",
            f"{reason} (caller: appid={principal.app_id};oid={principal.object_id}, vault: {vault.id.name}).",
        )


def check_name(name: str) -> None:
    """Refuse a secret name that Azure refuses."""
    if not _SECRET_NAME.fullmatch(name):
        raise AzureError(
            400,
            "BadParameter",
            f"The secret name '{name}' is invalid: 1 to 127 letters, digits and '-' (^[0-9a-zA-Z-]+$).",
        )


def new_attributes(requested: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """Attributes of a version: `created` stays, `updated` is now."""
    now = int(time.time())
    times = {key: int(requested[key]) for key in ("nbf", "exp") if requested.get(key) is not None}
    if times.get("exp", now) < times.get("nbf", 0):
        raise AzureError(400, "BadParameter", "The secret's 'exp' is before its 'nbf'.")
    created = old["created"] if old else now
    return {"enabled": requested.get("enabled") is not False, **times, "created": created, "updated": now}


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
    vault_document = azure.store.get(vault)
    location = {"location": vault_document.body["location"]} if vault_document else {}
    return Document(document.id, {**document.body, **location, "properties": properties}, {"versions": versions})


def _bundle(azure: Azure, vault: Document, name: str, version: dict[str, Any], *, value: bool) -> dict[str, Any]:
    bundle: dict[str, Any] = {
        "id": f"{uri_of(azure, vault.id.name)}/secrets/{name}/{version['version']}",
        "attributes": {**version["attributes"], "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90},
        "tags": version["tags"],
    }
    if version["contentType"]:
        bundle["contentType"] = version["contentType"]
    return {**bundle, "value": version["value"]} if value else bundle


def _iso() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
