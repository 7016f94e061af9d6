"""Azure Machine Learning workspaces, their connections, and the default datastore that comes with each.

Owns Microsoft.MachineLearningServices/workspaces, .../connections and .../datastores. A workspace gets no registry on
demand, which Azure does: an image build that needs one is refused (`assets.jobs`).
https://learn.microsoft.com/rest/api/azureml/workspaces
https://learn.microsoft.com/rest/api/azureml/workspace-connections
"""

import re
import secrets
import uuid
from functools import partial
from typing import Any, ClassVar

from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.soft_delete import RecycleBin
from emulator.core.store import Document
from emulator.services.machinelearningservices.managednetworks import rules as network_rules
from emulator.services.machinelearningservices.managednetworks import types as managed_networks
from emulator.services.managedidentity import access as identity
from emulator.services.network.types import with_connections
from emulator.services.storage.data import ACCOUNTS

WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
CONNECTIONS = f"{WORKSPACES}/connections"
DATASTORES = f"{WORKSPACES}/datastores"
DATASTORE = "workspaceblobstore"
_NAME = re.compile(r"[a-zA-Z0-9][\w-]{1,254}")
_CONNECTION_NAME = re.compile(r"[a-zA-Z0-9][\w-]{2,32}")
_LINKED = {
    "storageAccount": ACCOUNTS,
    "keyVault": "Microsoft.KeyVault/vaults",
    "applicationInsights": "Microsoft.Insights/components",
    "containerRegistry": "Microsoft.ContainerRegistry/registries",
}
_REQUIRED = ("storageAccount", "keyVault", "applicationInsights")
_FIXED = ("storageAccount", "keyVault")
_FIXED_BY_AZURE = ("workspaceId", "mlFlowTrackingUri", "discoveryUrl", "notebookInfo")
_AUTH_TYPES = {
    "AAD": (),
    "AccessKey": ("accessKeyId", "secretAccessKey"),
    "AccountKey": ("key",),
    "ApiKey": ("key",),
    "CustomKeys": ("keys",),
    "ManagedIdentity": ("clientId", "resourceId"),
    "None": (),
    "PAT": ("pat",),
    "SAS": ("sas",),
    "ServicePrincipal": ("clientId", "clientSecret", "tenantId"),
    "UsernamePassword": ("username", "password"),
}
"""Credentials that each needs. OAuth2 is not served."""
_RETENTION_DAYS = 14
_CATEGORIES = frozenset({"ContainerRegistry", "Git", "PythonFeed", "AzureBlob", "CustomKeys", "ApiKey"})
_SETTABLE = (
    *("category", "authType", "target", "isSharedToAll", "sharedUserList", "metadata", "expiryTime", "error"),
    *("peRequirement", "peStatus", "useWorkspaceManagedIdentity"),
)


class Workspace(ResourceType):
    """Microsoft.MachineLearningServices/workspaces."""

    type = WORKSPACES
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True
    created = 202
    patched = 202

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self.bin = RecycleBin(azure.store, WORKSPACES)

    def check(self, new: Document, old: Document | None) -> Document:
        """Demand what Azure does: storage, vault and insights that exist, an identity, no change of what is fixed."""
        if not _NAME.fullmatch(new.id.name):
            raise _invalid(f"Workspace name '{new.id.name}' is invalid: 2 to 255 letters, digits, '-' and '_'")
        self._check_name_is_free(new, old)
        properties = new.properties
        if any(not properties.get(name) for name in _REQUIRED):
            raise AzureError(400, "ValidationError", "Missing dependent resources in workspace json")
        linked = {name: self._linked(name, str(properties[name])) for name in _LINKED if properties.get(name)}
        for name in _FIXED:
            if old is not None and old.properties[name].lower() != linked[name].lower():
                raise _invalid(
                    f"Changing '{name}' of workspace '{new.id.name}' from '{old.properties[name]}' to '{linked[name]}'"
                    " is not supported: make another workspace"
                )
        access = properties.get("publicNetworkAccess", "Enabled")
        if access not in {"Enabled", "Disabled"}:
            raise _invalid(f"publicNetworkAccess '{access}' is neither 'Enabled' nor 'Disabled'")
        if not (new.body.get("identity") or {}).get("type"):
            raise _invalid(f"Workspace '{new.id.name}' lacks 'identity': give it one of type 'SystemAssigned'")
        self._check_isolation(new, old)
        return self._filled(Document(new.id, identity.assign(self.azure, new.body, old), new.private), old, linked)

    def _filled(self, new: Document, old: Document | None, linked: dict[str, str]) -> Document:
        region = str(new.body["location"])
        deleted = self.bin.get(new.id.key)
        known = old or (deleted.document if deleted else None)
        if known is not None:
            fixed = {name: known.properties[name] for name in _FIXED_BY_AZURE}
        else:
            number = str(uuid.uuid4())
            fixed = {
                "workspaceId": number,
                "mlFlowTrackingUri": f"azureml://{region}.api.azureml.ms/mlflow/v1.0{new.id.path}",
                "discoveryUrl": discovery_url(self.azure, number),
                "notebookInfo": None,
            }
        private = {} if old else {"storageKey": secrets.token_urlsafe(64)}
        defaults = {
            "friendlyName": new.id.name,
            "publicNetworkAccess": "Enabled",
            "hbiWorkspace": False,
            "v1LegacyMode": False,
            "enableDataIsolation": False,
            "storageHnsEnabled": False,
        }
        properties = {**defaults, **new.properties, **linked, **fixed, "tenantId": self.azure.tenant}
        managed = network_rules.settings(new, old)
        if managed is not None:
            properties["managedNetwork"] = managed
        body = {**new.body, "sku": new.body.get("sku") or {"name": "Basic", "tier": "Basic"}}
        body["kind"] = body.get("kind") or "Default"
        rules = network_rules.described(new, managed)
        return Document(new.id, body, new.private).having({**private, "outboundRules": rules}, **properties)

    def _linked(self, name: str, path: str) -> str:
        document = self.azure.linked(path, _LINKED[name])
        if document is None:
            raise _invalid(
                f"'{name}' of the workspace is '{path}', which is not the id of an existing resource of type"
                f" {_LINKED[name]}: create it first"
            )
        return document.id.path

    def provision(self, new: Document, old: Document | None) -> Document:
        """Its default datastore comes with it; a recovered one gets back what lay in it."""
        new = managed_networks.begin(self.azure, new, old)
        if old is None:
            self.azure.store.put(_datastore(new))
        if old is None and (deleted := self.bin.get(new.id.key)):
            for child in deleted.children:
                self.azure.store.put(child)
            self.bin.purge(new.id.key)
        return new

    def retire(self, document: Document, children: list[Document], query: dict[str, str]) -> None:
        """A deleted workspace holds its name, and can be recovered with its assets; endpoints and computes are lost.

        https://learn.microsoft.com/azure/machine-learning/concept-soft-delete
        """
        if not _purges(query):
            lost = ("/onlineendpoints/", "/computes/", "/privateendpointconnections/")
            assets = [child for child in children if not any(part in child.id.key for part in lost)]
            self.bin.add(document.id.key, document, assets, _RETENTION_DAYS)

    def purge(self, id_: ResourceId, query: dict[str, str]) -> None:
        """`forceToPurge=true` gives the name of a deleted workspace free."""
        if _purges(query):
            self.bin.purge(id_.key)

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:
        """The workspaces of a scope; those of a subscription with the deleted ones, which GET does not find.

        https://github.com/Azure/azure-powershell/issues/28286
        """
        alive = super().listing(scope, query)
        if scope.group:
            return alive
        held = [self.bin.get(name) for name in self.bin.names() if name.startswith(f"{scope.key}/")]
        return [*alive, *(each.document.having(provisioningState="Deleting") for each in held if each is not None)]

    def _check_name_is_free(self, new: Document, old: Document | None) -> None:
        """A deleted workspace's name is taken, unless `allowRecoverSoftDeletedWorkspace` brings that one back.

        https://learn.microsoft.com/azure/templates/microsoft.machinelearningservices/2022-01-01-preview/workspaces
        """
        recover = new.properties.pop("allowRecoverSoftDeletedWorkspace", "False")
        if old is None and recover != "True" and self.bin.get(new.id.key) is not None:
            raise AzureError(
                400,
                "BadRequest",
                "Soft-deleted workspace exists. Please purge or recover it. https://aka.ms/wsoftdelete",
            )

    def remove(self, document: Document) -> None:
        """The workspace's own principal goes too."""
        identity.release(self.azure, document)

    def show(self, document: Document) -> dict[str, Any]:
        """With the private endpoints that lead to it, and the rules of its managed network."""
        body = with_connections(self.azure, document, super().show(document))
        if "managedNetwork" in document.properties:
            body["properties"]["managedNetwork"] = managed_networks.shown(self.azure, document)
        return body

    def _check_isolation(self, new: Document, old: Document | None) -> None:
        """Refuse a managed network beside managed endpoints that are outside of it.

        https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#migration-of-compute-resources
        """
        disabled = network_rules.DISABLED
        if old is None or network_rules.mode_of(old) != disabled or network_rules.mode_of(new) == disabled:
            return
        for each in self.azure.store.of_type(f"{WORKSPACES}/onlineEndpoints", new.id):
            if each.body["kind"] == "Managed":
                raise _invalid(
                    f"Workspace '{new.id.name}' cannot get a managed network while it has the managed online endpoint"
                    f" '{each.id.name}': delete that first"
                )

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`listKeys` and `provisionManagedNetwork`."""
        if name.lower() == "provisionmanagednetwork":
            if network_rules.mode_of(document) == network_rules.DISABLED:
                raise _invalid(f"Workspace '{document.id.name}' has no managed network: its isolationMode is Disabled")
            work = partial(managed_networks.provision, self.azure, document.id)
            return Response(202, None, self.azure.operations.start(document.id.path, work))
        if name.lower() != "listkeys":
            return super().action(document, name, request)
        insights = self.azure.store.get(ResourceId.parse(document.properties["applicationInsights"]))
        body = {
            "userStorageKey": document.private["storageKey"],
            "userStorageResourceId": document.properties["storageAccount"],
            "appInsightsInstrumentationKey": insights.properties.get("InstrumentationKey") if insights else None,
            "containerRegistryCredentials": None,
            "notebookAccessKeys": None,
        }
        return Response(200, body)


class Connection(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/connections: credentials are shown by `listsecrets` only."""

    type = CONNECTIONS
    stateless = True
    created = 200

    def check(self, new: Document, old: Document | None) -> Document:
        """Move the credentials out of sight. A change that names none keeps those that are there."""
        if not _CONNECTION_NAME.fullmatch(new.id.name):
            raise _invalid(f"Connection name '{new.id.name}' is invalid: 3 to 33 letters, digits, '-' and '_'")
        properties = new.properties
        for name in ("category", "authType", "target"):
            if not properties.get(name):
                raise _invalid(f"Connection '{new.id.name}' lacks '{name}'")
        if properties["category"] not in _CATEGORIES:
            raise _invalid(f"category '{properties['category']}' is none of {', '.join(sorted(_CATEGORIES))}")
        fields = _AUTH_TYPES.get(properties["authType"])
        if fields is None:
            raise _invalid(f"authType '{properties['authType']}' is none of {', '.join(_AUTH_TYPES)}")
        credentials = properties.get("credentials") or (old.private.get("credentials") if old else None) or {}
        missing = [name for name in fields if not credentials.get(name)]
        if missing:
            raise _invalid(
                f"Connection '{new.id.name}' of authType {properties['authType']} lacks 'credentials.{missing[0]}'"
            )
        settable = {name: properties[name] for name in _SETTABLE if properties.get(name) is not None}
        # Read-only ones as the examples of Get-AzMLWorkspaceConnection show them.
        fixed = {"group": "Azure", "createdByWorkspaceArmId": new.id.path.rpartition("/connections/")[0]}
        body = {**new.body, "properties": {"isSharedToAll": False, **settable, **fixed}}
        return Document(new.id, body, {"credentials": {name: credentials[name] for name in fields}})

    def show(self, document: Document) -> dict[str, Any]:
        """Without credentials."""
        body = super().show(document)
        return {**body, "properties": {**body["properties"], "credentials": None}}

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`listsecrets`."""
        if name.lower() != "listsecrets":
            return super().action(document, name, request)
        body = self.show(document)
        return Response(200, {**body, "properties": {**body["properties"], **document.private}})


_DATASTORE_DEFAULTS = {
    "endpoint": "core.windows.net",
    "protocol": "https",
    "serviceDataAccessAuthIdentity": "None",
    "tags": {},
}


def discovery_url(azure: Azure, number: str) -> str:
    """Where a workspace's own API says what it consists of; by the workspace's number."""
    return f"{azure.url}/discovery/workspaces/{number}"


def _purges(query: dict[str, str]) -> bool:
    return query.get("forceToPurge", "").lower() == "true"


def _datastore(workspace: Document) -> Document:
    """The default datastore: a container of the workspace's storage account.

    https://learn.microsoft.com/rest/api/azureml/datastores
    """
    account = ResourceId.parse(str(workspace.properties["storageAccount"]))
    id_ = workspace.id.child("datastores", DATASTORE)
    properties = {
        "datastoreType": "AzureBlob",
        "accountName": account.name,
        "containerName": f"azureml-blobstore-{workspace.properties['workspaceId']}",
        "isDefault": True,
        "credentials": {"credentialsType": "AccountKey"},
        **_DATASTORE_DEFAULTS,
    }
    body = {"id": id_.path, "name": DATASTORE, "type": DATASTORES, "properties": properties}
    return Document(id_, {**body, "systemData": workspace.body["systemData"]})


def _invalid(text: str) -> AzureError:
    return AzureError(400, "ValidationError", text)


class Datastore(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/datastores: containers of blobs; one comes with its workspace."""

    type = DATASTORES
    stateless = True

    def check(self, new: Document, old: Document | None) -> Document:
        """A container of an account that is there; credentials are never answered."""
        del old
        properties = new.properties
        if new.id.name == DATASTORE:
            raise _invalid(f"Datastore '{DATASTORE}' is the workspace's own: the local Azure does not change it")
        if properties.get("datastoreType") != "AzureBlob":
            raise _invalid(f"datastoreType '{properties.get('datastoreType')}' is not served here: write AzureBlob")
        for name in ("accountName", "containerName", "credentials"):
            if not properties.get(name):
                raise _invalid(f"Datastore '{new.id.name}' needs '{name}'")
        account_of(self.azure, new)
        kind = {"credentialsType": properties["credentials"].get("credentialsType")}
        return new.having(**{**_DATASTORE_DEFAULTS, **properties, "credentials": kind, "isDefault": False})

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`listSecrets`: the account's key, where the account lets keys in."""
        if name.lower() != "listsecrets":
            return super().action(document, name, request)
        account = account_of(self.azure, document)
        kind = document.properties["credentials"]["credentialsType"]
        if kind != "AccountKey" or account.properties.get("allowSharedKeyAccess") is False:
            return Response(200, {"secretsType": "None"})
        return Response(200, {"secretsType": "AccountKey", "key": account.private["keys"][0]})


def account_of(azure: Azure, datastore: Document) -> Document:
    """The storage account of a datastore; its name is unique in all of Azure."""
    name = str(datastore.properties["accountName"])
    for account in azure.store.of_type(ACCOUNTS):
        if account.id.name == name:
            return account
    raise _invalid(f"Storage account '{name}' of datastore '{datastore.id.name}' does not exist")
