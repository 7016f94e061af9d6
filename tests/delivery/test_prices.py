"""What instances would cost: from a dated table that can be replaced, and honest about what it does not know."""

from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.changes import Change
from azureml_scoring.delivery.prices import TABLE, Prices, PricesError, difference, load
from azureml_scoring.delivery.report import costs

URN = "urn:pulumi:dev::p::azureml-scoring:index:OnlineDeployment::blue"


def _prices(**regions: dict[str, float]) -> Prices:
    return Prices.model_validate(
        {"dated": "2026-01", "currency": "EUR", "hoursPerMonth": 100, "fallback": "eastus", "regions": regions}
    )


def _facts(kind: str = "Standard_A", count: int = 1, location: str = "eastus") -> dict[str, Any]:
    return {"instanceType": kind, "instanceCount": count, "location": location}


def _change(op: str, old: dict[str, Any] | None = None, new: dict[str, Any] | None = None) -> Change:
    return Change(URN, op, (), (), old or {}, new or {})


@pytest.mark.parametrize(
    ("change", "euros", "instances"),
    [
        (_change("create", None, _facts(count=2)), 400, 2),
        (_change("delete", _facts(), None), -200, -1),
        (_change("update", _facts(), _facts(count=3)), 400, 2),
        (_change("replace", _facts(), _facts("Standard_B")), 100, 0),
    ],
)
def test_the_cost_follows_type_and_number(change: Change, euros: float, instances: int) -> None:
    cost = difference([change], _prices(eastus={"Standard_A": 2, "Standard_B": 3}))
    assert cost is not None
    assert (cost.difference, cost.instances) == (euros, instances)
    assert f"{euros:+,.0f} EUR" in costs([change], _prices(eastus={"Standard_A": 2, "Standard_B": 3}))[0]


def test_a_change_of_other_things_costs_nothing_and_says_nothing() -> None:
    assert costs([_change("update", _facts(), _facts())], _prices(eastus={"Standard_A": 2})) == []


def test_another_regions_price_is_said_to_be_one() -> None:
    line = costs([_change("create", None, _facts(location="westeurope"))], _prices(eastus={"Standard_A": 2}))[0]
    assert "Estimate from list prices of 2026-01" in line
    assert "`westeurope` at the prices of `eastus`" in line


def test_an_unknown_price_is_not_taken_for_nothing() -> None:
    line = costs([_change("create", None, _facts("Standard_X"))], _prices(eastus={"Standard_A": 2}))[0]
    assert "unknown amount" in line
    assert "no price is known of `Standard_X`" in line


def test_the_table_beside_the_code_reads() -> None:
    assert load().hour("westeurope", "Standard_DS3_v2") == load(TABLE).hour("eastus", "Standard_DS3_v2")


@pytest.mark.parametrize("text", ["", "dated: x", "[1", "dated: '2026'\ncurrency: euro\nfallback: a\nregions: {}"])
def test_a_table_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text(text)
    with pytest.raises(PricesError) as error:
        load(table)
    assert "\n" not in str(error.value)
    assert str(table) in str(error.value)


def test_what_runs_on_a_cluster_costs_what_the_cluster_costs() -> None:
    change = _change("create", None, {**_facts("defaultinstancetype"), "kind": "Kubernetes"})
    assert difference([change], _prices(eastus={})) is None
