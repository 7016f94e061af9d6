"""Removes secrets from values before they are shown. Pure; owns no output format.

The engine marks what it knows to be secret; this module also hides what is not marked: credentials in URLs and
connection strings, values under names such as `password`, tokens by their format, and all of these inside JSON texts.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

HIDDEN = "[secret]"
_SECRET_KEY = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the engine's public mark of a special value
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's public mark of a secret
_WORDS = (
    r"password|passwd|passphrase|pwd|secret|token|credential|connection_?string|private_?key|access_?key|account_?key"
    r"|api_?key|(?:primary|secondary|shared|master|host|function|storage|subscription|ssh|auth|signing)_?key"
    r"|cookie|authorization|sas|signature"
)
_NAMES = re.compile(rf"(?:{_WORDS})(s|value)?$", re.IGNORECASE)
_HARMLESS = re.compile(r"(secret|token|key|password)_?(name|id|version|uri|expir\w*|policy)s?$", re.IGNORECASE)
_PAIRS = ("name", "key", "Name", "Key")
"""Keys of the name in lists of objects with a name and a value."""
_VALUES = ("value", "Value")
_PATTERNS = (
    # All before the host: user and password, or a token alone. A password may hold characters that an address may not.
    re.compile(r"(?<=://)[^\s/?#]+(?=@)"),
    re.compile(r"(?<=://)[^\s/?#@:]{0,200}:[^\s@]{1,500}(?=@)"),
    # `code=` is the key of an Azure function; elsewhere it names an asset or an error: `code:1`, `"code": "…"`.
    re.compile(
        r"(?i)((?:^|[?&;,\s\"'])(?:sig|code(?==)|pass|pat|access_token|client_secret|[\w.-]{0,60}(?:"
        + _WORDS
        + r"))[\"']?\s*[=:]\s*[\"']?)(?!\[secret\])[^&;,\s\"'}\]]+"
    ),
    re.compile(r"(?i)((?<![\w-])--?[\w-]{0,60}(?:" + _WORDS + r")\s+)[^\s\"'-][^\s\"']*"),
    re.compile(r"(?i)(\bbearer\s+|\bbasic\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"\b[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
)
_ANY = re.compile(r"://|[=:]|--|bearer|basic|eyJ|Q~|-----BEGIN|gh[pousr]_|github_pat_", re.IGNORECASE)
"""Each pattern needs one of these: most texts have none, and are not searched further."""


def redacted(value: Any, name: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value without its secrets; `name` is the property that holds it."""
    if value in (None, "", [], {}) or isinstance(value, bool):
        return value
    if _is_secret_name(name):
        return HIDDEN
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return _object(value)
    return [redacted(inner, name) for inner in value] if isinstance(value, list) else value


def is_marked(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether the engine marks a value as secret."""
    return value == HIDDEN or (isinstance(value, dict) and value.get(_SECRET_KEY) == _SECRET_SIGNATURE)


def redacted_at(properties: dict[str, Any], path: Iterable[str | int]) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path without its secrets; the names above it and beside it count."""
    value: Any = properties
    name = ""
    for part in path:
        if is_marked(value):
            return HIDDEN
        if _is_secret_name(name) or (part in _VALUES and _names_secret(value)):
            return HIDDEN if part_of(value, part) is not None else None
        value, name = part_of(value, part), name if isinstance(part, int) else part
    return redacted(value, name)


def part_of(value: Any, part: str | int) -> Any:  # noqa: ANN401 - JSON
    """Return a property or an item; None where there is none."""
    if isinstance(value, dict):
        return value.get(str(part))
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def _object(value: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if is_marked(value):
        return HIDDEN
    result = {key: redacted(inner, str(key)) for key, inner in value.items()}
    if _names_secret(value):
        result |= {name: HIDDEN for name in _VALUES if value.get(name) not in (None, "")}
    return result


def _names_secret(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether an object with a name and a value names a secret."""
    return isinstance(value, dict) and any(
        isinstance(named := value.get(pair), str) and _is_secret_name(named) for pair in _PAIRS
    )


def equally_hidden(old: Any, new: Any) -> tuple[Any, Any]:  # noqa: ANN401 - JSON
    """Hide in both values what is hidden in one of them: a secret that lost its mark, or has none yet."""
    if HIDDEN in (old, new):
        return (None if old is None else HIDDEN), (None if new is None else HIDDEN)
    if isinstance(old, dict) and isinstance(new, dict):
        both = {name: equally_hidden(old[name], new[name]) for name in old.keys() & new.keys()}
        return (
            {name: both[name][0] if name in both else inner for name, inner in old.items()},
            {name: both[name][1] if name in both else inner for name, inner in new.items()},
        )
    if isinstance(old, list) and isinstance(new, list):
        pairs = [equally_hidden(*pair) for pair in zip(old, new, strict=False)]
        return [left for left, _ in pairs] + old[len(pairs) :], [right for _, right in pairs] + new[len(pairs) :]
    return old, new


@lru_cache(maxsize=16384)
def _is_secret_name(name: str) -> bool:
    bare = re.sub(r"[\[\]\"'.-]", "_", name).strip("_")
    return bool(_NAMES.search(bare)) and not _HARMLESS.search(bare)


@lru_cache(maxsize=16384)
def _text(text: str) -> str:
    stripped = text.strip()
    if stripped[:1] in {"{", "["}:
        try:
            return json.dumps(redacted(json.loads(stripped)))
        except (ValueError, RecursionError):
            pass  # not JSON after all
    if not _ANY.search(text):
        return text
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: (match.group(1) if match.re.groups else "") + HIDDEN, text)
    return text
