"""Azure Machine Learning environments: a name, and versions of it that never change.

Owns Microsoft.MachineLearningServices/workspaces/environments and .../versions. Builds no image: a version with `build`
or `condaFile` is kept, and refused by `ml_endpoints` where it shall run.
https://learn.microsoft.com/rest/api/azureml/environment-versions
"""

import re
from typing import Any

from emulator.core.azure import ResourceType
from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.services.ml_workspace import WORKSPACES

ENVIRONMENTS = f"{WORKSPACES}/environments"
VERSIONS = f"{ENVIRONMENTS}/versions"
ROUTES = ("livenessRoute", "readinessRoute", "scoringRoute")
_NAME = re.compile(r"[a-zA-Z0-9][\w.-]{0,254}")
_VERSION = re.compile(r"[\w.-]{1,255}")
_FIXED = ("image", "build", "condaFile", "inferenceConfig", "osType", "isAnonymous")
_SOURCES = ("image", "build", "condaFile")
_MOST_PORT = 65535


class Environment(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/environments: what the versions of one name share."""

    type = ENVIRONMENTS

    def check(self, new: Document, old: Document | None) -> Document:  # noqa: ARG002 - as all types
        """Check the name; the versions' numbers are told by `show`."""
        check_name(new.id.name)
        given = {name: new.properties[name] for name in ("description", "properties", "tags") if name in new.properties}
        return Document(new.id, {**new.body, "properties": {"isArchived": False, **given}}, new.private)

    def show(self, document: Document) -> dict[str, Any]:
        """With the version made last, and the one that would follow."""
        versions = [
            found.id.name
            for found in self.azure.store.of_type(VERSIONS, document.id)
            if not found.properties.get("isArchived")
        ]
        numbers = [int(name) for name in versions if name.isdigit()]
        told = {"latestVersion": versions[-1] if versions else None, "nextVersion": str(max(numbers, default=0) + 1)}
        return {**document.body, "properties": {**document.properties, **told}}


class EnvironmentVersion(ResourceType):
    """Microsoft.MachineLearningServices/workspaces/environments/versions: immutable but for words and archiving."""

    type = VERSIONS

    def admit(self, id_: ResourceId, body: dict[str, Any]) -> dict[str, Any]:
        """A first version brings its environment along."""
        body = super().admit(id_, body)
        parent = id_.parent
        if parent is not None and parent.parent is not None and self.azure.store.get(parent) is None:
            self.azure.find(parent.parent.path)
            _check(id_, body.get("properties") or {})
            shown = {"isArchived": False, "provisioningState": "Succeeded"}
            told = {"id": parent.path, "name": parent.name, "type": ENVIRONMENTS, "properties": shown}
            self.azure.store.put(Document(parent, {**told, "systemData": {}}))
        return body

    def check(self, new: Document, old: Document | None) -> Document:
        """Refuse another content under a version that is there."""
        given = {name: value for name, value in new.properties.items() if value is not None}
        _check(new.id, given)
        told = {"osType": "Linux", "isAnonymous": False, "isArchived": False, "environmentType": "UserCreated", **given}
        for name in _FIXED:
            if old is not None and old.properties.get(name) != told.get(name):
                environment = new.id.path.split("/")[-3]
                raise AzureError(
                    409,
                    "Conflict",
                    f"Environment version '{environment}:{new.id.name}' is already registered with another '{name}'"
                    f" ({_short(old.properties.get(name))}, not {_short(told.get(name))}); a version is immutable:"
                    " register another version",
                )
        return Document(new.id, {**new.body, "properties": told}, new.private)


def _check(id_: ResourceId, given: dict[str, Any]) -> None:
    check_name(id_.path.split("/")[-3])
    if not _VERSION.fullmatch(id_.name):
        raise _invalid(f"Environment version '{id_.name}' is invalid: letters, digits, '_', '.' and '-'")
    if not any(given.get(name) for name in _SOURCES):
        raise _invalid("An environment version needs 'image' or 'build'")
    if given.get("image") and given.get("build"):
        raise _invalid("An environment version has either 'image' or 'build', not both")
    if given.get("condaFile") and not given.get("image"):
        raise _invalid("An environment version with 'condaFile' needs the 'image' that it is built on")
    image = given.get("image")
    if image is not None and (not isinstance(image, str) or not image or re.search(r"\s|^https?://", image)):
        raise _invalid(
            f"image '{image}' is not a reference like 'registry/repository:tag' or 'registry/repository@sha256:…'"
        )
    if given.get("inferenceConfig") is not None:
        _check_routes(given["inferenceConfig"])


def _check_routes(config: dict[str, Any]) -> None:
    for name in ROUTES:
        route = config.get(name)
        if not isinstance(route, dict) or not isinstance(route.get("path"), str) or "port" not in route:
            raise _invalid(f"inferenceConfig.{name} needs 'path' and 'port'")
        if not route["path"].startswith("/"):
            raise _invalid(f"inferenceConfig.{name}.path '{route['path']}' does not begin with '/'")
        if not float(route["port"]).is_integer() or not 1 <= route["port"] <= _MOST_PORT:
            raise _invalid(f"inferenceConfig.{name}.port '{route['port']}' is not a port")


def check_name(name: str) -> None:
    """Refuse an environment's name that Azure refuses."""
    if not _NAME.fullmatch(name):
        raise _invalid(f"Environment name '{name}' is invalid: 1 to 255 letters, digits, '_', '.' and '-'")


def _invalid(text: str) -> AzureError:
    return AzureError(400, "ValidationError", text)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= len("sha256:") + 2 * 64 else f"{text[:100]}…"


TYPES: list[type[ResourceType]] = [Environment, EnvironmentVersion]
