"""What a workspace's managed network may be, and its outbound rules. Pure.

https://learn.microsoft.com/azure/machine-learning/how-to-managed-network
"""

import re
import uuid
from typing import Any

from emulator.core.errors import AzureError
from emulator.core.rules import one_of
from emulator.core.store import Document

OUTBOUND = "Microsoft.MachineLearningServices/workspaces/outboundRules"
DISABLED, INTERNET, APPROVED = "Disabled", "AllowInternetOutbound", "AllowOnlyApprovedOutbound"
_MODES = (DISABLED, INTERNET, APPROVED)
_TYPES = ("FQDN", "PrivateEndpoint", "ServiceTag")
_CATEGORIES = ("UserDefined", "Required", "Recommended", "Dependency")
_FQDN = re.compile(r"(\*\.)?([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}")
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,254}")
_REQUIRED_TAGS = (
    *("AzureActiveDirectory", "AzureMachineLearning", "AzureResourceManager", "AzureFrontDoor.FirstParty"),
    *("MicrosoftContainerRegistry", "AzureMonitor"),
)
_LINKS = {
    "storageAccount": ("blob", "file"),
    "keyVault": ("vault",),
    "containerRegistry": ("registry",),
}
"""What of a workspace's own resources its managed network gets private endpoints to."""


def mode_of(workspace: Document) -> str:
    """The isolation of a workspace."""
    return str((workspace.properties.get("managedNetwork") or {}).get("isolationMode") or DISABLED)


def settings(workspace: Document, old: Document | None) -> dict[str, Any] | None:
    """`managedNetwork` with Azure's defaults and without its rules; None where there is none."""
    requested = workspace.properties.get("managedNetwork")
    before: dict[str, Any] = (old.properties.get("managedNetwork") if old else None) or {}
    if requested is None:
        return before or None
    mode = one_of("managedNetwork.isolationMode", requested.get("isolationMode"), _MODES)
    _check_change(before.get("isolationMode") or DISABLED, mode)
    one_of("managedNetwork.firewallSku", requested.get("firewallSku"), ("Standard", "Basic"))
    if mode == DISABLED:
        return {"isolationMode": DISABLED}
    fixed = {
        "networkId": before.get("networkId") or str(uuid.uuid4()),
        "status": before.get("status") or {"status": "Inactive", "sparkReady": False},
    }
    rest = {name: value for name, value in requested.items() if name not in {"outboundRules", "status", "networkId"}}
    return {**rest, "isolationMode": mode, **fixed}


def described(workspace: Document, managed: dict[str, Any] | None) -> dict[str, Any]:
    """The rules of one's own that a workspace's PUT names; required ones come back in it, and are Azure's."""
    named = (workspace.properties.get("managedNetwork") or {}).get("outboundRules") or {}
    own = {name: rule for name, rule in named.items() if rule and rule.get("category") != "Required"}
    return {name: check_rule(name, rule, (managed or {}).get("isolationMode", DISABLED)) for name, rule in own.items()}


def _check_change(before: str, mode: str) -> None:
    """Refuse to take isolation back, or to change its kind.

    The words of the first are a recorded answer's: https://github.com/Azure/AI-in-a-Box (README of
    gen-ai/ai-landing-zone); both rules are documented among the limitations and notes of the page above.
    """
    if before != DISABLED and mode == DISABLED:
        raise AzureError(400, "ValidationError", "Managed network cannot be disabled once enabled.")
    if before == INTERNET and mode == APPROVED:
        raise AzureError(
            400,
            "ValidationError",
            f"The isolation mode of a managed network cannot be changed from {before} to {mode}.",
        )


def check_rule(name: str, properties: dict[str, Any], mode: str) -> dict[str, Any]:
    """A rule as Azure shows it. FQDNs and service tags are for `AllowOnlyApprovedOutbound`."""
    if not _NAME.fullmatch(name):
        raise _invalid(f"Outbound rule name '{name}' is invalid")
    kind, destination = properties.get("type"), properties.get("destination")
    if kind not in _TYPES:
        raise _invalid(f"type '{kind}' of outbound rule '{name}' is none of {', '.join(_TYPES)}")
    category = one_of("category", properties.get("category"), _CATEGORIES)
    if mode == DISABLED:
        raise _invalid(f"Outbound rule '{name}' needs a managed network: the workspace's isolationMode is Disabled")
    if kind != "PrivateEndpoint" and mode != APPROVED:
        raise _invalid(f"Outbound rule '{name}' of type {kind} needs isolationMode {APPROVED}, which is {mode}")
    if not destination:
        raise _invalid(f"Outbound rule '{name}' lacks 'destination'")
    checks = {"FQDN": _check_fqdn, "PrivateEndpoint": _check_link, "ServiceTag": _check_tag}
    checks[kind](name, destination)
    return {"type": kind, "category": category, "destination": destination}


def _check_fqdn(name: str, destination: object) -> None:
    if not isinstance(destination, str) or not _FQDN.fullmatch(destination):
        raise _invalid(f"destination '{destination}' of outbound rule '{name}' is no fully qualified domain name")


def matches(destination: str, host: str) -> bool:
    """Whether an FQDN rule has a name: the whole of it, or by a wildcard one that ends so."""
    name, wanted = host.lower().rstrip("."), destination.lower()
    return name.endswith(wanted[1:]) if wanted.startswith("*.") else name == wanted


def _check_link(name: str, destination: Any) -> None:  # noqa: ANN401 - JSON
    for field in ("serviceResourceId", "subresourceTarget"):
        if not isinstance(destination, dict) or not destination.get(field):
            raise _invalid(f"Outbound rule '{name}' lacks 'destination.{field}'")


def _check_tag(name: str, destination: Any) -> None:  # noqa: ANN401 - JSON
    for field in ("serviceTag", "protocol", "portRanges"):
        if not isinstance(destination, dict) or not destination.get(field):
            raise _invalid(f"Outbound rule '{name}' lacks 'destination.{field}'")


def required(workspace: Document, private: set[str]) -> dict[str, dict[str, Any]]:
    """The rules that come with a managed network, by name; `private` are the ids without public access, in lower case.

    https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#list-of-required-rules
    """
    everything = mode_of(workspace) == APPROVED
    linked = {
        f"__SYS_PE_{path.rpartition('/')[2]}_{group}": _link(path, group)
        for field, groups in _LINKS.items()
        for group in groups
        if (path := str(workspace.properties.get(field) or "")) and (everything or path.lower() in private)
    }
    tags = {f"__SYS_ST_{tag}": _tag(tag) for tag in _REQUIRED_TAGS} if everything else {}
    return {**linked, **tags}


def _link(path: str, group: str) -> dict[str, Any]:
    destination = {"serviceResourceId": path, "subresourceTarget": group, "sparkEnabled": False}
    return {"type": "PrivateEndpoint", "category": "Required", "destination": destination}


def _tag(tag: str) -> dict[str, Any]:
    destination = {"serviceTag": tag, "protocol": "TCP", "portRanges": "443"}
    return {"type": "ServiceTag", "category": "Required", "destination": destination}


def _invalid(text: str) -> AzureError:
    return AzureError(400, "ValidationError", text)
