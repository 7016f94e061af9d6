"""The blob face over storage accounts: signatures of the account's key, for a container or one blob."""

import base64
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient
from starlette.applications import Starlette

from emulator.core.rbac import Principal
from emulator.protocols import blobs
from emulator.protocols.web import listening
from emulator.services.authorization import types as authorization
from emulator.services.graph import access as entra
from emulator.services.storage import access as storage_access
from emulator.services.storage import data as storage_data
from tests.emulator.conftest import InProcessAzure

ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
PUT = {"x-ms-blob-type": "BlockBlob"}
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"


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


@pytest.mark.parametrize("number", [0, 1])
def test_either_key_of_the_account_opens_its_containers(
    local: InProcessAzure, client: httpx.Client, number: int
) -> None:
    account = local.azure.store.of_type(storage_data.ACCOUNTS)[0]
    key = AzureNamedKeyCredential("sttest", account.private["keys"][number])
    with ContainerClient.from_container_url(f"{client.base_url}models", credential=key) as container:
        container.create_container()
        for name in ("a folder/ä.bin", "x"):
            container.upload_blob(name, name.encode(), metadata={"kind": "test"})
        assert [each.name for each in container.list_blobs()] == ["a folder/ä.bin", "x"]
        assert [each.name for each in container.list_blobs(name_starts_with="a")] == ["a folder/ä.bin"]
        assert container.download_blob("a folder/ä.bin").readall() == "a folder/ä.bin".encode()
        assert container.get_blob_client("x").get_blob_properties().metadata == {"kind": "test"}
        container.upload_blob("x", b"again", overwrite=True)
        assert container.get_blob_client("x").get_blob_properties().metadata == {}
        container.delete_blob("x")
        assert [each.name for each in container.list_blobs()] == ["a folder/ä.bin"]


def test_another_key_opens_nothing_and_none_does_where_keys_are_not_allowed(
    local: InProcessAzure, client: httpx.Client
) -> None:
    account = local.azure.store.of_type(storage_data.ACCOUNTS)[0]
    for key, code in ((b"other", "AuthenticationFailed"), (None, "KeyBasedAuthenticationNotPermitted")):
        text = base64.b64encode(key).decode() if key else account.private["keys"][0]
        if key is None:
            local.azure.store.put(account.having(allowSharedKeyAccess=False))
        named = AzureNamedKeyCredential("sttest", text)
        with (
            ContainerClient.from_container_url(f"{client.base_url}models", credential=named) as container,
            pytest.raises(HttpResponseError) as caught,
        ):
            list(container.list_blobs())
        assert caught.value.error_code == code  # type: ignore[attr-defined]


def test_a_role_opens_what_it_names(local: InProcessAzure, client: httpx.Client) -> None:
    reader, writer = local.service_principal("reader"), local.service_principal("writer")
    account = local.azure.store.of_type(storage_data.ACCOUNTS)[0]
    authorization.grant(local.azure, reader.object_id, READER, account.id)
    authorization.grant(local.azure, writer.object_id, CONTRIBUTOR, account.id)

    def bearer(who: Principal) -> dict[str, str]:
        return {"Authorization": f"Bearer {entra.issue_token(local.azure, who, 'https://storage.azure.com')}"}

    refused = client.put("/models/x", content=b"x", headers={**PUT, **bearer(reader)})
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
    assert client.put("/models/x", content=b"x", headers={**PUT, **bearer(writer)}).status_code == 201
    assert client.get("/models/x", headers=bearer(reader)).content == b"x"
    assert client.delete("/models/x", headers=bearer(reader)).status_code == 403
    assert client.delete("/models/x", headers=bearer(writer)).status_code == 202
    assert client.get("/models/x", headers=bearer(reader)).status_code == 404


def test_a_folder_is_no_blob(local: InProcessAzure, client: httpx.Client) -> None:
    query = sas(local, "models")
    client.put(f"/models/folder/x?{query}", content=b"x", headers=PUT)
    assert client.get(f"/models/folder/?{query}").status_code == 404
