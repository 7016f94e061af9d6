"""Key Vault's data plane over https: secrets.

Azure gives every vault a host of its own, and clients read a secret's id as `https://HOST/secrets/NAME/VERSION`. Names
below localhost do not resolve everywhere, so that a vault here has a port of its own: its vaultUri is `https://localhost:PORT/`.
By name it answers as well, see `hosts`.
https://learn.microsoft.com/rest/api/keyvault/secrets
"""

import threading
from contextlib import ExitStack
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ports import PortInUseError
from emulator.core.rbac import Principal
from emulator.core.store import Document
from emulator.protocols.tls import Tls
from emulator.protocols.web import RequestLog, azure_error, bearer, client_of, json_body, listening
from emulator.services.graph import access as entra
from emulator.services.keyvault import data as keyvault


class Listeners:
    """The listeners of all vaults. Thread-safe."""

    def __init__(self, azure: Azure, files: Tls) -> None:
        self._azure = azure
        self._files = files
        self._open: dict[str, ExitStack] = {}
        self._lock = threading.Lock()

    def open(self, vault: str) -> None:
        """Listen for a vault, unless that is done already."""
        with self._lock:
            if vault.lower() in self._open:
                return
            try:
                listener = self._azure.ports.bind(keyvault.port_name(vault))
            except PortInUseError as error:
                raise AzureError(503, "VaultNotReachable", str(error)) from error
            stack = ExitStack()
            stack.enter_context(listening(application(self._azure, vault), listener, self._files))
            self._open[vault.lower()] = stack

    def close(self, vault: str) -> None:
        """Listen no more."""
        with self._lock:
            stack = self._open.pop(vault.lower(), None)
        if stack is not None:
            stack.close()


def application(azure: Azure, vault: str) -> Starlette:
    """The https application of one vault."""

    async def answer(request: Request) -> Response:
        if "authorization" not in request.headers:
            return _challenge(azure, request)
        body = await json_body(request)
        return await run_in_threadpool(_answer, azure, vault, request, body)

    routes = [
        Route("/secrets", answer),
        Route("/secrets/{name}", answer, methods=["GET", "PUT", "DELETE"]),
        Route("/secrets/{name}/versions", answer),
        Route("/secrets/{name}/{version}", answer, methods=["GET", "PATCH"]),
        Route("/deletedsecrets", answer),
        Route("/deletedsecrets/{name}", answer, methods=["GET", "DELETE"]),
        Route("/deletedsecrets/{name}/recover", answer, methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={AzureError: azure_error},
        middleware=[Middleware(RequestLog, azure.journal, lambda _: "Key Vault")],
    )


def _challenge(azure: Azure, request: Request) -> Response:
    """SDKs send a first request without a token, to learn its audience from the challenge.

    They take no audience but one that the host's name ends with, unless told not to look.
    https://devblogs.microsoft.com/azure-sdk/guidance-for-applications-using-the-key-vault-libraries/
    """
    audience = entra.VAULT_AUDIENCE if request.url.hostname == "localhost" else entra.vault_audience(azure)
    text = f'Bearer authorization="{azure.url}/{azure.tenant}", resource="{audience}"'
    error = AzureError(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
    return JSONResponse(error.body, 401, {"WWW-Authenticate": text})


def _answer(azure: Azure, host: str, request: Request, body: dict[str, Any]) -> Response:
    principal = entra.verify_token(azure, bearer(request), [entra.VAULT_AUDIENCE, entra.vault_audience(azure)])
    vault = keyvault.vault_named(azure, host)
    keyvault.pass_firewall(azure, vault, principal, client_of(request, vault))
    name = request.path_params.get("name")
    if request.url.path.startswith("/deletedsecrets"):
        return _answer_deleted(azure, request, principal, vault)
    if name is None:
        return JSONResponse({"value": keyvault.list_secrets(azure, principal, vault)})
    if request.url.path.endswith("/versions"):
        return JSONResponse({"value": keyvault.list_versions(azure, principal, vault, name)})
    version = request.path_params.get("version")
    match request.method:
        case "PUT":
            result = keyvault.set_secret(azure, principal, vault, name, body)
        case "DELETE":
            result = keyvault.delete_secret(azure, principal, vault, name)
        case "PATCH":
            result = keyvault.update_secret(azure, principal, vault, name, str(version), body)
        case _:
            result = keyvault.get_secret(azure, principal, vault, name, version)
    return JSONResponse(result)


def _answer_deleted(azure: Azure, request: Request, principal: Principal, vault: Document) -> Response:
    name = request.path_params.get("name")
    if name is None:
        return JSONResponse({"value": keyvault.list_deleted(azure, principal, vault)})
    if request.method == "DELETE":
        keyvault.purge_secret(azure, principal, vault, name)
        return Response(status_code=204)
    if request.method == "POST":
        return JSONResponse(keyvault.recover_secret(azure, principal, vault, name))
    return JSONResponse(keyvault.get_deleted(azure, principal, vault, name))
