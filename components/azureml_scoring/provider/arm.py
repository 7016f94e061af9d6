"""The client for Azure Resource Manager, and for the few data planes beside it.

Owns: which cloud, whose credentials, retries, long operations, API versions, and errors on one line.
Refuses to own: what any resource means.

The cloud comes from ARM_METADATA_HOSTNAME (as for Terraform and azure-native), credentials from ARM_CLIENT_ID and
ARM_CLIENT_SECRET, ARM_USE_OIDC or ARM_USE_MSI, else from the Azure CLI. TLS trust is `requests`' own
(REQUESTS_CA_BUNDLE). Request bodies, query strings and headers never stand in an error: that is where secrets are.
"""

import functools
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    ProxyPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse

from azureml_scoring.provider.errors import ResourceError

ML_API = "2024-10-01"
"""Microsoft.MachineLearningServices: workspaces and everything below them."""
ACR_TASKS_API = "2019-06-01-preview"
"""Microsoft.ContainerRegistry: builds and runs; the version the Azure CLI uses for them."""
METADATA_API = "2022-09-01"
"""/metadata/endpoints."""

PUBLIC_HOST = "management.azure.com"
LONGEST = 3600.0
"""Seconds a long operation may take before we give up on it."""
TEXT_LIMIT = 1200
SPOKEN_EVERY = 10.0
"""Seconds between two lines about the same state."""
LONGEST_PAUSE = 30.0
OK, ACCEPTED, BAD_REQUEST, NOT_FOUND, CONFLICT = 200, 202, 400, 404, 409
GOING_ON = frozenset(
    {"accepted", "creating", "deleting", "inprogress", "notstarted", "pending"}
    | {"provisioning", "running", "scaling", "updating"}
)
"""Provisioning states that are not final, in lower case."""
BUSY = re.compile(r"(?i)in progress|already running|another operation|transition|being (created|updated|deleted)")
"""How a 409 says that waiting will help."""
SOVEREIGN = {"usgovernment": "management.usgovcloudapi.net", "china": "management.chinacloudapi.cn"}
CAUSES = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted (REQUESTS_CA_BUNDLE names the trusted ones)",
    "Connection refused": "connection refused",
    "Name or service not known": "the host name is unknown",
    "Temporary failure in name resolution": "the host name is unknown",
    "Remote end closed connection": "it closed the connection",
    "Connection reset": "it closed the connection",
    "timed out": "no answer in time",
    "non-https": "its address is not https, and tokens only travel over https",
}
"""What a library's text holds, and what we say instead."""

Progress = Callable[[str, float], None]
"""Told at each poll: the state Azure reports, and the seconds since the start."""


class ArmError(ResourceError):
    """Azure answered with an error; `status`, `code` and `message` as it gave them."""

    def __init__(self, status: int, code: str, message: str, where: str) -> None:
        self.status = status
        self.code = code
        self.message = clean(message)
        super().__init__(f"{code}: {self.message} ({where})")


class UnreachableError(ResourceError):
    """Nobody answered, or nobody could sign in: what is asked may be true or not."""


@dataclass(frozen=True)
class Cloud:
    """The addresses of one Azure cloud; defaults are public Azure."""

    resource_manager: str = f"https://{PUBLIC_HOST}"
    authority: str = "https://login.microsoftonline.com"
    audience: str = f"https://{PUBLIC_HOST}"
    graph: str = "https://graph.microsoft.com"
    public: bool = True

    @property
    def scope(self) -> str:
        """The token scope for Resource Manager."""
        return f"{self.audience.rstrip('/')}/.default"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: what the callers look at."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Return the body as an object; an empty or foreign body is an empty object."""
        try:
            body = json.loads(self.content) if self.content else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {"value": body}


@dataclass(frozen=True)
class Stream:
    """One HTTP answer whose body is read as it comes."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes] = field(repr=False)


def log_states(log: Callable[[str], None], thing: str) -> Progress:
    """Tell progress as lines such as `deployment blue: Updating, 40 s`: at a change of state, else now and then."""
    last: list[tuple[str, float]] = []

    def tell(state: str, seconds: float) -> None:
        if not last or last[-1][0] != state or seconds - last[-1][1] >= SPOKEN_EVERY:
            last[:] = [(state, seconds)]
            log(f"{thing}: {state}, {seconds:.0f} s")

    return tell


def redact(text: str) -> str:
    """Hide what looks like a signature, key or token."""
    text = re.sub(r"(?i)\b(sig|secret|password|token|key)=[^&\s\"']+", r"\1=[hidden]", text)
    return re.sub(r"(?i)\bbearer\s+[\w.~+/=-]{12,}", "Bearer [hidden]", text)


def clean(text: str) -> str:
    """Put a foreign text on one line, without secrets, and cut it."""
    flat = redact(" ".join(text.split()))
    return flat if len(flat) <= TEXT_LIMIT else f"{flat[:TEXT_LIMIT]}…"


def where(method: str, url: str) -> str:
    """Name a request without its query, which may hold a signature."""
    return f"{method} {urlsplit(url).path}"


def error_of(reply: Reply, place: str) -> ArmError:
    """Read Azure's error shape: `{"error": {"code", "message", "details": […]}}`."""
    body = reply.json()
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        error = {"message": str(error)}
    texts = [str(error.get("message") or "")]
    texts += [str(item.get("message") or "") for item in error.get("details") or [] if isinstance(item, Mapping)]
    kept = [text for index, text in enumerate(texts) if text and not any(text in other for other in texts[:index])]
    message = " ".join(kept) or reply.content[:300].decode("utf-8", "replace") or "no message"
    return ArmError(reply.status, str(error.get("code") or f"HTTP {reply.status}"), message, place)


class Web:
    """HTTP with azure-core's retries; alone for data planes with an authentication of their own (blobs, registries)."""

    def __init__(
        self,
        base_url: str = "",
        *,
        authentication: BearerTokenCredentialPolicy[Any, Any] | None = None,
        transport: HttpTransport[Any, Any] | None = None,
        retries: int = 5,
    ) -> None:
        policies = [
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy(base_user_agent="azureml-scoring"),
            ProxyPolicy(),
            RetryPolicy(retry_total=retries, retry_connect=min(3, retries), retry_backoff_factor=0.4),
            *([authentication] if authentication else []),
        ]
        options: dict[str, Any] = {"transport": transport} if transport else {}
        self._client: PipelineClient[Any, Any] = PipelineClient(base_url, policies=policies, **options)
        self._base = base_url.rstrip("/")

    def send(  # noqa: PLR0913 - one request has these parts
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        content: bytes | IO[bytes] | None = None,
        timeout: float = 120,
    ) -> Reply:
        """Send one request and read the whole answer; only failing to get an answer raises."""
        request = HttpRequest(
            method,
            url if urlsplit(url).scheme else f"{self._base}{url}",
            params=dict(params or {}),
            headers=dict(headers or {}),
            json=body,
            data=dict(form) if form else None,
            content=content,
        )
        place = where(method, request.url)
        host = urlsplit(request.url).netloc
        try:
            response: HttpResponse = self._client.send_request(request, connection_timeout=30, read_timeout=timeout)
            return Reply(response.status_code, response.headers, response.read())
        except ClientAuthenticationError as error:
            raise _no_sign_in(error) from None
        except AzureError as error:
            # requests repeats the URL, query and all, in its messages: say the kind of failure instead.
            msg = f"{host} does not answer ({place}): {_cause(error)}; is it up and reachable from here?"
            raise UnreachableError(msg) from None

    @contextmanager
    def stream(self, url: str, headers: Mapping[str, str], timeout: float = 120) -> Iterator[Stream]:
        """Send a GET and let the caller read the answer as it comes."""
        request = HttpRequest("GET", url, headers=dict(headers))
        place, host = where("GET", request.url), urlsplit(request.url).netloc
        try:
            response: HttpResponse = self._client.send_request(
                request, stream=True, connection_timeout=30, read_timeout=timeout
            )
            with response:
                yield Stream(response.status_code, response.headers, response.iter_bytes())
        except AzureError as error:
            msg = f"{host} does not answer ({place}): {_cause(error)}; is it up and reachable from here?"
            raise UnreachableError(msg) from None


class Arm:
    """Azure Resource Manager: documents by path, and long operations followed to their end."""

    def __init__(  # noqa: PLR0913 - the last three are for tests only
        self,
        cloud: Cloud,
        credential: TokenCredential,
        *,
        tenant: str = "",
        transport: HttpTransport[Any, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cloud = cloud
        self.tenant = tenant
        self.web = Web(transport=transport)
        self.no_retry = Web(transport=transport, retries=0)
        self.sleep = sleep
        self.clock = clock
        self.credential = credential
        self._managed = Web(
            cloud.resource_manager,
            authentication=BearerTokenCredentialPolicy(credential, cloud.scope),
            transport=transport,
        )

    def token(self, scope: str = "") -> str:
        """Return an access token: for Resource Manager (to be exchanged at a registry), or for another service."""
        try:
            return self.credential.get_token(scope or self.cloud.scope).token
        except AzureError as error:
            raise _no_sign_in(error) from None

    def get(self, path: str, version: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """Read a document; None when there is none."""
        reply = self._managed.send("GET", path, params={**(query or {}), "api-version": version})
        if reply.status == NOT_FOUND:
            return None
        return self._good(reply, where("GET", path)).json()

    def follow_page(self, link: str) -> dict[str, Any]:
        """Read a further page of a list."""
        return self._good(self._managed.send("GET", self._ours(link)), where("GET", link)).json()

    def post(self, path: str, version: str, body: object = None) -> dict[str, Any]:
        """Call an action; a long one is followed to its end."""
        reply = self._managed.send("POST", path, params={"api-version": version}, body=body)
        return self._finish("POST", path, version, self._good(reply, where("POST", path)), None)

    def put(self, path: str, version: str, body: object, progress: Progress | None = None) -> dict[str, Any]:
        """Make a document so, and wait until Azure is done; returns the final document."""
        return self._write("PUT", path, version, body, progress)

    def patch(self, path: str, version: str, body: object, progress: Progress | None = None) -> dict[str, Any]:
        """Change parts of a document, and wait until Azure is done; returns the final document."""
        return self._write("PATCH", path, version, body, progress)

    def delete(self, path: str, version: str, progress: Progress | None = None) -> bool:
        """Delete a document and wait until it is gone; False when it was gone already."""
        reply = self._retry_on_conflict("DELETE", path, version, None)
        if reply.status == NOT_FOUND:
            return False
        self._finish("DELETE", path, version, self._good(reply, where("DELETE", path)), progress)
        return True

    def wait_until_idle(self, path: str, version: str, progress: Progress | None = None) -> dict[str, Any] | None:
        """Wait while a document is in transition (by an operation somebody else began); None when there is none."""
        for tick in self.ticks(where("GET", path)):
            document = self.get(path, version)
            if document is None or state_of(document) not in GOING_ON:
                return document
            _tell(progress, state_of(document).capitalize(), tick)
        raise AssertionError  # pragma: no cover - the ticks end by raising

    # -- long operations: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations -----

    def _write(self, method: str, path: str, version: str, body: object, progress: Progress | None) -> dict[str, Any]:
        reply = self._good(self._retry_on_conflict(method, path, version, body), where(method, path))
        return self._finish(method, path, version, reply, progress) or self.get(path, version) or {}

    def _retry_on_conflict(self, method: str, path: str, version: str, body: object) -> Reply:
        """Send a change; where Azure says that another operation is still under way, wait for that one."""
        for _ in self.ticks(where(method, path)):
            reply = self._managed.send(method, path, params={"api-version": version}, body=body)
            if reply.status != CONFLICT or not BUSY.search(reply.content.decode("utf-8", "replace")):
                return reply
        raise AssertionError  # pragma: no cover - the ticks end by raising

    def _finish(self, method: str, path: str, version: str, first: Reply, progress: Progress | None) -> dict[str, Any]:
        place = where(method, path)
        operation = first.headers.get("Azure-AsyncOperation")
        location = first.headers.get("Location")
        changes = method in {"PUT", "PATCH"}
        if operation:
            self._follow(operation, place, progress, _pause(first))
            return (self.get(path, version) or {}) if changes else {}
        if location and first.status == ACCEPTED:
            answer = self._await_location(location, place, progress, _pause(first))
            return (self.get(path, version) or {}) if changes else answer
        if changes and state_of(first.json()) in GOING_ON:
            return self._await_state(path, version, place, progress)
        return first.json()

    def _follow(self, url: str, place: str, progress: Progress | None, pause: float | None) -> None:
        for tick in self.ticks(place, pause):
            reply = self._good(self._managed.send("GET", self._ours(url)), place)
            status = str(reply.json().get("status") or ("InProgress" if reply.status == ACCEPTED else "Succeeded"))
            if status.lower() == "succeeded":
                return
            if status.lower() in {"failed", "canceled", "cancelled"}:
                error = error_of(reply, place)
                code = status if error.code.startswith("HTTP ") else error.code
                raise ArmError(reply.status, code, error.message, place)
            tick.pause = _pause(reply)
            _tell(progress, status, tick)

    def _await_location(self, url: str, place: str, progress: Progress | None, pause: float | None) -> dict[str, Any]:
        for tick in self.ticks(place, pause):
            reply = self._managed.send("GET", self._ours(url))
            if place.startswith("DELETE") and reply.status == NOT_FOUND:
                return {}
            self._good(reply, place)
            if reply.status != ACCEPTED:
                return reply.json()
            tick.pause = _pause(reply)
            _tell(progress, "InProgress", tick)
        raise AssertionError  # pragma: no cover - the ticks end by raising

    def _await_state(self, path: str, version: str, place: str, progress: Progress | None) -> dict[str, Any]:
        for tick in self.ticks(place):
            document = self.get(path, version) or {}
            state = state_of(document)
            if state in {"failed", "canceled"}:
                raise ArmError(OK, state.capitalize(), f"Azure ended it as {state} and gave no reason", place)
            if state not in GOING_ON:
                return document
            _tell(progress, state.capitalize(), tick)
        raise AssertionError  # pragma: no cover - the ticks end by raising

    def ticks(self, place: str, pause: float | None = None) -> "Iterator[Tick]":
        """Yield at growing intervals, or as Azure asks (`pause` on the tick); raise when the overall time is up."""
        start = self.clock()
        for step in itertools.count():
            tick = Tick(self.clock() - start)
            if step or pause:
                self.sleep(min(pause if pause is not None else 0.25 * 1.6 ** min(step, 8), LONGEST_PAUSE))
                tick.elapsed = self.clock() - start
            if tick.elapsed > LONGEST:
                msg = f"Azure was not done within {LONGEST / 60:g} minutes ({place}); look there, then run up again"
                raise ResourceError(msg)
            yield tick
            pause = tick.pause

    def _good(self, reply: Reply, place: str) -> Reply:
        if reply.status >= BAD_REQUEST:
            raise error_of(reply, place)
        return reply

    def _ours(self, url: str) -> str:
        """Refuse to carry our token anywhere but to Resource Manager."""
        ours, theirs = urlsplit(self.cloud.resource_manager), urlsplit(url)
        if (theirs.scheme, theirs.netloc.lower()) not in {(ours.scheme, ours.netloc.lower()), ("", "")}:
            named = f"{theirs.scheme}://{theirs.netloc}"
            msg = f"Azure named {named} to poll, which is not {self.cloud.resource_manager}; not followed"
            raise ResourceError(msg)
        return url


@dataclass
class Tick:
    """One round of polling: how long it has been, and how long Azure asks to wait before the next."""

    elapsed: float
    pause: float | None = None


def state_of(document: Mapping[str, Any]) -> str:
    """Return the provisioning state in lower case; empty when there is none."""
    properties = document.get("properties")
    return str(properties.get("provisioningState") or "").lower() if isinstance(properties, Mapping) else ""


def find_cloud(environment: Mapping[str, str], transport: HttpTransport[Any, Any] | None = None) -> Cloud:
    """Learn the cloud: public Azure without asking, any other from its own metadata."""
    host = environment.get("ARM_METADATA_HOSTNAME") or SOVEREIGN.get(environment.get("ARM_ENVIRONMENT", "").lower(), "")
    if not host or host == PUBLIC_HOST:
        return Cloud()
    host = host.removeprefix("https://").rstrip("/")
    reply = Web(transport=transport).send(
        "GET", f"https://{host}/metadata/endpoints", params={"api-version": METADATA_API}
    )
    described = reply.json()
    if isinstance(described.get("value"), list):
        described = next(iter(described["value"]), {})
    try:
        manager = str(described["resourceManager"]).rstrip("/")
        authentication = described["authentication"]
        audiences = [str(audience) for audience in authentication["audiences"]]
        same = [audience for audience in audiences if audience.rstrip("/") == manager]
        login = str(authentication["loginEndpoint"]).rstrip("/")
        graph = str(described.get("microsoftGraphResourceId") or Cloud.graph).rstrip("/")
        return Cloud(manager, login, (same or audiences)[0], graph, public=False)
    except (KeyError, IndexError, TypeError):
        msg = f"ARM_METADATA_HOSTNAME = {host}: HTTP {reply.status}, no cloud metadata there; correct or unset it"
        raise ResourceError(msg) from None


def find_credential(environment: Mapping[str, str], cloud: Cloud) -> TokenCredential:
    """Choose the credential as azure-native does: secret, OIDC, managed identity, else the Azure CLI."""
    # azure-identity takes a second to import: only steps that reach Azure pay for it.
    from azure.identity import (  # noqa: PLC0415
        AzureCliCredential,
        ClientAssertionCredential,
        ClientSecretCredential,
        ManagedIdentityCredential,
    )

    tenant, client = environment.get("ARM_TENANT_ID", ""), environment.get("ARM_CLIENT_ID", "")
    options: dict[str, Any] = {"authority": cloud.authority, "disable_instance_discovery": not cloud.public}

    def need(what: str) -> None:
        for name, value in (("ARM_TENANT_ID", tenant), ("ARM_CLIENT_ID", client)):
            if not value:
                msg = f"{name} is not set, but {what} is; set both, or neither to sign in with the Azure CLI"
                raise ResourceError(msg)

    if secret := environment.get("ARM_CLIENT_SECRET"):
        need("ARM_CLIENT_SECRET")
        return ClientSecretCredential(tenant, client, secret, **options)
    if environment.get("ARM_USE_OIDC", "").lower() in {"1", "true"}:
        need("ARM_USE_OIDC")
        return ClientAssertionCredential(tenant, client, lambda: _assertion(environment), **options)
    if environment.get("ARM_USE_MSI", "").lower() in {"1", "true"}:
        return ManagedIdentityCredential(client_id=client or None)
    return AzureCliCredential(tenant_id=tenant)


@functools.cache
def connect() -> Arm:
    """Return this process' client, from the environment; made once."""
    cloud = find_cloud(os.environ)
    return Arm(cloud, find_credential(os.environ, cloud), tenant=os.environ.get("ARM_TENANT_ID", ""))


def _assertion(environment: Mapping[str, str]) -> str:
    """Return the identity token that the CI system gave this job."""
    if token := environment.get("ARM_OIDC_TOKEN"):
        return token
    if path := environment.get("ARM_OIDC_TOKEN_FILE_PATH"):
        return Path(path).read_text(encoding="utf-8").strip()
    url = environment.get("ARM_OIDC_REQUEST_URL") or environment.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    bearer = environment.get("ARM_OIDC_REQUEST_TOKEN") or environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not bearer:
        msg = (
            "ARM_USE_OIDC is set, but no ARM_OIDC_TOKEN; in GitHub Actions give the job `permissions: id-token: write`"
        )
        raise ResourceError(msg)
    separator = "&" if "?" in url else "?"
    reply = Web().send(
        "GET", f"{url}{separator}audience=api://AzureADTokenExchange", headers={"Authorization": f"Bearer {bearer}"}
    )
    token = reply.json().get("value")
    if not isinstance(token, str):
        msg = f"the CI system gave no identity token: HTTP {reply.status}; check the job's permissions"
        raise ResourceError(msg)
    return token


def _pause(reply: Reply) -> float | None:
    try:
        return max(0.1, float(reply.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _tell(progress: Progress | None, state: str, tick: Tick) -> None:
    if progress is not None:
        progress(state, tick.elapsed)


def _no_sign_in(error: AzureError) -> UnreachableError:
    """Name the variables; Entra's own text says which of them is wrong, and holds no secret."""
    cause = _cause(error)
    text = cause if cause != type(error).__name__ else clean(re.split(r"\s(?:Trace|Correlation) ID:", error.message)[0])
    msg = f"signing in to Azure failed: {text}; check ARM_CLIENT_ID, ARM_CLIENT_SECRET and ARM_TENANT_ID"
    return UnreachableError(msg)


def _cause(error: BaseException) -> str:
    """Say the kind of a connection failure in words, without the library's texts (they repeat URLs)."""
    text = str(error)
    for mark, words in CAUSES.items():
        if mark in text:
            return words
    return type(error).__name__
