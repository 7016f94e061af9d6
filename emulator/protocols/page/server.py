"""The page's listener: the link, the files, the view models as JSON and as events, and what a form sends.

Plain http on the loopback interface: no browser knows the local certificate authority; 127.0.0.1 is a secure context.
https://developer.mozilla.org/docs/Web/Security/Secure_Contexts
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ports import HOST
from emulator.protocols.page import endpoints, faults, logs, overview, registries, requests, roles
from emulator.protocols.page.access import Sessions, check_origin
from emulator.protocols.page.redaction import Secrets
from emulator.protocols.web import RequestLog, json_body
from emulator.services.graph import access as entra

PORT = "page"
"""The name under which `azure.ports` keeps the page's port."""
_STATIC = Path(__file__).parent / "static"
_PAUSE = 0.4
_REST = 4
"""How many times longer than its work a stream rests: a page that is only watched does not slow the rest down."""
_HEARTBEAT = 15.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Local Azure</title>'
    '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/page.css">'
)
_OPENED = f'{_HEAD}<meta http-equiv="refresh" content="0; url=/">'
_CLOSED = f"{_HEAD}<main><h1>Local Azure</h1><p>{{text}}</p></main>"

View = Callable[[Azure, Mapping[str, str]], Any]
Handler = Callable[[Request], Awaitable[Response]]
VIEWS: Mapping[str, View] = {
    "overview": overview.overview,
    "resource": overview.resource,
    "endpoints": endpoints.endpoints,
    "registries": registries.registries,
    "roles": roles.roles,
    "requests": requests.requests,
    "faults": faults.faults,
    "log": logs.log,
}
_STORED = frozenset({"overview", "resource", "roles"})
"""Views that change with the documents and the journal only."""


class Page:
    """The page of one local Azure: its application, and the links that open it."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self.sessions = Sessions()
        self._secrets = Secrets(azure, entra.deployer(azure).secret)
        self._closing = threading.Event()
        self._cookie = f"local-azure-page-{azure.ports.choose(PORT)}"

    def link(self, example: str = "") -> str:
        """A link that opens the page once; `example` is the request that "ask it" offers from now on."""
        if example:
            self._azure.store.put_fact(endpoints.EXAMPLE, example)
        return f"http://{HOST}:{self._azure.ports.of(PORT)}/open?{urlencode({'key': self.sessions.link()})}"

    def close(self) -> None:
        """End the streams of events, so that the listener need not wait for them."""
        self._closing.set()

    @property
    def application(self) -> Starlette:
        """The page as an ASGI application."""
        guarded = self._guarded
        routes = [
            Route("/open", guarded(self._open, session=False)),
            Route("/", guarded(_index)),
            Route("/static/{path:path}", guarded(_static, session=False)),
            Route("/data/{view}", guarded(self._data)),
            Route("/events/{view}", guarded(self._events)),
            Route("/ask", guarded(self._ask), methods=["POST"]),
            Route("/faults", guarded(self._fault), methods=["POST"]),
        ]
        return Starlette(routes=routes, middleware=[Middleware(RequestLog)])

    def _guarded(self, handler: Handler, *, session: bool = True) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                check_origin(request.method, request.headers)
                if session:
                    self.sessions.demand(request.cookies.get(self._cookie, ""))
                response = await handler(request)
            except AzureError as error:
                response = self._refusal(request, error)
            response.headers.update(_HEADERS)
            return response

        return answer

    def _refusal(self, request: Request, error: AzureError) -> Response:
        if request.url.path in {"/", "/open"}:
            return HTMLResponse(_CLOSED.format(text=error.message), error.status)
        return self._json(error.body, error.status)

    def _json(self, model: object, status: int = 200) -> Response:
        return Response(self._secrets.dumps(model), status, media_type="application/json")

    async def _open(self, request: Request) -> Response:
        token = self.sessions.open(request.query_params.get("key", ""))
        # A redirect would go without the cookie where another site's page has the link: SameSite=Strict.
        response = HTMLResponse(_OPENED)
        response.set_cookie(self._cookie, token, httponly=True, samesite="strict")
        return response

    async def _data(self, request: Request) -> Response:
        view = _view(request)
        return self._json(await run_in_threadpool(view, self._azure, request.query_params))

    async def _events(self, request: Request) -> Response:
        view, name = _view(request), request.path_params["view"]
        return StreamingResponse(self._stream(view, name, request), media_type="text/event-stream")

    async def _stream(self, view: View, name: str, request: Request) -> AsyncIterator[str]:
        """The view model whenever it has changed."""
        last, version, quiet = "", (-1, -1), 0.0
        yield "retry: 1000\n\n"
        pause = _PAUSE
        while not self._closing.is_set() and not await request.is_disconnected():
            now = (self._azure.store.version, self._azure.journal.count)
            if now != version or name not in _STORED:
                begun = time.monotonic()
                text = await run_in_threadpool(self._event, view, request.query_params)
                pause = max(_PAUSE, _REST * (time.monotonic() - begun))
                version = now
                if text != last:
                    last, quiet = text, 0.0
                    yield text
            quiet += pause
            if quiet > _HEARTBEAT:
                quiet = 0.0
                yield ": alive\n\n"
            await asyncio.sleep(pause)

    def _event(self, view: View, query: Mapping[str, str]) -> str:
        try:
            return f"data: {self._secrets.dumps(view(self._azure, query))}\n\n"
        except AzureError as error:
            return f"event: refused\ndata: {self._secrets.dumps(error.body)}\n\n"

    async def _ask(self, request: Request) -> Response:
        return self._json(await run_in_threadpool(endpoints.ask, self._azure, await json_body(request)))

    async def _fault(self, request: Request) -> Response:
        return self._json(await run_in_threadpool(faults.change, self._azure, await json_body(request)))


def _view(request: Request) -> View:
    view = VIEWS.get(request.path_params["view"])
    if view is None:
        raise AzureError(404, "NotFound", f"There is no view '{request.path_params['view']}'.")
    return view


async def _index(request: Request) -> Response:
    del request
    return FileResponse(_STATIC / "index.html")


async def _static(request: Request) -> Response:
    file = (_STATIC / request.path_params["path"]).resolve()
    if not file.is_relative_to(_STATIC) or not file.is_file():
        raise AzureError(404, "NotFound", f"Nothing is at {request.url.path}.")
    return FileResponse(file)
