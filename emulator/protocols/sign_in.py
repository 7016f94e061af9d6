"""Entra's sign-in over https: discovery, keys and the token endpoint (client credentials).

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import base64
import uuid
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.core.azure import Azure
from emulator.services.graph import access as entra


def sign_in(azure: Azure) -> list[BaseRoute]:
    """Paths of discovery, keys and tokens."""

    async def configuration(request: Request) -> Response:
        tenant = request.path_params["tenant"]
        base = f"{azure.url}/{tenant}"
        return JSONResponse(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "issuer": entra.issuer(azure),
            }
        )

    async def discovery(request: Request) -> Response:
        del request
        host = azure.url.removeprefix("https://")
        return JSONResponse(
            {
                "tenant_discovery_endpoint": f"{azure.url}/common/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }
        )

    async def keys(request: Request) -> Response:
        del request
        return JSONResponse(await run_in_threadpool(entra.key_set, azure))

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        authorization = request.headers.get("authorization", "")
        tenant = request.path_params["tenant"]
        return await run_in_threadpool(_token, azure, tenant, form, authorization)

    return [
        Route("/{tenant}/v2.0/.well-known/openid-configuration", configuration),
        Route("/{tenant}/.well-known/openid-configuration", configuration),
        Route("/common/discovery/instance", discovery),
        Route("/{tenant}/discovery/v2.0/keys", keys),
        Route("/{tenant}/discovery/keys", keys),
        Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
        Route("/{tenant}/oauth2/token", token, methods=["POST"]),
    ]


def _token(  # noqa: PLR0911 - each refusal is one of Entra's
    azure: Azure, tenant: str, form: dict[str, str], authorization: str
) -> Response:
    if tenant.lower() not in {azure.tenant, "common", "organizations"}:
        return _refusal(
            400,
            "invalid_request",
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.",
        )
    if form.get("grant_type") != "client_credentials":
        text = f"The request's 'grant_type' is '{form.get('grant_type', '')}'; only client_credentials is served here."
        return _refusal(400, "unsupported_grant_type", 70003, text)
    client, secret = form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            client, _, secret = (unquote(part) for part in base64.b64decode(encoded).decode().partition(":"))
        except ValueError:
            return _refusal(401, "invalid_client", 7000215, "Invalid client secret provided.")
    if not client:
        return _refusal(
            400, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."
        )
    if not secret:
        text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        return _refusal(401, "invalid_client", 7000218, text)
    audience = _audience(azure, form)
    if audience is None:
        requested = form.get("scope") or form.get("resource") or ""
        text = f"The provided value for the input parameter 'scope' is not valid. The scope {requested} is not valid."
        return _refusal(400, "invalid_scope", 70011, text)
    if audience.rstrip("/") not in _resources(azure):
        text = (
            f"The resource principal named {audience} was not found in the tenant named Local Azure. This can happen"
            " if the application has not been installed by the administrator of the tenant or consented to by any"
            " user in the tenant."
        )
        return _refusal(400, "invalid_resource", 500011, text)
    proof = entra.authenticate(azure, client, secret)
    if proof.principal is None:
        unknown = proof.number == _UNKNOWN_APPLICATION
        return _refusal(
            400 if unknown else 401, "unauthorized_client" if unknown else "invalid_client", proof.number, proof.text
        )
    return JSONResponse(
        {
            "token_type": "Bearer",
            "expires_in": entra.LIFETIME,
            "ext_expires_in": entra.LIFETIME,
            "access_token": entra.issue_token(azure, proof.principal, audience),
        },
        headers={"Cache-Control": "no-store"},
    )


_UNKNOWN_APPLICATION = 700016


def _audience(azure: Azure, form: dict[str, str]) -> str | None:
    """The token's audience: the scope without `/.default`, or version 1's `resource`."""
    del azure
    if "resource" in form:
        return form["resource"]
    scopes = [scope for scope in form.get("scope", "").split() if scope not in {"openid", "profile", "offline_access"}]
    if len(scopes) != 1 or not scopes[0].endswith("/.default"):
        return None
    return scopes[0].removesuffix("/.default")


def _resources(azure: Azure) -> set[str]:
    audiences = (
        *(azure.url, f"{azure.url}/graph"),
        *entra.ARM_AUDIENCES,
        *entra.GRAPH_AUDIENCES,
        entra.VAULT_AUDIENCE,
        entra.vault_audience(azure),
        *entra.REGISTRY_AUDIENCES,
        *entra.ML_AUDIENCES,
        *entra.STORAGE_AUDIENCES,
    )
    return set(audiences)


def _refusal(status: int, error: str, number: int, text: str) -> Response:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
        "error_codes": [number],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    return JSONResponse(body, status)
