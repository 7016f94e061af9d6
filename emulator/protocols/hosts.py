"""Vaults and storage accounts by names of their own below localhost, at the port of Resource Manager.

Owns which name leads where: NAME.vault.localhost and NAME.blob.core.localhost, as clients compose them from the
suffixes of the cloud's metadata (azure-storage-blob finds the account's name before `.blob.core.` only). Where a
machine does not resolve names below localhost, the addresses that Resource Manager shows (`vaultUri`,
`primaryEndpoints.blob`) lead to the same.
https://www.rfc-editor.org/rfc/rfc6761#section-6.3
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from emulator.core.azure import Azure
from emulator.protocols import vaults

_VAULT = ".vault.localhost"
_BLOB = ".blob.core.localhost"


class Hosts:
    """Sends a request on by the name of its host."""

    def __init__(self, app: ASGIApp, azure: Azure) -> None:
        self._app = app
        self._azure = azure
        self._vaults: dict[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        host = Headers(scope=scope).get("host", "").partition(":")[0].lower() if scope["type"] == "http" else ""
        if host.endswith(_VAULT):
            await self._vault(host.removesuffix(_VAULT))(scope, receive, send)
        elif host.endswith(_BLOB):
            account = f"/storage/{host.removesuffix(_BLOB)}"
            await self._app({**scope, "path": account + scope["path"]}, receive, send)
        else:
            await self._app(scope, receive, send)

    def _vault(self, name: str) -> ASGIApp:
        return self._vaults.setdefault(name, vaults.application(self._azure, name))
