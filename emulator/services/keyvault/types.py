"""Key vaults and the control plane's write-only view of their secrets.

Owns Microsoft.KeyVault/vaults, the deleted ones, and vaults/secrets. Reading and deleting secrets is the data plane's
(`keyvault.data`).
https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults
"""

import re
import time
from typing import Any, ClassVar, Protocol

from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rules import between, network_rules, one_of, taken
from emulator.core.soft_delete import Deleted, RecycleBin
from emulator.core.store import Document
from emulator.services.keyvault.data import (
    MOST_DAYS,
    SECRETS,
    VAULTS,
    check_name,
    deleted_secrets,
    name_is_held,
    new_attributes,
    new_version,
    port_name,
    uri_of,
    with_versions,
)
from emulator.services.network.types import with_connections

_DELETED_VAULTS = "Microsoft.KeyVault/deletedVaults"
_VAULT_NAME = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")


class VaultListeners(Protocol):
    """What lets clients in: a vault is a host of its own, here a port of its own."""

    def open(self, vault: str) -> None:
        """Let clients reach a vault's data plane."""

    def close(self, vault: str) -> None:
        """Let none in any more."""


class Vault(ResourceType):
    """Microsoft.KeyVault/vaults."""

    type = VAULTS
    required: ClassVar[tuple[str, ...]] = ("location", "properties")
    long = True
    long_delete = False

    def check(self, new: Document, old: Document | None) -> Document:
        """Name, tenant, SKU, access policies; purge protection cannot be turned off."""
        name, requested = new.id.name, new.properties
        if not _VAULT_NAME.fullmatch(name):
            raise AzureError(
                400,
                "VaultNameNotValid",
                f"The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters."
                " The name must begin with a letter, end with a letter or digit, and not contain consecutive hyphens.",
            )
        if taken(self.azure, new):
            raise AzureError(409, "VaultAlreadyExists", f"The name '{name}' is already in use.")
        if deleted := self.bin.get(name):
            new = self._recovered(new, deleted)
            requested = new.properties
        if str(requested.get("tenantId") or "").lower() != self.azure.tenant:
            raise AzureError(
                400,
                "BadRequest",
                f"The vault's 'properties.tenantId' is '{requested.get('tenantId') or ''}', but the subscription's"
                f" tenant is '{self.azure.tenant}'.",
            )
        sku = requested.get("sku") or {}
        if not sku.get("name"):
            raise AzureError(400, "BadRequest", "The vault lacks 'properties.sku.name' (standard or premium).")
        one_of("properties.sku.family", sku.get("family"), ("A",))
        one_of("properties.publicNetworkAccess", requested.get("publicNetworkAccess"), ("Enabled", "Disabled"))
        network_rules("properties.networkAcls", requested.get("networkAcls"))
        policies = requested.get("accessPolicies")
        uses_roles = bool(requested.get("enableRbacAuthorization"))
        if policies is None and not uses_roles and old is None:
            raise AzureError(
                400,
                "BadRequest",
                "The parameter 'accessPolicies' is not specified, and enableRbacAuthorization is not on.",
            )
        between("properties.softDeleteRetentionInDays", requested.get("softDeleteRetentionInDays"), 7, MOST_DAYS)
        previous = old.properties if old else {}
        self._stays(requested, previous)
        properties = {
            "enabledForDeployment": False,
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": previous.get("softDeleteRetentionInDays", 90),
            "publicNetworkAccess": "Enabled",
            "accessPolicies": previous.get("accessPolicies", []),
            # `createMode` is write-only: it says how, and is no part of the vault.
            **{key: value for key, value in requested.items() if value is not None and key != "createMode"},
            "enableRbacAuthorization": uses_roles,
            "sku": {"family": "A", "name": one_of("properties.sku.name", str(sku["name"]), ("standard", "premium"))},
            "vaultUri": f"{uri_of(self.azure, name)}/",
        }
        return Document(new.id, {**new.body, "properties": properties}, new.private)

    #: Set by the process that has listeners; without one, the data plane is reached in-process only.
    listeners: VaultListeners | None = None

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self.bin = RecycleBin(azure.store, VAULTS)

    def provision(self, new: Document, old: Document | None) -> Document:
        """Open the data plane; a recovered vault gets its secrets back."""
        if old is None and (deleted := self.bin.get(new.id.name)):
            for secret in deleted.children:
                self.azure.store.put(secret)
            self.bin.purge(new.id.name)
        if self.listeners is not None:
            self.listeners.open(new.id.name)
        return new

    def retire(self, document: Document, children: list[Document], query: dict[str, str]) -> None:
        """A deleted vault holds its name for its retention.

        https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
        """
        del query
        days = int(document.properties["softDeleteRetentionInDays"])
        secrets = [child for child in children if child.id.type.lower() == SECRETS.lower()]
        self.bin.add(document.id.name, document, secrets, days)

    @staticmethod
    def _recovered(new: Document, deleted: Deleted) -> Document:
        """The deleted vault, where a PUT with `createMode: recover` wants it back; refused otherwise.

        https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/create-or-update#createmode
        """
        if str(new.properties.get("createMode")).lower() == "recover":
            before = deleted.document
            return Document(new.id, {**before.body, "location": new.body["location"]}, dict(before.private))
        raise AzureError(
            409,
            "ConflictError",
            "A vault with the same name already exists in deleted state. You need to either recover or purge existing"
            " key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft"
            " delete.",
        )

    def show(self, document: Document) -> dict[str, Any]:
        """With the private endpoints that lead to it."""
        return with_connections(self.azure, document, super().show(document))

    def remove(self, document: Document) -> None:
        """Close the data plane; its port is free again."""
        if self.listeners is not None:
            self.listeners.close(document.id.name)
        self.azure.ports.forget(port_name(document.id.name))

    def resume(self, document: Document) -> None:
        """Open the data plane again."""
        if self.listeners is not None:
            self.listeners.open(document.id.name)

    def suspend(self) -> None:
        """Close all data planes."""
        for document in self.azure.store.of_type(self.type):
            if self.listeners is not None:
                self.listeners.close(document.id.name)

    @staticmethod
    def _stays(requested: dict[str, Any], previous: dict[str, Any]) -> None:
        if requested.get("enablePurgeProtection") is False and previous.get("enablePurgeProtection"):
            raise AzureError(
                400, "BadRequest", 'The property "enablePurgeProtection" cannot be set to false: it cannot be undone.'
            )
        if requested.get("enableSoftDelete") is False:
            raise AzureError(
                400,
                "BadRequest",
                'The property "enableSoftDelete" can be set to false only for creating new vault.'
                if not previous
                else 'The property "enableSoftDelete" cannot be set to false.',
            )
        days, before = requested.get("softDeleteRetentionInDays"), previous.get("softDeleteRetentionInDays")
        if None not in (days, before) and days != before:
            raise AzureError(
                400,
                "BadRequest",
                'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.',
            )


class DeletedVault(ResourceType):
    """Microsoft.KeyVault/locations/deletedVaults: vaults that can be recovered or purged.

    https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/get-deleted
    https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/purge-deleted
    """

    type = "Microsoft.KeyVault/locations/deletedVaults"

    def check_envelope(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """Refuse every PUT."""
        del body
        raise AzureError(405, "MethodNotAllowed", f"The deleted vault '{id_.name}' cannot be written.")

    def action_target(self, id_: ResourceId, action: str) -> Document:
        """The deleted vault."""
        del action
        return self.read(id_)

    def read(self, id_: ResourceId) -> Document:
        """The deleted vault (404 where the name is free)."""
        deleted = self.azure.serving(Vault).bin.get(id_.name)
        if deleted is None:
            raise AzureError(404, "DeletedVaultNotFound", f"The specified deleted vault '{id_.name}' does not exist.")
        vault = deleted.document
        location = vault.body["location"]
        path = f"/subscriptions/{vault.id.subscription}/providers/Microsoft.KeyVault/locations/{location}"
        properties = {
            "vaultId": vault.id.path,
            "location": location,
            "tags": vault.body.get("tags") or {},
            "deletionDate": _moment(deleted.at),
            "scheduledPurgeDate": _moment(deleted.until),
            **({"purgeProtectionEnabled": True} if vault.properties.get("enablePurgeProtection") else {}),
        }
        whole = ResourceId.parse(f"{path}/deletedVaults/{vault.id.name}")
        body = {"id": whole.path, "name": vault.id.name, "type": _DELETED_VAULTS, "properties": properties}
        return Document(whole, body)

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:
        """All deleted vaults of the subscription."""
        del query
        base = f"{scope.path}/providers/Microsoft.KeyVault/locations/any/deletedVaults"
        return [self.read(ResourceId.parse(f"{base}/{name}")) for name in self.azure.serving(Vault).bin.names()]

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`purge`."""
        if name.lower() != "purge":
            return super().action(document, name, request)
        if document.properties.get("purgeProtectionEnabled"):
            raise AzureError(405, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
        self.azure.serving(Vault).bin.purge(document.id.name)
        return Response(200)


class DeletedVaults(DeletedVault):
    """Microsoft.KeyVault/deletedVaults: the same, listed for the subscription."""

    type = "Microsoft.KeyVault/deletedVaults"


class Secret(ResourceType):
    """Microsoft.KeyVault/vaults/secrets: the control plane's write-only view. It needs no data role, as on Azure."""

    type = SECRETS
    stateless = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """Name and value; the value goes where Resource Manager never shows it."""
        name, properties = new.id.name, dict(new.properties)
        check_name(name)
        vault = new.id.parent
        if vault is None:
            raise AzureError(404, "VaultNotFound", f"The secret '{name}' has no vault.")
        if old is None and name.lower() in deleted_secrets(self.azure.find(vault.path)):
            raise name_is_held(name)
        value = properties.pop("value", None)
        if value is None and old is None:
            raise AzureError(400, "BadRequest", f"The secret '{name}' lacks 'properties.value'.")
        versions = list(new.private.get("versions", []))
        attributes = new_attributes(
            properties.get("attributes") or {}, versions[-1]["attributes"] if versions else None
        )
        if value is not None:
            versions.append(new_version(str(value), attributes, properties.get("contentType"), new.body.get("tags")))
        else:
            versions[-1] = {**versions[-1], "attributes": attributes}
        return with_versions(self.azure, vault, new, versions)

    def check_delete(self, document: Document) -> None:
        """Resource Manager deletes no secrets: the data plane does.

        https://learn.microsoft.com/rest/api/keyvault/keyvault/secrets (there is no DELETE)
        """
        raise AzureError(
            405,
            "MethodNotAllowed",
            f"The HTTP method DELETE is not supported for the secret '{document.id.name}': use the data plane.",
        )


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
