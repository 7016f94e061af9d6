"""Names, versions and properties that Azure ML accepts of environments, models, codes and data. Pure.

https://learn.microsoft.com/rest/api/azureml/environment-versions
"""

import re
from typing import Any

from emulator.core.errors import AzureError
from emulator.core.ids import ResourceId
from emulator.services.machinelearningservices.workspaces.types import WORKSPACES

_NAME = re.compile(r"[a-zA-Z0-9][\w.-]{0,254}")
VERSION_NAME = re.compile(r"[\w.-]{1,255}")


def full_name(id_: ResourceId) -> str:
    """A version as NAME:VERSION."""
    return f"{id_.path.split('/')[-3]}:{id_.name}"


def check_name(what: str, name: str) -> None:
    """Refuse a name that Azure refuses."""
    if not _NAME.fullmatch(name):
        raise invalid(f"{what} name '{name}' is invalid: 1 to 255 letters, digits, '_', '.' and '-'")


def invalid(text: str) -> AzureError:
    """Azure ML's refusal of a body."""
    return AzureError(400, "ValidationError", text)


ROUTES = ("livenessRoute", "readinessRoute", "scoringRoute")
_SOURCES = ("image", "build", "condaFile")
_SYSTEMS = ("Linux", "Windows")
_MOST_PORT = 65535


def check(id_: ResourceId, properties: dict[str, Any]) -> None:
    """Refuse what Azure refuses of an environment version: an image, or what one is built from, and whole routes."""
    check_name("Environment", id_.path.split("/")[-3])
    if not VERSION_NAME.fullmatch(id_.name):
        raise invalid(f"Environment version '{id_.name}' is invalid: letters, digits, '_', '.' and '-'")
    if not any(properties.get(name) for name in _SOURCES):
        raise invalid("An environment version needs 'image' or 'build'")
    if properties.get("image") and properties.get("build"):
        raise invalid("An environment version has either 'image' or 'build', not both")
    if properties.get("condaFile") and not properties.get("image"):
        raise invalid("An environment version with 'condaFile' needs the 'image' that it is built on")
    image = properties.get("image")
    if image is not None and (not isinstance(image, str) or not image or re.search(r"\s|^https?://", image)):
        raise invalid(
            f"image '{image}' is not a reference like 'registry/repository:tag' or 'registry/repository@sha256:…'"
        )
    system = properties.get("osType", _SYSTEMS[0])
    if system not in _SYSTEMS:
        raise invalid(f"osType '{system}' is none of {', '.join(_SYSTEMS)}")
    if properties.get("inferenceConfig") is not None:
        _check_routes(properties["inferenceConfig"])


def _check_routes(config: dict[str, Any]) -> None:
    for name in ROUTES:
        route = config.get(name)
        if not isinstance(route, dict) or not isinstance(route.get("path"), str) or "port" not in route:
            raise invalid(f"inferenceConfig.{name} needs 'path' and 'port'")
        if not route["path"].startswith("/"):
            raise invalid(f"inferenceConfig.{name}.path '{route['path']}' does not begin with '/'")
        if not float(route["port"]).is_integer() or not 1 <= route["port"] <= _MOST_PORT:
            raise invalid(f"inferenceConfig.{name}.port '{route['port']}' is not a port")


ENVIRONMENTS = f"{WORKSPACES}/environments"
VERSIONS = f"{ENVIRONMENTS}/versions"


MODELS = f"{WORKSPACES}/models"
MODEL_VERSIONS = f"{MODELS}/versions"
CODES = f"{WORKSPACES}/codes"
CODE_VERSIONS = f"{CODES}/versions"
DATA = f"{WORKSPACES}/data"
DATA_VERSIONS = f"{DATA}/versions"
DATA_TYPES = ("uri_folder", "uri_file", "mltable")
MODEL_TYPES = ("custom_model", "mlflow_model", "triton_model")


DATASTORE_URI = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/workspaces/[^/]+/)?"
    r"datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)"
)
