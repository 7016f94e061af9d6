"""What Azure demands of endpoints and deployments; no container runs."""

from pathlib import Path
from typing import Any

import pytest

from emulator.backends.containers import Containers, CrashError, ServingSpec
from emulator.backends.image_names import registry_host
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.containerregistry import access as registry_access
from emulator.services.graph import data as graph
from emulator.services.machinelearningservices.onlineendpoints.rules import seconds
from emulator.services.machinelearningservices.quotas.rules import SIZES
from tests.emulator.conftest import InProcessAzure
from tests.ml import BLUE, ENDPOINT, ENVIRONMENT, WORKSPACE, deployment_body, endpoint_body, make_workspace, scene


@pytest.mark.parametrize("name", ["ab", "1endpoint", "with_underscore", "ends-", "x" * 33])
def test_an_endpoints_name_follows_azures_rule(local: InProcessAzure, name: str) -> None:
    make_workspace(local)
    with pytest.raises(AzureError, match=f"Endpoint name '{name}' is invalid"):
        local.ask("PUT", f"{WORKSPACE}/onlineEndpoints/{name}", endpoint_body())


def test_an_endpoints_name_is_taken_in_its_whole_region(local: InProcessAzure) -> None:
    with scene(local, listen=False):
        body = local.ask("GET", WORKSPACE)
        other = WORKSPACE.replace("ml-test", "ml-other")
        local.ask("PUT", other, {name: body[name] for name in ("location", "identity", "properties")})
        with pytest.raises(AzureError, match="endpoint name needs to be unique within a region"):
            local.ask("PUT", f"{other}/onlineEndpoints/score", endpoint_body())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"authMode": "Keys"}, "authMode 'Keys' of endpoint 'score' is none of Key, AMLToken, AADToken"),
        ({"publicNetworkAccess": "No"}, "publicNetworkAccess 'No' of endpoint 'score' is none of Enabled, Disabled"),
        ({"traffic": {"blue": 50}}, "adds up to 50 %: it must be 0 or 100"),
        ({"traffic": {"blue": 0.5}}, "must be a whole number from 0 to 100"),
        ({"traffic": {"blue": -1}}, "must be a whole number from 0 to 100"),
        ({"traffic": {"blue": 100}}, "Deployment 'blue' does not exist in endpoint 'score'"),
        ({"mirrorTraffic": {"blue": 51}}, "at most 50 can be mirrored"),
        ({"mirrorTraffic": {"blue": 10, "green": 10}}, "only one can be mirrored to"),
    ],
)
def test_a_wrong_endpoint_is_refused_by_the_fields_name(
    local: InProcessAzure, change: dict[str, Any], said: str
) -> None:
    make_workspace(local)
    with pytest.raises(AzureError, match=said):
        local.ask("PUT", ENDPOINT, endpoint_body(**change))


def test_an_endpoint_has_an_identity_that_goes_with_it(local: InProcessAzure) -> None:
    with scene(local, listen=False):
        made = local.ask("GET", ENDPOINT)
        assert made["identity"]["type"] == "SystemAssigned"
        assert made["properties"]["provisioningState"] == "Succeeded"
        assert made["properties"]["scoringUri"].endswith("/score")
        assert "primaryKey" not in str(made)
        local.ask("DELETE", ENDPOINT)
        assert graph.find_principal(local.azure, made["identity"]["principalId"]) is None


def test_an_endpoints_own_identity_may_pull_from_the_workspaces_registry(local: InProcessAzure) -> None:
    make_workspace(local)
    registry = ResourceId.parse(f"{local.group}/providers/Microsoft.ContainerRegistry/registries/shop")
    document = local.azure.store.put(Document(registry, {"properties": {"loginServer": "shop.azurecr.io"}}))
    local.ask("PATCH", WORKSPACE, {"properties": {"containerRegistry": registry.path}})
    made = local.ask("PUT", ENDPOINT, endpoint_body())
    principal = graph.find_principal(local.azure, made["identity"]["principalId"])
    assert principal is not None
    assert registry_access.may(local.azure, document, principal, "pull")
    assert not registry_access.may(local.azure, document, principal, "push")
    local.ask("DELETE", ENDPOINT)
    assert not registry_access.may(local.azure, document, principal, "pull")


def test_an_endpoint_without_keys_has_none_to_list(local: InProcessAzure) -> None:
    with scene(local, listen=False, authMode="AADToken"):
        with pytest.raises(AzureError, match="has no keys: its authMode is AADToken"):
            local.ask("POST", f"{ENDPOINT}/listKeys")
        with pytest.raises(AzureError, match="issues no tokens: its authMode is AADToken"):
            local.ask("POST", f"{ENDPOINT}/token")


def test_mirrored_traffic_goes_only_to_a_deployment_without_live_traffic(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        found.deploy("blue")
        with pytest.raises(AzureError, match="'blue' cannot get mirrored traffic while it gets live traffic"):
            found.send({"blue": 100}, mirrorTraffic={"blue": 10})


def test_a_deployment_with_traffic_cannot_be_deleted(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        found.deploy("blue")
        found.send({"blue": 100})
        with pytest.raises(AzureError, match="Cannot delete deployment 'blue' of endpoint 'score': 100 %"):
            local.ask("DELETE", BLUE)
        found.deploy("green")
        found.send({"blue": 100}, mirrorTraffic={"green": 10})
        with pytest.raises(AzureError, match="10 % of its mirrorTraffic goes there"):
            local.ask("DELETE", f"{ENDPOINT}/deployments/green")
        found.send({"blue": 0, "green": 100})
        local.ask("DELETE", BLUE)
        assert local.ask("GET", ENDPOINT)["properties"]["traffic"] == {"green": 100}


def test_an_endpoint_takes_its_deployments_along_whatever_their_traffic(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        found.deploy("blue")
        found.send({"blue": 100})
        local.ask("DELETE", ENDPOINT)
        with pytest.raises(AzureError, match="was not found"):
            local.ask("GET", BLUE)
        assert not found.fleet.pools


def test_a_deployment_gets_azures_defaults(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        made = found.deploy("blue", requestSettings=None, livenessProbe={"period": "PT20S"})
        given = made["properties"]
        assert given["requestSettings"]["maxConcurrentRequestsPerInstance"] == 1
        assert given["requestSettings"]["requestTimeout"] == "PT5S"
        assert given["livenessProbe"]["period"] == "PT20S"
        assert given["livenessProbe"]["failureThreshold"] == 30
        assert made["sku"] == {"name": "Default", "tier": "Standard", "capacity": 1}
        assert given["provisioningState"] == "Succeeded"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"endpointComputeType": "AKS"},
            "endpointComputeType 'AKS' of deployment 'blue' is none of Managed, Kubernetes",
        ),
        ({"instanceType": "Standard_DS3"}, "instanceType 'Standard_DS3' of deployment 'blue' is not supported"),
        ({"environmentId": None}, "lacks 'environmentId'"),
        ({"environmentId": f"/{ENVIRONMENT}/versions/9"}, "versions/9' of deployment 'blue' was not found"),
        ({"environmentVariables": {"A": 1}}, "environmentVariables of deployment 'blue' must all be texts"),
        ({"requestSettings": {"requestTimeout": "90s"}}, "'90s' is not an ISO 8601 duration"),
        ({"requestSettings": {"requestTimeout": "PT181S"}}, "is not within PT0S and PT3M"),
        ({"requestSettings": {"maxConcurrentRequestsPerInstance": 0}}, "'0' is not a whole number of at least 1"),
        ({"livenessProbe": {"failureThreshold": 0}}, "livenessProbe.failureThreshold '0'"),
        ({"readinessProbe": {"period": "PT0S"}}, "readinessProbe.period 'PT0S' is less than PT1S"),
        ({"egressPublicNetworkAccess": "Off"}, "egressPublicNetworkAccess 'Off'"),
        ({"model": "azureml:iris:1"}, "model 'azureml:iris:1' of deployment 'blue' was not found"),
    ],
)
def test_a_wrong_deployment_is_refused_by_the_fields_name(
    local: InProcessAzure, change: dict[str, Any], said: str
) -> None:
    with scene(local, listen=False) as found, pytest.raises(AzureError, match=said):
        found.deploy("blue", **change)


@pytest.mark.parametrize("capacity", [0, 1.5, "2"])
def test_a_deployments_capacity_is_a_whole_number(local: InProcessAzure, capacity: object) -> None:
    with scene(local, listen=False), pytest.raises(AzureError, match="is not a whole number of at least 1"):
        local.ask("PUT", BLUE, {**deployment_body(local), "sku": {"name": "Default", "capacity": capacity}})


def test_a_deployment_stands_where_its_endpoint_stands(local: InProcessAzure) -> None:
    with scene(local, listen=False), pytest.raises(AzureError, match="give both the same"):
        local.ask("PUT", BLUE, {**deployment_body(local), "location": "northeurope"})


def test_a_failed_first_provisioning_is_unrecoverable_and_gets_no_traffic(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        local.azure.fault("deployment-fails", "blue")
        with pytest.raises(AzureError, match="ResourceNotReady"):
            found.deploy("blue")
        local.azure.fault("deployment-fails", None)
        assert local.ask("GET", BLUE)["properties"]["provisioningState"] == "Failed"
        with pytest.raises(AzureError, match=r"unrecoverable state\. Delete and re-create\."):
            found.deploy("blue")
        with pytest.raises(AzureError, match="only one that has succeeded can get traffic"):
            found.send({"blue": 100})
        local.ask("DELETE", BLUE)
        assert found.deploy("blue")["properties"]["provisioningState"] == "Succeeded"


def test_a_failed_update_can_be_repeated_and_keeps_its_traffic(
    local: InProcessAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(local, listen=False) as found:
        found.deploy("blue")
        found.send({"blue": 100})

        def crash(key: str, spec: ServingSpec, **_: bool) -> None:
            raise CrashError(f"User container has crashed ({key} {spec.image})", "")

        with monkeypatch.context() as patched:
            patched.setattr(found.fleet, "deploy", crash)
            with pytest.raises(
                AzureError, match="ResourceNotReady: Deployment 'blue' of endpoint 'score': User contai"
            ):
                found.deploy("blue", environmentVariables={"A": "1"})
        assert local.ask("GET", BLUE)["properties"]["provisioningState"] == "Failed"
        found.send({"blue": 100})
        assert found.deploy("blue")["properties"]["provisioningState"] == "Succeeded"


@pytest.mark.parametrize(
    ("text", "expected"), [("PT5S", 5), ("PT0.5S", 0.5), ("PT1M30S", 90), ("PT3M", 180), ("P1DT1H", 90000)]
)
def test_durations_are_iso_8601(text: str, expected: float) -> None:
    assert seconds(text, "x") == expected


@pytest.mark.parametrize("text", ["5", "5S", "P", "PT", "PTS", "PT5", "-PT5S"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(AzureError, match="is not an ISO 8601 duration"):
        seconds(text, "x")


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("shop.azurecr.io/a/b:1", "shop.azurecr.io"),
        ("localhost:5000/a@sha256:0", "localhost:5000"),
        ("python:3.11", "docker.io"),
        ("team/scorer", "docker.io"),
    ],
)
def test_an_images_registry_is_read_as_docker_reads_it(image: str, host: str) -> None:
    assert registry_host(image) == host


def test_the_common_instance_types_are_known() -> None:
    assert {"Standard_DS3_v2", "Standard_F4s_v2", "Standard_NC24ads_A100_v4"} <= {size.name for size in SIZES.values()}


def test_a_docker_engine_that_is_away_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    containers = Containers(tmp_path, lambda _: {}, lambda *_: None)
    with pytest.raises(AzureError, match="DockerEngineUnavailable: The Docker engine does not answer at ") as refused:
        containers.running()
    assert "\n" not in str(refused.value)
    assert refused.value.status == 503
