"""What a registry holds: repositories, tags, digests, read from its server over the OCI API.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#content-discovery
"""

import httpx

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document
from emulator.services.containerregistry import access
from emulator.services.containerregistry.access import Caller

READER = Caller("acr-api", rights=frozenset({"pull", "catalog"}), trusted=True)
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_TIMEOUT = 60.0


def images(azure: Azure, registry: Document) -> dict[str, dict[str, str]]:
    """Digests by repository and tag (503 where the registry's server does not answer)."""
    server = f"http://{registry.properties['loginServer']}"
    try:
        with httpx.Client(trust_env=False, timeout=_TIMEOUT) as client:
            names = repositories(azure, registry, server, client)
            return {name: tags(azure, registry, server, name, client) or {} for name in names}
    except httpx.HTTPError as error:
        raise AzureError(503, "RegistryUnreachable", f"{server} does not answer: {type(error).__name__}") from error


def repositories(azure: Azure, registry: Document, server: str, client: httpx.Client) -> list[str]:
    """The names of all repositories."""
    reply = _read(azure, registry, f"{server}/v2/_catalog", "registry:catalog:*", client)
    return list(reply.json().get("repositories") or [])


def tags(azure: Azure, registry: Document, server: str, name: str, client: httpx.Client) -> dict[str, str] | None:
    """Digests by tag; None where there is no such repository."""
    scope, base = f"repository:{name}:pull", f"{server}/v2/{name}"
    reply = _read(azure, registry, f"{base}/tags/list", scope, client)
    if not reply.is_success:
        return None
    return {
        tag: _read(azure, registry, f"{base}/manifests/{tag}", scope, client, "HEAD").headers["docker-content-digest"]
        for tag in sorted(reply.json().get("tags") or [])
    }


def _read(  # noqa: PLR0913, PLR0917 - a request has these parts
    azure: Azure, registry: Document, url: str, scope: str, client: httpx.Client, method: str = "GET"
) -> httpx.Response:
    token = access.access_token(azure, registry, READER, [scope])
    return client.request(method, url, headers={"Authorization": f"Bearer {token}", "Accept": _MANIFESTS})
