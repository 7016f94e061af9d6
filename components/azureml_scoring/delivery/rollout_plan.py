"""What a rollout does next, from what a stack's state says. Pure.

Owns the two deployments that versions alternate between, the next step, and the config that a step needs. Refuses to
own doing any of it (`rollout.py`). Nothing is remembered between steps but the stack's own state, so that an
interrupted rollout can be continued on another machine.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from azureml_scoring.errors import CommandError
from azureml_scoring.settings.rules import TAG_LENGTH, WHOLE

_OWN: Final = "azureml-scoring:index"
_STACK_IMAGE: Final = "::scoring-image-pin"
"""The end of the URN of the stack's own image, where it is named by a tag; deployments may name others."""
_ALTERNATE: Final = {"blue": "green", "green": "blue"}
"""Which deployment the next version goes to, by the one that serves."""


class RolloutError(CommandError):
    """A rollout cannot go on: one line that says why, and what to do."""


@dataclass(frozen=True)
class ObservedState:
    """What a stack's state says of its endpoint."""

    images: Mapping[str, str] = field(default_factory=dict)
    """Image by digest, by deployment."""
    traffic: Mapping[str, int] = field(default_factory=dict)
    """The split that was confirmed last; shares of 0 are left out."""
    tag: str = ""
    """Name of the content that the stack's image was built from; of one that was not built, its reference."""
    image: str = ""
    """The stack's image by digest."""
    source: str = ""
    """Where the stack's image was imported from; empty where it was built."""
    endpoint_id: str = ""
    """ARM id of the endpoint; empty before there is one."""
    own: frozenset[str] = frozenset()
    """Deployments that have another image than the stack's because their section says so."""
    since: Mapping[str, str] = field(default_factory=dict)
    """When each deployment got its image; RFC 3339, so that the texts sort."""

    @property
    def serving(self) -> str:
        """The deployment that answers everything; empty where none does."""
        return next((name for name, share in self.traffic.items() if share == WHOLE), "")

    @property
    def oldest(self) -> str:
        """The receiver that has had its image longest: during a shift, the one that served before it."""
        receivers = (name for name in self.traffic if name in self.images)
        return min(receivers, key=lambda name: self.since[name], default="")


class Action(StrEnum):
    """What can be next."""

    CREATE = "create"
    DEPLOY = "deploy"
    SHIFT = "shift"
    DONE = "done"


@dataclass(frozen=True)
class Step:
    """What is next, for which deployment, and which one serves meanwhile (empty: none does yet)."""

    action: Action
    deployment: str
    serving: str = ""


@dataclass(frozen=True)
class DesiredState:
    """What a stack's config must say: images by deployment (None: the stack's own), and the split."""

    images: Mapping[str, str | None]
    traffic: Mapping[str, int]
    promote: str | None = None
    """Where the stack's image comes from; None: the stack builds or names it."""
    kept: frozenset[str] = frozenset()
    """Deployments whose section says already which image they have."""


def digest_of(image: str) -> str:
    """Return the digest of an image; empty for one without."""
    return image.partition("@")[2]


def short_digest(image: str) -> str:
    """Return the start of an image's digest, for tables; - for one without."""
    return digest_of(image).removeprefix("sha256:")[:TAG_LENGTH] or "-"


def read_state(export: Mapping[str, Any]) -> ObservedState:
    """Read what `pulumi stack export` prints, without what a replacement still has to delete."""
    resources: Sequence[Mapping[str, Any]] = (export.get("deployment") or {}).get("resources") or []
    standing = [each for each in resources if each["type"].startswith(f"{_OWN}:") and not each.get("delete")]
    names = [str(each["outputs"]["deploymentName"]) for each in standing if each["type"] == f"{_OWN}:OnlineDeployment"]
    # What is made for a deployment is called after it (`stack.py`, `endpoint.py`).
    own = [each for each in standing if re.search(f"-({'|'.join(names)})-(build|import|pin)$", str(each.get("urn")))]
    outputs = {
        kind: [each.get("outputs") or {} for each in standing if each["type"] == f"{_OWN}:{kind}" and each not in own]
        for kind in ("ImageBuild", "ImageImport", "OnlineDeployment", "EndpointTraffic")
    }
    environments = {str(each.get("id")): each for each in resources if each["type"] == f"{_OWN}:EnvironmentVersion"}
    ids = {str(each["deploymentName"]): str(each.get("environmentId")) for each in outputs["OnlineDeployment"]}
    runs = {name: environments[id_] for name, id_ in ids.items() if id_ in environments}
    traffic = next(iter(outputs["EndpointTraffic"]), {}).get("traffic") or {}
    images = {name: str(each["outputs"]["image"]) for name, each in runs.items()}
    made = {str((each.get("outputs") or {}).get("image")) for each in own}
    tag, image = _stack_image(outputs, resources)
    return ObservedState(
        images,
        {name: int(share) for name, share in traffic.items() if share},
        tag,
        image,
        next((str(each["source"]) for each in outputs["ImageImport"]), ""),
        next((str(each["id"]) for each in resources if each["type"] == f"{_OWN}:OnlineEndpoint"), ""),
        frozenset(name for name, each in images.items() if each in made),
        {name: str(each.get("created") or "") for name, each in runs.items()},
    )


def _stack_image(
    outputs: Mapping[str, Sequence[Mapping[str, Any]]], resources: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Return the name of the content of the stack's image, and the image by digest."""
    for each in outputs["ImageImport"]:
        return short_digest(str(each.get("image"))), str(each.get("image"))
    for each in outputs["ImageBuild"]:
        return str(each.get("tag")), str(each.get("image"))
    for resource in resources:
        image = resource.get("outputs") or {}
        if resource["type"] == f"{_OWN}:ImagePin" and str(resource.get("urn")).endswith(_STACK_IMAGE):
            return str(image.get("reference")), str(image.get("image"))
        if resource["type"] == "docker:index/image:Image":
            return str(image.get("imageName")).rpartition(":")[2], str(image.get("repoDigest"))
        if resource["type"] == "docker-build:index:Image":
            name, _, tag = str(next(iter(image.get("tags") or ()), "")).rpartition(":")
            return tag, f"{name}@{image.get('digest')}"
    return "", ""


def next_step(observed: ObservedState, deployments: Sequence[str], digest: str) -> Step:
    """Choose the next step on the way to all traffic on this digest; no digest: it is still to be built."""
    if len(deployments) > len(_ALTERNATE):
        raise RolloutError(
            f"deployments {', '.join(deployments)}: a rollout alternates between two; keep two, and move the others"
            " to another stack"
        )
    holder = next((name for name, image in observed.images.items() if digest and digest_of(image) == digest), "")
    if holder and observed.traffic.get(holder) == WHOLE:
        return Step(Action.DONE, holder)
    others = {name: share for name, share in observed.traffic.items() if name != holder and name in observed.images}
    if not others:
        return Step(Action.CREATE, holder or next(iter(deployments)))
    # Two receivers: a shift was interrupted. The older one is where it came from.
    serving = replace(observed, traffic=others).oldest
    if holder:
        return Step(Action.SHIFT, holder, serving)
    idle = next((each for each in deployments if each != serving), _ALTERNATE.get(serving, "green"))
    return Step(Action.DEPLOY, idle, serving)


def rollback_step(observed: ObservedState) -> Step:
    """Choose the way back: the other deployment, which served before this one; during a shift, the older one."""
    serving = observed.serving
    if not serving:
        older = observed.oldest
        newer = next((name for name in observed.traffic if name != older), "")
        if not (older and newer):
            raise RolloutError(f"traffic goes {format_split(observed.traffic)}: there is nothing to go back to")
        return Step(Action.SHIFT, older, newer)
    other = next((name for name in observed.images if name != serving), "")
    if not other or digest_of(observed.images[other]) == digest_of(observed.images[serving]):
        raise RolloutError(f"{serving} serves the only version that is deployed; there is none to go back to")
    return Step(Action.SHIFT, other, serving)


def desired(step: Step, observed: ObservedState, promote: str | None) -> DesiredState:
    """Return what the config must say for a step; the deployment that serves is pinned to its image."""
    name, serving = step.deployment, step.serving
    match step.action:
        case Action.CREATE:
            return DesiredState({name: None}, {name: WHOLE}, promote)
        case Action.DEPLOY:
            return DesiredState({serving: observed.images[serving], name: None}, {name: WHOLE}, promote)
        case Action.SHIFT | Action.DONE:
            return DesiredState(dict(observed.images), {name: WHOLE}, promote)


def restored(step: Step, observed: ObservedState) -> DesiredState:
    """Return what the config must say after a failed step: only what served remains."""
    return DesiredState({step.serving: observed.images[step.serving]}, {step.serving: WHOLE}, observed.source or None)


def config_changes(config: Mapping[str, Any], desired_state: DesiredState) -> dict[str, Any]:
    """Compare a stack's config with what it must say: the sections that change, whole, and `image.promote`.

    None removes a field. A new deployment is described like the other one; deployments that are not desired go.
    """
    current: Mapping[str, Mapping[str, Any]] = config.get("deployments") or {}
    template = next(
        (current[name] for name in desired_state.images if name in current), next(iter(current.values()), {})
    )
    deployments: dict[str, Any] = {}
    for name, image in desired_state.images.items():
        deployment = dict(current.get(name, template))
        if name not in desired_state.kept or "image" not in current.get(name, {}):
            deployment = {key: value for key, value in deployment.items() if key != "image"}
            deployment |= {"image": image} if image is not None else {}
        deployments[name] = deployment
    endpoint = dict(config.get("endpoint") or {})
    if not _may_mirror(desired_state, endpoint.get("mirror") or {}):
        endpoint.pop("mirror", None)
    if "traffic" in endpoint or len(deployments) > 1:
        endpoint["traffic"] = dict(desired_state.traffic)
    sections: dict[str, Any] = {"deployments": deployments, "endpoint": endpoint}
    changes = {name: section for name, section in sections.items() if section != (config.get(name) or {})}
    if (config.get("image") or {}).get("promote") != desired_state.promote:
        # Alone: a build's secrets may stand beside it, encrypted.
        changes["image.promote"] = desired_state.promote
    return changes


def _may_mirror(desired_state: DesiredState, mirror: Mapping[str, int]) -> bool:
    """Tell whether requests may go on being copied: to a deployment that stays as it is and answers none."""
    return None not in desired_state.images.values() and mirror.keys() <= (
        desired_state.images.keys() - desired_state.traffic.keys()
    )


def format_split(traffic: Mapping[str, int]) -> str:
    """Write a split for the user."""
    return ", ".join(f"{name} {share} %" for name, share in sorted(traffic.items()) if share) or "nowhere"
