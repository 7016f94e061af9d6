"""The token service of the registries: /oauth2/token and /oauth2/exchange, on the plain-http listener.

Owns the protocol; who gets what is decided in `emulator.services.registry_tokens`.

Where clients find it: GET http(s)://LOGINSERVER/v2/ answers 401 with `WWW-Authenticate: Bearer
realm="…/oauth2/token", service="LOGINSERVER"`. A client takes the realm from there, and finds the exchange next to
it: `…/oauth2/token` becomes `…/oauth2/exchange`. On real Azure the realm is https://LOGINSERVER/oauth2/token, so that
the same client works there. Here the realm is http://localhost:PORT/oauth2/token for all registries (docker refuses
an unknown certificate authority, and takes plain http for localhost), and `service` says which registry is meant.
From an Entra token to a manifest:

    POST …/oauth2/exchange  grant_type=access_token & service=LOGINSERVER & access_token=ENTRA [& tenant=…]
                                                                                  → {"refresh_token"}
    POST …/oauth2/token     grant_type=refresh_token & service=… & refresh_token=… & scope=repository:NAME:pull
                                                                                  → {"access_token"}
    GET  …/v2/NAME/manifests/TAG    Authorization: Bearer ACCESS_TOKEN

Bodies are application/x-www-form-urlencoded. docker itself uses GET …/oauth2/token with basic authentication: a
service principal's appId and secret, the admin user, or 00000000-0000-0000-0000-000000000000 and a refresh token.
https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.journal import Entry
from emulator.core.store import Document
from emulator.protocols.web import client_of
from emulator.services.containerregistry import access as registry_access
from emulator.services.containerregistry.access import ANONYMOUS, Caller, DeniedError

Form = dict[str, list[str]]
Work = Callable[[Azure, Request, Form], dict[str, object]]
_LONGEST = 1 << 20
_NEEDED = "authentication required, visit https://aka.ms/acr/authorization for more information."


def routes(azure: Azure) -> list[Route]:
    """The token service's routes."""

    async def token(request: Request) -> Response:
        if request.method == "POST":
            return await _answered(azure, request, _granted, await _form(request))
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        return await _answered(azure, request, _basic, query)

    async def exchange(request: Request) -> Response:
        return await _answered(azure, request, _exchanged, await _form(request))

    return [
        Route("/oauth2/token", token, methods=["GET", "POST"]),
        Route("/oauth2/exchange", exchange, methods=["POST"]),
    ]


async def _answered(azure: Azure, request: Request, work: Work, form: Form) -> Response:
    """Run the blocking part in a thread; refusals as registries word them."""
    try:
        body = await run_in_threadpool(work, azure, request, form)
    except AzureError as error:
        _note(azure, form, "", error.status, str(error))
        refusal = {"errors": [{"code": error.code, "message": error.message, "detail": None}]}
        headers = {"WWW-Authenticate": 'Basic realm="registry"'} if error.status == 401 else {}  # noqa: PLR2004 - HTTP
        return JSONResponse(refusal, error.status, headers)
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _note(azure: Azure, form: Form, caller: str, status: int, error: str) -> None:
    """Note who asked for which scopes of which registry, and what was refused."""
    target = " ".join([*form.get("service", []), *_scopes(form)])
    entry = Entry(registry_access.SERVICE, "TOKEN", target, caller, status=status, error=error)
    azure.journal.add(entry)


def _basic(azure: Azure, request: Request, query: Form) -> dict[str, object]:
    """GET /oauth2/token: docker's way."""
    registry = _registry(azure, query)
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        if not registry.properties.get("anonymousPullEnabled"):
            raise DeniedError(_NEEDED)
        return _access(azure, registry, ANONYMOUS, request, query)
    if scheme.lower() != "basic":
        raise DeniedError(f"the authentication scheme '{scheme}' is not basic")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise DeniedError("the Authorization header is malformed") from error
    caller = registry_access.by_password(azure, registry, user, password)
    return _access(azure, registry, caller, request, query)


def _granted(azure: Azure, request: Request, form: Form) -> dict[str, object]:
    """POST /oauth2/token: by refresh token, or by user name and password."""
    registry = _registry(azure, form)
    grant = _one(form, "grant_type")
    if grant == "refresh_token":
        token = _one(form, "refresh_token")
        caller = registry_access.by_refresh_token(azure, registry, token)
        return {**_access(azure, registry, caller, request, form), "refresh_token": token}
    if grant == "password":
        caller = registry_access.by_password(azure, registry, _one(form, "username"), _one(form, "password"))
        return _access(azure, registry, caller, request, form)
    raise DeniedError(f"grant_type '{grant}' is none of refresh_token, password", 400, "UNSUPPORTED")


def _exchanged(azure: Azure, request: Request, form: Form) -> dict[str, object]:
    """POST /oauth2/exchange: an Entra token becomes a refresh token of a registry."""
    registry = _registry(azure, form)
    grant = _one(form, "grant_type")
    if grant not in {"access_token", "access_token_refresh_token"}:
        raise DeniedError(f"grant_type '{grant}' is not access_token", 400, "UNSUPPORTED")
    caller = registry_access.by_entra_token(azure, registry, _one(form, "access_token"))
    client = client_of(request, registry)
    registry_access.pass_firewall(azure, registry, caller, client)
    caller = replace(caller, network=client.network)
    return {"refresh_token": registry_access.refresh_token(azure, registry, caller)}


def _access(azure: Azure, registry: Document, caller: Caller, request: Request, form: Form) -> dict[str, object]:
    registry_access.pass_firewall(azure, registry, caller, client_of(request, registry))
    scopes = _scopes(form)
    refusal = registry_access.refusal(azure, registry, caller, scopes)
    _note(azure, form, caller.principal.name if caller.principal else caller.name, 403 if refusal else 200, refusal)
    token = registry_access.access_token(azure, registry, caller, scopes)
    return {
        "access_token": token,
        "token": token,
        "expires_in": registry_access.ACCESS_LIFETIME,
        "issued_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _scopes(form: Form) -> list[str]:
    return [scope for entry in form.get("scope", []) for scope in entry.split()]


def _registry(azure: Azure, form: Form) -> Document:
    service = _one(form, "service")
    registry = registry_access.find(azure, service)
    if registry is None:
        raise DeniedError(f"service '{service}' is no registry here", 404, "NAME_UNKNOWN")
    return registry


def _one(form: Form, name: str) -> str:
    value = form.get(name) or [""]
    if not value[0]:
        raise DeniedError(f"the field {name} is missing", 400, "INVALID")
    return value[0]


async def _form(request: Request) -> Form:
    body = await request.body()
    if len(body) > _LONGEST:
        return {}
    return parse_qs(body.decode("utf-8", "replace"))
