"""ModelVersion, CodeVersion and DataVersion: immutable versions of a workspace's models, codes and data.

Owns: the upload of models and code from this machine, creating or adopting the version, and archiving it. Refuses to
own: which files there are and their key (`azureml_scoring.plan.content`), the names (`azureml_scoring.assets`), and
deleting the files: they stay in the workspace's storage.

Files go where Azure's own tools put them: a model's into the workspace's default datastore, with the account key that
the datastore gives; code into a container that `startPendingUpload` opens. A version that exists with the same content
key is adopted without an upload.

ARM: Microsoft.MachineLearningServices/workspaces/{models,codes,data}/versions, .../datastores.
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-with-rest
https://learn.microsoft.com/rest/api/azureml/model-versions, https://learn.microsoft.com/rest/api/azureml/code-versions
https://learn.microsoft.com/rest/api/azureml/data-versions
"""

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from azureml_scoring.plan.content import asset_files, asset_key
from azureml_scoring.provider.arm import LOG_INTERVAL, ML_API, ArmError
from azureml_scoring.provider.blobs import container_sas, upload_blob
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import kept_tags
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.provider.version_use import keeps_version
from azureml_scoring.settings.arguments import AssetVersionArgs, CodeVersionArgs, DataVersionArgs, ModelVersionArgs

STORAGE_API = "2023-05-01"
"""Microsoft.Storage/storageAccounts: read for its blob endpoint."""
DATASTORE = "workspaceblobstore"
"""The datastore that every workspace has."""
KEY_PROPERTY = "contentKey"
"""Property of a version with the hash of its files."""
WRITABLE = frozenset(
    {"description", "tags", "properties", "modelUri", "modelType", "codeUri", "flavors", "jobName", "isAnonymous"}
    | {"dataUri", "dataType"}
)
"""Properties of a version that a PUT repeats."""


class AssetVersionOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


InputsT = TypeVar("InputsT", bound=AssetVersionArgs)


class AssetVersion(Resource[InputsT]):
    """A version of any kind."""

    outputs = AssetVersionOutputs
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"path"})
    uri: ClassVar[str]
    """Property with the URI of the files."""

    def _create(self, context: Context, inputs: InputsT) -> tuple[str, Outputs]:
        existing = context.arm.get(inputs.arm_id, ML_API)
        if existing is None:
            uri = self._upload(context, inputs)
            context.arm.put(inputs.arm_id, ML_API, {"properties": {**self._content(inputs), self.uri: uri}})
            return inputs.arm_id, AssetVersionOutputs()
        properties = existing["properties"]
        if (properties.get("properties") or {}).get(KEY_PROPERTY) != inputs.content_key:
            msg = f"{inputs.title} exists with other content; a version cannot change: choose another name or version"
            raise ResourceError(msg)
        context.log(f"adopting {inputs.title}: it is the same")
        if properties.get("isArchived") or (properties.get("tags") or {}) != (inputs.tags or {}):
            self._rewrite(context, inputs.arm_id, properties, inputs)
        return inputs.arm_id, AssetVersionOutputs()

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: InputsT) -> Outputs:
        """Only tags are updated: every other change is a new version."""
        del olds
        existing = context.arm.get(resource_id, ML_API)
        if existing is None:
            self._create(context, inputs)
        else:
            self._rewrite(context, resource_id, existing["properties"], inputs)
        return AssetVersionOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        document = context.arm.get(resource_id, ML_API)
        if document is None or document["properties"].get("isArchived"):
            return None
        properties = document["properties"]
        asset_id, _, version = resource_id.rpartition("/versions/")
        workspace_id, _, asset_name = asset_id.rpartition(f"/{self.inputs.kind}/")
        current = {
            "workspaceId": workspace_id,
            "assetName": asset_name,
            "version": version,
            "contentKey": (properties.get("properties") or {}).get(KEY_PROPERTY),
            "path": olds.get("path", ""),
            "modelType": properties.get("modelType"),
            **(kept_tags(olds, properties.get("tags")) if olds else {"tags": properties.get("tags") or None}),
        }
        state = {**olds, **{key: value for key, value in current.items() if value is not None}}
        return ReadResult(resource_id, state, {**inputs, **state})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Archive it, unless a deployment runs it: its number is never used again."""
        del olds
        document = context.arm.get(resource_id, ML_API)
        if document is None or document["properties"].get("isArchived") or keeps_version(context, resource_id):
            return
        properties = {**_writable(document["properties"]), "isArchived": True}
        try:
            context.arm.put(resource_id, ML_API, {"properties": properties})
        except ArmError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def _destination(self, context: Context, inputs: InputsT) -> tuple[str, str, str]:
        """Return where to upload: a folder's URL, the query that signs it, and the folder's URI for Azure ML."""
        raise NotImplementedError

    def _content(self, inputs: InputsT) -> dict[str, Any]:
        return {"isArchived": False, "tags": inputs.tags or {}, "properties": {KEY_PROPERTY: inputs.content_key}}

    def _rewrite(self, context: Context, resource_id: str, properties: dict[str, Any], inputs: InputsT) -> None:
        body = {**_writable(properties), "isArchived": False, "tags": inputs.tags or {}}
        context.arm.put(resource_id, ML_API, {"properties": body})

    def _upload(self, context: Context, inputs: InputsT) -> str:
        """Upload every file; return the URI of their folder, or of the one file."""
        files = asset_files(Path(inputs.path))
        if asset_key(Path(inputs.path), files) != inputs.content_key:
            msg = f"{inputs.path}: the files have changed since the run began; run up again"
            raise ResourceError(msg)
        url, query, uri = self._destination(context, inputs)
        total = sum(path.stat().st_size for path in files.values())
        context.progress(f"uploading {inputs.title}: {len(files)} files, {total / 1e6:.1f} MB")
        uploaded, logged = 0, context.arm.clock()
        for name, path in files.items():
            with path.open("rb") as stream:
                upload_blob(context.arm, f"{url}/{quote(name)}?{query}", stream, f"{inputs.title} ({name})")
            uploaded += path.stat().st_size
            if context.arm.clock() - logged >= LOG_INTERVAL:
                logged = context.arm.clock()
                context.progress(f"uploading {inputs.title}: {uploaded / 1e6:.1f} of {total / 1e6:.1f} MB")
        return f"{uri}/{Path(inputs.path).resolve().name}"


class ModelVersion(AssetVersion[ModelVersionArgs]):
    """An immutable version of a model, uploaded into the workspace's default datastore."""

    name = "ModelVersion"
    inputs = ModelVersionArgs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "assetName", "version", "contentKey", "modelType"})
    uri = "modelUri"

    def _content(self, inputs: ModelVersionArgs) -> dict[str, Any]:
        return {**super()._content(inputs), "modelType": inputs.model_type}

    def _destination(self, context: Context, inputs: ModelVersionArgs) -> tuple[str, str, str]:
        datastore = f"{inputs.workspace_id}/datastores/{DATASTORE}"
        properties = (context.arm.get(datastore, ML_API) or {}).get("properties") or {}
        key = context.arm.post(f"{datastore}/listSecrets", ML_API).get("key")
        if not key:
            msg = (
                f"datastore {DATASTORE} hands out no account key, so {inputs.title} cannot be uploaded; register the "
                "model by `az ml model create` and write model.reference: azureml:NAME:VERSION"
            )
            raise ResourceError(msg)
        account, container = str(properties["accountName"]), str(properties["containerName"])
        folder = f"LocalUpload/{inputs.content_key}"
        return (
            f"{_blob_endpoint(context, inputs.workspace_id)}/{container}/{folder}",
            container_sas(account, container, str(key)),
            f"{_workspace_uri(datastore)}/paths/{folder}",
        )


class CodeVersion(AssetVersion[CodeVersionArgs]):
    """An immutable version of code, uploaded where Azure ML opens a place for it."""

    name = "CodeVersion"
    inputs = CodeVersionArgs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "assetName", "version", "contentKey"})
    uri = "codeUri"

    def _destination(self, context: Context, inputs: CodeVersionArgs) -> tuple[str, str, str]:
        body = {"pendingUploadId": inputs.content_key, "pendingUploadType": "TemporaryBlobReference"}
        upload = context.arm.post(f"{inputs.arm_id}/startPendingUpload", ML_API, body)
        reference = upload.get("blobReferenceForConsumption") or {}
        url, _, query = str((reference.get("credential") or {}).get("sasUri") or "").partition("?")
        if not query:
            raise ResourceError(f"Azure ML gave no URL to upload {inputs.title} to; run up again")
        return url.rstrip("/"), query, str(reference.get("blobUri") or url).rstrip("/")


class DataVersion(AssetVersion[DataVersionArgs]):
    """An immutable version of a data asset: a folder of a datastore, which others fill."""

    name = "DataVersion"
    inputs = DataVersionArgs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "assetName", "version", "contentKey"})
    uri = "dataUri"

    def _content(self, inputs: DataVersionArgs) -> dict[str, Any]:
        return {**super()._content(inputs), "dataType": "uri_folder"}

    def _upload(self, context: Context, inputs: DataVersionArgs) -> str:
        """Upload nothing; return the folder's URI with its workspace."""
        del context
        return inputs.path.replace("azureml://datastores/", f"{_workspace_uri(inputs.workspace_id)}/datastores/")


def _workspace_uri(workspace_id: str) -> str:
    return f"azureml:/{re.sub('(?i)/providers/[^/]+', '', workspace_id)}"


def _blob_endpoint(context: Context, workspace_id: str) -> str:
    """Return the blob endpoint of the workspace's storage account."""
    workspace = context.arm.get(workspace_id, ML_API) or {}
    account_id = str((workspace.get("properties") or {}).get("storageAccount") or "")
    account = context.arm.get(account_id, STORAGE_API) if account_id else None
    if account is None:
        raise ResourceError(f"workspace {workspace_id} has no storage account that can be read; a role on it is needed")
    return str(account["properties"]["primaryEndpoints"]["blob"]).rstrip("/")


def _writable(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties that a PUT repeats: of a version, only tags and description change."""
    return {key: value for key, value in properties.items() if key in WRITABLE and value is not None}
