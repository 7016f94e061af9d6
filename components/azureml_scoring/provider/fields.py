"""Field types that several own resources share, with failures that say what is wanted.

Owns: the shapes of ARM ids and names as Azure checks them. Refuses to own: whether the thing exists.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

Matcher = Callable[[str], str]


def shaped(pattern: str, wanted: str) -> AfterValidator:
    """Make a validator for a string of this pattern; `wanted` ends the sentence "it should be …"."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            msg = f"it should be {wanted}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def _id(kind: str, example: str) -> AfterValidator:
    pattern = rf"(?i)/subscriptions/[^/]+/resourceGroups/[^/]+/providers/{kind}"
    return shaped(pattern, f"the ARM id of {example}")


RegistryId = Annotated[
    str, _id(r"Microsoft\.ContainerRegistry/registries/[^/]+", "a registry, /subscriptions/…/registries/NAME")
]
WorkspaceId = Annotated[
    str,
    _id(r"Microsoft\.MachineLearningServices/workspaces/[^/]+", "a workspace, /subscriptions/…/workspaces/NAME"),
]
EndpointId = Annotated[
    str,
    _id(
        r"Microsoft\.MachineLearningServices/workspaces/[^/]+/onlineEndpoints/[^/]+",
        "an endpoint, /subscriptions/…/onlineEndpoints/NAME",
    ),
]
ComputeId = Annotated[
    str,
    _id(
        r"Microsoft\.MachineLearningServices/workspaces/[^/]+/computes/[^/]+",
        "an attached compute, /subscriptions/…/computes/NAME",
    ),
]
EnvironmentId = Annotated[
    str,
    _id(
        r"Microsoft\.MachineLearningServices/(workspaces|registries)/[^/]+/environments/[^/]+/versions/[^/]+",
        "an environment version, /subscriptions/…/environments/NAME/versions/VERSION",
    ),
]
ModelId = Annotated[
    str,
    _id(
        r"Microsoft\.MachineLearningServices/(workspaces|registries)/[^/]+/models/[^/]+/versions/[^/]+",
        "a model version, /subscriptions/…/models/NAME/versions/VERSION",
    ),
]
CodeId = Annotated[
    str,
    _id(
        r"Microsoft\.MachineLearningServices/(workspaces|registries)/[^/]+/codes/[^/]+/versions/[^/]+",
        "a code version, /subscriptions/…/codes/NAME/versions/VERSION",
    ),
]
EndpointName = Annotated[
    str, shaped(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]", "3-32 letters, digits or dashes, starting with a letter")
]
DeploymentName = EndpointName
EnvironmentName = Annotated[
    str, shaped(r"[A-Za-z0-9][\w.-]{0,254}", "letters, digits, dashes, underscores and dots, at most 255")
]
Location = Annotated[str, shaped(r"[a-z0-9]+", "a region's short name, such as westeurope")]
Route = Annotated[str, shaped(r"/\S*", "a path that starts with /")]
Tags = dict[str, str]
CONTENT_TAG = "image"
"""Tag of a deployment that names its image, so that a preview shows what it is about to run."""


def last(resource_id: str) -> str:
    """Return the name at the end of an ARM id."""
    return resource_id.rsplit("/", 1)[-1]


def kept_tags(olds: Mapping[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what Azure has of the tags we set, as the property `tags`; a policy's or colleague's tags are theirs."""
    if "tags" not in olds:
        return {}
    return {"tags": {key: str((found or {})[key]) for key in olds["tags"] if key in (found or {})}}


def as_written(ours: object, found: object) -> object:
    """Return our spelling where Azure only changed case or order, else what Azure has."""
    return ours if ours is not None and _folded(ours) == _folded(found) else found


def _folded(value: object) -> object:
    if isinstance(value, str):
        return value.lower()
    return sorted(str(one).lower() for one in value) if isinstance(value, list) else value
