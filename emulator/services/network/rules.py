"""What a private endpoint may lead to, by which names it is found, and the arithmetic of address ranges. Pure.

https://learn.microsoft.com/azure/private-link/private-endpoint-dns
https://learn.microsoft.com/azure/machine-learning/how-to-custom-dns
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from emulator.core.errors import AzureError
from emulator.core.store import Document

NETWORKS = "Microsoft.Network/virtualNetworks"
SUBNETS = f"{NETWORKS}/subnets"
ENDPOINTS = "Microsoft.Network/privateEndpoints"
ZONE_GROUPS = f"{ENDPOINTS}/privateDnsZoneGroups"
ZONES = "Microsoft.Network/privateDnsZones"
LINKS = f"{ZONES}/virtualNetworkLinks"
RECORDS = f"{ZONES}/A"
CONNECTIONS = "privateEndpointConnections"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_RESERVED = 4
"""Addresses at the beginning of a subnet that are Azure's own.
https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq"""


@dataclass(frozen=True)
class Name:
    """A name of a resource: the public one, and the record in the private zone that leads to a private endpoint."""

    public: str
    zone: str
    record: str
    needed: bool = True
    """Whether what is served here needs it."""


def _registry(target: Document) -> list[Name]:
    name, region, zone = target.id.name.lower(), target.body["location"], "privatelink.azurecr.io"
    data = f"{name}.{region}.data"
    return [Name(f"{each}.azurecr.io", zone, each) for each in (name, data)]


def _vault(target: Document) -> list[Name]:
    name = target.id.name.lower()
    return [Name(f"{name}.vault.azure.net", "privatelink.vaultcore.azure.net", name)]


def _account(group: str) -> Callable[[Document], list[Name]]:
    def names(target: Document) -> list[Name]:
        name, base = target.id.name, f"{group}.core.windows.net"
        return [Name(f"{name}.{base}", f"privatelink.{base}", name)]

    return names


def _workspace(target: Document) -> list[Name]:
    number, region = target.properties["workspaceId"], target.body["location"]
    api = [f"{number}.workspace.{region}", f"{number}.workspace.{region}.cert", f"*.{number}.inference.{region}"]
    notebooks = f"ml-{target.id.name.lower()}-{region}-{number}.{region}"
    return [
        *(Name(f"{each}.api.azureml.ms", "privatelink.api.azureml.ms", each) for each in api),
        Name(f"{notebooks}.notebooks.azure.net", "privatelink.notebooks.azure.net", notebooks, needed=False),
    ]


TARGETS: dict[str, dict[str, Callable[[Document], list[Name]]]] = {
    "Microsoft.ContainerRegistry/registries": {"registry": _registry},
    "Microsoft.KeyVault/vaults": {"vault": _vault},
    "Microsoft.Storage/storageAccounts": {
        group: _account(group) for group in ("blob", "file", "queue", "table", "dfs", "web")
    },
    "Microsoft.MachineLearningServices/workspaces": {"amlworkspace": _workspace},
}
"""The groups of each type, and the names that each has.
https://learn.microsoft.com/azure/private-link/private-endpoint-overview#private-link-resource"""


def names_of(target: Document, group: str) -> list[Name]:
    """The names by which a resource is found through a group."""
    return TARGETS[target.id.type][group](target)


def range_of(text: object, field: str) -> Network:
    """A range of addresses (400 for anything else)."""
    try:
        return ipaddress.ip_network(str(text))
    except ValueError as error:
        raise AzureError(
            400, "InvalidAddressPrefixFormat", f"Address prefix {text} of {field} is not formatted correctly: {error}."
        ) from error


def prefixes(properties: dict[str, Any], field: str) -> list[Network]:
    """The ranges of a subnet, which has one or several."""
    several = properties.get("addressPrefixes") or [properties.get("addressPrefix") or ""]
    return [range_of(each, field) for each in several]


def free_address(ranges: Iterable[Network], taken: set[str]) -> str:
    """The first address of a subnet that is neither Azure's own nor taken."""
    for each in ranges:
        for number, address in enumerate(each):
            if number >= _RESERVED and str(address) not in taken and address != each.broadcast_address:
                return str(address)
    raise AzureError(400, "SubnetIsFull", "Subnet is full: no address is free.")


def is_address(text: str) -> bool:
    """Whether a text is an address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def holds(ranges: Iterable[str], address: str) -> bool:
    """Whether one of the ranges or addresses holds an address."""
    client = ipaddress.ip_address(address)
    return any(client in ipaddress.ip_network(each, strict=False) for each in ranges)
