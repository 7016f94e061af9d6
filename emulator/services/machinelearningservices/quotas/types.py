"""Usages and sizes of machines in a region, and the refusal of a deployment that the quota has no room for.

Owns Microsoft.MachineLearningServices/locations/{usages,vmSizes}. Counts managed deployments only: there are no compute
clusters here.
https://learn.microsoft.com/rest/api/azureml/usages/list
https://learn.microsoft.com/rest/api/azureml/virtual-machine-sizes/list

Fault: `quota` (cores by family, `{"standardDSv2Family": 6}`); else each family has plenty.
"""

from typing import Any

from emulator.core.azure import Azure, ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.machinelearningservices.onlineendpoints.rules import DEPLOYMENTS
from emulator.services.machinelearningservices.quotas.rules import FAMILIES, SIZES, Size, title

_LOCATIONS = "Microsoft.MachineLearningServices/locations"
_CORES = 2000
"""Cores of a family, and of all together, unless the fault `quota` says less: a quota that has been raised."""


class Usages(ResourceType):
    """Cores in use and allowed."""

    type = f"{_LOCATIONS}/usages"

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """The total and each family."""
        base, used = f"/subscriptions/{scope.subscription}/usages", _used(self.azure, scope.name)
        total = "Total Cluster Dedicated Regional vCPUs"
        usages = [_usage(base, "dedicatedCores", total, sum(used.values()), _CORES)]
        for family in FAMILIES:
            name = title(family)
            path = f"{base}/{name.replace(' ', '_')}"
            usages.append(_usage(path, "vmFamily", name, used[family], _limit(self.azure, family)))
        return self.azure.page(usages, scope, self.type, query)


class VirtualMachineSizes(ResourceType):
    """Sizes of machines."""

    type = f"{_LOCATIONS}/vmSizes"

    def collection(self, scope: ResourceId, query: dict[str, str]) -> dict[str, Any]:
        """All sizes, in each region the same."""
        del scope, query
        return {"value": [{"name": size.name, "family": size.family, "vCPUs": size.cores} for size in SIZES.values()]}


def check_quota(azure: Azure, new: Document, old: Document | None) -> None:
    """Refuse a deployment whose cores exceed what is left of its family's quota.

    The words are a recorded answer's: https://github.com/microsoft/azure-realtime-fraud-detection/issues/2
    """
    size, before = _size(new), _size(old) if old else None
    held = before.quota(int(old.body["sku"]["capacity"])) if old and before and before.family == size.family else 0
    needed = size.quota(int(new.body["sku"]["capacity"])) - held
    used = _used(azure, str(new.body["location"]))[size.family]
    limit = _limit(azure, size.family)
    if needed > 0 and used + needed > limit:
        raise AzureError(
            400,
            "BadRequest",
            f"Not enough quota available for {size.name} in SubscriptionId {new.id.subscription}. Current usage/limit:"
            f" {used}/{limit}. Additional needed: {needed} Please see troubleshooting guide, available here:"
            " https://aka.ms/oe-tsg#error-outofquota",
        )


def _size(deployment: Document) -> Size:
    return SIZES[str(deployment.properties["instanceType"]).lower()]


def _used(azure: Azure, location: str) -> dict[str, int]:
    """Cores of the managed deployments in a region, by family."""
    cores = dict.fromkeys(FAMILIES, 0)
    for deployment in azure.store.of_type(DEPLOYMENTS):
        if deployment.body["kind"] == "Managed" and str(deployment.body["location"]) == location.lower():
            size = _size(deployment)
            cores[size.family] += size.quota(int(deployment.body["sku"]["capacity"]))
    return cores


def _limit(azure: Azure, family: str) -> int:
    return int((azure.faults.get("quota") or {}).get(family, _CORES))


def _usage(path: str, kind: str, name: str, used: int, limit: int) -> dict[str, Any]:
    return {
        "id": path,
        "type": f"Microsoft.MachineLearningServices/{kind}/usages",
        "currentValue": used,
        "limit": limit,
        "name": {"value": name, "localizedValue": name},
        "unit": "Count",
    }
