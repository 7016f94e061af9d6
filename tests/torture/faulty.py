"""A local Azure in this process behind azure-core's transport, with faults on the way to it.

Owns how a request gets there, what becomes of it on the way, and what no error may repeat. Refuses to own what Azure
does (the emulator's own application) and what is asked.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import requests
from anyio.from_thread import BlockingPortal, start_blocking_portal
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest import HttpRequest
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azureml_scoring.provider.arm import Arm, find_cloud, find_credential

from emulator.protocols import arm
from emulator.services.graph import access as entra
from tests.emulator.conftest import InProcessAzure

Kind = Literal["throttled", "throttled for a while", "failed", "failed after all", "out of service", "lost", "refused"]
"""What becomes of a request. What failed after all, and what got lost, Azure has carried out all the same."""
KINDS: tuple[Kind, ...] = (
    *("throttled", "throttled for a while", "failed", "failed after all"),
    *("out of service", "lost", "refused"),
)
CANARY = "?sig=canary-of-a-fault"
_BUSY = {"error": {"code": "ServerBusy", "message": f"Try again: {CANARY}"}}
_ANSWERS: Mapping[Kind, tuple[int, Mapping[str, str], bytes]] = {
    "throttled": (429, {}, json.dumps(_BUSY).encode()),
    "throttled for a while": (429, {"Retry-After": "30"}, b""),
    "failed": (500, {}, json.dumps(_BUSY).encode()),
    "failed after all": (500, {}, b""),
    "out of service": (503, {}, f"<html>{CANARY}</html>".encode()),
}
_SECRET = re.compile(r'"(?:access_token|primaryKey|secondaryKey|key|accessToken)": ?"([^"]{8,})"|[?&]sig=([\w%]{8,})')


@dataclass
class FaultyAzure(HttpTransport):  # type: ignore[type-arg]
    """The way to a local Azure; `faults` says of each request, in order, what becomes of it (None: it arrives)."""

    local: InProcessAzure
    http: httpx.AsyncClient
    portal: BlockingPortal
    elsewhere: RequestsTransport
    faults: Iterator[Kind | None] = field(default_factory=lambda: iter(()))
    met: int = 0
    """How many requests met a fault."""
    secrets: set[str] = field(default_factory=lambda: {CANARY})

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def sleep(self, duration: float) -> None:
        """Waste no time between two tries."""

    def send(self, request: HttpRequest, **options: Any) -> RestRequestsTransportResponse:  # noqa: ANN401 - azure-core's
        """Send a request, or let it meet the next fault."""
        kind = next(self.faults, None)
        self.met += kind is not None
        self.secrets |= _secrets(request.url)
        if kind in {"failed after all", "lost", None}:
            status, headers, content = self._arrive(request, **options)
        if kind == "refused":
            raise ServiceRequestError(f"Connection refused {CANARY}")
        if kind == "lost":
            raise ServiceResponseError(f"Remote end closed connection {CANARY}")
        if kind is not None:
            status, headers, content = _ANSWERS[kind]
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response._content = content
        response._content_consumed = True  # type: ignore[attr-defined]
        response.raw = io.BytesIO(content)
        response.url = request.url
        return RestRequestsTransportResponse(  # type: ignore[no-untyped-call]
            request=request, internal_response=response
        )

    def _arrive(self, request: HttpRequest, **options: Any) -> tuple[int, Mapping[str, str], bytes]:  # noqa: ANN401
        if urlsplit(request.url).port != urlsplit(self.local.azure.url).port:
            answered = self.elsewhere.send(request, **options)
            answered.read()
            return answered.status_code, answered.headers, answered.content
        content = request.content or request._data
        data = content.read() if hasattr(content, "read") else content
        body = {"data": data} if isinstance(data, dict) else {"content": data}
        ask = partial(self.http.request, request.method, request.url, headers=dict(request.headers), **body)
        reply: httpx.Response = self.portal.call(ask)
        self.secrets |= _secrets(reply.text)
        kept = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
        return reply.status_code, kept, reply.content


def _secrets(text: str) -> set[str]:
    return {first or second for first, second in _SECRET.findall(text)}


@contextmanager
def faulty(local: InProcessAzure) -> Iterator[tuple[FaultyAzure, Callable[[], Arm]]]:
    """The way to a local Azure without a fault yet, and what makes clients that go it."""
    deployer = entra.deployer(local.azure)
    environment = {
        "ARM_METADATA_HOSTNAME": local.azure.url.removeprefix("https://"),
        "ARM_TENANT_ID": local.azure.tenant,
        "ARM_CLIENT_ID": deployer.app_id,
        "ARM_CLIENT_SECRET": deployer.secret,
    }
    http = httpx.AsyncClient(transport=httpx.ASGITransport(arm.application(local.azure, str)))
    with start_blocking_portal() as portal, RequestsTransport() as elsewhere:
        way = FaultyAzure(local, http, portal, elsewhere)
        way.secrets.add(deployer.secret)

        def connect() -> Arm:
            cloud = find_cloud(environment, way)
            credential = find_credential(environment, cloud, way)
            return Arm(cloud, credential, tenant=local.azure.tenant, transport=way, sleep=lambda _: None)

        yield way, connect
