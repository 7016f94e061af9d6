"""From where a caller comes, and whether a resource's network rules let it in.

Owns the decision for registries, vaults, storage accounts, workspaces and their endpoints; the words of a refusal are
each service's. A caller is inside a virtual network, or on the internet with an address. Which of both, the process at
the other end of the connection says: see `client_of`.
https://learn.microsoft.com/azure/private-link/private-endpoint-overview
"""

from dataclasses import dataclass
from typing import Any

from emulator.core import peers
from emulator.core.azure import Azure
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.network import rules
from emulator.services.network.types import network_of, state_of, subnet_of, zone_name

VARIABLE = "LOCAL_AZURE_ADDRESS"
"""The variable in a client's environment that says from where it comes."""
INSIDE = "inside"
"""Its value for a client that is in every virtual network here."""
LINKED = "linked"
"""The network of a caller that comes by a private endpoint of a managed network."""
DISABLED, FIREWALL = "disabled", "firewall"
_RULES = ("networkRuleSet", "networkAcls")
WORKSPACE_GROUP = "amlworkspace"


@dataclass(frozen=True)
class Client:
    """From where a request comes: its address, and the key of its virtual network ('' for the internet)."""

    address: str = "127.0.0.1"
    network: str = ""


def client_of(peer: tuple[str, int], server: tuple[str, int]) -> Client:
    """Who opened a connection from a peer's address to ours.

    `LOCAL_AZURE_ADDRESS` in the environment of that process says it: `inside`, or the address on the internet from
    which it comes. Without it, or where it is neither, the connection's own address counts.
    """
    address = peers.variable_of(peer, server, VARIABLE)
    if address == INSIDE:
        return Client(peer[0], INSIDE)
    return Client(address if rules.is_address(address) else peer[0])


def refusal(azure: Azure, resource: Document, client: Client, group: str) -> str:
    """Why a resource's network rules keep a client out: `DISABLED`, `FIREWALL`; empty where they let it in."""
    if is_private(azure, resource, client, group):
        return ""
    return _public_refusal(resource, client, public=resource.properties.get("publicNetworkAccess") != "Disabled")


def _public_refusal(resource: Document, client: Client, *, public: bool) -> str:
    """Why a client may not come by the internet."""
    if not public:
        return DISABLED
    ranges = _allowed(resource.properties)
    return "" if ranges is None or rules.holds(ranges, client.address) else FIREWALL


def is_open(resource: Document) -> bool:
    """Whether a resource's network rules let everybody in, so that nobody need ask who comes."""
    return resource.properties.get("publicNetworkAccess") != "Disabled" and _allowed(resource.properties) is None


def _allowed(properties: dict[str, Any]) -> list[str] | None:
    """The addresses and ranges that are let in; None where all are."""
    if addresses := properties.get("ipAllowlist"):
        return [str(each) for each in addresses]
    for field in _RULES:
        described = properties.get(field) or {}
        if described.get("defaultAction") == "Deny":
            return [str(each.get("value") or each.get("addressRange")) for each in described.get("ipRules") or []]
    return None


def is_private(azure: Azure, resource: Document, client: Client, group: str) -> bool:
    """Whether a client is in a network where the resource's name leads to an approved private endpoint.

    Where no zone of the network has the name, it leads to the public address, as on Azure.
    https://learn.microsoft.com/azure/private-link/private-endpoint-dns
    """
    if client.network in {"", LINKED}:
        return client.network == LINKED
    return any(
        each.private["target"].lower() == resource.id.key
        and each.private["group"] == group
        and state_of(azure, each)["status"] == "Approved"
        and _is_in(client, each)
        and _is_found(azure, resource, each)
        for each in azure.store.of_type(rules.ENDPOINTS)
    )


def _is_in(client: Client, endpoint: Document) -> bool:
    return client.network in {INSIDE, _network(endpoint)}


def _network(endpoint: Document) -> str:
    return _key_of_parent(subnet_of(endpoint))


def _is_found(azure: Azure, resource: Document, endpoint: Document) -> bool:
    """Whether zones that are linked to the endpoint's network have all of the resource's names."""
    network = _network(endpoint)
    linked = {_key_of_parent(link.id) for link in azure.store.of_type(rules.LINKS) if network_of(link) == network}
    found = {
        (zone_name(record.id), record.id.name.lower())
        for record in azure.store.of_type(rules.RECORDS)
        if _key_of_parent(record.id) in linked
    }
    names = rules.names_of(resource, endpoint.private["group"])
    return all((each.zone, each.record.lower()) in found for each in names if each.needed)


def endpoint_refusal(azure: Azure, workspace: Document, client: Client, *, public: bool) -> str:
    """Why a client may not score at a managed endpoint: its private way and its ranges are its workspace's.

    https://learn.microsoft.com/azure/machine-learning/concept-secure-online-endpoint
    https://learn.microsoft.com/azure/machine-learning/how-to-configure-private-link#scenario-managed-online-endpoints-with-access-from-selected-ip-addresses
    """
    if is_private(azure, workspace, client, WORKSPACE_GROUP):
        return ""
    return _public_refusal(workspace, client, public=public)


def is_endpoint_open(workspace: Document, *, public: bool) -> bool:
    """Whether a managed endpoint lets everybody in, so that nobody need ask who comes."""
    return public and _allowed(workspace.properties) is None


def network_of_subnet(path: str) -> str:
    """The key of the network that a subnet lies in."""
    return _key_of_parent(ResourceId.parse(path))


def _key_of_parent(child: ResourceId) -> str:
    return child.parent.key if child.parent is not None else ""
