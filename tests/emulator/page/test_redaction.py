"""What the page hides, by name and by value."""

import json
from typing import Any

import pytest

from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.protocols.page.redaction import HIDDEN, Secrets, redacted, secrets_of
from tests.emulator.conftest import InProcessAzure
from tests.ml import CONNECTION, WORKSPACE, make_workspace

PATH = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults"


def document(properties: dict[str, Any], path: str = f"{PATH}/v", **private: Any) -> Document:  # noqa: ANN401 - JSON
    return Document(ResourceId.parse(path), {"id": path, "properties": properties}, private)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "adminPassword",
        "password2",
        "primaryKey",
        "key1",
        "secretText",
        "ConnectionString",
        "InstrumentationKey",
        "accessToken",
        "hint",
    ],
)
def test_what_is_called_a_secret_is_hidden(name: str) -> None:
    found = document({name: "something", "deep": [{name: "something"}]})
    assert redacted(found, found.body)["properties"] == {name: HIDDEN, "deep": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", ["keyVault", "keyVaultProperties", "tokenCount", "passwordPolicy", "authMode"])
def test_what_only_sounds_like_one_is_shown(name: str) -> None:
    found = document({name: "something"})
    assert redacted(found, found.body) == found.body


def test_all_values_of_environment_variables_and_credentials_are_hidden_but_their_names() -> None:
    found = document({"environmentVariables": {"MODE": "fast"}, "credentials": {"username": "u", "other": "o"}})
    assert redacted(found, found.body)["properties"] == {
        "environmentVariables": {"MODE": HIDDEN},
        "credentials": {"username": HIDDEN, "other": HIDDEN},
    }


def test_signatures_in_addresses_are_hidden() -> None:
    found = document({"uri": "https://a/b?sv=1&sig=abc%3D&se=2"})
    assert redacted(found, found.body)["properties"]["uri"] == f"https://a/b?sv=1&sig={HIDDEN}&se=2"


def test_the_value_of_a_vaults_secret_is_hidden() -> None:
    found = document({"value": "something", "contentType": "text"}, f"{PATH}/v/secrets/s")
    assert redacted(found, found.body)["properties"] == {"value": HIDDEN, "contentType": "text"}


def test_what_services_keep_secret_is_known_wherever_it_stands() -> None:
    keys = document({}, primaryKey="a-primary-key", passwords={"one": "pass-word-one"}, since="yesterday-noon")
    serving = document({}, serving={"image": "shop/image", "environment": {"API_KEY": "an-api-key"}})
    secret = document({}, f"{PATH}/v/secrets/s", versions=[{"id": "version-one", "value": "vault-value"}])
    connection = document({}, credentials={"username": "the-app-id", "pat": "personal-token"})
    found = secrets_of([keys, serving, secret, connection])
    assert found == {"a-primary-key", "pass-word-one", "an-api-key", "vault-value", "personal-token"}


def test_a_secret_is_hidden_in_any_text_even_where_json_escapes_it(local: InProcessAzure) -> None:
    make_workspace(local)
    password = 'quo"ted\\pass'
    credentials = {"username": "u", "password": password}
    local.ask("PUT", f"{WORKSPACE}/connections/shop", {"properties": {**CONNECTION, "credentials": credentials}})
    hidden = Secrets(local.azure, "the-deployers")
    text = hidden.dumps({"log": [f"signing in with {password} as the-deployers"]})
    assert json.loads(text) == {"log": [f"signing in with {HIDDEN} as {HIDDEN}"]}
