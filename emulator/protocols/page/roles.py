"""Principals, their roles by scope, when their passwords end, and why a pull was refused."""

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.core.azure import Azure
from emulator.core.ids import ResourceId
from emulator.core.journal import Entry
from emulator.core.rbac import ASSIGNMENTS
from emulator.core.store import Document
from emulator.protocols.page import words
from emulator.services.containerregistry import access
from emulator.services.graph import access as entra
from emulator.services.graph import data as directory

_REFUSALS = 20
_FORBIDDEN = frozenset({401, 403})


def roles(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The view model."""
    del query
    return roles_model(azure.store.everything(), azure.journal.entries(), entra.deployer(azure).object_id)


def roles_model(everything: Iterable[Document], entries: Iterable[Entry], deployer: str) -> dict[str, Any]:
    """Every principal, and the latest refusals, newest first."""
    documents = list(everything)
    assignments = [each for each in documents if each.id.type == ASSIGNMENTS]
    passwords = {
        each.body["appId"]: each.body["passwordCredentials"]
        for each in documents
        if each.id.type == directory.APPLICATIONS
    }
    refusals = [each for each in entries if each.status in _FORBIDDEN or _denied_pull(each)]
    return {
        "principals": [
            {
                "name": each.body["displayName"],
                "kind": each.body["servicePrincipalType"],
                "objectId": each.body["id"],
                "deployer": each.body["id"] == deployer,
                "roles": _roles_of(each.body["id"], assignments),
                "passwords": [
                    {"name": password.get("displayName") or password["keyId"], "ends": password["endDateTime"]}
                    for password in passwords.get(each.body["appId"], ())
                ],
            }
            for each in documents
            if each.id.type == directory.PRINCIPALS
        ],
        "refusals": [words.request_row(each) for each in refusals][-_REFUSALS:][::-1],
    }


def _denied_pull(entry: Entry) -> bool:
    """Whether a deployment failed because its image could not be pulled."""
    return entry.service != access.SERVICE and "unable to pull image" in entry.failure


def _roles_of(principal: str, assignments: Iterable[Document]) -> list[dict[str, str]]:
    return [
        {"role": words.role_of(each), "scope": str(each.properties["scope"]), **_scope(str(each.properties["scope"]))}
        for each in assignments
        if each.properties["principalId"] == principal
    ]


def _scope(path: str) -> dict[str, str]:
    id_ = ResourceId.parse(path)
    return {"kind": words.kind_of(id_.type), "name": id_.name}
