"""Containers of a managed network: they answer, and reach the approved name and no other."""

import json
from collections.abc import Iterator

import docker
import pytest

from tests.conftest import Cloud, local_azure
from tests.scoring import Endpoint, stage
from tests.stub_server import Answer, StubServer

pytestmark = pytest.mark.slow
NAME = "packages.example.com"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with local_azure(tmp_path_factory.mktemp("azure") / "state") as started:
        yield started


def fetched(endpoint: Endpoint, *asked: object) -> str:
    answer = endpoint.score({"fetch": asked})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["fetched"])


def networks(cloud: Cloud) -> list[str]:
    client = docker.from_env()
    try:
        label = f"azureml-scoring.state={cloud.folder.resolve()}"
        return [str(each.name) for each in client.networks.list(filters={"label": label})]
    finally:
        client.close()


def test_a_container_reaches_the_approved_name_and_no_other(cloud: Cloud) -> None:
    with stage(cloud) as made, StubServer(lambda _: Answer({"package": "here"})).serving() as server:
        cloud.finish(
            cloud.ask(
                "PATCH",
                made.workspace,
                {"properties": {"managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound"}}},
            )
        )
        rule = {"properties": {"type": "FQDN", "destination": NAME}}
        cloud.put(f"{made.workspace}/outboundRules/packages", rule)
        cloud.tell("fault", "egress-hosts", json.dumps({NAME: f"127.0.0.1:{server.server_port}"}))
        with made.endpoint() as endpoint:
            early = endpoint.ask_deploy()
            assert (early.status_code, "is not provisioned" in early.text) == (400, True)
            told = cloud.finish(cloud.ask("POST", f"{made.workspace}/provisionManagedNetwork", {}))
            assert told["status"] == "Succeeded", told
            assert endpoint.deploy()["status"] == "Succeeded"
            endpoint.send({"blue": 100})
            assert len(networks(cloud)) == 1
            assert "here" in fetched(endpoint, f"http://{NAME}/simple/")
            assert "470" in fetched(endpoint, "http://example.com/")
            assert "Error" in fetched(endpoint, "https://example.com/")
            assert "Error" in fetched(endpoint, f"http://{NAME}/", {}), "there is no other way out"
            cloud.finish(cloud.ask("DELETE", f"{made.workspace}/outboundRules/packages"))
            assert "470" in fetched(endpoint, f"http://{NAME}/simple/")
        assert networks(cloud) == []
