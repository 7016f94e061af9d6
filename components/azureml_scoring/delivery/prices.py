"""Monthly cost of instances, estimated from a small dated table. Owns the table's format; knows no discounts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from azureml_scoring.delivery.changes import Change
from azureml_scoring.errors import CommandError

TABLE: Final = Path(__file__).with_name("prices.yaml")
"""The built-in table."""


class PricesError(CommandError):
    """The table cannot be used; one line that says why."""


class Prices(BaseModel):
    """Hourly prices by region and instance type."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    dated: str
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    hours_per_month: Annotated[float, Field(gt=0, le=744)] = 730
    fallback: str
    regions: dict[str, dict[str, Annotated[float, Field(ge=0)]]]

    def hour(self, location: str, instance_type: str) -> float | None:
        """Return the price of an hour of one instance, there or in the fallback region; None where neither has one."""
        for region in (location, self.fallback):
            price = self.regions.get(region, {}).get(instance_type)
            if price is not None:
                return price
        return None


def load(path: Path = TABLE) -> Prices:
    """Read a table of prices."""
    try:
        return Prices.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise PricesError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PricesError(f"{path}: {where or 'the table'}: {first['msg']}; see delivery/prices.yaml") from None


@dataclass(frozen=True)
class Cost:
    """How the monthly cost of the instances changes."""

    difference: float
    instances: int
    """How many instances are added."""
    unknown: tuple[str, ...] = ()
    """Instance types without a price."""
    elsewhere: tuple[str, ...] = ()
    """Regions without prices of their own: the fallback's are used."""


def difference(changes: Iterable[Change], prices: Prices) -> Cost | None:
    """Return how the cost changes; None where no instances change."""
    deployments = [change for change in changes if change.kind == "OnlineDeployment"]
    removed = [_instances(change.old) if change.op != "create" else None for change in deployments]
    added = [_instances(change.new) if change.op != "delete" else None for change in deployments]
    pairs = [pair for pair in zip(removed, added, strict=True) if pair[0] != pair[1]]
    if not pairs:
        return None
    total, instances = 0.0, 0
    unknown: dict[str, None] = {}
    elsewhere: dict[str, None] = {}
    for sign, each in [*((-1, old) for old, _ in pairs), *((1, new) for _, new in pairs)]:
        if each is None:
            continue
        location, instance_type, number = each
        instances += sign * number
        hour = prices.hour(location, instance_type)
        if hour is None:
            unknown[instance_type] = None
            continue
        if instance_type not in prices.regions.get(location, {}):
            elsewhere[location] = None
        total += sign * number * hour * prices.hours_per_month
    return Cost(total, instances, tuple(unknown), tuple(elsewhere))


def _instances(facts: dict[str, Any]) -> tuple[str, str, int] | None:
    if facts.get("kind") == "Kubernetes":
        return None  # a cluster's nodes cost the same, whatever runs on them
    try:
        number = int(facts.get("instanceCount") or 1)
    except ValueError:  # known only after the update
        number = 1
    kind = facts.get("instanceType")
    return (str(facts.get("location", "")), str(kind), number) if kind else None
