"""Microsoft Graph over https: owners, rights, filters, pages, and what a deleted application leaves."""

import uuid
from typing import Any

import httpx
import pytest

from tests.conftest import Cloud
from tests.registries import EVERY, GRAPH, OWNED_BY, ServicePrincipal, service_principal


def ask(azure: Cloud, method: str, path: str, body: Any = None, who: ServicePrincipal | None = None) -> httpx.Response:  # noqa: ANN401 - JSON
    token = azure.token(GRAPH, *(who.login if who else ()))
    return azure.http.request(method, f"/graph/v1.0/{path}", json=body, headers={"Authorization": f"Bearer {token}"})


def create(azure: Cloud, who: ServicePrincipal | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    answer = ask(azure, "POST", "applications", {"displayName": f"app {uuid.uuid4()}", **more}, who)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def owner_ids(azure: Cloud, path: str) -> list[str]:
    return [each["id"] for each in ask(azure, "GET", f"{path}/owners").json()["value"]]


@pytest.fixture
def owned_by(azure: Cloud) -> ServicePrincipal:
    """A service principal with `Application.ReadWrite.OwnedBy` and nothing else."""
    made = service_principal(azure)
    granted = ask(azure, "POST", f"servicePrincipals/{made.object_id}/appRoleAssignments", {"appRoleId": OWNED_BY})
    assert granted.status_code == 201, granted.text
    return made


def test_whoever_creates_an_application_owns_it_with_those_that_the_body_binds(
    azure: Cloud, owned_by: ServicePrincipal
) -> None:
    other = service_principal(azure)
    bind = [f"https://graph.microsoft.com/v1.0/directoryObjects/{other.object_id}"]
    made = create(azure, owned_by, **{"owners@odata.bind": bind})
    assert owner_ids(azure, f"applications/{made['id']}") == [owned_by.object_id, other.object_id]


def test_owners_are_added_and_removed(azure: Cloud) -> None:
    path, other = f"applications/{create(azure)['id']}", service_principal(azure)
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{other.object_id}"}
    assert ask(azure, "POST", f"{path}/owners/$ref", reference).status_code == 204
    assert "already exist" in ask(azure, "POST", f"{path}/owners/$ref", reference).text
    assert other.object_id in owner_ids(azure, path)
    assert ask(azure, "DELETE", f"{path}/owners/{other.object_id}/$ref").status_code == 204
    assert other.object_id not in owner_ids(azure, path)
    assert ask(azure, "DELETE", f"{path}/owners/{other.object_id}/$ref").status_code == 404


def test_owned_by_lets_in_owners_only(azure: Cloud, owned_by: ServicePrincipal) -> None:
    mine, others = create(azure, owned_by), create(azure)
    changed = {"notes": "x"}
    assert ask(azure, "PATCH", f"applications/{mine['id']}", changed, owned_by).status_code == 204
    assert ask(azure, "POST", f"applications/{mine['id']}/addPassword", {}, owned_by).status_code == 200
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/addPassword")):
        answer = ask(azure, method, f"applications/{others['id']}{path}", changed, owned_by)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")


def test_owned_by_registers_a_service_principal_of_its_own_application_only(
    azure: Cloud, owned_by: ServicePrincipal
) -> None:
    mine, others = create(azure, owned_by), create(azure)
    made = ask(azure, "POST", "servicePrincipals", {"appId": mine["appId"]}, owned_by)
    assert owner_ids(azure, f"servicePrincipals/{made.json()['id']}") == [owned_by.object_id]
    assert ask(azure, "POST", "servicePrincipals", {"appId": others["appId"]}, owned_by).status_code == 403


def test_owned_by_does_not_add_an_owner_and_loses_what_it_no_longer_owns(
    azure: Cloud, owned_by: ServicePrincipal
) -> None:
    path, other = f"applications/{create(azure, owned_by)['id']}", service_principal(azure)
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{other.object_id}"}
    assert ask(azure, "POST", f"{path}/owners/$ref", reference, owned_by).status_code == 403
    assert ask(azure, "DELETE", f"{path}/owners/{owned_by.object_id}/$ref", None, owned_by).status_code == 204
    assert ask(azure, "POST", f"{path}/addPassword", {}, owned_by).status_code == 403
    assert ask(azure, "DELETE", path, None, owned_by).status_code == 403


def test_owned_by_restores_and_purges_its_own_applications_only(azure: Cloud, owned_by: ServicePrincipal) -> None:
    mine, others = create(azure, owned_by)["id"], create(azure)["id"]
    for id_ in (mine, others):
        assert ask(azure, "DELETE", f"applications/{id_}").status_code == 204
    assert ask(azure, "POST", f"directory/deletedItems/{others}/restore", None, owned_by).status_code == 403
    assert ask(azure, "DELETE", f"directory/deletedItems/{others}", None, owned_by).status_code == 403
    assert ask(azure, "DELETE", f"directory/deletedItems/{mine}", None, owned_by).status_code == 204


def test_rights_are_granted_and_revoked_one_by_one(azure: Cloud, owned_by: ServicePrincipal) -> None:
    path = f"servicePrincipals/{owned_by.object_id}/appRoleAssignments"
    every = ask(azure, "POST", path, {"appRoleId": EVERY}).json()
    assert {each["appRoleId"] for each in ask(azure, "GET", path).json()["value"]} == {EVERY, OWNED_BY}
    others = create(azure)["id"]
    assert ask(azure, "PATCH", f"applications/{others}", {"notes": "x"}, owned_by).status_code == 204
    assert ask(azure, "DELETE", f"{path}/{every['id']}").status_code == 204
    assert ask(azure, "DELETE", f"{path}/{every['id']}").status_code == 404
    assert ask(azure, "PATCH", f"applications/{others}", {"notes": "y"}, owned_by).status_code == 403


def test_null_clears_a_field_and_unset_ones_are_null(azure: Cloud) -> None:
    made = create(azure, description="words")
    assert (made["description"], made["notes"], made["tags"]) == ("words", None, [])
    ask(azure, "PATCH", f"applications/{made['id']}", {"description": None})
    assert ask(azure, "GET", f"applications/{made['id']}").json()["description"] is None


def test_an_object_is_found_by_its_application_id(azure: Cloud) -> None:
    made = create(azure)
    principal = ask(azure, "POST", "servicePrincipals", {"appId": made["appId"]}).json()
    assert ask(azure, "GET", f"applications(appId='{made['appId']}')").json()["id"] == made["id"]
    assert ask(azure, "GET", f"servicePrincipals(appId='{made['appId']}')").json()["id"] == principal["id"]
    assert ask(azure, "GET", f"applications(appId='{uuid.uuid4()}')").status_code == 404


def test_objects_are_found_by_their_ids(azure: Cloud) -> None:
    made = create(azure)
    found = ask(azure, "POST", "directoryObjects/getByIds", {"ids": [made["id"], str(uuid.uuid4())]}).json()["value"]
    assert [(each["id"], each["@odata.type"]) for each in found] == [(made["id"], "#microsoft.graph.application")]


def test_the_filters_of_the_azure_cli_are_understood_and_others_refused(azure: Cloud) -> None:
    made = create(azure)
    ask(azure, "POST", "servicePrincipals", {"appId": made["appId"]})
    for kind, expression in (
        ("applications", f"startswith(displayName,'{made['displayName'][:20]}')"),
        ("applications", f"appId eq '{made['appId']}' and displayName eq '{made['displayName']}'"),
        ("servicePrincipals", f"servicePrincipalNames/any(c:c eq '{made['appId']}')"),
        ("servicePrincipals", f"appId eq '{uuid.uuid4()}' or appId eq '{made['appId']}'"),
    ):
        answer = ask(azure, "GET", f"{kind}?$filter={expression}")
        assert [each["appId"] for each in answer.json()["value"]] == [made["appId"]], expression
    refused = ask(azure, "GET", "applications?$filter=displayName gt 'a'")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")
    assert ask(azure, "GET", "applications?$orderby=displayName").status_code == 400


def test_lists_are_paged(azure: Cloud) -> None:
    names = {create(azure, notes="paged")["id"] for _ in range(3)}
    listed: list[str] = []
    path = "applications?$filter=notes eq 'paged'&$top=1&$select=id"
    while path:
        page = ask(azure, "GET", path).json()
        assert [list(each) for each in page["value"]] == [["id"]]
        listed += [each["id"] for each in page["value"]]
        path = page.get("@odata.nextLink", "").partition("/graph/v1.0/")[2]
    assert set(listed) >= names


def test_a_deleted_application_is_restored_or_purged(azure: Cloud) -> None:
    made = create(azure)
    ask(azure, "POST", "servicePrincipals", {"appId": made["appId"]})
    assert ask(azure, "DELETE", f"applications/{made['id']}").status_code == 204
    deleted = ask(azure, "GET", "directory/deletedItems/microsoft.graph.application").json()["value"]
    assert made["id"] in [each["id"] for each in deleted]
    assert ask(azure, "POST", f"directory/deletedItems/{made['id']}/restore").json()["appId"] == made["appId"]
    assert ask(azure, "GET", f"servicePrincipals(appId='{made['appId']}')").status_code == 200
    ask(azure, "DELETE", f"applications/{made['id']}")
    assert ask(azure, "DELETE", f"directory/deletedItems/{made['id']}").status_code == 204
    assert ask(azure, "POST", f"directory/deletedItems/{made['id']}/restore").status_code == 404
