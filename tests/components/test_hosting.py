"""Where a deployment runs and who sets its count, as the resources are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.provider.online_deployment import OnlineDeployment
from azureml_scoring.provider.online_endpoint import OnlineEndpoint
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.validation import amount

from tests.components.cloud import SUBSCRIPTION, Cloud, arguments, up
from tests.provider.fake_azure import ENDPOINT, ENVIRONMENT, WORKSPACE, FakeAzure

CLUSTER = f"{SUBSCRIPTION}/resourceGroups/k8s/providers/Microsoft.ContainerService/managedClusters/aks01"
COMPUTE = f"{WORKSPACE}/computes/aks"
BLUE = f"{ENDPOINT}/deployments/blue"


def deployment(**more: object) -> Properties:
    given = {"endpointId": ENDPOINT, "deploymentName": "blue", "location": "westeurope", "environmentId": ENVIRONMENT}
    checked = OnlineDeployment().check({**given, **more})
    assert not checked.failures, checked.failures
    return checked.inputs


def standing(azure: FakeAzure, count: int, **more: object) -> Properties:
    """The deployment made, and its count changed as Azure Monitor does."""
    OnlineEndpoint().create(
        azure.context(), {"workspaceId": WORKSPACE, "endpointName": "scoring", "location": "westeurope"}
    )
    _, state = OnlineDeployment().create(azure.context(), deployment(**more))
    azure.documents[BLUE] = {**azure.documents[BLUE], "sku": {"capacity": count}}
    return state


# -- the count ---------------------------------------------------------------------------------------------------------


def test_a_count_that_azure_monitor_has_set_is_no_difference_and_no_write_resets_it() -> None:
    azure, resource = FakeAzure(), OnlineDeployment()
    inputs = {"instanceType": "Standard_DS3_v2", "instanceCount": 2, "autoscaled": True}
    state = standing(azure, 5, **inputs)
    assert azure.of("PUT")[-1].body["sku"]["capacity"] == 2
    found = resource.read(azure.context(), BLUE, state, deployment(**inputs))
    assert found is not None
    assert not resource.diff(BLUE, found.state, deployment(**inputs)).changed
    changed = deployment(**inputs, environmentVariables={"A": "1"})
    resource.update(azure.context(), BLUE, found.state, changed)
    assert azure.of("PUT")[-1].body["sku"]["capacity"] == 5


def test_another_first_count_changes_nothing_while_azure_monitor_sets_it() -> None:
    machine = {"instanceType": "Standard_DS3_v2", "autoscaled": True}
    old, new = deployment(**machine, instanceCount=1), deployment(**machine, instanceCount=3)
    assert not OnlineDeployment().diff(BLUE, old, new).changed


def test_without_autoscale_the_count_is_ours_again() -> None:
    azure, resource = FakeAzure(), OnlineDeployment()
    state = standing(azure, 5, instanceType="Standard_DS3_v2", instanceCount=2, autoscaled=True)
    fixed = deployment(instanceType="Standard_DS3_v2", instanceCount=2)
    assert resource.diff(BLUE, state, fixed).changed == {"autoscaled"}
    resource.update(azure.context(), BLUE, state, fixed)
    assert azure.of("PUT")[-1].body["sku"]["capacity"] == 2


def test_where_the_cluster_scales_no_count_is_sent() -> None:
    azure = FakeAzure()
    standing(azure, 2, kind="Kubernetes", scaleSettings={"minInstances": 1, "maxInstances": 3})
    body = azure.of("PUT")[-1].body
    assert body["kind"] == "Kubernetes"
    assert "capacity" not in body["sku"]
    assert body["properties"]["scaleSettings"] == {
        "scaleType": "TargetUtilization",
        "minInstances": 1,
        "maxInstances": 3,
    }
    assert "instanceType" not in body["properties"]


def test_what_the_cluster_fills_in_and_sets_is_no_difference() -> None:
    azure, resource = FakeAzure(), OnlineDeployment()
    inputs = {
        "kind": "Kubernetes",
        "scaleSettings": {"minInstances": 1, "maxInstances": 3},
        "containerResourceRequirements": {"containerResourceLimits": {"cpu": "500m"}},
    }
    state = standing(azure, 3, **inputs)
    filled = azure.documents[BLUE]["properties"]
    filled |= {"instanceType": "defaultinstancetype", "endpointComputeType": "Kubernetes"}
    filled["scaleSettings"] = {**filled["scaleSettings"], "pollingInterval": "PT1S"}
    found = resource.read(azure.context(), BLUE, state, deployment(**inputs))
    assert found is not None
    assert not resource.diff(BLUE, found.state, deployment(**inputs)).changed
    filled["containerResourceRequirements"] = {"containerResourceLimits": {"cpu": "2"}}
    drifted = resource.read(azure.context(), BLUE, state, deployment(**inputs))
    assert drifted is not None
    assert resource.diff(BLUE, drifted.state, deployment(**inputs)).changed == {"containerResourceRequirements"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"instanceType": "Standard_DS3_v2", "scaleSettings": {}},
            "scaling is for endpoint.kind kubernetes",
        ),
        (
            {"kind": "Kubernetes", "autoscaled": True},
            "autoscaled = true: Azure Monitor scales",
        ),
        ({}, 'instanceType = "": an instance type takes a size'),
    ],
)
def test_what_the_other_kind_has_is_refused_by_the_resource_too(given: Properties, said: str) -> None:
    base = {"endpointId": ENDPOINT, "deploymentName": "blue", "location": "westeurope", "environmentId": ENVIRONMENT}
    (failure,) = OnlineDeployment().check({**base, **given}).failures
    assert said in failure.reason


def test_a_compute_makes_an_endpoint_one_on_kubernetes_for_good() -> None:
    azure, resource = FakeAzure(), OnlineEndpoint()
    base = {"workspaceId": WORKSPACE, "endpointName": "scoring", "location": "westeurope"}
    inputs = resource.check({**base, "compute": COMPUTE}).inputs
    resource.create(azure.context(), inputs)
    body = azure.of("PUT")[-1].body
    assert (body["kind"], body["properties"]["compute"]) == ("Kubernetes", COMPUTE)
    assert resource.diff("", inputs, resource.check(base).inputs).replaces == {"compute"}
    (failure,) = resource.check({**base, "compute": COMPUTE, "authMode": "AADToken"}).failures
    assert "Kubernetes endpoints take no Entra tokens" in failure.reason


# -- the components ----------------------------------------------------------------------------------------------------


def test_a_cluster_is_attached_and_the_endpoint_waits_for_it(tmp_path: Path) -> None:
    endpoint = {"kind": "kubernetes", "compute": "aks", "cluster": {"id": CLUSTER, "namespace": "scoring"}}
    blue = {
        "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "1Gi", "gpu": 1.0}},
        "scale": {"max_instances": 3.0},
    }
    cloud = up(arguments(tmp_path, endpoint=endpoint, deployments={"blue": blue}))
    attached = cloud.inputs("Compute")
    assert (attached["computeName"], attached["identity"]) == ("aks", {"type": "SystemAssigned"})
    assert attached["properties"] == {
        "computeType": "Kubernetes",
        "resourceId": CLUSTER,
        "properties": {"namespace": "scoring"},
    }
    assert attached["tags"] == {"owner": "me"}
    assert cloud.inputs("OnlineEndpoint")["compute"] == "aks-id"
    made = cloud.inputs("OnlineDeployment")
    assert made["kind"] == "Kubernetes"
    assert "instanceType" not in made
    assert made["containerResourceRequirements"] == {
        "containerResourceRequests": {"cpu": "0.5"},
        "containerResourceLimits": {"memory": "1Gi", "gpu": "1"},
    }
    assert made["scaleSettings"] == {
        "minInstances": 1,
        "maxInstances": 3,
        "targetUtilizationPercentage": 70,
        "pollingInterval": "PT1S",
    }


def test_a_deployment_says_in_the_studio_what_it_is_for(tmp_path: Path) -> None:
    blue = {"instance_type": "Standard_DS3_v2", "description": "the cautious one"}
    cloud = up(arguments(tmp_path, deployments={"blue": blue}))
    assert cloud.inputs("OnlineDeployment")["description"] == "the cautious one"


def test_an_attached_compute_is_used_by_its_name_and_never_made(tmp_path: Path) -> None:
    workspace = f"{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.MachineLearningServices/workspaces/oldml"
    endpoint = {"kind": "kubernetes", "compute": "aks"}
    cloud = up(
        arguments(
            tmp_path,
            registry={"mode": "workspace"},
            workspace={"id": workspace},
            endpoint=endpoint,
            deployments={"blue": {}},
        )
    )
    assert cloud.all("Compute") == []
    assert cloud.inputs("OnlineEndpoint")["compute"] == f"{workspace}/computes/aks"


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    rule = {"metric": "RequestsPerMinute", "below": 20.0, "change": -2.0, "cooldown": "PT10M"}
    blue: dict[str, Any] = {
        "instance_type": "Standard_DS3_v2",
        "autoscale": {"min": 2.0, "max": 5, "default": 3, "rules": [rule]},
        "egress_public_network_access": False,
        "data_collector": {
            "collections": {
                "request": {"sampling_rate": 0.5, "data": "azureml://datastores/logs/paths/seen"},
                "response": {"data": "azureml:replies:2"},
            },
            "capture_headers": ["x-trace"],
        },
    }
    office = {"days": ["Monday", "Friday"], "start": "08:00", "end": "18:30", "min": 2, "max": 4}
    busy = {"metric": "RequestLatency", "of": "endpoint", "above": 500, "change": 1}
    green = {
        "instance_type": "Standard_DS3_v2",
        "autoscale": {"min": 1, "max": 2, "schedules": {"office": {**office, "rules": [busy]}}},
    }
    return up(
        arguments(
            tmp_path_factory.mktemp("scaled"),
            endpoint={"traffic": {"blue": 100}, "diagnostics": {"logs": ["traffic"], "metrics": True}},
            deployments={"blue": blue, "green": green},
        )
    )


def test_azure_monitor_is_told_the_limits_and_the_rules(scaled: Cloud) -> None:
    setting = next(made.inputs for made in scaled.all("AutoscaleSetting") if made.name == "scoring-blue-autoscale")
    (profile,) = setting["profiles"]
    assert profile["capacity"] == {"minimum": "2", "maximum": "5", "default": "3"}
    (rule,) = profile["rules"]
    assert rule["scaleAction"] == {"direction": "Decrease", "type": "ChangeCount", "value": "2", "cooldown": "PT10M"}
    trigger = rule["metricTrigger"]
    assert (trigger["metricName"], trigger["operator"], trigger["threshold"]) == ("RequestsPerMinute", "LessThan", 20)
    assert setting["targetResourceUri"] == trigger["metricResourceUri"]
    assert setting["enabled"] is True
    assert setting["tags"] == {"owner": "me"}


def test_without_rules_processor_time_decides(scaled: Cloud) -> None:
    setting = next(made.inputs for made in scaled.all("AutoscaleSetting") if made.name == "scoring-green-autoscale")
    triggers = [rule["metricTrigger"] for rule in setting["profiles"][0]["rules"]]
    assert [(each["metricName"], each["operator"], each["threshold"]) for each in triggers] == [
        ("CpuUtilizationPercentage", "GreaterThan", 70),
        ("CpuUtilizationPercentage", "LessThan", 30),
    ]


def test_other_limits_hold_at_some_hours_of_the_week_and_end_as_azure_monitor_wants_it(scaled: Cloud) -> None:
    setting = next(made.inputs for made in scaled.all("AutoscaleSetting") if made.name == "scoring-green-autoscale")
    usual, office, again = setting["profiles"]
    assert (usual["name"], "recurrence" in usual) == ("default", False)
    assert office["capacity"] == {"minimum": "2", "maximum": "4", "default": "2"}
    schedule = {"timeZone": "UTC", "days": ["Monday", "Friday"]}
    assert office["recurrence"] == {"frequency": "Week", "schedule": {**schedule, "hours": [8], "minutes": [0]}}
    assert json.loads(again["name"]) == {"name": "default", "for": "office"}
    assert again["recurrence"]["schedule"] == {**schedule, "hours": [18], "minutes": [30]}
    assert (again["capacity"], again["rules"]) == (usual["capacity"], usual["rules"])


def test_a_rule_may_go_by_a_metric_of_the_endpoint(scaled: Cloud) -> None:
    setting = next(made.inputs for made in scaled.all("AutoscaleSetting") if made.name == "scoring-green-autoscale")
    (rule,) = setting["profiles"][1]["rules"]
    endpoint = next(made.inputs["endpointId"] for made in scaled.all("OnlineDeployment"))
    assert rule["metricTrigger"]["metricResourceUri"] == endpoint != setting["targetResourceUri"]
    assert rule["metricTrigger"]["metricName"] == "RequestLatency"


def test_a_deployment_that_is_scaled_says_so_and_starts_at_the_default(scaled: Cloud) -> None:
    made = next(made.inputs for made in scaled.all("OnlineDeployment") if made.name == "scoring-blue")
    assert (made["instanceCount"], made["autoscaled"]) == (3, True)
    assert made["egressPublicNetworkAccess"] == "Disabled"
    data = scaled.inputs("DataVersion")
    assert (data["assetName"][-13:], data["path"]) == ("-blue-request", "azureml://datastores/logs/paths/seen")
    request, response = (made["dataCollector"]["collections"][name] for name in ("request", "response"))
    assert request == {"dataCollectionMode": "Enabled", "samplingRate": 0.5, "dataId": "scoring-blue-request-data-id"}
    assert response["dataId"].endswith("/data/replies/versions/2")
    assert made["dataCollector"] == {
        "collections": {"request": request, "response": response},
        "rollingRate": "Hour",
        "requestLogging": {"captureHeaders": ["x-trace"]},
    }


def test_logs_go_to_the_stacks_own_log_analytics(scaled: Cloud) -> None:
    setting = scaled.inputs("DiagnosticSetting")
    logs = next(made for made in scaled.made if made.name == "scoring-logs")
    assert setting["workspaceId"] == scaled_id(scaled, logs.name)
    assert setting["logs"] == [{"category": "AmlOnlineEndpointTrafficLog", "enabled": True}]
    assert setting["metrics"] == [{"category": "AllMetrics", "enabled": True}]
    assert setting["resourceUri"] == scaled_id(scaled, "scoring-endpoint")


def scaled_id(cloud: Cloud, name: str) -> str:
    made = next(made for made in cloud.made if made.name == name)
    own = next((str(made.inputs[key]) for key in ("workspaceName", "endpointName") if key in made.inputs), name)
    return f"{own}-id"


@pytest.mark.parametrize(
    ("text", "value"), [("500m", 0.5), ("2", 2), ("0.25", 0.25), ("2Gi", 2 * 1024**3), ("500M", 5e8), ("1k", 1000)]
)
def test_kubernetes_quantities_are_numbers(text: str, value: float) -> None:
    assert amount(text) == value
