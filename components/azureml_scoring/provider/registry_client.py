"""The pull side of a registry's data plane: the digest of a tag, and what is in an image.

Owns: the sign-in of the registry's own protocol (challenge, exchange, token) as the deployer, with a password or
anonymously; and the reading of manifests and blobs. Refuses to own: pushing and deleting.
https://learn.microsoft.com/azure/container-registry/container-registry-authentication and
https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlencode, urljoin, urlsplit

from azure.core.rest import HttpResponse

from azureml_scoring.plan.reference import LATEST, Reference
from azureml_scoring.provider.arm import Arm, HttpClient, clean, json_object
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.outside import refuse_outside

MEDIA_TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DOCUMENT_LIMIT = 4 << 20
"""Bytes of a manifest or config; registries take no larger ones."""


def base_url(login_server: str) -> str:
    """Return the registry's address: https, but plain http on this very machine, as docker has it."""
    return f"{'http' if is_local(login_server) else 'https'}://{login_server}"


def is_local(host: str) -> bool:
    """Tell whether a host (with or without port) is this machine, by name or loopback address."""
    return re.fullmatch(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", host.lower()) is not None


@dataclass(frozen=True)
class Login:
    """A user name and password of a registry."""

    username: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The `Authorization` of HTTP Basic."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


SignIn = Callable[[HttpResponse], str | None]
"""Answers a challenge with an `Authorization` header; None where this sign-in is refused."""


def resolve_digest(arm: Arm, image: Reference, credentials: Login | Literal["deployer"] | None = None) -> str | None:
    """Return the digest that an image's tag names (or its own digest, if that exists); None where there is none.

    `credentials` says who asks: a user, the deployer, or by default nobody in particular, which is anonymous access and
    at Azure's registries then the deployer. The deployer's token goes to Azure's registries only.
    """
    server, repository = _address(image)
    http = arm.http if credentials == "deployer" else arm.http_elsewhere
    login = credentials if isinstance(credentials, Login) else None

    def as_deployer(challenge: HttpResponse) -> str:
        return f"Bearer {_deployer_token(arm, server, repository, challenge)}"

    def as_user(challenge: HttpResponse) -> str | None:
        return _user_authorization(http, server, repository, challenge, login)

    sign_ins: tuple[SignIn, ...] = (as_user,)
    remedy = "name who reads it by registry.mode: private"
    if credentials == "deployer":
        sign_ins, remedy = (as_deployer,), "give the deployer AcrPull there"
    elif login:
        remedy = "check registry.username and its password"
    elif _is_azure_registry(server):
        sign_ins, remedy = (as_user, as_deployer), f"give the deployer AcrPull there, or {remedy}"
    url = f"{base_url(server)}/v2/{repository}/manifests/{image.digest or image.tag or LATEST}"
    response = _head_manifest(http, url, sign_ins)
    if response.status_code == HTTPStatus.NOT_FOUND:
        return None
    if response.status_code in DENIED:
        raise ResourceError(f"{server} denies us to read {repository} (HTTP {response.status_code}); {remedy}")
    digest: str | None = response.headers.get("Docker-Content-Digest")
    if response.status_code != HTTPStatus.OK or not digest:
        msg = f"{server} answered HTTP {response.status_code} to {url}; expected a manifest's digest"
        raise ResourceError(msg)
    return digest


def _head_manifest(http: HttpClient, url: str, sign_ins: tuple[SignIn, ...]) -> HttpResponse:
    """Ask for a manifest without credentials, then by one sign-in after the other until one is accepted."""
    response = challenge = http.send("HEAD", url, headers={"Accept": MEDIA_TYPES})
    for sign_in in sign_ins if challenge.status_code == HTTPStatus.UNAUTHORIZED else ():
        if response.status_code not in DENIED:
            break
        if authorization := sign_in(challenge):
            response = http.send("HEAD", url, headers={"Accept": MEDIA_TYPES, "Authorization": authorization})
    return response


def _address(image: Reference) -> tuple[str, str]:
    """Return the host and repository to ask: Docker Hub's name is not where its registry answers."""
    if image.host in {"docker.io", "index.docker.io"}:
        return "registry-1.docker.io", image.repository if "/" in image.repository else f"library/{image.repository}"
    return image.host, image.repository


def _is_azure_registry(server: str) -> bool:
    """Tell whether Azure runs the registry; on this very machine, the local Azure does."""
    return is_local(server) or re.fullmatch(r"[a-z0-9.-]+\.azurecr\.(io|cn|us)", server.lower()) is not None


def _user_authorization(
    http: HttpClient, server: str, repository: str, challenge: HttpResponse, login: Login | None
) -> str | None:
    """Return the header of a pull with a password, or anonymously; None when the registry refuses it."""
    header = challenge.headers.get("WWW-Authenticate") or ""
    if header.lower().startswith("basic"):
        return login.header if login else None
    realm, service = _realm(header)
    if urlsplit(realm).scheme != "https" and not (is_local(server) and is_local(urlsplit(realm).netloc)):
        msg = f"{server} sends us to {realm or 'nowhere'} to sign in, which is not https; not followed"
        raise ResourceError(msg)
    query = urlencode({"service": service, "scope": f"repository:{repository}:pull"})
    response = http.send("GET", f"{realm}?{query}", headers={"Authorization": login.header} if login else {})
    body = json_object(response)
    token = body.get("token") or body.get("access_token")
    return f"Bearer {token}" if response.status_code == HTTPStatus.OK and token else None


class RepositoryReader:
    """Reads one repository as the deployer: manifests and configs as documents, layers as streams."""

    def __init__(self, arm: Arm, login_server: str, repository: str) -> None:
        self.name = f"{login_server}/{repository}"
        self._arm = arm
        self._server = login_server
        self._repository = repository
        self._token = ""

    def document(self, kind: Literal["manifests", "blobs"], digest: str) -> dict[str, Any]:
        """Read a manifest, or the blob of a config."""
        content = b""
        with self._open(kind, digest) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > DOCUMENT_LIMIT:
                    raise ResourceError(f"{self.name}: the document {digest} is larger than {DOCUMENT_LIMIT >> 20} MB")
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ResourceError(f"{self.name}: {digest} is no document of an image")
        return document

    def layer(self, digest: str) -> Iterator[bytes]:
        """Read a layer, a chunk at a time."""
        with self._open("blobs", digest) as response:
            yield from response.iter_bytes()

    @contextmanager
    def _open(self, kind: str, digest: str) -> Iterator[HttpResponse]:
        """Request it, sign in when challenged, and follow to where blobs are stored, without the token."""
        url = f"{base_url(self._server)}/v2/{self._repository}/{kind}/{digest}"
        for _ in range(2):
            headers = {"Accept": MEDIA_TYPES if kind == "manifests" else "*/*"}
            headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
            with self._arm.http.stream(url, headers) as response:
                if response.status_code == HTTPStatus.UNAUTHORIZED and not self._token:
                    self._token = _deployer_token(self._arm, self._server, self._repository, response)
                    continue
                redirected = response.status_code in REDIRECTS
                target = urljoin(url, response.headers.get("Location") or "") if redirected else ""
                if not target:
                    yield self._checked(response, digest)
                    return
            if urlsplit(target).scheme != "https" and not is_local(self._server):
                raise ResourceError(f"{self.name}: the registry keeps {digest} behind plain http; not followed")
            with self._arm.http.stream(target, {}) as response:
                yield self._checked(response, digest)
                return
        raise ResourceError(f"{self._server} denies us to read {self._repository}; give the deployer AcrPull there")

    def _checked(self, response: HttpResponse, digest: str) -> HttpResponse:
        if response.status_code != HTTPStatus.OK:
            msg = f"{self.name}: HTTP {response.status_code} for {digest}; does the deployer have a role on it?"
            raise ResourceError(msg)
        return response


def _deployer_token(arm: Arm, login_server: str, repository: str, challenge: HttpResponse) -> str:
    """Exchange our Entra token for the registry's refresh token, and that one for an access token to pull."""
    realm, service = _realm(challenge.headers.get("WWW-Authenticate") or "", login_server)
    _check_own_realm(login_server, realm)
    exchange = re.sub(r"/token$", "/exchange", realm)
    form = {"grant_type": "access_token", "service": service, "access_token": arm.token()}
    if arm.tenant:
        form["tenant"] = arm.tenant
    refresh = _post_for(arm, login_server, exchange, form, "refresh_token")
    scope = f"repository:{repository}:pull"
    form = {"grant_type": "refresh_token", "service": service, "scope": scope, "refresh_token": refresh}
    return _post_for(arm, login_server, realm, form, "access_token")


def _realm(header: str, service: str = "") -> tuple[str, str]:
    """Read the token server's URL and the service from a challenge."""
    parameters = dict(re.findall(r'(\w+)="([^"]*)"', header))
    return parameters.get("realm", ""), parameters.get("service", service)


def _post_for(arm: Arm, login_server: str, url: str, form: dict[str, str], name: str) -> str:
    response = arm.http.send("POST", url, form=form)
    body = json_object(response)
    value = body.get(name)
    if response.status_code != HTTPStatus.OK or not isinstance(value, str):
        reason = clean(str(body.get("errors") or body.get("error_description") or ""))
        refuse_outside(login_server, response.status_code, reason)
        status = f"HTTP {response.status_code}"
        msg = f"{login_server} gave no {name} ({status}) {reason}; does the deployer have a role on it?"
        raise ResourceError(msg)
    return value


def _check_own_realm(login_server: str, realm: str) -> None:
    """Refuse to send our token to another host than the registry, or unencrypted beyond this machine."""
    url = urlsplit(realm)
    local = is_local(login_server) and is_local(url.netloc)
    own = url.scheme == "https" and url.netloc.lower() == login_server.lower()
    if not (local or own):
        msg = f"{login_server} sends us to {realm or 'nowhere'} to sign in, which is not its own; not followed"
        raise ResourceError(msg)
