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

_SINGLE_SINCE = "2022-09-01"


def endpoints(azure: Azure) -> dict[str, Any]:
    """This cloud. Suffixes of services that are not reached by name are those of the public cloud."""
    url = azure.url
    return {
        "portal": url,
        "authentication": {
            "loginEndpoint": url,
            "audiences": [url, *(f"{audience}/" for audience in entra.ARM_AUDIENCES)],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "media": "https://rest.media.azure.net",
        "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/",
        "name": "LocalAzure",
        "suffixes": {
            "acrLoginServer": "localhost",
            "keyVaultDns": "localhost",
            "storage": "core.windows.net",
            "mhsmDns": "managedhsm.azure.net",
            "sqlServerHostname": "database.windows.net",
            "attestationEndpoint": "attest.azure.net",
        },
        "batch": "https://batch.core.windows.net/",
        "resourceManager": url,
        "vmImageAliasDoc": "",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "microsoftGraphResourceId": f"{url}/graph/",
        "appInsightsResourceId": "https://api.applicationinsights.io",
        "appInsightsTelemetryChannelResourceId": "https://dc.applicationinsights.azure.com/v2/track",
        "logAnalyticsResourceId": "https://api.loganalytics.io",
    }


def routes(azure: Azure) -> list[BaseRoute]:
    """GET /metadata/endpoints; anybody may ask."""

    async def answer(request: Request) -> Response:
        cloud = endpoints(azure)
        version = request.query_params.get("api-version", "")
        return JSONResponse(cloud if version >= _SINGLE_SINCE else [cloud])

    return [Route("/metadata/endpoints", answer)]
