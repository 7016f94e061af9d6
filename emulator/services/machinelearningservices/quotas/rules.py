"""Machine sizes of managed endpoints, and the cores that a deployment takes of its family's quota. Pure.

https://learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list
https://learn.microsoft.com/azure/machine-learning/how-to-manage-quotas#virtual-machine-quota-allocation-for-deployment
"""

import math
from dataclasses import dataclass

_FAMILIES: dict[str, tuple[str, tuple[int, ...]]] = {
    "standardDAv4Family": ("Standard_D{}a_v4", (2, 4, 8)),
    "standardDASv4Family": ("Standard_D{}as_v4", (2, 4, 8)),
    "standardESv3Family": ("Standard_E{}s_v3", (2, 4, 8, 16, 32, 64)),
    "standardFSv2Family": ("Standard_F{}s_v2", (2, 4, 8, 16, 32, 48, 64, 72)),
    "standardFXMDVSFamily": ("Standard_FX{}mds", (4, 12, 24, 36, 48)),
    "standardLSv2Family": ("Standard_L{}s_v2", (8, 16, 32)),
    "standardLSv3Family": ("Standard_L{}s_v3", (8, 16, 32)),
    "standardLASv3Family": ("Standard_L{}as_v3", (8, 16, 32)),
    "standardNCSv2Family": ("Standard_NC{}s_v2", (6, 12, 24)),
    "standardNCSv3Family": ("Standard_NC{}s_v3", (6, 12, 24)),
    "standard NCASv3_T4 Family": ("Standard_NC{}as_T4_v3", (4, 8, 16, 64)),
    "standardNCADSA100v4Family": ("Standard_NC{}ads_A100_v4", (24, 48, 96)),
    "standardNDSv2Family": ("Standard_ND{}rs_v2", (40,)),
    "standard NDASv4_A100 Family": ("Standard_ND{}asr_v4", (96,)),
    "standard NDAMSv4_A100Family": ("Standard_ND{}amsr_A100_v4", (96,)),
}
"""The pattern of a family's names, and the cores of its sizes, which are part of the names."""
_UNRESERVED = frozenset(
    {"standardNCADSA100v4Family", "standardNCADSH100v5Family", "standardNDSv2Family"}
    | {"standard NDASv4_A100 Family", "standard NDAMSv4_A100Family"}
)
"""Families of which Azure ML reserves nothing for upgrades."""


@dataclass(frozen=True)
class Size:
    """A size of machine."""

    name: str
    family: str
    cores: int

    def quota(self, instances: int) -> int:
        """The cores that a deployment must have: Azure ML reserves a fifth more for upgrades."""
        # In whole numbers: ceil(1.2 * 5) is 6, but a float is not.
        count = instances if self.family in _UNRESERVED else math.ceil(instances * 12 / 10)
        return count * self.cores


SIZES = {
    size.name.lower(): size
    for size in (
        *(
            Size(f"Standard_DS{n}_v2", "standardDSv2Family", cores)
            for n, cores in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 16))
        ),
        *(
            Size(pattern.format(cores), family, cores)
            for family, (pattern, sizes) in _FAMILIES.items()
            for cores in sizes
        ),
        Size("Standard_NC40ads_H100_v5", "standardNCADSH100v5Family", 40),
        Size("Standard_NC80adis_H100_v5", "standardNCADSH100v5Family", 80),
    )
}
"""By name in lower case."""
FAMILIES = tuple(dict.fromkeys(size.family for size in SIZES.values()))


def title(family: str) -> str:
    """A family as a usage names it: `standardDSv2Family` is `Standard DSv2 Family Cluster Dedicated vCPUs`."""
    name = family.removeprefix("standard").removesuffix("Family").strip()
    return f"Standard {name} Family Cluster Dedicated vCPUs"
