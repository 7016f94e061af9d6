"""Faults: those that are set, those that can be set with one click, and setting them."""

from collections.abc import Mapping
from typing import Any

from emulator.core.azure import NEXT_CALL, Azure
from emulator.core.errors import AzureError

_STATUSES = {
    "409": "Conflict: another operation is in progress",
    "429": "TooManyRequests: throttled",
    "500": "InternalServerError",
    "503": "ServiceUnavailable",
}
_SWITCHES: Mapping[str, tuple[str, Any]] = {
    "scoring-fails": ("Every deployment answers 500 (clients see 424)", True),
    "probe-fails": ("Probes of new deployments fail, so that a deployment does not become ready", True),
    "deployment-fails": ("The next deployments fail before they start", True),
    "build-fails": ("Builds fail at their first step", True),
    "build-delay": ("Builds wait 30 seconds before their first step", 30),
    "deployment-delay": ("Deployments wait 20 seconds before they start", 20),
    "principal-replication": ("New principals are not found by others for 20 seconds", 20),
}


def faults(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The view model."""
    del query
    known = {*_SWITCHES, NEXT_CALL}
    return {
        "next": azure.faults.get(NEXT_CALL),
        "statuses": [{"value": int(status), "text": text} for status, text in _STATUSES.items()],
        "types": sorted(azure.types),
        "switches": [
            {"name": name, "text": text, "on": azure.faults.get(name) is not None}
            for name, (text, _) in _SWITCHES.items()
        ],
        "others": sorted(set(azure.faults) - known),
    }


def change(azure: Azure, body: Mapping[str, Any]) -> dict[str, Any]:
    """Set or end a fault (400 for one that the page does not offer); the view model after it."""
    name, on = str(body.get("name")), bool(body.get("on"))
    if name == NEXT_CALL:
        azure.fault(NEXT_CALL, _next_call(azure, body) if on else None)
    elif name in _SWITCHES:
        azure.fault(name, _SWITCHES[name][1] if on else None)
    elif name in azure.faults and not on:
        azure.fault(name, None)
    else:
        raise AzureError(400, "BadRequest", f"'{name}' is no fault of this page.")
    return faults(azure, {})


def _next_call(azure: Azure, body: Mapping[str, Any]) -> dict[str, Any]:
    status, type_ = str(body.get("status")), str(body.get("type") or "")
    if status not in _STATUSES or (type_ and type_ not in azure.types):
        raise AzureError(400, "BadRequest", f"status '{status}' or type '{type_}' is none of those that are offered.")
    return {"status": int(status), "code": _STATUSES[status].partition(":")[0], "type": type_}
