"""Drift, apart from changes that only seem to follow from it. Pure.

A preview does not know which outputs an update in place leaves as they are: a registry whose tag is restored has an
address that is "known after the update", and all that uses the address seems to change. A difference is drift where
the declared value is known; the other resources are only named.
"""

from dataclasses import replace
from typing import Any, Final

from azureml_scoring.delivery.changes import UNKNOWN, Change, Preview

TITLE: Final = "Drift that an update would correct"

_FOLLOW: Final = "these may change too: they take values from the others, which are known after the update"


def drifted(preview: Preview) -> Preview:
    """Return the preview with the certain differences, and a note that names the other resources."""
    certain = tuple(change for change in preview.changes if _is_certain(change))
    names = [change.name for change in preview.changes if not _is_certain(change)]
    note = (("note", f"{_FOLLOW}: {', '.join(names)}"),) if names else ()
    return replace(preview, changes=certain, messages=preview.messages + note)


def _is_certain(change: Change) -> bool:
    if change.op not in {"update", "replace"}:
        return True
    return any(not _is_unknown(each.new) for each in change.properties)


def _is_unknown(value: Any) -> bool:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return any(_is_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_is_unknown(inner) for inner in value)
    return bool(value == UNKNOWN)
