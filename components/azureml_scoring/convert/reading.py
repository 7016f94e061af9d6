"""Reads an object field by field, so that none is lost: a field that is not read is noted as unknown.

Owns the reading of fields, their types, and the notes. Refuses to own what a field means (`v1/`, `v2/`). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from azureml_scoring.errors import CommandError

Kind = Literal["changed", "dropped", "unknown"]


CURATED: Final = "AzureML-"
"""How names of Microsoft's own environments begin. They were in every workspace, and are in a registry now.
https://learn.microsoft.com/azure/machine-learning/resource-curated-environments"""


@dataclass(frozen=True)
class Note:
    """What became of one field: one line."""

    kind: Kind
    """`changed`: it is done in another way; `dropped`: it has no successor; `unknown`: the schema has no such field."""
    field: str
    text: str

    def __str__(self) -> str:
        """One line for the user."""
        return f"{self.kind}: {self.field}: {self.text}"


def registered_environment(name: str, version: str) -> str:
    """Write the reference of a registered environment; without a version, of the latest."""
    if name.startswith(CURATED):
        label = f"versions/{version}" if version else "labels/latest"
        return f"azureml://registries/azureml/environments/{name}/{label}"
    return f"azureml:{name}:{version}" if version else f"azureml:{name}@latest"


class ConvertError(CommandError):
    """Files that cannot be converted; one line each."""


@dataclass
class Part:
    """One object of a file, by its path, and the notes about it."""

    path: str
    rest: dict[str, Any]
    """Fields that are not read yet."""
    notes: list[Note] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Tell whether there is anything to read."""
        return bool(self.rest)

    @classmethod
    def of(cls, path: str, document: object, notes: list[Note]) -> "Part":
        """Start reading; null is an empty object."""
        if document is None:
            document = {}
        if not isinstance(document, Mapping):
            raise ConvertError(f"{path or 'the file'} is a {type(document).__name__}, not an object; see its schema")
        return cls(path, {str(key): value for key, value in document.items()}, notes)

    def name(self, key: str) -> str:
        """Return a field's path."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Take a field; None where it is null or missing. Case does not matter."""
        name = next((name for name in self.rest if name.lower() == key.lower()), None)
        return self.rest.pop(name) if name is not None else None

    def text(self, key: str) -> str:
        """Take a text."""
        value = self.take(key)
        if value is None:
            return ""
        if isinstance(value, Mapping | list):
            raise ConvertError(f"{self.name(key)} is a {type(value).__name__}, not a text; correct it")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def path_text(self, key: str) -> str:
        """Take a path; Windows' separators are read as well."""
        return self.text(key).replace("\\", "/")

    def texts(self, key: str) -> dict[str, str]:
        """Take an object whose values are texts."""
        part = self.part(key)
        return {name: part.text(name) for name in list(part.rest)}

    def numbers(self, key: str) -> dict[str, float]:
        """Take an object whose values are numbers."""
        part = self.part(key)
        return {name: part.number(name) or 0 for name in list(part.rest)}

    def skip(self, *keys: str) -> None:
        """Take fields that say nothing to whoever writes the file."""
        for key in keys:
            self.take(key)

    def number(self, key: str) -> float | None:
        """Take a number."""
        value = self.take(key)
        if value is None:
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ConvertError(f"{self.name(key)} = {value!r} is not a number; correct it") from None

    def flag(self, key: str) -> bool | None:
        """Take a boolean, or its text."""
        value = self.take(key)
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if value is not None and not isinstance(value, bool):
            raise ConvertError(f"{self.name(key)} = {value!r} is neither true nor false; correct it")
        return value

    def part(self, key: str, text: str = "") -> "Part":
        """Take an object; `text` names the field that a text in its place stands for."""
        value = self.take(key)
        return Part.of(self.name(key), {text: value} if text and isinstance(value, str) else value, self.notes)

    def drop(self, *keys: str, reason: str, secret: bool = False, kind: Kind = "dropped") -> None:
        """Take fields that have no successor; an empty one needs no note."""
        for key in keys:
            value = self.take(key)
            if value not in (None, "", [], {}, False):
                self.note(kind, key, reason, None if secret else value)

    def note(self, kind: Kind, key: str, text: str, value: object = None) -> None:
        """Add a note."""
        shown = f"{value}" if value is not None and not isinstance(value, Mapping | list) else ""
        self.notes.append(Note(kind, self.name(key) + (f" = {' '.join(shown.split())[:60]}" if shown else ""), text))

    def end(self) -> None:
        """Note the fields that were not read."""
        for key in self.rest:
            self.notes.append(Note("unknown", self.name(key), "the schema has no such field; it is ignored"))
