"""Monthly costs, estimated from dated list prices. Owns the table's format; knows no discounts and guesses nothing.

`retail.py` reads the prices from Azure.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from azureml_scoring.delivery.changes import IMPORTS, UNKNOWN, Change
from azureml_scoring.errors import CommandError
from azureml_scoring.settings.regions import short_form

TABLE: Final = Path(__file__).with_name("prices.json")
"""The built-in table."""
OWN: Final = Path("prices.json")
"""A project's own table, in its folder."""

DAY, HOUR = "1/Day", "1 Hour"
"""Units of measure, as Azure's list of prices writes them."""
_MONTHLY: Final = {DAY: 365 / 12, HOUR: 730}
"""How many of a unit a month has; Azure's own calculators count 730 hours."""

_PARTS: Final = {
    "azure-native:storage:StorageAccount": "Storage",
    "azure-native:keyvault:Vault": "Key Vault",
    "azure-native:operationalinsights:Workspace": "Log Analytics",
}
"""Parts of a workspace that cost by use, and what the table calls their price."""
_REGISTRY: Final = "azure-native:containerregistry:Registry"
REGISTRY: Final = "Container Registry"
"""What the table calls a registry's price, followed by its tier."""


class PricesError(CommandError):
    """Prices cannot be read; one line that says why."""


@dataclass(frozen=True)
class Price:
    """A list price."""

    price: float
    """Of one unit, in the table's currency."""
    unit: str
    """As Azure writes it: 1 Hour, 1/Day, 1 GB/Month, 10K."""
    dated: str
    """When it was read: a day, or a month."""


@dataclass(frozen=True)
class Prices:
    """List prices by region, and by instance type or service."""

    currency: str
    regions: Mapping[str, Mapping[str, Price]]


def load(path: Path | None = None) -> Prices:
    """Read a table of prices: this one, or the project's own, or the built-in one."""
    path = path or (OWN if OWN.exists() else TABLE)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PricesError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    try:
        regions = {
            region: {name: _price(f"{region}.{name}", price) for name, price in prices.items()}
            for region, prices in table["regions"].items()
        }
        return Prices(_text(table, "currency"), regions)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PricesError(
            f"{path}: not a table of prices ({error}); `azureml-scoring prices {path.name}` writes one"
        ) from None


def _text(table: Mapping[str, Any], name: str) -> str:
    if not (isinstance(table[name], str) and table[name]):
        raise ValueError(f"{name} is no text")
    return str(table[name])


def _price(where: str, price: Mapping[str, Any]) -> Price:
    if isinstance(price["price"], bool) or not isinstance(price["price"], int | float) or price["price"] < 0:
        raise ValueError(f"{where}: {price['price']!r} is no price")
    return Price(float(price["price"]), _text(price, "unit"), _text(price, "dated"))


def write(prices: Prices, path: Path) -> None:
    """Write a table."""
    regions = {
        region: {name: vars(price) for name, price in sorted(named.items())}
        for region, named in sorted(prices.regions.items())
    }
    table = json.dumps({"currency": prices.currency, "regions": regions}, indent=1)
    try:
        path.write_text(f"{table}\n", encoding="utf-8")
    except OSError as error:
        raise PricesError(f"{path}: cannot be written ({error.strerror})") from None


class Item(NamedTuple):
    """What costs by the month: instances of a type, or registries of a tier."""

    location: str
    name: str


@dataclass(frozen=True)
class Cost:
    """How costs change."""

    monthly: Mapping[Item, int]
    """How many are added of what costs by the month; negative: taken away."""
    used: Mapping[Item, int]
    """The same of what costs by use."""
    known: Mapping[Item, Price]
    scaled: bool = False
    """Azure Monitor may set other numbers of instances than those that are counted."""

    def of(self, item: Item) -> float | None:
        """Return by how much an item changes a month's cost; None without a price."""
        price = self.known.get(item)
        if price is None or price.unit not in _MONTHLY:
            return None
        return self.monthly[item] * price.price * _MONTHLY[price.unit]

    @property
    def total(self) -> float | None:
        """The change of a month's cost; None where a price is unknown."""
        costs = [self.of(item) for item in self.monthly]
        return None if None in costs else sum(filter(None, costs))

    @property
    def unknown(self) -> list[Item]:
        """What has no price."""
        return [item for item in self.monthly if self.of(item) is None] + [
            item for item in self.used if item not in self.known
        ]


def difference(changes: Sequence[Change], prices: Prices) -> Cost | None:
    """Return how costs change; None where nothing that costs is added or taken away."""
    monthly: Counter[Item] = Counter()
    used: Counter[Item] = Counter()
    for change in changes:
        for sign, state in _sides(change):
            for item, number in _items(change, state):
                monthly[item] += sign * number
            if state and change.type in _PARTS:
                used[Item(_location(state), _PARTS[change.type])] += sign
    changed, parts = ({item: n for item, n in counter.items() if n} for counter in (monthly, used))
    if not (changed or parts):
        return None
    known = {
        item: price for item in [*changed, *parts] if (price := prices.regions.get(item.location, {}).get(item.name))
    }
    scaled = any(change.new.get("autoscaled") and change.old != change.new for change in changes)
    return Cost(changed, parts, known, scaled)


def _sides(change: Change) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield what is taken away, and what is added. What stays on Azure, or was there before, costs what it did."""
    if change.old == change.new:
        return
    if not (change.op == "delete" and change.retained):
        yield -1, change.old
    if change.op not in IMPORTS:
        yield 1, change.new


def _items(change: Change, state: Mapping[str, Any]) -> Iterator[tuple[Item, int]]:
    """Yield what a resource pays by the month, where that is known before the update."""
    if change.kind == "OnlineDeployment" and state.get("kind") != "Kubernetes":
        # A cluster's nodes cost the same, whatever runs on them.
        if (size := state.get("instanceType")) not in (None, UNKNOWN):
            yield Item(_location(state), str(size)), _count(state.get("instanceCount"))
    elif change.type == _REGISTRY and isinstance(sku := state.get("sku"), dict) and sku.get("name") != UNKNOWN:
        yield Item(_location(state), f"{REGISTRY} {sku.get('name')}"), 1


def _count(value: object) -> int:
    try:
        return int(str(value if value is not None else 1).removesuffix(".0"))
    except ValueError:  # known only after the update
        return 1


def _location(state: Mapping[str, Any]) -> str:
    """Return a region's name as the list of prices writes it; Azure takes `West Europe` as well."""
    location = state.get("location")
    return "" if location in (None, UNKNOWN) else short_form(str(location))
