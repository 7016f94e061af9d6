"""Claims about environments, endpoints, deployments and their traffic, against a scripted Azure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azureml_scoring.provider.endpoint_traffic import EndpointTraffic
from azureml_scoring.provider.environment_version import EnvironmentVersion
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.online_deployment import OnlineDeployment, as_inputs
from azureml_scoring.provider.online_endpoint import OnlineEndpoint
from azureml_scoring.provider.values import Properties

from tests.provider.fake_azure import DIGEST, ENDPOINT, ENVIRONMENT, REGISTRY, WORKSPACE, Answer, FakeAzure, Sent


def environment(**more: object) -> Properties:
    given = {
        "workspaceId": WORKSPACE,
        "environmentName": "iris",
        "version": "abc",
        "image": f"acr.azurecr.io/iris@{DIGEST}",
        **more,
    }
    return EnvironmentVersion().check(given).inputs


def endpoint(**more: object) -> Properties:
    given = {"workspaceId": WORKSPACE, "endpointName": "scoring", "location": "westeurope", **more}
    return OnlineEndpoint().check(given).inputs


def deployment(name: str = "blue", **more: object) -> Properties:
    given = {
        "endpointId": ENDPOINT,
        "deploymentName": name,
        "location": "westeurope",
        "environmentId": ENVIRONMENT,
        "instanceType": "Standard_DS3_v2",
        **more,
    }
    return OnlineDeployment().check(given).inputs


def traffic(shares: dict[str, int], **more: object) -> Properties:
    return EndpointTraffic().check({"endpointId": ENDPOINT, "traffic": shares, **more}).inputs


def shares(azure: FakeAzure) -> dict[str, int]:
    found: dict[str, int] = azure.documents[ENDPOINT]["properties"].get("traffic") or {}
    return {name: share for name, share in found.items() if share}


def stand(azure: FakeAzure, *names: str) -> None:
    """Make the endpoint and these deployments."""
    OnlineEndpoint().create(azure.context(), endpoint())
    for name in names:
        OnlineDeployment().create(azure.context(), deployment(name))


def answering(azure: FakeAzure, **status: int) -> list[str]:
    """Let the scoring URI answer with a status by deployment; returns who was asked, growing."""
    asked: list[str] = []

    def score(sent: Sent) -> Answer:
        name = sent.headers["azureml-model-deployment"]
        assert sent.headers["Authorization"] == "Bearer the-primary-key"
        asked.append(name)
        return status.get(name, 200), {}, {"message": "kaboom"} if name in status else [1]

    azure.on("POST", "https://scoring.test/score", score)
    return asked


# -- environment -----------------------------------------------------------------------------------------------------


def test_an_environment_version_carries_image_and_routes() -> None:
    azure = FakeAzure()
    resource_id, _ = EnvironmentVersion().create(azure.context(), environment(port=8080, livenessPath="/live"))
    assert resource_id == ENVIRONMENT
    properties = azure.documents[ENVIRONMENT]["properties"]
    assert properties["image"].endswith(DIGEST)
    assert properties["osType"] == "Linux"
    assert properties["inferenceConfig"] == {
        "livenessRoute": {"path": "/live", "port": 8080},
        "readinessRoute": {"path": "/", "port": 8080},
        "scoringRoute": {"path": "/score", "port": 8080},
    }


def test_an_identical_version_is_adopted_without_a_write() -> None:
    azure = FakeAzure()
    EnvironmentVersion().create(azure.context(), environment())
    EnvironmentVersion().create(azure.context(), environment())
    assert azure.count("PUT") == 1


def test_a_different_version_is_refused_with_what_differs() -> None:
    azure = FakeAzure()
    EnvironmentVersion().create(azure.context(), environment())
    with pytest.raises(ResourceError, match=r"iris:abc exists with port = 5001, not 8080"):
        EnvironmentVersion().create(azure.context(), environment(port=8080))


def test_a_conda_file_that_comes_back_as_json_is_the_same_and_none_comes_back_as_an_empty_text() -> None:
    azure, resource = FakeAzure(), EnvironmentVersion()
    conda = {"condaFile": "dependencies:\n- python=3.11 # ours\n", "image": "a.io/b:1"}
    _, state = resource.create(azure.context(), environment(**conda))
    properties = azure.documents[ENVIRONMENT]["properties"]
    for answer, changed in (('{"dependencies": ["python=3.11"]}', set()), ('{"dependencies": []}', {"condaFile"})):
        properties["condaFile"] = answer
        read = resource.read(azure.context(), ENVIRONMENT, state, environment(**conda))
        assert read is not None
        assert resource.diff("", read.state, environment(**conda)).changed == changed
    azure = FakeAzure()
    _, state = resource.create(azure.context(), environment())
    azure.documents[ENVIRONMENT]["properties"]["condaFile"] = ""
    read = resource.read(azure.context(), ENVIRONMENT, state, environment())
    assert read is not None
    assert not resource.diff("", read.state, environment()).changed


def test_everything_but_tags_needs_a_new_version() -> None:
    resource = EnvironmentVersion()
    assert resource.diff("", environment(), environment(port=1)).replaces == {"port"}
    assert resource.diff("", environment(), environment(tags={"a": "b"})).replaces == frozenset()


def test_deleting_a_version_archives_it_and_making_it_again_brings_it_back() -> None:
    azure = FakeAzure()
    resource = EnvironmentVersion()
    _, state = resource.create(azure.context(), environment())
    resource.delete(azure.context(), ENVIRONMENT, state)
    assert azure.documents[ENVIRONMENT]["properties"]["isArchived"] is True
    assert azure.documents[ENVIRONMENT]["properties"]["image"].endswith(DIGEST)
    assert resource.read(azure.context(), ENVIRONMENT, state, environment()) is None
    resource.create(azure.context(), environment())
    assert azure.documents[ENVIRONMENT]["properties"]["isArchived"] is False


def test_a_version_that_is_gone_needs_no_deleting() -> None:
    EnvironmentVersion().delete(FakeAzure().context(), ENVIRONMENT, {})


# -- endpoint --------------------------------------------------------------------------------------------------------


def test_an_endpoint_gives_its_address_and_identity() -> None:
    azure = FakeAzure()
    resource_id, state = OnlineEndpoint().create(azure.context(), endpoint())
    assert resource_id == ENDPOINT
    assert state["scoringUri"] == "https://scoring.test/score"
    assert state["principalId"] == "principal"
    assert "traffic" not in azure.of("PUT")[0].body["properties"]


def test_an_update_of_an_endpoint_sends_its_traffic_again() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    OnlineEndpoint().update(azure.context(), ENDPOINT, endpoint(), endpoint(description="new"))
    assert shares(azure) == {"blue": 100}
    assert azure.documents[ENDPOINT]["properties"]["description"] == "new"


def test_a_refresh_sees_what_changed_and_ignores_foreign_tags() -> None:
    azure = FakeAzure()
    given = endpoint(tags={"team": "ml"})
    _, state = OnlineEndpoint().create(azure.context(), given)
    azure.documents[ENDPOINT]["tags"] = {"team": "ml", "cost": "policy"}
    azure.documents[ENDPOINT]["location"] = "WestEurope"
    found = OnlineEndpoint().read(azure.context(), ENDPOINT, state, given)
    assert found is not None
    assert not OnlineEndpoint().diff("", found.state, given).changed
    azure.documents[ENDPOINT]["properties"]["publicNetworkAccess"] = "Disabled"
    found = OnlineEndpoint().read(azure.context(), ENDPOINT, state, given)
    assert found is not None
    assert OnlineEndpoint().diff("", found.state, given).changed == {"publicNetworkAccess"}


@pytest.mark.parametrize("tags", [None, {}, {"a": "b"}])
def test_a_refresh_of_what_stands_is_no_change(tags: dict[str, str] | None) -> None:
    azure = FakeAzure()
    identity = f"{WORKSPACE.rsplit('/providers', 1)[0]}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    for resource, news in (
        (EnvironmentVersion(), environment(tags=tags)),
        (
            OnlineEndpoint(),
            endpoint(tags=tags, identityType="UserAssigned", userAssignedIdentities=[f"{identity}/{n}" for n in "ba"]),
        ),
        (OnlineDeployment(), deployment(tags=tags, environmentVariables={}, livenessProbe={})),
        (EndpointTraffic(), traffic({"blue": 100})),
    ):
        resource_id, state = resource.create(azure.context(), news)
        found = resource.read(azure.context(), resource_id, state, news)
        assert found is not None
        assert not resource.diff("", found.state, news).changed
        assert found.inputs == news


def test_an_endpoint_can_be_imported() -> None:
    azure = FakeAzure()
    OnlineEndpoint().create(azure.context(), endpoint())
    found = OnlineEndpoint().read(azure.context(), ENDPOINT, {}, {})
    assert found is not None
    assert not OnlineEndpoint().diff("", found.state, endpoint()).changed


def test_an_endpoint_that_is_gone_reads_as_gone_and_deletes_well() -> None:
    azure = FakeAzure()
    assert OnlineEndpoint().read(azure.context(), ENDPOINT, endpoint(), endpoint()) is None
    OnlineEndpoint().delete(azure.context(), ENDPOINT, endpoint())


# -- deployment ------------------------------------------------------------------------------------------------------


def test_a_deployment_is_put_whole_and_waited_for() -> None:
    azure = FakeAzure()
    stand(azure)
    given = deployment(
        instanceCount=2,
        environmentVariables={"A": "b"},
        readinessProbe={"initialDelay": "PT10S"},
        pullGrant="/some/role",
    )
    resource_id, _ = OnlineDeployment().create(azure.context(), given)
    sent = azure.of("PUT", "/deployments/")[0].body
    assert resource_id == f"{ENDPOINT}/deployments/blue"
    assert sent["sku"] == {"name": "Default", "tier": "Standard", "capacity": 2}
    assert sent["properties"]["environmentVariables"] == {"A": "b"}
    assert sent["properties"]["readinessProbe"] == {"initialDelay": "PT10S"}
    assert sent["properties"]["endpointComputeType"] == "Managed"
    assert "/some/role" not in str(sent)
    assert any(line.startswith("deployment blue: InProgress, ") for line in azure.logged)


def test_a_failed_deployment_tells_code_message_and_what_the_container_says() -> None:
    azure = FakeAzure(failing={"blue": ("ImagePullFailure", "principal p lacks AcrPull\non acr")})
    azure.on("POST", "/getLogs", lambda _: (200, {}, {"content": "starting\nError: unauthorized\n"}))
    stand(azure)
    with pytest.raises(ResourceError) as caught:
        OnlineDeployment().create(azure.context(), deployment())
    assert str(caught.value) == (
        "deployment blue of endpoint scoring: ImagePullFailure: principal p lacks AcrPull on acr; "
        "the container says: Error: unauthorized"
    )


def test_a_deployment_whose_first_provisioning_failed_is_made_anew() -> None:
    azure = FakeAzure(failing={"blue": ("ImagePullFailure", "no")})
    stand(azure)
    with pytest.raises(ResourceError):
        OnlineDeployment().create(azure.context(), deployment())
    azure.failing.clear()
    OnlineDeployment().create(azure.context(), deployment())
    assert azure.count("DELETE", "/deployments/blue") == 1
    assert azure.documents[f"{ENDPOINT}/deployments/blue"]["properties"]["provisioningState"] == "Succeeded"


NO_PULL = ("BadArgument", "Endpoint identity does not have pull permission on the registry. Please see the guide")
NOT_YET = ("DeploymentIdentityError", "Reason:ACRTokenExchangeForbidden. The role assignment takes some time")
ROLE = f"{REGISTRY}/providers/Microsoft.Authorization/roleAssignments/one"


def grant(azure: FakeAzure, age: float) -> str:
    """Assign a role that is `age` seconds old by now; the endpoint is a day old. The assignment's id."""
    azure.documents[ROLE] = {"properties": {"createdOn": ago(age)}}
    azure.documents[ENDPOINT]["systemData"] = {"createdAt": ago(24 * 3600)}
    return ROLE


def ago(seconds: float) -> str:
    """A moment as Azure writes it, by the wall clock."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def let_in_after(azure: FakeAzure, seconds: float, error: tuple[str, str] = NO_PULL) -> None:
    """Let the deployment blue fail until then."""
    azure.failing["blue"] = error

    def waited(sent: Sent) -> Answer:
        if azure.now >= seconds:
            azure.failing.clear()
        return azure.accept(sent)

    azure.on("PUT", "/deployments/blue", waited)


@pytest.mark.parametrize("error", [NO_PULL, NOT_YET])
def test_a_deployment_waits_until_azure_honours_the_role(error: tuple[str, str]) -> None:
    azure = FakeAzure()
    stand(azure)
    let_in_after(azure, 60, error)
    OnlineDeployment().create(azure.context(), deployment(pullGrant=grant(azure, 5)))
    assert 60 <= azure.now < 90
    assert azure.count("PUT", "/deployments/blue") == azure.count("DELETE", "/deployments/blue") + 1 > 2
    assert any(
        line.startswith(
            f"deployment blue: {error[0]}: its identity is not let in yet; a new role takes up to 10 minutes"
        )
        for line in azure.logged
    )


def test_the_wait_for_a_role_ends_a_quarter_of_an_hour_after_it_was_assigned() -> None:
    azure = FakeAzure()
    stand(azure)
    let_in_after(azure, 10_000)
    # The age is the wall clock's; the clock of the test runs ahead of it.
    azure.on("GET", ROLE, lambda _: (200, {}, {"properties": {"createdOn": ago(azure.now)}}))
    grant(azure, 0)
    with pytest.raises(ResourceError, match="BadArgument: Endpoint identity does not have pull permission"):
        OnlineDeployment().create(azure.context(), deployment(pullGrant=ROLE))
    assert 900 <= azure.now < 960


@pytest.mark.parametrize(
    ("age", "error"), [(3600, NO_PULL), (5, ("ResourceNotReady", "the container says: 401 unauthorized"))]
)
def test_a_refusal_by_an_old_role_and_a_crash_are_told_at_once(age: float, error: tuple[str, str]) -> None:
    azure = FakeAzure(failing={"blue": error})
    stand(azure)
    with pytest.raises(ResourceError, match=error[0]):
        OnlineDeployment().create(azure.context(), deployment(pullGrant=grant(azure, age)))
    assert azure.count("PUT", "/deployments/blue") == 1


def test_a_role_that_was_taken_away_is_named_and_not_waited_for() -> None:
    azure = FakeAzure(failing={"blue": NO_PULL})
    stand(azure)
    granted = grant(azure, 5)
    del azure.documents[ROLE]
    with pytest.raises(ResourceError, match=f"{ROLE} was taken away: run up with --refresh"):
        OnlineDeployment().create(azure.context(), deployment(pullGrant=granted))
    assert azure.count("PUT", "/deployments/blue") == 1


def test_the_role_that_azure_ml_assigns_itself_is_as_old_as_the_endpoint() -> None:
    azure = FakeAzure()
    stand(azure)
    let_in_after(azure, azure.now + 15)
    azure.documents[ENDPOINT]["systemData"] = {"createdAt": ago(0)}
    OnlineDeployment().create(azure.context(), deployment())
    assert azure.count("PUT", "/deployments/blue") == 2


def test_an_update_waits_too_and_never_deletes_what_serves() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    let_in_after(azure, 30)
    azure.refuses_repairs = False
    OnlineDeployment().update(
        azure.context(), f"{ENDPOINT}/deployments/blue", deployment(), deployment(pullGrant=grant(azure, 5))
    )
    assert azure.count("DELETE") == 0
    assert azure.count("PUT", "/deployments/blue") > 2


def test_another_name_or_endpoint_is_another_deployment() -> None:
    assert OnlineDeployment().diff("", deployment("blue"), deployment("green")).replaces == {"deploymentName"}
    assert not OnlineDeployment().diff("", deployment(), deployment(instanceCount=3)).replaces


def test_another_grant_alone_changes_no_deployment() -> None:
    assert not OnlineDeployment().diff("", deployment(pullGrant="a"), deployment(pullGrant="b")).changed


def test_another_name_of_the_same_image_changes_no_deployment() -> None:
    olds = deployment(tags={"image": "abc", "owner": "me"})
    assert not OnlineDeployment().diff("x", olds, deployment(tags={"image": "def", "owner": "me"})).changed
    elsewhere = deployment(tags={"image": "def", "owner": "me"}, environmentId=f"{ENVIRONMENT}2")
    assert OnlineDeployment().diff("x", olds, elsewhere).changed == {"tags", "environmentId"}
    assert OnlineDeployment().diff("x", olds, deployment(tags={"image": "abc", "owner": "you"})).changed == {"tags"}


def test_another_name_of_the_same_model_changes_no_deployment() -> None:
    model = f"{WORKSPACE}/models/iris/versions/3"
    named, olds = {"model": "iris:3", "owner": "me"}, deployment(tags={"owner": "me"}, modelId=model)
    assert not OnlineDeployment().diff("x", olds, deployment(tags=named, modelId=model)).changed
    other = deployment(tags=named, modelId=f"{model}1")
    assert OnlineDeployment().diff("x", olds, other).changed == {"tags", "modelId"}
    # Without a model the tag is the user's own.
    assert OnlineDeployment().diff("x", deployment(tags={}), deployment(tags={"model": "mine"})).changed == {"tags"}


def test_what_azure_fills_in_is_no_change_and_what_somebody_changed_is() -> None:
    azure = FakeAzure()
    stand(azure)
    given = deployment(readinessProbe={"initialDelay": "PT10S"})
    _, state = OnlineDeployment().create(azure.context(), given)
    document = azure.documents[f"{ENDPOINT}/deployments/blue"]
    document["properties"]["readinessProbe"] = {"initialDelay": "PT10S", "period": "PT10S"}
    document["properties"]["livenessProbe"] = {"period": "PT10S"}
    found = OnlineDeployment().read(azure.context(), f"{ENDPOINT}/deployments/blue", state, given)
    assert found is not None
    assert not OnlineDeployment().diff("", found.state, given).changed
    document["sku"]["capacity"] = 5
    found = OnlineDeployment().read(azure.context(), f"{ENDPOINT}/deployments/blue", state, given)
    assert found is not None
    assert OnlineDeployment().diff("", found.state, given).changed == {"instanceCount"}


def test_a_deployment_without_traffic_is_deleted_without_touching_the_endpoint() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    before = azure.count("PUT")
    OnlineDeployment().delete(azure.context(), f"{ENDPOINT}/deployments/blue", deployment())
    assert f"{ENDPOINT}/deployments/blue" not in azure.documents
    assert azure.count("PUT") == before


def test_a_deployment_with_traffic_hands_its_share_over_before_it_goes() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 90, "green": 10}))
    OnlineDeployment().delete(azure.context(), f"{ENDPOINT}/deployments/blue", deployment())
    assert shares(azure) == {"green": 100}
    OnlineDeployment().delete(azure.context(), f"{ENDPOINT}/deployments/green", deployment("green"))
    assert shares(azure) == {}
    assert not [key for key in azure.documents if "/deployments/" in key]


# -- traffic ---------------------------------------------------------------------------------------------------------


def test_traffic_shifts_in_probed_steps_and_is_confirmed() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    asked = answering(azure)
    before = len(azure.sent)
    news = traffic({"green": 100}, steps=[10, 50], bakeSeconds=30, probe={"data": [1]})
    state = EndpointTraffic().update(azure.context(), f"{ENDPOINT}/traffic", traffic({"blue": 100}), news)
    puts = [one.body["properties"]["traffic"] for one in azure.sent[before:] if one.method == "PUT"]
    assert puts == [{"blue": 90, "green": 10}, {"blue": 50, "green": 50}, {"green": 100}]
    assert state["traffic"] == {"green": 100}
    assert asked == ["green"] * 4
    assert azure.slept.count(30.0) == 3


def test_a_step_lasts_its_own_minutes_else_the_bake_time_of_all() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    del azure.slept[:]
    steps = [{"percent": 10, "minutes": 15}, 50, {"percent": 100, "minutes": 0}]
    news = traffic({"green": 100}, steps=steps, bakeSeconds=30)
    EndpointTraffic().update(azure.context(), f"{ENDPOINT}/traffic", traffic({"blue": 100}), news)
    assert [seconds for seconds in azure.slept if seconds >= 30] == [900, 30]


def test_every_put_of_traffic_carries_the_whole_endpoint() -> None:
    azure = FakeAzure()
    OnlineEndpoint().create(azure.context(), endpoint(description="d", tags={"a": "b"}))
    OnlineDeployment().create(azure.context(), deployment())
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    sent = azure.of("PUT", "onlineEndpoints/scoring\\?")[-1].body
    assert sent["location"] == "westeurope"
    assert sent["identity"] == {"type": "SystemAssigned"}
    assert sent["tags"] == {"a": "b"}
    assert sent["properties"]["authMode"] == "Key"
    assert sent["properties"]["description"] == "d"


def test_traffic_that_stands_already_is_not_written() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    before = azure.count("PUT")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    assert azure.count("PUT") == before


def test_traffic_that_stands_on_an_endpoint_whose_last_write_failed_is_written_once_more() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    azure.documents[ENDPOINT]["properties"]["provisioningState"] = "Failed"
    before = azure.count("PUT")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    assert azure.count("PUT") == before + 1
    assert azure.documents[ENDPOINT]["properties"]["provisioningState"] == "Succeeded"


def test_a_deployment_that_does_not_answer_gets_no_traffic() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    asked = answering(azure, green=424)
    before = azure.count("PUT")
    with pytest.raises(ResourceError) as caught:
        EndpointTraffic().update(azure.context(), "", {}, traffic({"green": 100}, probe={}))
    text = str(caught.value)
    assert "endpoint scoring keeps its traffic (blue 100 %)" in text
    assert "HTTP 424" in text
    assert "kaboom" in text
    assert "the-primary-key" not in text
    assert len(asked) >= 3
    assert azure.count("PUT") == before
    assert shares(azure) == {"blue": 100}


def test_a_failure_in_the_middle_restores_the_last_good_split_and_says_why() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))

    def score(_: Sent) -> Answer:
        return (500, {}, {"message": "too much"}) if shares(azure).get("green", 0) >= 50 else (200, {}, [1])

    azure.on("POST", "https://scoring.test/score", score)
    with pytest.raises(ResourceError) as caught:
        EndpointTraffic().update(azure.context(), "", {}, traffic({"green": 100}, steps=[10, 50], probe={}))
    assert "the shift to green 100 % failed, restored blue 100 %" in str(caught.value)
    assert "too much" in str(caught.value)
    assert shares(azure) == {"blue": 100}


def test_a_refused_first_split_leaves_an_endpoint_that_names_everybody_with_nothing() -> None:
    azure = FakeAzure()
    stand(azure, "blue")

    def score(_: Sent) -> Answer:
        return (500, {}, None) if shares(azure) else (200, {}, [1])

    azure.on("POST", "https://scoring.test/score", score)
    with pytest.raises(ResourceError, match="failed"):
        EndpointTraffic().create(azure.context(), traffic({"blue": 100}, probe={}))
    assert azure.documents[ENDPOINT]["properties"]["traffic"] == {"blue": 0}


@pytest.mark.parametrize("broken", [True, False])
def test_traffic_needs_deployments_that_came_up(broken: bool) -> None:  # noqa: FBT001 - a parameter of the test
    azure = FakeAzure(failing={"blue": ("X", "y")} if broken else {})
    stand(azure)
    if broken:
        with pytest.raises(ResourceError):
            OnlineDeployment().create(azure.context(), deployment())
    with pytest.raises(ResourceError, match=f"deployment blue is {'failed' if broken else 'missing'}"):
        EndpointTraffic().create(azure.context(), traffic({"blue": 100}))


def test_an_unconfirmed_split_is_an_error() -> None:
    azure = FakeAzure()
    stand(azure, "blue")

    def ignore(_: Sent) -> Answer:
        return 200, {}, {"properties": {"provisioningState": "Succeeded"}}

    azure.on("PUT", "onlineEndpoints/scoring\\?", ignore)
    with pytest.raises(ResourceError, match="confirmed nowhere instead of blue 100 %"):
        EndpointTraffic().create(azure.context(), traffic({"blue": 100}))


def metrics(azure: FakeAzure, **answers: dict[str, float]) -> list[str]:
    """Let Azure Monitor tell how often a deployment gave which class of status; returns what was asked, growing."""
    asked: list[str] = []

    def answer(sent: Sent) -> Answer:
        asked.append(sent.query["$filter"])
        name = sent.query["$filter"].split("'")[1]
        if sent.query["metricnames"] == "RequestLatency_P95":
            return 200, {}, {"value": [{"timeseries": [{"data": [{"average": 40.0}, {"average": 80.0}, {}]}]}]}
        series = [
            {
                "metadatavalues": [{"name": {"value": "statuscodeclass"}, "value": kind}],
                "data": [{"average": count}, {}],
            }
            for kind, count in answers.get(name, {}).items()
        ]
        return 200, {}, {"value": [{"timeseries": series}]}

    azure.on("GET", "/Microsoft.Insights/metrics", answer)
    return asked


def test_a_newcomer_gets_copies_first_and_what_fails_them_never_answers_anybody() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    metrics(azure, green={"2xx": 19, "4xx": 1})
    wanted = traffic({"green": 100}, mirrorFirst=20, bakeSeconds=30, errorPercent=1)
    with pytest.raises(ResourceError) as caught:
        EndpointTraffic().update(azure.context(), "", traffic({"blue": 100}), wanted)
    assert str(caught.value) == (
        "endpoint scoring: the shift to green 100 % failed, restored blue 100 %: deployment green: 1 of 20 requests "
        "failed, more than 1 %; see its log"
    )
    puts = [one.body["properties"] for one in azure.of("PUT", ENDPOINT) if "/deployments/" not in one.url][-2:]
    assert [put["traffic"] for put in puts] == [{"blue": 100}, {"blue": 100}]
    assert puts[0]["mirrorTraffic"] == {"green": 20}
    assert 30 in azure.slept


def test_a_version_within_its_limits_is_copied_to_and_then_shifted_to_in_steps() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    asked = metrics(azure, green={"2xx": 199, "5xx": 1})
    wanted = traffic({"green": 100}, mirrorFirst=20, steps=[50], errorPercent=1, latencyMilliseconds=100)
    EndpointTraffic().update(azure.context(), "", traffic({"blue": 100}), wanted)
    assert shares(azure) == {"green": 100}
    assert asked == ["deployment eq 'green' and statusCodeClass eq '*'", "deployment eq 'green'"] * 3
    assert azure.logged[-1] == "deployment green: 200 requests, 0.5 % failed, 95 % within 80 ms"


def test_a_slow_version_is_not_shifted_to() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    metrics(azure, green={"2xx": 10})
    with pytest.raises(ResourceError, match="95 % of the requests took up to 80 ms, more than 50 ms"):
        EndpointTraffic().update(
            azure.context(), "", traffic({"blue": 100}), traffic({"green": 100}, latencyMilliseconds=50)
        )
    assert shares(azure) == {"blue": 100}


def test_a_shift_that_was_killed_half_way_goes_back_to_the_split_that_was_confirmed() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    azure.documents[ENDPOINT]["properties"]["traffic"] = {"blue": 50, "green": 50}
    answering(azure, green=424)
    with pytest.raises(ResourceError, match="restored blue 100 %"):
        EndpointTraffic().update(azure.context(), "", traffic({"blue": 100}), traffic({"green": 100}, probe={}))
    assert shares(azure) == {"blue": 100}


def test_a_mirror_alone_is_a_change_too() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    EndpointTraffic().update(azure.context(), "", {}, traffic({"blue": 100}, mirrorTraffic={"green": 20}))
    assert azure.documents[ENDPOINT]["properties"]["mirrorTraffic"] == {"green": 20}
    EndpointTraffic().update(azure.context(), "", {}, traffic({"blue": 100}))
    assert azure.documents[ENDPOINT]["properties"]["mirrorTraffic"] == {}


def test_a_refresh_sees_traffic_that_was_moved_by_hand() -> None:
    azure = FakeAzure()
    stand(azure, "blue", "green")
    given = traffic({"blue": 100, "green": 0})
    resource_id, state = EndpointTraffic().create(azure.context(), given)
    found = EndpointTraffic().read(azure.context(), resource_id, state, given)
    assert found is not None
    assert not EndpointTraffic().diff("", found.state, given).changed
    azure.documents[ENDPOINT]["properties"]["traffic"] = {"green": 100}
    found = EndpointTraffic().read(azure.context(), resource_id, state, given)
    assert found is not None
    assert found.state["traffic"] == {"blue": 0, "green": 100}
    assert EndpointTraffic().diff("", found.state, given).changed == {"traffic"}


def test_the_end_of_traffic_leaves_clients_served() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    resource_id, state = EndpointTraffic().create(azure.context(), traffic({"blue": 100}))
    EndpointTraffic().delete(azure.context(), resource_id, state)
    assert shares(azure) == {"blue": 100}


@pytest.mark.parametrize(
    ("mode", "action", "answer", "token"),
    [
        ("Key", "/listKeys", {"primaryKey": "k"}, "Bearer k"),
        ("AMLToken", "/token", {"accessToken": "t"}, "Bearer t"),
        ("AADToken", "/none", {}, "Bearer token for https://ml.azure.com/.default"),
    ],
)
def test_a_probe_signs_in_as_clients_do(mode: str, action: str, answer: dict[str, Any], token: str) -> None:
    azure = FakeAzure()
    OnlineEndpoint().create(azure.context(), endpoint(authMode=mode))
    OnlineDeployment().create(azure.context(), deployment())
    azure.on("POST", action, lambda _: (200, {}, answer))
    seen: list[str] = []

    def score(sent: Sent) -> Answer:
        seen.append(sent.headers["Authorization"])
        return 200, {}, [1]

    azure.on("POST", "https://scoring.test/score", score)
    EndpointTraffic().create(azure.context(), traffic({"blue": 100}, probe={"data": []}))
    assert set(seen) == {token}


def test_a_key_is_not_sent_unencrypted_beyond_this_machine() -> None:
    azure = FakeAzure()
    stand(azure, "blue")
    azure.documents[ENDPOINT]["properties"]["scoringUri"] = "http://scoring.test/score"
    with pytest.raises(ResourceError, match="is not https"):
        EndpointTraffic().create(azure.context(), traffic({"blue": 100}, probe={}))
    assert azure.count("POST", "scoring.test") == 0


CURATED = "azureml://registries/azureml/environments/sklearn-1.5"


@pytest.mark.parametrize(
    ("written", "answered", "read"),
    [
        (f"{CURATED}/labels/latest", f"{CURATED}/versions/33", f"{CURATED}/labels/latest"),
        (f"{CURATED}/labels/latest", "azureml://registries/azureml/environments/other/versions/1", None),
        (f"{CURATED}/versions/3", f"{CURATED}/versions/33", None),
    ],
)
def test_what_azure_resolved_from_a_label_is_no_drift(written: str, answered: str, read: str | None) -> None:
    document = {"location": "westeurope", "properties": {"environmentId": answered, "endpointComputeType": "Managed"}}
    here = as_inputs("/e/deployments/blue", document, {"environmentId": written})
    assert here["environmentId"] == (read or answered)
