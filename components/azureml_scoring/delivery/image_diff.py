"""How a new image differs in its files, base images and packages, as Markdown. Pure.

Reads what `ImageBuild` records in its state (`plan/provenance.py`); empty where a state has no record.
"""

from collections.abc import Mapping
from typing import Any

from azureml_scoring.delivery.markdown import code

_MOST = 12
"""Names on one line."""


def explained(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs: a line each for files, base images and packages."""
    return [*_files(_mapping(old, "files"), _mapping(new, "files")), *_bases(old, new), *_packages(old, new)]


def _files(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if not (old and new):
        return []
    folders = {name for name in (*old, *new) if name.endswith("/")}
    before, after = _grouped(old, folders), _grouped(new, folders)
    names = []
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            # One side records the folder, the other its files: whether they differ is unknown.
            unsure = _UNCERTAIN in (before.get(name), after.get(name))
            note = " (perhaps)" if unsure else " (removed)" if name not in after else "" if name in before else " (new)"
            names.append(f"{code(name)}{note}")
    return [f"files: {_short(names)}"] if names else []


_UNCERTAIN = object()


def _grouped(files: Mapping[str, Any], folders: set[str]) -> dict[str, Any]:
    """Return digests by file; the files of a folder that either side records as a whole are one entry."""
    groups: dict[str, Any] = {}
    for name, digest in files.items():
        ends = [n + 1 for n, letter in enumerate(name) if letter == "/"]
        outer = "./" if "./" in folders else next((name[:end] for end in ends if name[:end] in folders), name)
        groups[outer] = digest if outer == name else _UNCERTAIN
    return groups


def _bases(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _list(old), _list(new)
    if not (before and after) or before == after:
        return []
    removed, added = (
        [code(base) for base in one if base not in other] for one, other in ((before, after), (after, before))
    )
    return [f"base: {_short(removed) or 'none'} → {_short(added) or 'none'}"]


def _packages(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _mapping(old, "packages"), _mapping(new, "packages")
    if not (before and after):
        return []
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    changes = [f"{code(name)} {_version(before.get(name))} → {_version(after.get(name))}" for name in names]
    return [f"packages: {_short(changes)}"] if changes else []


def _version(version: object) -> str:
    return "none" if version is None else code(str(version), 40)


def _short(names: list[str]) -> str:
    more = [f"{len(names) - _MOST} more"] if len(names) > _MOST else []
    return ", ".join([*names[:_MOST], *more])


def _mapping(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = state.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(state: Mapping[str, Any]) -> list[str]:
    bases = state.get("bases")
    return [str(base) for base in bases] if isinstance(bases, list) else []
