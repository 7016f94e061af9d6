"""Settings of the network: who reaches registry, vault, storage, workspace and endpoint, and what deployments reach.

https://learn.microsoft.com/azure/machine-learning/how-to-managed-network
https://learn.microsoft.com/azure/private-link/private-endpoint-dns
"""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from azureml_scoring.settings import rules
from azureml_scoring.settings.registry import REGISTRY, STORAGE, VAULT, WORKSPACE
from azureml_scoring.settings.section import Arm, Section

OUTBOUND: Final = "Microsoft.MachineLearningServices/workspaces/outboundRules"
_ACCESS: Final = "properties.publicNetworkAccess"
ISOLATION_MODES: Final = {
    "none": "Disabled",
    "internet-outbound": "AllowInternetOutbound",
    "approved-outbound": "AllowOnlyApprovedOutbound",
}
"""ARM's `IsolationMode` by the name that settings use."""
PARTS: Final = ("registry", "vault", "storage", "workspace", "endpoint")
RANGED: Final = ("registry", "vault", "storage")
"""Parts whose public access a stable version of Azure's API limits to ranges of addresses: a workspace's, which its
endpoints share, are in preview versions alone."""
MADE: Final = "made"
NONE: Final = "none"
ZONES: Final = {
    "registry": ("privatelink.azurecr.io",),
    "vault": ("privatelink.vaultcore.azure.net",),
    "blob": ("privatelink.blob.core.windows.net",),
    "file": ("privatelink.file.core.windows.net",),
    "amlworkspace": ("privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"),
}
"""Zones of public Azure by group id: https://learn.microsoft.com/azure/private-link/private-endpoint-dns
Names of managed online endpoints lie in the workspace's."""


class OutboundSettings(Section):
    """One thing that deployments may reach: a name, a service tag, or a resource by a private endpoint."""

    fqdn: Annotated[rules.Fqdn | None, Arm(OUTBOUND, "properties.destination")] = None
    """A host name, or `*.` and a domain, on the ports 80 and 443; with isolation `approved-outbound` only. The first
    one makes an Azure Firewall, which costs by the hour."""
    service_tag: Annotated[rules.ServiceTag | None, Arm(OUTBOUND, "properties.destination.serviceTag")] = None
    """A service tag, such as `AzureMonitor`."""
    protocol: Annotated[Literal["TCP", "UDP", "ICMP", "*"] | None, Arm(OUTBOUND, "properties.destination.protocol")] = (
        None
    )
    """Protocol that goes with `serviceTag`; TCP by default."""
    ports: Annotated[rules.Ports | None, Arm(OUTBOUND, "properties.destination.portRanges")] = None
    """Ports that go with `serviceTag`, in quotes: `"443"`, `"80,8000-8999"`; 443 by default."""
    private_endpoint: Annotated[rules.ResourceId | None, Arm(OUTBOUND, "properties.destination.serviceResourceId")] = (
        None
    )
    """ARM id of a resource to which Azure ML makes a private endpoint of the managed network."""
    target: Annotated[rules.GroupId | None, Arm(OUTBOUND, "properties.destination.subresourceTarget")] = None
    """Which part of that resource: `blob`, `vault`, `registry`, `sqlServer`, …"""


def _listed(written: object) -> object:
    """Read a word as a list of it."""
    return [written] if isinstance(written, str) else written


class PrivateEndpointsSettings(Section):
    """Private endpoints of what the stack makes."""

    subnet: rules.Subnet = MADE
    """ARM id of an existing subnet, which stays as it is; `made`: a virtual network of the stack's own, 10.0.0.0/24."""
    dns: Annotated[
        list[rules.PrivateZone], BeforeValidator(_listed, json_schema_input_type=list[rules.PrivateZone] | str)
    ] = [MADE]
    """`made`: private DNS zones of the stack's own, linked to the subnet's network; ARM ids of existing zones, whose
    links stay as they are; `none`: somebody else, such as a policy, registers the addresses."""


class PublicAccessSettings(Section):
    """Which parts answer from the internet."""

    registry: Annotated[bool, Arm(REGISTRY, _ACCESS)] = True
    """The registries that the stack makes, its workspace's own among them."""
    vault: Annotated[bool, Arm(VAULT, _ACCESS)] = True
    """The key vault."""
    storage: Annotated[bool, Arm(STORAGE, _ACCESS)] = True
    """The storage account."""
    workspace: Annotated[bool, Arm(WORKSPACE, _ACCESS)] = True
    """The workspace."""
    endpoint: bool = True
    """The endpoint; `endpoint.publicNetworkAccess` says the same."""


def _everywhere(written: object) -> object:
    """Read true or false as that of each part."""
    return dict.fromkeys(PARTS, written) if isinstance(written, bool) else written


class NetworkSettings(Section):
    """Who reaches the parts of a stack, and what its deployments reach."""

    isolation: Annotated[
        Literal["none", "internet-outbound", "approved-outbound"],
        Arm(WORKSPACE, "properties.managedNetwork.isolationMode", encode=ISOLATION_MODES.__getitem__, encoded=str),
    ] = "none"
    """The workspace's managed network: `none`; `internet-outbound`: deployments reach the internet, and private parts
    by private endpoints; `approved-outbound`: they reach what `outbound` names. It stays for the workspace's life."""
    outbound: Annotated[dict[rules.OutboundName, OutboundSettings], rules.Distinct] = {}
    """What deployments may reach, by name of the rule."""
    private_endpoints: PrivateEndpointsSettings | None = None
    """Private endpoints of registry, vault, storage (blob and file) and workspace, as far as the stack makes them."""
    public_access: Annotated[
        PublicAccessSettings, BeforeValidator(_everywhere, json_schema_input_type=PublicAccessSettings | bool)
    ] = PublicAccessSettings()
    """Which parts answer from the internet: `false` for none, or each by its name."""
    allowed_ranges: Annotated[list[rules.Range], Field(max_length=200)] = []
    """Addresses and ranges of the internet (IPv4, CIDR) to which the public access of registry, vault and storage is
    limited."""

    @property
    def premium(self) -> bool:
        """Whether registries need the tier Premium: it alone has network rules and private endpoints.

        https://learn.microsoft.com/azure/container-registry/container-registry-skus
        """
        return self.limited("registry") or self.private_endpoints is not None or self.links_registry

    @property
    def links_registry(self) -> bool:
        """Whether the managed network has a private endpoint to the registry that deployments pull from.

        https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#list-of-required-rules
        """
        closed = self.isolation == "internet-outbound" and self.limited("registry")
        return closed or self.isolation == "approved-outbound"

    def limited(self, part: str) -> bool:
        """Tell whether not everybody on the internet reaches a part."""
        return not getattr(self.public_access, part) or (part in RANGED and bool(self.allowed_ranges))
