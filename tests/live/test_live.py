"""A live endpoint's documents become a stack file that says the same, or are refused in one line."""

from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.convert.live import LiveEndpoint, adopt_file, config_of
from azureml_scoring.convert.reading import ConvertError
from azureml_scoring.provider import online_deployment, online_endpoint
from azureml_scoring.settings.arguments import OnlineDeploymentArgs, OnlineEndpointArgs
from azureml_scoring.settings.deployment import DEPLOYMENT, DeploymentSettings
from azureml_scoring.settings.endpoint import ENDPOINT as ENDPOINT_RESOURCE
from azureml_scoring.settings.endpoint import EndpointSettings
from azureml_scoring.settings.section import Only, Section, arguments, arm_fields, marker

from tests.provider.fake_azure import ENDPOINT, ENVIRONMENT, REGISTRY, WORKSPACE, FakeAzure
from tests.settings.test_json_schema import problems
from tests.settings.values import value_of

COMPUTE = f"{WORKSPACE}/computes/aks"
INSIGHTS = "providers/Microsoft.Insights"


def fields(model: type[Section], resource: str, kind: str = "managed") -> dict[str, Any]:
    """A value, not its default, of each field that an endpoint of a kind sends to Azure."""
    named = {path: field for path, field, arm in arm_fields(model, resource) if arm.places and "." not in path}
    kinds = {path: marker(field, Only) for path, field in named.items()}
    return {
        str(field.alias): value_of(field)
        for path, field in named.items()
        if (only := kinds[path]) is None or only.kind == kind
    }


def deployment(name: str = "blue", settings: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """What Azure has of a deployment."""
    machine = {} if "kind" in more else {"instanceType": "Standard_DS3_v2"}
    sent = arguments(DeploymentSettings.model_validate({**machine, **(settings or {})}), DEPLOYMENT)
    args = OnlineDeploymentArgs(
        endpoint_id=ENDPOINT,
        deployment_name=name,
        location="westeurope",
        environment_id=ENVIRONMENT,
        **{**sent, **more},
    )
    document = online_deployment.body(args)
    document["properties"]["provisioningState"] = "Succeeded"
    return {"id": args.path, "name": name, **document}


def endpoint(settings: dict[str, Any] | None = None, compute: str = "", **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What Azure has of an endpoint whose traffic goes to blue."""
    sent = arguments(EndpointSettings.model_validate(settings or {}), ENDPOINT_RESOURCE)
    args = OnlineEndpointArgs(
        workspace_id=WORKSPACE, endpoint_name="scoring", location="westeurope", compute=compute or None, **sent
    )
    document = online_endpoint.body(args, None)
    document["properties"] |= {"traffic": {"blue": 100}, "scoringUri": "https://s", "provisioningState": "Succeeded"}
    document["properties"] |= properties
    return {"id": ENDPOINT, "name": "scoring", **document}


def described(*deployments: dict[str, Any], of: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The config of an endpoint, and the lines about what stays outside."""
    workspace = {"properties": {"containerRegistry": REGISTRY}}
    config, notes = config_of(LiveEndpoint(of or endpoint(), deployments or (deployment(),), workspace))
    assert problems(config) == [], "an editor would underline it"
    return config, [str(note) for note in notes]


def test_every_field_of_a_managed_deployment_comes_back() -> None:
    settings = fields(DeploymentSettings, DEPLOYMENT)
    assert len(settings) == 10
    # azure-ai-ml registers a data asset for each collection.
    kept = {"samplingRate": 0.5, "data": f"{WORKSPACE}/data/scoring-blue-request/versions/1"}
    collected = {"collections": {"request": kept}, "rollingRate": "day", "captureHeaders": ["x-id"]}
    settings |= {"instanceType": "Standard_DS4_v2", "egressPublicNetworkAccess": False, "dataCollector": collected}
    config, lines = described(deployment(settings=settings))
    blue = config["deployments"]["blue"]
    assert blue.pop("environment") == {"reference": ENVIRONMENT}
    assert DeploymentSettings.model_validate(blue).wire() == DeploymentSettings.model_validate(settings).wire()
    assert lines == []


def test_every_field_of_a_deployment_on_kubernetes_comes_back() -> None:
    settings = fields(DeploymentSettings, DEPLOYMENT, "kubernetes")
    assert {"scale", "resources"} < settings.keys()
    for name in ("instanceCount", "dataCollector"):  # the cluster's choice, by `scale`; tried above
        del settings[name]
    settings |= {"instanceType": "gpu-small", "scale": {"maxInstances": 4}}
    settings["resources"] = {"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "1Gi", "gpu": 1}}
    blue = deployment(settings=settings, kind="Kubernetes")
    # What Azure fills in of its own accord.
    blue["sku"]["capacity"] = 1
    blue["properties"]["egressPublicNetworkAccess"] = "Enabled"
    config, lines = described(blue, of=endpoint(compute=COMPUTE))
    assert config["endpoint"]["kind"] == "kubernetes"
    assert config["endpoint"]["compute"] == COMPUTE
    blue = config["deployments"]["blue"]
    del blue["environment"]
    assert DeploymentSettings.model_validate(blue).wire() == DeploymentSettings.model_validate(settings).wire()
    assert lines == []


def test_every_field_of_an_endpoint_comes_back() -> None:
    settings = fields(EndpointSettings, ENDPOINT_RESOURCE)
    assert len(settings) > 3
    config, lines = described(of={**endpoint(settings), "tags": {"team": "ml"}})
    written = {**settings, "name": "scoring", "traffic": {"blue": 100}, "tags": {"team": "ml"}}
    read = EndpointSettings.model_validate(config["endpoint"])
    assert read.wire() == EndpointSettings.model_validate(written).wire()
    assert lines == []


def test_what_is_registered_is_named_by_its_ids() -> None:
    model, code = f"{WORKSPACE}/models/iris/versions/3", f"{WORKSPACE}/codes/c1/versions/1"
    document = deployment(model_id=model, model_mount_path="/models", code_id=code, scoring_script="score.py")
    blue = described(document)[0]["deployments"]["blue"]
    assert blue["model"] == {"reference": model, "mountPath": "/models"}
    assert blue["code"] == {"reference": code, "entryScript": "score.py"}


def test_an_existing_workspace_and_its_registry_are_read_only() -> None:
    config, _ = described()
    assert (config["workspace"], config["registry"]) == ({"id": WORKSPACE}, {"mode": "workspace"})
    assert "image" not in config


def test_what_azure_answers_as_null_or_empty_was_not_written() -> None:
    azure = FakeAzure(documents={WORKSPACE: {"properties": {}}, ENDPOINT: endpoint(description=None, mirrorTraffic={})})
    blue = deployment()
    blue["properties"] |= {"model": None, "dataCollector": None, "livenessProbe": {"period": "PT5S", "timeout": None}}
    azure.on("GET", "/deployments", lambda _: (200, {}, {"value": [blue]}))
    azure.on("GET", INSIGHTS, lambda _: (200, {}, {"value": []}))
    text, notes, _ = adopt_file(azure.arm(), ENDPOINT, None)
    assert "period: PT5S" in text
    assert "null" not in text
    assert notes == []


def test_settings_of_azure_monitor_are_listed_and_stay_outside() -> None:
    azure = _azure()
    ours = {"name": "a1", "properties": {"targetResourceUri": f"{ENDPOINT}/deployments/blue"}}
    theirs = {"name": "a2", "properties": {"targetResourceUri": f"{ENDPOINT}2/deployments/blue"}}
    azure.on("GET", "autoscaleSettings", lambda _: (200, {}, {"value": [ours, theirs]}))
    azure.on("GET", "diagnosticSettings", lambda _: (200, {}, {"value": [{"name": "d1", "properties": {}}]}))
    text, notes, _ = adopt_file(azure.arm(), ENDPOINT, None)
    assert [note.field for note in notes] == ["deployment blue: autoscale setting a1", "diagnostic setting d1"]
    assert "# dropped: diagnostic setting d1: it stays as it is, outside of the stack" in text


def test_a_deployment_that_failed_and_gets_no_traffic_stays_outside() -> None:
    green = deployment("green")
    green["properties"]["provisioningState"] = "Failed"
    config, lines = described(deployment(), green)
    assert list(config["deployments"]) == ["blue"]
    assert lines == ["dropped: deployment green: it is failed; it stays as it is, outside of the stack"]


def test_a_property_that_no_field_becomes_gets_a_line() -> None:
    blue = deployment()
    blue["properties"] |= {
        "startupProbe": {"period": "PT5S"},
        "properties": {"AzureAsyncOperationUri": "https://…"},
        "privateNetworkConnection": False,
    }
    lines = described(blue)[1]
    text = "no field; a later change of this resource is sent without it"
    assert lines == [f"dropped: deployment blue: properties.startupProbe: {text}"]


def _failed() -> dict[str, Any]:
    document = deployment()
    document["properties"]["provisioningState"] = "Failed"
    return document


def _collecting() -> dict[str, Any]:
    document = deployment()
    collection = {"dataCollectionMode": "Enabled", "samplingRate": 1.0, "clientId": "c"}
    document["properties"]["dataCollector"] = {"collections": {"request": collection}, "rollingRate": "Hour"}
    return document


REFUSED = {
    "no traffic": (
        endpoint(traffic={}),
        deployment(),
        "endpoint scoring sends 0 percent of its traffic; a stack sends 100",
    ),
    "no identity": (
        {**endpoint(), "identity": {"type": "None"}},
        deployment(),
        "endpoint scoring has the identities None",
    ),
    "failed, with traffic": (
        endpoint(),
        _failed(),
        "deployment blue is failed and gets traffic; wait for it, repair it, or",
    ),
    "data of a collection": (endpoint(), _collecting(), "deployment blue: properties.dataCollector = "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_first_up_would_change_is_refused_in_one_line(case: str) -> None:
    document, blue, line = REFUSED[case]
    with pytest.raises(ConvertError) as refused:
        described(blue, of=document)
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def _azure(**properties: Any) -> FakeAzure:  # noqa: ANN401 - JSON
    azure = FakeAzure(documents={WORKSPACE: {"properties": {}}, ENDPOINT: endpoint(**properties)})
    azure.on("GET", "/deployments", lambda _: (200, {}, {"value": [deployment()]}))
    azure.on("GET", INSIGHTS, lambda _: (200, {}, {"value": []}))
    return azure


def test_a_refused_endpoint_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "Pulumi.iris.yaml"
    with pytest.raises(ConvertError):
        adopt_file(_azure(traffic={}).arm(), ENDPOINT, out)
    assert not out.exists()


def test_a_file_that_says_the_same_stays_and_another_one_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "Pulumi.iris.yaml"
    text, _, _ = adopt_file(_azure().arm(), ENDPOINT, out)
    assert out.read_text() == text
    sealed = f"encryptionsalt: v1:abc\n{text}"  # what `pulumi stack init` makes of it
    out.write_text(sealed)
    adopt_file(_azure().arm(), ENDPOINT, out)
    assert out.read_text() == sealed
    with pytest.raises(ConvertError, match="exists and differs; move it away"):
        adopt_file(_azure(description="another").arm(), ENDPOINT, out)
    assert out.read_text() == sealed


@pytest.mark.parametrize("id_", [ENDPOINT, f"{ENDPOINT}/deployments/blue", "iris"])
def test_an_id_of_no_endpoint_is_refused(id_: str) -> None:
    with pytest.raises(ConvertError, match=f"^ENDPOINT-ARM-ID = {id_}: "):
        adopt_file(FakeAzure().arm(), id_, None)
