"""Container registries over https, with Azure's own /acr/v1, beside the plain http that docker takes for localhost.

A registry has one port. What begins there as TLS goes to an https application, everything else to the registry server.
https://learn.microsoft.com/rest/api/containerregistry/data-plane (repositories and tags)
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from emulator.backends.streams import PIECE, Acceptor, forward
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ports import HOST
from emulator.core.store import Document
from emulator.protocols import registry_token
from emulator.protocols.tls import Tls
from emulator.protocols.web import RequestLog, bearer, listening
from emulator.services.containerregistry import access, content

_TLS_HANDSHAKE = 0x16
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
#: The registry server is asked over plain http: a context for each request would cost most of its time.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Fronts:
    """What listens on the registries' ports. Thread-safe."""

    def __init__(self, azure: Azure, files: Tls) -> None:
        self._azure = azure
        self._files = files
        self._open: dict[str, ExitStack] = {}
        self._lock = threading.Lock()

    def open(self, login_server: str, listener: socket.socket, server: int) -> None:
        """Listen for a registry whose server has a port of its own."""
        stack = ExitStack()
        inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        inside.bind((HOST, 0))
        inside.listen(128)
        https = inside.getsockname()[1]
        stack.enter_context(listening(application(self._azure, login_server, server), inside, self._files))
        acceptor = Acceptor(listener, partial(_split, https, server), "registry port")
        acceptor.start()
        stack.callback(acceptor.stop)
        with self._lock:
            self._open[login_server] = stack

    def close(self, login_server: str) -> None:
        """Listen no more."""
        with self._lock:
            stack = self._open.pop(login_server, None)
        if stack is not None:
            stack.close()


async def _split(https: int, plain: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a connection on by its first byte."""
    first = await reader.read(PIECE)
    port = https if first[:1] == bytes([_TLS_HANDSHAKE]) else plain
    await forward(reader, writer, (HOST, port), first)


def application(azure: Azure, login_server: str, port: int) -> Starlette:
    """The https application of one registry: /acr/v1, and everything else handed to its server."""
    server = f"http://{HOST}:{port}"

    async def catalog(request: Request) -> Response:
        registry = await run_in_threadpool(_admit, azure, login_server, request, "catalog", "*")
        return JSONResponse({"repositories": await run_in_threadpool(_repositories, azure, registry, server)})

    async def tags(request: Request) -> Response:
        name = request.path_params["name"]
        registry = await run_in_threadpool(_admit, azure, login_server, request, name, "metadata_read", "pull")
        result = await run_in_threadpool(_tags, azure, registry, server, name)
        return JSONResponse(result)

    async def forward(request: Request) -> Response:
        return await _forward(request, server, login_server)

    routes = [
        *registry_token.routes(azure),
        Route("/acr/v1/_catalog", catalog),
        Route("/acr/v1/{name:path}/_tags", tags),
        Route("/{path:path}", forward, methods=_METHODS),
    ]
    return Starlette(routes=routes, exception_handlers={AzureError: _error}, middleware=[Middleware(RequestLog)])


async def _error(request: Request, error: Exception) -> Response:
    if not isinstance(error, AzureError):
        raise error
    headers = {"WWW-Authenticate": _challenge(request)} if error.status == 401 else {}  # noqa: PLR2004 - HTTP
    return JSONResponse({"errors": [{"code": error.code, "message": error.message}]}, error.status, headers)


def _challenge(request: Request) -> str:
    """Where clients get a token, and of which scope; azure-containerregistry sends a first request without one."""
    host, name = request.url.netloc, request.path_params.get("name")
    scope = f"repository:{name}:metadata_read" if name else "registry:catalog:*"
    return f'Bearer realm="https://{host}/oauth2/token",service="{host}",scope="{scope}"'


def _admit(azure: Azure, login_server: str, request: Request, name: str, *actions: str) -> Document:
    """The registry, where the request's access token allows one of the actions on a name."""
    registry = access.find(azure, login_server)
    if registry is None:
        raise access.DeniedError(f"'{login_server}' is no registry here", 404, "NAME_UNKNOWN")
    for entry in access.read_access(azure, registry, bearer(request)):
        if entry["name"] == name and set(actions) & {*entry["actions"]}:
            return registry
    raise access.DeniedError(f"the token has no right to {' or '.join(actions)} of '{name}'")


def _repositories(azure: Azure, registry: Document, server: str) -> list[str]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        return content.repositories(azure, registry, server, client)


def _tags(azure: Azure, registry: Document, server: str, name: str) -> dict[str, Any]:
    with httpx.Client(trust_env=False, timeout=60) as client:
        digests = content.tags(azure, registry, server, name, client)
    if digests is None:
        raise access.DeniedError(f"repository name not known to registry: {name}", 404, "NAME_UNKNOWN")
    attributes = dict.fromkeys(("deleteEnabled", "writeEnabled", "readEnabled", "listEnabled"), True)
    listed = [{"name": tag, "digest": digest, "changeableAttributes": attributes} for tag, digest in digests.items()]
    return {"registry": registry.properties["loginServer"], "imageName": name, "tags": listed}


async def _forward(request: Request, server: str, login_server: str) -> Response:
    """Hand a request to the registry server, and its answer back, without holding either whole."""
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP | {"host"}]
    headers += [("host", login_server), ("x-forwarded-proto", "https")]
    query = f"?{request.url.query}" if request.url.query else ""
    client = httpx.AsyncClient(trust_env=False, timeout=None, verify=_NO_TLS)  # noqa: S113 - a layer may take long
    content = request.stream() if request.method in {"POST", "PUT", "PATCH"} else None
    sent = client.build_request(request.method, f"{server}{request.url.path}{query}", headers=headers, content=content)
    reply = await client.send(sent, stream=True)

    async def body() -> AsyncIterator[bytes]:
        try:
            async for piece in reply.aiter_raw():
                yield piece
        finally:
            await reply.aclose()
            await client.aclose()

    kept = {
        name: value for name, value in reply.headers.items() if name.lower() not in _HOP_BY_HOP - {"content-length"}
    }
    return StreamingResponse(body(), reply.status_code, kept)
