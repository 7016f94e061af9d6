"""The network of a stack: private endpoints with their names in DNS, an agent pool, the workspace's managed network.

Owns what is made of these. Refuses to own existing subnets and zones, which stay as they are, and the public access of
a part, which is a property of it (`registry.py`, `workspace.py`).
https://learn.microsoft.com/azure/private-link/private-endpoint-overview
https://learn.microsoft.com/azure/machine-learning/how-to-managed-network
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pulumi
from pulumi_azure_native import containerregistry, machinelearningservices, network, privatedns

from azureml_scoring.plan.names import ArmId
from azureml_scoring.plan.network import network_of, zone_ids
from azureml_scoring.sdk import ManagedNetwork
from azureml_scoring.settings.arguments import ManagedNetworkArgs
from azureml_scoring.settings.network import MADE, ZONES, NetworkSettings, OutboundSettings, PrivateEndpointsSettings
from azureml_scoring.site import Site

if TYPE_CHECKING:
    Rule = (
        machinelearningservices.FqdnOutboundRuleArgs
        | machinelearningservices.PrivateEndpointOutboundRuleArgs
        | machinelearningservices.ServiceTagOutboundRuleArgs
    )

_ADDRESSES: Final = "10.0.0.0/24"
_SUBNET: Final = "private"
_AGENT_POOL: Final = "scoring"
_AGENT_TIER: Final = "S1"
"""2 processors and 3 GB: https://learn.microsoft.com/azure/container-registry/tasks-agent-pools#pool-tiers"""
_BESIDE: Final = "registry-beside-workspace"
"""Rule of the registry that is not the workspace's own, to which Azure ML makes no private endpoint by itself."""


@dataclass(frozen=True)
class PrivatePart:
    """A part of the stack that a private endpoint leads to."""

    name: str
    """End of the endpoint's name."""
    group: str
    """Group id: which part of the resource answers."""
    id: pulumi.Output[str]
    """ARM id of the resource."""


class PrivateNetwork:
    """Private endpoints in one subnet, with the zones that hold their names."""

    def __init__(self, site: Site, settings: PrivateEndpointsSettings, parts: list[PrivatePart]) -> None:
        self._site = site
        self._name = site.names.of("network")
        self._subnet_id = self._made() if settings.subnet == MADE else pulumi.Output.from_input(settings.subnet)
        needed = dict.fromkeys(zone for part in parts for zone in ZONES[part.group])
        existing = zone_ids(settings)
        self._zones: dict[str, pulumi.Input[str]] | None = None
        self.ready: list[pulumi.Resource] = []
        """What must be there before anybody inside reaches the parts."""
        if existing is not None:
            self._zones = {zone: existing.get(zone) or self._zone(zone) for zone in needed}
        for part in parts:
            self._endpoint(part)

    def _made(self) -> pulumi.Output[str]:
        site = self._site
        made = network.VirtualNetwork(
            f"{site.name}-network",
            virtual_network_name=self._name,
            resource_group_name=site.resource_group,
            location=site.location,
            address_space=network.AddressSpaceArgs(address_prefixes=[_ADDRESSES]),
            subnets=[network.SubnetArgs(name=_SUBNET, address_prefix=_ADDRESSES)],
            tags=site.tags,
            opts=site.opts,
        )
        return pulumi.Output.concat(made.id, f"/subnets/{_SUBNET}")

    def _zone(self, name: str) -> pulumi.Output[str]:
        """Create a zone, and link it to the subnet's network."""
        site = self._site
        zone = privatedns.PrivateZone(
            f"{site.name}-{name}",
            private_zone_name=name,
            resource_group_name=site.resource_group,
            location="global",
            tags=site.tags,
            opts=site.opts,
        )
        link = privatedns.VirtualNetworkLink(
            f"{site.name}-{name}-link",
            virtual_network_link_name=self._name,
            private_zone_name=zone.id.apply(lambda id_: id_.rpartition("/")[2]),
            resource_group_name=site.resource_group,
            location="global",
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=self._subnet_id.apply(network_of)),
            tags=site.tags,
            opts=site.opts,
        )
        self.ready.append(link)
        return zone.id

    def _endpoint(self, part: PrivatePart) -> None:
        site, name = self._site, f"{self._name}-{part.name}"
        endpoint = network.PrivateEndpoint(
            f"{site.name}-{part.name}-private-endpoint",
            private_endpoint_name=name,
            resource_group_name=site.resource_group,
            location=site.location,
            # By the id alone: `SubnetArgs` would send defaults of a subnet that is not ours.
            subnet={"id": self._subnet_id},
            private_link_service_connections=[
                network.PrivateLinkServiceConnectionArgs(
                    name=name, private_link_service_id=part.id, group_ids=[part.group]
                )
            ],
            tags=site.tags,
            opts=site.opts,
        )
        self.ready.append(endpoint)
        if self._zones is None:
            return
        group = network.PrivateDnsZoneGroup(
            f"{site.name}-{part.name}-zones",
            private_dns_zone_group_name="default",
            private_endpoint_name=endpoint.id.apply(lambda id_: id_.rpartition("/")[2]),
            resource_group_name=site.resource_group,
            private_dns_zone_configs=[
                network.PrivateDnsZoneConfigArgs(name=zone.replace(".", "-"), private_dns_zone_id=self._zones[zone])
                for zone in ZONES[part.group]
            ],
            opts=site.opts,
        )
        self.ready.append(group)

    def agent_pool(self, registry_id: pulumi.Output[str]) -> pulumi.Output[str]:
        """Create machines of ACR Tasks inside the subnet; return the pool's name.

        https://learn.microsoft.com/azure/container-registry/tasks-agent-pools
        """
        site = self._site
        pool = containerregistry.AgentPool(
            f"{site.name}-agent-pool",
            agent_pool_name=_AGENT_POOL,
            registry_name=registry_id.apply(lambda id_: ArmId.parse(id_).name),
            resource_group_name=site.resource_group,
            location=site.location,
            count=1,
            os="Linux",
            tier=_AGENT_TIER,
            virtual_network_subnet_resource_id=self._subnet_id,
            tags=site.tags,
            opts=site.opts,
        )
        pulumi.log.info(
            f"image.builder = acr: ACR Tasks builds in an agent pool of the stack's own ({_AGENT_TIER}, one machine, "
            "billed while it stands), for the registry is closed to the internet",
            pool,
        )
        return pool.id.apply(lambda id_: id_.rpartition("/")[2])


def provisioned(
    site: Site,
    settings: NetworkSettings,
    workspace: "machinelearningservices.Workspace",
    registry_id: pulumi.Output[str] | None,
) -> pulumi.Output[str]:
    """Provision the workspace's managed network with its rules; return the workspace's id once it stands.

    `registry_id` is a registry beside the workspace's own, from which deployments pull.
    """
    rules = {name: _rule(rule) for name, rule in settings.outbound.items()}
    if registry_id is not None and settings.links_registry:
        rules[_BESIDE] = _private(registry_id, "registry")
    if named := [name for name, rule in settings.outbound.items() if rule.fqdn is not None]:
        pulumi.log.info(
            f"network.outbound.{named[0]}: Azure ML makes an Azure Firewall for host names, which costs by the hour",
            workspace,
        )
    made = [
        machinelearningservices.ManagedNetworkSettingsRule(
            f"{site.name}-outbound-{name}",
            rule_name=name,
            workspace_name=workspace.id.apply(lambda id_: ArmId.parse(id_).name),
            resource_group_name=site.resource_group,
            properties=rule,
            # Azure takes the managed network away with its workspace.
            opts=pulumi.ResourceOptions.merge(site.opts, pulumi.ResourceOptions(deleted_with=workspace)),
        ).id
        for name, rule in rules.items()
    ]
    args = ManagedNetworkArgs(workspace_id=workspace.id, outbound_rules=pulumi.Output.all(*made))
    return ManagedNetwork(f"{site.name}-managed-network", args, site.opts).workspace_id


def _rule(rule: OutboundSettings) -> "Rule":
    if rule.fqdn is not None:
        return machinelearningservices.FqdnOutboundRuleArgs(type="FQDN", category="UserDefined", destination=rule.fqdn)
    if rule.service_tag is None:
        return _private(rule.private_endpoint or "", rule.target or "")
    return machinelearningservices.ServiceTagOutboundRuleArgs(
        type="ServiceTag",
        category="UserDefined",
        destination=machinelearningservices.ServiceTagDestinationArgs(
            service_tag=rule.service_tag, protocol=rule.protocol or "TCP", port_ranges=rule.ports or "443"
        ),
    )


def _private(resource_id: pulumi.Input[str], target: str) -> "machinelearningservices.PrivateEndpointOutboundRuleArgs":
    return machinelearningservices.PrivateEndpointOutboundRuleArgs(
        type="PrivateEndpoint",
        category="UserDefined",
        destination=machinelearningservices.PrivateEndpointDestinationArgs(
            service_resource_id=resource_id, subresource_target=target, spark_enabled=False
        ),
    )
