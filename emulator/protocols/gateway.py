"""The gateway before online endpoints: one port on 127.0.0.1 for each, in front of the deployments' containers.

Owns who may come in (keys, AML tokens, Entra tokens), the traffic split, mirroring, limits and the errors that Azure's
own gateway answers. What runs behind it is `emulator/services/containers.py`; the rules come from `ml_endpoints`.
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints#http-status-codes
"""

import asyncio
import hmac
import logging
import re
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from emulator.backends.containers import Replica
from emulator.backends.fleet import AbsentError, FullError, Pool, RetiredError
from emulator.backends.scoring_client import BrokenError, Reply, UnreachableError, exchange
from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.protocols.http_protocol import HttpProtocol
from emulator.services.graph import access as entra
from emulator.services.machinelearningservices.onlineendpoints.access import SCORE, Route, token_is_valid
from emulator.services.machinelearningservices.onlineendpoints.data import Collector, Exchange
from emulator.services.machinelearningservices.onlineendpoints.rules import ENDPOINTS, parent_of
from emulator.services.machinelearningservices.onlineendpoints.types import OnlineDeployment, OnlineEndpoint, port_name
from emulator.services.network import access as network

if TYPE_CHECKING:
    from concurrent.futures import Future

DEPLOYMENT = "azureml-model-deployment"
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"}
_SCORING_PATH = "/score"
_WHOLE = 100
_ATTEMPTS = 20
_PAUSE = 0.05
_PATIENCE = 30.0
_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
# What is collected of an answer must be readable, so none is compressed.
_NOT_FORWARDED = _HOP_BY_HOP | {
    "accept-encoding",
    "authorization",
    "host",
    "proxy-authorization",
    "x-request-id",
    DEPLOYMENT,
}
_NOT_RETURNED = _HOP_BY_HOP | {"date", "server", "x-request-id", DEPLOYMENT}
_TRACE = re.compile(r"[\w-]{1,40}", re.ASCII)
LONGEST_BODY = 100 << 20
"""Bytes of a request's body. Azure limits an endpoint's bandwidth and names no size; this bounds our memory."""
LONGEST_TARGET = 8000
"""Bytes of a path with its query: https://www.rfc-editor.org/rfc/rfc9110#section-4.1"""
READING = 60.0
"""Seconds that a client has to send a request's body."""
_log = logging.getLogger(__name__)


class Shares:
    """A split that is exact over any hundred requests, and even within: smooth weighted round robin."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.weights = dict(weights)
        self._due = dict.fromkeys(self.weights, 0)

    def next(self) -> str | None:
        """The deployment whose turn it is; None where none has a weight."""
        total = sum(self.weights.values())
        if total == 0:
            return None
        for name, weight in self.weights.items():
            self._due[name] += weight
        chosen = max(self._due, key=lambda name: self._due[name])
        self._due[chosen] -= total
        return chosen


@dataclass
class _TrafficSplit:
    """The shares of an endpoint's present traffic rules."""

    traffic: Shares = field(default_factory=lambda: Shares({}))
    mirror: Shares = field(default_factory=lambda: Shares({}))

    def follow(self, route: Route) -> None:
        """Begin anew where the rules have changed."""
        if self.traffic.weights != route.traffic:
            self.traffic = Shares(route.traffic)
        rest = {"": _WHOLE - sum(route.mirror.values()), **route.mirror}
        if self.mirror.weights != rest:
            self.mirror = Shares(rest)


class _RefusedError(Exception):
    """An answer of the gateway itself."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class Gateway:
    """Listens for all endpoints of a local Azure, from `start` until `stop`, in one thread with one event loop."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._endpoints = azure.serving(OnlineEndpoint)
        self._fleet = azure.serving(OnlineDeployment).fleet
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._servers: dict[str, tuple[uvicorn.Server, Future[None]]] = {}
        self._splits: dict[str, _TrafficSplit] = {}
        self._mirrored: set[asyncio.Task[Response | None]] = set()
        self._collector = Collector(azure)
        self._collecting: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Open the ports of all endpoints. Call after the types are served; `PortInUseError` where one is taken."""
        self._thread.start()
        try:
            for document in self._azure.store.of_type(ENDPOINTS):
                self.open(document.id)
        except BaseException:
            self.stop()
            raise
        self._endpoints.opened, self._endpoints.closed = self.open, self.close
        self._fleet.watch()
        try:
            self._azure.serving(OnlineDeployment).sweep()
        except AzureError as error:
            _log.warning("%s", error)

    def stop(self) -> None:
        """Close all ports; requests that are inside get their answers first."""
        self._endpoints.opened = self._endpoints.closed = lambda _: None
        for key in list(self._servers):
            self._end(key)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)

    def open(self, endpoint: ResourceId) -> None:
        """Listen for an endpoint at the port that `azure.ports` keeps for it."""
        with self._lock:
            if endpoint.key in self._servers:
                return
            listening = self._azure.ports.bind(port_name(endpoint))

            async def answer(scope: Scope, receive: Receive, send: Send) -> None:
                response = await self._answer(endpoint, Request(scope, receive))
                await response(scope, receive, send)

            config = uvicorn.Config(
                answer,
                http=HttpProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
            server = uvicorn.Server(config)
            ended = asyncio.run_coroutine_threadsafe(_serve(server, listening), self._loop)
            self._servers[endpoint.key] = (server, ended)

    def close(self, endpoint: ResourceId) -> None:
        """Listen for an endpoint no more."""
        self._end(endpoint.key)
        self._splits.pop(endpoint.key, None)

    def _end(self, key: str) -> None:
        with self._lock:
            entry = self._servers.pop(key, None)
        if entry is not None:
            server, ended = entry
            server.should_exit = True
            try:
                ended.result(_PATIENCE)
            except Exception:  # noqa: BLE001 - it is logged, and the other ports close
                _log.warning("the port of %s does not close cleanly", key, exc_info=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _answer(self, endpoint: ResourceId, request: Request) -> Response:
        number = str(uuid.uuid4())
        trace = request.headers.get("x-ms-client-request-id", "")
        headers = {"x-request-id": number}
        if _TRACE.fullmatch(trace):
            headers["x-ms-client-request-id"] = trace
        try:
            _check(request)
            route = self._route(endpoint)
            await self._admit(route, request)
            response = await self._forward(route, request, await _body(request), headers)
        except _RefusedError as error:
            response = _error(error.status, error.code, str(error))
        response.headers.update(headers)
        return response

    def _route(self, endpoint: ResourceId) -> Route:
        route = self._endpoints.routes.get(endpoint.key)
        if route is None:
            raise _RefusedError(404, "NotFound", f"The endpoint '{endpoint.name}' does not exist (any more).")
        return route

    async def _admit(self, route: Route, request: Request) -> None:
        # The network of an endpoint on Kubernetes is its cluster's.
        workspace = self._azure.store.get(parent_of(route.id)) if route.managed else None
        if workspace is not None and not network.is_endpoint_open(workspace, public=route.public):
            await run_in_threadpool(self._pass_firewall, route, workspace, request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _RefusedError(
                401, "Unauthorized", f"The request lacks the header 'Authorization: Bearer …' ({route.auth_mode})."
            )
        token = token.strip()
        if route.auth_mode == "AADToken":
            await run_in_threadpool(self._admit_principal, route, token)
        elif route.auth_mode == "AMLToken":
            if not token_is_valid(route, token):
                raise _RefusedError(
                    401, "Unauthorized", f"The token is not one of endpoint '{route.id.name}', or has expired."
                )
        elif not any(hmac.compare_digest(token.encode(), key.encode()) for key in route.keys):
            raise _RefusedError(401, "Unauthorized", f"The key is not one of endpoint '{route.id.name}'.")

    def _admit_principal(self, route: Route, token: str) -> None:
        try:
            principal = entra.verify_token(self._azure, token, entra.ML_AUDIENCES)
        except AzureError as error:
            raise _RefusedError(401, error.code, error.message) from error
        try:
            self._azure.access.demand(principal, SCORE, route.id)
        except AzureError as error:
            raise _RefusedError(403, error.code, error.message) from error

    def _pass_firewall(self, route: Route, workspace: Document, request: Request) -> None:
        """Refuse who comes from outside. The code is Azure's, its words are not known."""
        scope = request.scope
        client = network.client_of(tuple(scope["client"]), tuple(scope["server"]))
        refused = network.endpoint_refusal(self._azure, workspace, client, public=route.public)
        if refused == network.DISABLED:
            text = f"Public network access is disabled for endpoint '{route.id.name}': use its private endpoint."
            raise _RefusedError(403, "Forbidden", text)
        if refused:
            text = f"Client address {client.address} is not allowed to access endpoint '{route.id.name}'."
            raise _RefusedError(403, "Forbidden", text)

    async def _forward(self, route: Route, request: Request, body: bytes, headers: dict[str, str]) -> Response:
        """Send a request to a container of the deployment whose turn it is."""
        requested = request.headers.get(DEPLOYMENT)
        split = self._splits.setdefault(route.id.key, _TrafficSplit())
        split.follow(route)
        name = requested or split.traffic.next()
        for attempt in range(_ATTEMPTS):
            if name is None:
                text = "The endpoint doesn't have any valid deployment with positive weight."
                raise _RefusedError(404, "NotFound", text)
            slot = self._take_slot(route, name)
            if slot is not None:
                forwarded = _Forwarded(request, body, headers)
                if attempt == 0 and not requested:
                    self._mirror(route, split, forwarded)
                response = await self._exchange(route, name, slot, forwarded)
                if response is not None:
                    return response
            elif requested:
                self._demand_known(route, name)
            # It is being removed or changed: try again by the present rules.
            await asyncio.sleep(_PAUSE)
            route = self._route(route.id)
            split.follow(route)
            if not requested and not route.traffic.get(name):
                name = split.traffic.next()
        self._fleet.record(route.deployment(str(name)), 0, HTTPStatus.SERVICE_UNAVAILABLE)
        text = f"Deployment '{name}' has no container that is ready; try again later."
        raise _RefusedError(503, "ServiceUnavailable", text)

    def _take_slot(self, route: Route, name: str) -> "_Slot | None":
        """A slot in a container of a deployment; None where there is none now. Refused where too many are inside."""
        key = route.deployment(name)
        pool = self._fleet.pools.get(key)
        if pool is None:
            return None
        try:
            return _Slot(pool, pool.enter())
        except (AbsentError, RetiredError):
            return None
        except FullError:
            self._fleet.record(key, 0, HTTPStatus.TOO_MANY_REQUESTS)
            text = f"Deployment '{name}' has too many pending requests (at most {pool.spec.limit})."
            raise _RefusedError(429, "TooManyRequests", text) from None

    def _demand_known(self, route: Route, name: str) -> None:
        with suppress(AzureError):  # a name that no id can have
            if self._azure.store.get(route.id.child("deployments", name)) is not None:
                return
        raise _RefusedError(404, "NotFound", f"Deployment '{name}' does not exist in endpoint '{route.id.name}'.")

    async def _exchange(self, route: Route, name: str, slot: "_Slot", forwarded: "_Forwarded") -> Response | None:
        """One request to one container; None where it could not be reached, so that another may be tried."""
        key, start, spec = route.deployment(name), time.monotonic(), slot.pool.spec
        try:
            async with asyncio.timeout(spec.timeout):
                reply = await self._send((slot.replica.host, slot.replica.ports[spec.port]), spec.scoring, forwarded)
        except (UnreachableError, KeyError):
            return None
        except TimeoutError:
            response = _error(408, "RequestTimeout", f"Deployment '{name}' took longer than {spec.timeout:g} s.")
        except BrokenError as error:
            text = f"Deployment '{name}' broke the connection off: {error}."
            response = _error(502, "BadGateway", text)
        else:
            failing = self._azure.faults.get("scoring-fails")
            response = _returned(reply, failing=failing is True or failing == name)
        finally:
            slot.pool.leave(slot.replica)
        if spec.collector:
            self._collect(route.id.child("deployments", name), spec.collector, forwarded, response)
        seconds = time.monotonic() - start
        self._fleet.record(key, seconds, response.status_code)
        response.headers.update({DEPLOYMENT: name, "ms-azureml-model-time": str(round(1000 * seconds))})
        return response

    def _collect(
        self, deployment: ResourceId, settings: dict[str, Any], forwarded: "_Forwarded", response: Response
    ) -> None:
        """Store payloads in the background."""
        source = forwarded.request
        number = forwarded.headers.get("x-request-id", "")
        headers = dict(source.headers)
        exchange = Exchange(
            number,
            source.scope["path"],
            source.method,
            headers,
            forwarded.body,
            response.status_code,
            bytes(response.body),
        )
        task = asyncio.get_running_loop().create_task(
            run_in_threadpool(self._collector.collect, deployment, settings, exchange)
        )
        self._collecting.add(task)
        task.add_done_callback(self._collecting.discard)

    async def _send(self, address: tuple[str, int], scoring: str, forwarded: "_Forwarded") -> Reply:
        source = forwarded.request
        # The scoring URI leads to the environment's scoring route; any other path is the container's own.
        path = scoring.encode() if source.scope["path"] == _SCORING_PATH else source.scope["raw_path"]
        own = [(name.encode(), value.encode()) for name, value in forwarded.headers.items()]
        # As bytes: a header's value need not be ASCII.
        headers = [(name, value) for name, value in source.headers.raw if name.decode("ascii") not in _NOT_FORWARDED]
        return await exchange(address, source.method, _target(path, source), [*headers, *own], forwarded.body)

    def _mirror(self, route: Route, split: _TrafficSplit, forwarded: "_Forwarded") -> None:
        """Send a copy to the deployment that traffic is mirrored to, if it is its turn; the answer is dropped."""
        name = split.mirror.next()
        if not name:
            return
        try:
            slot = self._take_slot(route, name)
        except _RefusedError:
            return
        if slot is not None:
            task = asyncio.get_running_loop().create_task(self._exchange(route, name, slot, forwarded))
            self._mirrored.add(task)
            task.add_done_callback(self._mirrored.discard)


@dataclass(frozen=True)
class _Slot:
    """A slot in a container, until `pool.leave(replica)`."""

    pool: Pool
    replica: Replica


@dataclass(frozen=True)
class _Forwarded:
    """What is forwarded."""

    request: Request
    body: bytes
    headers: dict[str, str]


def _target(path: bytes, request: Request) -> bytes:
    """A path with a request's query, both as the client spelled them."""
    query: bytes = request.scope["query_string"]
    return path + b"?" * bool(query) + query


def _check(request: Request) -> None:
    if request.method not in _METHODS:
        raise _RefusedError(405, "MethodNotAllowed", f"The method is none of {', '.join(sorted(_METHODS))}.")
    target = _target(request.scope["raw_path"], request)
    if len(target) > LONGEST_TARGET:
        raise _RefusedError(414, "UriTooLong", f"The path and query are longer than {LONGEST_TARGET} bytes.")
    # https://www.rfc-editor.org/rfc/rfc9112#section-3.2.1
    if not target.startswith(b"/") or b"#" in target:
        raise _RefusedError(400, "BadRequest", "The request is for no path that begins with '/'.")


async def _body(request: Request) -> bytes:
    """Read a request's body, as long as it is not too long and does not come too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(READING):
            async for piece in request.stream():
                body += piece
                if len(body) > LONGEST_BODY:
                    text = f"The body is longer than {LONGEST_BODY} bytes."
                    raise _RefusedError(413, "PayloadTooLarge", text)
    except TimeoutError:
        raise _RefusedError(408, "RequestTimeout", f"The body did not come within {READING:g} s.") from None
    except ClientDisconnect:
        raise _RefusedError(400, "BadRequest", "The client ended the connection.") from None
    return bytes(body)


def _error(status: int, code: str, text: str) -> Response:
    # Of what is still to come nothing is read.
    closing = {"Connection": "close"} if status in {408, 413, 414} else {}
    return JSONResponse({"error": {"code": code, "message": text}}, status, closing)


def _returned(reply: Reply, *, failing: bool) -> Response:
    """A container's answer as Azure hands it on: a failure of the model becomes 424."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR if failing else reply.status
    broken = status >= HTTPStatus.BAD_REQUEST
    response = Response(bytes(reply.content), 424 if broken else status)
    kept = [(name, value) for name, value in reply.headers if name.decode("ascii") not in _NOT_RETURNED]
    response.raw_headers += kept
    if broken:
        response.headers["ms-azureml-model-error-statuscode"] = str(int(status))
        response.headers["ms-azureml-model-error-reason"] = "model_error"
    return response


async def _serve(server: uvicorn.Server, listening: Any) -> None:  # noqa: ANN401 - a socket
    try:
        await server.serve(sockets=[listening])
    finally:
        listening.close()
