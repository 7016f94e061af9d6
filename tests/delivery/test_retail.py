"""`azureml-scoring prices`: today's list prices, as Azure's public list answers, a page at a time.

The answers have the shape that Microsoft documents:
https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azureml_scoring.cli import main
from azureml_scoring.delivery import prices, retail

from tests.stub_server import Answer, Request, StubServer

TODAY = date(2026, 11, 30)
PAGE = 3
"""Entries on a page of the stub; Azure has 1,000."""


def _entry(service: str, meter: str, price: float, unit: str = "1 Hour", **others: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """An entry of the list, with every field that Azure sends."""
    return {
        "currencyCode": "EUR",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "westeurope",
        "location": "EU West",
        "effectiveStartDate": "2020-08-01T00:00:00Z",
        "meterId": "00000000-0000-0000-0000-000000000001",
        "meterName": meter,
        "productId": "DZH318Z0BQPS",
        "skuId": "DZH318Z0BQPS/00TG",
        "productName": service,
        "skuName": meter,
        "serviceName": service,
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": unit,
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "",
        **others,
    }


def _machine(meter: str, price: float, **others: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    named = {"armSkuName": "Standard_DS3_v2", "productName": "Virtual Machines DSv2 Series"}
    return _entry("Virtual Machines", meter, price, **named | others)


LIST = [
    _machine("DS3 v2 Spot", 0.05),
    _machine("DS3 v2 Low Priority", 0.06),
    _machine("DS3 v2", 0.58, productName="Virtual Machines DSv2 Series Windows"),
    _machine("DS3 v2", 2000.0, type="Reservation", reservationTerm="1 Year"),
    _machine("DS3 v2", 0.33, currencyCode="USD"),
    _machine("DS3 v2", 0.3),
    _machine("E4s v5", 0.4, armSkuName="Standard_E4s_v5"),
    _machine("E4s v5", 0.5, armSkuName="Standard_E4s_v5"),
    _entry("Container Registry", "Basic Registry Unit", 0.14, "1/Day", skuName="Basic"),
    _entry("Container Registry", "Premium Registry Unit", 1.4, "1/Day", skuName="Premium"),
    _entry("Storage", "Hot LRS Data Stored", 0.019, "1 GB/Month", productName="General Block Blob v2"),
    _entry(
        "Storage",
        "Hot LRS Data Stored",
        0.018,
        "1 GB/Month",
        productName="General Block Blob v2",
        tierMinimumUnits=51200.0,
    ),
    _entry("Key Vault", "Operations", 0.026, "10K", skuName="Standard"),
    _entry("Log Analytics", "Analytics Logs Data Ingestion", 0.0, "1 GB"),
    _entry("Log Analytics", "Analytics Logs Data Ingestion", 2.5, "1 GB", tierMinimumUnits=5.0),
]


class RetailList(StubServer):
    """Azure's list of prices: filters by what is asked, a page at a time."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        super().__init__(self._page)
        self.entries = entries
        self.queries: list[dict[str, str]] = []
        self.next_host = ""
        self.filters = True

    def _page(self, request: Request) -> Answer:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        self.queries.append(query)
        wanted = dict(re.findall(r"(\w+) eq '([^']*)'", query["$filter"]))
        wanted["type"] = wanted.pop("priceType")
        # The currency chooses the prices that are answered; a wrong one among them is what the reader must notice.
        kept = [each for each in self.entries if all(each[name] == value for name, value in wanted.items())]
        kept = kept if self.filters else self.entries
        skip = int(query.get("$skip", 0))
        following = f"{self.next_host or self.url}{request.path.partition('&$skip')[0]}&$skip={skip + PAGE}"
        document = {
            "BillingCurrency": query["currencyCode"].strip("'"),
            "CustomerEntityId": "Default",
            "CustomerEntityType": "Retail",
            "Items": kept[skip : skip + PAGE],
            "NextPageLink": following if len(kept) > skip + PAGE else None,
            "Count": len(kept[skip : skip + PAGE]),
        }
        return Answer(document)


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[RetailList]:
    with RetailList(LIST).serving() as server:
        monkeypatch.setattr(retail, "API", f"{server.url}/api/retail/prices")
        yield server


def _read(types: list[str]) -> retail.Refreshed:
    return retail.refreshed("EUR", ["westeurope"], types, TODAY)


def test_prices_are_those_of_the_list_and_of_today(azure: RetailList) -> None:
    result = _read(["Standard_DS3_v2"])
    assert {name: (price.price, price.unit) for name, price in result.prices.regions["westeurope"].items()} == {
        "Standard_DS3_v2": (0.3, "1 Hour"),
        "Container Registry Basic": (0.14, "1/Day"),
        "Container Registry Premium": (1.4, "1/Day"),
        "Storage": (0.019, "1 GB/Month"),
        "Key Vault": (0.026, "10K"),
        "Log Analytics": (2.5, "1 GB"),
    }
    assert {price.dated for price in result.prices.regions["westeurope"].values()} == {"2026-11-30"}
    assert result.missing == ("Container Registry Standard in westeurope",)
    assert any("$skip" in query for query in azure.queries), "the price stands on the second page"
    assert {query["currencyCode"] for query in azure.queries} == {"'EUR'"}


def test_an_entry_of_something_else_is_not_taken_whatever_the_list_answers(azure: RetailList) -> None:
    filtered = _read(["Standard_DS3_v2"])
    azure.filters = False
    assert _read(["Standard_DS3_v2"]) == filtered


@pytest.mark.usefixtures("azure")
def test_two_prices_for_one_thing_are_none() -> None:
    result = _read(["Standard_E4s_v5"])
    assert "Standard_E4s_v5 in westeurope" in result.missing
    assert "Standard_E4s_v5" not in result.prices.regions["westeurope"]


def test_a_page_on_another_host_is_not_followed(azure: RetailList) -> None:
    azure.next_host = "http://elsewhere.invalid"
    with pytest.raises(prices.PricesError, match="another host; not followed"):
        _read(["Standard_DS3_v2"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_list_that_is_out_of_order_is_asked_again_and_named_with_its_status(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer("busy", status)

    with StubServer(answer).serving() as server:
        monkeypatch.setattr(retail, "API", server.url)
        monkeypatch.setattr(retail, "_RETRY", retail._RETRY.new(backoff_factor=0))
        with pytest.raises(prices.PricesError, match=f"127.0.0.1: {status} .*, and no list of prices; try again later"):
            _read(["Standard_DS3_v2"])
    assert len(asked) == 5


@pytest.mark.parametrize(
    "answer", [Answer("no", 404), Answer("<html>"), Answer({"Items": None}), Answer(["Items"])], ids=str
)
def test_an_answer_that_is_no_list_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    with StubServer(lambda _: answer).serving() as server:
        monkeypatch.setattr(retail, "API", server.url)
        with pytest.raises(prices.PricesError, match=f"127.0.0.1: {answer.status} .*, and no list of prices"):
            _read([])


def test_the_command_writes_a_table_that_the_report_reads(
    azure: RetailList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "prices.json"
    assert main(["prices", "--region", "westeurope", "--currency", "EUR"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "6 prices of westeurope: prices.json\n"
    assert prices.load() == prices.load(table) != prices.load(prices.TABLE)
    assert "no list price: Standard_D2s_v3 in westeurope" in printed.err.splitlines()
    assert prices.load(table).regions["westeurope"]["Standard_DS3_v2"] == prices.Price(
        0.3, "1 Hour", datetime.now(UTC).date().isoformat()
    )
    azure.entries = [each | {"retailPrice": each["retailPrice"] * 2} for each in LIST]
    assert main(["prices", str(table)]) == 0
    assert prices.load(table).regions["westeurope"]["Standard_DS3_v2"].price == 0.6
    assert prices.load(table).currency == "EUR"


@pytest.mark.parametrize("entries", [[], None], ids=["nothing fits", "no answer"])
def test_a_table_stays_where_nothing_is_read(
    azure: RetailList,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    entries: list[dict[str, Any]] | None,
) -> None:
    table = tmp_path / "prices.json"
    assert main(["prices", str(table), "--region", "westeurope", "--currency", "EUR"]) == 0
    before = table.read_text()
    if entries is None:
        monkeypatch.setattr(retail, "API", "http://127.0.0.1:9/")
    else:
        azure.entries = entries
    capsys.readouterr()
    assert main(["prices", str(table)]) == 2
    assert re.fullmatch(r"error: 127\.0\.0\.1: .+\n", capsys.readouterr().err)
    assert table.read_text() == before
