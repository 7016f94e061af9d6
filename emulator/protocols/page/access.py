"""Who may open the page: a link that works once becomes a session, kept in a cookie that no script reads.

Refuses other host names (DNS rebinding), and changes that another origin asks for: ports of one host are one site to a
browser, so that SameSite alone does not keep other local servers' pages out.
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#samesitesamesite-value
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping

from emulator.core.errors import AzureError

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
LINK_SECONDS = 3600.0
_READS = frozenset({"GET", "HEAD"})


class Sessions:
    """Links that have not been opened yet, and sessions that have; both are kept as hashes. Thread-safe."""

    def __init__(self) -> None:
        self._links: dict[str, float] = {}
        self._sessions: set[str] = set()
        self._lock = threading.Lock()

    def link(self) -> str:
        """A new key, which opens one session within the hour."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._links[_hash(key)] = time.monotonic() + LINK_SECONDS
        return key

    def open(self, key: str) -> str:
        """The token of a new session (401 where the key was never one, was used, or is too old)."""
        with self._lock:
            end = self._links.pop(_hash(key), 0.0)
        if time.monotonic() >= end:
            text = "This link was opened before, or is too old: `make page` prints another."
            raise AzureError(401, "LinkExpired", text)
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions.add(_hash(token))
        return token

    def demand(self, token: str) -> None:
        """Refuse what has no session (401)."""
        if _hash(token) not in self._sessions:
            raise AzureError(401, "NoSession", "This page needs its link: `make page` prints one.")


def check_origin(method: str, headers: Mapping[str, str]) -> None:
    """Refuse a request by another host name, and a change that another origin asks for (403)."""
    host = headers.get("host", "").lower()
    if (host if host.endswith("]") else host.rpartition(":")[0] or host) not in HOSTS:
        raise AzureError(403, "ForeignHost", "This page answers to 127.0.0.1 and localhost only.")
    if method not in _READS and headers.get("origin", "") != f"http://{host}":
        raise AzureError(403, "ForeignOrigin", "Only this page's own scripts may change something.")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
