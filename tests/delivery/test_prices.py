"""What a change would cost: from a dated table, and honest about what it does not know."""

from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.changes import UNKNOWN, Change
from azureml_scoring.delivery.prices import Item, Price, Prices, PricesError, difference, load, write
from azureml_scoring.delivery.report import costs

HOURS = 730
BLUE = "urn:pulumi:dev::p::azureml-scoring:index:OnlineDeployment::blue"
REGISTRY = "urn:pulumi:dev::p::azure-native:containerregistry:Registry::registry"
VAULT = "urn:pulumi:dev::p::azure-native:keyvault:Vault::vault"
LOGS = "urn:pulumi:dev::p::azure-native:operationalinsights:Workspace::logs"
PRICES = Prices(
    "EUR",
    {
        "eastus": {
            "Standard_A": Price(2, "1 Hour", "2026-01-31"),
            "Standard_B": Price(3, "1 Hour", "2026-01-31"),
            "Container Registry Basic": Price(0.12, "1/Day", "2026-02-01"),
            "Key Vault": Price(0.03, "10K", "2026-01-31"),
        }
    },
)


def _facts(kind: str = "Standard_A", count: Any = 1, location: str = "eastus") -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"instanceType": kind, "instanceCount": count, "location": location}


def _change(op: str, old: dict[str, Any] | None = None, new: dict[str, Any] | None = None, urn: str = BLUE) -> Change:
    return Change(urn, op, (), (), old or {}, new or {})


@pytest.mark.parametrize(
    ("change", "hourly", "instances"),
    [
        (_change("create", None, _facts(count=2)), 4, {"Standard_A": 2}),
        (_change("create", None, _facts(count=2.0)), 4, {"Standard_A": 2}),
        (_change("delete", _facts(), None), -2, {"Standard_A": -1}),
        (_change("update", _facts(), _facts(count=3)), 4, {"Standard_A": 2}),
        (_change("replace", _facts(), _facts("Standard_B")), 1, {"Standard_A": -1, "Standard_B": 1}),
        (_change("create", None, _facts(location="East US")), 2, {"Standard_A": 1}),
    ],
)
def test_the_cost_follows_type_and_number(change: Change, hourly: float, instances: dict[str, int]) -> None:
    cost = difference([change], PRICES)
    assert cost is not None
    assert cost.total == hourly * HOURS
    assert cost.monthly == {Item("eastus", name): number for name, number in instances.items()}
    assert f"by about **{hourly * HOURS:+,.0f} EUR** a month" in costs([change], PRICES)[0]


@pytest.mark.parametrize(
    "change",
    [
        _change("update", _facts(), _facts()),
        _change("import", None, _facts()),
        Change(BLUE, "delete", (), old=_facts(), retained=True),
        _change("create", None, {**_facts("defaultinstancetype"), "kind": "Kubernetes"}),
    ],
    ids=["no other number", "was there before", "stays on Azure", "runs on a cluster's own nodes"],
)
def test_what_costs_the_same_as_before_has_no_line(change: Change) -> None:
    assert costs([change], PRICES) == []


def test_a_registry_costs_what_its_tier_costs() -> None:
    basic, premium = ({"sku": {"name": name}, "location": "eastus"} for name in ("Basic", "Premium"))
    assert costs([_change("create", None, basic, REGISTRY)], PRICES) == [
        "- Costs change by about **+4 EUR** a month: `Container Registry Basic` +1 (+4 EUR)",
        "  - an estimate from list prices: `eastus`, 2026-02-01",
    ]
    lines = costs([_change("update", basic, premium, REGISTRY)], PRICES)
    parts = "`Container Registry Basic` -1 (-4 EUR), `Container Registry Premium` +1"
    assert lines[0] == f"- Costs change by an unknown amount: {parts}"
    assert "no price is known of `Container Registry Premium` in `eastus`" in lines[1]


def test_parts_that_cost_by_use_are_named_with_their_prices() -> None:
    there = {"location": "eastus"}
    lines = costs([_change("create", None, there, VAULT), _change("delete", there, None, LOGS)], PRICES)
    assert lines[:2] == [
        "- Costs change by use alone",
        "  - by use: `Key Vault` +1 (0.03 EUR for 10K), `Log Analytics` -1",
    ]
    assert "no price is known of `Log Analytics` in `eastus`" in lines[2]


def test_an_unknown_price_is_not_taken_for_nothing_nor_from_another_region() -> None:
    lines = costs([_change("create", None, _facts(location="westeurope"))], PRICES)
    assert lines == [
        "- Costs change by an unknown amount: `Standard_A` +1",
        "  - no price is known of `Standard_A` in `westeurope`; `azureml-scoring prices` reads list prices",
    ]


def test_a_number_that_autoscale_sets_is_said_to_be_the_first() -> None:
    lines = costs([_change("create", None, _facts() | {"autoscaled": True})], PRICES)
    assert "  - autoscale may set other numbers of instances" in lines


def test_what_is_known_only_after_the_update_has_no_cost_yet() -> None:
    unknown = _facts(UNKNOWN), {"sku": {"name": UNKNOWN}, "location": "eastus"}
    changes = [_change("create", None, facts, urn) for facts, urn in zip(unknown, (BLUE, REGISTRY), strict=True)]
    assert costs(changes, PRICES) == []
    lines = costs([_change("create", None, _facts(location=UNKNOWN))], PRICES)
    assert "no price is known of `Standard_A` in `an unknown region`" in lines[1]


def test_the_table_beside_the_code_reads() -> None:
    price = load().regions["eastus"]["Standard_DS3_v2"]
    assert price.unit == "1 Hour"
    assert price.dated == "2022-12"


def test_a_written_table_reads_as_it_was(tmp_path: Path) -> None:
    write(PRICES, tmp_path / "prices.json")
    assert load(tmp_path / "prices.json") == PRICES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1",
        "[]",
        '{"currency": "EUR"}',
        '{"currency": "", "regions": {}}',
        '{"currency": "EUR", "regions": {"eastus": {"A": {"price": "2", "unit": "1 Hour", "dated": "2026"}}}}',
        '{"currency": "EUR", "regions": {"eastus": {"A": {"price": 2, "unit": "1 Hour"}}}}',
    ],
)
def test_a_table_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.json"
    table.write_text(text)
    with pytest.raises(PricesError) as error:
        load(table)
    assert "\n" not in str(error.value)
    assert str(table) in str(error.value)


def test_a_table_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match="cannot be written"):
        write(PRICES, tmp_path / "none" / "prices.json")
