"""Storage accounts, as the workspace's default storage needs them.

Owns Microsoft.Storage/storageAccounts: rules, defaults, keys. What lies in them is `storage_data`'s; what Azure's
services put into accounts of their own is `blobs`.
https://learn.microsoft.com/rest/api/storagerp/storage-accounts
"""

import base64
import re
import secrets
from typing import Any, ClassVar

from emulator.core.azure import Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.rules import flag, network_rules, one_of, taken
from emulator.core.store import Document
from emulator.services.managedidentity import access as identity
from emulator.services.network.types import with_connections
from emulator.services.storage import data as storage_data

_NAME = re.compile(r"[a-z0-9]{3,24}")
_SKUS = (
    *("Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS"),
    *("Premium_LRS", "Premium_ZRS"),
)
_KINDS = ("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")
_TLS = ("TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3")
_SWITCH = ("Enabled", "Disabled")
_TIERS = ("Hot", "Cool", "Cold", "Premium")
_FLAGS = ("allowBlobPublicAccess", "allowSharedKeyAccess", "supportsHttpsTrafficOnly", "isHnsEnabled")
_FIXED = ("isHnsEnabled",)


class StorageAccount(ResourceType):
    """Microsoft.Storage/storageAccounts."""

    type = storage_data.ACCOUNTS
    required: ClassVar[tuple[str, ...]] = ("location", "sku", "kind")
    long = True
    long_delete = False
    #: Its states know no "Updating"; a 200 is the finished account.
    #: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create
    long_update = False
    system_data = False
    created = 202

    def check(self, new: Document, old: Document | None) -> Document:
        """Name, SKU, kind; the defaults of a general-purpose account."""
        name, body, requested = new.id.name, new.body, new.properties
        if not _NAME.fullmatch(name):
            raise AzureError(
                400,
                "AccountNameInvalid",
                f"{name} is not a valid storage account name. Storage account name must be between 3 and 24"
                " characters in length and use numbers and lower-case letters only.",
            )
        if taken(self.azure, new):
            raise AzureError(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")
        sku = one_of("sku.name", (body["sku"] or {}).get("name"), _SKUS)
        kind = one_of("kind", body["kind"], _KINDS)
        one_of("properties.minimumTlsVersion", requested.get("minimumTlsVersion"), _TLS)
        one_of("properties.publicNetworkAccess", requested.get("publicNetworkAccess"), _SWITCH)
        one_of("properties.accessTier", requested.get("accessTier"), _TIERS)
        network_rules("properties.networkAcls", requested.get("networkAcls"))
        for field in _FLAGS:
            flag(f"properties.{field}", requested.get(field))
        if old is not None:
            for field in _FIXED:
                if field in requested and bool(requested[field]) != bool(old.properties.get(field)):
                    raise AzureError(409, "AccountPropertyIsReadOnly", f"The property '{field}' cannot be updated.")
        unchanged = {key: value for key, value in (old.properties if old else {}).items() if key not in requested}
        properties = {
            "accessTier": "Hot",
            "allowBlobPublicAccess": False,
            "allowSharedKeyAccess": True,
            "minimumTlsVersion": "TLS1_0",
            "supportsHttpsTrafficOnly": True,
            "networkAcls": {
                "bypass": "AzureServices",
                "defaultAction": "Allow",
                "ipRules": [],
                "virtualNetworkRules": [],
            },
            "encryption": {"keySource": "Microsoft.Storage"},
            "keyCreationTime": {f"key{number}": body["systemData"]["createdAt"] for number in (1, 2)},
            "creationTime": body["systemData"]["createdAt"],
            "primaryLocation": body["location"],
            "statusOfPrimary": "available",
            **unchanged,
            **requested,
            "primaryEndpoints": {
                part: f"{self.azure.url}/not-served/{part}/{name}/" for part in ("queue", "table", "file", "dfs", "web")
            }
            | {"blob": f"{storage_data.account_url(self.azure, name)}/"},
        }
        body = {**body, "sku": {"name": sku, "tier": sku.partition("_")[0]}, "kind": kind, "properties": properties}
        return Document(new.id, identity.assign(self.azure, body, old), new.private or {"keys": [_key(), _key()]})

    def remove(self, document: Document) -> None:
        """What lies in it goes too, and its own identity."""
        storage_data.drop(self.azure, document.id.name)
        identity.release(self.azure, document)

    def show(self, document: Document) -> dict[str, Any]:
        """With the private endpoints that lead to it."""
        return with_connections(self.azure, document, super().show(document))

    def action(self, document: Document, name: str, request: Request) -> Response:
        """Answer listKeys and regenerateKey."""
        if name.lower() == "regeneratekey":
            key_name = one_of("keyName", request.body.get("keyName"), ("key1", "key2"))
            keys = list(document.private["keys"])
            keys[0 if key_name == "key1" else 1] = _key()
            with self.azure.writing(self.type):
                document = self.azure.store.put(
                    Document(document.id, document.body, {**document.private, "keys": keys})
                )
        elif name.lower() != "listkeys":
            return super().action(document, name, request)
        listed: list[dict[str, Any]] = [
            {"keyName": f"key{number}", "value": key, "permissions": "FULL"}
            for number, key in enumerate(document.private["keys"], 1)
        ]
        return Response(200, {"keys": listed})


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
