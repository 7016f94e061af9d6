import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.keyvault.secrets import SecretClient

from tests.conftest import Cloud


def _post(azure: Cloud, **form: str) -> httpx.Response:
    told = azure.environment
    given = {
        "grant_type": "client_credentials",
        "client_id": told["ARM_CLIENT_ID"],
        "client_secret": told["ARM_CLIENT_SECRET"],
        "scope": f"{azure.url}/.default",
        **form,
    }
    return azure.http.post(f"/{told['ARM_TENANT_ID']}/oauth2/v2.0/token", data=given)


def test_the_real_azure_identity_gets_a_token_that_the_published_keys_verify(azure: Cloud) -> None:
    token = azure.credential().get_token("https://management.azure.com/.default").token
    tenant = azure.environment["ARM_TENANT_ID"]
    configuration = azure.http.get(f"/{tenant}/v2.0/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(azure.http.get(configuration["jwks_uri"]).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key.key, ["RS256"], audience="https://management.azure.com", issuer=configuration["issuer"]
    )
    assert claims["tid"] == tenant
    assert claims["appid"] == azure.environment["ARM_CLIENT_ID"]


def test_the_real_azure_identity_tells_a_wrong_secret_in_entras_words(azure: Cloud) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215: Invalid client secret provided"):
        azure.credential(secret="wrong").get_token(f"{azure.url}/.default")


@pytest.mark.parametrize(
    ("form", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_id": "nobody"}, 400, "unauthorized_client", 700016),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"scope": "https://nowhere.example/.default"}, 400, "invalid_resource", 500011),
        ({"scope": "User.Read"}, 400, "invalid_scope", 70011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_refusals_carry_entras_numbers(
    azure: Cloud, form: dict[str, str], status: int, error: str, number: int
) -> None:
    answer = _post(azure, **form)
    told = answer.json()
    assert (answer.status_code, told["error"], told["error_codes"]) == (status, error, [number])
    assert told["error_description"].startswith(f"AADSTS{number}: ")


def test_an_unknown_tenant_is_refused(azure: Cloud) -> None:
    answer = azure.http.post("/contoso.example/oauth2/v2.0/token", data={"grant_type": "client_credentials"})
    assert answer.json()["error_codes"] == [90002]


def test_graph_makes_applications_passwords_and_principals_and_tells_a_secret_once(azure: Cloud) -> None:
    graph = {"Authorization": f"Bearer {azure.token('https://graph.microsoft.com')}"}
    made = azure.http.post("/graph/v1.0/applications", json={"displayName": "graph's test"}, headers=graph)
    assert made.status_code == 201
    path = f"/graph/v1.0/applications/{made.json()['id']}"
    password = azure.http.post(
        f"{path}/addPassword", json={"passwordCredential": {"displayName": "p"}}, headers=graph
    ).json()
    assert len(password["secretText"]) >= 32
    assert password["secretText"] not in azure.http.get(path, headers=graph).text
    assert azure.http.patch(path, json={"tags": ["a"]}, headers=graph).status_code == 204
    found = azure.http.get(
        "/graph/v1.0/applications", params={"$filter": "displayName eq 'graph''s test'"}, headers=graph
    ).json()["value"]
    assert [each["tags"] for each in found] == [["a"]]
    removed = azure.http.post(f"{path}/removePassword", json={"keyId": password["keyId"]}, headers=graph)
    assert removed.status_code == 204
    assert azure.http.delete(path, headers=graph).status_code == 204
    assert azure.http.get(path, headers=graph).json()["error"]["code"] == "Request_ResourceNotFound"


def test_graph_takes_tokens_for_graph_only(azure: Cloud) -> None:
    headers = {"Authorization": f"Bearer {azure.token()}"}
    assert azure.http.get("/graph/v1.0/applications", headers=headers).status_code == 401


def test_the_real_key_vault_client_writes_and_reads_a_secret(azure: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", azure.environment["REQUESTS_CA_BUNDLE"])
    azure.put("resourceGroups/vault-test", {"location": "westeurope"})
    principal = jwt.decode(azure.token(), options={"verify_signature": False})["oid"]
    tenant = azure.environment["ARM_TENANT_ID"]
    policy = {"tenantId": tenant, "objectId": principal, "permissions": {"secrets": ["get", "set", "list"]}}
    vault = azure.put(
        "resourceGroups/vault-test/providers/Microsoft.KeyVault/vaults/kv-client-test",
        {
            "location": "westeurope",
            "properties": {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": [policy]},
        },
    )
    with SecretClient(vault["properties"]["vaultUri"], azure.credential(), verify_challenge_resource=False) as client:
        client.set_secret("greeting", "hello")
        assert client.get_secret("greeting").value == "hello"
        assert [each.name for each in client.list_properties_of_secrets()] == ["greeting"]
