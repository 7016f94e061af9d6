"""What environments, models and codes of a workspace share: a container of one name, and versions that never change.

Owns the two shapes. What a version says, and which of it is fixed, is each type's own (`ml_environment`, `ml_assets`).
"""

import re
from typing import Any, ClassVar

from emulator.core.azure import ResourceType, now
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document

_NAME = re.compile(r"[a-zA-Z0-9][\w.-]{0,254}")
_SHOWN = 135
"""Characters of a value that a refusal repeats: an image by digest is shorter."""


class Container(ResourceType):
    """What the versions of one name share."""

    versions: ClassVar[str]
    what: ClassVar[str]

    def check(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002 - as all types
        """Check the name; the versions' numbers are told by `show`."""
        check_name(self.what, new.id.name)
        given = {name: new.properties[name] for name in ("description", "properties", "tags") if name in new.properties}
        return Document(new.id, {**new.body, "properties": {"isArchived": False, **given}}, new.private)

    def show(self, document: Document) -> dict[str, Any]:
        """With the version made last, and the one that would follow."""
        versions = [
            found.id.name
            for found in self.azure.store.of_type(self.versions, document.id)
            if not found.properties.get("isArchived")
        ]
        numbers = [int(name) for name in versions if name.isdigit()]
        told = {"latestVersion": versions[-1] if versions else None, "nextVersion": str(max(numbers, default=0) + 1)}
        return {**document.body, "properties": {**document.properties, **told}}


class Version(ResourceType):
    """One version: immutable but for words and archiving. The first of a name brings its container along."""

    container: ClassVar[str]
    what: ClassVar[str]
    fixed: ClassVar[tuple[str, ...]]
    defaults: ClassVar[dict[str, Any]] = {}

    def admit(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """A first version brings its container along."""
        body = super().admit(id_, body)
        parent = id_.parent
        if parent is not None and parent.parent is not None and self.azure.store.get(parent) is None:
            self.azure.find(parent.parent.path)
            self.examine(id_, body.get("properties") or {})
            shown = {"isArchived": False, "provisioningState": "Succeeded"}
            told = {"id": parent.path, "name": parent.name, "type": self.container, "properties": shown}
            self.azure.store.put(Document(parent, {**told, "systemData": {"createdAt": now()}}))
        return body

    def check(self, new: Document, old: Document | None) -> Document:
        """Refuse another content under a version that is there."""
        given = {name: value for name, value in new.properties.items() if value is not None}
        self.examine(new.id, given)
        told = {"isAnonymous": False, "isArchived": False, **self.defaults, **given}
        for name in ("isAnonymous", *self.fixed):
            if old is not None and old.properties.get(name) != told.get(name):
                raise AzureError(
                    409,
                    "Conflict",
                    f"{self.what} version '{full_name(new.id)}' is already registered with another '{name}'"
                    f" ({_short(old.properties.get(name))}, not {_short(told.get(name))}); a version is immutable:"
                    " register another version",
                )
        return Document(new.id, {**new.body, "properties": told}, new.private)

    def examine(self, id_: ResourceId, given: dict[str, Any]) -> None:
        """Refuse what Azure refuses of a version's properties, and of its names."""


def full_name(id_: ResourceId) -> str:
    """A version as NAME:VERSION."""
    return f"{id_.path.split('/')[-3]}:{id_.name}"


def check_name(what: str, name: str) -> None:
    """Refuse a name that Azure refuses."""
    if not _NAME.fullmatch(name):
        raise invalid(f"{what} name '{name}' is invalid: 1 to 255 letters, digits, '_', '.' and '-'")


def invalid(text: str) -> AzureError:
    """Azure ML's refusal of a body."""
    return AzureError(400, "ValidationError", text)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:100]}…"
