"""The blob face over storage accounts: signatures of the account's key, for a container or one blob."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette

from emulator.protocols import blobs
from emulator.protocols.web import listening
from emulator.services.storage import access as storage_access
from emulator.services.storage import data as storage_data
from tests.emulator.conftest import InProcessAzure

ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
PUT = {"x-ms-blob-type": "BlockBlob"}


@pytest.fixture
def client(local: InProcessAzure) -> Iterator[httpx.Client]:
    local.ask("PUT", "providers/Microsoft.Storage/storageAccounts/sttest", ACCOUNT)
    listener = local.azure.ports.bind("https")
    address = f"http://127.0.0.1:{local.azure.ports.of('https')}/storage/sttest"
    serving = listening(Starlette(routes=blobs.routes(local.azure)), listener, None)
    with serving, httpx.Client(base_url=address, timeout=120, trust_env=False) as made:
        yield made


def sas(local: InProcessAzure, container: str, permissions: str = "rcw", hours: float = 1) -> str:
    account = local.azure.store.of_type(storage_data.ACCOUNTS)[0]
    return storage_access.container_sas(account, container, permissions, timedelta(hours=hours))


def test_a_containers_signature_opens_its_blobs_whatever_they_are_called(
    local: InProcessAzure, client: httpx.Client
) -> None:
    query = sas(local, "models")
    for name in ("model.pkl", "a folder/ä.bin", ".hidden"):
        assert client.put(f"/models/{name}?{query}", content=name.encode(), headers=PUT).status_code == 201
        assert client.get(f"/models/{name}?{query}").content == name.encode()
    found = storage_data.blobs_below(local.azure, f"{local.azure.url}/storage/sttest/models/a folder")
    assert list(found) == ["a folder/ä.bin"]
    assert local.azure.counts["uploads"] == 3


def test_another_container_a_late_or_a_narrow_signature_opens_nothing(
    local: InProcessAzure, client: httpx.Client
) -> None:
    refused = [
        client.put(f"/other/x?{sas(local, 'models')}", content=b"x", headers=PUT),
        client.put(f"/models/x?{sas(local, 'models', hours=-1)}", content=b"x", headers=PUT),
        client.put(f"/models/x?{sas(local, 'models', 'r')}", content=b"x", headers=PUT),
        client.put("/models/x", content=b"x", headers=PUT),
    ]
    assert {answer.status_code for answer in refused} == {403}
    assert client.put(f"/models/a/%2e%2e/%2e%2e/x?{sas(local, 'models')}", content=b"x", headers=PUT).status_code >= 400
    assert not (local.azure.folder / "storage").exists() or not list((local.azure.folder / "storage").rglob("*.blob"))


def test_the_signature_is_the_one_that_azures_own_library_makes(local: InProcessAzure, client: httpx.Client) -> None:
    del client
    account = local.azure.store.of_type(storage_data.ACCOUNTS)[0]
    known = local.azure.store.put(account.having({"keys": ["a2V5" * 16, "a2V5" * 16]}))
    given = {"sp": "rcw", "se": "2030-01-01T00:00:00Z", "spr": "https", "sv": "2021-12-02", "sr": "c"}
    assert storage_access._signature(known, "sttest/models", given) == "h4QCkk1w3+vT5ZyMOm2qgn9yQeQPTRq/NI3gG8x2SvU="


def test_conditions_of_a_write_and_a_read_are_kept(local: InProcessAzure, client: httpx.Client) -> None:
    query = sas(local, "models")
    first = client.put(f"/models/x?{query}", content=b"x", headers=PUT)
    again = client.put(f"/models/x?{query}", content=b"y", headers={**PUT, "If-None-Match": "*"})
    assert (again.status_code, again.headers["x-ms-error-code"]) == (409, "BlobAlreadyExists")
    stale = client.put(f"/models/x?{query}", content=b"y", headers={**PUT, "If-Match": '"0x0"'})
    assert (stale.status_code, stale.headers["x-ms-error-code"]) == (412, "ConditionNotMet")
    assert client.get(f"/models/x?{query}", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.put(f"/models/x?{query}", content=b"z", headers={**PUT, "If-Match": first.headers["etag"]}).is_success
