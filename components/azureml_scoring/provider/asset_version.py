"""ModelVersion and CodeVersion: immutable versions of a workspace's models and codes, uploaded from this machine.

Owns: the upload, making or adopting the version, and archiving it. Refuses to own: which files there are and their
key (`azureml_scoring.plan.content`), the names (`azureml_scoring.assets`), and the files' end: they stay in the
workspace's storage.

Files go where Azure's own tools put them: a model's into the workspace's default datastore, with the key that the
datastore gives; code into a container that `startPendingUpload` opens. Only bytes that are not there yet are sent: a
version that exists with the same content key is adopted.

ARM: Microsoft.MachineLearningServices/workspaces/models/versions, .../codes/versions, .../datastores. and
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-with-rest
https://learn.microsoft.com/rest/api/azureml/model-versions, https://learn.microsoft.com/rest/api/azureml/code-versions
"""

import re
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from azureml_scoring.plan.content import asset_files, asset_key
from azureml_scoring.provider.arm import ML_API, ArmError
from azureml_scoring.provider.blobs import container_sas, put_blob
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import kept_tags
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import AssetVersionArgs, CodeVersionArgs, ModelVersionArgs

STORAGE_API = "2023-05-01"
"""Microsoft.Storage/storageAccounts: only asked for its blob endpoint."""
DATASTORE = "workspaceblobstore"
"""The datastore that every workspace has."""
KEY_PROPERTY = "contentKey"
"""Property of a version that says what it was made from."""
SAS_HOURS = 12
SPOKEN_EVERY = 10.0
NOT_FOUND = 404


class AssetVersionOutputs(Outputs):
    """Nothing beyond the inputs and the id."""


InputsT = TypeVar("InputsT", bound=AssetVersionArgs)


class AssetVersion(Resource[InputsT]):
    """What both kinds share."""

    outputs = AssetVersionOutputs
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset({"path"})
    uri: ClassVar[str]
    """The property that says where the files lie."""

    def _create(self, context: Context, inputs: InputsT) -> tuple[str, Outputs]:
        found = context.arm.get(inputs.arm_id, ML_API)
        if found is None:
            place = self._upload(context, inputs)
            context.arm.put(inputs.arm_id, ML_API, {"properties": {**self._content(inputs), self.uri: place}})
            return inputs.arm_id, AssetVersionOutputs()
        properties = found["properties"]
        if (properties.get("properties") or {}).get(KEY_PROPERTY) != inputs.content_key:
            msg = f"{inputs.title} exists with other content; a version cannot change: choose another name"
            raise ResourceError(msg)
        context.log(f"adopting {inputs.title}: it is the same")
        if properties.get("isArchived") or (properties.get("tags") or {}) != (inputs.tags or {}):
            self._rewrite(context, inputs.arm_id, properties, inputs)
        return inputs.arm_id, AssetVersionOutputs()

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: InputsT) -> Outputs:
        """Only tags get here: everything else is a new version."""
        del olds
        found = context.arm.get(resource_id, ML_API)
        if found is None:
            self._create(context, inputs)
        else:
            self._rewrite(context, resource_id, found["properties"], inputs)
        return AssetVersionOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        found = context.arm.get(resource_id, ML_API)
        if found is None or found["properties"].get("isArchived"):
            return None
        properties = found["properties"]
        head, _, version = resource_id.rpartition("/versions/")
        workspace, _, rest = head.rpartition(f"/{self.inputs.kind}/")
        plain = {
            "workspaceId": workspace,
            "assetName": rest,
            "version": version,
            "contentKey": (properties.get("properties") or {}).get(KEY_PROPERTY),
            "path": olds.get("path", ""),
            **({"modelType": properties.get("modelType")} if "modelType" in properties else {}),
            **(kept_tags(olds, properties.get("tags")) if olds else {"tags": properties.get("tags") or None}),
        }
        here = {**olds, **{key: value for key, value in plain.items() if value is not None}}
        return ReadResult(resource_id, here, {**inputs, **here})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Archive it: deployments may still run with it, and its number is never given again."""
        del olds
        found = context.arm.get(resource_id, ML_API)
        if found is None or found["properties"].get("isArchived"):
            return
        try:
            context.arm.put(resource_id, ML_API, {"properties": {**_kept(found["properties"]), "isArchived": True}})
        except ArmError as error:
            if error.status != NOT_FOUND:
                raise

    @abstractmethod
    def _place(self, context: Context, inputs: InputsT) -> tuple[str, str, str]:
        """Find where to: the container's URL, the query that opens it, and the URI under which Azure ML finds it."""

    def _content(self, inputs: InputsT) -> dict[str, Any]:
        return {"isArchived": False, "tags": inputs.tags or {}, "properties": {KEY_PROPERTY: inputs.content_key}}

    def _rewrite(self, context: Context, resource_id: str, properties: dict[str, Any], inputs: InputsT) -> None:
        body = {**_kept(properties), "isArchived": False, "tags": inputs.tags or {}}
        context.arm.put(resource_id, ML_API, {"properties": body})

    def _upload(self, context: Context, inputs: InputsT) -> str:
        """Send every file; return the URI of their folder, or of the one file."""
        files = asset_files(Path(inputs.path))
        if asset_key(files) != inputs.content_key:
            msg = f"{inputs.path}: the files have changed since the run began; run up again"
            raise ResourceError(msg)
        url, query, uri = self._place(context, inputs)
        total = sum(path.stat().st_size for path in files.values())
        context.log(f"uploading {inputs.title}: {len(files)} files, {total / 1e6:.1f} MB")
        sent, told = 0, context.arm.clock()
        for name, path in files.items():
            with path.open("rb") as stream:
                put_blob(context.arm, f"{url}/{quote(name)}?{query}", stream, f"{inputs.title} ({name})")
            sent += path.stat().st_size
            if context.arm.clock() - told >= SPOKEN_EVERY:
                told = context.arm.clock()
                context.log(f"uploading {inputs.title}: {sent / 1e6:.1f} of {total / 1e6:.1f} MB")
        return f"{uri}/{Path(inputs.path).resolve().name}"


class ModelVersion(AssetVersion[ModelVersionArgs]):
    """An immutable version of a model, uploaded into the workspace's default datastore."""

    name = "ModelVersion"
    inputs = ModelVersionArgs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "assetName", "version", "contentKey", "modelType"})
    uri = "modelUri"

    def _content(self, inputs: ModelVersionArgs) -> dict[str, Any]:
        return {**super()._content(inputs), "modelType": inputs.model_type}

    def _place(self, context: Context, inputs: ModelVersionArgs) -> tuple[str, str, str]:
        store = f"{inputs.workspace_id}/datastores/{DATASTORE}"
        properties = (context.arm.get(store, ML_API) or {}).get("properties") or {}
        secret = context.arm.post(f"{store}/listSecrets", ML_API)
        if not secret.get("key"):
            msg = (
                f"datastore {DATASTORE} hands out no account key, so {inputs.title} cannot be uploaded; register the "
                "model by `az ml model create` and write model.reference: azureml:NAME:VERSION"
            )
            raise ResourceError(msg)
        account, container = str(properties["accountName"]), str(properties["containerName"])
        expires = f"{datetime.now(UTC) + timedelta(hours=SAS_HOURS):%Y-%m-%dT%H:%M:%SZ}"
        folder = f"LocalUpload/{inputs.content_key}"
        return (
            f"{_blob_endpoint(context, inputs.workspace_id)}/{container}/{folder}",
            container_sas(account, container, str(secret["key"]), expires),
            f"azureml:/{re.sub('(?i)/providers/[^/]+', '', store)}/paths/{folder}",
        )


class CodeVersion(AssetVersion[CodeVersionArgs]):
    """An immutable version of code, uploaded where Azure ML opens a place for it."""

    name = "CodeVersion"
    inputs = CodeVersionArgs
    replace_on: ClassVar[frozenset[str]] = frozenset({"workspaceId", "assetName", "version", "contentKey"})
    uri = "codeUri"

    def _place(self, context: Context, inputs: CodeVersionArgs) -> tuple[str, str, str]:
        body = {"pendingUploadId": inputs.content_key, "pendingUploadType": "TemporaryBlobReference"}
        place = context.arm.post(f"{inputs.arm_id}/startPendingUpload", ML_API, body)
        reference = place.get("blobReferenceForConsumption") or {}
        url, _, query = str((reference.get("credential") or {}).get("sasUri") or "").partition("?")
        if not query:
            raise ResourceError(f"Azure ML named no place to upload {inputs.title} to; run up again")
        return url.rstrip("/"), query, str(reference.get("blobUri") or url).rstrip("/")


def _blob_endpoint(context: Context, workspace_id: str) -> str:
    """Ask the workspace's storage account where its blobs are."""
    workspace = context.arm.get(workspace_id, ML_API) or {}
    path = str((workspace.get("properties") or {}).get("storageAccount") or "")
    account = context.arm.get(path, STORAGE_API) if path else None
    if account is None:
        raise ResourceError(f"workspace {workspace_id} has no storage account that can be read; a role on it is needed")
    return str(account["properties"]["primaryEndpoints"]["blob"]).rstrip("/")


def _kept(properties: dict[str, Any]) -> dict[str, Any]:
    """Return what a PUT must repeat: a version changes in words only."""
    written = frozenset(
        {"description", "tags", "properties", "modelUri", "modelType", "codeUri", "flavors", "jobName", "isAnonymous"}
    )
    return {key: value for key, value in properties.items() if key in written and value is not None}
