"""Key vaults and the control plane's write-only view of their secrets.

Owns Microsoft.KeyVault/vaults and vaults/secrets. What Resource Manager deletes is gone, its name free: soft delete is
simplified here. Reading secrets is the data plane's (`keyvault.data`).
https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults
"""

import re
from typing import Any, ClassVar, Protocol

from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.rules import between, default_action, one_of, taken
from emulator.core.store import Document
from emulator.services.keyvault.data import (
    MOST_DAYS,
    SECRETS,
    VAULTS,
    check_name,
    new_attributes,
    new_version,
    port_name,
    uri_of,
    with_versions,
)

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
        default_action("properties.networkAcls", requested.get("networkAcls"))
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
            **{key: value for key, value in requested.items() if value is not None},
            "enableRbacAuthorization": uses_roles,
            "sku": {"family": "A", "name": one_of("properties.sku.name", str(sku["name"]), ("standard", "premium"))},
            "vaultUri": f"{uri_of(self.azure, name)}/",
        }
        return Document(new.id, {**new.body, "properties": properties}, new.private)

    #: Set by the process that has listeners; without one, the data plane is reached in-process only.
    listeners: VaultListeners | None = None

    def provision(self, new: Document, old: Document | None) -> Document:
        """Open the data plane."""
        del old
        if self.listeners is not None:
            self.listeners.open(new.id.name)
        return new

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


class Secret(ResourceType):
    """Microsoft.KeyVault/vaults/secrets: the control plane's write-only view. It needs no data role, as on Azure."""

    type = SECRETS

    def check(self, new: Document, old: Document | None) -> Document:
        """Name and value; the value goes where Resource Manager never shows it."""
        name, properties = new.id.name, dict(new.properties)
        check_name(name)
        vault = new.id.parent
        if vault is None:
            raise AzureError(404, "VaultNotFound", f"The secret '{name}' has no vault.")
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
