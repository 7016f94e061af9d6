"""Models, code, environments and collected data of deployments: each version once, however many deployments use it.

Refuses to own which files they have (`plan/assets.py`) and the upload (`provider/`).
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from azureml_scoring.plan.assets import AssetPlan
from azureml_scoring.plan.stack import MountPlan
from azureml_scoring.sdk import CodeVersion, DataVersion, ModelVersion, VersionPin
from azureml_scoring.settings.arguments import CodeVersionArgs, DataVersionArgs, ModelVersionArgs, VersionPinArgs
from azureml_scoring.settings.rules import TAG_LENGTH
from azureml_scoring.workspace_context import WorkspaceContext


@dataclass(frozen=True)
class Asset:
    """A version as a deployment uses it."""

    id: pulumi.Output[str]
    """Its id."""
    title: str
    """NAME:VERSION, or NAME@latest; known in preview."""


class Assets:
    """The versions of one endpoint's models and code."""

    def __init__(self, name: str, context: WorkspaceContext) -> None:
        self._name = name
        self._context = context
        self._versions: dict[tuple[str, str, str], Asset] = {}

    def model(self, mount: MountPlan) -> Asset | None:
        """Return the model of a deployment: a registered version, or one that gets uploaded."""
        if mount.model is None:
            return None
        if mount.model_files is None:
            return self.registered("models", mount.model.reference or "")
        key = ("model", mount.model_files.name, mount.model_files.version)
        if key not in self._versions:
            version = ModelVersion(
                self._resource_name("model", mount.model_owner),
                ModelVersionArgs(**self._arguments(mount.model_files, model_type=f"{mount.model.type}_model")),
                self._context.opts,
            )
            self._versions[key] = Asset(version.id, f"{key[1]}:{key[2]}")
        return self._versions[key]

    def code(self, mount: MountPlan) -> Asset | None:
        """Return the code of a deployment."""
        if mount.code is None:
            return None
        if mount.code_files is None:
            return _named(mount.code.reference or "")
        key = ("code", mount.code_files.name, mount.code_files.version)
        if key not in self._versions:
            name = self._resource_name("code", mount.code_owner)
            version = CodeVersion(name, CodeVersionArgs(**self._arguments(mount.code_files)), self._context.opts)
            self._versions[key] = Asset(version.id, f"{key[1]}:{key[2]}")
        return self._versions[key]

    def collected(self, name: str, asset_name: str, data: str) -> pulumi.Output[str]:
        """Return the id of the data asset that a collection is stored to; a folder of a datastore gets registered."""
        if data.startswith("/"):
            return pulumi.Output.from_input(data)
        if not data.startswith("azureml://"):
            return self._version("data", data.removeprefix("azureml:")).id
        key = hashlib.sha256(data.encode()).hexdigest()
        args = DataVersionArgs(
            workspace_id=self._context.workspace_id,
            asset_name=asset_name,
            version=key[:TAG_LENGTH],
            content_key=key,
            path=data,
            tags=dict(self._context.tags),
        )
        return DataVersion(f"{self._name}-{name}-data", args, self._context.opts).id

    def _arguments(self, files: AssetPlan, **more: str) -> dict[str, Any]:
        return {
            "workspace_id": self._context.workspace_id,
            "asset_name": files.name,
            "version": files.version,
            "content_key": files.content_key,
            "path": str(files.path),
            "tags": dict(self._context.tags),
            **more,
        }

    def registered(self, kind: Literal["models", "environments"], reference: str) -> Asset:
        """Return a version that is registered, in the workspace or in an Azure ML registry."""
        if not reference.startswith("azureml:") or reference.startswith("azureml://"):
            return _named(reference)
        title = reference.removeprefix("azureml:")
        if not title.endswith("@latest"):
            return self._version(kind, title)
        key = (kind, title, "latest")
        if key not in self._versions:
            asset = title.removesuffix("@latest")
            args = VersionPinArgs(workspace_id=self._context.workspace_id, kind=kind, asset_name=asset)
            pin = VersionPin(f"{self._name}-{kind.removesuffix('s')}-{asset}-pin", args, self._context.opts)
            self._versions[key] = Asset(pin.version_id, title)
        return self._versions[key]

    def _version(self, kind: str, title: str) -> Asset:
        """Return NAME:VERSION of the workspace."""
        name, _, version = title.rpartition(":")
        return Asset(pulumi.Output.concat(self._context.workspace_id, f"/{kind}/{name}/versions/{version}"), title)

    def _resource_name(self, kind: str, deployment: str) -> str:
        return f"{self._name}-{deployment}-{kind}" if deployment else f"{self._name}-{kind}"


def _named(id_: str) -> Asset:
    """Return the version that an id names: one of ARM, or of an Azure ML registry."""
    *_, name, _, version = id_.split("/")
    return Asset(pulumi.Output.from_input(id_), f"{name}:{version}")
