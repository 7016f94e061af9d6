"""Azure Machine Learning environments: a name, and versions of it that never change.

Owns Microsoft.MachineLearningServices/workspaces/environments and .../versions. Builds no image: `ml_images` does, when
a deployment first needs it.
https://learn.microsoft.com/rest/api/azureml/environment-versions
"""

import re
from typing import Any, ClassVar

from emulator.core.azure import ResourceType
from emulator.core.ids import ResourceId
from emulator.services.ml_versions import Container, Version, check_name, invalid
from emulator.services.ml_workspace import WORKSPACES

ENVIRONMENTS = f"{WORKSPACES}/environments"
VERSIONS = f"{ENVIRONMENTS}/versions"
ROUTES = ("livenessRoute", "readinessRoute", "scoringRoute")
_VERSION = re.compile(r"[\w.-]{1,255}")
_SOURCES = ("image", "build", "condaFile")
_SYSTEMS = ("Linux", "Windows")
_MOST_PORT = 65535


class Environment(Container):
    """Microsoft.MachineLearningServices/workspaces/environments: what the versions of one name share."""

    type = ENVIRONMENTS
    versions = VERSIONS
    what = "Environment"


class EnvironmentVersion(Version):
    """Microsoft.MachineLearningServices/workspaces/environments/versions: immutable but for words and archiving."""

    type = VERSIONS
    container = ENVIRONMENTS
    what = "Environment"
    fixed = ("image", "build", "condaFile", "inferenceConfig", "osType")
    defaults: ClassVar[dict[str, Any]] = {"osType": "Linux", "environmentType": "UserCreated"}

    def examine(self, id_: ResourceId, given: dict[str, Any]) -> None:
        """An image, or what one is built from, and routes that are whole."""
        _check(id_, given)


def _check(id_: ResourceId, given: dict[str, Any]) -> None:
    check_name("Environment", id_.path.split("/")[-3])
    if not _VERSION.fullmatch(id_.name):
        raise invalid(f"Environment version '{id_.name}' is invalid: letters, digits, '_', '.' and '-'")
    if not any(given.get(name) for name in _SOURCES):
        raise invalid("An environment version needs 'image' or 'build'")
    if given.get("image") and given.get("build"):
        raise invalid("An environment version has either 'image' or 'build', not both")
    if given.get("condaFile") and not given.get("image"):
        raise invalid("An environment version with 'condaFile' needs the 'image' that it is built on")
    image = given.get("image")
    if image is not None and (not isinstance(image, str) or not image or re.search(r"\s|^https?://", image)):
        raise invalid(
            f"image '{image}' is not a reference like 'registry/repository:tag' or 'registry/repository@sha256:…'"
        )
    system = given.get("osType", _SYSTEMS[0])
    if system not in _SYSTEMS:
        raise invalid(f"osType '{system}' is none of {', '.join(_SYSTEMS)}")
    if given.get("inferenceConfig") is not None:
        _check_routes(given["inferenceConfig"])


def _check_routes(config: dict[str, Any]) -> None:
    for name in ROUTES:
        route = config.get(name)
        if not isinstance(route, dict) or not isinstance(route.get("path"), str) or "port" not in route:
            raise invalid(f"inferenceConfig.{name} needs 'path' and 'port'")
        if not route["path"].startswith("/"):
            raise invalid(f"inferenceConfig.{name}.path '{route['path']}' does not begin with '/'")
        if not float(route["port"]).is_integer() or not 1 <= route["port"] <= _MOST_PORT:
            raise invalid(f"inferenceConfig.{name}.port '{route['port']}' is not a port")


TYPES: list[type[ResourceType]] = [Environment, EnvironmentVersion]
