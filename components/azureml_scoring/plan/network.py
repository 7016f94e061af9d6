"""The network of a stack in the terms of each part: public access, rules of addresses, isolation, zones.

Owns how the settings are spelled for azure-native. Refuses to own resources (`network.py`). Pure.
"""

import ipaddress
import re
from typing import Any, Final

from azureml_scoring.settings.endpoint import enabled
from azureml_scoring.settings.network import ISOLATION_MODES, MADE, NONE, NetworkSettings, PrivateEndpointsSettings

_TRUSTED: Final = "AzureServices"
"""Azure ML is one of the trusted services of vault and storage.
https://learn.microsoft.com/azure/key-vault/general/overview-vnet-service-endpoints#trusted-services
https://learn.microsoft.com/azure/storage/common/storage-network-security-trusted-azure-services"""
_SMALLEST: Final = 31
"""Prefix from which on storage takes addresses instead of ranges.
https://learn.microsoft.com/azure/storage/common/storage-network-security-limitations"""


def _says(network: NetworkSettings) -> bool:
    """Tell whether the section is written; without it, all stays as it was before there was one."""
    return bool(network.model_fields_set)


def registry_access(network: NetworkSettings, sku: str) -> dict[str, Any]:
    """Return the arguments of a registry; Premium alone has rules."""
    public = network.public_access.registry
    arguments: dict[str, Any] = {"public_network_access": enabled(public)}
    if _says(network) and sku == "Premium":
        ranges = network.allowed_ranges if public else []
        arguments["network_rule_set"] = {
            "default_action": _default(network, "registry"),
            "ip_rules": [{"action": "Allow", "i_p_address_or_range": each} for each in ranges],
        }
    return arguments


def vault_access(network: NetworkSettings) -> dict[str, Any]:
    """Return what the properties of a vault say of its network."""
    if not _says(network):
        return {}
    ranges = network.allowed_ranges if network.public_access.vault else []
    return {
        "public_network_access": enabled(network.public_access.vault),
        "network_acls": {
            "bypass": _TRUSTED,
            "default_action": _default(network, "vault"),
            "ip_rules": [{"value": each} for each in ranges],
        },
    }


def storage_access(network: NetworkSettings) -> dict[str, Any]:
    """Return the arguments of a storage account."""
    if not _says(network):
        return {}
    ranges = network.allowed_ranges if network.public_access.storage else []
    return {
        "public_network_access": enabled(network.public_access.storage),
        "network_rule_set": {
            "bypass": _TRUSTED,
            "default_action": _default(network, "storage"),
            "ip_rules": [
                {"action": "Allow", "i_p_address_or_range": address} for each in ranges for address in _addresses(each)
            ],
        },
    }


def workspace_access(network: NetworkSettings) -> dict[str, Any]:
    """Return the arguments of a workspace: its public access, and the managed network."""
    arguments: dict[str, Any] = {"public_network_access": enabled(network.public_access.workspace)}
    if network.isolation != "none":
        arguments["managed_network"] = {"isolation_mode": ISOLATION_MODES[network.isolation]}
    return arguments


def _default(network: NetworkSettings, part: str) -> str:
    return "Deny" if network.limited(part) else "Allow"


def _addresses(range_: str) -> list[str]:
    """Spell a range as storage takes it."""
    network = ipaddress.ip_network(range_)
    return [range_] if network.prefixlen < _SMALLEST else [str(each) for each in network]


def zone_ids(endpoints: PrivateEndpointsSettings) -> dict[str, str] | None:
    """Return the existing zones by name; none of them where they are made, None where somebody else registers."""
    if endpoints.dns == [NONE]:
        return None
    return {} if endpoints.dns == [MADE] else {each.rpartition("/")[2].lower(): each for each in endpoints.dns}


def network_of(subnet_id: str) -> str:
    """Return the ARM id of a subnet's virtual network."""
    return re.split("/subnets/", subnet_id, flags=re.IGNORECASE)[0]
