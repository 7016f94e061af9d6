"""What the https faces share: listeners, reading requests, and errors as Azure sends them."""

import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator.core.errors import AzureError
from emulator.core.journal import Entry, Journal
from emulator.core.store import Document
from emulator.protocols.tls import Tls
from emulator.services.network import access as network
from emulator.services.network.access import Client

_PATIENCE = 120.0
_DEEPEST = 64
"""Levels of JSON that .NET reads.
https://learn.microsoft.com/dotnet/api/system.text.json.jsonserializeroptions.maxdepth"""
_log = logging.getLogger("emulator.requests")


class ListenerError(Exception):
    """A listener did not start; the text is one line."""


@contextmanager
def listening(app: ASGIApp, listener: socket.socket, files: Tls | None) -> Iterator[None]:
    """Serve an application at a bound socket, in a thread of its own, while the context lasts."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
        ssl_certfile=str(files.certificate) if files else None,
        ssl_keyfile=str(files.key) if files else None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="listener", daemon=True)
    thread.start()
    deadline = time.monotonic() + _PATIENCE
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ListenerError(f"the listener at {listener.getsockname()} did not start; the log may say why")
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        listener.close()


def bearer(request: Request) -> str:
    """The bearer token of a request (401 where there is none)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AzureError(
            401,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        )
    return token.strip()


def client_of(request: Request, resource: Document) -> Client:
    """From where a request for a resource comes; not looked up where it is let in from everywhere."""
    if network.is_open(resource) or not request.client:
        return Client()
    return network.client_of(request.client, request.scope["server"])


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body, empty where there is none (400 for anything else)."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        content = _parsed(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AzureError(
            400,
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: it is not JSON.",
        ) from error
    if not isinstance(content, dict):
        raise AzureError(400, "InvalidRequestContent", "The request content was invalid: it is not a JSON object.")
    return content


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON as RFC 8259 has it (ValueError): of finite numbers and whole characters, and not too deep."""
    content = json.loads(text, parse_constant=_no_number)
    json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    level = [content]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
    if level:
        raise ValueError(f"it is deeper than {_DEEPEST} levels")
    return content


def _inside(value: object) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


async def azure_error(request: Request, error: Exception) -> Response:
    """Render an `AzureError`, and say in `WWW-Authenticate` where a token can be had."""
    if not isinstance(error, AzureError):
        raise error
    headers = {"x-ms-error-code": error.code}
    challenge = getattr(request.app.state, "challenge", None)
    if error.status == 401 and challenge:  # noqa: PLR2004 - HTTP
        headers["WWW-Authenticate"] = f'Bearer authorization_uri="{challenge}", error="invalid_token"'
    return JSONResponse(error.body, error.status, headers)


class RequestLog:
    """One line a request: method, path without its query (signatures stand there), status, milliseconds.

    With a journal it notes there what no other face notes: `service` names it by the path, None where it is not noted.
    Turns what nobody expected into Azure's 500, so that a client sees one line and the log the traceback.
    """

    def __init__(
        self, app: ASGIApp, journal: Journal | None = None, service: Callable[[str], str | None] = lambda _: None
    ) -> None:
        self._app = app
        self._journal = journal
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 0
        request_id = str(uuid.uuid4())

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-ms-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            _log.exception("%s %s", scope["method"], scope["path"])
            if status:
                raise
            text = f"{type(error).__name__} (request {request_id}; the local Azure's log has the rest)"
            await JSONResponse(AzureError(500, "InternalServerError", text).body, 500)(scope, receive, sending)
        finally:
            seconds = time.monotonic() - start
            _log.info("%s %s %d %.0f ms", scope["method"], scope["path"], status, seconds * 1000)
            service = self._service(scope["path"])
            if self._journal is not None and service is not None:
                begun = time.time() - seconds
                entry = Entry(service, scope["method"], scope["path"], at=begun, seconds=seconds, status=status)
                self._journal.add(entry)
