"""What the local Azure's gateway adds to a container: the same requests sent to the container, and by the gateway.

Owns a client that costs little itself, in turns for both. The container is the example's, as `make up` runs it.
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import docker
import yaml

from tests.performance.clocks import percentile
from tests.performance.figures import Figure
from tests.performance.no_op import demand
from tests.project import Project

CLIENTS = (1, 16, 64)
SECONDS = 4.0
ROUNDS = 3
_BODY = "examples/sklearn/request.json"


@dataclass
class _Load:
    """What some clients have got."""

    seconds: list[float] = field(default_factory=list)
    duration: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.duration

    def milliseconds(self, percent: int) -> float:
        return 1000 * percentile(self.seconds, percent)


def measure(scratch: Path, project: Project) -> list[Figure]:
    """Let as many requests in as the clients send, and load both in turns."""
    del scratch
    _admit(project, 2 * max(CLIENTS))
    outputs = project.outputs()
    targets = {"gateway": outputs["scoringUri"], "bare": f"http://127.0.0.1:{_port(project)}/score"}
    message = {name: _message(uri, outputs["endpointKey"], project.folder / _BODY) for name, uri in targets.items()}
    figures = []
    for clients in CLIENTS:
        loads = {name: _Load() for name in targets}
        used = asked = 0.0
        for _ in range(ROUNDS):
            for name, uri in targets.items():
                before = _processor_time(project), len(loads[name].seconds)
                asyncio.run(_clients(clients, uri, message[name], loads[name]))
                if name == "gateway":
                    used += _processor_time(project) - before[0]
                    asked += len(loads[name].seconds) - before[1]
        figures += _figures(clients, loads["bare"], loads["gateway"], 1000 * used / asked)
    return figures


def _figures(clients: int, bare: _Load, gateway: _Load, processor: float) -> list[Figure]:
    who = f"{clients} client{'s' * (clients > 1)}"
    more = gateway.milliseconds(50) - bare.milliseconds(50)
    return [
        Figure(f"{who}: median, bare container", bare.milliseconds(50), "ms"),
        Figure(f"{who}: median, what the gateway adds", more, "ms", aim="≤ 2 ms" if clients == 1 else ""),
        Figure(f"{who}: p99, bare container", bare.milliseconds(99), "ms"),
        Figure(f"{who}: p99, by the gateway", gateway.milliseconds(99), "ms"),
        Figure(f"{who}: throughput, bare container", bare.rate, "/s"),
        Figure(
            f"{who}: throughput, by the gateway",
            gateway.rate,
            "/s",
            None,
            gateway.rate / bare.rate,
            "bare",
            "≥ 0.85 of bare",
        ),
        Figure(f"{who}: the local Azure's processor time for a request", processor, "ms"),
    ]


def _admit(project: Project, requests: int) -> None:
    file = project.folder / f"Pulumi.{project.stack}.yaml"
    stack = yaml.safe_load(file.read_text())
    blue = stack["config"]["scoring:deployments"]["blue"]
    blue["requestSettings"] = {"maxConcurrentRequestsPerInstance": requests}
    file.write_text(yaml.safe_dump(stack))
    demand(project.up())


def _port(project: Project) -> int:
    """The port of the one container."""
    client = docker.from_env()
    try:
        label = f"azureml-scoring.state={project.azure.folder.resolve()}"
        (container,) = client.api.containers(filters={"label": label})
    finally:
        client.close()
    return int(container["Ports"][0]["PublicPort"])


def _processor_time(project: Project) -> float:
    """Processor seconds of the local Azure's process."""
    assert project.azure.process is not None
    fields = Path(f"/proc/{project.azure.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _message(uri: str, key: str, body: Path) -> bytes:
    content = body.read_bytes()
    head = (
        f"POST {urlsplit(uri).path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _clients(number: int, uri: str, message: bytes, load: _Load) -> None:
    begun = time.monotonic()
    end = begun + SECONDS
    await asyncio.gather(*(_client(uri, message, load.seconds, end) for _ in range(number)))
    load.duration += time.monotonic() - begun


async def _client(uri: str, message: bytes, seconds: list[float], end: float) -> None:
    """Send one request after the other, on one connection where the server keeps it."""
    port = urlsplit(uri).port
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while (begun := time.monotonic()) < end:
        connection = connection or await asyncio.open_connection("127.0.0.1", port)
        reader, writer = connection
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        seconds.append(time.monotonic() - begun)
        assert int(head.split()[1]) == HTTPStatus.OK, head
        if b"connection: close" in head:
            writer.close()
            connection = None
    if connection:
        connection[1].close()
