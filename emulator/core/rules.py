"""Checks that several services share. Pure, but for names that are unique in all of Azure, which need the store."""

from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.store import Document


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


def default_action(field: str, rules: Any) -> None:  # noqa: ANN401 - JSON
    """Refuse network rules whose default is neither Allow nor Deny."""
    if rules is not None:
        action = rules.get("defaultAction") if isinstance(rules, dict) else rules
        one_of(f"{field}.defaultAction", action, ("Allow", "Deny"))


def taken(azure: Azure, new: Document) -> bool:
    """Whether another resource of this type has the name, which is unique in the whole of Azure."""
    return any(
        other.id.name.lower() == new.id.name.lower() and other.id.key != new.id.key
        for other in azure.store.of_type(new.id.type)
    )
