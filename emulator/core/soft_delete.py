"""Soft-deleted resources: what a deletion sets aside, by a name that stays taken until it is recovered or purged."""

import time
from dataclasses import dataclass
from typing import Any

from emulator.core.ids import ResourceId
from emulator.core.store import Document, Store

_DAY = 86400


@dataclass(frozen=True)
class Deleted:
    """A deleted resource with its children; times in seconds since 1970."""

    document: Document
    children: tuple[Document, ...]
    at: int
    until: int


class RecycleBin:
    """The deleted resources of one ARM type, by name. A retention that has ended purges by itself."""

    def __init__(self, store: Store, type_: str) -> None:
        self._store = store
        self._fact = f"deleted {type_.lower()}"

    def add(self, name: str, document: Document, children: list[Document], days: float) -> None:
        """Set a resource aside."""
        now = int(time.time())
        entry = {
            "document": _dump(document),
            "children": [_dump(child) for child in children],
            "at": now,
            "until": now + int(days * _DAY),
        }
        self._store.put_fact(self._fact, {**self._entries(), name.lower(): entry})

    def get(self, name: str) -> Deleted | None:
        """A deleted resource by its name."""
        entry = self._entries().get(name.lower())
        if entry is None:
            return None
        children = tuple(_load(child) for child in entry["children"])
        return Deleted(_load(entry["document"]), children, entry["at"], entry["until"])

    def names(self) -> list[str]:
        """All names that are held, the oldest first."""
        return list(self._entries())

    def purge(self, name: str) -> None:
        """Give a name free."""
        self._store.put_fact(self._fact, {key: entry for key, entry in self._entries().items() if key != name.lower()})

    def clear(self) -> None:
        """Give all names free."""
        self._store.put_fact(self._fact, {})

    def _entries(self) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = self._store.fact(self._fact) or {}
        return {name: entry for name, entry in entries.items() if entry["until"] > time.time()}


def _dump(document: Document) -> dict[str, Any]:
    return {"path": document.id.path, "body": document.body, "private": document.private}


def _load(content: dict[str, Any]) -> Document:
    return Document(ResourceId.parse(content["path"]), content["body"], content["private"])
