"""Environments, models, codes and data of a workspace: a container of one name each, and versions that never change.

Owns Microsoft.MachineLearningServices/workspaces/{environments,models,codes,data} and their versions. Builds no image
(`assets.jobs`) and holds no files (`assets.data`).
https://learn.microsoft.com/rest/api/azureml/environment-versions
https://learn.microsoft.com/rest/api/azureml/model-versions
https://learn.microsoft.com/rest/api/azureml/code-versions
"""

import json
import re
import uuid
from typing import Any, ClassVar

import yaml

from emulator.core.azure import Request, ResourceType, Response, now
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.machinelearningservices.assets.rules import (
    CODE_VERSIONS,
    CODES,
    DATA,
    DATA_TYPES,
    DATA_VERSIONS,
    DATASTORE_URI,
    ENVIRONMENTS,
    MODEL_TYPES,
    MODEL_VERSIONS,
    MODELS,
    VERSION_NAME,
    VERSIONS,
    check,
    check_name,
    full_name,
    invalid,
)
from emulator.services.machinelearningservices.workspaces.types import DATASTORE, account_of
from emulator.services.storage import access as storage_access
from emulator.services.storage import data as storage_data

_SHOWN = 135
"""Characters of a value that a refusal repeats: an image by digest is shorter."""


class Container(ResourceType):
    """What the versions of one name share."""

    versions: ClassVar[str]
    what: ClassVar[str]
    more: ClassVar[tuple[str, ...]] = ()
    """Properties that containers of this kind have besides."""

    def check(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002 - as all types
        """Check the name; `show` adds the versions' numbers."""
        check_name(self.what, new.id.name)
        properties = {
            name: new.properties[name]
            for name in ("description", "isArchived", "properties", "tags", *self.more)
            if name in new.properties
        }
        return Document(new.id, {**new.body, "properties": {"isArchived": False, **properties}}, new.private)

    def show(self, document: Document) -> dict[str, Any]:
        """With the version made last, and the one that would follow."""
        versions = [
            version.id.name
            for version in self.azure.store.of_type(self.versions, document.id)
            if not version.properties.get("isArchived")
        ]
        numbers = [int(name) for name in versions if name.isdigit()]
        computed = {
            "latestVersion": versions[-1] if versions else None,
            "nextVersion": str(max(numbers, default=0) + 1),
        }
        body = super().show(document)
        return {**body, "properties": {**body["properties"], **computed}}


class Version(ResourceType):
    """One version: immutable but for words and archiving. The first of a name brings its container along."""

    container: ClassVar[str]
    what: ClassVar[str]
    fixed: ClassVar[tuple[str, ...]]
    defaults: ClassVar[dict[str, Any]] = {}
    shared: ClassVar[tuple[str, ...]] = ()
    """Properties that the container gets from its first version."""

    def check_envelope(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """A first version brings its container along."""
        body = super().check_envelope(id_, body)
        parent = id_.parent
        if parent is not None and parent.parent is not None and self.azure.store.get(parent) is None:
            self.azure.find(parent.parent.path)
            self.examine(id_, body.get("properties") or {})
            properties = {"isArchived": False, "provisioningState": "Succeeded"}
            properties |= {name: body["properties"][name] for name in self.shared}
            container = {"id": parent.path, "name": parent.name, "type": self.container, "properties": properties}
            self.azure.store.put(Document(parent, {**container, "systemData": {"createdAt": now()}}))
        return body

    def check(self, new: Document, old: Document | None) -> Document:
        """Refuse another content under a version that is there."""
        requested = {name: value for name, value in new.properties.items() if value is not None}
        self.examine(new.id, requested)
        properties = {"isAnonymous": False, "isArchived": False, "properties": {}, "tags": {}, **self.defaults}
        properties |= requested
        for name in ("isAnonymous", *self.fixed):
            if old is not None and old.properties.get(name) != properties.get(name):
                raise AzureError(
                    409,
                    "Conflict",
                    f"{self.what} version '{full_name(new.id)}' is already registered with another '{name}'"
                    f" ({_short(old.properties.get(name))}, not {_short(properties.get(name))}); a version is"
                    " immutable: register another version",
                )
        return Document(new.id, {**new.body, "properties": properties}, new.private)

    def examine(self, id_: ResourceId, properties: dict[str, Any]) -> None:
        """Refuse what Azure refuses of a version's properties, and of its names."""

    def listing(self, scope: ResourceId, query: dict[str, str]) -> list[Document]:
        """Those that are not archived, unless `listViewType` says so; `$orderBy=createdtime desc`: the newest first.

        https://learn.microsoft.com/rest/api/azureml/model-versions/list
        """
        views = {"activeonly": (False,), "archivedonly": (True,), "all": (False, True)}
        shown = views.get(query.get("listViewType", "ActiveOnly").lower())
        if shown is None:
            raise invalid(f"listViewType '{query['listViewType']}' is none of ActiveOnly, ArchivedOnly, All")
        versions = [each for each in super().listing(scope, query) if bool(each.properties.get("isArchived")) in shown]
        order = query.get("$orderBy", "").lower().split()
        if order[:1] == ["createdtime"]:
            versions.sort(key=lambda each: str(each.body["systemData"]["createdAt"]))
            return versions[::-1] if order[1:] == ["desc"] else versions
        return versions


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:100]}…"


class Environment(Container):
    """Microsoft.MachineLearningServices/workspaces/environments: what the versions of one name share."""

    type = ENVIRONMENTS
    versions = VERSIONS
    what = "Environment"


class EnvironmentVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/environments/versions: immutable but for words and archiving."""

    type = VERSIONS
    container = ENVIRONMENTS
    what = "Environment"
    fixed = ("image", "build", "condaFile", "inferenceConfig", "osType")
    defaults: ClassVar[dict[str, Any]] = {"osType": "Linux", "environmentType": "UserCreated"}

    def examine(self, id_: ResourceId, properties: dict[str, Any]) -> None:
        """An image, or what one is built from, and routes that are whole."""
        check(id_, properties)

    def show(self, document: Document) -> dict[str, Any]:
        """As Azure: a conda file is read and written again as JSON; '' is none."""
        body = super().show(document)
        conda = document.properties.get("condaFile")
        if self.azure.options.conda_answers == "json":
            conda = json.dumps(yaml.safe_load(conda)) if conda else ""
        return body if conda is None else {**body, "properties": {**body["properties"], "condaFile": conda}}


_INTEGER = re.compile(r"[1-9][0-9]{0,9}")
_MOST = 2**31 - 1
_PENDING = ("TemporaryBlobReference", "None")


class Model(Container):
    """Microsoft.MachineLearningServices/workspaces/models."""

    type = MODELS
    versions = MODEL_VERSIONS
    what = "Model"


class Code(Container):
    """Microsoft.MachineLearningServices/workspaces/codes."""

    type = CODES
    versions = CODE_VERSIONS
    what = "Code"


def _check_data_type(properties: dict[str, Any]) -> None:
    if properties.get("dataType") not in DATA_TYPES:
        raise invalid(f"dataType '{properties.get('dataType')}' is none of {', '.join(DATA_TYPES)}")


class Data(Container):
    """Microsoft.MachineLearningServices/workspaces/data."""

    type = DATA
    stateless = True
    versions = DATA_VERSIONS
    what = "Data"
    more = ("dataType",)

    def check(self, new: Document, old: Document | None) -> Document:
        """Demand the type that its versions have."""
        _check_data_type(new.properties)
        return super().check(new, old)


class DataVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/data/versions.

    https://learn.microsoft.com/rest/api/azureml/data-versions
    """

    type = DATA_VERSIONS
    stateless = True
    container = DATA
    what = "Data"
    fixed = ("dataUri", "dataType")
    shared = ("dataType",)

    def examine(self, id_: ResourceId, properties: dict[str, Any]) -> None:
        """The type is one of three, and the URI says where the data lies."""
        check_name(self.what, id_.path.split("/")[-3])
        if not VERSION_NAME.fullmatch(id_.name):
            raise invalid(f"Data version '{id_.name}' is invalid: letters, digits, '_', '.' and '-'")
        _check_data_type(properties)
        uri = str(properties.get("dataUri") or "")
        if not uri.startswith("https://") and not DATASTORE_URI.fullmatch(uri):
            raise invalid(f"dataUri '{uri}' is neither https://… nor azureml://…/datastores/NAME/paths/PATH")


class ModelVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/models/versions."""

    type = MODEL_VERSIONS
    container = MODELS
    what = "Model"
    fixed = ("modelUri", "modelType", "jobName", "flavors")
    defaults: ClassVar[dict[str, Any]] = {"modelType": MODEL_TYPES[0], "flavors": {}}

    def examine(self, id_: ResourceId, properties: dict[str, Any]) -> None:
        """The version is a whole number, the type one of three, and the URI says where the files lie."""
        check_name(self.what, id_.path.split("/")[-3])
        if not _INTEGER.fullmatch(id_.name) or int(id_.name) > _MOST:
            raise invalid(f"Model version '{id_.name}' is invalid: it must be a positive integer, {_MOST} at most")
        kind = properties.get("modelType")
        if kind is not None and kind not in MODEL_TYPES:
            raise invalid(f"modelType '{kind}' is none of {', '.join(MODEL_TYPES)}")
        uri = properties.get("modelUri")
        if not uri:
            raise invalid("A model version needs 'modelUri'")
        if not DATASTORE_URI.fullmatch(str(uri)):
            raise invalid(f"modelUri '{uri}' is not like azureml://…/datastores/NAME/paths/PATH")


class CodeVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/codes/versions."""

    type = CODE_VERSIONS
    container = CODES
    what = "Code"
    fixed = ("codeUri",)

    def examine(self, id_: ResourceId, properties: dict[str, Any]) -> None:
        """The URI says where the files lie."""
        check_name(self.what, id_.path.split("/")[-3])
        if not VERSION_NAME.fullmatch(id_.name):
            raise invalid(f"Code version '{id_.name}' is invalid: letters, digits, '_', '.' and '-'")
        uri = properties.get("codeUri")
        if not uri:
            raise invalid("A code version needs 'codeUri'")
        if not str(uri).startswith("https://") and not DATASTORE_URI.fullmatch(str(uri)):
            raise invalid(f"codeUri '{uri}' is neither https://… nor azureml://…/datastores/NAME/paths/PATH")

    def action_target(self, id_: ResourceId, action: str) -> Document:
        """A pending upload comes before its version."""
        if action.lower() != "startpendingupload":
            return super().action_target(id_, action)
        workspace = id_.parent.parent if id_.parent is not None else None
        if workspace is not None:
            self.azure.find(workspace.path)
        return self.azure.store.get(id_) or Document(id_, {})

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`startPendingUpload`: a container of the workspace's storage that the client may fill for an hour."""
        if name.lower() != "startpendingupload":
            return super().action(document, name, request)
        check_name(self.what, document.id.path.split("/")[-3])
        if document.body:
            raise AzureError(409, "Conflict", f"Code version '{full_name(document.id)}' is registered already")
        kind = request.body.get("pendingUploadType") or _PENDING[0]
        if kind not in _PENDING:
            raise invalid(f"pendingUploadType '{kind}' is none of {', '.join(_PENDING)}")
        workspace = ResourceId.parse("/".join(document.id.path.split("/")[:-4]))
        account = account_of(self.azure, self.azure.find(f"{workspace.path}/datastores/{DATASTORE}"))
        upload = str(request.body.get("pendingUploadId") or uuid.uuid4())
        container = uuid.uuid5(uuid.NAMESPACE_URL, f"{document.id.key} {upload}").hex
        url = f"{storage_data.account_url(self.azure, account.id.name)}/{container}"
        sas = {"credentialType": "SAS", "sasUri": f"{url}?{storage_access.container_sas(account, container, 'racwl')}"}
        reference = {"blobUri": url, "storageAccountArmId": account.id.path, "credential": sas}
        result = {"pendingUploadId": upload, "pendingUploadType": kind, "blobReferenceForConsumption": reference}
        return Response(200, result)
