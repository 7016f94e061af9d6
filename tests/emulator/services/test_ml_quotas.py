"""Quotas of Azure ML: what is listed, and a deployment that the quota has no room for."""

import pytest

from emulator.core.errors import AzureError
from emulator.services.machinelearningservices.quotas.rules import SIZES
from tests.emulator.conftest import InProcessAzure
from tests.ml import ENDPOINT, deployment_body, endpoint_body, scene

DSV2 = "Standard DSv2 Family Cluster Dedicated vCPUs"


def _locations(local: InProcessAzure) -> str:
    return f"/subscriptions/{local.azure.subscription}/providers/Microsoft.MachineLearningServices/locations/westeurope"


def _usage(local: InProcessAzure, name: str) -> tuple[int, int]:
    usages = local.ask("GET", f"{_locations(local)}/usages")["value"]
    (usage,) = [each for each in usages if each["name"]["value"] == name]
    return usage["currentValue"], usage["limit"]


def test_a_size_tells_its_family_and_its_cores(local: InProcessAzure) -> None:
    sizes = {size["name"]: size for size in local.ask("GET", f"{_locations(local)}/vmSizes")["value"]}
    assert sizes["Standard_DS3_v2"] == {"name": "Standard_DS3_v2", "family": "standardDSv2Family", "vCPUs": 4}


@pytest.mark.parametrize(
    ("name", "instances", "cores"),
    [("Standard_DS3_v2", 1, 8), ("Standard_DS3_v2", 10, 48), ("Standard_NC24ads_A100_v4", 2, 48)],
)
def test_a_fifth_more_is_reserved_for_upgrades_of_most_sizes(name: str, instances: int, cores: int) -> None:
    assert SIZES[name.lower()].quota(instances) == cores


def test_a_deployment_that_exceeds_its_familys_quota_is_refused(local: InProcessAzure) -> None:
    local.azure.fault("quota", {"standardDSv2Family": 6})
    with scene(local, listen=False):
        body = deployment_body(local, instanceType="Standard_DS3_v2")
        with pytest.raises(AzureError, match=r"usage/limit: 0/6[.] Additional needed: 8") as refused:
            local.ask("PUT", f"{ENDPOINT}/deployments/large", body)
        assert refused.value.status == 400
    assert _usage(local, DSV2) == (0, 6)


def test_a_managed_endpoint_fails_where_a_provider_that_it_needs_is_not_registered(local: InProcessAzure) -> None:
    with scene(local, listen=False):
        local.ask("POST", f"/subscriptions/{local.azure.subscription}/providers/Microsoft.Cdn/unregister")
        with pytest.raises(AzureError, match="SubscriptionNotRegistered"):
            local.ask("PUT", f"{ENDPOINT}-two", endpoint_body())
