"""How the page calls things: kinds as Azure's portal names them, names that people read, states, and requests. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId, split
from emulator.core.journal import Entry
from emulator.core.rbac import ASSIGNMENTS, ROLES
from emulator.core.store import Document

_ML = "microsoft.machinelearningservices/workspaces"
_KINDS = {
    "microsoft.authorization/roleassignments": "Role assignment",
    "microsoft.containerregistry/registries": "Container registry",
    "microsoft.containerregistry/registries/runs": "Build run",
    "microsoft.containerservice/managedclusters": "Kubernetes cluster",
    "microsoft.graph/applications": "Entra application",
    "microsoft.graph/serviceprincipals": "Service principal",
    "microsoft.insights/autoscalesettings": "Autoscale setting",
    "microsoft.insights/components": "Application Insights",
    "microsoft.insights/diagnosticsettings": "Diagnostic setting",
    "microsoft.keyvault/vaults": "Key vault",
    "microsoft.keyvault/vaults/secrets": "Vault secret",
    "microsoft.managedidentity/userassignedidentities": "Managed identity",
    "microsoft.operationalinsights/workspaces": "Log Analytics workspace",
    "microsoft.resources/resourcegroups": "Resource group",
    "microsoft.resources/subscriptions": "Subscription",
    "microsoft.storage/storageaccounts": "Storage account",
    _ML: "Azure ML workspace",
    f"{_ML}/codes/versions": "Code version",
    f"{_ML}/computes": "Compute",
    f"{_ML}/connections": "Workspace connection",
    f"{_ML}/environments/versions": "Environment version",
    f"{_ML}/models/versions": "Model version",
    f"{_ML}/onlineendpoints": "Online endpoint",
    f"{_ML}/onlineendpoints/deployments": "Online deployment",
}
_VERSIONS = "/versions"
_LISTING = re.compile(r"/list[A-Z]\w*$")
_GOING = frozenset({"Creating", "Updating", "Deleting", "InProgress", "Queued", "Started", "Running"})
_FAILED = frozenset({"Failed", "Canceled", "Timeout", "Error"})
_BAD_REQUEST = 400
_NOT_FOUND = 404
_READS = frozenset({"GET", "HEAD", "TOKEN"})


def kind_of(type_: str) -> str:
    """What Azure's portal calls a type; of others the last part of the type."""
    return _KINDS.get(type_.lower(), type_.rpartition("/")[2])


def role_of(assignment: Document) -> str:
    """The name of the role that an assignment gives."""
    return ROLES[assignment.properties["roleDefinitionId"].rpartition("/")[2].lower()].name


def name_of(document: Document, principals: Mapping[str, str]) -> str:
    """What people call a resource; `principals` are display names by object id."""
    if document.id.type == ASSIGNMENTS:
        principal = document.properties["principalId"]
        return f"{role_of(document)} for {principals.get(principal, principal)}"
    if document.id.type.lower().endswith(_VERSIONS) and document.id.parent:
        return f"{document.id.parent.name}:{document.id.name}"
    return str(document.body.get("displayName") or document.id.name)


def state_of(document: Document) -> str:
    """The state that ARM shows; a type without one exists, and that is all."""
    properties = document.properties
    return str(properties.get("status") or properties.get("provisioningState") or "Succeeded")


def tone_of(state: str) -> str:
    """How a state is to be read: `ok`, `busy` or `failed`."""
    return "busy" if state in _GOING else "failed" if state in _FAILED else "ok"


def request_row(entry: Entry, names: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """A request as a row of a table; `names` are better names by key. Seconds go to the end of its operation."""
    going = entry.operation is not None and entry.operation.ended is None
    ended = entry.operation.ended if entry.operation else None
    # Asking whether something exists is no failure where it does not.
    missing = entry.method in _READS and entry.status == _NOT_FOUND
    failed = not missing and (bool(entry.failure) or entry.status >= _BAD_REQUEST)
    kind, name = _called(entry.target)
    return {
        "number": entry.number,
        "at": entry.at,
        "service": entry.service,
        "method": entry.method,
        "read": is_read(entry),
        "target": entry.target,
        "kind": kind,
        "name": names.get(entry.target.lower(), name),
        "client": entry.client,
        "status": entry.status,
        "seconds": None if going else round((ended - entry.at) if ended else entry.seconds, 3),
        "state": "InProgress" if going else "Failed" if failed else "NotFound" if missing else "Succeeded",
        "tone": "busy" if going else "failed" if failed else "ok",
        "error": entry.failure if failed else "",
    }


def run_failure(run: Document) -> dict[str, Any]:
    """A failed build run beside failed requests."""
    properties = run.properties
    return {
        "number": run.id.key,
        "at": datetime.fromisoformat(properties["finishTime"]).timestamp(),
        "method": str(properties["status"]),
        "kind": kind_of(run.id.type),
        "name": run.id.name,
        "error": str(properties.get("runErrorMessage") or properties["status"]),
    }


def history_of(key: str, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """What was asked of one resource, newest first."""
    return [request_row(each) for each in entries if is_about(each, key)][::-1]


def is_about(entry: Entry, key: str) -> bool:
    """Whether a request is about a resource or one of its actions, not about what lives in it."""
    target = entry.target.lower().rstrip("/")
    return target == key or (entry.method == "POST" and target.rpartition("/")[0] == key)


def is_read(entry: Entry) -> bool:
    """Whether a request only reads: actions such as `listKeys` do."""
    return entry.method in _READS or (entry.method == "POST" and bool(_LISTING.search(entry.target)))


def _called(target: str) -> tuple[str, str]:
    """Kind and name in a path of ARM; of an action, a list or another service what stands at its end."""
    head, tail = split(target)
    if not tail and not target.lower().startswith("/subscriptions/"):
        return "", target
    try:
        id_ = ResourceId.parse(target)
    except AzureError:
        above, _, last = target.rstrip("/").rpartition("/")
        return last, above.rpartition("/")[2] or head
    versioned = id_.parent if id_.type.lower().endswith(_VERSIONS) else None
    return kind_of(id_.type), f"{versioned.name}:{id_.name}" if versioned else id_.name
