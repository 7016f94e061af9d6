"""What a program asks Azure before its first resource: a registry by its address, a password in a vault, free names.

Owns that a failure is one line of settings. Refuses to own the queries (`provider/lookup.py`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi

from azureml_scoring.plan.workspace import PlannedWorkspace
from azureml_scoring.settings.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from azureml_scoring.plan.needs import Name
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


def examined(planned: PlannedWorkspace, created: "Iterable[Name]") -> PlannedWorkspace:
    """Return the workspace as Azure lets it be; raise where it cannot become what is planned.

    Where it does not stand, it is about to be created with the names `created`: then all that is cheap to look at is
    looked at.
    """
    lines, result = _asked(lambda arm: _examined(arm, planned, created))
    refuse(lines)
    return result


def refuse(lines: "Iterable[str]") -> None:
    """Raise the lines, where there are any."""
    if text := "\n".join(lines):
        raise SettingsError(text)


def _examined(arm: "Arm", planned: PlannedWorkspace, created: "Iterable[Name]") -> tuple[list[str], PlannedWorkspace]:
    from azureml_scoring.provider.arm import ML_API  # noqa: PLC0415 - as above

    existing = arm.get(str(planned.id), ML_API)
    if existing is not None:
        return list(planned.differences(existing)), planned
    seedless = arm.get(str(planned.seedless), ML_API) if planned.seedless != planned.id else None
    if seedless is not None and planned.keeps(seedless):
        return list(planned.differences(seedless)), planned.kept()
    return _free(arm, planned, created)


def _free(arm: "Arm", planned: PlannedWorkspace, created: "Iterable[Name]") -> tuple[list[str], PlannedWorkspace]:
    """Look for what keeps a workspace from being made."""
    from azureml_scoring.provider.arm import ML_API  # noqa: PLC0415 - as above
    from azureml_scoring.provider.lookup import deleted_vault, where_visible, workspaces  # noqa: PLC0415 - as above

    subscription = planned.id.subscription
    listed: list[dict[str, Any]] = where_visible(lambda: workspaces(arm, subscription), [])
    lines = [planned.renamed(each) for each in planned.renamed_from(listed) if arm.get(str(each), ML_API)]
    if lines:
        return lines, planned
    lines = list(planned.held(listed))
    deleted = where_visible(lambda: deleted_vault(arm, subscription, planned.vault.name), None)
    if deleted is not None and not planned.recovers(deleted):
        return [planned.held_vault(deleted), *lines], planned
    if not lines:
        _look_first(arm, planned, created)
    return lines, replace(planned, recovers_vault=deleted is not None)


def _look_first(arm: "Arm", planned: PlannedWorkspace, created: "Iterable[Name]") -> None:
    """Say who is signed in, and warn of what Azure will refuse; `azureml-scoring doctor` looks at more."""
    from azureml_scoring.provider.readiness import first_checks  # noqa: PLC0415 - as above

    for check in first_checks(arm, planned.id, created):
        for finding in check.findings():
            if finding.status == "wrong":
                pulumi.log.warn(f"{check.title}: {finding}")
            elif check.title == "signed in" and finding.status == "ok":
                pulumi.log.info(f"{check.title}: {finding}")


def _asked(query: "Callable[[Arm], T]") -> T:
    from azureml_scoring.provider import arm  # noqa: PLC0415 - as above
    from azureml_scoring.provider.errors import ResourceError  # noqa: PLC0415 - as above

    try:
        return query(arm.connect())
    except ResourceError as error:
        raise SettingsError(str(error)) from None
