"""A scripted Azure in memory, behind azure-core's transport interface: policies and polling are the real ones."""

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azureml_scoring.provider.arm import Arm, Cloud
from azureml_scoring.provider.framework import Context

HOST = "https://arm.test"
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/scoring"
ENVIRONMENT = f"{WORKSPACE}/environments/iris/versions/abc"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/acr"
DIGEST = "sha256:" + "a" * 64

Answer = tuple[int, dict[str, str], object]
Handler = Callable[["Sent"], Answer]


@dataclass(frozen=True)
class Sent:
    method: str
    url: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class RefusedError(Exception):
    """An error as ARM answers it."""

    status: int
    code: str
    message: str


class Credential:
    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        return AccessToken(f"token for {scopes[0]}", 4_000_000_000)


@dataclass
class FakeAzure(HttpTransport):  # type: ignore[type-arg]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    handlers: list[tuple[str, str, Handler]] = field(default_factory=list)
    failing: dict[str, tuple[str, str]] = field(default_factory=dict)
    operations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    now: float = 0.0
    refuses_repairs: bool = True
    """Whether a failed deployment failed at its first provisioning, after which Azure takes no update."""
    logged: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    # -- what tests use

    def on(self, method: str, pattern: str, handler: Handler) -> None:
        """Answer requests whose URL matches with this; the latest handler counts."""
        self.handlers.insert(0, (method, pattern, handler))

    def arm(self) -> Arm:
        return Arm(
            Cloud(HOST, f"{HOST}/login", HOST, public=False),
            Credential(),
            tenant="t",
            transport=self,
            sleep=self.sleep_for,
            clock=lambda: self.now,
        )

    def context(self, *, preview: bool = False) -> Context:
        return Context(
            "urn:pulumi:s::p::t::n", preview, self.logged.append, self.arm, self.warned.append, self.logged.append
        )

    def accept(self, sent: Sent) -> Answer:
        """Answer a request as Resource Manager does; for handlers."""
        return self._resource_manager(sent)

    def count(self, method: str, pattern: str = "") -> int:
        return len(self.of(method, pattern))

    def of(self, method: str, pattern: str = "") -> list[Sent]:
        return [one for one in self.sent if one.method == method and re.search(pattern, one.url)]

    def sleep_for(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    # -- the transport

    def open(self) -> None: ...

    def close(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def sleep(self, duration: float) -> None:
        self.sleep_for(duration)

    def send(self, request: HttpRequest, **_: object) -> RestRequestsTransportResponse:
        parts = urlsplit(request.url)
        content = request.content
        data = content.read() if hasattr(content, "read") else content
        if request._data:
            data = request._data
        if isinstance(data, str | bytes):
            with contextlib.suppress(ValueError):
                data = json.loads(data)
        sent = Sent(
            request.method,
            request.url,
            parts.path,
            {key: values[0] for key, values in parse_qs(parts.query).items()},
            dict(request.headers),
            data,
        )
        self.sent.append(sent)
        status, headers, body = self._answer(sent)
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response._content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        response._content_consumed = True  # type: ignore[attr-defined]
        response.url = request.url
        return RestRequestsTransportResponse(  # type: ignore[no-untyped-call]
            request=request, internal_response=response
        )

    def _answer(self, sent: Sent) -> Answer:
        for method, pattern, handler in self.handlers:
            if method == sent.method and re.search(pattern, sent.url):
                return handler(sent)
        try:
            return self._resource_manager(sent)
        except RefusedError as refusal:
            return refusal.status, {}, {"error": {"code": refusal.code, "message": refusal.message}}

    def _resource_manager(self, sent: Sent) -> Answer:
        assert sent.headers["Authorization"].startswith("Bearer token for"), sent
        path = sent.path
        if path in self.operations:
            states = self.operations[path]
            return 200, {"Retry-After": "1"}, states.pop(0) if len(states) > 1 else states[0]
        assert sent.query["api-version"], sent
        if sent.method == "GET":
            return self._get(path)
        if sent.method == "PUT":
            return self._put(path, sent.body)
        if sent.method == "DELETE":
            return self._delete(path)
        if path.endswith("/listKeys"):
            return 200, {}, {"primaryKey": "the-primary-key", "secondaryKey": "the-secondary-key"}
        raise RefusedError(404, "NotFound", f"no action at {path}")

    def _get(self, path: str) -> Answer:
        if path.endswith("/deployments"):
            return 200, {}, {"value": [doc for key, doc in self.documents.items() if key.startswith(path + "/")]}
        if path in self.documents:
            return 200, {}, self.documents[path]
        raise RefusedError(404, "ResourceNotFound", f"{path} was not found")

    def _put(self, path: str, body: dict[str, Any]) -> Answer:
        old = self.documents.get(path)
        name = path.rsplit("/", 1)[-1]
        if "/onlineEndpoints/" not in path:
            self.documents[path] = {"id": path, **body}
            return 201, {}, self.documents[path]
        if "/deployments/" in path:
            if self.refuses_repairs and old and old["properties"]["provisioningState"] == "Failed":
                raise RefusedError(400, "BadRequest", "a deployment whose first provisioning failed cannot be updated")
        else:
            self._check_traffic(path, body)
        properties = {
            **body["properties"],
            "provisioningState": "Succeeded",
            "scoringUri": "https://scoring.test/score",
        }
        identity = {**body.get("identity", {}), "principalId": "principal"}
        self.documents[path] = {"id": path, "name": name, **body, "properties": properties, "identity": identity}
        operation = f"/operations/{len(self.operations)}"
        end: dict[str, Any] = {"status": "Succeeded"}
        if name in self.failing:
            code, message = self.failing[name]
            end = {"status": "Failed", "error": {"code": code, "message": message}}
            properties["provisioningState"] = "Failed"
        self.operations[operation] = [{"status": "InProgress"}, {"status": "InProgress"}, end]
        url = f"{HOST}{operation}?api-version=x"
        return 201, {"Azure-AsyncOperation": url, "Retry-After": "1"}, self.documents[path]

    def _check_traffic(self, path: str, body: dict[str, Any]) -> None:
        for deployment, share in (body["properties"].get("traffic") or {}).items():
            if share and f"{path}/deployments/{deployment}" not in self.documents:
                raise RefusedError(400, "BadRequest", f"traffic names {deployment}, which does not exist")

    def _delete(self, path: str) -> Answer:
        if path not in self.documents:
            raise RefusedError(404, "ResourceNotFound", "gone")
        endpoint, _, name = path.partition("/deployments/")
        traffic = self.documents.get(endpoint, {}).get("properties", {}).get("traffic") or {}
        if name and traffic.get(name):
            raise RefusedError(400, "BadRequest", f"deployment {name} has {traffic[name]} % of the traffic")
        del self.documents[path]
        return 202, {"Location": f"{HOST}{path}?api-version=x"}, None
