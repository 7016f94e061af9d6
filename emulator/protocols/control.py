"""What only a local Azure has: counts of writes, faults, logs. Not part of any Azure.

Guarded by the deployer's secret, which stands in ready.json (mode 600) and nowhere else in plain text.
"""

import hmac
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.protocols.web import bearer, json_body
from emulator.services.graph import access as entra
from emulator.services.keyvault.types import Vault
from emulator.services.machinelearningservices.onlineendpoints import types as onlineendpoints
from emulator.services.machinelearningservices.workspaces.types import Workspace

#: Counts that are not writes of a type.
_OTHERS = ("builds", "uploads")


def stats(azure: Azure) -> dict[str, Any]:
    """How often what was written since the start or the last reset."""
    counts = dict(azure.counts)
    writes = {name: count for name, count in sorted(counts.items()) if name not in _OTHERS}
    return {"writes": writes, **{name: counts.get(name, 0) for name in _OTHERS}}


def log_of(azure: Azure, name: str) -> str:
    """The log of a run or a deployment, by its name, ENDPOINT/NAME or its ARM id (404 where there is none)."""
    for document in reversed(azure.store.everything()):
        try:
            kind = azure.service(document.id.type)
        except AzureError:
            continue  # an Entra object
        above = document.id.parent
        longer = f"{above.name}/{document.id.name}" if above else document.id.name
        named = name.lower().strip("/") in {document.id.name.lower(), longer.lower(), document.id.key.strip("/")}
        if named and (text := kind.log(document)) is not None:
            return text
    raise AzureError(404, "NotFound", f"no run or deployment '{name}' has a log here")


def purge_deleted(azure: Azure) -> None:
    """Purge all that was soft-deleted: the names are free again."""
    azure.serving(Vault).bin.clear()
    azure.serving(Workspace).bin.clear()


def _guard(secret: str, request: Request) -> None:
    if not hmac.compare_digest(bearer(request).encode(), secret.encode()):
        raise AzureError(403, "Forbidden", "The control paths take the deployer's secret, which ready.json holds.")


def routes(azure: Azure, page_link: Callable[[str], str]) -> list[BaseRoute]:
    """All paths below /_local/; `page_link` makes a link to the page, which offers a request as its example."""
    guard = partial(_guard, entra.deployer(azure).secret)

    async def stats_(request: Request) -> Response:
        guard(request)
        result = stats(azure)
        if request.method == "DELETE":
            azure.counts.clear()
            azure.journal.begin_run()
        return JSONResponse(result)

    async def faults(request: Request) -> Response:
        guard(request)
        if request.method == "PUT":
            body = await json_body(request)
            await run_in_threadpool(azure.fault, str(body["name"]), body.get("value"))
        return JSONResponse({**azure.faults, **({"held": azure.held} if azure.held else {})})

    async def logs(request: Request) -> Response:
        guard(request)
        text = await run_in_threadpool(log_of, azure, request.path_params["name"])
        return Response(text, media_type="text/plain")

    async def deployments(request: Request) -> Response:
        guard(request)
        return JSONResponse(await run_in_threadpool(onlineendpoints.serving, azure))

    async def resources(request: Request) -> Response:
        guard(request)
        if request.method == "DELETE":
            await run_in_threadpool(purge_deleted, azure)
        result = await run_in_threadpool(azure.store.everything)
        return JSONResponse([{"id": each.id.path, "type": each.id.type} for each in result])

    async def page(request: Request) -> Response:
        guard(request)
        example = str((await json_body(request)).get("example") or "")
        return JSONResponse({"url": await run_in_threadpool(page_link, example)})

    return [
        Route("/_local/page", page, methods=["POST"]),
        Route("/_local/stats", stats_, methods=["GET", "DELETE"]),
        Route("/_local/faults", faults, methods=["GET", "PUT"]),
        Route("/_local/logs/{name:path}", logs),
        Route("/_local/resources", resources, methods=["GET", "DELETE"]),
        Route("/_local/deployments", deployments),
    ]
