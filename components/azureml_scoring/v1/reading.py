"""Reads an object of v1 field by field, so that none is lost: what nobody took is unknown, and is told.

Owns the taking of fields, their kinds, and the lines. Refuses to own what a field means (`convert.py`). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from azureml_scoring.errors import CommandError

Kind = Literal["changed", "dropped", "unknown"]


@dataclass(frozen=True)
class Note:
    """One line about one field."""

    kind: Kind
    """`changed`: done in another way; `dropped`: there is no successor; `unknown`: v1 has no such field."""
    field: str
    text: str

    def __str__(self) -> str:
        """Tell it on one line."""
        return f"{self.kind}: {self.field}: {self.text}"


class V1Error(CommandError):
    """A file that is not a v1 file; one line."""


@dataclass
class Part:
    """One object of a file, with its place, and the lines about it."""

    place: str
    rest: dict[str, Any]
    notes: list[Note] = field(default_factory=list)

    @classmethod
    def of(cls, place: str, given: object, notes: list[Note]) -> "Part":
        """Start reading; nothing is an empty object."""
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            raise V1Error(f"{place or 'the file'} is a {type(given).__name__}, not an object; see the v1 schema")
        return cls(place, {str(key): value for key, value in given.items()}, notes)

    def name(self, key: str) -> str:
        """Name a field with its place."""
        return f"{self.place}.{key}" if self.place else key

    def take(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Take a field; null is the same as not there. v1 does not mind capitals."""
        found = next((name for name in self.rest if name.lower() == key.lower()), None)
        return self.rest.pop(found) if found is not None else None

    def text(self, key: str) -> str:
        """Take a text."""
        value = self.take(key)
        if value is None:
            return ""
        if isinstance(value, Mapping | list):
            raise V1Error(f"{self.name(key)} is a {type(value).__name__}, not a text; correct it")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def number(self, key: str) -> float | None:
        """Take a number."""
        value = self.take(key)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise V1Error(f"{self.name(key)} = {value!r} is no number; correct it") from None

    def flag(self, key: str) -> bool | None:
        """Take true or false; texts of them as well."""
        value = self.take(key)
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if value is not None and not isinstance(value, bool):
            raise V1Error(f"{self.name(key)} = {value!r} is neither true nor false; correct it")
        return value

    def part(self, key: str) -> "Part":
        """Take an object."""
        return Part.of(self.name(key), self.take(key), self.notes)

    def drop(self, key: str, reason: str, *, secret: bool = False) -> None:
        """Take a field that has no successor; one that says nothing is not told."""
        value = self.take(key)
        if value in (None, "", [], {}, False):
            return
        self.note("dropped", key, reason, None if secret else value)

    def note(self, kind: Kind, key: str, text: str, value: object = None) -> None:
        """Write a line."""
        shown = f"{value}" if value is not None and not isinstance(value, Mapping | list) else ""
        self.notes.append(Note(kind, self.name(key) + (f" = {' '.join(shown.split())[:60]}" if shown else ""), text))

    def end(self) -> None:
        """Tell what nobody took."""
        for key in self.rest:
            self.notes.append(
                Note("unknown", self.name(key), "v1's schema has no such field, so nothing is done with it")
            )
