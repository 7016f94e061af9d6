"""Container registries, the runs of their ACR Tasks, and agent pools of their own.

Owns Microsoft.ContainerRegistry/registries with its actions and the registry server behind each, registries/runs and
registries/agentPools. Who may pull or push, and from where, is decided by `containerregistry.access`, builds are
`containerregistry.jobs`. Encryption, replications and webhooks are stored without an effect.
https://learn.microsoft.com/azure/templates/microsoft.containerregistry/registries
"""

import re
import secrets
import shutil
import socket
import string
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from emulator.backends import docker_engine, signed_blobs
from emulator.backends.distribution import PortTakenError, Server, Settings
from emulator.core import api_versions
from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rules import between, network_rules, one_of
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry import data as imports
from emulator.services.containerregistry import jobs as tasks
from emulator.services.containerregistry.access import REGISTRIES
from emulator.services.managedidentity import access as identity
from emulator.services.network.rules import SUBNETS
from emulator.services.network.types import POOLS, with_connections
from emulator.services.resources.types import quota_id

_NAME = re.compile(r"[a-zA-Z0-9]{5,50}")
#: registries@2025-04-01 of bicep-types-az has no role assignment mode, azure-mgmt-containerregistry 2025-11-01 has one.
_BEFORE_ABAC = frozenset(each for each in api_versions.versions(REGISTRIES) if each < "2024-11" or each == "2025-04-01")
#: Of bicep-types-az: registries@2023-01-01-preview and 2025-04-01 know them, 2019-06-01-preview and 2023-07-01 do not.
_BEFORE_ANONYMOUS = frozenset(
    each
    for each in api_versions.versions(REGISTRIES)
    if each < "2020-11-01-preview" or (each < "2025-04-01" and "preview" not in each)
)
#: https://learn.microsoft.com/azure/cost-management-billing/costs/understand-cost-mgt-data
_FREE_OFFERS = frozenset({"FreeTrial_2014-09-01", "AzureForStudents_2018-01-01"})
_SKUS = ("Basic", "Standard", "Premium")
_PASSWORDS = ("password", "password2")
_MOST_KEPT = 365
"""Days after which untagged manifests can be deleted, at most."""
_ATTEMPTS = 5
_MOST_AGENTS = 1000
_POOL_TIERS = ("S1", "S2", "S3", "I6")
_CHOICES = {
    "publicNetworkAccess": ("Enabled", "Disabled"),
    "networkRuleBypassOptions": ("AzureServices", "None"),
    "zoneRedundancy": ("Enabled", "Disabled"),
    "roleAssignmentMode": ("LegacyRegistryPermissions", "AbacRepositoryPermissions"),
}
_SWITCHES = ("adminUserEnabled", "anonymousPullEnabled", "dataEndpointEnabled", "networkRuleBypassAllowedForTasks")
_DEFAULTS: dict[str, Any] = {
    "adminUserEnabled": False,
    "anonymousPullEnabled": False,
    "dataEndpointEnabled": False,
    "dataEndpointHostNames": [],
    "encryption": {"status": "disabled"},
    "networkRuleBypassAllowedForTasks": False,
    "networkRuleBypassOptions": "AzureServices",
    "privateEndpointConnections": [],
    "publicNetworkAccess": "Enabled",
    "roleAssignmentMode": "LegacyRegistryPermissions",
    "zoneRedundancy": "Disabled",
}
_POLICIES: dict[str, dict[str, Any]] = {
    "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
    "exportPolicy": {"status": "enabled"},
    "quarantinePolicy": {"status": "disabled"},
    "retentionPolicy": {"days": 7, "status": "disabled"},
    "trustPolicy": {"status": "disabled", "type": "Notary"},
}
_ADMIN_DOCS = (
    "https://docs.microsoft.com/en-us/azure/container-registry/container-registry-authentication#admin-account"
)
_TAKEN_DOCS = "https://docs.microsoft.com/en-us/rest/api/containerregistry/registries/checknameavailability"


class Fronts(Protocol):
    """What listens on a registry's port in front of its server."""

    def open(self, login_server: str, listener: socket.socket, server: int) -> None:
        """Listen for a registry whose server has a port of its own."""

    def close(self, login_server: str) -> None:
        """Listen no more."""


class Registry(ResourceType):
    """Microsoft.ContainerRegistry/registries."""

    type = REGISTRIES
    unknown_in: ClassVar[Mapping[str, frozenset[str]]] = {
        **dict.fromkeys(("roleAssignmentMode", "networkRuleBypassAllowedForTasks"), _BEFORE_ABAC),
        **dict.fromkeys(("anonymousPullEnabled", "policies.azureADAuthenticationAsArmPolicy"), _BEFORE_ANONYMOUS),
    }
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self._servers: dict[str, Server] = {}
        self._lock = threading.Lock()
        #: Set by the process where registries answer https.
        self.fronts: Fronts | None = None

    def check(self, new: Document, old: Document | None) -> Document:
        """Refuse as Azure does; fill in what Azure fills in."""
        if not _NAME.fullmatch(new.id.name):
            raise AzureError(
                400,
                "InvalidResourceName",
                f"The registry name '{new.id.name}' is invalid. Resource names may contain alpha numeric characters"
                " only and must be between 5 and 50 characters.",
            )
        self._refuse_taken(new)
        sku = _sku(new)
        properties = _properties(new, sku)
        previous = old.properties if old else {}
        policies = {
            name: {**default, **(properties.get("policies") or {}).get(name, {})} for name, default in _POLICIES.items()
        }
        body = identity.assign(self.azure, {**new.body, "sku": {"name": sku, "tier": sku}}, old)
        private = new.private
        if "passwords" not in private:
            private = {**private, "passwords": {name: _password() for name in _PASSWORDS}}
        unchanged: dict[str, Any] = {
            name: previous[name] for name in ("loginServer", "creationDate") if name in previous
        }
        stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        properties = {"creationDate": stamp, **properties, **unchanged, "policies": policies}
        return Document(new.id, {**body, "properties": properties}, private)

    def provision(self, new: Document, old: Document | None) -> Document:
        """Have a registry server run."""
        if new.id.key not in self._servers:
            new = self._serve(new, fresh=old is None)
        return new

    def remove(self, document: Document) -> None:
        """End the server, and take away its images: those in its storage, and what the engine holds under its names."""
        with self._lock:
            server = self._servers.pop(document.id.key, None)
        if server is not None:
            self._stop(server)
        shutil.rmtree(self._folder(document), ignore_errors=True)
        self.azure.ports.forget(_port_name(document))
        identity.release(self.azure, document)
        try:
            docker_engine.forget(docker_engine.names_in(document.properties.get("loginServer", "-")))
        except AzureError:
            # Without an engine nothing of the registry is in it that matters.
            return

    def resume(self, document: Document) -> None:
        """Start the server again, at the port that it had; one that was half made has its address from now on."""
        self.azure.store.put(self._serve(document, fresh=False))

    def suspend(self) -> None:
        """End all servers."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            self._stop(server)

    def show(self, document: Document) -> dict[str, Any]:
        """With the private endpoints that lead to it."""
        return with_connections(self.azure, document, super().show(document))

    def _stop(self, server: Server) -> None:
        if self.fronts is not None:
            self.fronts.close(server.settings.service)
        server.stop()

    def log(self, document: Document) -> str | None:
        """What the registry server wrote."""
        file = self._folder(document) / "registry.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else None

    def action(self, document: Document, name: str, request: Request) -> Response:
        """Credentials, builds and imports."""
        handler = {
            "listcredentials": self._list_credentials,
            "regeneratecredential": self._regenerate,
            "listbuildsourceuploadurl": self._upload_url,
            "schedulerun": self._schedule,
            "importimage": self._import,
        }.get(name.lower())
        return handler(document, request) if handler else super().action(document, name, request)

    def _list_credentials(self, document: Document, _request: Request) -> Response:
        if not document.properties.get("adminUserEnabled"):
            raise AzureError(
                400,
                "UnAuthorizedForCredentialOperations",
                f"Cannot perform credential operations for {document.id.path} as admin user is disabled."
                f" Kindly enable admin user as per docs: {_ADMIN_DOCS}",
            )
        passwords = [{"name": name, "value": document.private["passwords"][name]} for name in _PASSWORDS]
        return Response(200, {"username": document.id.name, "passwords": passwords})

    def _regenerate(self, document: Document, request: Request) -> Response:
        self._list_credentials(document, request)
        name = request.body.get("name")
        if name not in _PASSWORDS:
            raise AzureError(400, "InvalidRequestContent", f"name '{name}' is none of {', '.join(_PASSWORDS)}.")
        passwords = {**document.private["passwords"], name: _password()}
        return self._list_credentials(self.azure.store.put(document.having({"passwords": passwords})), request)

    def _upload_url(self, document: Document, _request: Request) -> Response:
        return Response(200, tasks.upload_url(self.azure, document))

    def _schedule(self, document: Document, request: Request) -> Response:
        _check_offer(self.azure, document)
        return Response(200, self.azure.serving(Runs).agent.schedule(document, request))

    def _import(self, document: Document, request: Request) -> Response:
        import_ = imports.read_import(self.azure, document, request)
        with self.azure.writing(f"{REGISTRIES}/importImage"):
            operation = self.azure.operations.start(document.id.path, lambda: imports.copy_images(import_))
        return Response(202, None, operation)

    def _refuse_taken(self, new: Document) -> None:
        for other in self.azure.store.of_type(REGISTRIES):
            if other.id.name.lower() == new.id.name.lower() and other.id.key != new.id.key:
                raise AzureError(
                    409,
                    "AlreadyInUse",
                    f"The registry DNS name {new.id.name.lower()}.azurecr.io is already in use. You can check if the"
                    f" name is already claimed using following API: {_TAKEN_DOCS}",
                )

    def _serve(self, document: Document, *, fresh: bool) -> Document:
        for attempt in range(_ATTEMPTS):
            port = self.azure.ports.choose(_port_name(document))
            settings = Settings(
                self._folder(document),
                self.azure.ports.choose(f"{_port_name(document)} server") if self.fronts else port,
                f"localhost:{port}",
                registry_access.realm(self.azure),
                registry_access.issuer(),
                registry_access.certificate(self.azure),
            )
            try:
                server = Server(settings)
            except PortTakenError:
                # Nobody knows a new registry's address yet; that of an old one stands in other people's state.
                if not fresh or attempt == _ATTEMPTS - 1:
                    raise
                self.azure.ports.forget(_port_name(document))
                continue
            with self._lock:
                self._servers[document.id.key] = server
            if self.fronts is not None:
                self.fronts.open(settings.service, self.azure.ports.bind(_port_name(document)), settings.port)
            break
        return document.having(loginServer=settings.service)

    def _folder(self, document: Document) -> Path:
        return self.azure.folder / "registries" / document.id.name.lower()


class Runs(ResourceType):
    """Microsoft.ContainerRegistry/registries/runs: builds by ACR Tasks."""

    type = tasks.RUNS

    def __init__(self, azure: Azure) -> None:
        super().__init__(azure)
        self.agent = tasks.Agent(azure)

    def check(self, new: Document, old: Document | None) -> Document:
        """Only `isArchiveEnabled` can be changed, and only of a run that exists."""
        if old is None:
            raise AzureError(405, "MethodNotAllowed", "Runs are made by scheduleRun.")
        properties = {**old.properties, "isArchiveEnabled": bool(new.properties.get("isArchiveEnabled"))}
        return Document(old.id, {**old.body, "properties": properties}, old.private)

    def check_delete(self, document: Document) -> None:
        """Runs cannot be deleted."""
        raise AzureError(405, "MethodNotAllowed", f"The run '{document.id.name}' cannot be deleted.")

    def remove(self, document: Document) -> None:
        """End the run and delete its log, when its registry is deleted."""
        self.agent.end([document.id.key], "Canceled")
        shutil.rmtree(self._log_file(document).parent, ignore_errors=True)

    def action(self, document: Document, name: str, request: Request) -> Response:
        """The log's URL; cancelling."""
        if name.lower() == "listlogsasurl":
            link = signed_blobs.read_url(self.azure, tasks.log_blob(document))
            return Response(200, {"logLink": link, "logArtifactLink": None})
        if name.lower() != "cancel":
            return super().action(document, name, request)
        if not self.agent.cancel(document):
            status = document.properties["status"]
            raise AzureError(400, "RunNotCancellable", f"The run '{document.id.name}' has ended: {status}.")
        return Response(200)

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:
        """Runs, newest first; `$top` is understood."""
        runs = super().listing(scope, query)[::-1]
        return runs[: int(query["$top"])] if query.get("$top", "").isdigit() else runs

    def log(self, document: Document) -> str | None:
        """The log of the run."""
        path = self._log_file(document)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None

    def resume(self, document: Document) -> None:
        """A run that was active when the service stopped has failed."""
        if document.properties["status"] in tasks.GOING:
            self.agent.finish(document, "Failed", "the service restarted while the run was going on")

    def suspend(self) -> None:
        """End all runs."""
        self.agent.end_all()

    def _log_file(self, document: Document) -> Path:
        return signed_blobs.blob_path(self.azure, tasks.log_blob(document))


class AgentPool(ResourceType):
    """Microsoft.ContainerRegistry/registries/agentPools: agents of a registry's own, in a virtual network.

    https://learn.microsoft.com/azure/container-registry/tasks-agent-pools
    """

    type = POOLS
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """Premium registries only; the count alone can be changed."""
        registry = self.azure.find(new.id.parent.path if new.id.parent else "")
        if registry.body["sku"]["name"] != "Premium":
            raise AzureError(
                400,
                "BadRequest",
                f"Agent pools are not supported for the SKU {registry.body['sku']['name']}: it must be Premium.",
            )
        requested, previous = new.properties, old.properties if old else {}
        between("count", requested.get("count"), 0, _MOST_AGENTS)
        one_of("os", requested.get("os"), ("Linux",))
        tier = one_of("tier", requested.get("tier"), _POOL_TIERS)
        subnet = requested.get("virtualNetworkSubnetResourceId")
        if subnet and self.azure.linked(subnet, SUBNETS) is None:
            raise AzureError(
                400, "BadRequest", f"virtualNetworkSubnetResourceId '{subnet}' is not a subnet that exists."
            )
        properties = {"count": 1, "os": "Linux", **requested, "tier": tier}
        for field in ("tier", "virtualNetworkSubnetResourceId"):
            if old is not None and str(previous.get(field)).lower() != str(properties.get(field)).lower():
                raise AzureError(400, "BadRequest", f"'{field}' of agent pool '{new.id.name}' cannot be changed.")
        return Document(new.id, {**new.body, "properties": properties})

    def action(self, document: Document, name: str, request: Request) -> Response:
        """How many runs wait."""
        if name.lower() != "listqueuestatus":
            return super().action(document, name, request)
        runs = self.azure.store.of_type(tasks.RUNS, document.id.parent)
        waiting = [each for each in runs if each.properties.get("agentPoolName") == document.id.name]
        return Response(200, {"count": sum(each.properties["status"] == "Queued" for each in waiting)})


def _port_name(document: Document) -> str:
    return f"registry {document.id.name.lower()}"


def _sku(new: Document) -> str:
    name = (new.body.get("sku") or {}).get("name")
    if not name or str(name).lower() == "classic":
        raise AzureError(
            400,
            "ClassicSkuDeprecated",
            "Classic SKU is now deprecated. Please select a managed SKU. Kindly refer to docs for instructions:"
            " https://docs.microsoft.com/en-us/azure/container-registry/container-registry-upgrade",
        )
    match = next((sku for sku in _SKUS if sku.lower() == str(name).lower()), None)
    if match is None:
        raise AzureError(400, "SkuNotSupported", f"The SKU '{name}' is none of {', '.join(_SKUS)}.")
    return match


def _properties(new: Document, sku: str) -> dict[str, Any]:
    requested = {name: value for name, value in new.properties.items() if value is not None}
    properties = {**_DEFAULTS, **requested, "status": {"displayStatus": "Ready"}}
    for name, choices in _CHOICES.items():
        match = next((choice for choice in choices if choice.lower() == str(properties[name]).lower()), None)
        if match is None:
            raise AzureError(
                400, "InvalidRequestContent", f"{name} '{properties[name]}' is none of {', '.join(choices)}."
            )
        properties[name] = match
    for name in _SWITCHES:
        if not isinstance(properties[name], bool):
            raise AzureError(400, "InvalidRequestContent", f"{name} '{properties[name]}' is neither true nor false.")
    network_rules("networkRuleSet", requested.get("networkRuleSet"))
    if (requested.get("networkRuleSet") or {}).get("defaultAction") == "Deny" and sku != "Premium":
        # https://learn.microsoft.com/azure/container-registry/container-registry-access-selected-networks: Premium. The
        # words are not Azure's.
        raise AzureError(400, "BadRequest", f"Network rules are not supported for the SKU {sku}: it must be Premium.")
    for name, policy in (requested.get("policies") or {}).items():
        one_of(f"policies.{name}.status", policy.get("status"), ("enabled", "disabled"))
        between(f"policies.{name}.days", policy.get("days"), 0, _MOST_KEPT)
    if properties["anonymousPullEnabled"] and sku == "Basic":
        raise AzureError(
            400,
            "BadRequest",
            f"Anonymous pull is not supported for SKU Managed_{sku}."
            " For more information on SKU tiers, please visit https://aka.ms/acr/tiers.",
        )
    if properties["publicNetworkAccess"] == "Disabled" and sku != "Premium":
        raise AzureError(
            400,
            "DisablingPublicNetworkAccessNotSupported",
            f"Disabling public network access is not supported for the SKU {sku}."
            " For more information, please visit https://aka.ms/acr/private-link.",
        )
    return properties


def _check_offer(azure: Azure, registry: Document) -> None:
    """Refuse runs in subscriptions that live on free credits.

    https://learn.microsoft.com/azure/container-registry/container-registry-tasks-overview
    The words are a recorded answer's: https://github.com/Azure-Samples/azure-search-openai-demo/issues/2220
    """
    if quota_id(azure) in _FREE_OFFERS:
        raise AzureError(
            400,
            "TasksOperationsNotAllowed",
            f"ACR Tasks requests for the registry {registry.id.name} and {registry.id.subscription} are not permitted."
            " Please file an Azure support request at http://aka.ms/azuresupport for assistance.",
        )


def _password() -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(52))
