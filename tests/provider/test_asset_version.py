"""Claims about versions of models and code, against a scripted Azure with a storage account."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from azure.core.exceptions import ServiceRequestError
from azureml_scoring.plan.content import asset_files, asset_key
from azureml_scoring.provider import blobs
from azureml_scoring.provider.asset_version import CodeVersion, DataVersion, ModelVersion
from azureml_scoring.provider.blobs import container_sas
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.values import Properties

from tests.provider.fake_azure import GROUP, WORKSPACE, Answer, FakeAzure, Sent

MODEL = f"{WORKSPACE}/models/iris/versions/7"
CODE = f"{WORKSPACE}/codes/app/versions/abc"
STORE = f"{WORKSPACE}/datastores/workspaceblobstore"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/files"
SHORT = WORKSPACE.replace("/providers/Microsoft.MachineLearningServices", "")
KEY = "a2V5" * 16


@dataclass
class Storage:
    """A workspace's storage: what was put there, and the last query."""

    azure: FakeAzure
    blobs: dict[str, bytes] = field(default_factory=dict)
    secret: dict[str, Any] = field(default_factory=lambda: {"secretsType": "AccountKey", "key": KEY})
    query: str = ""

    def __post_init__(self) -> None:
        documents = self.azure.documents
        documents[WORKSPACE] = {"properties": {"storageAccount": ACCOUNT}}
        documents[ACCOUNT] = {"properties": {"primaryEndpoints": {"blob": "https://files.test/"}}}
        documents[STORE] = {"properties": {"accountName": "files", "containerName": "azureml"}}
        self.azure.on("POST", "/datastores/workspaceblobstore/listSecrets", lambda _: (200, {}, self.secret))
        self.azure.on("POST", "/startPendingUpload", self.pending)
        self.azure.on("PUT", "files.test", self.put)

    def pending(self, sent: Sent) -> Answer:
        url = f"https://files.test/{sent.body['pendingUploadId'][:8]}"
        reference = {"blobUri": url, "credential": {"credentialType": "SAS", "sasUri": f"{url}?sig=hush"}}
        return 200, {}, {"blobReferenceForConsumption": reference}

    def put(self, sent: Sent) -> Answer:
        self.query = sent.url.partition("?")[2]
        content = sent.body if isinstance(sent.body, bytes) else str(sent.body).encode()
        self.blobs[unquote(sent.path)] = content
        return 201, {}, None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    (app / "deep").mkdir(parents=True)
    (app / "score.py").write_text("def init(): ...")
    (app / "deep" / "a b.txt").write_text("words")
    return app


def model(folder: Path, **more: object) -> Properties:
    key = asset_key(folder, asset_files(folder))
    values = {"workspaceId": WORKSPACE, "assetName": "iris", "version": "7", "contentKey": key, "path": str(folder)}
    return ModelVersion().check({**values, **more}).inputs


def code(folder: Path, **more: object) -> Properties:
    return {**model(folder), "assetName": "app", "version": "abc", **more} | {"modelType": None}


def test_a_model_is_uploaded_into_the_default_datastore_and_registered(folder: Path) -> None:
    storage = Storage(azure := FakeAzure())
    inputs = model(folder, modelType="mlflow_model", tags={"a": "b"})
    resource_id, state = ModelVersion().create(azure.context(), inputs)
    assert resource_id == MODEL
    assert state == inputs
    folder_path = f"LocalUpload/{inputs['contentKey']}"
    assert storage.blobs == {
        f"/azureml/{folder_path}/app/deep/a b.txt": b"words",
        f"/azureml/{folder_path}/app/score.py": b"def init(): ...",
    }
    assert azure.documents[MODEL]["properties"] == {
        "modelUri": f"azureml:/{SHORT}/datastores/workspaceblobstore/paths/{folder_path}/app",
        "modelType": "mlflow_model",
        "isArchived": False,
        "tags": {"a": "b"},
        "properties": {"contentKey": inputs["contentKey"]},
    }
    assert any("2 files, 0.0 MB" in line for line in azure.logged)


def test_code_goes_where_azure_opens_a_place_for_it(folder: Path) -> None:
    storage = Storage(azure := FakeAzure())
    inputs = {name: value for name, value in code(folder).items() if value is not None}
    resource_id, _ = CodeVersion().create(azure.context(), inputs)
    assert resource_id == CODE
    url = f"https://files.test/{inputs['contentKey'][:8]}"
    assert azure.documents[CODE]["properties"]["codeUri"] == f"{url}/app"
    assert f"/{inputs['contentKey'][:8]}/app/score.py" in storage.blobs
    assert storage.query == "sig=hush"
    pending = azure.of("POST", "startPendingUpload")[0]
    assert pending.body["pendingUploadType"] == "TemporaryBlobReference"


@pytest.mark.parametrize("workspace", ["", f"{SHORT.removeprefix('/')}/"])
def test_a_folder_of_a_datastore_is_registered_with_its_workspace_and_nothing_is_uploaded(workspace: str) -> None:
    azure, path = FakeAzure(), f"azureml://{workspace}datastores/logs/paths/seen"
    inputs = DataVersion().check(
        {"workspaceId": WORKSPACE, "assetName": "seen", "version": "abc", "contentKey": "a" * 64, "path": path}
    )
    resource_id, state = DataVersion().create(azure.context(), inputs.inputs)
    assert resource_id == f"{WORKSPACE}/data/seen/versions/abc"
    assert azure.documents[resource_id]["properties"] == {
        "dataUri": f"azureml:/{SHORT}/datastores/logs/paths/seen",
        "dataType": "uri_folder",
        "isArchived": False,
        "tags": {},
        "properties": {"contentKey": "a" * 64},
    }
    read = DataVersion().read(azure.context(), resource_id, state, inputs.inputs)
    assert read is not None
    assert not DataVersion().diff("", read.state, inputs.inputs).changed
    assert [each.method for each in azure.sent if each.method != "GET"] == ["PUT"]


def test_the_same_content_is_adopted_without_an_upload_or_a_write(folder: Path) -> None:
    storage = Storage(azure := FakeAzure())
    ModelVersion().create(azure.context(), model(folder))
    storage.blobs.clear()
    azure.sent.clear()
    ModelVersion().create(azure.context(), model(folder))
    assert azure.count("PUT") == 0
    assert storage.blobs == {}


def test_an_archived_version_comes_back_without_an_upload(folder: Path) -> None:
    storage = Storage(azure := FakeAzure())
    resource_id, state = ModelVersion().create(azure.context(), model(folder))
    ModelVersion().delete(azure.context(), resource_id, state)
    assert azure.documents[MODEL]["properties"]["isArchived"]
    assert ModelVersion().read(azure.context(), resource_id, state, state) is None
    storage.blobs.clear()
    ModelVersion().create(azure.context(), model(folder))
    assert not azure.documents[MODEL]["properties"]["isArchived"]
    assert azure.documents[MODEL]["properties"]["modelUri"].endswith("/app")
    assert storage.blobs == {}


def test_another_content_under_the_same_version_is_refused(folder: Path) -> None:
    Storage(azure := FakeAzure())
    ModelVersion().create(azure.context(), model(folder))
    (folder / "score.py").write_text("changed")
    with pytest.raises(ResourceError, match=r"model iris:7 exists with other content"):
        ModelVersion().create(azure.context(), model(folder))


def test_files_that_change_during_the_run_are_refused(folder: Path) -> None:
    Storage(azure := FakeAzure())
    inputs = model(folder)
    (folder / "score.py").write_text("changed")
    with pytest.raises(ResourceError, match="the files have changed since the run began"):
        ModelVersion().create(azure.context(), inputs)
    assert azure.count("PUT") == 0


def test_a_datastore_without_a_key_is_one_line_with_the_way_out(folder: Path) -> None:
    storage = Storage(azure := FakeAzure())
    storage.secret = {"secretsType": "None"}
    with pytest.raises(ResourceError, match=r"hands out no account key.*az ml model create"):
        ModelVersion().create(azure.context(), model(folder))


def test_a_refused_upload_names_the_file_and_hides_the_signature(folder: Path) -> None:
    Storage(azure := FakeAzure())
    azure.on("PUT", "files.test", lambda _: (403, {}, {"error": "AuthenticationFailed"}))
    with pytest.raises(
        ResourceError, match=r"the upload of model iris:7 \(app/deep/a b\.txt\) was refused: HTTP 403"
    ) as caught:
        ModelVersion().create(azure.context(), model(folder))
    assert "sig=" not in str(caught.value)


def test_a_storage_that_does_not_answer_is_one_line_without_the_signature(folder: Path) -> None:
    Storage(azure := FakeAzure())

    def refuse(sent: Sent) -> Answer:
        raise ServiceRequestError(f"HTTPSConnectionPool({sent.url}): [Errno 111] Connection refused")

    azure.on("PUT", "files.test", refuse)
    with pytest.raises(ResourceError, match=r"^files\.test does not answer .*: connection refused") as caught:
        ModelVersion().create(azure.context(), model(folder))
    assert "sig=" not in str(caught.value)


def test_a_moved_folder_is_no_change_and_other_content_is_a_new_version(folder: Path) -> None:
    olds = model(folder)
    assert not ModelVersion().diff(MODEL, olds, {**olds, "path": "/elsewhere/app"}).changed
    other = ModelVersion().diff(MODEL, olds, {**olds, "contentKey": "0" * 64, "version": "8"})
    assert other.replaces == {"contentKey", "version"}
    assert ModelVersion().diff(MODEL, olds, {**olds, "tags": {"a": "b"}}).replaces == frozenset()


def test_tags_change_in_place_and_keep_the_rest(folder: Path) -> None:
    Storage(azure := FakeAzure())
    resource_id, state = ModelVersion().create(azure.context(), model(folder))
    before = azure.documents[MODEL]["properties"]["modelUri"]
    ModelVersion().update(azure.context(), resource_id, state, model(folder, tags={"a": "b"}))
    properties = azure.documents[MODEL]["properties"]
    assert (properties["tags"], properties["modelUri"]) == ({"a": "b"}, before)
    result = ModelVersion().read(azure.context(), resource_id, state, state)
    assert result is not None
    assert result.state["contentKey"] == state["contentKey"]


def test_a_big_file_travels_in_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "BLOCK_SIZE", 1000)
    (folder / "large.bin").write_bytes(b"x" * 3500)
    Storage(azure := FakeAzure())
    ModelVersion().create(azure.context(), model(folder))
    assert len(azure.of("PUT", "large.bin.*comp=block&")) == 4
    assert len(azure.of("PUT", "large.bin.*comp=blocklist")) == 1


@pytest.mark.parametrize("version", ["0", "abc", "1.0"])
def test_a_models_version_must_be_a_whole_number(folder: Path, version: str) -> None:
    failures = ModelVersion().check({**model(folder), "version": version}).failures
    assert failures[0].property == "version"


def test_the_signed_query_lets_its_holder_write_to_one_container_for_half_a_day_by_https_only() -> None:
    query = dict(parse_qsl(container_sas("sttest", "models", KEY)))
    assert (query["sp"], query["sr"], query["spr"]) == ("cw", "c", "https")
    left = datetime.fromisoformat(query["se"]) - datetime.now(UTC)
    assert timedelta(hours=11) < left <= timedelta(hours=12)
