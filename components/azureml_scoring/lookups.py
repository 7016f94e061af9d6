"""What a program asks Azure before its first resource: a registry by its address, a password in a vault.

Owns that a failure is one line of settings. Refuses to own the queries (`provider/lookup.py`).
"""

from typing import TYPE_CHECKING

import pulumi

from azureml_scoring.settings.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azureml_scoring.provider.arm import Arm


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


def _asked(query: "Callable[[Arm], str]") -> str:
    from azureml_scoring.provider import arm  # noqa: PLC0415 - as above
    from azureml_scoring.provider.errors import ResourceError  # noqa: PLC0415 - as above

    try:
        return query(arm.connect())
    except ResourceError as error:
        raise SettingsError(str(error)) from None
