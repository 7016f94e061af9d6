"""Vaults and storage accounts by the names that clients compose from the cloud's metadata."""

from urllib.parse import urlsplit

from tests.conftest import Cloud


def _suffixes(azure: Cloud) -> dict[str, str]:
    found: dict[str, str] = azure.http.get("/metadata/endpoints?api-version=2022-09-01").json()["suffixes"]
    return found


def test_no_suffix_leads_away_from_this_machine(azure: Cloud) -> None:
    hosts = {urlsplit(f"https://{each}").hostname or "" for each in _suffixes(azure).values()}
    assert all(f".{each}".endswith(".localhost") for each in hosts)


def test_a_vault_answers_by_name_with_an_audience_that_its_name_ends_with(azure: Cloud) -> None:
    host = f"any.{_suffixes(azure)['keyVaultDns']}"
    answer = azure.http.get("/secrets", headers={"Host": host})
    assert answer.status_code == 401
    audience = answer.headers["www-authenticate"].partition('resource="https://')[2].rstrip('"')
    assert host.endswith(f".{audience}")
    asked = azure.http.get(
        "/secrets", headers={"Host": host, "Authorization": f"Bearer {azure.token(f'https://{audience}')}"}
    )
    assert (asked.status_code, asked.json()["error"]["code"]) == (404, "VaultNotFound")


def test_an_account_answers_by_name(azure: Cloud) -> None:
    host = f"nobody.blob.{_suffixes(azure)['storage']}"
    answer = azure.http.get("/container/blob", headers={"Host": host})
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (404, "ResourceNotFound")
    assert "'nobody'" in answer.text
