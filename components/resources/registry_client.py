"""The data plane of a container registry, as far as we ask it: which digest does a tag have?

Owns: the sign-in of the registry's own protocol (challenge, exchange, token) and the manifest question.
Refuses to own: pulling, pushing and deleting.
https://learn.microsoft.com/azure/container-registry/container-registry-authentication and
https://distribution.github.io/distribution/spec/auth/token/
"""

import re
from urllib.parse import urlsplit

from components.resources.arm import Arm, Reply, clean
from components.resources.framework import ResourceError

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404


def base_url(login_server: str) -> str:
    """Return the registry's address: https, but plain http on this very machine, as docker has it."""
    return f"{'http' if is_local(login_server) else 'https'}://{login_server}"


def is_local(host: str) -> bool:
    """Tell whether a host (with or without port) is this machine, by name or loopback address."""
    return re.fullmatch(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", host.lower()) is not None


def find_digest(arm: Arm, login_server: str, repository: str, reference: str) -> str | None:
    """Return the digest of a tag (or of a digest, to ask whether it is there); None when the registry has it not."""
    url = f"{base_url(login_server)}/v2/{repository}/manifests/{reference}"
    reply = arm.web.send("HEAD", url, headers={"Accept": MANIFESTS})
    if reply.status == UNAUTHORIZED:
        token = _token(arm, login_server, repository, reply)
        reply = arm.web.send("HEAD", url, headers={"Accept": MANIFESTS, "Authorization": f"Bearer {token}"})
    if reply.status == NOT_FOUND:
        return None
    if reply.status in {UNAUTHORIZED, FORBIDDEN}:
        msg = f"{login_server} denies us to read {repository} (HTTP {reply.status}); give the deployer AcrPull there"
        raise ResourceError(msg)
    digest = reply.headers.get("Docker-Content-Digest")
    if reply.status != OK or not digest:
        msg = (
            f"{login_server} answered HTTP {reply.status} about {repository}:{reference}; expected a manifest's digest"
        )
        raise ResourceError(msg)
    return digest


def _token(arm: Arm, login_server: str, repository: str, challenge: Reply) -> str:
    """Trade our Entra token for the registry's refresh token, and that one for an access token to pull."""
    header = challenge.headers.get("WWW-Authenticate") or ""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', header))
    realm = asked.get("realm", "")
    _trust(login_server, realm)
    service = asked.get("service", login_server)
    exchange = re.sub(r"/token$", "/exchange", realm)
    form = {"grant_type": "access_token", "service": service, "access_token": arm.token()}
    if arm.tenant:
        form["tenant"] = arm.tenant
    refresh = _field(arm, login_server, exchange, form, "refresh_token")
    scope = f"repository:{repository}:pull"
    form = {"grant_type": "refresh_token", "service": service, "scope": scope, "refresh_token": refresh}
    return _field(arm, login_server, realm, form, "access_token")


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
