import json
import re
import uuid

import pytest

from tests.conftest import Cloud

ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


@pytest.fixture
def group(azure: Cloud) -> str:
    name = f"resourceGroups/rest-{uuid.uuid4().hex[:8]}"
    azure.put(name, {"location": "West Europe"})
    return name


def _error(answer: object) -> str:
    found: str = answer.json()["error"]["code"]  # type: ignore[attr-defined]
    return found


def test_a_request_without_a_token_is_401_and_says_where_to_get_one(azure: Cloud) -> None:
    answer = azure.http.get(azure.subscription, params={"api-version": "2024-01-01"})
    assert (answer.status_code, _error(answer)) == (401, "AuthenticationFailed")
    assert azure.environment["ARM_TENANT_ID"] in answer.headers["www-authenticate"]


def test_a_made_up_token_is_401(azure: Cloud) -> None:
    answer = azure.ask("GET", azure.subscription, token="made.up.token")
    assert (answer.status_code, _error(answer)) == (401, "InvalidAuthenticationToken")


def test_a_token_for_another_service_is_refused(azure: Cloud) -> None:
    answer = azure.ask("GET", azure.subscription, token=azure.token("https://vault.azure.net"))
    assert (answer.status_code, _error(answer)) == (401, "InvalidAuthenticationTokenAudience")


@pytest.mark.parametrize(
    ("query", "code"), [("", "MissingApiVersionParameter"), ("?api-version=1", "InvalidApiVersionParameter")]
)
def test_an_api_version_is_demanded(azure: Cloud, query: str, code: str) -> None:
    answer = azure.http.get(azure.subscription + query, headers={"Authorization": f"Bearer {azure.token()}"})
    assert (answer.status_code, _error(answer)) == (400, code)


def test_what_does_not_exist_is_told_as_azure_does(azure: Cloud, group: str) -> None:
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/none"
    assert _error(azure.ask("GET", path)) == "ResourceNotFound"
    assert _error(azure.ask("GET", "resourceGroups/none")) == "ResourceGroupNotFound"
    assert _error(azure.ask("GET", f"/subscriptions/{uuid.uuid4()}/resourceGroups/x")) == "SubscriptionNotFound"
    assert _error(azure.ask("GET", f"{group}/providers/Microsoft.Nothing/things/x")) == "InvalidResourceType"
    assert azure.http.get("/nothing").status_code == 404


def test_head_tells_existence_without_a_body(azure: Cloud, group: str) -> None:
    found, none = azure.ask("HEAD", group), azure.ask("HEAD", "resourceGroups/none")
    assert (found.status_code, found.content) == (204, b"")
    assert (none.status_code, none.content) == (404, b"")


def test_a_method_that_arm_does_not_know_is_405(azure: Cloud, group: str) -> None:
    answer = azure.ask("OPTIONS", group)
    assert (answer.status_code, _error(answer)) == (405, "MethodNotAllowed")


def test_a_body_that_is_no_json_object_is_400(azure: Cloud, group: str) -> None:
    headers = {"Authorization": f"Bearer {azure.token()}"}
    for content in (b"{", b"[]"):
        answer = azure.http.put(
            f"{azure.subscription}/{group}", params={"api-version": "2024-01-01"}, content=content, headers=headers
        )
        assert (answer.status_code, _error(answer)) == (400, "InvalidRequestContent")


def test_a_long_put_is_followed_by_its_operation(azure: Cloud, group: str) -> None:
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/st{uuid.uuid4().hex[:12]}"
    answer = azure.ask("PUT", path, ACCOUNT)
    assert answer.status_code == 202
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert int(answer.headers["retry-after"]) <= 1
    assert int(answer.headers["x-ms-retry-after-ms"]) < 1000
    assert azure.finish(answer)["status"] == "Succeeded"
    headers = {"Authorization": f"Bearer {azure.token()}"}
    result = azure.http.get(answer.headers["location"], headers=headers)
    assert result.json()["properties"]["provisioningState"] == "Succeeded"
    assert azure.ask("PUT", path, ACCOUNT).status_code == 200


def test_a_deleted_group_is_gone_when_its_operation_ends(azure: Cloud, group: str) -> None:
    azure.put(f"{group}/providers/Microsoft.Storage/storageAccounts/st{uuid.uuid4().hex[:12]}", ACCOUNT)
    answer = azure.ask("DELETE", group)
    assert answer.status_code == 202
    azure.finish(answer)
    assert azure.ask("GET", group).status_code == 404
    assert (
        azure.http.get(answer.headers["location"], headers={"Authorization": f"Bearer {azure.token()}"}).status_code
        == 204
    )


def test_collections_list_what_is_in_the_scope(azure: Cloud, group: str) -> None:
    name = f"st{uuid.uuid4().hex[:12]}"
    azure.put(f"{group}/providers/Microsoft.Storage/storageAccounts/{name}", ACCOUNT)
    found = azure.ask("GET", f"{group}/providers/Microsoft.Storage/storageAccounts").json()["value"]
    assert [each["name"] for each in found] == [name]
    groups = azure.ask("GET", "resourceGroups").json()["value"]
    assert group.split("/")[1] in [each["name"] for each in groups]
    subscriptions = azure.ask("GET", "/subscriptions").json()["value"]
    assert azure.subscription in [each["id"] for each in subscriptions]


def test_a_principal_without_a_role_is_403_until_it_has_one(azure: Cloud, group: str) -> None:
    graph = {"Authorization": f"Bearer {azure.token(azure.url + '/graph')}"}
    application = azure.http.post("/graph/v1.0/applications", json={"displayName": "x"}, headers=graph).json()
    principal = azure.http.post(
        "/graph/v1.0/servicePrincipals", json={"appId": application["appId"]}, headers=graph
    ).json()
    secret = azure.http.post(f"/graph/v1.0/applications/{application['id']}/addPassword", json={}, headers=graph).json()
    token = azure.token(client_id=application["appId"], secret=secret["secretText"])
    refused = azure.ask("GET", group, token=token)
    assert (refused.status_code, _error(refused)) == (403, "AuthorizationFailed")
    assert principal["id"] in refused.json()["error"]["message"]
    role = f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    azure.put(
        f"{group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}",
        {"properties": {"principalId": principal["id"], "roleDefinitionId": role}},
    )
    assert azure.ask("GET", group, token=token).status_code == 200
    assert _error(azure.ask("PUT", group, {"location": "westeurope"}, token=token)) == "AuthorizationFailed"


def test_the_metadata_endpoint_describes_this_cloud(azure: Cloud) -> None:
    found = azure.http.get("/metadata/endpoints", params={"api-version": "2022-09-01"}).json()
    assert found["resourceManager"] == azure.url
    assert found["authentication"]["loginEndpoint"] == azure.url
    assert azure.url in found["authentication"]["audiences"]
    older = azure.http.get("/metadata/endpoints", params={"api-version": "2020-06-01"}).json()
    assert older == [found]


def test_the_metadata_endpoint_sends_no_client_to_real_azure(azure: Cloud) -> None:
    found = azure.http.get("/metadata/endpoints", params={"api-version": "2022-09-01"}).json()
    audiences = found["authentication"].pop("audiences")
    assert all(each.startswith("https://") for each in audiences), "audiences are names, not addresses"
    for text in re.findall(r"[\w.-]+\.(?:net|com)\b", json.dumps(found)):
        raise AssertionError(text)
