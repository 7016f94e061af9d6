"""Claims about checks, diffs, previews, schemas and the conversion of values."""

from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Resource
from azureml_scoring.provider.registry import RESOURCES
from azureml_scoring.provider.schema import package_schema
from azureml_scoring.provider.values import UNKNOWN, Properties, from_property_values, has_unknown, to_property_values
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN as MARKER

from tests.provider.fake_azure import DIGEST, ENDPOINT, ENVIRONMENT, REGISTRY, WORKSPACE, FakeAzure

DEPLOYMENT = {
    "endpointId": ENDPOINT,
    "deploymentName": "blue",
    "location": "westeurope",
    "environmentId": ENVIRONMENT,
    "instanceType": "Standard_DS3_v2",
}


def own(name: str) -> Resource[Any]:
    return RESOURCES[f"azureml-scoring:index:{name}"]


def reasons(name: str, news: Properties, *secrets: str) -> list[str]:
    return [failure.reason for failure in own(name).check(news, secrets).failures]


def test_the_registry_holds_every_own_resource() -> None:
    assert sorted(token.rsplit(":", 1)[-1] for token in RESOURCES) == [
        "CodeVersion",
        "DataVersion",
        "EndpointTraffic",
        "EnvironmentVersion",
        "ImageBuild",
        "ImageImport",
        "ImagePin",
        "ManagedNetwork",
        "ModelVersion",
        "OnlineDeployment",
        "OnlineEndpoint",
        "RegistryAttachment",
        "RoleAssignment",
        "VersionPin",
    ]


def test_defaults_are_filled_in_so_that_diffs_see_them() -> None:
    checked = own("OnlineDeployment").check(DEPLOYMENT)
    assert not checked.failures
    assert checked.inputs["instanceCount"] == 1
    assert checked.inputs["appInsightsEnabled"] is False


def test_a_misspelt_property_is_named_with_the_nearest_right_one() -> None:
    assert reasons("OnlineDeployment", {**DEPLOYMENT, "instanceTyp": "x"}) == [
        'instanceTyp = "x": no such field; did you mean instanceType?'
    ]


def test_a_missing_property_is_named() -> None:
    assert reasons("OnlineDeployment", {**DEPLOYMENT, "location": None}) == ["location is missing: write it"]


def test_a_wrong_value_is_repeated_with_what_is_wanted() -> None:
    (reason,) = reasons("OnlineDeployment", {**DEPLOYMENT, "instanceType": "big"})
    assert reason == (
        'instanceType = "big": an instance type takes a size\'s full name with Standard_; for instance Standard_DS3_v2'
    )


def test_a_secret_value_is_never_repeated() -> None:
    (reason,) = reasons("OnlineDeployment", {**DEPLOYMENT, "environmentVariables": "hunter2"}, "environmentVariables")
    assert "hunter2" not in reason
    assert "[hidden]" in reason


def test_what_is_not_known_yet_passes_the_check_and_stays_unknown() -> None:
    checked = own("OnlineDeployment").check({**DEPLOYMENT, "environmentId": UNKNOWN, "tags": {"a": UNKNOWN}})
    assert not checked.failures
    assert checked.inputs["environmentId"] is UNKNOWN
    assert checked.inputs["tags"] == {"a": UNKNOWN}
    assert checked.inputs["instanceCount"] == 1


def test_a_rule_over_several_properties_waits_until_all_are_known() -> None:
    news: Properties = {
        "workspaceId": WORKSPACE,
        "endpointName": "scores",
        "location": "westeurope",
        "identityType": "UserAssigned",
        "userAssignedIdentities": UNKNOWN,
    }
    assert not own("OnlineEndpoint").check(news).failures


def test_other_failures_show_even_when_something_is_unknown() -> None:
    assert reasons("OnlineDeployment", {**DEPLOYMENT, "environmentId": UNKNOWN, "instanceCount": 0}) != []


@pytest.mark.parametrize(
    ("traffic", "mirror", "part"),
    [
        ({"blue": 90}, {}, "sums to 90"),
        ({}, {}, "sums to 0"),
        ({"blue": 150, "green": -50}, {}, "less than or equal to 100"),
        ({"blue": 100}, {"green": 51}, "at most 50"),
        ({"blue": 100}, {"green": 10, "red": 10}, "one deployment"),
        ({"blue": 100}, {"blue": 10}, "either answers or mirrors"),
    ],
)
def test_an_impossible_split_is_refused_before_azure_is_asked(
    traffic: dict[str, int], mirror: dict[str, int], part: str
) -> None:
    news = {"endpointId": ENDPOINT, "traffic": traffic, "mirrorTraffic": mirror}
    given = reasons("EndpointTraffic", news)
    assert part in given[0]
    assert "\n" not in given[0]


def test_user_assigned_identity_needs_identities() -> None:
    news = {"workspaceId": WORKSPACE, "endpointName": "scoring", "location": "westeurope"}
    assert reasons("OnlineEndpoint", news) == []
    assert "userAssignedIdentities has 0" in reasons("OnlineEndpoint", {**news, "identityType": "UserAssigned"})[0]


def test_an_environment_takes_images_by_digest_only() -> None:
    news = {"workspaceId": WORKSPACE, "environmentName": "iris", "version": "1", "image": "acr.azurecr.io/iris:1"}
    assert "by digest" in reasons("EnvironmentVersion", news)[0]
    assert reasons("EnvironmentVersion", {**news, "image": f"acr.azurecr.io/iris@{DIGEST}"}) == []


def test_a_missing_dockerfile_is_one_line(tmp_path: Path) -> None:
    news = {
        "registryId": REGISTRY,
        "loginServer": "acr.azurecr.io",
        "repository": "iris",
        "contentKey": "a" * 64,
        "context": str(tmp_path),
    }
    (reason,) = reasons("ImageBuild", news)
    assert "Dockerfile" in reason
    assert "\n" not in reason


def test_a_diff_names_what_changed_and_what_needs_a_new_resource() -> None:
    resource = own("OnlineDeployment")
    olds = resource.check(DEPLOYMENT).inputs
    assert not resource.diff("id", olds, olds).changed
    news = {**olds, "instanceCount": 2, "deploymentName": "green", "tags": {"a": "b"}}
    diff = resource.diff("id", olds, news)
    assert diff.updated == {"instanceCount", "deploymentName"}
    assert diff.added == {"tags"}
    assert diff.replaces == {"deploymentName"}


def test_how_a_shift_is_made_is_no_change_by_itself() -> None:
    resource = own("EndpointTraffic")
    olds = resource.check({"endpointId": ENDPOINT, "traffic": {"blue": 100}}).inputs
    assert not resource.diff("id", olds, {**olds, "steps": [10], "bakeSeconds": 5, "probe": {"a": 1}}).changed


def test_the_folder_of_a_build_is_no_part_of_the_diff() -> None:
    assert not own("ImageBuild").diff("id", {"context": "/a"}, {"context": "/b"}).changed


def test_an_unknown_that_became_known_is_validated_at_the_step() -> None:
    with pytest.raises(ResourceError, match='environmentId = "nonsense"'):
        own("OnlineDeployment").create(FakeAzure().context(), {**DEPLOYMENT, "environmentId": "nonsense"})


def test_a_preview_asks_nobody() -> None:
    azure = FakeAzure()
    context = azure.context(preview=True)
    for name in ("OnlineDeployment", "OnlineEndpoint", "EndpointTraffic", "EnvironmentVersion"):
        own(name).create(context, {"tags": UNKNOWN})
        own(name).update(context, "id", {}, {"tags": UNKNOWN})
    assert azure.sent == []


def test_a_preview_of_an_update_keeps_the_address_of_an_endpoint() -> None:
    resource = own("OnlineEndpoint")
    assert resource.create(FakeAzure().context(preview=True), {})[1]["scoringUri"] is UNKNOWN
    state = resource.update(FakeAzure().context(preview=True), "id", {"scoringUri": "https://x"}, {})
    assert state["scoringUri"] == "https://x"


def test_the_schema_describes_every_property_in_pulumis_types() -> None:
    schema = package_schema(RESOURCES.values())["resources"]
    for token in RESOURCES:
        each = schema[token]
        assert each["description"]
        for name, part in {**each["inputProperties"], **each["properties"]}.items():
            assert part.get("description"), (token, name)
            kinds = {"string", "integer", "number", "boolean", "array", "object"}
            assert part.get("type") in kinds or part.get("$ref") == "pulumi.json#/Any", (token, name)
        assert set(each["requiredInputs"]) <= set(each["inputProperties"])
    image = schema["azureml-scoring:index:ImageBuild"]
    assert image["properties"]["durationSeconds"]["type"] == "number"
    assert image["inputProperties"]["target"]["type"] == "string"
    assert image["inputProperties"]["buildArguments"]["additionalProperties"] == {"type": "string"}
    assert image["inputProperties"]["buildSecrets"]["secret"] is True
    assert schema["azureml-scoring:index:ImagePin"]["inputProperties"]["password"]["secret"] is True


def test_values_survive_the_way_to_the_engine_and_back() -> None:
    values = {"text": "a", "whole": 3, "part": 1.5, "yes": True, "list": [1, {"x": "y"}], "map": {"a": {"b": 2}}}
    wire = PropertyValue.unmarshal_map(PropertyValue.marshal_map(to_property_values(values)))
    assert from_property_values(wire).values == values
    assert isinstance(from_property_values(wire).values["whole"], int)


def test_unknowns_survive_as_the_engines_marker() -> None:
    message = PropertyValue.marshal_map(to_property_values({"image": UNKNOWN, "map": {"a": UNKNOWN}}))
    assert message["image"] == MARKER
    found = from_property_values(PropertyValue.unmarshal_map(message)).values
    assert found == {"image": UNKNOWN, "map": {"a": UNKNOWN}}
    assert has_unknown(found["map"])
    assert from_property_values({"x": PropertyValue.computed()}).values == {"x": UNKNOWN}


def test_a_secret_deep_inside_makes_its_property_secret() -> None:
    given = {"variables": PropertyValue({"A": PropertyValue("hush", is_secret=True)}), "b": PropertyValue("c")}
    found = from_property_values(given)
    assert found.values == {"variables": {"A": "hush"}, "b": "c"}
    assert found.secrets == {"variables"}
    back = to_property_values(found.values, found.secrets)
    assert back["variables"].is_secret
    assert not back["b"].is_secret
