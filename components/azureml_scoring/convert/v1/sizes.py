"""Instance types by CPU, memory and GPUs: v2's managed endpoints are sized by instance type.

Owns the short list and the choice. Refuses to own quotas and prices. Pure.
https://learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Size:
    """An instance type."""

    name: str
    cpu: float
    memory: float
    """GiB."""
    gpus: int = 0


SIZES: Final = (
    Size("Standard_DS2_v2", 2, 7),
    Size("Standard_DS3_v2", 4, 14),
    Size("Standard_DS4_v2", 8, 28),
    Size("Standard_DS5_v2", 16, 56),
    Size("Standard_E16s_v3", 16, 128),
    Size("Standard_E32s_v3", 32, 256),
    Size("Standard_NC4as_T4_v3", 4, 28, 1),
    Size("Standard_NC8as_T4_v3", 8, 56, 1),
    Size("Standard_NC16as_T4_v3", 16, 110, 1),
    Size("Standard_NC24ads_A100_v4", 24, 220, 1),
    Size("Standard_NC48ads_A100_v4", 48, 440, 2),
    Size("Standard_NC64as_T4_v3", 64, 440, 4),
    Size("Standard_ND96asr_v4", 96, 900, 8),
)
"""The smallest first. Smaller ones have no room for what Azure runs beside a container."""


def choose(cpu: float, memory: float, gpus: int) -> Size:
    """Choose the smallest instance type that suffices; else the largest with or without GPUs."""
    candidates = [size for size in SIZES if bool(size.gpus) == bool(gpus)]
    enough = (size for size in candidates if size.cpu >= cpu and size.memory >= memory and size.gpus >= gpus)
    return next(enough, candidates[-1])
