from dataclasses import replace
from typing import Any

import pytest
from azureml_scoring.delivery.rollout_plan import (
    Action,
    DesiredState,
    ObservedState,
    RolloutError,
    Step,
    config_changes,
    desired,
    next_step,
    read_state,
    restored,
    rollback_step,
)

A, B, C = (f"acr.azurecr.io/scoring/sklearn@sha256:{letter * 64}" for letter in "abc")
NEW = B.partition("@")[2]
ENDPOINT = "/subscriptions/s/…/onlineEndpoints/scoring"
OLD_AND_NEW = {"blue": "2026-01-01T00:00:00Z", "green": "2026-02-01T00:00:00Z"}
BOTH = ["blue", "green"]


def observed(traffic: dict[str, int], **images: str) -> ObservedState:
    return ObservedState(images, traffic, since=OLD_AND_NEW)


# -- what is next ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (ObservedState(), Step(Action.CREATE, "blue")),
        (observed({}, blue=A), Step(Action.CREATE, "blue")),
        (observed({"blue": 100}, blue=A), Step(Action.DEPLOY, "green", "blue")),
        (observed({"green": 100}, green=A), Step(Action.DEPLOY, "blue", "green")),
        (observed({"green": 100}, blue=C, green=A), Step(Action.DEPLOY, "blue", "green")),
        (observed({"blue": 100}, blue=A, green=B), Step(Action.SHIFT, "green", "blue")),
        (observed({"blue": 90, "green": 10}, blue=A, green=B), Step(Action.SHIFT, "green", "blue")),
        (observed({"blue": 10, "green": 90}, blue=A, green=B), Step(Action.SHIFT, "green", "blue")),
        (observed({"green": 100}, blue=A, green=B), Step(Action.DONE, "green")),
        # The way back is the same way: a version that is deployed needs no build.
        (observed({"green": 100}, blue=B, green=A), Step(Action.SHIFT, "blue", "green")),
        # Killed in the middle of a shift, and another version came meanwhile: the older one is the good one.
        (observed({"blue": 10, "green": 90}, blue=A, green=C), Step(Action.DEPLOY, "green", "blue")),
    ],
)
def test_the_next_step_follows_from_the_state_alone(state: ObservedState, step: Step) -> None:
    deployments = ["blue"] if len(state.images) < 2 and state.serving != "green" else BOTH
    assert next_step(state, deployments, NEW) == step


def test_a_version_that_is_not_built_yet_is_deployed_beside_the_one_that_serves() -> None:
    assert next_step(observed({"blue": 100}, blue=A, green=B), BOTH, "") == Step(Action.DEPLOY, "green", "blue")


def test_versions_alternate_between_two_deployments_and_no_more() -> None:
    with pytest.raises(RolloutError, match="deployments blue, green, red: a rollout alternates between two"):
        next_step(ObservedState(), ["blue", "green", "red"], NEW)


def test_the_way_back_is_the_other_deployment_and_in_the_middle_of_a_shift_the_older() -> None:
    assert rollback_step(observed({"green": 100}, blue=A, green=B)) == Step(Action.SHIFT, "blue", "green")
    assert rollback_step(observed({"blue": 50, "green": 50}, blue=A, green=B)) == Step(Action.SHIFT, "blue", "green")
    with pytest.raises(RolloutError, match="blue serves the only version that is deployed"):
        rollback_step(observed({"blue": 100}, blue=A))
    with pytest.raises(RolloutError, match="there is nothing to go back to"):
        rollback_step(ObservedState())


# -- the state ---------------------------------------------------------------------------------------------------------


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"resources": [{"outputs": {}, **each} for each in resources]}}


def own(kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"type": f"azureml-scoring:index:{kind}", **fields}


def test_images_and_traffic_are_read_off_the_state() -> None:
    export = state(
        own("ImageBuild", outputs={"tag": "cafe", "image": B}),
        own("EnvironmentVersion", id="/env/1", created="2026-01-01T00:00:00Z", outputs={"image": A}),
        own("EnvironmentVersion", id="/env/2", created="2026-02-01T00:00:00Z", outputs={"image": B}),
        own("OnlineEndpoint", id=ENDPOINT),
        own("OnlineDeployment", outputs={"deploymentName": "blue", "environmentId": "/env/1"}),
        own("OnlineDeployment", outputs={"deploymentName": "green", "environmentId": "/env/2"}),
        own("OnlineDeployment", outputs={"deploymentName": "red", "environmentId": "/env/1"}, delete=True),
        own("EndpointTraffic", outputs={"traffic": {"blue": 100.0, "green": 0.0}}),
    )
    assert read_state(export) == ObservedState(
        {"blue": A, "green": B}, {"blue": 100}, "cafe", B, endpoint_id=ENDPOINT, since=OLD_AND_NEW
    )
    assert read_state({"deployment": {}}) == ObservedState()


def test_an_imported_image_is_named_by_its_digest_and_tells_where_it_came_from() -> None:
    result = read_state(state(own("ImageImport", outputs={"image": B, "source": A})))
    assert (result.tag, result.image, result.source) == ("b" * 12, B, A)


def test_a_build_by_docker_is_named_by_its_tag() -> None:
    made = {"type": "docker:index/image:Image", "outputs": {"imageName": "acr/x:cafe", "repoDigest": B}}
    assert (read_state(state(made)).tag, read_state(state(made)).image) == ("cafe", B)


def test_a_build_by_docker_build_is_named_by_its_tag() -> None:
    name, _, digest = B.partition("@")
    made = {"type": "docker-build:index:Image", "outputs": {"tags": [f"{name}:cafe"], "digest": digest}}
    assert (read_state(state(made)).tag, read_state(state(made)).image) == ("cafe", B)


def test_an_image_that_is_named_is_known_by_its_reference_and_not_taken_for_a_deployments() -> None:
    ours = own("ImagePin", urn="urn::scoring-image-pin", outputs={"reference": "mcr/x:v1", "image": B})
    theirs = own("ImagePin", urn="urn::scoring-blue-image-pin", outputs={"reference": "mcr/y:v1", "image": A})
    result = read_state(state(theirs, ours))
    assert (result.tag, result.image) == ("mcr/x:v1", B)


def test_an_image_of_a_deployments_own_is_no_version_of_the_stacks_and_stays_where_versions_are_pinned() -> None:
    export = state(
        own("ImageImport", urn="urn::scoring-green-import", outputs={"source": "elsewhere", "image": C}),
        own("ImageBuild", urn="urn::scoring-grey-build", outputs={"tag": "beef", "image": A}),
        own("ImageBuild", urn="urn::scoring-build", outputs={"tag": "cafe", "image": B}),
        *(own("EnvironmentVersion", id=f"/env/{each}", outputs={"image": each}) for each in (A, B, C)),
        *(
            own("OnlineDeployment", outputs={"deploymentName": name, "environmentId": f"/env/{image}"})
            for name, image in {"blue": B, "green": C, "grey": A, "white": A}.items()
        ),
        own("EndpointTraffic", outputs={"traffic": {"blue": 100}}),
    )
    result = read_state(export)
    assert (result.tag, result.image, result.source) == ("cafe", B, "")
    assert result.own == {"green", "grey", "white"}
    images = {"green": "host.io/x:1", "grey": {"context": "other"}}
    deployments = {
        name: {"instanceType": "x", **({"image": images[name]} if name in images else {})}
        for name in ("blue", "green", "grey")
    }
    wanted = replace(desired(Step(Action.DONE, "blue"), result, None), kept=result.own)
    changed = config_changes({"deployments": deployments}, wanted)["deployments"]
    assert {name: each.get("image") for name, each in changed.items()} == {"blue": B, **images, "white": A}


# -- the config --------------------------------------------------------------------------------------------------------

BLUE = {"instanceType": "Standard_DS3_v2", "environment": {"LEVEL": "1"}}
CONFIG: dict[str, Any] = {
    "image": {"context": "app"},
    "endpoint": {"auth": "key", "traffic": {"blue": 100}},
    "deployments": {"blue": BLUE},
}


def test_a_new_version_goes_beside_the_one_that_serves_which_is_pinned() -> None:
    step = Step(Action.DEPLOY, "green", "blue")
    assert config_changes(CONFIG, desired(step, observed({"blue": 100}, blue=A), None)) == {
        "deployments": {"blue": {**BLUE, "image": A}, "green": BLUE},
        "endpoint": {"auth": "key", "traffic": {"green": 100}},
    }


def test_a_promoted_version_is_named_where_the_build_is() -> None:
    wanted = desired(Step(Action.CREATE, "blue"), ObservedState(), B)
    assert config_changes(CONFIG, wanted) == {"image.promote": B}
    promoted = {**CONFIG, "image": {"context": "app", "promote": B}}
    assert config_changes(promoted, wanted) == {}
    assert config_changes(promoted, desired(Step(Action.CREATE, "blue"), ObservedState(), None)) == {
        "image.promote": None
    }


def test_a_shift_changes_the_split_alone() -> None:
    config = {**CONFIG, "deployments": {"blue": {**BLUE, "image": A}, "green": {**BLUE, "image": B}}}
    step = Step(Action.SHIFT, "green", "blue")
    wanted = desired(step, observed({"blue": 100}, blue=A, green=B), None)
    assert config_changes(config, wanted) == {"endpoint": {"auth": "key", "traffic": {"green": 100}}}
    assert config_changes({**config, **config_changes(config, wanted)}, wanted) == {}


def test_requests_go_on_being_copied_where_no_version_changes() -> None:
    served = observed({"blue": 100}, blue=A, green=B)
    mirrored = {"traffic": {"blue": 100}, "mirror": {"green": 10}}
    config = {**CONFIG, "endpoint": mirrored, "deployments": {"blue": {**BLUE, "image": A}, "green": BLUE}}
    pinned = config_changes(config, desired(Step(Action.DONE, "blue"), served, None))
    assert pinned == {"deployments": {"blue": {**BLUE, "image": A}, "green": {**BLUE, "image": B}}}
    for step in (Step(Action.DEPLOY, "green", "blue"), Step(Action.SHIFT, "green", "blue")):
        assert "mirror" not in config_changes(config, desired(step, served, None))["endpoint"], step


def test_a_failed_version_leaves_nothing_but_what_served_before() -> None:
    config = {
        **CONFIG,
        "endpoint": {"traffic": {"green": 100}, "mirror": {"green": 10}},
        "deployments": {"blue": {**BLUE, "image": A}, "green": BLUE},
    }
    assert config_changes(
        config, restored(Step(Action.SHIFT, "green", "blue"), observed({"blue": 100}, blue=A, green=B))
    ) == {
        "deployments": {"blue": {**BLUE, "image": A}},
        "endpoint": {"traffic": {"blue": 100}},
    }


def test_a_lone_deployment_needs_no_split() -> None:
    config = {"image": {}, "deployments": {"blue": BLUE}}
    assert config_changes(config, DesiredState({"blue": A}, {"blue": 100})) == {
        "deployments": {"blue": {**BLUE, "image": A}}
    }
