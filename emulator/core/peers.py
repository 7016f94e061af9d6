"""Who is at the other end of a connection on the loopback, where no protocol asks: the kernel's table says whose it is.

https://docs.kernel.org/networking/proc_net_tcp.html
"""

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = 0
_ESTABLISHED = "01"
"""In other states the table names no user any more, but 0."""
_USER, _INODE = 3, 5
"""The places of both in a row, behind its state."""
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_HOST = "127.0.0.1"


def is_own(peer: int, port: int) -> bool:
    """Whether the connection from a peer's port to ours was opened by this process' user, or by root."""
    return user_of(peer, port) in {os.geteuid(), _ROOT}


def user_of(peer: int, port: int) -> int | None:
    """The user id that opened the connection from a peer's port to ours; None where there is none (any more)."""
    found = _connection((_HOST, peer), (_HOST, port))
    return found.user if found else None


def variable_of(peer: tuple[str, int], server: tuple[str, int], name: str) -> str:
    """A variable in the environment of the process that opened a connection from a peer's address to ours.

    As it was when the process began; empty where it has none, or is another user's, whom only root may read.
    """
    found = _connection(peer, server)
    if found is None:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            value = _variable(process, name)
            if value and any(_is(each, found.inode) for each in (process / "fd").iterdir()):
                return value
    return ""


@dataclass(frozen=True)
class _Connection:
    """A row of the kernel's table."""

    user: int
    inode: int


def _connection(peer: tuple[str, int], server: tuple[str, int]) -> _Connection | None:
    for table in _TABLES:
        try:
            text = Path(table).read_text("ascii")
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for local, remote in zip(_ends(*peer), _ends(*server), strict=True):
            # A busy machine has ten thousand rows: the one that is meant is found before any is taken apart.
            _, found, rest = text.partition(f"{local} {remote} {_ESTABLISHED} ")
            if found:
                words = rest.partition("\n")[0].split()
                return _Connection(int(words[_USER]), int(words[_INODE]))
    return None


def _ends(host: str, port: int) -> tuple[str, str]:
    """An IPv4 address with a port as the tables spell it: of an IPv4 socket, and of an IPv6 one that speaks IPv4."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    (mark,) = struct.unpack("=I", b"\0\0\xff\xff")
    return f"{number:08X}:{port:04X}", f"{0:016X}{mark:08X}{number:08X}:{port:04X}"


def _variable(process: Path, name: str) -> str:
    mark = f"{name}=".encode()
    for each in (process / "environ").read_bytes().split(b"\0"):
        if each.startswith(mark):
            return each.removeprefix(mark).decode(errors="replace")
    return ""


def _is(descriptor: Path, inode: int) -> bool:
    try:
        return str(descriptor.readlink()) == f"socket:[{inode}]"
    except OSError:  # it is closed by now
        return False
