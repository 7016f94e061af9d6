"""The Kubernetes compute that an endpoint runs on: attached to the workspace, or there already.

Owns the attachment. Refuses to own the cluster, its Azure ML extension, and the roles of its identity (`endpoint.py`).
https://learn.microsoft.com/azure/machine-learning/how-to-attach-kubernetes-to-workspace
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import machinelearningservices, managedidentity

from azureml_scoring.settings.endpoint import ClusterSettings, EndpointSettings
from azureml_scoring.workspace_context import WorkspaceContext


@dataclass(frozen=True)
class Compute:
    """The compute of a Kubernetes endpoint."""

    id: pulumi.Input[str]
    """ARM id."""
    principal_id: pulumi.Output[str] | None = None
    """Object id of its identity; None where it was attached by somebody else, who gives it its roles."""


def compute_of(name: str, endpoint: EndpointSettings, context: WorkspaceContext) -> Compute | None:
    """Return an endpoint's compute, attached first where `cluster` says so; None where the endpoint is managed."""
    compute = endpoint.compute
    if endpoint.kind != "kubernetes" or compute is None:
        return None
    if endpoint.cluster is not None:
        attached = _attached(name, compute, endpoint.cluster, context)
        return Compute(attached.id, _principal(name, attached, endpoint.cluster, context))
    return Compute(compute if "/" in compute else pulumi.Output.concat(context.workspace_id, "/computes/", compute))


def _principal(
    name: str, attached: "machinelearningservices.Compute", cluster: ClusterSettings, context: WorkspaceContext
) -> pulumi.Output[str]:
    if cluster.identity is None:
        return attached.identity.apply(lambda identity: identity.principal_id if identity else "")
    identity = managedidentity.UserAssignedIdentity.get(f"{name}-identity", cluster.identity, opts=context.opts)
    return identity.principal_id


def _attached(
    name: str, compute: str, cluster: ClusterSettings, context: WorkspaceContext
) -> "machinelearningservices.Compute":
    identity = machinelearningservices.ManagedServiceIdentityArgs(type="SystemAssigned")
    if cluster.identity is not None:
        identity = machinelearningservices.ManagedServiceIdentityArgs(
            type="UserAssigned", user_assigned_identities=[cluster.identity]
        )
    return machinelearningservices.Compute(
        name,
        compute_name=compute,
        resource_group_name=context.resource_group,
        workspace_name=context.workspace,
        location=context.location,
        identity=identity,
        properties=machinelearningservices.KubernetesArgs(
            compute_type="Kubernetes",
            resource_id=cluster.id,
            properties=machinelearningservices.KubernetesPropertiesArgs(namespace=cluster.namespace),
        ),
        tags=context.tags,
        opts=context.opts,
    )
