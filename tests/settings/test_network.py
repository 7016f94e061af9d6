"""What the network of a stack may be, and the line for each thing that Azure refuses."""

from typing import Any

import pytest
from azureml_scoring.settings.network import PARTS
from azureml_scoring.settings.parsing import parse
from azureml_scoring.settings.stack import StackSettings

from tests.settings.test_validation import ACR, AKS, BUILT, MACHINE, PUBLIC, STANDALONE, WORKSPACE, refusals

GROUP = WORKSPACE.partition("/providers/")[0]
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/hub/subnets/private"
ZONES = [
    f"{GROUP}/providers/Microsoft.Network/privateDnsZones/privatelink.{name}"
    for name in (
        *("azurecr.io", "vaultcore.azure.net", "blob.core.windows.net", "file.core.windows.net"),
        *("api.azureml.ms", "notebooks.azure.net"),
    )
]
PREMIUM = {"mode": "workspace", "sku": "Premium"}
CLOSED = {"publicAccess": False, "privateEndpoints": {"subnet": "made"}, "isolation": "approved-outbound"}


def lines(network: dict[str, Any], **sections: Any) -> list[str]:  # noqa: ANN401 - settings
    usual = {**STANDALONE, "principal": None, "registry": PREMIUM}
    return refusals({**usual, **sections, "network": network})


def outbound(**rule: str) -> dict[str, Any]:
    return {"isolation": "approved-outbound", "outbound": {"rule": rule}}


FINE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "all closed": (CLOSED, {}),
    "all closed, beside the workspace": (CLOSED, {"registry": {"sku": "Premium"}}),
    "existing network and zones": ({**CLOSED, "privateEndpoints": {"subnet": SUBNET, "dns": ZONES}}, {}),
    "a policy registers": ({**CLOSED, "privateEndpoints": {"subnet": SUBNET, "dns": "none"}}, {}),
    "ranges, and an endpoint for everybody": (
        {
            "publicAccess": {"workspace": True, "endpoint": True},
            "allowedRanges": ["203.0.113.0/24"],
            "privateEndpoints": {},
            "isolation": "internet-outbound",
        },
        {},
    ),
    "a name": (outbound(fqdn="*.example.com"), {}),
    "a service tag": (outbound(serviceTag="AzureMonitor", ports="80,8000-8999"), {}),
    "a resource": (outbound(privateEndpoint=ACR, target="registry"), {}),
    "a vault alone": ({"publicAccess": {"vault": False}}, {"registry": {"mode": "workspace"}}),
    "the older way": (
        {"publicAccess": {"workspace": False}, "privateEndpoints": {}},
        {"deployments": {"blue": {**MACHINE, "egressPublicNetworkAccess": False}}},
    ),
    "an existing workspace": (
        {"publicAccess": {"endpoint": False}},
        {"workspace": {"id": WORKSPACE}, "registry": {"mode": "workspace"}},
    ),
    "both say no": (CLOSED, {"endpoint": {"publicNetworkAccess": False}}),
    "an image of others": ({**CLOSED, "publicAccess": {"endpoint": False}}, PUBLIC),
}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "private endpoints of a cheaper registry": (
        CLOSED,
        {"registry": {"mode": "workspace"}},
        'registry.sku = "Standard": private endpoints and network rules are of the tier Premium; write Premium',
    ),
    "a managed network that needs a private endpoint to a cheaper registry": (
        {"isolation": "approved-outbound"},
        {"registry": {"mode": "workspace"}},
        'registry.sku = "Standard": private endpoints and network rules are of the tier Premium; write Premium',
    ),
    "ACR Tasks outside": (
        {"publicAccess": {"registry": False}, "isolation": "internet-outbound"},
        {},
        'image.builder = "acr": ACR Tasks reaches no registry that is closed to the internet; write',
    ),
    "an environment that Azure ML would build": (
        CLOSED,
        {**BUILT, "registry": PREMIUM},
        'environment.base = "a.io/b:1": Azure ML builds no image into a registry that is closed',
    ),
    "no way from the deployment": (
        {"publicAccess": {"storage": False}, "privateEndpoints": {}},
        {},
        'network.isolation = "none": deployments reach storage over the internet then, which is closed to them; write',
    ),
    "the older way in a managed network": (
        CLOSED,
        {"deployments": {"blue": {**MACHINE, "egressPublicNetworkAccess": False}}},
        "deployments.blue.egressPublicNetworkAccess = false: it is the older way, and has no effect in a managed",
    ),
    "a cluster in a managed network": (
        {"isolation": "internet-outbound"},
        {
            "endpoint": {"kind": "kubernetes", "compute": "aks", "cluster": {"id": AKS}},
            "deployments": {"blue": {}},
        },
        'network.isolation = "internet-outbound": a managed network has no Kubernetes; write none, the cluster',
    ),
    "a closed endpoint of a cluster": (
        {"publicAccess": {"endpoint": False}},
        {
            "endpoint": {"kind": "kubernetes", "compute": "aks", "cluster": {"id": AKS}},
            "deployments": {"blue": {}},
        },
        "network.publicAccess.endpoint = false: the cluster's own network decides who reaches it; write publicAccess",
    ),
    "isolation of an existing workspace": (
        {"isolation": "approved-outbound"},
        {"workspace": {"id": WORKSPACE}, "registry": {"mode": "workspace"}},
        'network.isolation = "approved-outbound": workspace.id names a workspace that exists, and its network stays',
    ),
    "the storage of an existing workspace": (
        {"publicAccess": {"storage": False}},
        {"workspace": {"id": WORKSPACE}, "registry": {"mode": "workspace"}},
        "network.publicAccess.storage = false: workspace.id names a workspace that exists, and its network stays",
    ),
    "a name with all of the internet": (
        {"isolation": "internet-outbound", "outbound": {"rule": {"fqdn": "example.com"}}},
        {},
        'network.outbound.rule.fqdn = "example.com": with isolation internet-outbound deployments reach it anyway;',
    ),
    "a rule without a managed network": (
        {"outbound": {"rule": {"fqdn": "example.com"}}},
        {},
        "network.outbound.rule = {…}: without a managed network deployments reach everything; write network.isolation",
    ),
    "a rule of two kinds": (
        outbound(fqdn="example.com", serviceTag="AzureMonitor"),
        {},
        "network.outbound.rule = {…}: what may be reached? write one of fqdn, serviceTag and privateEndpoint",
    ),
    "a resource without its part": (
        outbound(privateEndpoint=ACR),
        {},
        'network.outbound.rule.target = "": target goes with privateEndpoint: which part of the resource? such as blob',
    ),
    "ports of a name": (
        outbound(fqdn="example.com", ports="443"),
        {},
        'network.outbound.rule.ports = "443": it goes with serviceTag; take it out',
    ),
    "ranges of nothing": (
        {**CLOSED, "allowedRanges": ["203.0.113.0/24"]},
        {},
        'network.allowedRanges = "203.0.113.0/24": registry, vault and storage have no public access to limit;',
    ),
    "ranges beside what they do not limit": (
        {
            "allowedRanges": ["203.0.113.0/24"],
            "publicAccess": {"endpoint": False},
            "privateEndpoints": {},
            "isolation": "internet-outbound",
        },
        {},
        "network.publicAccess.workspace = true: no stable version of Azure's API limits it to ranges; write false, or",
    ),
    "two words for one endpoint": (
        CLOSED,
        {"endpoint": {"publicNetworkAccess": True}},
        "network.publicAccess.endpoint = false: endpoint.publicNetworkAccess says otherwise; take out one of them",
    ),
    "a zone that is not there": (
        {**CLOSED, "privateEndpoints": {"dns": ZONES[:-1]}},
        {},
        'network.privateEndpoints.dns = "5 zones": no zone privatelink.notebooks.azure.net is among them; add it',
    ),
    "zones both made and not": (
        {**CLOSED, "privateEndpoints": {"dns": ["made", "none"]}},
        {},
        'network.privateEndpoints.dns = "made, none": write made, none, or the ARM ids of existing zones',
    ),
}


@pytest.mark.parametrize("case", FINE)
def test_what_works_is_not_refused(case: str) -> None:
    network, sections = FINE[case]
    assert lines(network, **sections) == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_azure_refuses_is_one_line_with_field_value_and_remedy(case: str) -> None:
    network, sections, words = REFUSED[case]
    assert [line[: len(words)] for line in lines(network, **sections)] == [words]


def test_one_word_is_that_of_every_part() -> None:
    written = {"location": "westeurope", "deployments": {}, "network": {"publicAccess": False}}
    public = parse(StackSettings, written).network.public_access
    assert not any(getattr(public, part) for part in PARTS)
