"""What the page does not show: values whose name says that they are secret, and known secrets wherever they stand.

By name: passwords, keys, tokens, connection strings, credentials of connections, values of secrets, and all environment
variables, since nothing says which of them are secret. By value: what the services keep apart from the documents.
Pure, but for `Secrets`, which reads the store.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from emulator.core.azure import Azure
from emulator.core.store import Document

HIDDEN = "(hidden)"
_NAME = re.compile(
    r"(passwords?\d?|secret|secrettext|secretvalue|keys?\d?|token|sas|hint|connectionstring|instrumentationkey)$",
    re.IGNORECASE,
)
_CREDENTIALS = "credentials"
_BRANCHES = frozenset({"environmentvariables", _CREDENTIALS})
_PUBLIC = frozenset({"username", "clientid", "resourceid", "tenantid"})
"""Parts of credentials that are no secret: known secrets are hidden everywhere, and these stand elsewhere rightly."""
_SIGNATURE = re.compile(r"([?&](?:sig|code|token|key)=)[^&\s\"]+", re.IGNORECASE)
_VAULTS = "microsoft.keyvault/"
_SHORTEST = 6


def redacted(document: Document, body: dict[str, Any]) -> dict[str, Any]:
    """What may be shown of a document's ARM body."""
    shown: dict[str, Any] = _without(body)
    if document.id.type.lower().startswith(_VAULTS) and "value" in (shown.get("properties") or {}):
        shown["properties"]["value"] = HIDDEN
    return shown


def _without(value: Any, *, secret: bool = False) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {
            name: _without(inner, secret=secret or name.lower() in _BRANCHES or bool(_NAME.search(name)))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without(inner, secret=secret) for inner in value]
    if secret and value not in {None, "", True, False}:
        return HIDDEN
    return _SIGNATURE.sub(rf"\1{HIDDEN}", value) if isinstance(value, str) else value


def secrets_of(documents: Iterable[Document]) -> set[str]:
    """Every text that documents keep secret, long enough to be told from others."""
    found = {text for each in documents for text in _secret_texts(each)}
    return {text for text in found if len(text) >= _SHORTEST}


def _secret_texts(document: Document) -> Iterator[str]:
    values = frozenset({"value"} if document.id.type.lower().startswith(_VAULTS) else ())
    yield from _secret_leaves(document.body, frozenset(), secret=False)
    yield from _secret_leaves(document.private, values, secret=False)


def _secret_leaves(value: Any, names: frozenset[str], *, secret: bool) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Texts below a name that says so, or that is one of `names`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            named = name.lower() == _CREDENTIALS or name in names or bool(_NAME.search(name))
            yield from _secret_leaves(inner, names, secret=(secret and name.lower() not in _PUBLIC) or named)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_leaves(inner, names, secret=secret)
    elif secret and isinstance(value, str):
        yield value


class Secrets:
    """Hides every known secret in what the page sends, wherever it stands."""

    def __init__(self, azure: Azure, *others: str) -> None:
        self._azure = azure
        self._others = set(others)
        self._version = -1
        self._known: list[str] = []

    def dumps(self, model: object) -> str:
        """JSON without any known secret."""
        text = json.dumps(model)
        for secret in self._texts():
            text = text.replace(secret, HIDDEN)
        return text

    def _texts(self) -> list[str]:
        version = self._azure.store.version
        if version != self._version:
            found = secrets_of(self._azure.store.everything()) | self._others
            self._known = sorted((json.dumps(text)[1:-1] for text in found), key=len, reverse=True)
            self._version = version
        return self._known
