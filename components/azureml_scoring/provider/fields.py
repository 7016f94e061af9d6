"""Reading of ARM documents against what a program wrote: only differences of substance are drift."""

from collections.abc import Mapping
from typing import Any


def last(resource_id: str) -> str:
    """Return the name at the end of an ARM id."""
    return resource_id.rsplit("/", 1)[-1]


def kept_tags(olds: Mapping[str, Any], tags: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what Azure has of the tags we set, as the property `tags`; a policy's or colleague's tags are theirs."""
    if "tags" not in olds:
        return {}
    return {"tags": {key: str((tags or {})[key]) for key in olds["tags"] if key in (tags or {})}}


def as_written(ours: object, theirs: object) -> object:
    """Return our spelling where Azure only changed case or order, else what Azure has."""
    return ours if ours is not None and _folded(ours) == _folded(theirs) else theirs


def _folded(value: object) -> object:
    if isinstance(value, str):
        return value.lower()
    return sorted(str(one).lower() for one in value) if isinstance(value, list) else value
