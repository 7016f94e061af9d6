"""What a new image is made from that the old one was not: files, bases and packages, as Markdown. Pure.

Reads what `ImageBuild` keeps in its state (`plan/provenance.py`); says nothing where a state has none yet.
"""

from collections.abc import Mapping
from typing import Any

from azureml_scoring.delivery.markdown import code

_MOST = 12
"""Names that one line tells."""


def explained(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Tell what differs, a line each for files, bases and packages."""
    return [*_files(_mapping(old, "files"), _mapping(new, "files")), *_bases(old, new), *_packages(old, new)]


def _files(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if not (old and new):
        return []
    folders = {name for name in (*old, *new) if name.endswith("/")}
    before, after = _together(old, folders), _together(new, folders)
    told = []
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            # One side has the folder as a whole, the other its files: whether they differ cannot be seen.
            unsure = _OPEN in (before.get(name), after.get(name))
            note = " (perhaps)" if unsure else " (gone)" if name not in after else "" if name in before else " (new)"
            told.append(f"{code(name)}{note}")
    return [f"files: {_short(told)}"] if told else []


_OPEN = object()


def _together(files: Mapping[str, Any], folders: set[str]) -> dict[str, Any]:
    """Files by name, those of a folder that either side has as a whole together."""
    found: dict[str, Any] = {}
    for name, digest in files.items():
        ends = [n + 1 for n, letter in enumerate(name) if letter == "/"]
        outer = "./" if "./" in folders else next((name[:end] for end in ends if name[:end] in folders), name)
        found[outer] = digest if outer == name else _OPEN
    return found


def _bases(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _list(old), _list(new)
    if not (before and after) or before == after:
        return []
    gone, came = (
        [code(base) for base in one if base not in other] for one, other in ((before, after), (after, before))
    )
    return [f"base: {_short(gone) or 'none'} → {_short(came) or 'none'}"]


def _packages(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _mapping(old, "packages"), _mapping(new, "packages")
    if not (before and after):
        return []
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    told = [f"{code(name)} {_version(before.get(name))} → {_version(after.get(name))}" for name in names]
    return [f"packages: {_short(told)}"] if told else []


def _version(found: object) -> str:
    return "none" if found is None else code(str(found), 40)


def _short(told: list[str]) -> str:
    more = [f"{len(told) - _MOST} more"] if len(told) > _MOST else []
    return ", ".join([*told[:_MOST], *more])


def _mapping(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = state.get(name)
    return found if isinstance(found, Mapping) else {}


def _list(state: Mapping[str, Any]) -> list[str]:
    found = state.get("bases")
    return [str(base) for base in found] if isinstance(found, list) else []
