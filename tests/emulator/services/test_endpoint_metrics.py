"""Azure Monitor's metrics of endpoints, asked as its REST API is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from emulator.backends.fleet import DeploymentMetrics, Sample
from emulator.core.azure import Azure, Request
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import ASSIGNMENTS, Principal
from emulator.core.store import Document
from emulator.services.insights import data as endpoint_metrics
from emulator.services.machinelearningservices.onlineendpoints.types import (
    OnlineDeployment,
    OnlineEndpoint,
)

NOW = 1_800_000_030.0  # half a minute past
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
SOMEBODY = Principal("principal", "principal")
SPAN = "2027-01-15T08:00:00Z/2027-01-15T08:02:00Z"


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    made = Azure(tmp_path)
    made.serve([OnlineEndpoint, OnlineDeployment, endpoint_metrics.Metrics])
    endpoint = ResourceId.parse(_endpoint(made))
    made.store.put(Document(endpoint, {"location": "westeurope", "properties": {}}))
    told = {
        "blue": [Sample(NOW - 20, 0.010, 200), Sample(NOW, 0.020, 200), Sample(NOW + 60, 0.030, 200)],
        "green": [Sample(NOW, 0.100, 200), Sample(NOW, 0.300, 424)],
    }
    for name, samples in told.items():
        fleet = made.serving(OnlineDeployment).fleet
        metrics = fleet.metrics.setdefault(f"{endpoint.key}/deployments/{name}", DeploymentMetrics())
        metrics.samples.extend(samples)
    scope = f"/subscriptions/{made.subscription}"
    role = f"{scope}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"
    assignment = ResourceId.parse(f"{scope}/providers/{ASSIGNMENTS}/a")
    given = {"roleDefinitionId": role, "principalId": "principal", "scope": scope}
    made.store.put(Document(assignment, {"properties": given}))
    yield made
    made.store.close()


def _endpoint(azure: Azure) -> str:
    group = f"/subscriptions/{azure.subscription}/resourceGroups/g"
    return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/w/onlineEndpoints/scoring"


def ask(azure: Azure, query: dict[str, str], principal: Principal = SOMEBODY) -> dict[str, Any]:
    path = f"{_endpoint(azure)}/providers/Microsoft.Insights/metrics"
    found = azure.request(Request("GET", path, principal, {}, {"timespan": SPAN, **query})).body
    assert found is not None
    return found


def series(told: dict[str, Any]) -> dict[tuple[str, ...], list[float | None]]:
    (metric,) = told["value"]
    return {
        tuple(each["value"] for each in one["metadatavalues"]): [point.get("average") for point in one["data"]]
        for one in metric["timeseries"]
    }


def test_requests_are_counted_by_the_minute(azure: Azure) -> None:
    told = ask(azure, {"metricnames": "RequestsPerMinute"})
    assert series(told) == {(): [4.0, 1.0]}
    assert (told["interval"], told["timespan"]) == ("PT1M", SPAN)
    assert [point["timeStamp"] for point in told["value"][0]["timeseries"][0]["data"]] == [
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:01:00Z",
    ]


def test_a_span_may_be_encoded_twice_and_name_no_zone_as_the_azure_cli_does(azure: Azure) -> None:
    span = quote_plus(SPAN.replace("Z", ""))
    assert series(ask(azure, {"metricnames": "RequestsPerMinute", "timespan": span})) == {(): [4.0, 1.0]}


def test_a_filter_chooses_a_deployment_and_splits_by_class(azure: Azure) -> None:
    told = ask(
        azure, {"metricnames": "RequestsPerMinute", "$filter": "deployment eq 'green' and statusCodeClass eq '*'"}
    )
    assert series(told) == {("green", "2xx"): [1.0, None], ("green", "4xx"): [1.0, None]}


def test_latencies_are_percentiles_in_milliseconds(azure: Azure) -> None:
    told = ask(azure, {"metricnames": "RequestLatency_P95", "$filter": "deployment eq 'green'"})
    assert series(told) == {("green",): [300.0, None]}
    assert told["value"][0]["unit"] == "MilliSeconds"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"metricnames": "Requests"}, "Failed to find metric configuration"),
        ({"metricnames": "RequestLatency", "$filter": "statusCode eq '200'"}, "does not support requested dimension"),
        ({"$filter": "deployment = 'green'"}, "Invalid query filter string"),
        ({"timespan": "yesterday"}, "Detected invalid timespan"),
        ({"interval": "PT1S"}, "Detected invalid time grain"),
    ],
)
def test_what_azure_monitor_refuses_is_refused(azure: Azure, query: dict[str, str], said: str) -> None:
    with pytest.raises(AzureError, match=said):
        ask(azure, query)


def test_metrics_need_the_right_to_read_them(azure: Azure) -> None:
    with pytest.raises(AzureError) as caught:
        ask(azure, {}, Principal("nobody", "nobody"))
    assert caught.value.status == 403
