"""Models and code of deployments: which files, under which name and version, and their versions in the workspace.

Owns the names and versions of what is uploaded, known in preview, and the making of each version once however many
deployments use it. Refuses to own which files there are (`content.py`), the upload (`resources/`) and what may go
together (`mixtures.py`). A model's version is a whole number, because Azure ML takes nothing else: it is made from the
content key.
https://learn.microsoft.com/azure/machine-learning/how-to-manage-models
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi

from azureml_scoring.plan.content import TAG_LENGTH, asset_files, asset_key
from azureml_scoring.plan.progress import ProgressLogger
from azureml_scoring.sdk import CodeVersion, CodeVersionArgs, ModelVersion, ModelVersionArgs
from azureml_scoring.settings.types import CodeSettings, ModelSettings, SettingsError, error_line, require

_VERSIONS: Final = 2**31 - 1
_HASHED: Final = 16
"""Hexadecimal digits of the key that a model's version is made from."""


@dataclass(frozen=True)
class Asset:
    """A version as a deployment uses it."""

    id: pulumi.Output[str]
    """Its ARM id."""
    title: str
    """NAME:VERSION, known in preview."""


@dataclass(frozen=True)
class AssetPlan:
    """What a preview knows of files that become a version."""

    name: str
    version: str
    content_key: str
    path: Path


class Assets:
    """The versions of one endpoint's models and code: each made once."""

    def __init__(
        self, name: str, workspace_id: pulumi.Input[str], tags: dict[str, str], parent: pulumi.Resource
    ) -> None:
        self._name = name
        self._workspace_id = workspace_id
        self._tags = tags
        self._opts = pulumi.ResourceOptions(parent=parent)
        self._made: dict[tuple[str, str, str], Asset] = {}

    def model(self, settings: ModelSettings, deployment: str = "") -> Asset:
        """Give the model of a deployment, or of the stack: one that is registered, or one that gets uploaded."""
        if (reference := settings.get("reference")) is not None:
            return self._registered(reference)
        plan = plan_model(settings, field("model", deployment))
        kind = f"{settings.get('type') or 'custom'}_model"
        place = ("model", plan.name, plan.version)
        if place not in self._made:
            made = ModelVersion(
                self._resource("model", deployment),
                ModelVersionArgs(
                    workspace_id=self._workspace_id,
                    asset_name=plan.name,
                    version=plan.version,
                    content_key=plan.content_key,
                    path=str(plan.path),
                    model_type=kind,
                    tags=self._tags,
                ),
                self._opts,
            )
            self._made[place] = Asset(made.id, f"{plan.name}:{plan.version}")
        return self._made[place]

    def code(self, settings: CodeSettings, deployment: str = "") -> Asset:
        """Give the code of a deployment, or of the stack."""
        plan = plan_code(settings, field("code", deployment))
        place = ("code", plan.name, plan.version)
        if place not in self._made:
            made = CodeVersion(
                self._resource("code", deployment),
                CodeVersionArgs(
                    workspace_id=self._workspace_id,
                    asset_name=plan.name,
                    version=plan.version,
                    content_key=plan.content_key,
                    path=str(plan.path),
                    tags=self._tags,
                ),
                self._opts,
            )
            self._made[place] = Asset(made.id, f"{plan.name}:{plan.version}")
        return self._made[place]

    def _registered(self, reference: str) -> Asset:
        if not reference.startswith("azureml:"):
            *_, name, _, version = reference.split("/")
            return Asset(pulumi.Output.from_input(reference), f"{name}:{version}")
        _, name, version = reference.split(":")
        found = pulumi.Output.concat(self._workspace_id, f"/models/{name}/versions/{version}")
        return Asset(found, f"{name}:{version}")

    def _resource(self, kind: str, deployment: str) -> str:
        return f"{self._name}-{deployment}-{kind}" if deployment else f"{self._name}-{kind}"


def field(kind: str, deployment: str = "") -> str:
    """Name the section of a model or code, of a deployment or of the stack."""
    return f"deployments.{deployment}.{kind}" if deployment else kind


def plan_model(settings: ModelSettings, place: str = "model") -> AssetPlan:
    """Name the version of a model that gets uploaded; raise one line when there is nothing to upload."""
    path = check_model(settings, place)
    key = _key(path, place)
    name = settings.get("name") or _name(path.stem if path.is_file() else path.name)
    version = str(int(key[:_HASHED], 16) % _VERSIONS + 1)
    return AssetPlan(require("asset", f"{place}.name", name), version, key, path)


def plan_code(settings: CodeSettings, place: str = "code") -> AssetPlan:
    """Name the version of code; raise one line when there is nothing to upload."""
    path = check_code(settings, place)
    key = _key(path, place)
    name = settings.get("name") or _name(path.name)
    return AssetPlan(require("asset", f"{place}.name", name), key[:TAG_LENGTH], key, path)


def check_assets(settings: Mapping[str, Any], prefix: str = "") -> None:
    """Raise one line when a model or code of a stack's settings is not there."""
    for deployment, section in (("", settings), *settings["deployments"].items()):
        if "path" in section.get("model", {}):
            check_model(section["model"], prefix + field("model", deployment))
        if "code" in section:
            check_code(section["code"], prefix + field("code", deployment))


def mounts(settings: Mapping[str, Any]) -> bool:
    """Tell whether any deployment of a stack's settings holds a model or code."""
    return any({"model", "code"} & section.keys() for section in (settings, *settings["deployments"].values()))


def check_model(settings: ModelSettings, place: str = "model") -> Path:
    """Return the model's folder or file; raise one line where there is none."""
    path = Path(settings.get("path") or ".").resolve()
    if not path.exists():
        raise SettingsError(error_line(f"{place}.path", str(path), "no such folder or file; name the model's"))
    return path


def check_code(settings: CodeSettings, place: str = "code") -> Path:
    """Return the code's folder; raise one line where there is none, or no entry script in it."""
    path = Path(settings["path"]).resolve()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise SettingsError(
            error_line(f"{place}.path", str(path), f"the folder {what}; name the entry script's folder")
        )
    if not (path / settings["entry_script"]).is_file():
        remedy = f"no such file in {path}; write its path seen from there"
        raise SettingsError(error_line(f"{place}.entryScript", settings["entry_script"], remedy))
    return path


def _key(path: Path, place: str) -> str:
    files = asset_files(path)
    if not files:
        raise SettingsError(error_line(f"{place}.path", str(path), "there is no file in it, or all are ignored"))

    return asset_key(files, ProgressLogger(f"{place}.path"))


def _name(text: str) -> str:
    return re.sub("[^A-Za-z0-9_-]+", "-", text).strip("-_") or "asset"
