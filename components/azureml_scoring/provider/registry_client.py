"""The data plane of a container registry, as far as we ask it: which digest does a tag have, what is in an image?

Owns: the sign-in of the registry's own protocol (challenge, exchange, token), as the deployer, with a password, or as
nobody in particular; and the reading of manifests and blobs. Refuses to own: pushing and deleting.
https://learn.microsoft.com/azure/container-registry/container-registry-authentication and
https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from azureml_scoring.plan.reference import Reference
from azureml_scoring.provider.arm import Arm, Reply, Stream, Web, clean
from azureml_scoring.provider.errors import ResourceError

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
MOVED = frozenset({301, 302, 303, 307, 308})
DOCUMENT = 4 << 20
"""Bytes of a manifest or config at most; registries take no larger ones."""


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


SignIn = Callable[[Reply], str | None]
"""Answers a challenge with an `Authorization` header; None where this way in is closed."""


def find_digest(arm: Arm, login_server: str, repository: str, reference: str) -> str | None:
    """Return the digest of a tag (or of a digest, to ask whether it is there); None when the registry has it not."""

    def as_deployer(challenge: Reply) -> str:
        return f"Bearer {_token(arm, login_server, repository, challenge)}"

    remedy = "give the deployer AcrPull there"
    return _digest(arm.web, (login_server, repository, reference), (as_deployer,), remedy)


def look_up(arm: Arm, image: Reference, login: Login | None = None) -> str | None:
    """Return the digest of an image in anybody's registry: with its password; else as nobody, or as the deployer.

    The deployer's token goes to Azure's registries only. A reference without a digest is looked up by its tag.
    """
    server, repository = _home(image)
    web = arm.no_retry

    def as_deployer(challenge: Reply) -> str:
        return f"Bearer {_token(arm, server, repository, challenge)}"

    def as_user(challenge: Reply) -> str | None:
        return _granted(web, server, repository, challenge, login)

    what = (server, repository, image.digest or image.tagged.rpartition(":")[2])
    if login is not None:
        return _digest(web, what, (as_user,), "check registry.username and its password")
    if _is_azures(server):
        remedy = "give the deployer AcrPull there, or name who reads it by registry.mode: private"
        return _digest(web, what, (as_user, as_deployer), remedy)
    return _digest(web, what, (as_user,), "name who reads it by registry.mode: private")


def _digest(web: Web, what: tuple[str, str, str], ways: tuple[SignIn, ...], remedy: str) -> str | None:
    """Ask for a manifest without credentials, then by each way in until one is let in."""
    server, repository, reference = what
    url = f"{base_url(server)}/v2/{repository}/manifests/{reference}"
    reply = challenge = web.send("HEAD", url, headers={"Accept": MANIFESTS})
    for way in ways if challenge.status == UNAUTHORIZED else ():
        if reply.status not in {UNAUTHORIZED, FORBIDDEN}:
            break
        header = way(challenge)
        if header is not None:
            reply = web.send("HEAD", url, headers={"Accept": MANIFESTS, "Authorization": header})
    if reply.status == NOT_FOUND:
        return None
    if reply.status in {UNAUTHORIZED, FORBIDDEN}:
        raise ResourceError(f"{server} denies us to read {repository} (HTTP {reply.status}); {remedy}")
    digest = reply.headers.get("Docker-Content-Digest")
    if reply.status != OK or not digest:
        msg = f"{server} answered HTTP {reply.status} about {repository}:{reference}; expected a manifest's digest"
        raise ResourceError(msg)
    return digest


def _home(image: Reference) -> tuple[str, str]:
    """Return where an image is asked for: Docker Hub's name is not where its registry answers."""
    if image.host in {"docker.io", "index.docker.io"}:
        inside = image.repository if "/" in image.repository else f"library/{image.repository}"
        return "registry-1.docker.io", inside
    return image.host, image.repository


def _is_azures(server: str) -> bool:
    """Tell whether Azure runs the registry; on this very machine, the local Azure does."""
    return is_local(server) or re.fullmatch(r"[a-z0-9.-]+\.azurecr\.(io|cn|us)", server.lower()) is not None


def _granted(web: Web, server: str, repository: str, challenge: Reply, login: Login | None) -> str | None:
    """Get leave to pull with a password, or as nobody; None when it is not given."""
    header = challenge.headers.get("WWW-Authenticate") or ""
    if header.lower().startswith("basic"):
        return login.header if login else None
    realm, service = _asked(header)
    if urlsplit(realm).scheme != "https" and not (is_local(server) and is_local(urlsplit(realm).netloc)):
        msg = f"{server} sends us to {realm or 'nowhere'} to sign in, which is not https; not followed"
        raise ResourceError(msg)
    query = urlencode({"service": service, "scope": f"repository:{repository}:pull"})
    reply = web.send("GET", f"{realm}?{query}", headers={"Authorization": login.header} if login else {})
    token = reply.json().get("token") or reply.json().get("access_token")
    return f"Bearer {token}" if reply.status == OK and token else None


class Images:
    """Reads one repository: manifests and configs as documents, layers as streams."""

    def __init__(self, arm: Arm, login_server: str, repository: str) -> None:
        self.name = f"{login_server}/{repository}"
        self._arm = arm
        self._server = login_server
        self._repository = repository
        self._token = ""

    def document(self, kind: str, digest: str) -> dict[str, Any]:
        """Read a manifest (`manifests`) or a config (`blobs`)."""
        with self._open(kind, digest) as reply:
            content = b""
            for piece in reply.pieces:
                content += piece
                if len(content) > DOCUMENT:
                    raise ResourceError(f"{self.name}: the document {digest} is larger than {DOCUMENT >> 20} MB")
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ResourceError(f"{self.name}: {digest} is no document of an image")
        return found

    def stream(self, digest: str) -> Iterator[bytes]:
        """Read a layer, a piece at a time."""
        with self._open("blobs", digest) as reply:
            yield from reply.pieces

    @contextmanager
    def _open(self, kind: str, digest: str) -> Iterator[Stream]:
        """Ask for it; sign in when asked to, and follow to where blobs are kept, without the token."""
        url = f"{base_url(self._server)}/v2/{self._repository}/{kind}/{digest}"
        for _ in range(2):
            headers = {"Accept": MANIFESTS if kind == "manifests" else "*/*"}
            headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
            with self._arm.web.stream(url, headers) as reply:
                if reply.status == UNAUTHORIZED and not self._token:
                    challenge = Reply(reply.status, reply.headers, b"")
                    self._token = _token(self._arm, self._server, self._repository, challenge)
                    continue
                elsewhere = urljoin(url, reply.headers.get("Location") or "") if reply.status in MOVED else ""
                if not elsewhere:
                    yield self._good(reply, digest)
                    return
            if urlsplit(elsewhere).scheme != "https" and not is_local(self._server):
                raise ResourceError(f"{self.name}: the registry keeps {digest} behind plain http; not followed")
            with self._arm.web.stream(elsewhere, {}) as reply:
                yield self._good(reply, digest)
                return
        raise ResourceError(f"{self._server} denies us to read {self._repository}; give the deployer AcrPull there")

    def _good(self, reply: Stream, digest: str) -> Stream:
        if reply.status != OK:
            raise ResourceError(
                f"{self.name}: HTTP {reply.status} about {digest}; does the deployer have a role on it?"
            )
        return reply


def _token(arm: Arm, login_server: str, repository: str, challenge: Reply) -> str:
    """Trade our Entra token for the registry's refresh token, and that one for an access token to pull."""
    realm, service = _asked(challenge.headers.get("WWW-Authenticate") or "", login_server)
    _trust(login_server, realm)
    exchange = re.sub(r"/token$", "/exchange", realm)
    form = {"grant_type": "access_token", "service": service, "access_token": arm.token()}
    if arm.tenant:
        form["tenant"] = arm.tenant
    refresh = _field(arm, login_server, exchange, form, "refresh_token")
    scope = f"repository:{repository}:pull"
    form = {"grant_type": "refresh_token", "service": service, "scope": scope, "refresh_token": refresh}
    return _field(arm, login_server, realm, form, "access_token")


def _asked(header: str, service: str = "") -> tuple[str, str]:
    """Read where a challenge sends us, and for which service."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', header))
    return asked.get("realm", ""), asked.get("service", service)


def _field(arm: Arm, login_server: str, url: str, form: dict[str, str], name: str) -> str:
    reply = arm.web.send("POST", url, form=form)
    value = reply.json().get(name)
    if reply.status != OK or not isinstance(value, str):
        reason = clean(str(reply.json().get("errors") or reply.json().get("error_description") or ""))
        msg = f"{login_server} gave no {name} (HTTP {reply.status}) {reason}; does the deployer have a role on it?"
        raise ResourceError(msg)
    return value


def _trust(login_server: str, realm: str) -> None:
    """Refuse to hand our token to anybody but the registry itself, or anything unencrypted beyond this machine."""
    where = urlsplit(realm)
    local = is_local(login_server) and is_local(where.netloc)
    own = where.scheme == "https" and where.netloc.lower() == login_server.lower()
    if not (local or own):
        msg = f"{login_server} sends us to {realm or 'nowhere'} to sign in, which is not its own; not followed"
        raise ResourceError(msg)
