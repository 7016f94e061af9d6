"""Virtual networks with private endpoints in this process, and clients that are elsewhere."""

import json
import os
import subprocess
import sys
from typing import Any

from emulator.services.network import rules
from tests.emulator.conftest import InProcessAzure
from tests.ml import PLACE

VNET = "providers/Microsoft.Network/virtualNetworks/hub"
SUBNET = f"{VNET}/subnets/links"
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


def make_network(local: InProcessAzure) -> None:
    """A network `hub` with a subnet `links`."""
    subnets = [{"name": "links", "properties": {"addressPrefix": "10.1.0.0/24"}}]
    properties = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": subnets}
    local.ask("PUT", VNET, {**PLACE, "properties": properties})


def link_privately(local: InProcessAzure, target: str, group: str, *, zones: bool = True) -> str:
    """A private endpoint in the subnet that leads to a resource, with the zones of its names; its path."""
    path = f"providers/Microsoft.Network/privateEndpoints/{target.rpartition('/')[2]}-{group}"
    connection = {"name": group, "properties": {"privateLinkServiceId": f"{local.group}/{target}", "groupIds": [group]}}
    described = {"subnet": {"id": f"{local.group}/{SUBNET}"}, "privateLinkServiceConnections": [connection]}
    local.ask("PUT", path, {**PLACE, "properties": described})
    if zones:
        names = {each.zone for each in rules.names_of(local.azure.find(f"{local.group}/{target}"), group)}
        configurations = [_zone(local, each) for each in sorted(names)]
        properties: dict[str, Any] = {"privateDnsZoneConfigs": configurations}
        local.ask("PUT", f"{path}/privateDnsZoneGroups/default", {"properties": properties})
    return path


def _zone(local: InProcessAzure, name: str) -> dict[str, Any]:
    zone = f"providers/Microsoft.Network/privateDnsZones/{name}"
    local.ask("PUT", zone, {"location": "global"})
    link = {"location": "global", "properties": {"virtualNetwork": {"id": f"{local.group}/{VNET}"}}}
    local.ask("PUT", f"{zone}/virtualNetworkLinks/hub", link)
    return {"name": name.replace(".", "-"), "properties": {"privateDnsZoneId": f"{local.group}/{zone}"}}
