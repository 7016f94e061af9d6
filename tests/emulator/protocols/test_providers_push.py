"""docker.Image against a registry of a running local Azure, with the real Docker engine."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

TOKEN = "docker:index/image:Image"
URN = f"urn:pulumi:stack::project::{TOKEN}::app"


@pytest.fixture(scope="module")
def login_server(azure: Any) -> str:  # noqa: ANN401 - the fixture of conftest
    azure.put("resourceGroups/rg-push", {"location": "westeurope"})
    path = "resourceGroups/rg-push/providers/Microsoft.ContainerRegistry/registries"
    body = {"location": "westeurope", "sku": {"name": "Standard"}}
    return str(azure.put(f"{path}/pushtest{os.getpid()}", body)["properties"]["loginServer"])


@pytest.fixture
def stub(azure: Any) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:  # noqa: ANN401 - the fixture of conftest
    ports = dict(pair.split(":") for pair in azure.environment["PULUMI_DEBUG_PROVIDERS"].split(","))
    with grpc.insecure_channel(f"127.0.0.1:{ports['docker']}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)


@pytest.fixture
def given(tmp_path: Path, login_server: str, azure: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /\n")
    (tmp_path / "a.txt").write_text("a")
    name = f"{login_server}/push/app:1"
    yield {
        "imageName": name,
        "build": {
            "context": str(tmp_path),
            "dockerfile": str(tmp_path / "Dockerfile"),
            "platform": "linux/amd64",
        },
        "registry": {
            "server": login_server,
            "username": azure.environment["ARM_CLIENT_ID"],
            "password": azure.environment["ARM_CLIENT_SECRET"],
        },
    }
    subprocess.run(["docker", "image", "rm", name], check=False, capture_output=True)


def _request(values: dict[str, Any]) -> provider_pb2.CreateRequest:
    struct = struct_pb2.Struct()
    struct.update(values)
    return provider_pb2.CreateRequest(urn=URN, properties=struct)


def test_an_image_is_built_and_pushed_and_named_by_its_digest(stub: Any, given: dict[str, Any]) -> None:  # noqa: ANN401
    outputs = json_format.MessageToDict(stub.Create(_request(given)).properties)
    repository = re.escape(given["imageName"].rpartition(":")[0])
    assert re.fullmatch(f"{repository}@sha256:[0-9a-f]{{64}}", outputs["repoDigest"])


def test_a_push_with_a_wrong_password_is_refused_without_telling_it(stub: Any, given: dict[str, Any]) -> None:  # noqa: ANN401
    given["registry"]["password"] = "wr0ng-password"
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(_request(given))
    told = str(caught.value.details())
    assert "docker push ended with" in told
    assert "wr0ng-password" not in told
