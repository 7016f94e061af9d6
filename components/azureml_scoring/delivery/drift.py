"""What drifted, told apart from what would follow from putting it back. Pure.

A preview does not know what an update in place will leave as it is: a registry whose tag is to be put back has an
address that is "known after the update", and all that uses the address seems to change. A difference is drift where
what is declared is known; everything else is named as what may follow.
"""

from dataclasses import replace
from typing import Any, Final

from azureml_scoring.delivery.changes import UNKNOWN, Change, Preview

TITLE: Final = "What has drifted, and an update would put back"

_FOLLOW: Final = "these differ only by what the others would give them, which is known after the update"


def drifted(preview: Preview) -> Preview:
    """Return the preview with the differences that are certain, and a note of the others."""
    certain = tuple(change for change in preview.changes if _certain(change))
    names = [change.name for change in preview.changes if not _certain(change)]
    note = (("note", f"{_FOLLOW}: {', '.join(names)}"),) if names else ()
    return replace(preview, changes=certain, messages=preview.messages + note)


def _certain(change: Change) -> bool:
    if change.op not in {"update", "replace"}:
        return True
    return any(not _unknown(found.new) for found in change.properties)


def _unknown(value: Any) -> bool:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return any(_unknown(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_unknown(inner) for inner in value)
    return bool(value == UNKNOWN)
