"""Microsoft Graph over https, the part that deals with applications and service principals.

https://learn.microsoft.com/graph/api/application-post-applications
"""

import re
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.protocols.sign_in import sign_in
from emulator.protocols.web import bearer, json_body
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph

_FILTER = re.compile(r"(displayName|appId|id) eq '((?:[^']|'')*)'")
"""A quote within the text is doubled, as in all of OData."""


def routes(azure: Azure) -> list[BaseRoute]:
    """All of Entra's and Graph's paths."""
    return [*sign_in(azure), *_graph(azure)]


def graph_audiences(azure: Azure) -> list[str]:
    """Audiences of tokens that Graph accepts."""
    return [f"{azure.url}/graph", *entra.GRAPH_AUDIENCES]


def _graph(azure: Azure) -> list[BaseRoute]:
    def serve(
        path: str, **by_method: Callable[[dict[str, str], dict[str, Any]], tuple[int, dict[str, Any] | None]]
    ) -> Route:
        async def answer(request: Request) -> Response:
            body = await json_body(request)
            parameters = {**request.query_params, **request.path_params}

            def work() -> tuple[int, dict[str, Any] | None]:
                principal = entra.verify_token(azure, bearer(request), graph_audiences(azure))
                if not entra.may_use_graph(azure, principal):
                    raise AzureError(
                        403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
                    )
                return by_method[request.method](parameters, body)

            status, result = await run_in_threadpool(work)
            return Response(status_code=status) if result is None else JSONResponse(result, status)

        return Route(path, answer, methods=list(by_method))

    def new_password(parameters: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        credential = body.get("passwordCredential") or {}
        key_id, secret = graph.add_password(
            azure,
            parameters["id"],
            credential.get("displayName"),
            credential.get("endDateTime"),
            credential.get("startDateTime"),
        )
        credentials = graph.get_application(azure, parameters["id"])["passwordCredentials"]
        return 200, {**next(each for each in credentials if each["keyId"] == key_id), "secretText": secret}

    def done(*_: object) -> tuple[int, None]:
        return 204, None

    return [
        serve(
            "/graph/{version}/applications",
            GET=lambda parameters, _: (200, _listed(graph.list_applications(azure), parameters)),
            POST=lambda _, body: (201, graph.create_application(azure, body)),
        ),
        serve(
            "/graph/{version}/applications/{id}",
            GET=lambda parameters, _: (200, graph.get_application(azure, parameters["id"])),
            PATCH=lambda parameters, body: done(graph.update_application(azure, parameters["id"], body)),
            DELETE=lambda parameters, _: done(graph.delete_application(azure, parameters["id"])),
        ),
        serve("/graph/{version}/applications/{id}/addPassword", POST=new_password),
        serve(
            "/graph/{version}/applications/{id}/removePassword",
            POST=lambda parameters, body: done(graph.remove_password(azure, parameters["id"], str(body.get("keyId")))),
        ),
        serve(
            "/graph/{version}/servicePrincipals",
            GET=lambda parameters, _: (200, _listed(graph.list_principals(azure), parameters)),
            POST=lambda _, body: (201, graph.create_service_principal(azure, str(body.get("appId")), body)),
        ),
        serve(
            "/graph/{version}/servicePrincipals/{id}",
            GET=lambda parameters, _: (200, graph.get_service_principal(azure, parameters["id"])),
            PATCH=lambda parameters, body: done(graph.update_service_principal(azure, parameters["id"], body)),
            DELETE=lambda parameters, _: done(graph.delete_service_principal(azure, parameters["id"])),
        ),
    ]


def _listed(objects: list[dict[str, Any]], parameters: dict[str, str]) -> dict[str, Any]:
    expression = parameters.get("$filter")
    if expression:
        match = _FILTER.fullmatch(expression)
        if match is None:
            raise AzureError(
                400, "Request_UnsupportedQuery", f"Unsupported filter '{expression}': use displayName, appId or id eq."
            )
        objects = [each for each in objects if each[match[1]] == match[2].replace("''", "'")]
    return {"value": objects}
