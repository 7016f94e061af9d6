"""Errors of settings: one line each, with the field, its value and what to write instead."""

from collections.abc import Mapping
from typing import Final

import pulumi

_LONGEST: Final = 200
"""Characters of a value that an error shows."""
HIDDEN: Final = "[hidden]"
"""Stands for the value of a secret."""


class SettingsError(pulumi.RunError):
    """Settings that cannot be carried out: a line each, with field, value and remedy; the user sees no traceback."""


def error_line(field: str, value: object, remedy: str) -> str:
    """Compose the one line of an error: which field, which value, what to do."""
    return f"{field} = {_shown(value)}: {remedy}"


def _shown(value: object) -> str:
    """Show a value on one short line, as it stands in YAML."""
    match value:
        case str():
            text = " ".join(value.split()) if "\n" in value else value
            return f'"{text}"' if len(text) <= _LONGEST else f'"{text[:_LONGEST]}…"'
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Mapping():
            return "{…}" if value else "{}"
        case list():
            return "[…]" if value else "[]"
        case _:
            return str(value)
