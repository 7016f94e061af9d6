"""Virtual networks, private endpoints and private DNS zones.

Owns Microsoft.Network/virtualNetworks(/subnets), privateEndpoints(/privateDnsZoneGroups), privateDnsZones
(/virtualNetworkLinks, /A) and the connections that private endpoints make at what they lead to. No packet goes through
any of it: who is let in from where is `network.access`.
https://learn.microsoft.com/rest/api/virtualnetwork/virtual-networks
https://learn.microsoft.com/rest/api/virtualnetwork/private-endpoints
https://learn.microsoft.com/rest/api/dns/privatedns/private-zones
"""

import uuid
from typing import Any, ClassVar

from emulator.core.azure import Azure, ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rules import flag, one_of
from emulator.core.store import Document
from emulator.services.network import rules
from emulator.services.network.rules import (
    CONNECTIONS,
    ENDPOINTS,
    LINKS,
    NETWORKS,
    RECORDS,
    SUBNETS,
    ZONE_GROUPS,
    ZONES,
)

_POLICIES = ("Disabled", "Enabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled")
POOLS = "Microsoft.ContainerRegistry/registries/agentPools"
_STATES = ("Approved", "Pending", "Rejected", "Disconnected")
_TTL = 10
"""Seconds that the records of a zone group are valid for."""


class VirtualNetwork(ResourceType):
    """Microsoft.Network/virtualNetworks. Its subnets are documents of their own."""

    type = NETWORKS
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """The ranges, and the subnets that the body names; without any named, those that there are stay.

        https://techcommunity.microsoft.com/blog/azurenetworkingblog/azure-virtual-network-now-supports-updates-without-subnet-property/4067952
        """
        properties = dict(new.properties)
        space = (properties.get("addressSpace") or {}).get("addressPrefixes") or []
        if not space:
            raise AzureError(
                400, "InvalidRequestFormat", f"The addressSpace of '{new.id.name}' has no 'addressPrefixes'."
            )
        for each in space:
            rules.range_of(each, f"'{new.id.name}'")
        named = properties.pop("subnets", None)
        number = (old.properties if old else {}).get("resourceGuid") or str(uuid.uuid4())
        properties = {"enableDdosProtection": False, **properties, "resourceGuid": number}
        network = Document(new.id, {**new.body, "properties": properties})
        if named is None:
            return network
        subnets = [self._subnet(network, each) for each in named]
        for gone in self.azure.store.of_type(SUBNETS, new.id):
            if gone.id.key not in {each.id.key for each in subnets}:
                check_unused(self.azure, gone.id)
        for index, each in enumerate(subnets):
            check_subnet(network, each, subnets[:index])
        return network.having({"subnets": [each.body for each in subnets]})

    def provision(self, new: Document, old: Document | None) -> Document:
        """Make the named subnets, and take away the others."""
        del old
        named = new.private.get("subnets")
        if named is None:
            return new
        for gone in self.azure.store.of_type(SUBNETS, new.id):
            self.azure.store.delete(gone.id)
        for body in named:
            self.azure.store.put(Document(ResourceId.parse(body["id"]), body))
        return Document(new.id, new.body)

    def check_delete(self, document: Document) -> None:
        """Refuse while something has an address in it."""
        for each in self.azure.store.of_type(SUBNETS, document.id):
            check_unused(self.azure, each.id)

    def show(self, document: Document) -> dict[str, Any]:
        """With its subnets."""
        subnet = self.azure.serving(Subnet)
        subnets = [subnet.show(each) for each in self.azure.store.of_type(SUBNETS, document.id)]
        body = super().show(document)
        return {**body, "properties": {**body["properties"], "subnets": subnets, "virtualNetworkPeerings": []}}

    @staticmethod
    def _subnet(network: Document, described: dict[str, Any]) -> Document:
        id_ = network.id.child("subnets", str(described["name"]))
        properties = _subnet_defaults(described.get("properties") or {})
        body = {"id": id_.path, "name": id_.name, "type": SUBNETS, "properties": properties}
        return Document(id_, body).having(provisioningState="Succeeded")


class Subnet(ResourceType):
    """Microsoft.Network/virtualNetworks/subnets."""

    type = SUBNETS
    long = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """Its range lies in the network and overlaps no other subnet's."""
        del old
        parent = new.id.parent
        network = self.azure.find(parent.path if parent is not None else "")
        others = [each for each in self.azure.store.of_type(SUBNETS, network.id) if each.id.key != new.id.key]
        check_subnet(network, new, others)
        return Document(new.id, {**new.body, "properties": _subnet_defaults(new.properties)})

    def check_delete(self, document: Document) -> None:
        """Refuse while something has an address in it."""
        check_unused(self.azure, document.id)

    def show(self, document: Document) -> dict[str, Any]:
        """With what has an address in it."""
        body = super().show(document)
        users = [{"id": each.id.path} for each in endpoints_in(self.azure, document.id)]
        return {**body, "properties": {**body["properties"], **({"privateEndpoints": users} if users else {})}}


def check_subnet(network: Document, new: Document, others: list[Document]) -> None:
    """Refuse ranges outside of the network, or that overlap another subnet's."""
    one_of("privateEndpointNetworkPolicies", new.properties.get("privateEndpointNetworkPolicies"), _POLICIES)
    space = [rules.range_of(each, "the network") for each in network.properties["addressSpace"]["addressPrefixes"]]
    for prefix in rules.prefixes(new.properties, f"subnet '{new.id.name}'"):
        if not any(each.version == prefix.version and prefix.subnet_of(each) for each in space):  # type: ignore[arg-type]
            raise AzureError(
                400,
                "NetcfgInvalidSubnet",
                f"Subnet '{new.id.name}' is not valid in virtual network '{network.id.name}'.",
            )
        for other in others:
            if any(prefix.overlaps(each) for each in rules.prefixes(other.properties, other.id.name)):
                raise AzureError(
                    400,
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{new.id.name}' is not valid because its IP address range overlaps with that of an"
                    f" existing subnet in virtual network '{network.id.name}'.",
                )


def endpoints_in(azure: Azure, subnet: ResourceId) -> list[Document]:
    """The private endpoints that have their addresses in a subnet."""
    return [each for each in azure.store.of_type(ENDPOINTS) if subnet_of(each).key == subnet.key]


def subnet_of(endpoint: Document) -> ResourceId:
    """Where a private endpoint has its addresses."""
    return ResourceId.parse(str(endpoint.properties["subnet"]["id"]))


def check_unused(azure: Azure, subnet: ResourceId) -> None:
    """Refuse to delete a subnet in which something has an address.

    The words are a recorded answer's: https://github.com/Azure/bicep/issues/12540
    """
    interfaces = [each.properties["networkInterfaces"][0]["id"] for each in endpoints_in(azure, subnet)]
    users = [f"{each}/ipConfigurations/privateEndpointIpConfig" for each in interfaces]
    users += [
        each.id.path
        for each in azure.store.of_type(POOLS)
        if str(each.properties.get("virtualNetworkSubnetResourceId")).lower() == subnet.key
    ]
    if users:
        raise AzureError(
            400,
            "InUseSubnetCannotBeDeleted",
            f"Subnet {subnet.name} is in use by {', '.join(users)} and cannot be deleted."
            " In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
        )


def _subnet_defaults(properties: dict[str, Any]) -> dict[str, Any]:
    policies = {"privateEndpointNetworkPolicies": "Disabled", "privateLinkServiceNetworkPolicies": "Enabled"}
    return {"delegations": [], **policies, **properties}


class PrivateEndpoint(ResourceType):
    """Microsoft.Network/privateEndpoints: addresses in a subnet that lead to one resource."""

    type = ENDPOINTS
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """A subnet of the same region, and one connection to one group of one resource that takes it."""
        subnet = self.azure.linked((new.properties.get("subnet") or {}).get("id"), SUBNETS)
        network = self.azure.store.get(subnet.id.parent) if subnet is not None and subnet.id.parent else None
        if subnet is None or network is None or network.body["location"] != new.body["location"]:
            raise _missing((new.properties.get("subnet") or {}).get("id"), new)
        manual, connection = self._connection(new)
        target, group = self._target(new, connection)
        names = rules.names_of(target, group)
        place = {"target": target.id.path, "group": group, "subnet": subnet.id.path}
        # What leads elsewhere from now on is connected anew.
        same = old is not None and old.private.items() >= place.items()
        previous = old.properties if old is not None and same else {}
        name = new.private.get("connection") if same else f"{new.id.name}.{uuid.uuid4()}"
        private = {**place, "connection": name, "manual": manual}
        properties = {
            "customNetworkInterfaceName": "",
            "ipConfigurations": [],
            **new.properties,
            "subnet": {"id": subnet.id.path},
            "networkInterfaces": previous.get("networkInterfaces") or [{"id": self._interface(new)}],
            "customDnsConfigs": previous.get("customDnsConfigs") or self._addresses(subnet, [n.public for n in names]),
        }
        return Document(new.id, {**new.body, "properties": properties}, {**new.private, **private})

    def provision(self, new: Document, old: Document | None) -> Document:
        """Connect to the resource: approved, or pending where a person has to say so."""
        id_ = connection_of(new)
        if old is not None and connection_of(old).key != id_.key:
            self.remove(old)
        if self.azure.store.get(id_) is None:
            status = "Pending" if new.private["manual"] else "Approved"
            state = {"status": status, "description": "" if new.private["manual"] else "Auto-Approved"}
            properties = {
                "privateEndpoint": {"id": new.id.path},
                "privateLinkServiceConnectionState": {**state, "actionsRequired": "None"},
                "provisioningState": "Succeeded",
            }
            body = {"id": id_.path, "name": id_.name, "type": id_.type, "properties": properties}
            self.azure.store.put(Document(id_, body))
        return new

    def remove(self, document: Document) -> None:
        """The connection goes too."""
        self.azure.store.delete(connection_of(document))

    def show(self, document: Document) -> dict[str, Any]:
        """With what has become of its connection."""
        body = super().show(document)
        field = _MANUAL if document.private["manual"] else _AUTOMATIC
        (described,) = document.properties[field]
        connection = {
            "id": f"{document.id.path}/{field}/{described['name']}",
            "name": described["name"],
            "type": f"{ENDPOINTS}/{field}",
            "properties": {
                **described["properties"],
                "provisioningState": "Succeeded",
                "privateLinkServiceConnectionState": state_of(self.azure, document),
            },
        }
        return {**body, "properties": {**body["properties"], field: [connection]}}

    @staticmethod
    def _connection(new: Document) -> tuple[bool, dict[str, Any]]:
        automatic, manual = (new.properties.get(field) or [] for field in (_AUTOMATIC, _MANUAL))
        if len([*automatic, *manual]) != 1:
            raise AzureError(
                400,
                "InvalidRequestFormat",
                f"Private endpoint '{new.id.name}' must have one {_AUTOMATIC} or one {_MANUAL}.",
            )
        described = [*automatic, *manual][0]
        if not described.get("name"):
            raise AzureError(
                400, "InvalidRequestFormat", f"The connection of private endpoint '{new.id.name}' lacks 'name'."
            )
        return bool(manual), described.get("properties") or {}

    def _target(self, new: Document, connection: dict[str, Any]) -> tuple[Document, str]:
        """What it leads to, and through which group.

        https://github.com/hashicorp/terraform-provider-azurerm/issues/5820 (one group)
        https://github.com/Azure/azure-cli/issues/16750 (the words for a group that there is not)
        """
        path, groups = connection.get("privateLinkServiceId"), connection.get("groupIds") or []
        target = self.azure.linked(path, *rules.TARGETS)
        if target is None:
            raise _missing(path, new)
        if len(groups) != 1:
            raise AzureError(
                400,
                "OnlyOneGroupIdPermitted",
                f"Private link service connection {new.id.path} has the following group Ids: {', '.join(groups)}. Only"
                f" one group Id is permitted when connecting to a first-party resource ({target.id.path}).",
            )
        if groups[0] not in rules.TARGETS[target.id.type]:
            raise _refused(target, f"Values for request parameters are invalid: GroupId: {groups[0]}.")
        sku = (target.body.get("sku") or {}).get("name")
        if groups[0] == "registry" and sku != "Premium":
            # https://learn.microsoft.com/azure/container-registry/container-registry-private-link: Premium. The words
            # are not Azure's.
            raise _refused(target, f"Private endpoints are not supported for the SKU {sku}: it must be Premium.")
        return target, groups[0]

    def _addresses(self, subnet: Document, names: list[str]) -> list[dict[str, Any]]:
        taken = {
            address
            for each in endpoints_in(self.azure, subnet.id)
            for configuration in each.properties["customDnsConfigs"]
            for address in configuration["ipAddresses"]
        }
        configurations = []
        for name in names:
            address = rules.free_address(rules.prefixes(subnet.properties, subnet.id.name), taken)
            taken.add(address)
            configurations.append({"fqdn": name, "ipAddresses": [address]})
        return configurations

    @staticmethod
    def _interface(new: Document) -> str:
        base = new.id.path.partition("/providers/")[0]
        name = new.properties.get("customNetworkInterfaceName") or f"{new.id.name}.nic.{uuid.uuid4()}"
        return f"{base}/providers/Microsoft.Network/networkInterfaces/{name}"


_AUTOMATIC, _MANUAL = "privateLinkServiceConnections", "manualPrivateLinkServiceConnections"


def connection_of(endpoint: Document) -> ResourceId:
    """The connection that a private endpoint has made at its target."""
    return ResourceId.parse(endpoint.private["target"]).child(CONNECTIONS, endpoint.private["connection"])


def state_of(azure: Azure, endpoint: Document) -> dict[str, Any]:
    """Whether the target takes the connection; one that was deleted there, or with its target, is disconnected."""
    connection = azure.store.get(connection_of(endpoint))
    if connection is None:
        return {"status": "Disconnected", "description": "", "actionsRequired": "None"}
    state: dict[str, Any] = connection.properties["privateLinkServiceConnectionState"]
    return state


def _missing(path: object, new: Document) -> AzureError:
    return AzureError(
        400,
        "InvalidResourceReference",
        f"Resource {path} referenced by resource {new.id.path} was not found. Please make sure that the referenced"
        " resource exists, and that both resources are in the same region.",
    )


def _refused(target: Document, text: str) -> AzureError:
    return AzureError(
        400, "InvalidValuesForRequestParameters", f"Call to {target.id.type} failed. Error message: {text}"
    )


class _Connection(ResourceType):
    """A connection of a private endpoint, at what it leads to: approved, rejected, deleted there."""

    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """Only a private endpoint makes one; the owner of its target changes the state."""
        if old is None:
            raise AzureError(
                404, "ResourceNotFound", f"The private endpoint connection '{new.id.name}' does not exist."
            )
        state = {
            **old.properties["privateLinkServiceConnectionState"],
            **(new.properties.get("privateLinkServiceConnectionState") or {}),
        }
        one_of("privateLinkServiceConnectionState.status", state["status"], _STATES)
        return old.having(privateLinkServiceConnectionState=state)


_ACCOUNT = "Microsoft.Storage/storageAccounts"
_VAULT = "Microsoft.KeyVault/vaults"


class RegistryConnection(_Connection):
    """Microsoft.ContainerRegistry/registries/privateEndpointConnections."""

    type = f"Microsoft.ContainerRegistry/registries/{CONNECTIONS}"


class VaultConnection(_Connection):
    """Microsoft.KeyVault/vaults/privateEndpointConnections."""

    type = f"Microsoft.KeyVault/vaults/{CONNECTIONS}"


class AccountConnection(_Connection):
    """Microsoft.Storage/storageAccounts/privateEndpointConnections."""

    type = f"Microsoft.Storage/storageAccounts/{CONNECTIONS}"

    def show(self, document: Document) -> dict[str, Any]:
        """In storage's spelling."""
        return _spelled(super().show(document))


class WorkspaceConnection(_Connection):
    """Microsoft.MachineLearningServices/workspaces/privateEndpointConnections."""

    type = f"Microsoft.MachineLearningServices/workspaces/{CONNECTIONS}"


def _spelled(connection: dict[str, Any]) -> dict[str, Any]:
    """Spell a connection as storage does, which alone says `actionRequired`."""
    state = dict(connection["properties"]["privateLinkServiceConnectionState"])
    state["actionRequired"] = state.pop("actionsRequired")
    return {**connection, "properties": {**connection["properties"], "privateLinkServiceConnectionState": state}}


def with_connections(azure: Azure, target: Document, body: dict[str, Any]) -> dict[str, Any]:
    """What a resource shows, with the private endpoint connections that lead to it."""
    found = [each.body for each in azure.store.of_type(f"{target.id.type}/{CONNECTIONS}", target.id)]
    if target.id.type == _ACCOUNT:
        found = [_spelled(each) for each in found]
    if target.id.type == _VAULT:
        found = [{"id": each["id"], "properties": each["properties"]} for each in found]
    shown = found or CONNECTIONS in body["properties"]
    return {**body, "properties": {**body["properties"], **({CONNECTIONS: found} if shown else {})}}


class PrivateZone(ResourceType):
    """Microsoft.Network/privateDnsZones."""

    type = ZONES
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """A zone is global."""
        del old
        if new.body["location"] != "global":
            raise AzureError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{new.body['location']}' is not available for resource type"
                f" '{ZONES}'. List of available regions for the resource type is 'global'.",
            )
        return new

    def check_delete(self, document: Document) -> None:
        """Refuse while a network is linked.

        https://learn.microsoft.com/azure/dns/private-dns-virtual-network-links
        """
        for each in self.azure.store.of_type(LINKS, document.id):
            raise AzureError(
                409,
                "CannotDeleteResource",
                "Cannot delete resource while nested resources exist. Some existing nested resource IDs include:"
                f" '{each.id.path}'. Please delete all nested resources before deleting this resource.",
            )

    def show(self, document: Document) -> dict[str, Any]:
        """With the counts of what lies in it, and the limits.

        https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#azure-dns-limits
        """
        body = super().show(document)
        links = self.azure.store.of_type(LINKS, document.id)
        registering = [each for each in links if each.properties["registrationEnabled"]]
        counts = {
            "maxNumberOfRecordSets": 25000,
            "numberOfRecordSets": 1 + len(self.azure.store.of_type(RECORDS, document.id)),
            "maxNumberOfVirtualNetworkLinks": 1000,
            "numberOfVirtualNetworkLinks": len(links),
            "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
            "numberOfVirtualNetworkLinksWithRegistration": len(registering),
        }
        return {**body, "properties": {**body["properties"], **counts}}


class ZoneLink(ResourceType):
    """Microsoft.Network/privateDnsZones/virtualNetworkLinks: in which networks a zone's names are found."""

    type = LINKS
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """A network that exists, and that has no other zone of the name.

        https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-privatednszonelinkfailed
        """
        path = (new.properties.get("virtualNetwork") or {}).get("id")
        network = self.azure.linked(path, NETWORKS)
        if network is None:
            raise _missing(path, new)
        flag("registrationEnabled", new.properties.get("registrationEnabled"))
        one_of("resolutionPolicy", new.properties.get("resolutionPolicy"), ("Default", "NxDomainRedirect"))
        zone = zone_name(new.id)
        for each in self.azure.store.of_type(LINKS):
            if each.id.key != new.id.key and zone_name(each.id) == zone and network_of(each) == network.id.key:
                raise AzureError(
                    400,
                    "BadRequest",
                    "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to"
                    f" link virtual network with '{zone}' and '{zone}' zones.",
                )
        if old is not None and network_of(old) != network.id.key:
            raise AzureError(400, "BadRequest", f"The virtual network of the link '{new.id.name}' cannot be changed.")
        properties = {"registrationEnabled": False, **new.properties, "virtualNetwork": {"id": network.id.path}}
        return Document(new.id, {**new.body, "properties": {**properties, "virtualNetworkLinkState": "Completed"}})


def zone_name(id_: ResourceId) -> str:
    """The name of the zone that a link or a record lies in."""
    parent = id_.parent
    return parent.name.lower() if parent is not None else ""


def network_of(link: Document) -> str:
    """The key of the network that a link is for."""
    return str(link.properties["virtualNetwork"]["id"]).lower()


class Record(ResourceType):
    """Microsoft.Network/privateDnsZones/A: addresses by name. Zone groups write them, and people may."""

    type = RECORDS
    stateless = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """One address or more."""
        del old
        addresses = [each.get("ipv4Address") for each in new.properties.get("aRecords") or []]
        if not addresses:
            raise AzureError(400, "BadRequest", f"The record set '{new.id.name}' has no 'aRecords'.")
        return new.having(fqdn=f"{new.id.name}.{zone_name(new.id)}.", isAutoRegistered=False)


class ZoneGroup(ResourceType):
    """Microsoft.Network/privateEndpoints/privateDnsZoneGroups: writes a private endpoint's names into zones."""

    type = ZONE_GROUPS
    long = True
    system_data = False

    def check(self, new: Document, old: Document | None) -> Document:
        """Zones that exist, each with a name; one group to an endpoint.

        https://learn.microsoft.com/azure/private-link/private-endpoint-dns-integration#private-dns-zone-group
        """
        del old
        configured = new.properties.get("privateDnsZoneConfigs") or []
        if not configured:
            raise AzureError(400, "InvalidRequestFormat", f"'{new.id.name}' has no 'privateDnsZoneConfigs'.")
        endpoint = self.azure.find(new.id.parent.path if new.id.parent else "")
        if any(each.id.key != new.id.key for each in self.azure.store.of_type(ZONE_GROUPS, endpoint.id)):
            raise AzureError(
                400, "BadRequest", f"Private endpoint '{endpoint.id.name}' has a privateDnsZoneGroup: it can have one."
            )
        return new.having(privateDnsZoneConfigs=[self._configuration(new, endpoint, each) for each in configured])

    def provision(self, new: Document, old: Document | None) -> Document:
        """Write the records, and take away those that nothing names any more."""
        if old is not None:
            self.remove(old)
        for each in new.properties["privateDnsZoneConfigs"]:
            zone = ResourceId.parse(each["properties"]["privateDnsZoneId"])
            for record in each["properties"]["recordSets"]:
                id_ = zone.child("A", record["recordSetName"])
                addresses = [{"ipv4Address": address} for address in record["ipAddresses"]]
                described = {"ttl": _TTL, "fqdn": f"{id_.name}.{zone.name}.", "isAutoRegistered": False}
                body = {
                    "id": id_.path,
                    "name": id_.name,
                    "type": RECORDS,
                    "properties": {**described, "aRecords": addresses},
                }
                self.azure.store.put(Document(id_, body))
        return new

    def remove(self, document: Document) -> None:
        """The records go too."""
        for each in document.properties["privateDnsZoneConfigs"]:
            zone = ResourceId.parse(each["properties"]["privateDnsZoneId"])
            for record in each["properties"]["recordSets"]:
                self.azure.store.delete(zone.child("A", record["recordSetName"]))

    def _configuration(self, new: Document, endpoint: Document, described: dict[str, Any]) -> dict[str, Any]:
        path = (described.get("properties") or {}).get("privateDnsZoneId")
        zone = self.azure.linked(path, ZONES)
        if zone is None or not described.get("name"):
            raise _missing(path, new)
        addresses = {each["fqdn"]: each["ipAddresses"] for each in endpoint.properties["customDnsConfigs"]}
        target = self.azure.find(endpoint.private["target"])
        records = [
            {
                "recordType": "A",
                "recordSetName": each.record,
                "fqdn": f"{each.record}.{each.zone}",
                "ttl": _TTL,
                "ipAddresses": addresses[each.public],
                "provisioningState": "Succeeded",
            }
            for each in rules.names_of(target, endpoint.private["group"])
            if each.zone == zone.id.name.lower()
        ]
        return {"name": described["name"], "properties": {"privateDnsZoneId": zone.id.path, "recordSets": records}}
