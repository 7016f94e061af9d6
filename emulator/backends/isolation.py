"""Docker networks without a way out, and the one way that each has: a proxy for approved names.

Owns the networks of one state folder and their proxies. What is approved is asked at each connection. A proxy listens
on this machine's address in its network, which the containers there reach and nobody outside of the machine does.
https://docs.docker.com/reference/cli/docker/network/create/#network-internal-mode (--internal)

A name that is not approved fails as behind Azure Firewall, which implements the FQDN rules of a managed network: plain
HTTP is answered 470, the connection of a TLS client is cut off.
https://learn.microsoft.com/azure/machine-learning/how-to-managed-network#pricing
https://http.dev/470
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import docker.errors

from emulator.backends import docker_engine
from emulator.backends.streams import Acceptor, forward

Address = tuple[str, int]
Approve = Callable[[str, str, int], Address | None]
"""Where a name and a port lead from a network, by its key; None where they are not approved."""
PROXY_PORT = 3128
_PREFIX = "azureml-managed-"
_LABEL = "azureml-scoring.managed-network"
_DENIED = b"Action: Deny. Reason: No rule matched. Proceeding with default action."
_HEAD_END = b"\r\n\r\n"
_HTTP = 80


class Isolation:
    """The networks of one state folder. Thread-safe."""

    def __init__(self, state: dict[str, str], approve: Approve) -> None:
        self._state = state
        self._approve = approve
        self._proxies: dict[str, Acceptor] = {}
        self._lock = threading.RLock()

    @contextmanager
    def joining(self, key: str) -> Iterator[tuple[str | None, dict[str, str]]]:
        """The network of a key, made where there is none, with its proxy, and the variables of a container in it.

        Within the context it is not taken for unused. Without a key, the default network and no variable.
        """
        if not key:
            yield None, {}
            return
        with self._lock:
            address = self._address(key)
            if key not in self._proxies:
                listener = socket.create_server((address, PROXY_PORT))
                self._proxies[key] = Acceptor(listener, partial(self._serve, key), f"way out of {key}")
                self._proxies[key].start()
            proxy, none = f"http://{address}:{PROXY_PORT}", "localhost,127.0.0.1"
            names = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": none}
            yield _PREFIX + key, names | {name.upper(): value for name, value in names.items()}

    def prune(self) -> None:
        """Take away the networks that have no container any more."""
        with self._lock, docker_engine.connected() as client:
            labels = [f"{name}={value}" for name, value in self._state.items()]
            # One by one: the engine refuses to prune while it prunes for somebody else.
            for network in client.networks.list(filters={"label": [*labels, _LABEL]}, greedy=True):
                if network.containers:
                    continue
                try:
                    network.remove()
                except docker.errors.APIError:  # a container has come, or the network has gone
                    continue
                if proxy := self._proxies.pop(str(network.name).removeprefix(_PREFIX), None):
                    proxy.stop()

    def _address(self, key: str) -> str:
        """The address of this machine in a network."""
        name = _PREFIX + key
        with docker_engine.connected() as client:
            try:
                network = client.networks.get(name)
            except docker.errors.NotFound:
                network = client.networks.create(name, internal=True, labels={**self._state, _LABEL: key})
                network.reload()
            return str(network.attrs["IPAM"]["Config"][0]["Gateway"])

    async def _serve(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(_HEAD_END)
        line, _, fields = head.partition(b"\r\n")
        method, target, version = line.decode("latin-1").split(" ", 2)
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            writer.write(f"{version} 200 Connection established\r\n\r\n".encode())
            await writer.drain()
            if address := self._approve(key, host, int(port)):
                await forward(reader, writer, address, b"")
            return
        asked = urlsplit(target)
        address = self._approve(key, asked.hostname or "", asked.port or _HTTP)
        if address is None:
            writer.write(_answer())
            await writer.drain()
            return
        path = f"{asked.path or '/'}{'?' * bool(asked.query)}{asked.query}"
        # One request a connection: the next could be for another name.
        kept = [each for each in fields.split(b"\r\n") if each and not each.lower().startswith(_CONNECTION)]
        first = b"\r\n".join([f"{method} {path} {version}".encode("latin-1"), *kept, b"Connection: close", b"", b""])
        await forward(reader, writer, address, first)


_CONNECTION = (b"connection:", b"proxy-connection:", b"proxy-authorization:")


def _answer() -> bytes:
    head = f"HTTP/1.1 470 status code 470\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(_DENIED)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + _DENIED


def host_of(container: Any) -> str:  # noqa: ANN401 - docker has no types
    """The address of a container in an isolated network; empty for any other."""
    networks = container.attrs["NetworkSettings"]["Networks"].items()
    return str(next((each["IPAddress"] for name, each in networks if name.startswith(_PREFIX)), ""))
