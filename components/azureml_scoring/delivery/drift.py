"""Drift, apart from changes that only seem to follow from it. Pure.

A preview does not know which outputs an update in place leaves as they are: a registry whose tag is restored has an
address that is "known after the update", and all that uses the address seems to change. A difference is drift where
the declared value is known; the other resources are only named.
"""

import json
from dataclasses import replace
from typing import Final

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
    if change.op not in {"update", "replace"} or (change.op == "update" and not change.properties):
        return True
    return any(UNKNOWN not in json.dumps(each.new) for each in change.properties)
