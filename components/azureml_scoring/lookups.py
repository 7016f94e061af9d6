"""What a program asks Azure before its first resource: a registry by its address, a password in a vault, free names.

Owns that a failure is one line of settings. Refuses to own the queries (`provider/lookup.py`).
"""

from typing import TYPE_CHECKING, TypeVar

import pulumi

from azureml_scoring.plan.workspace import PlannedWorkspace
from azureml_scoring.settings.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azureml_scoring.provider.arm import Arm

T = TypeVar("T")


def registry_id_at(login_server: str | None) -> str | None:
    """Return the ARM id of an existing registry by its address: everything else needs the id."""
    if login_server is None:
        return None
    from azureml_scoring.provider.lookup import registry_at  # noqa: PLC0415 - most stacks need no client of their own

    return _asked(lambda arm: registry_at(arm, login_server))


def vault_secret(id_: str) -> pulumi.Output[str]:
    """Read a password from a vault, as the deployer."""
    from azureml_scoring.provider.lookup import secret_at  # noqa: PLC0415 - as above

    return pulumi.Output.secret(_asked(lambda arm: secret_at(arm, "registry.passwordSecret", id_)))


def recovers_vault(planned: PlannedWorkspace) -> bool:
    """Raise where Azure keeps the workspace from becoming what is planned; tell whether a deleted vault comes back.

    One GET where the workspace stands. Two lists more where it does not: it is about to be created.
    """
    lines, recovers = _asked(lambda arm: _examined(arm, planned))
    if lines:
        raise SettingsError("\n".join(lines))
    return recovers


def _examined(arm: "Arm", planned: PlannedWorkspace) -> tuple[list[str], bool]:
    from azureml_scoring.provider.arm import ML_API  # noqa: PLC0415 - as above
    from azureml_scoring.provider.lookup import deleted_vault, workspaces  # noqa: PLC0415 - as above

    existing = arm.get(str(planned.id), ML_API)
    if existing is not None:
        return list(planned.differences(existing)), False
    listed = workspaces(arm, planned.id.subscription)
    lines = [planned.renamed(each) for each in planned.renamed_from(listed) if arm.get(str(each), ML_API)]
    deleted = None if lines else deleted_vault(arm, planned.id.subscription, planned.vault.name)
    if not lines:
        lines = list(planned.held(listed))
    if deleted is None or planned.recovers(deleted):
        return lines, deleted is not None
    return [planned.held_vault(deleted), *lines], False


def _asked(query: "Callable[[Arm], T]") -> T:
    from azureml_scoring.provider import arm  # noqa: PLC0415 - as above
    from azureml_scoring.provider.errors import ResourceError  # noqa: PLC0415 - as above

    try:
        return query(arm.connect())
    except ResourceError as error:
        raise SettingsError(str(error)) from None
