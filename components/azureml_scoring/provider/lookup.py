"""Finding what a user names by something else than its ARM id: a registry by its address, a password by a secret's.

Owns: the search through the subscriptions that the caller can see, and the reading of a vault's secret. Refuses to own:
changing anything.
https://learn.microsoft.com/rest/api/containerregistry/registries/list
https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from azureml_scoring.provider.arm import NOT_FOUND, OK, Arm, error_of, where
from azureml_scoring.provider.errors import ResourceError

SUBSCRIPTIONS_API = "2022-12-01"
REGISTRIES_API = "2023-07-01"
VAULT_API = "7.4"
PUBLIC_VAULTS = "vault.azure.net"


def registry_at(arm: Arm, login_server: str) -> str:
    """Return the ARM id of the Azure registry at an address; raise where we see none there."""
    if found := find_registry(arm, login_server):
        return found
    msg = (
        f'registry.loginServer = "{login_server}": no such Azure registry in the subscriptions that are visible; '
        "write registry.id, or registry.mode: private with address, username and password"
    )
    raise ResourceError(msg)


def find_registry(arm: Arm, login_server: str) -> str | None:
    """Look for the Azure registry at an address in every subscription that we can see; its ARM id."""
    for subscription in _pages(arm, "/subscriptions", SUBSCRIPTIONS_API):
        path = f"/subscriptions/{subscription['subscriptionId']}/providers/Microsoft.ContainerRegistry/registries"
        for registry in _pages(arm, path, REGISTRIES_API):
            if str(registry["properties"].get("loginServer", "")).lower() == login_server.lower():
                return str(registry["id"])
    return None


def secret_at(arm: Arm, field: str, id_: str) -> str:
    """Return the value of a vault's secret, the latest unless the id names a version; `field` asked for it."""
    host = urlsplit(id_).netloc.lower()
    # Tokens are for all vaults of a cloud; the caller has checked that the host is one of them.
    cloud = host.partition(".")[2] or PUBLIC_VAULTS
    token = arm.token(f"https://{cloud}/.default")
    reply = arm.web.send("GET", id_, params={"api-version": VAULT_API}, headers={"Authorization": f"Bearer {token}"})
    if reply.status == NOT_FOUND:
        raise ResourceError(f'{field} = "{id_}": no such secret in the vault; correct the id')
    value = reply.json().get("value")
    if reply.status != OK or not isinstance(value, str):
        why = error_of(reply, where("GET", id_)).message
        msg = f'{field} = "{id_}": HTTP {reply.status}; give the deployer the role Key Vault Secrets User on it; {why}'
        raise ResourceError(msg)
    return value


def _pages(arm: Arm, path: str, version: str) -> Iterator[dict[str, Any]]:
    page = arm.get(path, version) or {}
    while True:
        yield from page.get("value") or []
        if not (following := page.get("nextLink")):
            return
        page = arm.follow_page(str(following))
