"""Kubernetes clusters, as far as a workspace can attach one: that they exist, and that they have the ML extension.

Owns Microsoft.ContainerService/managedClusters, Microsoft.Kubernetes/connectedClusters and the extensions on them
(Microsoft.KubernetesConfiguration/extensions). Runs no cluster: what an endpoint on one runs are containers here.
https://learn.microsoft.com/rest/api/aks/managed-clusters
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-kubernetes-extension
"""

import re
from typing import ClassVar

from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.rules import one_of
from emulator.core.store import Document
from emulator.services.managedidentity import access as identity

MANAGED = "Microsoft.ContainerService/managedClusters"
CONNECTED = "Microsoft.Kubernetes/connectedClusters"
EXTENSIONS = "Microsoft.KubernetesConfiguration/extensions"
ML_EXTENSION = "Microsoft.AzureML.Kubernetes"
_NAME = re.compile(r"[a-zA-Z0-9]([\w-]{0,61}[a-zA-Z0-9])?")
_MODES = ("System", "User", "Gateway")
_SCOPES = ("cluster", "namespace")


class ManagedCluster(ResourceType):
    """Microsoft.ContainerService/managedClusters: AKS."""

    type = MANAGED
    required: ClassVar[tuple[str, ...]] = ("location",)
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """The name, a DNS prefix, an identity, and a pool that the system can run on."""
        name, properties = new.id.name, new.properties
        _check_name(name)
        if not properties.get("dnsPrefix") and not properties.get("fqdnSubdomain"):
            raise _bad(f"Cluster '{name}' lacks 'properties.dnsPrefix'")
        pools = properties.get("agentPoolProfiles") or []
        modes = [one_of("agentPoolProfiles.mode", pool.get("mode"), _MODES) for pool in pools]
        if "System" not in modes:
            raise _bad(f"Cluster '{name}' must define at least one system pool")
        if not (new.body.get("identity") or {}).get("type") and not properties.get("servicePrincipalProfile"):
            raise _bad(f"Cluster '{name}' lacks 'identity': give it one of type 'SystemAssigned'")
        cluster = new.having(powerState={"code": "Running"}, fqdn=f"{properties.get('dnsPrefix') or name}.azmk8s.io")
        return Document(cluster.id, identity.assign(self.azure, cluster.body, old), cluster.private)

    def remove(self, document: Document) -> None:
        """Its own identity goes too."""
        identity.release(self.azure, document)


class ConnectedCluster(ResourceType):
    """Microsoft.Kubernetes/connectedClusters: any cluster that Azure Arc knows."""

    type = CONNECTED
    required: ClassVar[tuple[str, ...]] = ("location", "identity")
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """The name, and the public key of the agents inside."""
        _check_name(new.id.name)
        if new.properties.get("agentPublicKeyCertificate") is None:
            raise _bad(f"Cluster '{new.id.name}' lacks 'properties.agentPublicKeyCertificate'")
        cluster = new.having(connectivityStatus="Connected")
        return Document(cluster.id, identity.assign(self.azure, cluster.body, old), cluster.private)

    def remove(self, document: Document) -> None:
        """Its own identity goes too."""
        identity.release(self.azure, document)


class Extension(ResourceType):
    """Microsoft.KubernetesConfiguration/extensions, on a cluster."""

    type = EXTENSIONS
    long = True

    def check(self, new: Document, old: Document | None) -> Document:
        """A type, on a cluster; the type never changes."""
        parent = new.id.parent
        if parent is None or parent.type.lower() not in {MANAGED.lower(), CONNECTED.lower()}:
            raise _bad(f"Extension '{new.id.name}' does not lie on a cluster")
        kind = new.properties.get("extensionType")
        if not kind:
            raise _bad(f"Extension '{new.id.name}' lacks 'properties.extensionType'")
        if old is not None and old.properties["extensionType"].lower() != str(kind).lower():
            raise _bad(f"extensionType of '{new.id.name}' cannot be changed: make another extension")
        for scope in new.properties.get("scope") or {}:
            one_of("properties.scope", scope, _SCOPES)
        return new


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _bad(f"Cluster name '{name}' is invalid: 1 to 63 letters, digits, '_' and '-', none of these at an end")


def _bad(text: str) -> AzureError:
    return AzureError(400, "InvalidParameter", text)
