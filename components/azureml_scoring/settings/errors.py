"""Errors of settings: one line each, with the field, its value and what to write instead."""

from collections.abc import Mapping
from typing import Final

import pulumi

_LONGEST: Final = 200
"""Characters of a value that an error shows."""
_LONGEST_REMEDY: Final = 1_000
"""Characters of a remedy, which may spell the value anew."""
_BITS: Final = 64
HIDDEN: Final = "[hidden]"
"""Stands for the value of a secret."""


class SettingsError(pulumi.RunError):
    """Settings that cannot be carried out: a line each, with field, value and remedy; the user sees no traceback."""


def error_line(field: str, value: object, remedy: str) -> str:
    """Compose the one line of an error: which field, which value, what to do."""
    return visible(f"{_middle_cut(field)} = {_shown(value)}: {_middle_cut(remedy, _LONGEST_REMEDY)}")


def missing_line(field: str, remedy: str) -> str:
    """Compose the one line of an error of a field that nobody wrote."""
    return visible(f"{_middle_cut(field)} is missing: {remedy}")


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


def _middle_cut(text: str, longest: int = _LONGEST) -> str:
    """Cut in the middle: a path ends with its field, a remedy with what to do."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
