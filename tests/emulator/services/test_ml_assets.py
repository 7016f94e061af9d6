"""Models, codes and the datastore of a workspace, and where a deployment mounts them."""

import time
from typing import Any

import pytest

from emulator.core.azure import Request
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.services.authorization import types as authorization
from emulator.services.machinelearningservices.assets import data as asset_data
from emulator.services.storage import data as storage_data
from tests.emulator.conftest import InProcessAzure
from tests.ml import WORKSPACE, make_workspace, scene

READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
MODEL = f"{WORKSPACE}/models/iris"
CODE = f"{WORKSPACE}/codes/score"
STORE = f"{WORKSPACE}/datastores/workspaceblobstore"


def put(local: InProcessAzure, path: str, content: bytes = b"x") -> None:
    """Lay a blob into the default datastore, as an upload does."""
    found = local.ask("GET", STORE)["properties"]
    storage_data.blob_path(local.azure, found["accountName"], found["containerName"], path).write_bytes(content)


def uri(path: str) -> str:
    return f"azureml://datastores/workspaceblobstore/paths/{path}"


def body(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"properties": properties}


def test_a_workspace_has_a_datastore_whose_secret_is_the_accounts_key(local: InProcessAzure) -> None:
    make_workspace(local)
    shown = local.ask("GET", STORE)["properties"]
    assert (shown["accountName"], shown["isDefault"]) == ("sttest", True)
    key = local.ask("POST", f"{STORE}/listSecrets")["key"]
    listed = local.ask("POST", "providers/Microsoft.Storage/storageAccounts/sttest/listKeys")["keys"]
    assert key == listed[0]["value"]
    assert key not in str(shown)
    with pytest.raises(AzureError, match="is the workspace's own"):
        local.ask("PUT", STORE, body(datastoreType="AzureBlob"))


def test_an_account_without_keys_gives_none(local: InProcessAzure) -> None:
    make_workspace(local)
    account = "providers/Microsoft.Storage/storageAccounts/sttest"
    local.ask("PATCH", account, {"properties": {"allowSharedKeyAccess": False}})
    assert local.ask("POST", f"{STORE}/listSecrets") == {"secretsType": "None"}


def test_a_model_version_is_immutable_but_for_words_and_archiving(local: InProcessAzure) -> None:
    make_workspace(local)
    given = {"modelUri": uri("LocalUpload/a/model"), "modelType": "mlflow_model"}
    local.ask("PUT", f"{MODEL}/versions/7", body(**given))
    local.ask("PUT", f"{MODEL}/versions/7", body(**given, isArchived=True, tags={"a": "b"}))
    assert local.ask("GET", MODEL)["properties"]["nextVersion"] == "1"
    for change in ({"modelUri": uri("LocalUpload/b/model")}, {"modelType": "custom_model"}):
        with pytest.raises(AzureError, match=r"'iris:7' is already registered with another") as refused:
            local.ask("PUT", f"{MODEL}/versions/7", body(**{**given, **change}))
        assert refused.value.status == 409


@pytest.mark.parametrize(
    ("version", "change", "said"),
    [
        ("a1b2c3", {}, "must be a positive integer"),
        ("0", {}, "must be a positive integer"),
        ("2147483648", {}, "must be a positive integer"),
        ("1", {"modelUri": None}, "needs 'modelUri'"),
        ("1", {"modelUri": "/srv/model"}, "is not like azureml://"),
        ("1", {"modelType": "MLFlowModel"}, "is none of custom_model, mlflow_model, triton_model"),
    ],
)
def test_a_wrong_model_version_is_refused_and_leaves_nothing(
    local: InProcessAzure, version: str, change: dict[str, Any], said: str
) -> None:
    make_workspace(local)
    with pytest.raises(AzureError, match=said):
        local.ask("PUT", f"{MODEL}/versions/{version}", body(**{"modelUri": uri("a"), **change}))
    with pytest.raises(AzureError, match="was not found"):
        local.ask("GET", MODEL)


def test_a_code_version_needs_its_uri_and_keeps_it(local: InProcessAzure) -> None:
    make_workspace(local)
    with pytest.raises(AzureError, match="needs 'codeUri'"):
        local.ask("PUT", f"{CODE}/versions/1", body())
    with pytest.raises(AzureError, match="is neither https"):
        local.ask("PUT", f"{CODE}/versions/1", body(codeUri="app"))
    local.ask("PUT", f"{CODE}/versions/1", body(codeUri="https://sttest/c/app"))
    with pytest.raises(AzureError, match="another 'codeUri'"):
        local.ask("PUT", f"{CODE}/versions/1", body(codeUri="https://sttest/c/other"))


def test_a_pending_upload_comes_before_its_version_and_never_after(local: InProcessAzure) -> None:
    make_workspace(local)
    first = local.ask("POST", f"{CODE}/versions/1/startPendingUpload", {"pendingUploadId": "one"})
    again = local.ask("POST", f"{CODE}/versions/1/startPendingUpload", {"pendingUploadId": "one"})
    place = first["blobReferenceForConsumption"]
    assert place["blobUri"] == again["blobReferenceForConsumption"]["blobUri"]
    assert place["credential"]["credentialType"] == "SAS"
    assert place["credential"]["sasUri"].startswith(f"{place['blobUri']}?")
    assert place["storageAccountArmId"].endswith("/storageAccounts/sttest")
    with pytest.raises(AzureError, match="is none of TemporaryBlobReference, None"):
        local.ask("POST", f"{CODE}/versions/1/startPendingUpload", {"pendingUploadType": "Block"})
    local.ask("PUT", f"{CODE}/versions/1", body(codeUri=f"{place['blobUri']}/app"))
    with pytest.raises(AzureError, match="is registered already"):
        local.ask("POST", f"{CODE}/versions/1/startPendingUpload")
    with pytest.raises(AzureError, match="was not found"):
        local.ask("POST", f"{CODE}/versions/2/anything")


def test_a_pending_upload_needs_the_right(local: InProcessAzure) -> None:
    make_workspace(local)
    path = f"{local.group}/{CODE}/versions/1/startPendingUpload"
    with pytest.raises(AzureError) as refused:
        local.azure.request(Request("POST", path, local.service_principal()))
    assert refused.value.status == 403


def _registered(local: InProcessAzure) -> dict[str, Any]:
    """A model folder and a code folder; what a deployment says of them."""
    put(local, "LocalUpload/h1/model/weights.bin")
    put(local, "LocalUpload/h1/model/deep/notes.txt")
    put(local, "LocalUpload/h2/app/score.py")
    put(local, "LocalUpload/h2/app/serve/main.py")
    local.ask("PUT", f"{MODEL}/versions/3", body(modelUri=uri("LocalUpload/h1/model")))
    local.ask("PUT", f"{CODE}/versions/1", body(codeUri=uri("LocalUpload/h2/app")))
    return {
        "model": f"azureml:{local.group}/{MODEL}/versions/3",
        "codeConfiguration": {"codeId": f"{local.group}/{CODE}/versions/1", "scoringScript": "score.py"},
    }


def test_model_and_code_are_where_azure_mounts_them(local: InProcessAzure) -> None:
    make_workspace(local)
    given = _registered(local)
    found, variables = asset_data.mounts(local.azure, given, "blue")
    assert variables == {
        "AZUREML_MODEL_DIR": "/var/azureml-app/azureml-models/iris/3",
        "AML_APP_ROOT": "/var/azureml-app/app",
        "AZUREML_ENTRY_SCRIPT": "score.py",
    }
    placed = {f"{each.target}/{name}" for each in found for name in asset_data.files(local.azure, each.source)}
    assert placed == {
        "/var/azureml-app/azureml-models/iris/3/model/weights.bin",
        "/var/azureml-app/azureml-models/iris/3/model/deep/notes.txt",
        "/var/azureml-app/app/score.py",
        "/var/azureml-app/app/serve/main.py",
    }


def test_a_mount_path_and_a_script_in_a_folder_move_the_variables(local: InProcessAzure) -> None:
    make_workspace(local)
    given = _registered(local)
    given["codeConfiguration"]["scoringScript"] = "serve/main.py"
    _, variables = asset_data.mounts(local.azure, {**given, "modelMountPath": "/models"}, "blue")
    assert variables == {
        "AZUREML_MODEL_DIR": "/models/iris/3",
        "AML_APP_ROOT": "/var/azureml-app/app/serve",
        "AZUREML_ENTRY_SCRIPT": "main.py",
    }


def test_a_deployment_shows_the_variables_and_its_containers_hold_the_files(local: InProcessAzure) -> None:
    with scene(local, listen=False) as made:
        given = _registered(local)
        shown = made.deploy("blue", **given, environmentVariables={"A": "b"})["properties"]["environmentVariables"]
        assert shown["A"] == "b"
        assert shown["AZUREML_MODEL_DIR"] == "/var/azureml-app/azureml-models/iris/3"
        spec = made.fleet.pools[made.key("blue")].spec
        assert spec.environment == shown
        before = spec.replica_key
        put(local, "LocalUpload/h9/model/weights.bin")
        local.ask("PUT", f"{MODEL}/versions/4", body(modelUri=uri("LocalUpload/h9/model")))
        made.deploy("blue", **{**given, "model": f"{local.group}/{MODEL}/versions/4", "modelMountPath": "/m"})
        assert made.fleet.pools[made.key("blue")].spec.replica_key != before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "azureml:iris:9"}, "model 'azureml:iris:9' of deployment 'blue' was not found"),
        ({"codeConfiguration": {"codeId": "x"}}, "needs 'codeId' and 'scoringScript'"),
        ({"codeConfiguration": {"scoringScript": "score.py", "codeId": "/x"}}, "codeId '/x' of deployment"),
        ({"modelMountPath": "models"}, "is not an absolute path"),
    ],
)
def test_what_a_deployment_cannot_mount_is_refused(local: InProcessAzure, change: dict[str, Any], said: str) -> None:
    with scene(local, listen=False) as made:
        given = {**_registered(local), **change}
        with pytest.raises(AzureError, match=said):
            made.deploy("blue", **given)


def test_a_script_that_is_not_in_the_code_and_a_version_without_files_are_refused(local: InProcessAzure) -> None:
    with scene(local, listen=False) as made:
        given = _registered(local)
        given["codeConfiguration"]["scoringScript"] = "main.py"
        with pytest.raises(AzureError, match=r"'main\.py' of deployment 'blue' is not in its code"):
            made.deploy("blue", **given)
        local.ask("PUT", f"{MODEL}/versions/5", body(modelUri=uri("LocalUpload/none/model")))
        with pytest.raises(AzureError, match="'iris:5' has no files at"):
            made.deploy("blue", model=f"{local.group}/{MODEL}/versions/5")


def test_a_users_identity_must_be_let_into_the_storage_and_the_endpoints_own_is(local: InProcessAzure) -> None:
    with scene(local, listen=False) as made:
        given = _registered(local)
        path = "providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
        identity = local.ask("PUT", path, {"location": "westeurope"})
        owner = {"type": "UserAssigned", "userAssignedIdentities": {identity["id"]: {}}}
        endpoint = f"{WORKSPACE}/onlineEndpoints/score"
        local.ask("PUT", endpoint, {"location": "westeurope", "identity": owner, "properties": {"authMode": "Key"}})
        with pytest.raises(AzureError, match=r"reader.* lacks role 'Storage Blob Data Reader' on storage account"):
            made.deploy("blue", **given)
        account = ResourceId.parse(f"{local.group}/providers/Microsoft.Storage/storageAccounts/sttest")
        authorization.grant(local.azure, identity["properties"]["principalId"], READER, account)
        assert made.deploy("green", **given)["properties"]["provisioningState"] == "Succeeded"


def test_a_model_of_one_file_is_mounted_as_a_file(local: InProcessAzure) -> None:
    make_workspace(local)
    put(local, "LocalUpload/h3/model.pkl", b"pickle")
    local.ask("PUT", f"{MODEL}/versions/1", body(modelUri=uri("LocalUpload/h3/model.pkl")))
    found = asset_data.files(local.azure, f"{local.group}/{MODEL}/versions/1")
    assert {name: path.read_bytes() for name, path in found.items()} == {"model.pkl": b"pickle"}


def test_an_account_takes_what_lies_in_it_along(local: InProcessAzure) -> None:
    make_workspace(local)
    put(local, "a/b")
    local.ask("DELETE", WORKSPACE)
    local.ask("DELETE", "providers/Microsoft.Storage/storageAccounts/sttest")
    assert not list((local.azure.folder / "storage").rglob("*.blob"))


def test_versions_are_listed_newest_first_where_asked_and_without_archived_ones(local: InProcessAzure) -> None:
    make_workspace(local)
    for number in ("2", "10", "1"):
        local.ask("PUT", f"{MODEL}/versions/{number}", body(modelUri=uri("a/model")))
        time.sleep(0.01)
    local.ask("PUT", f"{MODEL}/versions/10", body(modelUri=uri("a/model"), isArchived=True))

    def listed(**query: str) -> list[str]:
        request = Request("GET", f"{local.group}/{MODEL}/versions", local.deployer, {}, query)
        return [each["name"] for each in (local.azure.request(request).body or {})["value"]]

    assert listed(**{"$orderBy": "createdtime desc"}) == ["1", "2"]
    assert listed(**{"$orderBy": "createdtime desc", "$top": "1"}) == ["1"]
    assert sorted(listed(listViewType="All")) == ["1", "10", "2"]
    assert listed(listViewType="ArchivedOnly") == ["10"]
    with pytest.raises(AzureError, match="listViewType 'Some' is none of"):
        listed(listViewType="Some")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("custom_model", "lacks 'environmentId'"),
        (
            "triton_model",
            "NVIDIA's Triton server, which the local Azure does not have",
        ),
        ("mlflow_model", "ImageBuildFailure: .*model 'iris:1'.*an MLflow model has the files MLmodel and conda.yaml"),
    ],
)
def test_without_an_environment_azure_serves_models_of_formats_that_it_knows(
    local: InProcessAzure, kind: str, said: str
) -> None:
    with scene(local, listen=False) as found:
        put(local, "a/model")
        local.ask("PUT", f"{MODEL}/versions/1", body(modelUri=uri("a/model"), modelType=kind))
        with pytest.raises(AzureError, match=said):
            found.deploy("blue", environmentId=None, model=f"{local.group}/{MODEL}/versions/1")


def test_an_azure_ml_registry_is_none_of_the_local_azures(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found, pytest.raises(AzureError, match="has no Azure ML registries"):
        found.deploy("blue", environmentId="azureml://registries/azureml/environments/sklearn-1.5/versions/3")
