"""A client of container registries: copies images over their HTTP API, without a Docker engine.

Manifests (single and indexes), configurations and layers are copied byte for byte, so that digests stay.
https://distribution.github.io/distribution/spec/api/
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from emulator.core.errors import AzureError

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT = 120.0


@dataclass(frozen=True)
class ImageLocation:
    """An image in a registry, and the credentials for it."""

    server: str
    repository: str
    reference: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Manifest:
    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


class RepositoryClient:
    """A repository of a registry, over HTTP."""

    def __init__(self, client: httpx.Client, location: ImageLocation, actions: str) -> None:
        self._client = client
        self._location = location
        scheme = "http" if location.server.partition(":")[0] in {"localhost", "127.0.0.1"} else "https"
        self.base = f"{scheme}://{location.server}/v2/{location.repository}"
        self._token(f"{scheme}://{location.server}/v2/", actions)

    def _token(self, url: str, actions: str) -> None:
        reply = self._client.get(url)
        kind, _, rest = reply.headers.get("www-authenticate", "").partition(" ")
        if reply.status_code != HTTPStatus.UNAUTHORIZED or kind.lower() != "bearer":
            if self._location.credentials:
                self._client.auth = self._location.credentials
            return
        challenge = dict(_PARAMETER.findall(rest))
        query = {"service": challenge.get("service", ""), "scope": f"repository:{self._location.repository}:{actions}"}
        auth = self._location.credentials
        response = (
            self._client.get(challenge["realm"], params=query, auth=auth)
            if auth
            else self._client.get(challenge["realm"], params=query)
        )
        if response.status_code != HTTPStatus.OK:
            raise AzureError(
                400, "Unauthorized", f"{self._location.server} refuses the credentials: HTTP {response.status_code}"
            )
        token = response.json().get("token") or response.json().get("access_token")
        self._client.headers["Authorization"] = f"Bearer {token}"

    def has(self, reference: str) -> bool:
        """Whether a tag or digest exists."""
        return self._client.head(f"{self.base}/manifests/{reference}", headers={"Accept": _ACCEPT}).is_success

    def manifest(self, reference: str) -> _Manifest:
        """A manifest by tag or digest (400 where it cannot be had)."""
        reply = self._client.get(f"{self.base}/manifests/{reference}", headers={"Accept": _ACCEPT})
        if not reply.is_success:
            raise AzureError(
                400,
                "ManifestUnknown",
                f"{self._location.server} does not give {self._location.repository}:{reference}: {_told(reply)}",
            )
        return _Manifest(reply.headers["content-type"].partition(";")[0], reply.content)

    def put_manifest(self, reference: str, manifest: _Manifest) -> None:
        """Store a manifest under a tag or its digest."""
        headers = {"Content-Type": manifest.media_type}
        _good(self._client.put(f"{self.base}/manifests/{reference}", content=manifest.content, headers=headers))

    def has_blob(self, digest: str) -> bool:
        """Whether a blob exists."""
        return self._client.head(f"{self.base}/blobs/{digest}").is_success

    @contextmanager
    def blob(self, digest: str) -> Iterator[httpx.Response]:
        """Stream a blob."""
        with self._client.stream("GET", f"{self.base}/blobs/{digest}", follow_redirects=True) as reply:
            if not reply.is_success:
                raise AzureError(
                    400, "BlobUnknown", f"{self._location.server} does not give {digest}: HTTP {reply.status_code}"
                )
            yield reply

    def put_blob(self, digest: str, content: Iterator[bytes]) -> None:
        """Upload a blob."""
        upload = _good(self._client.post(f"{self.base}/blobs/uploads/"))
        url = httpx.URL(self.base).join(upload.headers["location"]).copy_add_param("digest", digest)
        _good(self._client.put(url, content=content, headers={"Content-Type": "application/octet-stream"}))


@contextmanager
def opened(location: ImageLocation, actions: str) -> Iterator[RepositoryClient]:
    """A client of one location, authenticated for some actions; 400 where the registry does not answer."""
    try:
        with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
            yield RepositoryClient(client, location, actions)
    except httpx.HTTPError as error:
        raise AzureError(400, "RegistryUnreachable", f"{location.server} does not answer: {error}") from error


def copy(source: RepositoryClient, target: RepositoryClient, manifest: _Manifest, reference: str) -> None:
    """Copy a manifest with all that it names; an empty reference stores it by digest only."""
    body = json.loads(manifest.content)
    if manifest.media_type in _INDEXES:
        for child in body["manifests"]:
            copy(source, target, source.manifest(child["digest"]), "")
    elif manifest.media_type in _MANIFESTS:
        for part in [body["config"], *body["layers"]]:
            digest = part["digest"]
            if not target.has_blob(digest):
                with source.blob(digest) as content:
                    target.put_blob(digest, content.iter_bytes())
    else:
        raise AzureError(400, "ManifestUnsupported", f"manifests of type {manifest.media_type} cannot be imported")
    target.put_manifest(reference or manifest.digest, manifest)


def _good(reply: httpx.Response) -> httpx.Response:
    if not reply.is_success:
        raise AzureError(400, "ImportFailed", f"{reply.request.url.host} refuses the image: {_told(reply)}")
    return reply


def _told(reply: httpx.Response) -> str:
    try:
        error = reply.json()["errors"][0]
        return f"HTTP {reply.status_code} {error['code']}: {error['message']}"
    except (ValueError, KeyError, IndexError, TypeError):
        return f"HTTP {reply.status_code}"
