"""Computes of a workspace: Kubernetes clusters that are attached to it.

Owns Microsoft.MachineLearningServices/workspaces/computes of computeType Kubernetes: what Azure demands of an
attachment, and the instance types that a deployment may name. Machines of Azure's own (AmlCompute and others) are not
served: nothing here would run on them.
https://learn.microsoft.com/rest/api/azureml/compute
https://learn.microsoft.com/azure/machine-learning/how-to-attach-kubernetes-to-workspace
"""

import re
from typing import Any, ClassVar

from emulator.core.azure import Azure, ResourceType
from emulator.core.errors import AzureError
from emulator.core.rules import one_of
from emulator.core.store import Document
from emulator.services.kubernetes.types import CONNECTED, EXTENSIONS, MANAGED, ML_EXTENSION
from emulator.services.machinelearningservices.workspaces.types import WORKSPACES
from emulator.services.managedidentity import access as identity

COMPUTES = f"{WORKSPACES}/computes"
DEFAULT_INSTANCE_TYPE = "defaultinstancetype"
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{0,14}[a-zA-Z0-9]")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TYPES = (
    *("Kubernetes", "AKS", "AmlCompute", "ComputeInstance", "DataFactory", "VirtualMachine", "HDInsight"),
    *("Databricks", "DataLakeAnalytics", "SynapseSpark"),
)
_CLUSTERS = (MANAGED, CONNECTED)
_DEFAULT_RESOURCES = {"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
"""What `defaultinstancetype` has.
https://learn.microsoft.com/azure/machine-learning/how-to-manage-kubernetes-instance-types"""


class Compute(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/computes: an attached cluster."""

    type = COMPUTES
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """The name, the kind, the cluster and its extension; what an attachment is to never changes."""
        name, requested = new.id.name, new.properties
        if not _NAME.fullmatch(name):
            raise _bad(f"Compute name '{name}' is invalid: 2 to 16 letters, digits and '-', a letter at the beginning")
        if not requested.get("computeType"):
            raise _bad(f"Compute '{name}' lacks 'properties.computeType'")
        kind = one_of("properties.computeType", requested["computeType"], _TYPES)
        if kind != "Kubernetes":
            raise _bad(f"computeType '{kind}' of '{name}' is not served here: the local Azure attaches Kubernetes only")
        cluster = self._cluster(name, str(requested.get("resourceId") or ""))
        inner = dict(requested.get("properties") or {})
        namespace = inner.setdefault("namespace", "default")
        if not _NAMESPACE.fullmatch(str(namespace)):
            raise _bad(f"namespace '{namespace}' of '{name}' is not the name of a Kubernetes namespace")
        if old is not None:
            before = old.properties
            unchanged = {"resourceId": before["resourceId"], "namespace": before["properties"]["namespace"]}
            for field, value in {"resourceId": cluster.id.path, "namespace": namespace}.items():
                if unchanged[field].lower() != value.lower():
                    raise _bad(f"'{field}' of compute '{name}' cannot be changed: detach it and attach it anew")
        types = {DEFAULT_INSTANCE_TYPE: {"resources": _DEFAULT_RESOURCES}, **(inner.get("instanceTypes") or {})}
        inner |= {
            "instanceTypes": types,
            "defaultInstanceType": inner.get("defaultInstanceType", DEFAULT_INSTANCE_TYPE),
        }
        if inner["defaultInstanceType"] not in types:
            raise _bad(
                f"defaultInstanceType '{inner['defaultInstanceType']}' of '{name}' is none of {', '.join(types)}"
            )
        compute = new.having(
            computeType=kind,
            resourceId=cluster.id.path,
            computeLocation=cluster.body["location"],
            isAttachedCompute=True,
            disableLocalAuth=bool(requested.get("disableLocalAuth")),
            properties=inner,
        )
        return Document(compute.id, identity.assign(self.azure, compute.body, old), compute.private)

    def remove(self, document: Document) -> None:
        """Its own identity goes too; the cluster stays."""
        identity.release(self.azure, document)

    def _cluster(self, name: str, path: str) -> Document:
        cluster = self.azure.linked(path, *_CLUSTERS)
        if cluster is None:
            raise _bad(
                f"resourceId '{path}' of compute '{name}' is not a cluster that exists: {' or '.join(_CLUSTERS)}"
            )
        for extension in self.azure.store.of_type(EXTENSIONS, cluster.id):
            is_ml = extension.properties["extensionType"].lower() == ML_EXTENSION.lower()
            if is_ml and extension.properties.get("provisioningState") == "Succeeded":
                return cluster
        raise _bad(
            f"Cluster '{cluster.id.name}' has no extension '{ML_EXTENSION}': install it before the cluster is attached"
        )


def compute_of(azure: Azure, endpoint: Document) -> Document:
    """The compute that an endpoint on Kubernetes runs on."""
    return azure.find(str(endpoint.properties["compute"]))


def instance_types(compute: Document) -> dict[str, Any]:
    """What a compute offers, by name."""
    types: dict[str, Any] = compute.properties["properties"]["instanceTypes"]
    return types


def _bad(text: str) -> AzureError:
    return AzureError(400, "BadArgument", text)
