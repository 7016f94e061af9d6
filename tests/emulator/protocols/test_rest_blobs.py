from datetime import timedelta

import httpx
import pytest

from emulator.backends import signed_blobs
from emulator.core.errors import AzureError
from tests.conftest import Cloud
from tests.emulator.conftest import InProcessAzure


def _query(url: str) -> dict[str, str]:
    return dict(httpx.URL(url).params)


def test_a_signature_allows_what_it_says_for_as_long_as_it_says(local: InProcessAzure) -> None:
    upload = _query(signed_blobs.upload_url(local.azure, "source/a.tar.gz"))
    read = _query(signed_blobs.read_url(local.azure, "source/a.tar.gz"))
    late = _query(signed_blobs.read_url(local.azure, "source/a.tar.gz", timedelta(seconds=-1)))
    signed_blobs.demand(local.azure, "source/a.tar.gz", upload, "w")
    signed_blobs.demand(local.azure, "source/a.tar.gz", read, "r")
    for name, query, permission in (
        ("source/a.tar.gz", read, "w"),
        ("source/b.tar.gz", read, "r"),
        ("source/a.tar.gz", late, "r"),
        ("source/a.tar.gz", {**read, "sp": "rcw"}, "w"),
        ("source/a.tar.gz", {}, "r"),
    ):
        with pytest.raises(AzureError, match="AuthenticationFailed"):
            signed_blobs.demand(local.azure, name, query, permission)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b", "a//b", ".hidden", ""])
def test_a_blob_does_not_leave_its_folder(local: InProcessAzure, name: str) -> None:
    with pytest.raises(AzureError, match="InvalidResourceName"):
        signed_blobs.blob_path(local.azure, name)


def test_a_blob_needs_a_signature_and_storage_says_so_in_xml(azure: Cloud) -> None:
    answer = azure.http.put("/blob/source/x.tar.gz", content=b"x", headers={"x-ms-blob-type": "BlockBlob"})
    assert answer.status_code == 403
    assert answer.headers["x-ms-error-code"] == "AuthenticationFailed"
    assert "<Code>AuthenticationFailed</Code>" in answer.text
