"""Which versions are compared before they serve, and that no client ever meets one that answers wrongly."""

import json
from pathlib import Path

import pytest
from azureml_scoring.provider.endpoint_traffic import EndpointTraffic
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.online_deployment import OnlineDeployment
from azureml_scoring.provider.values import Properties

from tests.provider.fake_azure import ENDPOINT, ENVIRONMENT, Answer, FakeAzure, Sent
from tests.provider.test_online import deployment, shares, stand, traffic

ID = f"{ENDPOINT}/traffic"


class Endpoint:
    """An endpoint whose deployments answer with what stands in `replies`, and one check."""

    def __init__(self, folder: Path) -> None:
        self.azure = FakeAzure()
        stand(self.azure, "blue", "green")
        self.replies: dict[str, object] = {"blue": "first", "green": "first"}
        self.status = 200
        self.asked: list[str] = []
        self.checks = [{"request": str(folder / "request.json"), "reply": str(folder / "reply.json")}]
        (folder / "request.json").write_text("{}")
        self.reply = folder / "reply.json"
        self.expects("first")
        self.azure.on("POST", "https://scoring.test/score", self._answer)

    def _answer(self, sent: Sent) -> Answer:
        name = sent.headers["azureml-model-deployment"]
        self.asked.append(name)
        return self.status, {}, {"version": self.replies[name]}

    def expects(self, version: object) -> None:
        self.reply.write_text(json.dumps({"version": version}))

    def serve(self, name: str, state: Properties | None = None, **more: object) -> Properties:
        """Send all traffic to a deployment; returns the state."""
        del self.asked[:]
        news = traffic({name: 100}, checks=self.checks, **more)
        context = self.azure.context()
        if state is None:
            return EndpointTraffic().create(context, news)[1]
        return EndpointTraffic().update(context, ID, state, news)

    def deploy(self, name: str, reply: object, environment: str) -> None:
        """Put another version into a deployment."""
        self.replies[name] = reply
        olds, news = deployment(name), deployment(name, environmentId=f"{ENVIRONMENT}-{environment}")
        OnlineDeployment().update(self.azure.context(), f"{ENDPOINT}/deployments/{name}", olds, news)


@pytest.fixture
def scored(tmp_path: Path) -> Endpoint:
    return Endpoint(tmp_path)


def test_a_first_version_that_answers_wrongly_gets_no_request(scored: Endpoint) -> None:
    scored.replies["blue"] = "nonsense"
    with pytest.raises(ResourceError) as caught:
        scored.serve("blue")
    assert str(caught.value) == (
        "endpoint scoring keeps its traffic (nowhere): deployment blue answers request.json wrongly: "
        "reply.version is 'nonsense' instead of 'first'"
    )
    assert shares(scored.azure) == {}


def test_a_new_version_that_answers_wrongly_gets_no_request(scored: Endpoint) -> None:
    state = scored.serve("blue")
    scored.deploy("green", "nonsense", "second")
    scored.expects("second")
    with pytest.raises(ResourceError, match=r"keeps its traffic \(blue 100 %\): deployment green answers .* wrongly"):
        scored.serve("green", state, mirrorFirst=20)
    assert (shares(scored.azure), scored.asked) == ({"blue": 100}, ["green"])


def test_traffic_goes_back_to_a_version_that_served_whatever_is_expected_by_now(scored: Endpoint) -> None:
    state = scored.serve("blue")
    scored.deploy("green", "second", "second")
    scored.expects("second")
    state = scored.serve("green", state)
    state = scored.serve("blue", state)
    assert (shares(scored.azure), scored.asked) == ({"blue": 100}, ["blue"])
    assert scored.azure.logged[-2].endswith("deployment blue answers request.json well")
    scored.status = 500
    with pytest.raises(ResourceError, match=r"deployment green did not answer request\.json in 5 attempts: HTTP 500"):
        scored.serve("green", state)
    assert shares(scored.azure) == {"blue": 100}


def test_another_version_in_a_deployment_that_served_is_compared(scored: Endpoint) -> None:
    state = scored.serve("green", scored.serve("blue"))
    scored.deploy("blue", "nonsense", "third")
    with pytest.raises(ResourceError, match=r"deployment blue answers .* wrongly"):
        scored.serve("blue", state)


def test_which_versions_served_survives_a_refresh_and_goes_with_the_deployment(scored: Endpoint) -> None:
    state = scored.serve("green", scored.serve("blue"))
    found = EndpointTraffic().read(scored.azure.context(), ID, state, traffic({"green": 100}))
    assert found is not None
    assert found.state["served"].keys() == {"blue", "green"}
    assert "served" not in found.inputs
    OnlineDeployment().delete(scored.azure.context(), f"{ENDPOINT}/deployments/blue", deployment())
    assert scored.serve("green", found.state, tolerance=0.1)["served"].keys() == {"green"}


def test_only_deployments_that_get_more_requests_are_asked(scored: Endpoint) -> None:
    context = scored.azure.context()
    both = traffic({"blue": 50, "green": 50}, checks=scored.checks)
    _, state = EndpointTraffic().create(context, both)
    del scored.asked[:]
    EndpointTraffic().update(context, ID, state, traffic({"blue": 40, "green": 60}, checks=scored.checks))
    assert scored.asked == ["green"]


def test_a_file_that_went_since_the_preview_is_one_line(scored: Endpoint) -> None:
    scored.reply.unlink()
    with pytest.raises(ResourceError, match=r"keeps its traffic .*reply\.json cannot be read: .*No such file"):
        scored.serve("blue")


def test_checks_alone_are_no_change(scored: Endpoint) -> None:
    state = scored.serve("blue")
    assert not EndpointTraffic().diff(ID, state, traffic({"blue": 100}, checks=[], tolerance=0.5)).changed
