"""Each data plane answers inside and refuses outside, with Azure's own codes; the clients are other processes."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from emulator.core.errors import AzureError
from emulator.protocols import blobs, registry_token, vaults, workspaces
from emulator.protocols.web import azure_error, listening
from emulator.services.graph import access as entra
from emulator.services.storage import access as storage_access
from tests.emulator.conftest import InProcessAzure
from tests.ml import PLACE, WORKSPACE, Model, make_workspace, scene
from tests.network import ask_from, link_privately, make_network

VAULT = "providers/Microsoft.KeyVault/vaults/kvtest"
ACCOUNT = "providers/Microsoft.Storage/storageAccounts/sttest"
REGISTRY = "providers/Microsoft.ContainerRegistry/registries/shop1"
OUTSIDE, INSIDE, ALLOWED = "", "inside", "203.0.113.7"
SHUT = {"publicNetworkAccess": "Disabled"}


@contextmanager
def served(local: InProcessAzure, routes: list[BaseRoute]) -> Iterator[str]:
    port = local.azure.ports.choose("test")
    app = Starlette(routes=routes, exception_handlers={AzureError: azure_error})
    with listening(app, local.azure.ports.bind("test"), None):
        yield f"http://127.0.0.1:{port}"


def rules(field: str = "networkAcls") -> dict[str, object]:
    return {field: {"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.0/24"}]}}


@pytest.fixture
def stack(local: InProcessAzure) -> InProcessAzure:
    make_workspace(local)
    make_network(local)
    return local


def test_a_vault(stack: InProcessAzure) -> None:
    token = entra.issue_token(stack.azure, stack.deployer, entra.VAULT_AUDIENCE)
    bearer = {"Authorization": f"Bearer {token}"}
    with served(stack, list(vaults.application(stack.azure, "kvtest").routes)) as address:
        url = f"{address}/secrets?api-version=7.4"
        assert ask_from(OUTSIDE, "GET", url, **bearer)[1].find("innererror") < 0, "the role is missing, not the way"
        link_privately(stack, VAULT, "vault")
        stack.ask("PATCH", VAULT, {"properties": SHUT})
        status, text = ask_from(OUTSIDE, "GET", url, **bearer)
        error = json.loads(text)["error"]
        assert (status, error["code"], error["innererror"]["code"]) == (403, "Forbidden", "ForbiddenByConnection")
        assert "innererror" not in ask_from(INSIDE, "GET", url, **bearer)[1]
        stack.ask("PATCH", VAULT, {"properties": {"publicNetworkAccess": "Enabled", **rules()}})
        status, text = ask_from(OUTSIDE, "GET", url, **bearer)
        assert json.loads(text)["error"]["innererror"] == {"code": "ForbiddenByFirewall"}
        assert "Client address: 127.0.0.1" in text
        assert "innererror" not in ask_from(ALLOWED, "GET", url, **bearer)[1]


def test_a_storage_account(stack: InProcessAzure) -> None:
    link_privately(stack, ACCOUNT, "blob")
    account = stack.azure.find(f"{stack.group}/{ACCOUNT}")
    query = storage_access.container_sas(account, "models", "rw")
    with served(stack, blobs.routes(stack.azure)) as address:
        url = f"{address}/storage/sttest/models/a?{query}"
        kind = {"x-ms-blob-type": "BlockBlob"}
        assert ask_from(OUTSIDE, "PUT", url, "x", **kind)[0] == 201
        stack.ask("PATCH", ACCOUNT, {"properties": SHUT})
        status, text = ask_from(OUTSIDE, "GET", url)
        assert (status, "<Code>AuthorizationFailure</Code>" in text) == (403, True)
        assert ask_from(INSIDE, "GET", url) == (200, "x")
        stack.ask("PATCH", ACCOUNT, {"properties": {"publicNetworkAccess": "Enabled", **rules()}})
        assert ask_from(OUTSIDE, "GET", url)[0] == 403
        assert ask_from(ALLOWED, "GET", url) == (200, "x")
        assert ask_from("somewhere", "GET", url)[0] == 403, "what is no address says nothing"


def test_a_registry(stack: InProcessAzure) -> None:
    shown = stack.ask("PUT", REGISTRY, {**PLACE, "sku": {"name": "Premium"}, "properties": {"adminUserEnabled": True}})
    server = shown["properties"]["loginServer"]
    link_privately(stack, REGISTRY, "registry")
    listed = stack.ask("POST", f"{REGISTRY}/listCredentials")
    login = f"{listed['username']}:{listed['passwords'][0]['value']}"
    basic = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
    entra_token = entra.issue_token(stack.azure, stack.deployer, entra.ARM_AUDIENCES[0])
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with served(stack, list(registry_token.routes(stack.azure))) as address:
        url = f"{address}/oauth2/token?{urlencode({'service': server, 'scope': 'repository:a:pull'})}"
        assert ask_from(OUTSIDE, "GET", url, **basic)[0] == 200
        stack.ask("PATCH", REGISTRY, {"properties": SHUT})
        status, text = ask_from(OUTSIDE, "GET", url, **basic)
        assert (status, json.loads(text)["errors"][0]["code"]) == (403, "DENIED")
        assert "client with IP '127.0.0.1' is not allowed access, refer https://aka.ms/acr/firewall" in text
        assert ask_from(INSIDE, "GET", url, **basic)[0] == 200
        body = urlencode({"grant_type": "access_token", "service": server, "access_token": entra_token})
        status, text = ask_from(INSIDE, "POST", f"{address}/oauth2/exchange", body, **form)
        refresh = json.loads(text)["refresh_token"]
        body = urlencode({"grant_type": "refresh_token", "service": server, "refresh_token": refresh})
        assert ask_from(OUTSIDE, "POST", f"{address}/oauth2/token", body, **form)[0] == 200, "as Docker's engine does"
        stack.ask("PATCH", REGISTRY, {"properties": {"publicNetworkAccess": "Enabled", **rules("networkRuleSet")}})
        assert ask_from(OUTSIDE, "GET", url, **basic)[0] == 403
        assert ask_from(ALLOWED, "GET", url, **basic)[0] == 200
    stack.azure.suspend()


def test_a_workspaces_own_api(stack: InProcessAzure) -> None:
    link_privately(stack, WORKSPACE, "amlworkspace")
    shown = stack.ask("PATCH", WORKSPACE, {"properties": SHUT})["properties"]
    with served(stack, workspaces.routes(stack.azure)) as address:
        url = f"{address}/discovery/workspaces/{shown['workspaceId']}"
        assert shown["discoveryUrl"].endswith(url.removeprefix(address))
        status, text = ask_from(OUTSIDE, "GET", url)
        assert (status, json.loads(text)["error"]["code"]) == (403, "UserError")
        status, text = ask_from(INSIDE, "GET", url)
        assert (status, set(json.loads(text))) == (200, {"api", "history"})


def test_an_endpoint(local: InProcessAzure) -> None:
    with scene(local, Model("blue")) as found:
        found.deploy("blue")
        found.send({"blue": 100}, **SHUT)
        make_network(local)
        link_privately(local, WORKSPACE, "amlworkspace")
        headers = {"Authorization": f"Bearer {found.key_value}", "Content-Type": "application/json"}
        asked = ("POST", found.uri, '{"x": 1}')
        status, text = ask_from(OUTSIDE, *asked, **headers)
        assert (status, json.loads(text)["error"]["code"]) == (403, "Forbidden")
        assert ask_from(INSIDE, *asked, **headers)[0] == 200
        found.send({"blue": 100}, publicNetworkAccess="Enabled")
        assert ask_from(OUTSIDE, *asked, **headers)[0] == 200
        local.ask("PATCH", WORKSPACE, {"properties": {"ipAllowlist": ["203.0.113.0/24"]}})
        assert ask_from(OUTSIDE, *asked, **headers)[0] == 403
        assert ask_from(ALLOWED, *asked, **headers)[0] == 200
        assert ask_from(INSIDE, *asked, **headers)[0] == 200
