"""A version that a deployment runs is never archived: against a scripted Azure, and a real local one."""

from typing import Any

import pytest
from azureml_scoring.provider.arm import ML_API, Arm, find_cloud, find_credential
from azureml_scoring.provider.asset_version import CodeVersion, DataVersion, ModelVersion
from azureml_scoring.provider.environment_version import EnvironmentVersion
from azureml_scoring.provider.framework import Context, Resource

from tests.conftest import Cloud
from tests.provider.fake_azure import ENDPOINT, ENVIRONMENT, WORKSPACE, Answer, FakeAzure, Sent
from tests.scoring import stage

MODEL = f"{WORKSPACE}/models/iris/versions/7"
CODE = f"{WORKSPACE}/codes/app/versions/abc"
DATA = f"{WORKSPACE}/data/seen/versions/abc"
KINDS: list[tuple[Resource[Any], str, dict[str, Any]]] = [
    (EnvironmentVersion(), ENVIRONMENT, {"environmentId": ENVIRONMENT.upper()}),
    (ModelVersion(), MODEL, {"model": f"azureml:{MODEL}"}),
    (CodeVersion(), CODE, {"codeConfiguration": {"codeId": CODE, "scoringScript": "score.py"}}),
    (DataVersion(), DATA, {"dataCollector": {"collections": {"request": {}, "response": {"dataId": DATA}}}}),
]


def served(version: str, properties: dict[str, Any], state: str = "Succeeded") -> FakeAzure:
    """A workspace with a version, and another stack's deployment with these properties."""
    azure = FakeAzure()
    azure.documents[version] = {"id": version, "properties": {"isArchived": False}}
    endpoint = {"id": ENDPOINT, "name": "scoring", "properties": {"provisioningState": state}}
    deployment = {"id": f"{ENDPOINT}/deployments/blue", "name": "blue", "properties": properties}
    azure.on("GET", r"/onlineEndpoints\?", lambda _: (200, {}, {"value": [endpoint]}))
    azure.on("GET", r"/deployments\?", lambda _: (200, {}, {"value": [deployment]}))
    return azure


@pytest.mark.parametrize(("resource", "version", "properties"), KINDS)
def test_a_version_in_use_is_not_archived(resource: Resource[Any], version: str, properties: dict[str, Any]) -> None:
    azure = served(version, properties)
    resource.delete(azure.context(), version, {})
    assert not azure.documents[version]["properties"]["isArchived"]
    assert azure.logged == ["it is not archived: deployment scoring/blue runs it"]
    assert azure.now < 20


@pytest.mark.parametrize(("resource", "version", "properties"), KINDS)
def test_a_version_of_an_endpoint_that_is_being_deleted_is_archived(
    resource: Resource[Any], version: str, properties: dict[str, Any]
) -> None:
    azure = served(version, properties, "Deleting")
    resource.delete(azure.context(), version, {})
    assert azure.documents[version]["properties"]["isArchived"]
    assert azure.now < 1


def test_an_endpoint_whose_deletion_begins_a_moment_later_is_waited_for() -> None:
    azure = served(ENVIRONMENT, {"environmentId": ENVIRONMENT})

    def endpoints(_: Sent) -> Answer:
        state = "Deleting" if azure.now > 1 else "Succeeded"
        return 200, {}, {"value": [{"name": "scoring", "properties": {"provisioningState": state}}]}

    azure.on("GET", r"/onlineEndpoints\?", endpoints)
    EnvironmentVersion().delete(azure.context(), ENVIRONMENT, {})
    assert azure.documents[ENVIRONMENT]["properties"]["isArchived"]


def test_another_version_in_use_keeps_none() -> None:
    azure = served(ENVIRONMENT, {"environmentId": f"{ENVIRONMENT}-other"})
    EnvironmentVersion().delete(azure.context(), ENVIRONMENT, {})
    assert azure.documents[ENVIRONMENT]["properties"]["isArchived"]


def test_on_a_local_azure_a_version_is_archived_once_its_deployment_is_gone(
    azure: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", azure.environment["REQUESTS_CA_BUNDLE"])
    found = find_cloud(azure.environment)
    arm = Arm(found, find_credential(azure.environment, found))
    lines: list[str] = []
    context = Context("urn:pulumi:s::p::t::n", preview=False, log=lines.append, connect=lambda: arm)

    def is_archived(version: str) -> bool:
        document = arm.get(version, ML_API)
        assert document is not None
        return bool(document["properties"]["isArchived"])

    with stage(azure) as scene:
        with scene.endpoint() as endpoint:
            told = endpoint.deploy()
            assert told["status"] == "Succeeded", told
            EnvironmentVersion().delete(context, scene.environment, {})
            assert not is_archived(scene.environment)
            assert lines == [f"it is not archived: deployment {endpoint.id.rpartition('/')[2]}/blue runs it"]
        EnvironmentVersion().delete(context, scene.environment, {})
        assert is_archived(scene.environment)
