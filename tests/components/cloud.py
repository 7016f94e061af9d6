"""A program run against Pulumi's mocks: which resources it registers, with which inputs, in which order.

Owns the recording. Refuses to own Azure's behaviour, which the local Azure has.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import grpc
import pulumi
from azureml_scoring.settings.validation import default_principal
from azureml_scoring.stack import ScoringStack
from pulumi.runtime import mocks, settings
from pulumi.runtime.stack import wait_for_rpcs

from tests.provider.fake_azure import FakeAzure

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
DIGEST = "sha256:" + "ab" * 32
PASSWORD = "very-secret-password"
ENDPOINT_KEY = "the-endpoints-key"
_TYPES = {
    "resources:ResourceGroup": "",
    "containerregistry:Registry": "Microsoft.ContainerRegistry/registries",
    "keyvault:Vault": "Microsoft.KeyVault/vaults",
    "storage:StorageAccount": "Microsoft.Storage/storageAccounts",
    "machinelearningservices:Workspace": "Microsoft.MachineLearningServices/workspaces",
    "managedidentity:UserAssignedIdentity": "Microsoft.ManagedIdentity/userAssignedIdentities",
}

# A program that fails leaves outputs that nobody will ever know; Pulumi's language host silences asyncio on it, too.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class _FailedInvokeError(grpc.RpcError):  # type: ignore[misc]
    """An invoke that failed, as the engine passes it on."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return 'Status=404 Code="ResourceNotFound"'


@dataclass
class Cloud(mocks.Mocks):
    """Answers every registration and remembers it."""

    made: list[mocks.MockResourceArgs] = field(default_factory=list)
    asked: list[mocks.MockCallArgs] = field(default_factory=list)
    digest: str = ""
    """What pulumi-docker tells of an image; a good one by default."""
    password_end: str = "2040-01-01T00:00:00Z"
    """The end of a password that is given none."""
    azure: FakeAzure = field(default_factory=FakeAzure)
    """What a program asks by a client of its own."""
    attached: str | None = f"{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.ContainerRegistry/registries/oldacr"

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.made.append(args)
        kind = args.typ.removeprefix("azure-native:")
        name = next((str(args.inputs[key]) for key in _NAMES if key in args.inputs), args.name)
        id_ = args.resource_id or self._id(kind, name, args.inputs)
        if args.resource_id or kind in _TYPES:
            name = id_.rpartition("/")[2]
        return id_, {**args.inputs, **self._outputs(kind, name, args)}

    def _outputs(self, kind: str, name: str, args: mocks.MockResourceArgs) -> dict[str, Any]:
        """What Azure adds."""
        inputs: Mapping[str, Any] = args.inputs
        known: dict[str, dict[str, Any]] = {
            "containerregistry:Registry": {"loginServer": f"{name}.azurecr.io"},
            "azuread:index/application:Application": {"clientId": "client-of-application"},
            "azuread:index/servicePrincipal:ServicePrincipal": {"objectId": "object-of-principal"},
            "azuread:index/applicationPassword:ApplicationPassword": {
                "value": f"{PASSWORD}-{name}",
                "startDate": "2038-01-01T00:00:00Z",
                "endDate": inputs.get("endDate", self.password_end),
            },
            "managedidentity:UserAssignedIdentity": {"principalId": "object-of-identity"},
            "machinelearningservices:Compute": {"identity": {"type": "SystemAssigned", "principalId": "of-compute"}},
            "azureml-scoring:index:ImageBuild": {
                "image": f"{inputs.get('loginServer')}/{inputs.get('repository')}@{DIGEST}"
            },
            "azureml-scoring:index:ImageImport": {
                "image": f"{inputs.get('loginServer')}/{str(inputs.get('source')).partition('/')[2]}"
            },
            "azureml-scoring:index:ImagePin": {
                "image": f"{str(inputs.get('reference')).split('@')[0].split(':')[0]}@{DIGEST}"
            },
            "docker:index/image:Image": {
                "repoDigest": self.digest or f"{str(inputs.get('imageName')).rpartition(':')[0]}@{DIGEST}"
            },
            "docker-build:index:Image": {"digest": DIGEST},
            "azureml-scoring:index:OnlineEndpoint": {
                "scoringUri": "https://endpoint/score",
                "principalId": "object-of-endpoint",
            },
        }
        outputs = known.get(kind, {})
        if kind == "machinelearningservices:Workspace" and args.resource_id:
            group = args.resource_id.rpartition("/providers/")[0]
            outputs["keyVault"] = f"{group}/providers/Microsoft.KeyVault/vaults/oldvault"
            outputs["containerRegistry"] = self.attached
        return outputs

    def _id(self, kind: str, name: str, inputs: Mapping[str, Any]) -> str:
        if kind in _TYPES:
            group = f"{SUBSCRIPTION}/resourceGroups/{inputs.get('resourceGroupName', name)}"
            return f"{group}/providers/{_TYPES[kind]}/{name}" if _TYPES[kind] else group
        return f"{name}-id"

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        self.asked.append(args)
        if args.token.endswith(":getClientConfig"):
            identity = {"clientId": "x", "objectId": "x", "tenantId": "the-tenant"}
            return {**identity, "subscriptionId": SUBSCRIPTION.rpartition("/")[2]}, []
        if args.token.endswith(":getWorkspace"):
            return self._workspace(args.args), []
        if args.token.endswith(":getRegistry"):
            return {"loginServer": f"{args.args['registryName']}.azurecr.io"}, []
        if args.token.endswith(":getUserAssignedIdentity"):
            return {"clientId": "client-of-identity", "principalId": "object-of-identity"}, []
        return {"primaryKey": ENDPOINT_KEY}, []

    def _workspace(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """A workspace as azure-native answers it: one of others with a registry, or what Azure has."""
        if named["workspaceName"] == "oldml":
            return {"containerRegistry": self.attached}
        group = f"{SUBSCRIPTION}/resourceGroups/{named['resourceGroupName']}/providers"
        path = f"{group}/Microsoft.MachineLearningServices/workspaces/{named['workspaceName']}"
        document = self.azure.documents.get(path)
        if document is None:
            raise _FailedInvokeError
        return {"location": document["location"], **document["properties"]}

    def all(self, kind: str) -> list[mocks.MockResourceArgs]:
        """Everything of a type, by the end of its token."""
        return [made for made in self.made if made.typ.endswith(f":{kind}")]

    def one(self, kind: str) -> mocks.MockResourceArgs:
        """The one of a type."""
        found = self.all(kind)
        assert len(found) == 1, [made.name for made in found]
        return found[0]

    def inputs(self, kind: str) -> dict[str, Any]:
        """The inputs of the one of a type."""
        return cast("dict[str, Any]", self.one(kind).inputs)

    def order(self, kind: str) -> int:
        """When it was registered, compared to others."""
        return self.made.index(self.one(kind))


_NAMES = (
    "resourceGroupName_",
    "computeName",
    "registryName",
    "accountName",
    "vaultName",
    "workspaceName",
    "resourceName",
    "endpointName",
    "deploymentName",
)


def run(program: Callable[[], object], cloud: Cloud | None = None, stack: str = "test") -> Cloud:
    """Run a program to its end against the mocks; its errors are raised as the engine would tell them."""
    cloud = cloud or Cloud()
    # Pulumi's mocks work in the loop's threads and want a loop in each of them; whoever makes loops closes them.
    loops = [asyncio.new_event_loop()]

    def looped() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    async def whole() -> None:
        try:
            program()
        except Exception:
            # What it has begun belongs to this loop; left open, it would be the next program's trouble.
            with suppress(Exception):
                await wait_for_rpcs()
            raise
        await wait_for_rpcs()

    asyncio.set_event_loop(loops[0])
    try:
        connected = patch("azureml_scoring.provider.arm.connect", cloud.azure.arm)
        with connected, ThreadPoolExecutor(4, initializer=looped) as threads:
            loops[0].set_default_executor(threads)
            mocks.set_mocks(cloud, project="azureml-scoring", stack=stack, preview=False)
            loops[0].run_until_complete(whole())
    finally:
        asyncio.set_event_loop(None)
        for loop in loops:
            loop.close()
        # What a failed program has left waiting lies in a loop that is closed by now.
        settings.SETTINGS.outputs.clear()
        settings.SETTINGS.rpc_manager.clear()
    return cloud


def context(folder: Path) -> Path:
    """Make a small build context."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY score.py /\n")
    (folder / "score.py").write_text("def run(x): return x\n")
    return folder


def arguments(folder: Path, **sections: Any) -> dict[str, Any]:  # noqa: ANN401 - settings
    """Settings of the usual stack, with sections replaced."""
    registry = sections.get("registry", {"mode": "standalone"})
    usual: dict[str, Any] = {
        "location": "westeurope",
        "registry": registry,
        "principal": {"kind": default_principal(registry["mode"])},
        "image": {"context": str(context(folder)), "repository": "scoring/sklearn"},
        "deployments": {"blue": {"instance_type": "Standard_DS3_v2"}},
        "tags": {"owner": "me"},
    }
    return {**usual, **sections}


def up(settings_: dict[str, Any], cloud: Cloud | None = None, stack: str = "test") -> Cloud:
    """Build the whole stack."""
    return run(lambda: ScoringStack("scoring", settings_, pulumi.ResourceOptions()), cloud, stack)
