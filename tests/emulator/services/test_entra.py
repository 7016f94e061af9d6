from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.services.graph import access as entra
from emulator.services.graph import data as graph
from tests.emulator.conftest import InProcessAzure


def _application(local: InProcessAzure, name: str = "pull") -> tuple[str, str]:
    made = graph.create_application(local.azure, {"displayName": name})
    graph.create_service_principal(local.azure, made["appId"])
    return made["id"], made["appId"]


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-11-30", "2028-11-30"), ("2026-12-31", "2028-12-31"), ("2028-02-29", "2030-02-28")],
)
def test_a_password_without_an_end_lasts_two_years(local: InProcessAzure, start: str, end: str) -> None:
    object_id, _ = _application(local)
    graph.add_password(local.azure, object_id, "first", start=f"{start}T12:00:00Z")
    (credential,) = graph.get_application(local.azure, object_id)["passwordCredentials"]
    assert credential["endDateTime"] == f"{end}T12:00:00Z"


def test_a_password_proves_its_principal_and_a_wrong_one_does_not(local: InProcessAzure) -> None:
    object_id, app_id = _application(local)
    _, secret = graph.add_password(local.azure, object_id, "first")
    found = entra.verify_secret(local.azure, app_id, secret)
    assert found is not None
    assert found.app_id == app_id
    assert entra.verify_secret(local.azure, app_id, secret + "x") is None
    assert entra.authenticate(local.azure, app_id, "wrong").number == 7000215
    assert entra.authenticate(local.azure, "nobody", secret).number == 700016


def test_an_expired_password_proves_nothing(local: InProcessAzure) -> None:
    object_id, app_id = _application(local)
    _, secret = graph.add_password(local.azure, object_id, "old", "2020-02-01T00:00:00Z", "2020-01-01T00:00:00Z")
    assert entra.verify_secret(local.azure, app_id, secret) is None
    assert entra.authenticate(local.azure, app_id, secret).number == 7000222


def test_two_passwords_hold_side_by_side_until_one_is_taken_away(local: InProcessAzure) -> None:
    object_id, app_id = _application(local)
    key, old = graph.add_password(local.azure, object_id, "old")
    _, new = graph.add_password(local.azure, object_id, "new")
    assert entra.verify_secret(local.azure, app_id, old)
    assert entra.verify_secret(local.azure, app_id, new)
    graph.remove_password(local.azure, object_id, key)
    assert entra.verify_secret(local.azure, app_id, old) is None
    assert entra.verify_secret(local.azure, app_id, new)


def test_an_application_without_a_service_principal_cannot_sign_in(local: InProcessAzure) -> None:
    made = graph.create_application(local.azure, {"displayName": "alone"})
    _, secret = graph.add_password(local.azure, made["id"])
    assert entra.authenticate(local.azure, made["appId"], secret).number == 7000229


def test_a_password_is_never_shown_again_nor_kept(local: InProcessAzure) -> None:
    object_id, _ = _application(local)
    _, secret = graph.add_password(local.azure, object_id, "first")
    assert secret not in str(local.azure.store.everything())
    assert graph.get_application(local.azure, object_id)["passwordCredentials"][0]["secretText"] is None


def test_an_application_has_one_service_principal_and_takes_it_along(local: InProcessAzure) -> None:
    object_id, app_id = _application(local)
    with pytest.raises(AzureError, match="Request_MultipleObjectsWithSameKeyValue"):
        graph.create_service_principal(local.azure, app_id)
    graph.delete_application(local.azure, object_id)
    assert graph.find_by_app(local.azure, app_id) is None


def test_a_token_says_who_and_for_whom(local: InProcessAzure) -> None:
    token = entra.issue_token(local.azure, local.deployer, "https://management.azure.com")
    assert entra.verify_token(local.azure, token, entra.ARM_AUDIENCES).object_id == local.deployer.object_id
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["oid"] == local.deployer.object_id
    assert claims["tid"] == local.azure.tenant
    with pytest.raises(AzureError, match="InvalidAuthenticationTokenAudience"):
        entra.verify_token(local.azure, token, [entra.VAULT_AUDIENCE])


def test_a_token_of_another_azure_is_worthless(local: InProcessAzure, tmp_path: Path) -> None:
    other = Azure(tmp_path / "other")
    token = entra.issue_token(other, local.deployer, "https://management.azure.com")
    with pytest.raises(AzureError, match="InvalidAuthenticationToken"):
        entra.verify_token(local.azure, token, entra.ARM_AUDIENCES)


def test_a_deleted_principals_token_is_worthless(local: InProcessAzure) -> None:
    principal = local.service_principal()
    token = entra.issue_token(local.azure, principal, "https://management.azure.com")
    graph.delete_service_principal(local.azure, principal.object_id)
    with pytest.raises(AzureError, match="does not exist any more"):
        entra.verify_token(local.azure, token, entra.ARM_AUDIENCES)


def test_the_deployer_and_its_secret_survive_a_restart(local: InProcessAzure) -> None:
    before = entra.deployer(local.azure)
    again = Azure(local.azure.folder)
    assert entra.deployer(again) == before
    assert entra.verify_secret(again, before.app_id, before.secret) is not None


def test_passwords_that_are_added_side_by_side_all_last(local: InProcessAzure) -> None:
    object_id, app_id = _application(local)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: graph.add_password(local.azure, object_id, str(number)), range(8)))
    assert all(entra.verify_secret(local.azure, app_id, secret) for _, secret in made)
