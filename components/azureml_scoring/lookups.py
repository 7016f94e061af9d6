"""What a program asks Azure before its first resource: a registry by its address, a password in a vault, free names.

Owns that a failure is one line of settings. Refuses to own the queries (`provider/lookup.py`).
"""

from dataclasses import replace
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


def examined(planned: PlannedWorkspace) -> PlannedWorkspace:
    """Return the workspace as Azure lets it be; raise where it cannot become what is planned.

    One GET where the workspace stands. Two lists more where it does not: it is about to be created.
    """
    lines, result = _asked(lambda arm: _examined(arm, planned))
    if lines:
        raise SettingsError("\n".join(lines))
    return result


def _examined(arm: "Arm", planned: PlannedWorkspace) -> tuple[list[str], PlannedWorkspace]:
    from azureml_scoring.provider.arm import ML_API  # noqa: PLC0415 - as above

    existing = arm.get(str(planned.id), ML_API)
    if existing is not None:
        return list(planned.differences(existing)), planned
    seedless = arm.get(str(planned.seedless), ML_API) if planned.seedless != planned.id else None
    if seedless is not None and planned.keeps(seedless):
        return list(planned.differences(seedless)), planned.kept()
    return _free(arm, planned)


def _free(arm: "Arm", planned: PlannedWorkspace) -> tuple[list[str], PlannedWorkspace]:
    """Look for what keeps a workspace from being made."""
    from azureml_scoring.provider.arm import ML_API  # noqa: PLC0415 - as above
    from azureml_scoring.provider.lookup import deleted_vault, workspaces  # noqa: PLC0415 - as above

    listed = workspaces(arm, planned.id.subscription)
    lines = [planned.renamed(each) for each in planned.renamed_from(listed) if arm.get(str(each), ML_API)]
    if lines:
        return lines, planned
    lines = list(planned.held(listed))
    deleted = deleted_vault(arm, planned.id.subscription, planned.vault.name)
    if deleted is None:
        return lines, planned
    if planned.recovers(deleted):
        return lines, replace(planned, recovers_vault=True)
    return [planned.held_vault(deleted), *lines], planned


def _asked(query: "Callable[[Arm], T]") -> T:
    from azureml_scoring.provider import arm  # noqa: PLC0415 - as above
    from azureml_scoring.provider.errors import ResourceError  # noqa: PLC0415 - as above

    try:
        return query(arm.connect())
    except ResourceError as error:
        raise SettingsError(str(error)) from None
