"""What a preview knows of models and code: which files, under which name and version.

A model's version is a whole number, because Azure ML takes nothing else: it is computed from the content key. Refuses
to own which files belong to an asset (`content.py`) and the upload (`provider/`).
https://learn.microsoft.com/azure/machine-learning/how-to-manage-models
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from azureml_scoring.plan.content import asset_files, asset_key, reading
from azureml_scoring.plan.progress import ProgressLogger
from azureml_scoring.settings.at import At
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.rules import RULES, TAG_LENGTH

_VERSIONS: Final = 2**31 - 1
_HASHED: Final = 16
"""Hexadecimal digits of the key that a model's version is computed from."""


@dataclass(frozen=True)
class AssetPlan:
    """Files that become a version."""

    name: str
    version: str
    content_key: str
    path: Path


def plan_model(model: At) -> AssetPlan | None:
    """Name the version of a model that gets uploaded, None for a registered one; raise where there is nothing."""
    if model.reference:
        return None
    path = Path(model.path()).resolve()
    if not path.exists():
        raise SettingsError(model.path.refused("no such folder or file; name the model's", str(path)))
    key = _content_key(path, model.path)
    version = model.version() or str(int(key[:_HASHED], 16) % _VERSIONS + 1)
    return AssetPlan(_name(model.name, path), version, key, path)


def plan_code(code: At) -> AssetPlan | None:
    """Name the version of code that gets uploaded, None for a registered one; raise where there is nothing."""
    if code.reference:
        return None
    if not code.path:
        raise SettingsError(code.path.refused("name the entry script's folder, or a registered version by reference"))
    path = Path(code.path()).resolve()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise SettingsError(code.path.refused(f"the folder {what}; name the entry script's folder", str(path)))
    if not (path / code.entry_script()).is_file():
        raise SettingsError(code.entry_script.refused(f"no such file in {path}; write its path seen from there"))
    key = _content_key(path, code.path)
    return AssetPlan(_name(code.name, path), key[:TAG_LENGTH], key, path)


def _content_key(path: Path, field: At) -> str:
    with reading(path, field):
        files = asset_files(path)
        if not files:
            raise SettingsError(field.refused("there is no file in it, or all are ignored", str(path)))
        return asset_key(path, files, ProgressLogger(field.path_))


def _name(field: At, path: Path) -> str:
    name = field() or re.sub("[^A-Za-z0-9_-]+", "-", path.stem if path.is_file() else path.name).strip("-_") or "asset"
    if problem := RULES["asset"].problem(name):
        raise SettingsError(field.refused(problem, name))
    return str(name)
