"""Resource Manager over https, and the one https application that carries all faces.

Owns the protocol: tokens, api-version, long operations' URLs, status codes. What a resource demands is its service's.
https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

import re
from collections.abc import Callable
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core import azure as core
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.operations import Operation
from emulator.core.rbac import Principal
from emulator.protocols import blobs, control, graph, metadata, workspaces
from emulator.protocols.hosts import Hosts
from emulator.protocols.web import RequestLog, azure_error, bearer, json_body
from emulator.services.graph import access as entra

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview|-privatepreview)?")
_STATUS = re.compile(
    r"/subscriptions/[^/]+/providers/[^/]+/locations/[^/]+/operation(Statuses|Results)/([^/]+)", re.IGNORECASE
)
_EVERYTHING = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"]
#: How long a status request waits for the end before it answers InProgress: the client then needs no short polling.
_PATIENCE = 2.0
#: When to ask again. Azure's clients take milliseconds before seconds where both are told, or know seconds alone.
#: https://github.com/Azure/azure-sdk-for-go/blob/main/sdk/azcore/internal/shared/shared.go (RetryAfter)
_SOON = {"x-ms-retry-after-ms": "50", "Retry-After": "1"}


def application(azure: Azure, page_link: Callable[[str], str]) -> Starlette:
    """The https application: ARM, Entra, Graph, blobs, metadata, control."""
    routes: list[BaseRoute] = [
        *metadata.routes(azure),
        *control.routes(azure, page_link),
        *blobs.routes(azure),
        *_arm(azure),
        *graph.routes(azure),
        *workspaces.routes(azure),
    ]
    handlers = {AzureError: azure_error, HTTPException: _no_such_path}
    log = Middleware(RequestLog, azure.journal, _service)
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=[log, Middleware(Hosts, azure)])
    app.state.challenge = f"{azure.url}/{azure.tenant}"
    return app


def _service(path: str) -> str | None:
    """What the journal calls a face; None where the core notes it, or where it is no Azure."""
    if path.startswith("/graph/"):
        return "Microsoft Graph"
    if "/oauth2/" in path:
        return "Microsoft Entra ID"
    return "Blob Storage" if path.startswith("/storage/") else None


async def _no_such_path(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:  # noqa: PLR2004 - HTTP
        return await azure_error(
            request,
            AzureError(
                405, "MethodNotAllowed", f"The HTTP method {request.method} is not supported for {request.url.path}."
            ),
        )
    return await azure_error(request, AzureError(status, "NotFound", f"Nothing is at {request.url.path}."))


def _arm(azure: Azure) -> list[BaseRoute]:
    async def answer(request: Request) -> Response:
        body = await json_body(request)
        return await run_in_threadpool(_answer, azure, request, body)

    return [
        Route("/subscriptions", answer, methods=_EVERYTHING),
        Route("/subscriptions/{rest:path}", answer, methods=_EVERYTHING),
        Route("/tenants", answer, methods=["GET"]),
    ]


def _answer(azure: Azure, request: Request, body: dict[str, object]) -> Response:
    path, version = request.url.path.rstrip("/"), request.query_params.get("api-version", "")
    audiences = [azure.url, *entra.ARM_AUDIENCES]
    principal = entra.verify_token(azure, bearer(request), audiences)
    if not version:
        raise AzureError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _VERSION.fullmatch(version):
        raise AzureError(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
    if path.lower() in {"/subscriptions", "/tenants"}:
        return JSONResponse({"value": _tenants(azure, path, principal)})
    status = _STATUS.fullmatch(path)
    if status:
        return _operation(azure, request, status[1].lower(), azure.operations.get(status[2]))
    arm_request = core.Request(request.method, path, principal, body, dict(request.query_params))
    try:
        response = azure.request(arm_request)
    except AzureError as error:
        if request.method == "HEAD":
            return Response(status_code=error.status)
        raise
    if request.method == "HEAD":
        return Response(status_code=204)
    headers = _progress(azure, request, response.operation) if response.operation else {}
    if response.body is None:
        return Response(status_code=response.status, headers=headers)
    return JSONResponse(response.body, response.status, headers)


def _tenants(azure: Azure, path: str, principal: Principal) -> list[dict[str, object]]:
    if path.lower() == "/tenants":
        return [{"id": f"/tenants/{azure.tenant}", "tenantId": azure.tenant, "displayName": "Local Azure"}]
    every = [ResourceId.parse(f"/subscriptions/{one}") for one in (azure.subscription, azure.other_subscription)]
    visible = [id_ for id_ in every if azure.access.allows(principal, f"{id_.type}/read", id_)]
    return [azure.service(id_.type).show(azure.find(id_.path)) for id_ in visible]


def _progress(azure: Azure, request: Request, operation: Operation) -> dict[str, str]:
    """Where a client asks how a long operation goes on."""
    resource = ResourceId.parse(operation.resource)
    namespace = resource.type.partition("/")[0]
    base = f"{azure.url}/subscriptions/{azure.subscription}/providers/{namespace}/locations/local"
    query = urlencode({"api-version": request.query_params["api-version"]})
    return {
        "Azure-AsyncOperation": f"{base}/operationStatuses/{operation.id}?{query}",
        "Location": f"{base}/operationResults/{operation.id}?{query}",
        **_SOON,
    }


def _operation(azure: Azure, request: Request, kind: str, operation: Operation) -> Response:
    finished = operation.done.wait(_PATIENCE)
    if kind == "statuses":
        return JSONResponse(operation.body, 200, {} if finished else _SOON)
    if not finished:
        return Response(status_code=202, headers=_progress(azure, request, operation))
    if operation.error is not None:
        raise operation.error
    if operation.result is not None:
        return JSONResponse(operation.result)
    document = azure.store.get(ResourceId.parse(operation.resource))
    if document is None:
        return Response(status_code=204)
    return JSONResponse(azure.service(document.id.type).shown(document, request.query_params))
