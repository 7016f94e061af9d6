"""The metadata endpoint: where this cloud's services are.

https://learn.microsoft.com/rest/api/resources/ (GET /metadata/endpoints): since 2022-09-01 it answers this one cloud
as an object; older versions answer a list of clouds.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.services.graph import access as entra

_SUFFIXES = ("acrLoginServer", "mhsmDns", "sqlServerHostname", "attestationEndpoint")
_NOT_SERVED = (
    *("media", "batch", "activeDirectoryDataLake", "sqlManagement", "appInsightsResourceId"),
    *("appInsightsTelemetryChannelResourceId", "logAnalyticsResourceId"),
)
_SINGLE_SINCE = "2022-09-01"


def endpoints(azure: Azure) -> dict[str, Any]:
    """This cloud. Every address is on this machine, also of services that are not served: no client reaches Azure."""
    url = azure.url
    return {
        "portal": url,
        "authentication": {
            "loginEndpoint": url,
            "audiences": [url, *(f"{audience}/" for audience in entra.ARM_AUDIENCES)],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graphAudience": f"{url}/graph/",
        "graph": f"{url}/graph/",
        "name": "LocalAzure",
        # A name before them, and for storage `.blob.`, leads to a vault or an account: see `hosts`.
        "suffixes": {
            **dict.fromkeys(_SUFFIXES, "localhost"),
            "keyVaultDns": entra.vault_audience(azure).removeprefix("https://"),
            "storage": f"core.{url.removeprefix('https://')}",
        },
        "resourceManager": url,
        "vmImageAliasDoc": "",
        "microsoftGraphResourceId": f"{url}/graph/",
        **{name: f"{url}/not-served/{name}" for name in _NOT_SERVED},
    }


def routes(azure: Azure) -> list[BaseRoute]:
    """GET /metadata/endpoints; anybody may ask."""

    async def answer(request: Request) -> Response:
        cloud = endpoints(azure)
        version = request.query_params.get("api-version", "")
        return JSONResponse(cloud if version >= _SINGLE_SINCE else [cloud])

    return [Route("/metadata/endpoints", answer)]
