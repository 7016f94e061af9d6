"""Who is at the other end of a connection on the loopback, where no protocol asks: the kernel's table says whose it is.

https://docs.kernel.org/networking/proc_net_tcp.html
"""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_ROOT = 0
_ESTABLISHED = "01"
"""In other states the table names no user any more, but 0."""
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def is_own(peer: int, port: int) -> bool:
    """Whether the connection from a peer's port to ours was opened by this process' user, or by root."""
    return user_of(peer, port) in {os.geteuid(), _ROOT}


def user_of(peer: int, port: int) -> int | None:
    """The user id that opened the connection from a peer's port to ours; None where there is none (any more)."""
    ends = {(local, remote) for local, remote in zip(_ends(peer), _ends(port), strict=True)}
    for table in _TABLES:
        for local, remote, state, user in _rows(Path(table)):
            if (local, remote) in ends and state == _ESTABLISHED:
                return user
    return None


def _ends(port: int) -> tuple[str, str]:
    """127.0.0.1 with a port as the tables spell it: of an IPv4 socket, and of an IPv6 one that speaks IPv4."""
    (number,) = struct.unpack("=I", socket.inet_aton("127.0.0.1"))
    (mark,) = struct.unpack("=I", b"\0\0\xff\xff")
    return f"{number:08X}:{port:04X}", f"{0:016X}{mark:08X}{number:08X}:{port:04X}"


def _rows(table: Path) -> Iterator[tuple[str, str, str, int]]:
    """Both ends, the state and the user of each connection."""
    try:
        lines = table.read_text("ascii").splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return
    for words in map(str.split, lines):
        yield words[1], words[2], words[3], int(words[7])
