import uuid
from typing import Any

import pytest

from emulator.core.errors import AzureError
from emulator.services.authorization import types as authorization
from emulator.services.keyvault import data as keyvault
from tests.emulator.conftest import InProcessAzure

USER = "4633458b-17de-408a-b874-0445c86b69e6"
VALUE = "a very secret value"


def _vault(local: InProcessAzure, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    properties = {
        "tenantId": local.azure.tenant,
        "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": True,
        **more,
    }
    return {"location": "westeurope", "properties": properties}


PATH = "providers/Microsoft.KeyVault/vaults/kv-test"


def test_a_vault_has_a_uri_and_azures_defaults(local: InProcessAzure) -> None:
    shown = local.ask("PUT", PATH, _vault(local))["properties"]
    assert shown["vaultUri"] == f"{keyvault.uri_of(local.azure, 'kv-test')}/"
    assert (shown["enableSoftDelete"], shown["softDeleteRetentionInDays"]) == (True, 90)


def test_resource_manager_never_shows_a_secrets_value(local: InProcessAzure) -> None:
    local.ask("PUT", PATH, _vault(local))
    made = local.ask("PUT", f"{PATH}/secrets/pull", {"properties": {"value": VALUE}})
    assert VALUE not in str(made)
    assert VALUE not in str(local.ask("GET", f"{PATH}/secrets/pull"))
    assert made["properties"]["secretUriWithVersion"].startswith(made["properties"]["secretUri"] + "/")


def test_a_value_is_read_by_who_has_the_data_role_and_by_nobody_else(local: InProcessAzure) -> None:
    local.ask("PUT", PATH, _vault(local))
    local.ask("PUT", f"{PATH}/secrets/pull", {"properties": {"value": VALUE}})
    vault, principal = keyvault.vault_named(local.azure, "KV-TEST"), local.service_principal()
    with pytest.raises(AzureError, match="Forbidden: Caller is not authorized"):
        keyvault.get_secret(local.azure, local.deployer, vault, "pull")
    role = {"principalId": principal.object_id, "roleDefinitionId": authorization.definition(local.azure, USER)}
    local.ask("PUT", f"{PATH}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", {"properties": role})
    assert keyvault.get_secret(local.azure, principal, vault, "pull")["value"] == VALUE
    with pytest.raises(AzureError, match="Forbidden"):
        keyvault.set_secret(local.azure, principal, vault, "pull", {"value": "other"})


def test_an_access_policy_opens_a_vault_without_roles(local: InProcessAzure) -> None:
    principal = local.service_principal()
    policy = {
        "tenantId": local.azure.tenant,
        "objectId": principal.object_id,
        "permissions": {"secrets": ["get", "set"]},
    }
    local.ask("PUT", PATH, _vault(local, enableRbacAuthorization=False, accessPolicies=[policy]))
    vault = keyvault.vault_named(local.azure, "kv-test")
    first = keyvault.set_secret(local.azure, principal, vault, "s", {"value": "1"})
    keyvault.set_secret(local.azure, principal, vault, "s", {"value": "2"})
    assert keyvault.get_secret(local.azure, principal, vault, "s")["value"] == "2"
    version = first["id"].rsplit("/", 1)[1]
    assert keyvault.get_secret(local.azure, principal, vault, "s", version)["value"] == "1"
    with pytest.raises(AzureError, match="list permission"):
        keyvault.list_secrets(local.azure, principal, vault)


@pytest.mark.parametrize("name", ["kv", "1vault", "kv--double", "kv-", "a" * 25])
def test_a_vaults_name_follows_azures_rule(local: InProcessAzure, name: str) -> None:
    with pytest.raises(AzureError, match=f"VaultNameNotValid: The vault name '{name}'"):
        local.ask("PUT", f"providers/Microsoft.KeyVault/vaults/{name}", _vault(local))


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
def test_a_wrong_vault_is_refused_by_the_fields_name(local: InProcessAzure, change: dict[str, Any], said: str) -> None:
    with pytest.raises(AzureError, match=said):
        local.ask("PUT", PATH, _vault(local, **change))


def test_purge_protection_stays_on(local: InProcessAzure) -> None:
    local.ask("PUT", PATH, _vault(local, enablePurgeProtection=True))
    with pytest.raises(AzureError, match="enablePurgeProtection"):
        local.ask("PUT", PATH, _vault(local, enablePurgeProtection=False))


def test_a_vaults_name_is_unique_in_the_whole_of_azure(local: InProcessAzure) -> None:
    local.ask("PUT", PATH, _vault(local))
    local.ask("PUT", local.group + "2", {"location": "westeurope"})
    with pytest.raises(AzureError, match="VaultAlreadyExists"):
        local.ask("PUT", f"{local.group}2/{PATH}", _vault(local))


def test_a_secret_needs_a_value_and_a_plain_name(local: InProcessAzure) -> None:
    local.ask("PUT", PATH, _vault(local))
    with pytest.raises(AzureError, match=r"lacks 'properties.value'"):
        local.ask("PUT", f"{PATH}/secrets/pull", {"properties": {}})
    with pytest.raises(AzureError, match="secret name 'a_b'"):
        local.ask("PUT", f"{PATH}/secrets/a_b", {"properties": {"value": "x"}})
