"""What a change does to the network, in one sentence: which part becomes reachable from where, what deployments reach.

Owns the reading of public access and rules off the resources' properties. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from azureml_scoring.delivery.changes import UNKNOWN, Change
from azureml_scoring.delivery.markdown import code

_PARTS: Final = {
    "Registry": "registry",
    "Vault": "vault",
    "StorageAccount": "storage",
    "Workspace": "workspace",
    "OnlineEndpoint": "endpoint",
}
"""Parts with public access, by kind of resource."""
_INTERNET: Final = "the internet"
_RULES: Final = ("networkRuleSet", "networkAcls")
_ADDRESS: Final = ("iPAddressOrRange", "value")


def exposure(changes: Iterable[Change]) -> list[str]:
    """Return what changes, a clause for each: the widest first."""
    changes = list(changes)
    return [*_reached(changes), *_reaches(changes)]


def _reached(changes: list[Change]) -> Iterator[str]:
    """Say which parts become reachable from where, and which are closed."""
    opened: dict[str, list[str]] = {}
    closed: list[str] = []
    for change in changes:
        name = _PARTS.get(change.kind)
        if name is None or change.op != "update":
            continue
        before, after = _audience(change.old), _audience(change.new)
        if before == after:
            continue
        names = opened.setdefault(after, []) if after else closed
        if name not in names:
            names.append(name)
    for audience, names in sorted(opened.items(), key=lambda each: each[0] != _INTERNET):
        alone = "" if audience == _INTERNET else " alone"
        yield f"**{_several(names)} become{_s(names)} reachable from {audience}{alone}**"
    if closed:
        yield f"{_several(closed)} {'are' if len(closed) > 1 else 'is'} closed to the internet"


def _reaches(changes: list[Change]) -> Iterator[str]:
    """Say what deployments of a managed network reach from now on, and what no longer."""
    rules = [change for change in changes if change.kind == "ManagedNetworkSettingsRule"]
    added = [_destination(change.new) for change in rules if change.op in {"create", "update", "replace"}]
    removed = [_destination(change.old) for change in rules if change.op == "delete"]
    if added:
        yield f"**deployments may reach {_several(added)}**"
    if removed:
        yield f"deployments no longer reach {_several(removed)}"


def _audience(properties: Mapping[str, Any]) -> str:
    """Name who on the internet reaches a part; nobody is an empty text."""
    inside = properties.get("properties") if isinstance(properties.get("properties"), Mapping) else properties
    inside = inside or {}
    # Azure's default is public; Azure ML spells the word with a capital, the vault takes any.
    if str(inside.get("publicNetworkAccess") or "Enabled").lower() != "enabled":
        return ""
    rules: Mapping[str, Any] = next((inside[name] for name in _RULES if isinstance(inside.get(name), Mapping)), {})
    if str(rules.get("defaultAction") or "Allow") == "Allow":
        return _INTERNET
    ranges = [str(each[key]) for each in rules.get("ipRules") or () for key in _ADDRESS if key in each]
    return _several([code(each) for each in ranges])


def _destination(properties: Mapping[str, Any]) -> str:
    """Name what a rule leads to: a host, a service tag, or a resource by its name."""
    destination = (properties.get("properties") or {}).get("destination")
    if isinstance(destination, Mapping):
        destination = destination.get("serviceTag") or str(destination.get("serviceResourceId")).rpartition("/")[2]
    return "a resource that is new" if destination == UNKNOWN else code(str(destination))


def _several(names: list[str]) -> str:
    return " and ".join(each for each in (", ".join(names[:-1]), *names[-1:]) if each)


def _s(names: list[str]) -> str:
    return "" if len(names) > 1 else "s"
