"""A field of the settings with its path: what rules read and what errors name, so that no path is typed by hand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azureml_scoring.settings.errors import error_line
from azureml_scoring.settings.section import Section, section_of


@dataclass(frozen=True)
class At:
    """A field of the settings: called, it gives its value; it is true where it was written; it knows its path."""

    path_: str
    value_: Any
    model_: type[Section] | None
    written_: bool = True

    @classmethod
    def root(cls, settings: Section, path: str = "") -> "At":
        """Start at a section; `path` names it where it is not the root of the settings."""
        return cls(path, settings, type(settings))

    def __call__(self) -> Any:  # noqa: ANN401 - any field
        """Return the value, the default where none was written."""
        return self.value_

    def __bool__(self) -> bool:
        """Tell whether the field was written."""
        return self.written_ and self.value_ is not None

    def __getattr__(self, name: str) -> "At":
        """Go to a field of this section, by its Python name."""
        field = (self.model_.model_fields if self.model_ else {}).get(name)
        if field is None:
            raise AttributeError(name)
        value = getattr(self.value_, name) if self.value_ is not None else None
        written = self.value_ is not None and name in self.value_.model_fields_set
        return At(f"{self.path_}.{field.alias}".lstrip("."), value, section_of(field.annotation), written)

    def __getitem__(self, key: str | int) -> "At":
        """Go to an entry of this map or list; one that is not there has no value."""
        entries = self.value_ if isinstance(self.value_, Mapping) else dict(enumerate(self.value_ or []))
        return At(f"{self.path_}.{key}", entries.get(key), self.model_, key in entries)

    def entries(self) -> "Iterator[tuple[Any, At]]":
        """Go through the entries of this map or list."""
        for key in self.value_ if isinstance(self.value_, Mapping) else range(len(self.value_ or [])):
            yield key, self[key]

    def refused(self, remedy: str, shown: object = None) -> str:
        """Say in one line what to write instead; `shown` stands for a value that is better summed up."""
        value = self.value_ if shown is None else shown
        value = value.wire() if isinstance(value, Section) else value
        return error_line(self.path_, "" if value is None else value, remedy)
