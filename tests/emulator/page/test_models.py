"""View models from documents, without a browser."""

from typing import Any

import pytest

from emulator.backends.fleet import DeploymentMetrics, Sample
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.journal import Entry
from emulator.core.operations import Operation
from emulator.core.store import Document
from emulator.protocols.page import endpoints, overview, registries, roles, words
from emulator.services.graph import access as entra
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment
from tests.emulator.conftest import InProcessAzure
from tests.emulator.page.test_graph import ENDPOINT, REGISTRY, WORKSPACE, document

NOW = 1_800_000_030.0
DEPLOYER = entra.Deployer("deployer", "app", "secret")


def failed(path: str, text: str) -> Entry:
    operation = Operation(path, status="Failed", error=AzureError(400, "BadArgument", text), ended=NOW)
    return Entry("Resource Manager", "PUT", path, "somebody", at=NOW - 10, status=201, operation=operation)


def test_a_failed_resource_says_why_and_a_mended_one_does_not() -> None:
    path = f"{ENDPOINT}/deployments/blue"
    for state, tone, reason in (("Failed", "failed", "BadArgument: no image"), ("Succeeded", "ok", "")):
        model = overview.graph_model([document(path, provisioningState=state)], [failed(path, "no image")], DEPLOYER, 4)
        assert [(node["tone"], node["reason"]) for node in model["nodes"]] == [(tone, reason)]
    assert [row["error"] for row in model["failures"]] == ["BadArgument: no image"]


def test_a_failed_build_is_told_among_the_failures_newest_first() -> None:
    run = document(f"{REGISTRY}/runs/ca1", status="Failed", finishTime="2027-01-15T09:00:00Z", runErrorMessage="exit 1")
    fine = document(f"{REGISTRY}/runs/ca2", status="Succeeded", finishTime="2027-01-15T09:00:00Z")
    rows = overview.failures([run, fine], [failed(ENDPOINT, "no")])
    assert [(row["kind"], row["error"]) for row in rows] == [
        ("Build run", "exit 1"),
        ("Online endpoint", "BadArgument: no"),
    ]


def test_a_request_takes_until_its_operation_has_ended() -> None:
    row = words.request_row(failed(f"{ENDPOINT}/deployments/blue", "no"))
    assert (row["seconds"], row["state"], row["kind"], row["name"]) == (10.0, "Failed", "Online deployment", "blue")
    going = Entry("s", "PUT", ENDPOINT, operation=Operation(ENDPOINT))
    assert (words.request_row(going)["seconds"], words.request_row(going)["state"]) == (None, "InProgress")


def test_versions_actions_and_lists_have_names_that_people_read() -> None:
    for target, kind, name in (
        (f"{WORKSPACE}/environments/app/versions/7", "Environment version", "app:7"),
        (f"{ENDPOINT}/listKeys", "listKeys", "score"),
        ("Application scorer-pull", "", "Application scorer-pull"),
    ):
        row = words.request_row(Entry("s", "POST", target))
        assert (row["kind"], row["name"]) == (kind, name)


@pytest.mark.parametrize(
    ("method", "target", "reads"),
    [
        ("GET", ENDPOINT, True),
        ("POST", f"{ENDPOINT}/listKeys", True),
        ("POST", f"{ENDPOINT}/regenerateKeys", False),
        ("PUT", f"{ENDPOINT}/deployments/listener", False),
    ],
)
def test_actions_that_list_are_reads(method: str, target: str, reads: bool) -> None:  # noqa: FBT001 - the expectation
    assert words.request_row(Entry("s", method, target))["read"] is reads


def test_what_is_missing_is_no_failure_of_who_asks_for_it() -> None:
    row = words.request_row(Entry("s", "GET", ENDPOINT, status=404, error="ResourceNotFound: gone"))
    assert (row["state"], row["tone"], row["error"]) == ("NotFound", "ok", "")
    assert words.request_row(Entry("s", "PUT", ENDPOINT, status=404, error="no"))["tone"] == "failed"


def test_the_history_of_a_resource_is_not_that_of_its_children() -> None:
    asked = [("PUT", ENDPOINT), ("POST", f"{ENDPOINT}/listKeys"), ("PUT", f"{ENDPOINT}/deployments/blue")]
    entries = [Entry("s", method, path.upper(), number=at) for at, (method, path) in enumerate(asked)]
    assert [row["number"] for row in words.history_of(ENDPOINT.lower(), entries)] == [1, 0]


def test_figures_are_azure_monitors(local: InProcessAzure) -> None:
    id_ = ResourceId.parse(f"{local.group}/{ENDPOINT.partition('/resourceGroups/g/')[2]}")
    local.azure.store.put(Document(id_, {"location": "westeurope", "properties": {}}))
    metrics = DeploymentMetrics()
    metrics.samples.extend([Sample(NOW - 60, 0.010, 200), Sample(NOW, 0.020, 200), Sample(NOW, 0.300, 424)])
    local.azure.serving(OnlineDeployment).fleet.metrics[f"{id_.key}/deployments/blue"] = metrics
    found = {name: series["blue"] for name, series in endpoints.figures(local.azure, id_, NOW).items()}
    assert {name: series[-2:] for name, series in found.items()} == {
        "requests": [1.0, 2.0],
        "errors": [None, 1.0],
        "p50": [10.0, 300.0],
        "p95": [10.0, 300.0],
    }
    assert {len(series) for series in found.values()} == {endpoints.MINUTES}


def test_a_tag_says_which_deployment_runs_it_by_tag_or_by_digest() -> None:
    registry = document(REGISTRY, loginServer="shop.io")
    running = {
        "e/tag": "shop.io/app:1",
        "e/digest": "shop.io/app@sha256:1",
        "e/both": "shop.io/app:1@sha256:1",
        "e/other": "shop.io/app:2",
    }
    model = registries.registry_model(registry, {"app": {"1": "sha256:1"}}, [], running, [])
    assert model["repositories"][0]["tags"][0]["runs"] == ["e/both", "e/digest", "e/tag"]


def test_only_a_granted_pull_is_the_last_pull() -> None:
    registry = document(REGISTRY, loginServer="shop.io")
    entries = [
        token("repository:app:pull", "first"),
        token("repository:app:pull,push", "pusher"),
        token("repository:app:pull", "refused", error="no role"),
        token("repository:application:pull", "of another"),
    ]
    model = registries.registry_model(registry, {"app": {"1": "sha256:1"}}, [], {}, entries)
    assert model["repositories"][0]["pulled"]["client"] == "first"


def token(scope: str, client: str, **more: Any) -> Entry:  # noqa: ANN401 - an entry's fields
    return Entry("Container Registry", "TOKEN", f"shop.io {scope}", client, **more)


def test_a_pull_that_failed_a_deployment_is_among_the_refusals() -> None:
    entry = failed(ENDPOINT, "unable to pull image 'a' from registry 'b' as principal 'c': denied")
    model = roles.roles_model([], [entry, failed(ENDPOINT, "crashed")], "deployer")
    assert [row["error"] for row in model["refusals"]] == [entry.failure]
