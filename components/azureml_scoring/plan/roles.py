"""Azure's built-in roles: their ids stand here, once, and which of them lets a principal pull from a registry.

Owns role ids and the choice. Refuses to own assignments (`principal.py`, `endpoint.py`). Pure.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers
"""

import re
import uuid
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Role:
    """A built-in role: the same id in every subscription."""

    name: str
    guid: str


ACR_PULL: Final = Role("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d")
"""Reads images of a registry that goes by plain RBAC."""

REPOSITORY_READER: Final = Role("Container Registry Repository Reader", "b93aa761-3e63-49ed-ac28-beffa264f7ac")
"""Reads images of a registry in "RBAC + ABAC" mode, where AcrPull is not honoured."""

STORAGE_READER: Final = Role("Storage Blob Data Reader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1")
"""Reads the files of models and code from a workspace's storage account."""


def pull_role(role_assignment_mode: str) -> Role:
    """Choose the role that reads, and only reads, images of a registry in this mode (`rbac` or `abac`)."""
    return REPOSITORY_READER if role_assignment_mode == "abac" else ACR_PULL


def definition_id(scope: str, role: Role) -> str:
    """Compute the ARM id of a role's definition in the subscription that a scope lies in."""
    found = re.match(r"/subscriptions/([^/]+)", scope, re.IGNORECASE)
    if not found:
        raise ValueError(f'"{scope}" lies in no subscription; a role can be assigned on a full ARM id only')
    return f"/subscriptions/{found[1]}/providers/Microsoft.Authorization/roleDefinitions/{role.guid}"


def assignment_name(*parts: str) -> str:
    """Compute the name of an assignment, which Azure wants as a GUID, from what makes it unique."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("azureml-scoring", *parts))))
