"""Finding what a user names by something else than its ARM id.

Owns: the search through the subscriptions that the caller can see. Refuses to own: changing anything.
https://learn.microsoft.com/rest/api/containerregistry/registries/list
"""

from collections.abc import Iterator
from typing import Any

from components.resources.arm import Arm
from components.resources.framework import ResourceError

SUBSCRIPTIONS_API = "2022-12-01"
REGISTRIES_API = "2023-07-01"


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


def _pages(arm: Arm, path: str, version: str) -> Iterator[dict[str, Any]]:
    page = arm.get(path, version) or {}
    while True:
        yield from page.get("value") or []
        if not (following := page.get("nextLink")):
            return
        page = arm.follow_page(str(following))
