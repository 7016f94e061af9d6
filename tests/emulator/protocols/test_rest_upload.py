"""The blob face itself, without a process: a registry's upload URL is the only way to a signed one there."""

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette

from emulator.backends import signed_blobs
from emulator.protocols import blobs as protocol
from emulator.protocols.web import listening
from tests.emulator.conftest import InProcessAzure

NAME = "source/context.tar.gz"


@pytest.fixture
def client(local: InProcessAzure) -> Iterator[httpx.Client]:
    listener = local.azure.ports.bind("https")
    serving = listening(Starlette(routes=protocol.routes(local.azure)), listener, None)
    # The signed URLs are https; what is tested here needs no TLS.
    plain = {"request": [_without_tls]}
    with serving, httpx.Client(event_hooks=plain, mounts={"https://": httpx.HTTPTransport()}, timeout=120) as made:
        yield made


def _without_tls(request: httpx.Request) -> None:
    request.url = request.url.copy_with(scheme="http")


def test_what_is_put_is_got_whole_and_by_range(local: InProcessAzure, client: httpx.Client) -> None:
    content = bytes(range(256)) * 8192
    url = signed_blobs.upload_url(local.azure, NAME)
    put = client.put(url, content=content, headers={"x-ms-blob-type": "BlockBlob", "x-ms-meta-kind": "context"})
    assert put.status_code == 201
    assert signed_blobs.blob_path(local.azure, NAME).read_bytes() == content
    read = signed_blobs.read_url(local.azure, NAME)
    whole = client.get(read)
    assert whole.content == content
    assert whole.headers["x-ms-meta-kind"] == "context"
    part = client.get(read, headers={"x-ms-range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    tail = client.get(read, headers={"Range": f"bytes={len(content) - 3}-"})
    assert tail.content == content[-3:]
    assert client.get(read, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert client.head(read).headers["content-length"] == str(len(content))
    assert local.azure.counts["uploads"] == 1


def test_blocks_become_one_blob_in_the_lists_order(local: InProcessAzure, client: httpx.Client) -> None:
    url = signed_blobs.upload_url(local.azure, NAME)
    ids = [base64.b64encode(f"block-{number}".encode()).decode() for number in range(3)]
    for number, block in enumerate(ids):
        put = client.put(url, params={**dict(_params(url)), "comp": "block", "blockid": block}, content=str(number))
        assert put.status_code == 201
    listed = "".join(f"<Latest>{block}</Latest>" for block in reversed(ids))
    done = client.put(
        url,
        params={**dict(_params(url)), "comp": "blocklist"},
        content=f"<?xml version='1.0' encoding='utf-8'?><BlockList>{listed}</BlockList>",
    )
    assert done.status_code == 201
    assert signed_blobs.blob_path(local.azure, NAME).read_bytes() == b"210"


def test_a_damaged_upload_leaves_nothing(local: InProcessAzure, client: httpx.Client) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()  # noqa: S324 - the protocol's
    url = signed_blobs.upload_url(local.azure, NAME)
    put = client.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob", "content-md5": wrong})
    assert put.headers["x-ms-error-code"] == "Md5Mismatch"
    assert client.get(url).headers["x-ms-error-code"] == "BlobNotFound"
    assert list(signed_blobs.blob_path(local.azure, NAME).parent.iterdir()) == []


@pytest.mark.parametrize(
    "body", ["<BlockList>", "<!DOCTYPE x><BlockList/>", "<BlockList><Latest>eA==</Latest></BlockList>"]
)
def test_a_wrong_block_list_is_refused(local: InProcessAzure, client: httpx.Client, body: str) -> None:
    url = signed_blobs.upload_url(local.azure, NAME)
    done = client.put(url, params={**dict(_params(url)), "comp": "blocklist"}, content=body)
    assert done.status_code == 400


def _params(url: str) -> list[tuple[str, str]]:
    return list(httpx.URL(url).params.multi_items())
