"""The gateway before endpoints; servers of the test stand for containers."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from emulator.backends.containers import Replica
from emulator.backends.fleet import DeploymentMetrics, Pool
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.ports import PortInUseError
from emulator.protocols.gateway import Gateway, Shares
from emulator.services.authorization import types as authorization
from emulator.services.graph import access as entra
from emulator.services.machinelearningservices.onlineendpoints.types import serving
from tests.conftest import PATIENCE
from tests.emulator.conftest import InProcessAzure
from tests.ml import ENDPOINT, ENVIRONMENT, WORKSPACE, Model, Scene, scene
from tests.scoring import PORT, until

WRITER = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
DATA_SCIENTIST = "f6c7c914-8db3-469d-8ca1-694a8f32e121"


def _live(found: Scene, *names: str) -> None:
    for name in names:
        found.deploy(name)
    found.send({name: 100 if name == names[0] else 0 for name in names})


@pytest.mark.parametrize("weights", [{"a": 90, "b": 10}, {"a": 1, "b": 99}, {"a": 33, "b": 33, "c": 34}])
def test_a_split_is_exact_over_any_hundred_requests(weights: dict[str, int]) -> None:
    shares = Shares(weights)
    for _ in range(37):
        shares.next()
    assert Counter(shares.next() for _ in range(100)) == Counter(weights)


def test_no_weight_is_nobodys_turn() -> None:
    assert Shares({}).next() is None
    assert Shares({"a": 0}).next() is None


def test_requests_follow_the_split_and_the_header_overrides_it(local: InProcessAzure) -> None:
    with scene(local, Model("blue"), Model("green")) as found:
        _live(found, "blue", "green")
        found.send({"blue": 90, "green": 10})
        key = found.key_value
        samples = [found.score(key) for _ in range(50)]
        assert Counter(answer.headers["azureml-model-deployment"] for answer in samples) == {"blue": 45, "green": 5}
        assert {answer.json()["name"] for answer in samples} == {"blue", "green"}
        chosen = found.score(key, azureml_model_deployment="green")
        assert (chosen.status_code, chosen.json()["name"]) == (200, "green")
        unknown = found.score(key, azureml_model_deployment="red")
        assert unknown.status_code == 404
        assert "Deployment 'red' does not exist in endpoint 'score'" in unknown.text


def test_without_traffic_only_the_header_reaches_a_deployment(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        found.deploy("blue")
        refused = found.score()
        assert refused.status_code == 404
        assert "doesn't have any valid deployment with positive weight" in refused.text
        assert found.score(azureml_model_deployment="blue").status_code == 200


def test_an_empty_traffic_sends_nothing_anywhere(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        _live(found, "blue")
        assert found.score().status_code == 200
        found.send({})
        assert found.score().status_code == 404


def test_a_request_reaches_the_container_as_it_was_sent_but_for_the_key(local: InProcessAzure) -> None:
    model = Model("blue")
    with scene(local, model) as found:
        _live(found, "blue")
        answer = httpx.post(
            found.uri.replace("/score", "/v1/predict?a=b%20c"),
            json={"x": 1},
            headers={
                "Authorization": f"Bearer {found.key_value}",
                "X-Own": "kept",
                "x-ms-client-request-id": "client-1",
                "x-request-id": "not-a-guid",
            },
            trust_env=False,
            timeout=PATIENCE,
        )
        path, headers = model.asked[-1]
        assert path == "/v1/predict?a=b%20c"
        assert headers["x-own"] == "kept"
        assert "authorization" not in headers
        assert headers["x-request-id"] == answer.headers["x-request-id"] != "not-a-guid"
        assert answer.headers["x-ms-client-request-id"] == "client-1"


def test_the_scoring_uri_leads_to_the_environments_scoring_route(local: InProcessAzure) -> None:
    model = Model("blue")
    with scene(local, model) as found:
        routes: dict[str, Any] = {name: {"path": "/", "port": PORT} for name in ("livenessRoute", "readinessRoute")}
        version = {"image": "shop.azurecr.io/team/scorer:1", "inferenceConfig": routes}
        routes["scoringRoute"] = {"path": "/v1/models/iris:predict", "port": PORT}
        local.ask("PUT", f"{ENVIRONMENT}/versions/routed", {"properties": version})
        found.deploy("blue", environmentId=f"{local.group}/{ENVIRONMENT}/versions/routed")
        found.send({"blue": 100})
        assert found.score().status_code == 200
        assert model.asked[-1][0] == "/v1/models/iris:predict"


def test_payloads_are_kept_in_the_workspaces_storage_at_their_rate(local: InProcessAzure) -> None:
    collections = {
        "request": {"dataCollectionMode": "Enabled", "samplingRate": 0.5},
        "response": {"dataCollectionMode": "Enabled"},
        "model_inputs": {"dataCollectionMode": "Enabled"},
    }
    settings = {"collections": collections, "rollingRate": "Year", "requestLogging": {"captureHeaders": ["X-Trace"]}}
    with scene(local, Model("blue")) as found:
        found.deploy("blue", dataCollector=settings)
        found.send({"blue": 100})
        for _ in range(4):
            assert found.score(X_Trace="7").status_code == 200
        until(lambda: (len(_kept(local, "request")), len(_kept(local, "response"))) == (2, 4), "payloads to be kept")
        kept = {name: _kept(local, name) for name in ("request", "response")}
        assert kept["request"][0]["data"] == {"x": 1}
        assert kept["request"][0]["headers"] == {"x-trace": "7"}
        assert kept["response"][0]["data"] == {"name": "blue", "asked": {"x": 1}}
        assert kept["response"][0]["type"] == "azureml.inference.response"
        assert found.key_value not in str(kept)


def test_a_collection_is_stored_where_its_data_asset_says_once_the_endpoint_may_write_there(
    local: InProcessAzure, caplog: pytest.LogCaptureFixture
) -> None:
    with scene(local, Model("blue")) as found:
        store = {"datastoreType": "AzureBlob", "accountName": "sttest", "containerName": "logs"}
        local.ask(
            "PUT",
            f"{WORKSPACE}/datastores/logs",
            {"properties": {**store, "credentials": {"credentialsType": "None"}}},
        )
        asset = f"{WORKSPACE}/data/seen/versions/1"
        folder = {"dataType": "uri_folder", "dataUri": "azureml://datastores/logs/paths/team/seen/"}
        local.ask("PUT", asset, {"properties": folder})
        # In azure-ai-ml's spelling.
        collection = {"dataCollectionMode": "enabled", "dataId": f"{local.group}/{asset}"}
        found.deploy("blue", dataCollector={"collections": {"request": collection}, "rollingRate": "year"})
        found.send({"blue": 100})
        found.score()
        until(lambda: "lacks role 'Storage Blob Data Contributor'" in caplog.text, "the refusal")
        account = f"{local.group}/providers/Microsoft.Storage/storageAccounts/sttest"
        principal = local.ask("GET", ENDPOINT)["identity"]["principalId"]
        container = ResourceId.parse(f"{account}/blobServices/default/containers/logs")
        authorization.grant(local.azure, principal, WRITER, container)
        found.score()
        pattern = "sttest/logs/team/seen/2*/local.jsonl*"
        until(lambda: len(list((local.azure.folder / "storage").glob(pattern))) == 1, "the payload")
        missing = {**collection, "dataId": f"{local.group}/{WORKSPACE}/data/none/versions/1"}
        with pytest.raises(AzureError, match=r"dataId '.*none/versions/1' of deployment 'blue' was not found"):
            found.deploy("blue", dataCollector={"collections": {"request": missing}})


def _kept(local: InProcessAzure, collection: str) -> list[dict[str, Any]]:
    files = (local.azure.folder / "storage").rglob(f"score/blue/{collection}/*/local.jsonl*")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_every_deployment_is_told_with_its_state_traffic_and_counts(local: InProcessAzure) -> None:
    with scene(local, Model("blue"), Model("green", status=500)) as found:
        _live(found, "blue", "green")
        found.send({"blue": 100}, mirrorTraffic={"green": 10})
        found.score()
        found.score(azureml_model_deployment="green")
        told = {each["deployment"]: each for each in serving(local.azure)}
        assert {name: (each["traffic"], each["mirror"]) for name, each in told.items()} == {
            "blue": (100, 0),
            "green": (0, 10),
        }
        assert {name: (each["requests"], each["failures"]) for name, each in told.items()} == {
            "blue": (1, 0),
            "green": (1, 1),
        }
        assert {(each["kind"], each["state"], each["instances"], each["ready"]) for each in told.values()} == {
            ("Managed", "Succeeded", 1, 1)
        }


def test_both_keys_open_and_a_renewed_one_no_more(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        _live(found, "blue")
        keys = local.ask("POST", f"{ENDPOINT}/listKeys")
        assert [found.score(key).status_code for key in keys.values()] == [200, 200]
        assert found.score("wrong").status_code == 401
        bare = httpx.post(found.uri, json={}, trust_env=False, timeout=PATIENCE)
        assert bare.status_code == 401
        local.ask("POST", f"{ENDPOINT}/regenerateKeys", {"keyType": "Primary"})
        assert found.score(keys["primaryKey"]).status_code == 401
        assert found.score(keys["secondaryKey"]).status_code == 200
        assert found.score().status_code == 200


def test_an_aml_token_opens_only_where_it_was_issued(local: InProcessAzure) -> None:
    with scene(local, Model("blue"), authMode="AMLToken") as found:
        found.deploy("blue")
        found.send({"blue": 100}, authMode="AMLToken")
        told = local.ask("POST", f"{ENDPOINT}/token")
        assert told["tokenType"] == "Bearer"
        assert told["expiryTimeUtc"] > told["refreshAfterTimeUtc"]
        assert found.score(told["accessToken"]).status_code == 200
        assert found.score(told["accessToken"][:-2] + "xx").status_code == 401
        body = {"location": "westeurope", "properties": {"authMode": "AMLToken"}}
        other = ENDPOINT.replace("/score", "/other")
        local.ask("PUT", other, body)
        assert found.score(local.ask("POST", f"{other}/token")["accessToken"]).status_code == 401


def test_an_entra_token_needs_the_right_audience_and_a_role(local: InProcessAzure) -> None:
    with scene(local, Model("blue"), authMode="AADToken") as found:
        found.deploy("blue")
        found.send({"blue": 100}, authMode="AADToken")
        principal = local.service_principal()
        token = entra.issue_token(local.azure, principal, "https://ml.azure.com")
        assert found.score("no-token").status_code == 401
        assert found.score(entra.issue_token(local.azure, principal, "https://vault.azure.net")).status_code == 401
        refused = found.score(token)
        assert refused.status_code == 403
        assert "onlineEndpoints/score/action" in refused.text
        scope = ResourceId.parse(f"{local.group}/{ENDPOINT}")
        authorization.grant(local.azure, principal.object_id, DATA_SCIENTIST, scope)
        assert found.score(token).status_code == 200


def test_a_private_endpoint_refuses_everybody(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        found.deploy("blue")
        found.send({"blue": 100}, publicNetworkAccess="Disabled")
        refused = found.score()
        assert refused.status_code == 403
        assert "Public network access is disabled" in refused.text


def test_a_failure_of_the_model_is_424_with_its_own_status_beside(local: InProcessAzure) -> None:
    with scene(local, Model("blue", status=500)) as found:
        _live(found, "blue")
        answer = found.score()
        assert answer.status_code == 424
        assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
        assert answer.headers["azureml-model-deployment"] == "blue"
        assert answer.json()["name"] == "blue"


def test_a_request_that_takes_too_long_is_408(local: InProcessAzure) -> None:
    held = threading.Event()
    with scene(local, Model("blue", hold=held)) as found:
        found.deploy("blue", requestSettings={"requestTimeout": "PT1S"})
        found.send({"blue": 100})
        answer = found.score()
        held.set()
        assert answer.status_code == 408
        assert answer.headers["azureml-model-deployment"] == "blue"


def test_more_than_twice_the_concurrency_is_429(local: InProcessAzure) -> None:
    model = Model("blue", hold=threading.Event())
    assert model.hold is not None
    with scene(local, model) as found, ThreadPoolExecutor() as pool:
        found.deploy("blue", requestSettings={"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT3M"})
        found.send({"blue": 100})
        key = found.key_value
        inside = [pool.submit(found.score, key) for _ in range(2)]
        for _ in inside:
            assert model.entered.acquire(timeout=PATIENCE)
        assert found.score(key).status_code == 429
        model.hold.set()
        assert [each.result().status_code for each in inside] == [200, 200]
        assert found.score(key).status_code == 200


def test_a_deployment_without_a_ready_container_is_503(local: InProcessAzure) -> None:
    with scene(local) as found:
        _live(found, "blue")
        assert found.score().status_code == 503


def test_a_container_that_cannot_be_reached_is_passed_over(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        _live(found, "blue")
        pool = found.fleet.pools[found.key("blue")]
        dead = Replica("dead", {PORT: 1}, ready=True)
        found.fleet.pools[found.key("blue")] = Pool(pool.spec, [dead, *pool.replicas])
        threading.Timer(0.2, lambda: setattr(dead, "ready", False)).start()
        assert found.score().status_code == 200


def test_mirrored_requests_are_copies_whose_answers_nobody_waits_for(local: InProcessAzure) -> None:
    shadow = Model("green", hold=threading.Event())
    assert shadow.hold is not None
    with scene(local, Model("blue"), shadow) as found:
        _live(found, "blue", "green")
        found.send({"blue": 100}, mirrorTraffic={"green": 50})
        key = found.key_value
        samples = [found.score(key) for _ in range(10)]
        assert {answer.json()["name"] for answer in samples} == {"blue"}
        until(lambda: len(shadow.asked) == 5, "five copies")
        shadow.hold.set()
        until(
            lambda: found.fleet.metrics.get(found.key("green"), DeploymentMetrics()).requests == 5,
            "the copies to be counted",
        )
        found.score(key, azureml_model_deployment="blue")
        assert found.fleet.metrics[found.key("green")].requests == 5


def test_requests_inside_get_their_answer_while_a_deployment_is_replaced(local: InProcessAzure) -> None:
    model = Model("blue", hold=threading.Event())
    assert model.hold is not None
    with scene(local, model) as found, ThreadPoolExecutor() as pool:
        _live(found, "blue")
        key = found.key_value
        inside = pool.submit(found.score, key)
        assert model.entered.acquire(timeout=PATIENCE)
        before = found.fleet.pools[found.key("blue")]
        change = pool.submit(found.deploy, "blue", environmentVariables={"A": "1"})
        until(lambda: found.fleet.pools[found.key("blue")] is not before, "the new pool to take over")
        assert not change.done()
        model.hold.set()
        assert inside.result().status_code == 200
        change.result(PATIENCE)


def test_a_stream_of_requests_never_fails_while_traffic_moves_and_the_old_deployment_goes(
    local: InProcessAzure,
) -> None:
    with scene(local, Model("blue"), Model("green")) as found, ThreadPoolExecutor() as pool:
        _live(found, "blue")
        key, ended = found.key_value, threading.Event()

        def poll() -> list[int]:
            seen = []
            while not ended.is_set():
                seen.append(found.score(key).status_code)
            return seen

        polling = [pool.submit(poll) for _ in range(2)]
        found.deploy("green")
        found.send({"blue": 50, "green": 50})
        found.send({"blue": 0, "green": 100})
        local.ask("DELETE", f"{ENDPOINT}/deployments/blue")
        assert found.score(key).json()["name"] == "green"
        ended.set()
        assert {status for each in polling for status in each.result(PATIENCE)} == {200}
        assert local.ask("GET", ENDPOINT)["properties"]["traffic"] == {"green": 100}


def test_the_fault_scoring_fails_breaks_one_deployment(local: InProcessAzure) -> None:
    with scene(local, Model("blue"), Model("green")) as found:
        _live(found, "blue", "green")
        local.azure.fault("scoring-fails", "green")
        assert found.score(azureml_model_deployment="green").status_code == 424
        assert found.score(azureml_model_deployment="blue").status_code == 200


def test_each_endpoint_has_a_port_of_its_own_and_gives_it_back(local: InProcessAzure) -> None:
    with scene(local) as found:
        other = ENDPOINT.replace("/score", "/other")
        made = local.ask("PUT", other, {"location": "westeurope", "properties": {"authMode": "Key"}})
        uri = made["properties"]["scoringUri"]
        assert uri != found.uri
        assert httpx.post(uri, trust_env=False, timeout=PATIENCE).status_code == 401
        local.ask("DELETE", other)
        with pytest.raises(httpx.ConnectError):
            httpx.post(uri, trust_env=False, timeout=PATIENCE)


def test_a_restart_listens_at_the_same_port_and_says_so_when_it_is_taken(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        port = int(found.uri.rsplit(":", 1)[1].split("/")[0])
        gateway = Gateway(local.azure)
        gateway.start()
        assert httpx.post(found.uri, trust_env=False, timeout=PATIENCE).status_code == 401
        with pytest.raises(PortInUseError, match=str(port)):
            Gateway(local.azure).start()
        gateway.stop()


def test_answers_are_counted_by_deployment(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        _live(found, "blue")
        for _ in range(3):
            found.score()
        told = found.fleet.metrics[found.key("blue")].body
        assert (told["requests"], told["failures"]) == (3, 0)
        assert told["latencyMilliseconds"]["p50"] > 0
