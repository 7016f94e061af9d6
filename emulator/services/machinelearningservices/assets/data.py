"""The files of models and codes: where they lie, and where a deployment's containers find them.

Owns the mounts and the variables that name them. The blobs are `storage.data`'s, containers `backends.containers`'.
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container (where a model is mounted)
"""

from pathlib import PurePosixPath
from typing import Any

from emulator.backends.containers import Mount
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.services.machinelearningservices.assets.rules import (
    CODE_VERSIONS,
    DATASTORE_URI,
    MODEL_VERSIONS,
    full_name,
)
from emulator.services.machinelearningservices.workspaces.types import account_of
from emulator.services.storage import data as storage_data

_APP = PurePosixPath("/var/azureml-app")
_READ = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"


# -- deployments -------------------------------------------------------------------------------------------------------


def mounts(azure: Azure, properties: dict[str, Any], deployment: str) -> tuple[list[Mount], dict[str, str]]:
    """What of models and codes a deployment's containers hold and where, and the variables that Azure sets for it."""
    targets, variables = [], {}
    if properties.get("model"):
        version = version_of(azure, str(properties["model"]), "model", MODEL_VERSIONS, deployment)
        name, number = version.id.path.split("/")[-3], version.id.name
        folder = PurePosixPath(properties.get("modelMountPath") or _APP / "azureml-models") / name / number
        targets.append(Mount(source=version.id.path, target=str(folder)))
        variables["AZUREML_MODEL_DIR"] = str(folder)
    if properties.get("codeConfiguration"):
        version = version_of(azure, str(properties["codeConfiguration"]["codeId"]), "codeId", CODE_VERSIONS, deployment)
        script = PurePosixPath(properties["codeConfiguration"]["scoringScript"])
        folder = _APP / PurePosixPath(str(version.properties["codeUri"]).rstrip("/")).name
        targets.append(Mount(source=version.id.path, target=str(_APP)))
        variables |= {"AML_APP_ROOT": str(folder / script.parent), "AZUREML_ENTRY_SCRIPT": script.name}
    return targets, variables


def check_mounts(azure: Azure, properties: dict[str, Any], deployment: str) -> dict[str, str]:
    """Refuse what Azure refuses of a deployment's model and code; the variables that it sets for them."""
    code = properties.get("codeConfiguration")
    if code is not None and (not isinstance(code, dict) or not code.get("scoringScript") or not code.get("codeId")):
        raise _bad(f"codeConfiguration of deployment '{deployment}' needs 'codeId' and 'scoringScript'")
    path = properties.get("modelMountPath")
    if path is not None and (not str(path).startswith("/") or ".." in PurePosixPath(path).parts):
        raise _bad(f"modelMountPath '{path}' of deployment '{deployment}' is not an absolute path")
    targets, variables = mounts(azure, properties, deployment)
    for mount in targets:
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
    names = ", ".join(f"'{each.name}' (object id '{each.object_id}')" for each in principals)
    raise _bad(
        f"Deployment '{deployment.name}': unable to download model or code: authorization failed: the identity {names}"
        f" lacks role 'Storage Blob Data Reader' on storage account '{account.id.path}': assign it"
    )


def files(azure: Azure, version: str) -> dict[str, Any]:
    """The files of a model or code version by the path that they have below where it is mounted."""
    document = azure.find(version)
    uri = str(document.properties.get("modelUri") or document.properties.get("codeUri"))
    blobs = storage_data.blobs_below(azure, _url(azure, document.id, uri))
    if not blobs:
        raise AzureError(400, "ResourceNotFound", f"'{full_name(document.id)}' has no files at '{uri}'")
    return blobs


def _url(azure: Azure, version: ResourceId, uri: str) -> str:
    """The https address of what a version's URI names."""
    if not DATASTORE_URI.fullmatch(uri):
        return uri
    datastore, path = folder_of(azure, version, uri)
    account = account_of(azure, datastore)
    return f"{storage_data.account_url(azure, account.id.name)}/{datastore.properties['containerName']}/{path}"


def folder_of(azure: Azure, version: ResourceId, uri: str) -> tuple[Document, str]:
    """The datastore and the path in it that a version's URI names."""
    named = DATASTORE_URI.fullmatch(uri)
    if named is None:
        raise _bad(f"'{uri}' of '{full_name(version)}' names no folder of a datastore")
    workspace = "/".join(version.path.split("/")[:-4])
    return azure.find(f"{workspace}/datastores/{named['datastore']}"), named["path"].rstrip("/")


def version_of(azure: Azure, path: str, field: str, type_: str, deployment: str) -> Document:
    """The version of an asset that a deployment names; 400 where there is none of this type."""
    if path.startswith("azureml://registries/"):
        raise AzureError(
            400,
            "ResourceNotFound",
            f"{field} '{path}' of deployment '{deployment}': the local Azure has no Azure ML registries: register it in"
            " the workspace",
        )
    version = azure.linked(path.removeprefix("azureml:"), type_)
    if version is None:
        raise AzureError(
            400,
            "ResourceNotFound",
            f"{field} '{path}' of deployment '{deployment}' was not found: register the version first",
        )
    return version


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadArgument", text)
