"""Documents by ARM id in SQLite. Owns what survives a restart; knows nothing of what documents mean.

Secrets are sealed before they are written (Fernet, key file of mode 600 beside the database).
"""

import functools
import json
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from emulator.core.ids import ResourceId

_MOST_UNSEALED = 10_000


@dataclass(frozen=True)
class Document:
    """A resource: what ARM shows (`body`), and what only the services see (`private`; sealed at rest)."""

    id: ResourceId
    body: dict[str, Any]
    private: dict[str, Any] = field(default_factory=dict)

    @property
    def properties(self) -> dict[str, Any]:
        """The resource's `properties`."""
        properties: dict[str, Any] = self.body.get("properties") or {}
        return properties

    def having(self, private: dict[str, Any] | None = None, **properties: Any) -> "Document":  # noqa: ANN401 - JSON
        """A copy with these properties (and private values) set."""
        body = {**self.body, "properties": {**self.properties, **properties}}
        return replace(self, body=body, private={**self.private, **(private or {})})


class Store:
    """The database of one local Azure. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = folder / "seal.key"
        if not key.exists():
            with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(Fernet.generate_key())
        self._seal = Fernet(key.read_bytes())
        # Most documents are read far more often than they are written.
        self._unsealed = functools.lru_cache(_MOST_UNSEALED)(self._seal.decrypt)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(folder / "azure.sqlite", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents"
            " (key TEXT PRIMARY KEY, path TEXT, type TEXT, body TEXT, private BLOB, position INTEGER)"
        )
        self._database.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB)")

    @property
    def version(self) -> int:
        """A number that grows with each write."""
        return self._database.total_changes

    def get(self, id_: ResourceId) -> Document | None:
        """The document of an id."""
        rows = self._select("key = ?", id_.key)
        return rows[0] if rows else None

    def put(self, document: Document) -> Document:
        """Write a document; its position in listings stays."""
        sealed = self._seal.encrypt(json.dumps(document.private).encode())
        with self._lock:
            self._database.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM documents))"
                " ON CONFLICT (key) DO UPDATE SET body = excluded.body, private = excluded.private",
                (document.id.key, document.id.path, document.id.type.lower(), json.dumps(document.body), sealed),
            )
        return document

    def delete(self, id_: ResourceId) -> None:
        """Forget a document and all that lives below it."""
        with self._lock:
            self._database.execute(
                "DELETE FROM documents WHERE key = ? OR substr(key, 1, ?) = ?",
                (id_.key, len(id_.key) + 1, id_.key + "/"),
            )

    def of_type(self, type_: str, under: ResourceId | None = None) -> list[Document]:
        """Documents of an ARM type, oldest first; with `under`, those below an id."""
        return [
            document
            for document in self._select("type = ?", type_.lower())
            if under is None or document.id.key.startswith(under.key + "/")
        ]

    def under(self, id_: ResourceId) -> list[Document]:
        """All that lives below an id, newest first (the order in which it can be taken away)."""
        prefix = id_.key + "/"
        return self._select("substr(key, 1, ?) = ?", len(prefix), prefix)[::-1]

    def everything(self) -> list[Document]:
        """Every document, oldest first."""
        return self._select("1 = 1")

    def fact(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """A sealed JSON value by its name, None where there is none."""
        with self._lock:
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(self._seal.decrypt(row[0])) if row else None

    def fact_or_create(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        """The value by its name, created at first use; concurrent callers get the same one."""
        with self._lock:
            value = self.fact(name)
            if value is None:
                value = make()
                self.put_fact(name, value)
            return value

    def put_fact(self, name: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Store a JSON value by name, sealed; None deletes it."""
        with self._lock:
            if value is None:
                self._database.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                sealed = self._seal.encrypt(json.dumps(value).encode())
                self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, sealed))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _select(self, where: str, *values: object) -> list[Document]:
        query = f"SELECT path, body, private FROM documents WHERE {where} ORDER BY position"  # noqa: S608 - fixed texts
        with self._lock:
            rows = self._database.execute(query, values).fetchall()
        return [
            Document(ResourceId.parse(path), json.loads(body), json.loads(self._unsealed(private)))
            for path, body, private in rows
        ]
