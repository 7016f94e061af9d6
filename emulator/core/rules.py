"""Checks that several services share. Pure, but for names that are unique in all of Azure, which need the store."""

import ipaddress
from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document

#: https://www.rfc-editor.org/rfc/rfc1918
_PRIVATE = tuple(ipaddress.IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def one_of(field: str, value: Any, allowed: tuple[str, ...]) -> str:  # noqa: ANN401 - JSON
    """A value of an enumeration as Azure spells it, compared without case; None gives the first (the default)."""
    if value is None:
        return allowed[0]
    for each in allowed:
        if str(value).lower() == each.lower():
            return each
    raise AzureError(
        400, "InvalidRequestContent", f"The value '{value}' of '{field}' is not one of {', '.join(allowed)}."
    )


def between(field: str, value: Any, minimum: float, maximum: float) -> None:  # noqa: ANN401 - JSON
    """Refuse a number that is out of range (None is no number and no trouble)."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise AzureError(
            400,
            "InvalidRequestContent",
            f"The value '{value}' of '{field}' is not a number from {minimum:g} to {maximum:g}.",
        )


def flag(field: str, value: Any) -> None:  # noqa: ANN401 - JSON
    """Refuse what is neither true nor false (None is absent)."""
    if value is not None and not isinstance(value, bool):
        raise AzureError(400, "InvalidRequestContent", f"The value '{value}' of '{field}' is neither true nor false.")


def network_rules(field: str, rules: Any) -> None:  # noqa: ANN401 - JSON
    """Refuse network rules whose default is neither Allow nor Deny, and ranges that are not of the internet.

    https://learn.microsoft.com/azure/storage/common/storage-network-security-limitations
    https://learn.microsoft.com/azure/container-registry/container-registry-access-selected-networks
    """
    if rules is None:
        return
    action = rules.get("defaultAction") if isinstance(rules, dict) else rules
    one_of(f"{field}.defaultAction", action, ("Allow", "Deny"))
    for each in rules.get("ipRules") or []:
        _check_range(f"{field}.ipRules", each.get("value"))


def _check_range(field: str, text: Any) -> None:  # noqa: ANN401 - JSON
    try:
        wanted = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise AzureError(
            400, "InvalidRequestContent", f"The value '{text}' of '{field}' is no IPv4 address or range: {error}."
        ) from error
    if any(wanted.overlaps(each) for each in _PRIVATE):
        raise AzureError(
            400, "InvalidRequestContent", f"The value '{text}' of '{field}' is not of the internet: it is private."
        )


def taken(azure: Azure, new: Document) -> bool:
    """Whether another resource of this type has the name, which is unique in the whole of Azure."""
    return any(
        other.id.name.lower() == new.id.name.lower() and other.id.key != new.id.key
        for other in azure.store.of_type(new.id.type)
    )
