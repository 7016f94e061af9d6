"""The client for Azure Resource Manager, and for the few data planes beside it.

Owns: the cloud, the credentials, retries, long operations, API versions, and errors on one line.
Refuses to own: what any resource means.

The cloud comes from ARM_METADATA_HOSTNAME (as for Terraform and azure-native), credentials from ARM_CLIENT_ID and
ARM_CLIENT_SECRET, ARM_USE_OIDC or ARM_USE_MSI, else from the Azure CLI. TLS trust is `requests`' own
(REQUESTS_CA_BUNDLE). Request bodies, query strings and headers never stand in an error: that is where secrets are.
"""

import functools
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline import PipelineContext, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    ProxyPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.polling.base_polling import BadResponse, BadStatus
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core.polling.arm_polling import ARMPolling

from azureml_scoring.provider.errors import ResourceError

ML_API = "2024-10-01"
"""Microsoft.MachineLearningServices: workspaces and everything below them."""
ACR_TASKS_API = "2019-06-01-preview"
"""Microsoft.ContainerRegistry: builds and runs; the version the Azure CLI uses for them."""
METADATA_API = "2022-09-01"
"""/metadata/endpoints."""

OUTAGES = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that say nothing about the request: azure-core retries them, and whoever asked is not to blame.
https://learn.microsoft.com/azure/architecture/best-practices/transient-faults"""
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
"""What may be sent again where no answer came: all that this package posts and patches ends the same when sent twice,
but for what is sent with `once`."""

PUBLIC_HOST = "management.azure.com"
OPERATION_LIMIT = 3600.0
"""Seconds that a long operation may take."""
TEXT_LIMIT = 1200
"""Characters of a foreign text in an error."""
LOG_INTERVAL = 10.0
"""Seconds between two lines about the same state."""
MAX_POLL_INTERVAL = 30.0
CONNECT_SECONDS, READ_SECONDS = 30.0, 120.0
TRANSITIONAL_STATES = frozenset(
    {"accepted", "creating", "deleting", "inprogress", "notstarted", "pending"}
    | {"provisioning", "running", "scaling", "updating"}
)
"""Provisioning states that are not terminal, in lower case."""
BUSY = re.compile(r"(?i)in progress|already running|another operation|transition|being (created|updated|deleted)")
"""Texts of a 409 that ends by itself."""
SOVEREIGN = {"usgovernment": "management.usgovcloudapi.net", "china": "management.chinacloudapi.cn"}
CAUSES = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted (REQUESTS_CA_BUNDLE names the trusted ones)",
    "Connection refused": "connection refused",
    "Name or service not known": "the host name is unknown",
    "Temporary failure in name resolution": "the host name is unknown",
    "Remote end closed connection": "it closed the connection",
    "Connection reset": "it closed the connection",
    "IncompleteRead": "it closed the connection",
    "timed out": "no answer in time",
    "non-https": "its address is not https, and tokens only travel over https",
}
"""Parts of the libraries' texts, and the words that replace them in errors."""

Progress = Callable[[str, float], None]
"""Called at each poll with the state that Azure reports, and the seconds since the start."""


class ArmError(ResourceError):
    """Azure answered with an error; `status`, `code` and `message` as it gave them."""

    def __init__(self, status: int, code: str, message: str, request: str) -> None:
        self.status = status
        self.code = code
        self.message = clean(message)
        super().__init__(f"{code}: {self.message} ({request})")


class UnreachableError(ResourceError):
    """No answer, or no sign-in: the state of the resource is not known."""


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


def json_object(response: HttpResponse) -> dict[str, Any]:
    """Return the body as an object; an empty body, or one that is no JSON, is an empty object."""
    try:
        body = json.loads(response.content or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {"value": body}


def log_states(log: Callable[[str], None], title: str) -> Progress:
    """Log progress as lines such as `deployment blue: Updating, 40 s`: at a change of state, else now and then."""
    last: list[tuple[str, float]] = []

    def progress(state: str, seconds: float) -> None:
        if not last or last[-1][0] != state or seconds - last[-1][1] >= LOG_INTERVAL:
            last[:] = [(state, seconds)]
            log(f"{title}: {state}, {seconds:.0f} s")

    return progress


def redact(text: str) -> str:
    """Hide what looks like a signature, key or token."""
    text = re.sub(r"(?i)\b(sig|secret|password|token|key)=[^&\s\"']+", r"\1=[hidden]", text)
    return re.sub(r"(?i)\bbearer\s+[\w.~+/=-]{12,}", "Bearer [hidden]", text)


def clean(text: str) -> str:
    """Put a foreign text on one line, without secrets, and cut it."""
    flat = redact(" ".join(text.split()))
    return flat if len(flat) <= TEXT_LIMIT else f"{flat[:TEXT_LIMIT]}…"


def request_name(method: str, url: str) -> str:
    """Name a request without its query, which may hold a signature."""
    return f"{method} {urlsplit(url).path}"


def error_of(response: HttpResponse, request: str) -> ArmError:
    """Read Azure's error shape: `{"error": {"code", "message", "details": […]}}`."""
    body = json_object(response)
    message = response.content[:300].decode("utf-8", "replace") or "no message"
    default = (f"HTTP {response.status_code}", message)
    return _arm_error(response.status_code, body.get("error", body), request, default)


def _arm_error(status: int, error: object, request: str, default: tuple[str, str]) -> ArmError:
    """Join the messages of an error and its details; `default` is the code and message of one that has none."""
    fields = error if isinstance(error, Mapping) else {"message": str(error)}
    parts = [part for part in (fields, *(fields.get("details") or ())) if isinstance(part, Mapping)]
    texts = [str(part.get("message") or "") for part in parts]
    distinct = [text for index, text in enumerate(texts) if text and not any(text in other for other in texts[:index])]
    return ArmError(status, str(fields.get("code") or default[0]), " ".join(distinct) or default[1], request)


def check_available(response: HttpResponse, method: str, url: str) -> HttpResponse:
    """Return the response, or raise UnreachableError where it is an outage, with what Azure says about it."""
    if response.status_code not in OUTAGES:
        return response
    error = error_of(response, "")
    reason = "" if error.code.startswith("HTTP ") else f", {error.code}: {error.message.rstrip('.')}"
    msg = (
        f"{urlsplit(url).netloc} answered HTTP {response.status_code} ({request_name(method, url)}){reason}; "
        "run it again later"
    )
    raise UnreachableError(msg)


@contextmanager
def connection_errors(method: str, url: str) -> Iterator[None]:
    """Turn a failure to get an answer into one line. The libraries' own texts repeat the URL, query and all."""
    try:
        yield
    except ClientAuthenticationError as error:
        raise _no_sign_in(error) from None
    except AzureError as error:
        host, request = urlsplit(url).netloc, request_name(method, url)
        msg = f"{host} does not answer ({request}): {_cause(error)}; is it up and reachable from here?"
        raise UnreachableError(msg) from None


class HttpClient:
    """HTTP with azure-core's retries; alone for data planes with an authentication of their own (registries, Graph)."""

    def __init__(
        self,
        base_url: str = "",
        *,
        authentication: BearerTokenCredentialPolicy[Any, Any] | None = None,
        transport: HttpTransport[Any, Any] | None = None,
        connection_retries: int = 3,
    ) -> None:
        policies = [
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy(base_user_agent="azureml-scoring"),
            ProxyPolicy(),
            RetryPolicy(retry_total=5, retry_connect=connection_retries, retry_backoff_factor=0.4),
            *([authentication] if authentication else []),
        ]
        self._client: PipelineClient[Any, Any] = PipelineClient(base_url, policies=policies, transport=transport)
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
        once: bool = False,
    ) -> HttpResponse:
        """Send one request and read the whole answer; UnreachableError for an outage that outlasts the retries.

        A request that must not be carried out twice is sent `once`: it is repeated where Azure answers that it
        failed, as every client of Azure does, but not where its answer is lost.
        """
        request = HttpRequest(
            method,
            url if urlsplit(url).scheme else f"{self._base}{url}",
            params=dict(params or {}),
            headers=dict(headers or {}),
            json=body,
            data=dict(form) if form else None,
        )
        with connection_errors(method, request.url):
            response = self._send(request, retry_on_methods=METHODS - {"POST"} if once else METHODS)
            response.read()
        return check_available(response, method, request.url)

    def try_once(self, method: str, url: str, *, headers: Mapping[str, str], body: object) -> HttpResponse:
        """Send one request without a retry and return the answer, whatever its status."""
        with connection_errors(method, url):
            response = self._send(HttpRequest(method, url, headers=dict(headers), json=body), retry_total=0)
            response.read()
        return response

    @contextmanager
    def stream(self, url: str, headers: Mapping[str, str]) -> Iterator[HttpResponse]:
        """Send a GET; the body is for the caller to read with `iter_bytes`."""
        request = HttpRequest("GET", url, headers=dict(headers))
        with connection_errors("GET", url), self._send(request, stream=True) as response:
            if response.status_code in OUTAGES:
                response.read()
            yield check_available(response, "GET", url)

    def _send(self, request: HttpRequest, **options: Any) -> HttpResponse:  # noqa: ANN401 - azure-core's own options
        response: HttpResponse = self._client.send_request(
            request, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, **options
        )
        return response


class PollTimer:
    """Waits between polls: as long as Azure asks, else at growing intervals; raises after `OPERATION_LIMIT`."""

    def __init__(self, title: str, sleep: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._title = title
        self._sleep = sleep
        self._clock = clock
        self._start = clock()
        self._polls = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def wait(self, retry_after: float = 0) -> None:
        """Wait for the next poll; `retry_after` is what Azure asks for, in seconds, or 0."""
        self._sleep(min(retry_after or 0.25 * 1.6 ** min(self._polls, 8), MAX_POLL_INTERVAL))
        self._polls += 1
        if self.elapsed > OPERATION_LIMIT:
            limit = f"{OPERATION_LIMIT / 60:g} minutes"
            raise ResourceError(f"Azure was not done within {limit} ({self._title}); check it there, then run up again")


class OperationPolling(ARMPolling):
    """azure-mgmt-core's knowledge of what to poll and what it means, with requests by this module's client.

    https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
    """

    def __init__(self, response: HttpResponse, get: Callable[[str], HttpResponse]) -> None:
        super().__init__(timeout=0)
        self.response = response
        self._get = get
        self.initialize(None, self._in_pipeline(), lambda last: json_object(last.http_response))  # type: ignore[arg-type]

    def request_status(self, status_link: str) -> PipelineResponse[HttpRequest, HttpResponse]:
        """Poll."""
        self.response = self._get(status_link)
        return self._in_pipeline()

    def retry_after(self) -> float:
        """Seconds that Azure asks to wait before the next poll; 0 where it does not.

        Milliseconds come first, as in azcore for Go (`RetryAfter` in sdk/azcore/internal/shared/shared.go); azure-core
        for Python reads them only without a `Retry-After`.
        """
        milliseconds = self.response.headers.get("retry-after-ms") or self.response.headers.get(
            "x-ms-retry-after-ms", ""
        )
        return int(milliseconds) / 1000 if milliseconds.isdecimal() else self._extract_delay()

    def check_success(self, request: str) -> None:
        """Raise the error of an operation that has ended without success."""
        status = self.status()
        if status.lower() != "succeeded":
            error = json_object(self.response).get("error") or {}
            message = f"Azure ended it as {status.lower()} and gave no reason"
            raise _arm_error(self.response.status_code, error, request, (status, message))

    def _in_pipeline(self) -> PipelineResponse[HttpRequest, HttpResponse]:
        return PipelineResponse(self.response.request, self.response, PipelineContext(None))


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
        self.transport = transport or RequestsTransport()
        self.http = HttpClient(transport=self.transport)
        # A registry of somebody else's that cannot be reached is not waited for: a preview goes on without it.
        self.http_elsewhere = HttpClient(transport=self.transport, connection_retries=0)
        self.sleep = sleep
        self.clock = clock
        self.credential = credential
        self._client = HttpClient(
            cloud.resource_manager,
            authentication=BearerTokenCredentialPolicy(credential, cloud.scope),
            transport=self.transport,
        )

    def token(self, scope: str = "") -> str:
        """Return an access token: for Resource Manager (to be exchanged at a registry), or for another service."""
        try:
            return self.credential.get_token(scope or self.cloud.scope).token
        except AzureError as error:
            raise _no_sign_in(error) from None

    def get(self, path: str, version: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """Read a document; None when there is none."""
        try:
            return json_object(self._request("GET", path, {**(query or {}), "api-version": version}))
        except ArmError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def list_all(self, path: str, version: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Read a list with all its pages; what does not exist is an empty list."""
        page = self.get(path, version, query) or {}
        while True:
            yield from page.get("value") or []
            if not (link := page.get("nextLink")):
                return
            page = json_object(self._request("GET", str(link)))

    def post(
        self,
        path: str,
        version: str,
        body: object = None,
        progress: Progress | None = None,
        *,
        once: bool = False,
    ) -> dict[str, Any]:
        """Call an action and wait until Azure is done; returns its result. `once`: see `HttpClient.send`."""
        response = self._request("POST", path, {"api-version": version}, body, once=once)
        return self._complete("POST", path, response, progress)

    def put(self, path: str, version: str, body: object, progress: Progress | None = None) -> dict[str, Any]:
        """Create or replace a document, and wait until Azure is done; returns the final document."""
        return self._write("PUT", path, version, body, progress)

    def patch(self, path: str, version: str, body: object, progress: Progress | None = None) -> dict[str, Any]:
        """Change parts of a document, and wait until Azure is done; returns the final document."""
        return self._write("PATCH", path, version, body, progress)

    def delete(self, path: str, version: str, progress: Progress | None = None) -> bool:
        """Delete a document and wait until it is gone; False when there was none."""
        existed = False
        try:
            response = self._retry_on_conflict("DELETE", path, version, None)
            existed = True
            self._complete("DELETE", path, response, progress)
        except ArmError as error:
            # Without a document there is nothing to delete; with it, what is polled may go too.
            if error.status != HTTPStatus.NOT_FOUND or (existed and self.get(path, version) is not None):
                raise
        return existed

    def wait_until_idle(self, path: str, version: str, progress: Progress | None = None) -> dict[str, Any] | None:
        """Wait while another operation on a document is under way; None when there is no document."""
        timer = self.timer(request_name("GET", path))
        while True:
            document = self.get(path, version)
            if document is None or state_of(document) not in TRANSITIONAL_STATES:
                return document
            if progress:
                progress(state_of(document).capitalize(), timer.elapsed)
            timer.wait()

    def timer(self, title: str) -> PollTimer:
        """Start the waiting for what `title` names."""
        return PollTimer(title, self.sleep, self.clock)

    def _write(self, method: str, path: str, version: str, body: object, progress: Progress | None) -> dict[str, Any]:
        response = self._retry_on_conflict(method, path, version, body)
        result = self._complete(method, path, response, progress)
        # Unlike the other ways to poll, a Location need not end in the document.
        by_location = "Location" in response.headers and "Azure-AsyncOperation" not in response.headers
        return (not by_location and result) or self.get(path, version) or {}

    def _retry_on_conflict(self, method: str, path: str, version: str, body: object) -> HttpResponse:
        """Send a change; where Azure says that another operation is still under way, wait for that one."""
        timer = self.timer(request_name(method, path))
        while True:
            try:
                return self._request(method, path, {"api-version": version}, body)
            except ArmError as error:
                if error.status != HTTPStatus.CONFLICT or not BUSY.search(f"{error.code} {error.message}"):
                    raise
            timer.wait()

    def _complete(self, method: str, path: str, response: HttpResponse, progress: Progress | None) -> dict[str, Any]:
        """Poll a long operation to its end and return its result.

        This thread polls, not the one of an `LROPoller`: the cancellation of a step reaches no other.
        """
        request, timer = request_name(method, path), self.timer(request_name(method, path))
        try:
            polling = OperationPolling(response, lambda link: self._request("GET", link, request=request))
            while not polling.finished():
                timer.wait(polling.retry_after())
                polling.update_status()
                if progress and not polling.finished():
                    progress(polling.status(), timer.elapsed)
            polling.check_success(request)
            polling.run()  # reads the result, where that takes a request of its own
            return polling.resource() or {}
        except (AzureError, BadResponse, BadStatus) as error:
            msg = f"the state of the operation cannot be read ({type(error).__name__})"
            raise ArmError(response.status_code, "InvalidResponse", msg, request) from None

    def _request(  # noqa: PLR0913 - one request has these parts
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        request: str = "",
        *,
        once: bool = False,
    ) -> HttpResponse:
        """Send one request to Resource Manager; ArmError where it refuses. Our token goes to no other host."""
        own, link = urlsplit(self.cloud.resource_manager), urlsplit(url)
        if (link.scheme, link.netloc.lower()) not in {(own.scheme, own.netloc.lower()), ("", "")}:
            msg = f"Azure named {link.scheme}://{link.netloc}, which is not {self.cloud.resource_manager}; not followed"
            raise ResourceError(msg)
        response = self._client.send(method, url, params=params, body=body, once=once)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise error_of(response, request or request_name(method, url))
        return response


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
    url = f"https://{host}/metadata/endpoints"
    response = HttpClient(transport=transport).send("GET", url, params={"api-version": METADATA_API})
    described = json_object(response)
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
        msg = (
            f"ARM_METADATA_HOSTNAME = {host}: HTTP {response.status_code}, no cloud metadata there; correct or unset it"
        )
        raise ResourceError(msg) from None


class SignInRetryPolicy(RetryPolicy[Any, Any]):
    """The retries of a sign-in. What is no answer of a token service is an error of its own.

    azure-identity would read a page of a proxy as a token, and name neither host nor status of an outage.
    """

    def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send it."""
        method, url = request.http_request.method, request.http_request.url
        with connection_errors(method, url):
            result = super().send(request)
        response: HttpResponse = result.http_response
        response.read()
        check_available(response, method, url)
        request_ = request_name(method, url)
        try:
            body = json.loads(response.content)
        except ValueError:
            msg = (
                f"{urlsplit(url).netloc} answered HTTP {response.status_code} without JSON ({request_}); "
                "is a proxy in between?"
            )
            raise UnreachableError(msg) from None
        if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
            raise error_of(response, request_)  # Resource Manager's shape instead of a token service's
        return result


def find_credential(
    environment: Mapping[str, str], cloud: Cloud, transport: HttpTransport[Any, Any] | None = None
) -> TokenCredential:
    """Choose the credential as azure-native does: secret, OIDC, managed identity, else the Azure CLI."""
    for name in ("azure", "msal"):
        # What they log of a failure stands in the error; without a handler Python would print it, tracebacks and all.
        logging.getLogger(name).addHandler(logging.NullHandler())
    # azure-identity takes a second to import: only steps that reach Azure pay for it.
    from azure.identity import (  # noqa: PLC0415
        AzureCliCredential,
        ClientAssertionCredential,
        ClientSecretCredential,
        ManagedIdentityCredential,
    )

    tenant, client = environment.get("ARM_TENANT_ID", ""), environment.get("ARM_CLIENT_ID", "")
    options: dict[str, Any] = {
        "authority": cloud.authority,
        "disable_instance_discovery": not cloud.public,
        "retry_policy_class": SignInRetryPolicy,
        **({"transport": transport} if transport else {}),
    }

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
        return ClientAssertionCredential(tenant, client, lambda: _assertion(environment, transport), **options)
    if environment.get("ARM_USE_MSI", "").lower() in {"1", "true"}:
        return ManagedIdentityCredential(client_id=client or None)
    return AzureCliCredential(tenant_id=tenant)


@functools.cache
def connect() -> Arm:
    """Return this process' client, from the environment; created once."""
    cloud = find_cloud(os.environ)
    return Arm(cloud, find_credential(os.environ, cloud), tenant=os.environ.get("ARM_TENANT_ID", ""))


def _assertion(environment: Mapping[str, str], transport: HttpTransport[Any, Any] | None) -> str:
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
    response = HttpClient(transport=transport).send(
        "GET", f"{url}{separator}audience=api://AzureADTokenExchange", headers={"Authorization": f"Bearer {bearer}"}
    )
    token = json_object(response).get("value")
    if not isinstance(token, str):
        msg = f"the CI system gave no identity token: HTTP {response.status_code}; check the job's permissions"
        raise ResourceError(msg)
    return token


def _no_sign_in(error: AzureError) -> UnreachableError:
    """Say why; where Entra refuses, its own text says which variable is wrong, and holds no secret."""
    if isinstance(error.__cause__, ResourceError):
        return UnreachableError(str(error.__cause__))  # azure-identity wraps what did not answer
    text = clean(re.split(r"\s(?:Trace|Correlation) ID:", error.message)[0])
    msg = f"signing in to Azure failed: {text}; check ARM_CLIENT_ID, ARM_CLIENT_SECRET and ARM_TENANT_ID"
    return UnreachableError(msg)


def _cause(error: BaseException) -> str:
    """Say the kind of a connection failure in words, without the library's texts (they repeat URLs)."""
    text = str(error)
    for mark, words in CAUSES.items():
        if mark in text:
            return words
    return f"the connection failed ({type(error).__name__})"
