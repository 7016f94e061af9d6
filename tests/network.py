"""Virtual networks with private endpoints, and clients that are elsewhere."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.emulator.conftest import InProcessAzure
from tests.ml import PLACE

VNET = "providers/Microsoft.Network/virtualNetworks/hub"
SUBNET = f"{VNET}/subnets/links"
ZONES = {
    "registry": ("privatelink.azurecr.io",),
    "vault": ("privatelink.vaultcore.azure.net",),
    "blob": ("privatelink.blob.core.windows.net",),
    "file": ("privatelink.file.core.windows.net",),
    "amlworkspace": ("privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"),
}
"""The zones that a group's names lie in: https://learn.microsoft.com/azure/private-link/private-endpoint-dns"""
_ASK = """
import json, sys, urllib.request, urllib.error
asked = json.load(sys.stdin)
body = asked.pop("body")
request = urllib.request.Request(**asked, data=body.encode() if body else None)
try:
    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode()]))
"""


def ask_from(address: str, method: str, url: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    """One request of a process that says where it is: `inside`, an address of the internet, or nothing ('')."""
    asked = {"method": method, "url": url, "body": body, "headers": headers}
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps(asked),
        env={**os.environ, "LOCAL_AZURE_ADDRESS": address},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    status, text = json.loads(done.stdout)
    return status, text


@dataclass(frozen=True)
class Network:
    """A network `hub` with a subnet `links` in a resource group; `put` writes a resource of a whole id."""

    put: Callable[[str, dict[str, Any]], Any]
    group: str

    def make(self) -> "Network":
        """Make it."""
        subnets = [{"name": "links", "properties": {"addressPrefix": "10.1.0.0/24"}}]
        properties = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": subnets}
        self.put(f"{self.group}/{VNET}", {**PLACE, "properties": properties})
        return self

    def link(self, target: str, group: str, *, zones: bool = True) -> str:
        """A private endpoint in the subnet that leads to a resource, with the zones of its names; its path."""
        path = f"{self.group}/providers/Microsoft.Network/privateEndpoints/{target.rpartition('/')[2]}-{group}"
        service = {"privateLinkServiceId": f"{self.group}/{target}", "groupIds": [group]}
        connections = [{"name": group, "properties": service}]
        described = {"subnet": {"id": f"{self.group}/{SUBNET}"}, "privateLinkServiceConnections": connections}
        self.put(path, {**PLACE, "properties": described})
        if zones:
            properties = {"privateDnsZoneConfigs": [self._zone(each) for each in ZONES[group]]}
            self.put(f"{path}/privateDnsZoneGroups/default", {"properties": properties})
        return path

    def _zone(self, name: str) -> dict[str, Any]:
        zone = f"{self.group}/providers/Microsoft.Network/privateDnsZones/{name}"
        self.put(zone, {"location": "global"})
        link = {"location": "global", "properties": {"virtualNetwork": {"id": f"{self.group}/{VNET}"}}}
        self.put(f"{zone}/virtualNetworkLinks/hub", link)
        return {"name": name.replace(".", "-"), "properties": {"privateDnsZoneId": zone}}


def make_network(local: InProcessAzure) -> Network:
    """One in this process."""
    return Network(lambda path, body: local.ask("PUT", path, body), local.group).make()


def link_privately(local: InProcessAzure, target: str, group: str, *, zones: bool = True) -> str:
    """A private endpoint in it."""
    return Network(lambda path, body: local.ask("PUT", path, body), local.group).link(target, group, zones=zones)
