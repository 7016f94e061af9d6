"""Azure's public list of prices, read without an account. Owns what the list calls what a stack has.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from azureml_scoring.delivery.prices import DAY, HOUR, REGISTRY, Price, Prices, PricesError

API = "https://prices.azure.com/api/retail/prices"
_VERSION: Final = "2023-01-01-preview"
_TIMEOUT: Final = 30
"""Seconds."""
_RETRY: Final = Retry(4, backoff_factor=1, status_forcelist={429, 500, 502, 503, 504}, raise_on_status=False)


@dataclass(frozen=True)
class Meter:
    """What the list calls something: a filter, and what its entries must have beside it."""

    filter: Mapping[str, str]
    unit: str
    fits: Callable[[Mapping[str, Any]], bool] = lambda _: True


def meter(name: str) -> Meter:
    """Return the meter of a price's name; a name that is no service's is an instance type."""
    service, _, tier = name.rpartition(" ")
    if service == REGISTRY:
        return Meter({"serviceName": REGISTRY, "meterName": f"{tier} Registry Unit"}, DAY)
    return _SERVICES.get(name) or _instances(name)


_SERVICES: Final = {
    "Storage": Meter(
        {"serviceName": "Storage", "productName": "General Block Blob v2", "meterName": "Hot LRS Data Stored"},
        "1 GB/Month",
    ),
    "Key Vault": Meter({"serviceName": "Key Vault", "skuName": "Standard", "meterName": "Operations"}, "10K"),
    "Log Analytics": Meter({"serviceName": "Log Analytics", "meterName": "Analytics Logs Data Ingestion"}, "1 GB"),
}
SERVICES: Final = (*(f"{REGISTRY} {tier}" for tier in ("Basic", "Standard", "Premium")), *_SERVICES)
"""What is read for each region beside its instance types."""


def _instances(instance_type: str) -> Meter:
    """Return the meter of an instance, which costs what its Linux machine costs.

    https://azure.microsoft.com/pricing/details/machine-learning/
    """
    return Meter({"serviceName": "Virtual Machines", "armSkuName": instance_type}, HOUR, _is_linux_on_demand)


def _is_linux_on_demand(entry: Mapping[str, Any]) -> bool:
    words = f"{entry.get('productName')} {entry.get('skuName')} {entry.get('meterName')}"
    return not any(word in words for word in ("Windows", "Spot", "Low Priority", "CloudServices", "Cloud Services"))


@dataclass(frozen=True)
class Refreshed:
    """A table of today, and what the list has no price of."""

    prices: Prices
    missing: tuple[str, ...]


def refreshed(currency: str, regions: Iterable[str], types: Iterable[str], today: date) -> Refreshed:
    """Read the prices of instance types and services in some regions."""
    prices: dict[str, dict[str, Price]] = {}
    missing = []
    with requests.Session() as session:
        session.mount(API, HTTPAdapter(max_retries=_RETRY))
        for region, name in product(dict.fromkeys(regions), dict.fromkeys([*types, *SERVICES])):
            price = _read(session, region, name, currency)
            if price is None:
                missing.append(f"{name} in {region}")
            else:
                prices.setdefault(region, {})[name] = Price(price, meter(name).unit, today.isoformat())
    if not prices:
        raise PricesError(f"{urlsplit(API).hostname}: no price of {', '.join(missing[:3])} …; check regions and types")
    return Refreshed(Prices(currency, prices), tuple(missing))


def _read(session: requests.Session, region: str, name: str, currency: str) -> float | None:
    """Return a price; None where the list has none, or several that differ."""
    wanted = meter(name)
    conditions = {**wanted.filter, "armRegionName": region, "priceType": "Consumption"}
    query = {
        "api-version": _VERSION,
        "currencyCode": _quoted(currency),
        "$filter": " and ".join(f"{field} eq {_quoted(value)}" for field, value in conditions.items()),
    }
    steps: dict[float, set[float]] = {}
    for entry in _entries(session, query):
        # The list is asked for these; what it answers is looked at all the same.
        price, least = entry.get("retailPrice"), entry.get("tierMinimumUnits") or 0
        if _is_of(entry, wanted, region, currency) and isinstance(price, int | float) and price > 0:
            steps.setdefault(float(least), set()).add(float(price))
    # Of a price by steps the first that costs something: what is free is used up soon.
    first = steps[min(steps)] if steps else set()
    return first.pop() if len(first) == 1 else None


def _quoted(value: str) -> str:
    """Quote a text for a filter, as OData does it."""
    return "'" + value.replace("'", "''") + "'"


def _is_of(entry: Mapping[str, Any], wanted: Meter, region: str, currency: str) -> bool:
    expected = {
        **wanted.filter,
        "armRegionName": region,
        "type": "Consumption",
        "currencyCode": currency,
        "unitOfMeasure": wanted.unit,
    }
    return all(entry.get(field) == value for field, value in expected.items()) and wanted.fits(entry)


def _entries(session: requests.Session, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of all pages; a page on another host is refused."""
    host = urlsplit(API).hostname
    url: str | None = requests.Request("GET", API, params=query).prepare().url
    while url:
        if urlsplit(url).hostname != host:
            raise PricesError(f"{host}: the next page lies on another host; not followed")
        page = _page(session, url, host)
        yield from page["Items"]
        url = page.get("NextPageLink")


def _page(session: requests.Session, url: str, host: str | None) -> dict[str, Any]:
    try:
        answer = session.get(url, timeout=_TIMEOUT)
    except requests.RequestException as error:
        raise PricesError(
            f"{host}: no answer ({type(error).__name__}); run this where the address is reached"
        ) from None
    try:
        page = answer.json() if answer.ok else None
    except ValueError:
        page = None
    if not (isinstance(page, dict) and isinstance(page.get("Items"), list)):
        raise PricesError(f"{host}: {answer.status_code} {answer.reason}, and no list of prices; try again later")
    return page
