from typing import Any

import pytest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.image_import import ImageImport
from azureml_scoring.provider.values import UNKNOWN

from tests.provider.fake_azure import DIGEST, REGISTRY, Answer, FakeAzure, Sent

SOURCE_ID = "/subscriptions/other/resourceGroups/dev/providers/Microsoft.ContainerRegistry/registries/devacr"
INPUTS = {
    "registryId": REGISTRY,
    "loginServer": "acr.azurecr.io",
    "source": f"devacr.azurecr.io/scoring/sklearn@{DIGEST}",
}
IMAGE = f"acr.azurecr.io/scoring/sklearn@{DIGEST}"


@pytest.fixture
def azure() -> FakeAzure:
    """Two subscriptions, the source in the second one; the target gets what an importImage names."""
    fake = FakeAzure()
    here: set[str] = set()
    registries = {"s": [_registry(REGISTRY, "acr.azurecr.io")], "other": [_registry(SOURCE_ID, "devacr.azurecr.io")]}

    def import_image(sent: Sent) -> Answer:
        here.update(sent.body["targetTags"], [sent.body["source"]["sourceImage"].partition("@")[2]])
        return 200, {}, None

    def manifest(sent: Sent) -> Answer:
        digest = sent.path.rpartition("/")[2]
        return (200, {"Docker-Content-Digest": digest}, None) if digest in here else (404, {}, None)

    subscriptions = [{"subscriptionId": key} for key in registries]
    fake.on("GET", r"/subscriptions\?", lambda _: (200, {}, {"value": subscriptions}))
    fake.on("GET", "/subscriptions/[^/]+/prov", lambda sent: (200, {}, {"value": registries[sent.path.split("/")[2]]}))
    fake.on("POST", "/importImage", import_image)
    fake.on("HEAD", "acr.azurecr.io/v2/scoring/sklearn/manifests/", manifest)
    return fake


def _registry(id_: str, server: str) -> dict[str, Any]:
    return {"id": id_, "properties": {"loginServer": server}}


def test_the_digest_is_brought_from_a_registry_of_another_subscription(azure: FakeAzure) -> None:
    resource_id, state = ImageImport().create(azure.context(), INPUTS)
    assert (resource_id, state["image"], state["digest"]) == ("acr.azurecr.io/scoring/sklearn", IMAGE, DIGEST)
    (sent,) = azure.of("POST", "importImage")
    assert sent.path == f"{REGISTRY}/importImage"
    assert sent.body == {
        "source": {"resourceId": SOURCE_ID, "sourceImage": f"scoring/sklearn@{DIGEST}"},
        "targetTags": [f"scoring/sklearn:{'a' * 12}"],
        "mode": "Force",
    }


def test_what_is_there_is_not_imported_again(azure: FakeAzure) -> None:
    resource_id, state = ImageImport().create(azure.context(), INPUTS)
    ImageImport().update(azure.context(), resource_id, state, INPUTS)
    assert azure.count("POST", "importImage") == 1


def test_a_foreign_registry_is_named_by_its_address(azure: FakeAzure) -> None:
    ImageImport().create(azure.context(), {**INPUTS, "source": f"mcr.microsoft.com/scoring/sklearn@{DIGEST}"})
    (sent,) = azure.of("POST", "importImage")
    assert sent.body["source"]["registryUri"] == "mcr.microsoft.com"


def test_a_private_source_is_read_with_its_user_name_and_password(azure: FakeAzure) -> None:
    login = {"username": "puller", "password": "hush"}
    source = f"ghcr.io/scoring/sklearn@{DIGEST}"
    ImageImport().create(azure.context(), {**INPUTS, **login, "source": source})
    (sent,) = azure.of("POST", "importImage")
    assert sent.body["source"] == {
        "registryUri": "ghcr.io",
        "credentials": login,
        "sourceImage": f"scoring/sklearn@{DIGEST}",
    }
    assert azure.count("GET", "/subscriptions") == 0


def test_another_password_alone_imports_nothing(azure: FakeAzure) -> None:
    login = {"username": "puller", "password": "hush"}
    resource_id, state = ImageImport().create(azure.context(), {**INPUTS, **login})
    assert not ImageImport().diff(resource_id, state, {**INPUTS, **login, "password": "new"}).changed


def test_a_refused_sign_in_names_the_user_and_not_the_password(azure: FakeAzure) -> None:
    azure.on("POST", "/importImage", lambda _: (400, {}, {"error": {"code": "Unauthorized", "message": "denied"}}))
    with pytest.raises(ResourceError, match="may puller read it there") as caught:
        ImageImport().create(azure.context(), {**INPUTS, "username": "puller", "password": "hush"})
    assert "hush" not in str(caught.value)


def test_the_password_is_a_secret_input() -> None:
    assert ImageImport.secret == {"password"}


def test_an_import_that_brings_another_digest_is_told(azure: FakeAzure) -> None:
    azure.on("POST", "/importImage", lambda _: (200, {}, None))
    with pytest.raises(ResourceError, match=r"was imported, but acr\.azurecr\.io does not have this digest"):
        ImageImport().create(azure.context(), INPUTS)


def test_a_refused_import_says_who_lacks_what(azure: FakeAzure) -> None:
    refusal = {"error": {"code": "Forbidden", "message": "no right to read"}}
    azure.on("POST", "/importImage", lambda _: (403, {}, refusal))
    with pytest.raises(ResourceError, match=r"Forbidden: no right to read; .*may the deployer read it there"):
        ImageImport().create(azure.context(), INPUTS)


def test_a_preview_knows_the_image_before_it_is_there(azure: FakeAzure) -> None:
    _, state = ImageImport().create(azure.context(preview=True), INPUTS)
    assert state["image"] == IMAGE
    _, later = ImageImport().create(azure.context(preview=True), {**INPUTS, "loginServer": UNKNOWN})
    assert later["image"] is UNKNOWN
    assert azure.sent == []


def test_an_image_that_is_gone_from_the_registry_is_imported_anew(azure: FakeAzure) -> None:
    azure.documents[REGISTRY] = {"id": REGISTRY}
    resource_id, state = ImageImport().create(azure.context(), INPUTS)
    assert ImageImport().read(azure.context(), resource_id, state, INPUTS) is not None
    azure.on("HEAD", "acr.azurecr.io", lambda _: (404, {}, None))
    assert ImageImport().read(azure.context(), resource_id, state, INPUTS) is None


def test_a_registry_that_lets_nobody_look_keeps_the_image_with_a_warning(azure: FakeAzure) -> None:
    azure.documents[REGISTRY] = {"id": REGISTRY}
    resource_id, state = ImageImport().create(azure.context(), INPUTS)
    azure.on("HEAD", "acr.azurecr.io", lambda _: (403, {}, None))
    result = ImageImport().read(azure.context(), resource_id, state, INPUTS)
    assert result is not None
    assert result.state == state
    assert [line for line in azure.warned if "could not be looked up and stays" in line]
