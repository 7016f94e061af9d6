"""The Kubernetes compute that an endpoint runs on: attached to the workspace, or there already.

Owns the attachment. Refuses to own the cluster and its Azure ML extension.
https://learn.microsoft.com/azure/machine-learning/how-to-attach-kubernetes-to-workspace
"""

import pulumi
from pulumi_azure_native import machinelearningservices

from azureml_scoring.settings.endpoint import ClusterSettings, EndpointSettings
from azureml_scoring.workspace_context import WorkspaceContext


def compute_of(name: str, endpoint: EndpointSettings, context: WorkspaceContext) -> pulumi.Input[str] | None:
    """Return the ARM id of an endpoint's compute, attached first where `cluster` says so; None where it is managed."""
    compute = endpoint.compute
    if endpoint.kind != "kubernetes" or compute is None:
        return None
    if endpoint.cluster is not None:
        return _attached(name, compute, endpoint.cluster, context).id
    return compute if "/" in compute else pulumi.Output.concat(context.workspace_id, "/computes/", compute)


def _attached(
    name: str, compute: str, cluster: ClusterSettings, context: WorkspaceContext
) -> machinelearningservices.Compute:
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
