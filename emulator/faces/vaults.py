"""Key Vault's data plane over https: secrets.

A vault is reached as `{vaultUri}secrets/NAME`, its vaultUri being `https://localhost:PORT/vaults/VAULT/` (names below
localhost do not resolve everywhere).
https://learn.microsoft.com/rest/api/keyvault/secrets
"""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.faces.web import bearer, json_body
from emulator.services import entra, keyvault


def routes(azure: Azure) -> list[BaseRoute]:
    """/vaults/VAULT/secrets/…"""

    async def answer(request: Request) -> Response:
        if "authorization" not in request.headers:
            return _challenge(azure)
        body = await json_body(request)
        return await run_in_threadpool(_answer, azure, request, body)

    return [
        Route("/vaults/{vault}/secrets", answer),
        Route("/vaults/{vault}/secrets/{name}", answer, methods=["GET", "PUT", "PATCH", "DELETE"]),
        Route("/vaults/{vault}/secrets/{name}/versions", answer),
        Route("/vaults/{vault}/secrets/{name}/{version}", answer, methods=["GET"]),
    ]


def _challenge(azure: Azure) -> Response:
    """SDKs ask without a token at first, to be told for whom it shall be."""
    text = f'Bearer authorization="{azure.url}/{azure.tenant}", resource="{entra.VAULT_AUDIENCES[0]}"'
    error = AzureError(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
    return JSONResponse(error.body, 401, {"WWW-Authenticate": text})


def _answer(azure: Azure, request: Request, body: dict[str, Any]) -> Response:
    principal = entra.verify_token(azure, bearer(request), entra.VAULT_AUDIENCES)
    vault = keyvault.vault_named(azure, request.path_params["vault"])
    name = request.path_params.get("name")
    if name is None:
        return JSONResponse({"value": keyvault.list_secrets(azure, principal, vault)})
    if request.url.path.endswith("/versions"):
        return JSONResponse({"value": keyvault.list_versions(azure, principal, vault, name)})
    if request.method == "PUT":
        return JSONResponse(keyvault.set_secret(azure, principal, vault, name, body))
    if request.method == "DELETE":
        return JSONResponse(keyvault.delete_secret(azure, principal, vault, name))
    if request.method == "PATCH":
        raise AzureError(405, "MethodNotAllowed", "Secrets are changed by a new version here.")
    return JSONResponse(keyvault.get_secret(azure, principal, vault, name, request.path_params.get("version")))
