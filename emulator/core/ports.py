"""Ports of the local Azure: chosen once and stored, so that URLs in Pulumi's state stay true.

Owns the choice and the binding; what answers on a port is the faces' business. Everything binds to 127.0.0.1.
"""

import errno
import random
import socket
import threading
from pathlib import Path

from emulator.core.store import Store

HOST = "127.0.0.1"
_FACT = "ports"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10000
"""Below it are the ports of well-known servers."""


class PortInUseError(Exception):
    """Another process listens on the port; the text is one line with the remedy."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(f"port {port} ({name}) is in use: end what listens there, or choose another port")
        self.name = name
        self.port = port


class Ports:
    """The ports by name. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def of(self, name: str) -> int | None:
        """The port stored for a name."""
        return self._kept().get(name)

    def numbers(self) -> set[int]:
        """All stored ports."""
        return set(self._kept().values())

    @staticmethod
    def check_free(name: str, port: int) -> None:
        """Refuse a port that is taken now; it is neither bound nor stored."""
        _listening(name, port).close()

    def choose(self, name: str, preferred: int = 0) -> int:
        """The port stored for a name; at first the preferred one, or the next free one after it (0: any)."""
        with self._lock:
            ports = self._kept()
            if name not in ports:
                ports[name] = _free(preferred, set(ports.values()))
                self._store.put_fact(_FACT, ports)
            return ports[name]

    def bind(self, name: str, preferred: int | None = None) -> socket.socket:
        """A listening socket for a name: at the preferred port, else at the stored one, else at any free one.

        A preferred or stored port that is taken is refused with `PortInUseError`, since URLs made earlier name it.
        """
        with self._lock:
            ports = self._kept()
            port = preferred or ports.get(name) or _free(0, set(ports.values()))
            listener = _listening(name, port)
            if ports.get(name) != port:
                self._store.put_fact(_FACT, {**ports, name: port})
            return listener

    def forget(self, name: str) -> None:
        """Give a port back (its resource is deleted)."""
        with self._lock:
            self._store.put_fact(_FACT, {key: port for key, port in self._kept().items() if key != name})

    def _kept(self) -> dict[str, int]:
        return dict(self._store.fact(_FACT) or {})


def _listening(name: str, port: int) -> socket.socket:
    # Only where the protocol is named does asyncio switch Nagle's algorithm off, which costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortInUseError(name, port) from error
        raise
    return listener


def ephemeral() -> range:
    """The ports that the kernel gives to connections that name none: any of them may be taken at the next start.

    https://docs.kernel.org/networking/ip-sysctl.html (ip_local_port_range)
    """
    try:
        first, last = map(int, _RANGE.read_text("ascii").split())
    except (OSError, ValueError):
        return range(32768, 60999 + 1)
    return range(first, last + 1)


def _any() -> list[int]:
    """Ports in no order, so that two local Azures do not ask for the same; 0, any, where all are ephemeral.

    By the system's own generator: one that a program has seeded gives every process the same order.
    """
    taken = ephemeral()
    lasting = [port for port in range(_LOWEST, 1 << 16) if port not in taken]
    return random.SystemRandom().sample(lasting, min(len(lasting), 100)) or [0] * 100


def _free(preferred: int, used: set[int]) -> int:
    """The wanted port or the next free one; any lasting one for 0."""
    candidates = range(preferred, preferred + 100) if preferred else _any()
    for candidate in candidates:
        if candidate in used:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            if port not in used:
                return port
    raise PortInUseError("any of the hundred from it on", preferred)
