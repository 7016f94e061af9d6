import uuid
from typing import Any

import pytest

from emulator.core.errors import AzureError
from emulator.services.authorization import types as authorization
from emulator.services.keyvault import data as keyvault
from tests.emulator.conftest import Inner

USER = "4633458b-17de-408a-b874-0445c86b69e6"
VALUE = "a very secret value"


def _vault(inner: Inner, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    properties = {
        "tenantId": inner.azure.tenant,
        "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": True,
        **more,
    }
    return {"location": "westeurope", "properties": properties}


PATH = "providers/Microsoft.KeyVault/vaults/kv-test"


def test_a_vault_has_a_uri_and_azures_defaults(inner: Inner) -> None:
    shown = inner.ask("PUT", PATH, _vault(inner))["properties"]
    assert shown["vaultUri"] == f"{keyvault.uri_of(inner.azure, 'kv-test')}/"
    assert (shown["enableSoftDelete"], shown["softDeleteRetentionInDays"]) == (True, 90)


def test_resource_manager_never_shows_a_secrets_value(inner: Inner) -> None:
    inner.ask("PUT", PATH, _vault(inner))
    made = inner.ask("PUT", f"{PATH}/secrets/pull", {"properties": {"value": VALUE}})
    assert VALUE not in str(made)
    assert VALUE not in str(inner.ask("GET", f"{PATH}/secrets/pull"))
    assert made["properties"]["secretUriWithVersion"].startswith(made["properties"]["secretUri"] + "/")


def test_a_value_is_read_by_who_has_the_data_role_and_by_nobody_else(inner: Inner) -> None:
    inner.ask("PUT", PATH, _vault(inner))
    inner.ask("PUT", f"{PATH}/secrets/pull", {"properties": {"value": VALUE}})
    vault, somebody = keyvault.vault_named(inner.azure, "KV-TEST"), inner.somebody()
    with pytest.raises(AzureError, match="Forbidden: Caller is not authorized"):
        keyvault.get_secret(inner.azure, inner.deployer, vault, "pull")
    role = {"principalId": somebody.object_id, "roleDefinitionId": authorization.definition(inner.azure, USER)}
    inner.ask("PUT", f"{PATH}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", {"properties": role})
    assert keyvault.get_secret(inner.azure, somebody, vault, "pull")["value"] == VALUE
    with pytest.raises(AzureError, match="Forbidden"):
        keyvault.set_secret(inner.azure, somebody, vault, "pull", {"value": "other"})


def test_an_access_policy_opens_a_vault_without_roles(inner: Inner) -> None:
    somebody = inner.somebody()
    policy = {
        "tenantId": inner.azure.tenant,
        "objectId": somebody.object_id,
        "permissions": {"secrets": ["get", "set"]},
    }
    inner.ask("PUT", PATH, _vault(inner, enableRbacAuthorization=False, accessPolicies=[policy]))
    vault = keyvault.vault_named(inner.azure, "kv-test")
    first = keyvault.set_secret(inner.azure, somebody, vault, "s", {"value": "1"})
    keyvault.set_secret(inner.azure, somebody, vault, "s", {"value": "2"})
    assert keyvault.get_secret(inner.azure, somebody, vault, "s")["value"] == "2"
    version = first["id"].rsplit("/", 1)[1]
    assert keyvault.get_secret(inner.azure, somebody, vault, "s", version)["value"] == "1"
    with pytest.raises(AzureError, match="list permission"):
        keyvault.list_secrets(inner.azure, somebody, vault)


@pytest.mark.parametrize("name", ["kv", "1vault", "kv--double", "kv-", "a" * 25])
def test_a_vaults_name_follows_azures_rule(inner: Inner, name: str) -> None:
    with pytest.raises(AzureError, match=f"VaultNameNotValid: The vault name '{name}'"):
        inner.ask("PUT", f"providers/Microsoft.KeyVault/vaults/{name}", _vault(inner))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tenantId": "another"}, "tenantId"),
        ({"sku": {}}, "sku.name"),
        ({"sku": {"name": "golden"}}, "'golden' of 'properties.sku.name'"),
        ({"enableRbacAuthorization": False}, "accessPolicies"),
        ({"softDeleteRetentionInDays": 3}, "softDeleteRetentionInDays"),
    ],
)
def test_a_wrong_vault_is_refused_by_the_fields_name(inner: Inner, change: dict[str, Any], said: str) -> None:
    with pytest.raises(AzureError, match=said):
        inner.ask("PUT", PATH, _vault(inner, **change))


def test_purge_protection_stays_on(inner: Inner) -> None:
    inner.ask("PUT", PATH, _vault(inner, enablePurgeProtection=True))
    with pytest.raises(AzureError, match="enablePurgeProtection"):
        inner.ask("PUT", PATH, _vault(inner, enablePurgeProtection=False))


def test_a_vaults_name_is_unique_in_the_whole_of_azure(inner: Inner) -> None:
    inner.ask("PUT", PATH, _vault(inner))
    inner.ask("PUT", inner.group + "2", {"location": "westeurope"})
    with pytest.raises(AzureError, match="VaultAlreadyExists"):
        inner.ask("PUT", f"{inner.group}2/{PATH}", _vault(inner))


def test_a_secret_needs_a_value_and_a_plain_name(inner: Inner) -> None:
    inner.ask("PUT", PATH, _vault(inner))
    with pytest.raises(AzureError, match=r"lacks 'properties.value'"):
        inner.ask("PUT", f"{PATH}/secrets/pull", {"properties": {}})
    with pytest.raises(AzureError, match="secret name 'a_b'"):
        inner.ask("PUT", f"{PATH}/secrets/a_b", {"properties": {"value": "x"}})
