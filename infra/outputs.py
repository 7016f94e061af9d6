"""The outputs of a stack: addresses, names, and who pulls.

Owns the names and shape of the stack's outputs. Refuses to own secrets in plain text: the endpoint's key is wrapped
at birth.
"""

import pulumi
from azureml_scoring.settings.stack import ScoringStackArgs
from azureml_scoring.stack import ScoringStack
from pulumi_azure_native import machinelearningservices


def export(stack: ScoringStack, settings: ScoringStackArgs) -> None:
    """Export everything that people and tools ask a stack for."""
    outputs: dict[str, pulumi.Input[object]] = {
        "scoringUri": stack.scoring_uri,
        "endpointName": stack.endpoint_name,
        "deployments": list(settings.deployments),
        "traffic": stack.traffic,
        "image": stack.image,
        "imageTag": stack.image_tag,
        "registry": {"mode": settings.registry.mode, "loginServer": stack.login_server, "id": stack.registry_id},
        "principal": {
            "clientId": stack.client_id,
            "principalId": stack.principal_id,
            "passwordExpires": stack.password_expires,
        },
        "workspaceName": stack.workspace_name,
        "workspaceId": stack.workspace_id,
        "resourceGroupName": stack.resource_group_name,
    }
    if settings.endpoint.auth == "key":
        outputs["endpointKey"] = _key(stack)
    for name, value in outputs.items():
        pulumi.export(name, value)


def _key(stack: ScoringStack) -> pulumi.Output[str]:
    """Ask for the endpoint's key once it answers; empty in a preview that cannot ask.

    Who previews may be allowed to read only, which does not let ask for keys; and where somebody has changed how
    clients sign in, there are none until the update has changed that back.
    """
    # By way of the traffic, which comes last: asked while another step fails, the engine's end breaks the call.
    names = pulumi.Output.all(stack.resource_group_name, stack.workspace_name, stack.endpoint_name, stack.traffic)
    opts = pulumi.InvokeOptions(parent=stack)
    return pulumi.Output.secret(names.apply(lambda known: _asked(known[0], known[1], known[2], opts)))


def _asked(resource_group: str, workspace: str, endpoint: str, opts: pulumi.InvokeOptions) -> str:
    try:
        keys = machinelearningservices.list_online_endpoint_keys(
            endpoint_name=endpoint, resource_group_name=resource_group, workspace_name=workspace, opts=opts
        )
    except Exception:
        if pulumi.runtime.is_dry_run():
            return ""
        raise
    return keys.primary_key or ""
