"""Errors of settings: one line each, with the field, its value and what to write instead."""

from collections.abc import Mapping
from typing import Final

import pulumi

_LONGEST: Final = 200
"""Characters of a value that an error shows."""
_BITS: Final = 64
HIDDEN: Final = "[hidden]"
"""Stands for the value of a secret."""


class SettingsError(pulumi.RunError):
    """Settings that cannot be carried out: a line each, with field, value and remedy; the user sees no traceback."""


def error_line(field: str, value: object, remedy: str) -> str:
    """Compose the one line of an error: which field, which value, what to do."""
    return visible(f"{_short_path(field)} = {_shown(value)}: {remedy}")


def missing_line(field: str, remedy: str) -> str:
    """Compose the one line of an error of a field that nobody wrote."""
    return visible(f"{_short_path(field)} is missing: {remedy}")


def visible(text: str) -> str:
    """Spell ends of lines and all else that shows nothing, or moves what is shown, as Python does."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _shown(value: object) -> str:
    """Show a value on one short line, as it stands in YAML."""
    match value:
        case str():
            return f'"{_short(value)}"'
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Mapping() | list():
            opening, closing = "{}" if isinstance(value, Mapping) else "[]"
            return f"{opening}{'…' if value else ''}{closing}"
        case int() if value.bit_length() > _BITS:
            return "a number of more than 64 bits"
        case _:
            return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _short_path(field: str) -> str:
    """Cut a path in its middle: its last name is the field."""
    half = _LONGEST // 2
    return field if len(field) <= _LONGEST else f"{field[:half]}…{field[-half:]}"
