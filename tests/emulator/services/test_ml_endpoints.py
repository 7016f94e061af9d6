"""Endpoints and deployments of a running local Azure: real pulls, real containers."""

from collections.abc import Iterator

import pytest

from tests.conftest import Cloud
from tests.scoring import Stage, stage, until


@pytest.fixture(scope="module")
def scene(azure: Cloud) -> Iterator[Stage]:
    with stage(azure) as made:
        yield made


def test_a_deployment_answers_once_traffic_is_sent_to_it(scene: Stage) -> None:
    with scene.endpoint() as endpoint:
        assert endpoint.score().status_code == 404
        assert endpoint.deploy()["status"] == "Succeeded"
        assert endpoint.score().status_code == 404
        assert endpoint.send({"blue": 100}).status_code == 200
        answer = endpoint.score({"x": 1})
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"] == "blue"
        assert answer.json()["asked"] == {"x": 1}
        assert answer.headers["azureml-model-deployment"] == "blue"
        assert "authorization" not in answer.json()["headers"]
    until(lambda: not scene.containers, "the containers to go")
