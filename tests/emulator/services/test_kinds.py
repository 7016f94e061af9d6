"""What Azure demands of clusters, computes, kinds of endpoints, and Azure Monitor's settings; no container runs."""

from enum import Enum
from typing import Any

import pytest
from azure.mgmt.machinelearningservices import models as ml
from pulumi_azure_native import machinelearningservices
from pulumi_azure_native import monitor as native_monitor

from emulator.core.errors import AzureError
from emulator.services.insights import rules as monitor
from emulator.services.kubernetes.types import ML_EXTENSION
from emulator.services.machinelearningservices.computes import types as computes
from emulator.services.machinelearningservices.onlineendpoints import rules as endpoint_rules
from tests.emulator.conftest import InProcessAzure
from tests.ml import (
    BLUE,
    ENDPOINT,
    PLACE,
    WORKSPACE,
    Model,
    Scene,
    deployment_body,
    endpoint_body,
    make_workspace,
    on_kubernetes,
    scene,
)
from tests.scoring import until

CLUSTER = "providers/Microsoft.ContainerService/managedClusters/aks01"
EXTENSION = f"{CLUSTER}/providers/Microsoft.KubernetesConfiguration/extensions/azureml"
COMPUTE = f"{WORKSPACE}/computes/aks"
SETTING = "providers/Microsoft.Insights/autoscaleSettings/blue"
LOGS = f"{ENDPOINT}/providers/Microsoft.Insights/diagnosticSettings/scoring"


def cluster_body(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    given = {"dnsPrefix": "aks01", "agentPoolProfiles": [{"name": "one", "mode": "System"}], **properties}
    return {**PLACE, "identity": {"type": "SystemAssigned"}, "properties": given}


def compute_body(local: InProcessAzure, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    given = {"computeType": "Kubernetes", "resourceId": f"{local.group}/{CLUSTER}", **properties}
    return {**PLACE, "properties": given}


def refused(local: InProcessAzure, path: str, body: dict[str, Any]) -> str:
    with pytest.raises(AzureError) as told:
        local.ask("PUT", path, body)
    assert "\n" not in told.value.message
    return str(told.value)


# -- clusters and computes ---------------------------------------------------------------------------------------------


def test_a_cluster_without_the_extension_cannot_be_attached(local: InProcessAzure) -> None:
    make_workspace(local)
    local.ask("PUT", CLUSTER, cluster_body())
    assert f"has no extension '{ML_EXTENSION}'" in refused(local, COMPUTE, compute_body(local))
    local.ask("PUT", EXTENSION, {"properties": {"extensionType": ML_EXTENSION}})
    made = local.ask("PUT", COMPUTE, compute_body(local))
    assert made["properties"]["isAttachedCompute"] is True
    assert made["properties"]["properties"]["namespace"] == "default"
    assert "defaultinstancetype" in made["properties"]["properties"]["instanceTypes"]


def test_an_attachment_keeps_its_cluster_and_namespace(local: InProcessAzure) -> None:
    on_kubernetes(local)
    said = refused(local, COMPUTE, compute_body(local, properties={"namespace": "other"}))
    assert "'namespace' of compute 'aks' cannot be changed" in said
    assert "Compute name 'a' is invalid" in refused(local, f"{WORKSPACE}/computes/a", compute_body(local))


# -- endpoints ---------------------------------------------------------------------------------------------------------


def _on_cluster(local: InProcessAzure, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    given = {"compute": f"{local.group}/{COMPUTE}", **properties}
    return {**endpoint_body(**given), "kind": "Kubernetes"}


def test_an_endpoint_on_kubernetes_needs_a_compute_of_its_workspace(local: InProcessAzure) -> None:
    on_kubernetes(local)
    for wrong in ("", f"{local.group}/{WORKSPACE}/computes/gone", f"{local.group}/{CLUSTER}"):
        assert "is none that is attached to the workspace" in refused(
            local, ENDPOINT, _on_cluster(local, compute=wrong)
        )
    assert "is none of Managed, Kubernetes" in refused(local, ENDPOINT, {**endpoint_body(), "kind": "AKS"})
    compute = endpoint_body(compute=f"{local.group}/{COMPUTE}")
    managed = {**compute, "kind": "Managed"}
    assert "is managed, so it has no compute" in refused(local, ENDPOINT, managed)
    assert local.ask("PUT", ENDPOINT, compute)["kind"] == "Kubernetes", "azure-ai-ml sends no kind"


def test_an_endpoint_on_kubernetes_is_not_private(local: InProcessAzure) -> None:
    on_kubernetes(local)
    said = refused(local, ENDPOINT, _on_cluster(local, publicNetworkAccess="Disabled"))
    assert "publicNetworkAccess of endpoint 'score' cannot be Disabled" in said


def test_entra_tokens_and_mirrors_are_for_managed_endpoints(local: InProcessAzure) -> None:
    on_kubernetes(local)
    said = refused(local, ENDPOINT, _on_cluster(local, authMode="AADToken"))
    assert "authMode 'AADToken' of endpoint 'score' is for managed online endpoints only" in said
    with scene(local, kind="Kubernetes", listen=False, compute=f"{local.group}/{COMPUTE}") as found:
        found.deploy("blue", **KUBERNETES)
        with pytest.raises(AzureError, match="mirrorTraffic of endpoint 'score' is not supported for Kubernetes"):
            local.ask("PUT", ENDPOINT, _on_cluster(local, mirrorTraffic={"blue": 10}))


def test_an_endpoints_kind_never_changes(local: InProcessAzure) -> None:
    on_kubernetes(local)
    local.ask("PUT", ENDPOINT, _on_cluster(local))
    assert "The kind of endpoint 'score' cannot be changed from 'Kubernetes'" in refused(
        local, ENDPOINT, endpoint_body()
    )


KUBERNETES: dict[str, Any] = {"endpointComputeType": "Kubernetes", "instanceType": None}


@pytest.mark.parametrize("mode", ["Key", "AMLToken"])
def test_each_way_to_sign_in_that_kubernetes_has_opens_its_endpoint(local: InProcessAzure, mode: str) -> None:
    on_kubernetes(local)
    place: dict[str, Any] = {"compute": f"{local.group}/{COMPUTE}", "authMode": mode}
    with scene(local, Model("blue"), kind="Kubernetes", **place) as found:
        found.deploy("blue", **KUBERNETES)
        local.ask("PUT", ENDPOINT, _on_cluster(local, authMode=mode, traffic={"blue": 100}))
        action, field = ("listKeys", "primaryKey") if mode == "Key" else ("token", "accessToken")
        credential = str(local.ask("POST", f"{ENDPOINT}/{action}")[field])
        assert found.score(credential).status_code == 200
        assert found.score("wrong").status_code == 401


# -- deployments -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(local: InProcessAzure) -> Any:  # noqa: ANN401 - a generator
    on_kubernetes(local)
    with scene(local, kind="Kubernetes", listen=False, compute=f"{local.group}/{COMPUTE}") as found:
        yield found


def test_a_container_gets_the_limits_of_its_instance_type_or_its_own(cluster: Scene) -> None:
    cluster.deploy("blue", **KUBERNETES)
    spec = cluster.fleet.pools[cluster.key("blue")].spec
    assert (spec.cpu, spec.memory, spec.gpus) == (2, 2 * 1024**3, 0)
    wanted = {
        "containerResourceRequests": {"cpu": "100m"},
        "containerResourceLimits": {"cpu": "500m", "memory": "1Gi", "gpu": "1"},
    }
    cluster.deploy("blue", **KUBERNETES, containerResourceRequirements=wanted)
    spec = cluster.fleet.pools[cluster.key("blue")].spec
    assert (spec.cpu, spec.memory, spec.gpus) == (0.5, 1024**3, 1)


def test_a_cluster_that_scales_starts_with_the_least(cluster: Scene) -> None:
    made = cluster.deploy(
        "blue", **KUBERNETES, scaleSettings={"scaleType": "TargetUtilization", "minInstances": 2, "maxInstances": 4}
    )
    assert made["sku"]["capacity"] == 2
    assert made["properties"]["scaleSettings"]["targetUtilizationPercentage"] == 70
    assert cluster.fleet.pools[cluster.key("blue")].spec.instances == 2


def test_a_busy_deployment_gets_more_containers_and_an_idle_one_fewer_one_by_one(cluster: Scene) -> None:
    scaling = {
        "scaleType": "TargetUtilization",
        "minInstances": 1,
        "maxInstances": 3,
        "targetUtilizationPercentage": 50,
    }
    settings = {"maxConcurrentRequestsPerInstance": 2}
    cluster.deploy("blue", **KUBERNETES, scaleSettings=scaling, requestSettings=settings)
    key = cluster.key("blue")
    pool = cluster.fleet.pools[key]
    pool.replicas[0].ready = True
    inside = [pool.enter() for _ in range(3)]
    assert pool.spec.wanted(pool.inside) == 3
    cluster.fleet.scale()
    until(lambda: cluster.fleet.pools[key].spec.instances == 3, "the deployment to grow")
    for replica in inside:
        pool.leave(replica)
    for count in (2, 1):
        cluster.fleet.scale()
        until(lambda count=count: cluster.fleet.pools[key].spec.instances == count, "it to shrink")  # type: ignore[misc]
    cluster.fleet.scale()
    assert cluster.fleet.pools[key].spec.instances == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpointComputeType": "Managed", "instanceType": "Standard_DS3_v2"}, "is of kind Managed, its endpoint of"),
        ({"instanceType": "Standard_DS3_v2"}, "instanceType 'Standard_DS3_v2' of deployment 'blue' does not exist on"),
        ({"egressPublicNetworkAccess": "Disabled"}, "is for managed online endpoints only"),
        ({"containerResourceRequirements": {"containerResourceLimits": {"cpu": "much"}}}, "'much' is not a quantity"),
        (
            {
                "containerResourceRequirements": {
                    "containerResourceRequests": {"cpu": "2"},
                    "containerResourceLimits": {"cpu": "1"},
                }
            },
            "containerResourceRequests.cpu of deployment 'blue' must be less than or equal to cpu limit",
        ),
        ({"scaleSettings": {"scaleType": "Auto"}}, "(Kubernetes) is none of Default, TargetUtilization"),
        (
            {"scaleSettings": {"scaleType": "TargetUtilization", "minInstances": 3, "maxInstances": 2}},
            "minInstances 3 is more than maxInstances 2",
        ),
        (
            {"scaleSettings": {"scaleType": "TargetUtilization", "targetUtilizationPercentage": 101}},
            "targetUtilizationPercentage of deployment 'blue' is more than 100",
        ),
        ({"requestSettings": {"requestTimeout": "PT301S"}}, "is not within PT0S and PT5M"),
    ],
)
def test_a_wrong_deployment_on_kubernetes_is_refused(cluster: Scene, change: dict[str, Any], said: str) -> None:
    with pytest.raises(AzureError) as told:
        cluster.deploy("blue", **{**KUBERNETES, **change})
    assert said in str(told.value)


def test_five_minutes_are_not_too_long_on_kubernetes(cluster: Scene) -> None:
    cluster.deploy("blue", **KUBERNETES, requestSettings={"requestTimeout": "PT5M"})


def test_a_managed_deployment_has_fifty_instances_at_most(local: InProcessAzure) -> None:
    with scene(local, listen=False):
        body = {**deployment_body(local), "sku": {"name": "Default", "capacity": 51}}
        assert "OutOfQuota" in refused(local, BLUE, body)


def test_egress_cannot_be_shut_twice(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        assert found.deploy("blue", egressPublicNetworkAccess="Disabled")
        local.ask("DELETE", ENDPOINT)
        local.ask("PATCH", WORKSPACE, {"properties": {"managedNetwork": {"isolationMode": "AllowInternetOutbound"}}})
        local.ask("POST", f"{WORKSPACE}/provisionManagedNetwork")
        local.ask("PUT", ENDPOINT, endpoint_body())
        with pytest.raises(AzureError, match="the workspace has a managed network"):
            found.deploy("blue", egressPublicNetworkAccess="Disabled")


def test_a_gpu_machine_without_a_gpu_says_that_it_runs_on_the_processor(
    local: InProcessAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint_rules.has_gpu("Standard_NC4as_T4_v3")
    assert not endpoint_rules.has_gpu("Standard_DS3_v2")
    with scene(local, listen=False) as found:
        found.deploy("blue", instanceType="Standard_NC4as_T4_v3")
        assert found.fleet.pools[found.key("blue")].spec.gpus == 1
        monkeypatch.setattr(found.fleet, "log", lambda *_: "the model speaks")
        for gpus, said in ((False, "it runs on the processor\nthe model speaks"), (True, "the model speaks")):
            monkeypatch.setattr(type(found.fleet.containers), "has_gpus", gpus)
            assert str(local.ask("POST", f"{BLUE}/getLogs")["content"]).endswith(said)


# -- autoscale ---------------------------------------------------------------------------------------------------------


def _setting(local: InProcessAzure, trigger: dict[str, Any] | None = None, **capacity: str) -> dict[str, Any]:
    rule = {
        "metricTrigger": {
            "metricName": "CpuUtilizationPercentage",
            "metricResourceUri": f"{local.group}/{BLUE}",
            "timeGrain": "PT1M",
            "statistic": "Average",
            "timeWindow": "PT5M",
            "timeAggregation": "Average",
            "operator": "GreaterThan",
            "threshold": 70,
            **(trigger or {}),
        },
        "scaleAction": {"direction": "Increase", "type": "ChangeCount", "value": "1", "cooldown": "PT5M"},
    }
    limits = {"minimum": "1", "maximum": "4", "default": "2", **capacity}
    profile = {"name": "default", "capacity": limits, "rules": [rule]}
    return {**PLACE, "properties": {"targetResourceUri": f"{local.group}/{BLUE}", "profiles": [profile]}}


def test_azure_monitor_scales_a_managed_deployment_once(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        assert "names no online deployment here" in refused(local, SETTING, _setting(local))
        found.deploy("blue")
        made = local.ask("PUT", SETTING, _setting(local))
        assert made["properties"]["profiles"][0]["capacity"]["default"] == "2"
        assert "provisioningState" not in made["properties"]
        other = SETTING.replace("/blue", "/other")
        assert "Conflict" in refused(local, other, _setting(local))
        # What Azure Monitor then does:
        changed = local.ask("PATCH", BLUE, {"sku": {"name": "Default", "capacity": 3}})
        assert changed["sku"]["capacity"] == 3
        assert found.fleet.pools[found.key("blue")].spec.instances == 3


def test_azure_monitor_scales_nothing_on_kubernetes(local: InProcessAzure, cluster: Scene) -> None:
    cluster.deploy("blue", **KUBERNETES)
    assert "is on Kubernetes, which scales itself" in refused(local, SETTING, _setting(local))


# -- diagnostics -------------------------------------------------------------------------------------------------------


def test_an_endpoints_logs_go_to_log_analytics_once(local: InProcessAzure) -> None:
    with scene(local, listen=False):
        place = f"{local.group}/providers/Microsoft.OperationalInsights/workspaces/logs-test"
        logs = [{"category": "AmlOnlineEndpointConsoleLog", "enabled": True}]
        for properties, said in (
            ({"logs": logs}, "has no destination"),
            ({"workspaceId": place}, "sends nothing"),
            ({"workspaceId": f"{place}-gone", "logs": logs}, "is no Log Analytics workspace"),
            ({"workspaceId": place, "logs": [{"category": "AuditEvent", "enabled": True}]}, "is not supported"),
        ):
            assert said in refused(local, LOGS, {"properties": properties})
        local.ask("PUT", LOGS, {"properties": {"workspaceId": place, "logs": logs}})
        again = LOGS.replace("/scoring", "/again")
        body = {"properties": {"workspaceId": place, "logs": [{"categoryGroup": "allLogs", "enabled": True}]}}
        assert "Data sinks can't be reused" in refused(local, again, body)
        local.ask("DELETE", ENDPOINT)
        with pytest.raises(AzureError, match="was not found"):
            local.ask("GET", LOGS)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "enumeration"),
    [
        (computes._TYPES, ml.ComputeType),
        (endpoint_rules._SCALES["Kubernetes"], ml.ScaleType),
        (endpoint_rules._ROLLING, machinelearningservices.RollingRateType),
        (endpoint_rules._MODES, machinelearningservices.DataCollectionMode),
        (monitor.STATISTICS, native_monitor.MetricStatisticType),
        (monitor.AGGREGATIONS, native_monitor.TimeAggregationType),
        (monitor._DIRECTIONS, native_monitor.ScaleDirection),
        (monitor._CHANGES, native_monitor.ScaleType),
        (monitor.OPERATORS, native_monitor.ComparisonOperationType),
    ],
)
def test_the_values_are_those_of_the_real_clients(known: tuple[str, ...], enumeration: type[Enum]) -> None:
    assert set(known) == {str(each.value) for each in enumeration}


WEEK: dict[str, Any] = {
    "frequency": "Week",
    "schedule": {"timeZone": "UTC", "days": ["Monday"], "hours": [8], "minutes": [0]},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"days": []}, "lacks 'timeZone' or 'days'"),
        ({"days": ["Mon"]}, "recurrence.schedule.days"),
        ({"hours": [24]}, "recurrence.schedule.hours of profile 'office' is not one number from 0 to 23"),
        ({"minutes": [0, 30]}, "recurrence.schedule.minutes of profile 'office' is not one number from 0 to 59"),
    ],
)
def test_a_profile_begins_at_one_time_of_days_of_the_week(changes: dict[str, Any], said: str) -> None:
    profile = {"name": "office", "recurrence": {**WEEK, "schedule": {**WEEK["schedule"], **changes}}}
    if not said:
        monitor.check_recurrence(profile)
        return
    with pytest.raises(AzureError, match=said):
        monitor.check_recurrence(profile)
