"""Models and codes of a workspace, the datastore their files lie in, and how a deployment mounts them.

Owns Microsoft.MachineLearningServices/workspaces/models, .../codes, their versions, .../datastores as far as a
workspace has its default one, and where in a container a version's files and the variables that name them go. Refuses
to own the blobs (`storage_data`) and containers (`containers`).
https://learn.microsoft.com/rest/api/azureml/model-versions
https://learn.microsoft.com/rest/api/azureml/code-versions
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container (where a model is mounted)
"""

import re
import uuid
from pathlib import PurePosixPath
from typing import Any, ClassVar

from emulator.core.azure import Azure, Request, ResourceType, Response
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services import storage_data
from emulator.services.containers import Mount
from emulator.services.ml_versions import Container, Version, check_name, full_name, invalid
from emulator.services.ml_workspace import DATASTORE, DATASTORES, WORKSPACES

MODELS = f"{WORKSPACES}/models"
MODEL_VERSIONS = f"{MODELS}/versions"
CODES = f"{WORKSPACES}/codes"
CODE_VERSIONS = f"{CODES}/versions"
MODEL_TYPES = ("custom_model", "mlflow_model", "triton_model")
_APP = PurePosixPath("/var/azureml-app")
_INTEGER = re.compile(r"[1-9][0-9]{0,9}")
_MOST = 2**31 - 1
_VERSION = re.compile(r"[\w.-]{1,255}")
_DATASTORE_URI = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/workspaces/[^/]+/)?"
    r"datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)"
)
_READ = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
_PENDING = ("TemporaryBlobReference", "None")


class Datastore(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/datastores: the default one, which comes with its workspace."""

    type = DATASTORES

    def check(self, new: Document, old: Document | None) -> Document:
        """Nobody writes here: the local Azure has no other datastores."""
        del old
        raise AzureError(
            400, "UserError", f"Datastore '{new.id.name}' cannot be written: the local Azure has '{DATASTORE}' only"
        )

    def action(self, document: Document, name: str, request: Request) -> Response:
        """`listSecrets`: the account's key, where the account lets keys in."""
        if name.lower() != "listsecrets":
            return super().action(document, name, request)
        account = _account(self.azure, document)
        if account.properties.get("allowSharedKeyAccess") is False:
            return Response(200, {"secretsType": "None"})
        return Response(200, {"secretsType": "AccountKey", "key": account.private["keys"][0]})


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


class ModelVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/models/versions."""

    type = MODEL_VERSIONS
    container = MODELS
    what = "Model"
    fixed = ("modelUri", "modelType", "jobName", "flavors")
    defaults: ClassVar[dict[str, Any]] = {"modelType": MODEL_TYPES[0]}

    def examine(self, id_: ResourceId, given: dict[str, Any]) -> None:
        """The version is a whole number, the type one of three, and the URI says where the files lie."""
        check_name(self.what, id_.path.split("/")[-3])
        if not _INTEGER.fullmatch(id_.name) or int(id_.name) > _MOST:
            raise invalid(f"Model version '{id_.name}' is invalid: it must be a positive integer, {_MOST} at most")
        kind = given.get("modelType")
        if kind is not None and kind not in MODEL_TYPES:
            raise invalid(f"modelType '{kind}' is none of {', '.join(MODEL_TYPES)}")
        uri = given.get("modelUri")
        if not uri:
            raise invalid("A model version needs 'modelUri'")
        if not _DATASTORE_URI.fullmatch(str(uri)):
            raise invalid(f"modelUri '{uri}' is not like azureml://…/datastores/NAME/paths/PATH")


class CodeVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/codes/versions."""

    type = CODE_VERSIONS
    container = CODES
    what = "Code"
    fixed = ("codeUri",)

    def examine(self, id_: ResourceId, given: dict[str, Any]) -> None:
        """The URI says where the files lie."""
        check_name(self.what, id_.path.split("/")[-3])
        if not _VERSION.fullmatch(id_.name):
            raise invalid(f"Code version '{id_.name}' is invalid: letters, digits, '_', '.' and '-'")
        uri = given.get("codeUri")
        if not uri:
            raise invalid("A code version needs 'codeUri'")
        if not str(uri).startswith("https://") and not _DATASTORE_URI.fullmatch(str(uri)):
            raise invalid(f"codeUri '{uri}' is neither https://… nor azureml://…/datastores/NAME/paths/PATH")

    def about(self, id_: ResourceId, action: str) -> Document:
        """A pending upload comes before its version."""
        if action.lower() != "startpendingupload":
            return super().about(id_, action)
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
        account = _account(self.azure, self.azure.find(f"{workspace.path}/datastores/{DATASTORE}"))
        upload = str(request.body.get("pendingUploadId") or uuid.uuid4())
        container = uuid.uuid5(uuid.NAMESPACE_URL, f"{document.id.key} {upload}").hex
        url = f"{storage_data.account_url(self.azure, account.id.name)}/{container}"
        sas = {"credentialType": "SAS", "sasUri": f"{url}?{storage_data.container_sas(account, container, 'racwl')}"}
        place = {"blobUri": url, "storageAccountArmId": account.id.path, "credential": sas}
        told = {"pendingUploadId": upload, "pendingUploadType": kind, "blobReferenceForConsumption": place}
        return Response(200, told)


# -- deployments -------------------------------------------------------------------------------------------------------


def mounts(azure: Azure, given: dict[str, Any], deployment: str) -> tuple[list[Mount], dict[str, str]]:
    """What of models and codes a deployment's containers hold and where, and the variables that Azure sets for it."""
    found, variables = [], {}
    if given.get("model"):
        version = version_of(azure, str(given["model"]), "model", MODEL_VERSIONS, deployment)
        name, number = version.id.path.split("/")[-3], version.id.name
        folder = PurePosixPath(given.get("modelMountPath") or _APP / "azureml-models") / name / number
        found.append(Mount(source=version.id.path, target=str(folder)))
        variables["AZUREML_MODEL_DIR"] = str(folder)
    if given.get("codeConfiguration"):
        version = version_of(azure, str(given["codeConfiguration"]["codeId"]), "codeId", CODE_VERSIONS, deployment)
        script = PurePosixPath(given["codeConfiguration"]["scoringScript"])
        folder = _APP / PurePosixPath(str(version.properties["codeUri"]).rstrip("/")).name
        found.append(Mount(source=version.id.path, target=str(_APP)))
        variables |= {"AML_APP_ROOT": str(folder / script.parent), "AZUREML_ENTRY_SCRIPT": script.name}
    return found, variables


def check_mounts(azure: Azure, given: dict[str, Any], deployment: str) -> dict[str, str]:
    """Refuse what Azure refuses of a deployment's model and code; the variables that it sets for them."""
    code = given.get("codeConfiguration")
    if code is not None and (not isinstance(code, dict) or not code.get("scoringScript") or not code.get("codeId")):
        raise _bad(f"codeConfiguration of deployment '{deployment}' needs 'codeId' and 'scoringScript'")
    path = given.get("modelMountPath")
    if path is not None and (not str(path).startswith("/") or ".." in PurePosixPath(path).parts):
        raise _bad(f"modelMountPath '{path}' of deployment '{deployment}' is not an absolute path")
    found, variables = mounts(azure, given, deployment)
    for mount in found:
        files(azure, mount.source)
    if code is not None:
        version = version_of(azure, str(code["codeId"]), "codeId", CODE_VERSIONS, deployment)
        root = PurePosixPath(str(version.properties["codeUri"]).rstrip("/")).name
        if f"{root}/{code['scoringScript']}" not in files(azure, version.id.path):
            raise _bad(f"scoringScript '{code['scoringScript']}' of deployment '{deployment}' is not in its code")
    return variables


def demand_reader(azure: Azure, deployment: ResourceId, principals: list[Principal]) -> None:
    """Refuse where none of an endpoint's user-assigned identities may read the workspace's storage.

    An endpoint's own identity is let in by Azure ML.
    https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online-auth
    """
    workspace = azure.find("/".join(deployment.path.split("/")[:9]))
    account = azure.find(str(workspace.properties["storageAccount"]))
    if any(azure.access.allows(each, _READ, account.id, data=True) for each in principals):
        return
    told = ", ".join(f"'{each.name}' (object id '{each.object_id}')" for each in principals)
    raise _bad(
        f"Deployment '{deployment.name}': unable to download model or code: authorization failed: the identity {told}"
        f" lacks role 'Storage Blob Data Reader' on storage account '{account.id.path}': assign it"
    )


def files(azure: Azure, version: str) -> dict[str, Any]:
    """The files of a model or code version by the path that they have below where it is mounted."""
    document = azure.find(version)
    uri = str(document.properties.get("modelUri") or document.properties.get("codeUri"))
    found = storage_data.blobs_below(azure, _url(azure, document.id, uri))
    if not found:
        raise AzureError(400, "ResourceNotFound", f"'{full_name(document.id)}' has no files at '{uri}'")
    return found


def _url(azure: Azure, version: ResourceId, uri: str) -> str:
    """The https address of what a version's URI names."""
    named = _DATASTORE_URI.fullmatch(uri)
    if named is None:
        return uri
    workspace = "/".join(version.path.split("/")[:-4])
    datastore = azure.find(f"{workspace}/datastores/{named['datastore']}")
    account = _account(azure, datastore)
    place = f"{storage_data.account_url(azure, account.id.name)}/{datastore.properties['containerName']}"
    return f"{place}/{named['path'].rstrip('/')}"


def _account(azure: Azure, datastore: Document) -> Document:
    parent = datastore.id.parent
    workspace = azure.find(parent.path if parent is not None else "")
    return azure.find(str(workspace.properties["storageAccount"]))


def version_of(azure: Azure, path: str, field: str, wanted: str, deployment: str) -> Document:
    """The version of an asset that a deployment names; 400 where there is none of this type."""
    try:
        found = azure.store.get(ResourceId.parse(path.removeprefix("azureml:")))
    except AzureError:
        found = None
    if found is None or found.id.type.lower() != wanted.lower():
        raise AzureError(
            400,
            "ResourceNotFound",
            f"{field} '{path}' of deployment '{deployment}' was not found: register the version first",
        )
    return found


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadArgument", text)


TYPES: list[type[ResourceType]] = [Datastore, Model, ModelVersion, Code, CodeVersion]
