"""A workspace's own API over https, as far as clients need it to find the rest: its discovery.

Resource Manager leads to workspaces from everywhere; their own API lets in only from where their network rules do.
https://learn.microsoft.com/azure/machine-learning/how-to-configure-network-isolation-with-v2
"""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.protocols.web import client_of
from emulator.services.machinelearningservices.workspaces.types import WORKSPACES, discovery_url
from emulator.services.network import access as network

_SERVICES = ("api", "history")
"""What azure-ai-ml looks for; none of them is served."""


def routes(azure: Azure) -> list[BaseRoute]:
    """GET /discovery/workspaces/ID; whoever is let in may ask."""

    async def answer(request: Request) -> Response:
        workspace = await run_in_threadpool(_admit, azure, request)
        base = f"{azure.url}/not-served/{workspace.id.name}"
        return JSONResponse({name: f"{base}/{name}" for name in _SERVICES})

    return [Route("/discovery/workspaces/{number}", answer)]


def _admit(azure: Azure, request: Request) -> Document:
    """The workspace; 403 for who comes from outside.

    The words are a recorded answer's: https://github.com/MicrosoftDocs/azure-docs/issues/90426
    """
    url = discovery_url(azure, request.path_params["number"])
    for workspace in azure.store.of_type(WORKSPACES):
        if workspace.properties.get("discoveryUrl") == url:
            if network.refusal(azure, workspace, client_of(request, workspace), network.WORKSPACE_GROUP):
                text = "Access to workspace was denied based on workspace private link configuration."
                raise AzureError(403, "UserError", text)
            return workspace
    raise AzureError(404, "NotFound", f"Nothing is at {request.url.path}.")
