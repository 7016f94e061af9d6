"""Environments and their versions."""

from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from tests.emulator.conftest import InProcessAzure
from tests.ml import ENVIRONMENT, WORKSPACE, make_workspace
from tests.scoring import ROUTES

IMAGE = "shop.azurecr.io/team/scorer@sha256:" + "1" * 64
BODY = {"properties": {"image": IMAGE, "inferenceConfig": ROUTES}}


def test_a_first_version_brings_its_environment_along(local: InProcessAzure) -> None:
    make_workspace(local)
    made = local.ask("PUT", f"{ENVIRONMENT}/versions/1", BODY)
    assert made["properties"]["image"] == IMAGE
    assert made["properties"]["osType"] == "Linux"
    local.ask("PUT", f"{ENVIRONMENT}/versions/2", BODY)
    shown = local.ask("GET", ENVIRONMENT)["properties"]
    assert (shown["latestVersion"], shown["nextVersion"]) == ("2", "3")


def test_a_version_needs_its_workspace(local: InProcessAzure) -> None:
    with pytest.raises(AzureError, match="was not found") as refused:
        local.ask("PUT", f"{ENVIRONMENT}/versions/1", BODY)
    assert refused.value.status == 404


def test_a_version_is_immutable_but_for_words_and_archiving(local: InProcessAzure) -> None:
    make_workspace(local)
    local.ask("PUT", f"{ENVIRONMENT}/versions/1", BODY)
    same = {**BODY["properties"], "tags": {"a": "b"}, "description": "text", "isArchived": True}
    assert local.ask("PUT", f"{ENVIRONMENT}/versions/1", {"properties": same})["properties"]["isArchived"]
    assert local.ask("GET", ENVIRONMENT)["properties"]["latestVersion"] is None
    other = {"properties": {**BODY["properties"], "image": IMAGE.replace("1", "2")}}
    with pytest.raises(AzureError, match=r"'scorer:1' is already registered with another 'image'") as refused:
        local.ask("PUT", f"{ENVIRONMENT}/versions/1", other)
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": None}, "needs 'image' or 'build'"),
        ({"image": "https://shop.azurecr.io/a"}, "is not a reference like"),
        ({"build": {"contextUri": "https://x"}}, "either 'image' or 'build', not both"),
        ({"inferenceConfig": {}}, r"inferenceConfig\.livenessRoute needs 'path' and 'port'"),
        ({"inferenceConfig": {**ROUTES, "scoringRoute": {"path": "score", "port": 80}}}, "does not begin with '/'"),
        ({"inferenceConfig": {**ROUTES, "scoringRoute": {"path": "/", "port": 70000}}}, "'70000' is not a port"),
    ],
)
def test_a_wrong_version_is_refused_and_leaves_nothing(
    local: InProcessAzure, change: dict[str, Any], said: str
) -> None:
    make_workspace(local)
    with pytest.raises(AzureError, match=said):
        local.ask("PUT", f"{ENVIRONMENT}/versions/1", {"properties": {**BODY["properties"], **change}})
    with pytest.raises(AzureError, match="was not found"):
        local.ask("GET", ENVIRONMENT)


def test_a_purged_workspace_takes_its_environments_along(local: InProcessAzure) -> None:
    make_workspace(local)
    local.ask("PUT", f"{ENVIRONMENT}/versions/1", BODY)
    local.ask("DELETE", WORKSPACE)
    purge = Request("DELETE", f"{local.group}/{WORKSPACE}", local.deployer, query={"forceToPurge": "true"})
    assert local.azure.request(purge).status == 204
    make_workspace(local)
    with pytest.raises(AzureError, match="was not found"):
        local.ask("GET", f"{ENVIRONMENT}/versions/1")
