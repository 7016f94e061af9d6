"""What Azure has under a workspace's names is told before anything is made."""

from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.plan.names import Names
from azureml_scoring.settings.errors import SettingsError

from tests.components.cloud import SUBSCRIPTION, Cloud, arguments, up

GROUP = f"{SUBSCRIPTION}/resourceGroups/azureml-scoring-test/providers"
NAME = "azureml-scoring-test-ml"
NAMES = Names("azureml-scoring", "test", "scoring")
VAULT, ACCOUNT = NAMES.of("vault"), NAMES.of("storageAccount")
STAYS = f"this stack's workspace {NAME} is called and lies as it is for its life"
RECOVER = "write workspace.recover: true to bring it back"
PURGE = f"purge it (az keyvault purge --name {VAULT})"
WORKSPACES = f"{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/workspaces"
DELETED = f"{SUBSCRIPTION}/providers/Microsoft.KeyVault/deletedVaults"


def workspace(vault: str = "", account: str = "", location: str = "westeurope") -> dict[str, Any]:
    return {
        "id": f"{GROUP}/Microsoft.MachineLearningServices/workspaces/{NAME}",
        "location": location,
        "properties": {
            "keyVault": f"{GROUP}/Microsoft.KeyVault/vaults/{vault or VAULT}",
            "storageAccount": f"{GROUP}/Microsoft.Storage/storageAccounts/{account or ACCOUNT}",
        },
    }


def deleted_vault(**properties: object) -> dict[str, Any]:
    known = {
        "vaultId": f"{GROUP}/Microsoft.KeyVault/vaults/{VAULT}",
        "location": "westeurope",
        "scheduledPurgeDate": "2030-01-08T00:00:00Z",
    }
    return {"name": VAULT, "properties": {**known, **properties}}


def standing(*documents: dict[str, Any], gone: tuple[dict[str, Any], ...] = (), vaults: object = ()) -> Cloud:
    """An Azure with workspaces that stand, and with what was deleted."""
    cloud = Cloud()
    cloud.azure.documents.update({each["id"]: each for each in documents})
    cloud.azure.documents[WORKSPACES] = {"value": [*documents, *gone]}
    cloud.azure.documents[DELETED] = {"value": vaults}
    return cloud


def refused(cloud: Cloud, folder: Path, **sections: object) -> str:
    with pytest.raises(SettingsError) as said:
        up(arguments(folder, **sections), cloud)
    assert [made.typ for made in cloud.made if made.custom] == []
    return str(said.value)


def test_a_workspace_that_stands_as_planned_costs_azure_native_one_request_and_no_client_of_ours(
    tmp_path: Path,
) -> None:
    cloud = standing(workspace())
    up(arguments(tmp_path), cloud)
    assert [each.token.rpartition(":")[2] for each in cloud.asked].count("getWorkspace") == 1
    assert cloud.azure.sent == []


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        ({"location": "northeurope"}, 'location = "northeurope": workspace NAME was made with westeurope'),
        ({"workspace": {"vault": "another-vault"}}, 'workspace.vault = "another-vault": workspace NAME was made with '),
        ({"workspace": {"storage_account": "other1"}}, 'workspace.storageAccount = "other1": workspace NAME was made '),
    ],
)
def test_what_a_workspace_keeps_for_its_life_is_refused_with_the_value_it_has(
    tmp_path: Path, sections: dict[str, Any], field: str
) -> None:
    line = refused(standing(workspace()), tmp_path, **sections)
    assert line.startswith(field.replace("NAME", NAME))
    assert line.endswith("or take the stack down first")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("there", "wanted", "name"),
    [
        ("AllowOnlyApprovedOutbound", "none", "approved-outbound"),
        ("AllowOnlyApprovedOutbound", "internet-outbound", "approved-outbound"),
        ("AllowInternetOutbound", "approved-outbound", "internet-outbound"),
        ("Disabled", "approved-outbound", "none"),
    ],
)
def test_the_isolation_of_a_workspace_stays_for_its_life(tmp_path: Path, there: str, wanted: str, name: str) -> None:
    made = workspace()
    made["properties"]["managedNetwork"] = {"isolationMode": there}
    registry = {"mode": "standalone", "sku": "Premium"}
    assert refused(standing(made), tmp_path, network={"isolation": wanted}, registry=registry) == (
        f'network.isolation = "{wanted}": workspace {NAME} was made with {name}, which Azure does not change under its '
        f"endpoints; write {name}, or take the stack down first"
    )


def test_a_region_is_the_same_however_azure_spells_it(tmp_path: Path) -> None:
    up(arguments(tmp_path), standing(workspace(location="West Europe")))


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"workspace": {"name": "renamed"}},
            f'workspace.name = "renamed": {STAYS}; write {NAME}, or take the stack down first',
        ),
        (
            {"workspace": {"resource_group": "elsewhere", "vault": VAULT}},
            f'workspace.resourceGroup = "elsewhere": {STAYS}; write azureml-scoring-test, or take the stack down first',
        ),
    ],
)
def test_another_name_or_group_of_a_workspace_that_stands_is_refused(
    tmp_path: Path, sections: dict[str, Any], line: str
) -> None:
    assert refused(standing(workspace()), tmp_path, **sections) == line


def test_a_workspace_whose_name_has_no_seed_yet_keeps_it(tmp_path: Path) -> None:
    seeded = Names("azureml-scoring", "test", "scoring", "two")
    cloud = standing(workspace(vault=seeded.of("vault"), account=seeded.of("storageAccount")))
    up(arguments(tmp_path, name_seed="two"), cloud)
    (made,) = [each.inputs for each in cloud.all("Workspace") if each.name == "scoring-workspace"]
    assert made["workspaceName"] == NAME


def test_a_seed_for_a_stack_that_stands_is_refused(tmp_path: Path) -> None:
    line = refused(standing(workspace()), tmp_path, name_seed="two")
    seeded = Names("azureml-scoring", "test", "scoring", "two")
    assert line.startswith(f'workspace.name = "{seeded.of("workspace")}": {STAYS}')


def test_a_name_that_a_deleted_workspace_holds_is_refused(tmp_path: Path) -> None:
    assert refused(standing(gone=(workspace(),)), tmp_path) == (
        f'workspace.name = "{NAME}": a deleted workspace holds this name for 14 days; '
        "recover or purge it (portal: Azure Machine Learning, Recently deleted), or write another nameSeed"
    )


def test_another_seed_is_another_name_of_the_workspace(tmp_path: Path) -> None:
    cloud = standing(gone=(workspace(),), vaults=[deleted_vault()])
    up(arguments(tmp_path, name_seed="two"), cloud)
    assert cloud.inputs("Vault")["vaultName"] != VAULT


@pytest.mark.parametrize(
    ("properties", "remedies"),
    [
        ({}, f"{RECOVER}, or {PURGE}, or write another nameSeed"),
        ({"purgeProtectionEnabled": True}, f"{RECOVER}, or write another nameSeed"),
        ({"location": "northeurope"}, f"{PURGE}, or write another nameSeed"),
    ],
)
def test_a_name_that_a_deleted_vault_holds_is_refused_with_what_azure_allows(
    tmp_path: Path, properties: dict[str, Any], remedies: str
) -> None:
    line = refused(standing(vaults=[deleted_vault(**properties)]), tmp_path)
    assert line == (
        f'workspace.vault = "{VAULT}": a deleted vault holds this name until 2030-01-08T00:00:00Z; {remedies}'
    )


def test_a_deleted_vault_comes_back_on_request(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, workspace={"recover": True}), standing(vaults=[deleted_vault()]))
    assert cloud.inputs("Vault")["properties"]["createMode"] == "recover"


def test_a_vault_that_was_not_deleted_is_made_as_ever(tmp_path: Path) -> None:
    cloud = up(arguments(tmp_path, workspace={"recover": True}), standing())
    assert "createMode" not in cloud.inputs("Vault")["properties"]


def test_a_deployer_with_rights_on_one_group_alone_is_not_refused(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.azure.on("GET", f"({WORKSPACES}|{DELETED})\\?", lambda _: (403, {}, {"error": {"code": "Forbidden"}}))
    assert up(arguments(tmp_path), cloud).one("Vault")


def test_before_a_first_up_what_azure_will_refuse_is_a_warning_and_who_is_signed_in_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", lambda text, *_: said.append(f"warning: {text}"))
    monkeypatch.setattr("pulumi.log.info", lambda text, *_: said.append(text))
    cloud = standing()
    cloud.azure.documents[SUBSCRIPTION] = {"displayName": "Shop", "state": "Enabled"}
    provider = f"{SUBSCRIPTION}/providers/Microsoft.KeyVault"
    cloud.azure.documents[provider] = {"registrationState": "NotRegistered"}
    cloud.azure.on("POST", "/checkNameAvailability", lambda _: (200, {}, {"nameAvailable": True}))
    taken = {"nameAvailable": False, "message": "The name is already in use."}
    cloud.azure.on("POST", "/Microsoft.Storage/checkNameAvailability", lambda _: (200, {}, taken))
    up(arguments(tmp_path), cloud)
    command = f"az provider register --namespace Microsoft.KeyVault --subscription {SUBSCRIPTION[15:]}"
    another = "write workspace.storageAccount, or another nameSeed"
    assert f"warning: providers: Microsoft.KeyVault is NotRegistered: {command}" in said
    assert f"warning: names: storage account {ACCOUNT}: The name is already in use: {another}" in said
    assert any(line.startswith("signed in: ") and "subscription Shop" in line for line in said)
