"""What a rollout does next, from what a stack's state says: pure, so that it is tested without an engine.

Owns: the two deployments that versions take turns in, the next step, the config that a step needs, and the comparison
of replies. Refuses to own doing any of it (`rollout.py`). Nothing is remembered between steps but the stack's own
state, so that a rollout that was killed goes on from wherever another machine finds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

WHOLE: Final = 100
_TAG_LENGTH: Final = 12
_OWN: Final = "azureml-scoring:index"
_IMAGE: Final = "::scoring-image-pin"
"""The end of the URN of the stack's own image, where it is named by a tag; deployments may name others."""
_TURNS: Final = {"blue": "green", "green": "blue"}
"""Which deployment a version goes to when the other one serves."""

Props = Mapping[str, Any]


class RolloutError(Exception):
    """A rollout cannot go on: one line that says why, and what to do."""


@dataclass(frozen=True)
class Seen:
    """What a stack's state says of its endpoint."""

    images: Mapping[str, str] = field(default_factory=dict)
    """Image by digest, by deployment."""
    traffic: Mapping[str, int] = field(default_factory=dict)
    """The split that was confirmed last; shares of 0 are left out."""
    tag: str = ""
    """Name of the content that the stack's image was made from; of one that was not built, its reference."""
    image: str = ""
    """The stack's image by digest."""
    source: str = ""
    """Where the stack's image was imported from; empty where it was built."""
    endpoint_id: str = ""
    """ARM id of the endpoint; empty before there is one."""
    since: Mapping[str, str] = field(default_factory=dict)
    """When each deployment was given its image; RFC 3339, so that the texts sort."""

    @property
    def live(self) -> str:
        """The deployment that answers everything; empty where none does."""
        return next((name for name, share in self.traffic.items() if share == WHOLE), "")

    @property
    def oldest(self) -> str:
        """The receiver that has had its image longest: in the middle of a shift, the one that served before it."""
        return min(
            (name for name in self.traffic if name in self.images), key=lambda name: self.since[name], default=""
        )


class Do(StrEnum):
    """What can be next."""

    CREATE = "create"
    DEPLOY = "deploy"
    SHIFT = "shift"
    DONE = "done"


@dataclass(frozen=True)
class Step:
    """What is next, for which deployment, and who answers meanwhile (nobody, where nothing serves yet)."""

    do: Do
    slot: str
    live: str = ""


@dataclass(frozen=True)
class Desired:
    """What a stack's config shall say: images by deployment (None: the stack's own), and the split."""

    images: Mapping[str, str | None]
    traffic: Mapping[str, int]
    promote: str | None = None
    """Where the stack's image comes from; None: it is built or named by the stack itself."""


def digest_of(image: str) -> str:
    """The digest of an image; empty for one without."""
    return image.partition("@")[2]


def short(image: str) -> str:
    """A digest as a table shows it."""
    return digest_of(image).removeprefix("sha256:")[:_TAG_LENGTH] or "-"


def read_state(export: Mapping[str, Any]) -> Seen:
    """Read what `pulumi stack export` prints; what waits for its end there is not there yet."""
    resources: Sequence[Mapping[str, Any]] = (export.get("deployment") or {}).get("resources") or []
    outputs = {
        kind: [each.get("outputs") or {} for each in resources if each["type"] == f"{_OWN}:{kind}" and _stands(each)]
        for kind in ("ImageBuild", "ImageImport", "OnlineDeployment", "EndpointTraffic")
    }
    environments = {str(each.get("id")): each for each in resources if each["type"] == f"{_OWN}:EnvironmentVersion"}
    ids = {str(each["deploymentName"]): str(each.get("environmentId")) for each in outputs["OnlineDeployment"]}
    runs = {name: environments[id_] for name, id_ in ids.items() if id_ in environments}
    traffic = next(iter(outputs["EndpointTraffic"]), {}).get("traffic") or {}
    tag, image = _made(outputs, resources)
    return Seen(
        {name: str(each["outputs"]["image"]) for name, each in runs.items()},
        {name: int(share) for name, share in traffic.items() if share},
        tag,
        image,
        next((str(each["source"]) for each in outputs["ImageImport"]), ""),
        next((str(each["id"]) for each in resources if each["type"] == f"{_OWN}:OnlineEndpoint"), ""),
        {name: str(each.get("created") or "") for name, each in runs.items()},
    )


def _stands(resource: Mapping[str, Any]) -> bool:
    """Leave out what an interrupted replacement still has to delete."""
    return not resource.get("delete")


def _made(
    outputs: Mapping[str, Sequence[Mapping[str, Any]]], resources: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Find the stack's image and the name of its content."""
    for each in outputs["ImageImport"]:
        return short(str(each.get("image"))), str(each.get("image"))
    for each in outputs["ImageBuild"]:
        return str(each.get("tag")), str(each.get("image"))
    for resource in resources:
        if resource["type"] == f"{_OWN}:ImagePin" and str(resource.get("urn")).endswith(_IMAGE):
            found = resource.get("outputs") or {}
            return str(found.get("reference")), str(found.get("image"))
        if resource["type"] == "docker:index/image:Image":
            found = resource.get("outputs") or {}
            return str(found.get("imageName")).rpartition(":")[2], str(found.get("repoDigest"))
    return "", ""


def next_step(seen: Seen, deployments: Sequence[str], digest: str) -> Step:
    """Choose what is next on the way to this digest serving everything; no digest: it is still to be built."""
    if len(deployments) > len(_TURNS):
        raise RolloutError(
            f"deployments {', '.join(deployments)}: versions take turns in two; keep two, and move the others elsewhere"
        )
    holder = next((name for name, image in seen.images.items() if digest and digest_of(image) == digest), "")
    if holder and seen.traffic.get(holder) == WHOLE:
        return Step(Do.DONE, holder)
    others = {name: share for name, share in seen.traffic.items() if name != holder and name in seen.images}
    if not others:
        return Step(Do.CREATE, holder or next(iter(deployments)))
    # With two receivers a shift was killed in the middle: the older one is what it came from.
    live = replace(seen, traffic=others).oldest
    if holder:
        return Step(Do.SHIFT, holder, live)
    return Step(Do.DEPLOY, next((each for each in deployments if each != live), _TURNS.get(live, "green")), live)


def back_step(seen: Seen) -> Step:
    """Choose the way back: the other deployment, which served before this one; in the middle of a shift, the older."""
    live = seen.live
    if not live:
        older = seen.oldest
        newer = next((name for name in seen.traffic if name != older), "")
        if not (older and newer):
            raise RolloutError(f"traffic goes {split(seen.traffic)}: there is nothing to go back to")
        return Step(Do.SHIFT, older, newer)
    other = next((name for name in seen.images if name != live), "")
    if not other or digest_of(seen.images[other]) == digest_of(seen.images[live]):
        raise RolloutError(f"{live} serves the only version that stands; there is none to go back to")
    return Step(Do.SHIFT, other, live)


def desired(step: Step, seen: Seen, promote: str | None) -> Desired:
    """Tell what the config must say for a step; whoever serves is pinned to what it runs."""
    match step.do:
        case Do.CREATE:
            return Desired({step.slot: None}, {step.slot: WHOLE}, promote)
        case Do.DEPLOY:
            return Desired({step.live: seen.images[step.live], step.slot: None}, {step.live: WHOLE}, promote)
        case Do.SHIFT | Do.DONE:
            return Desired(dict(seen.images), {step.slot: WHOLE}, promote)


def undone(step: Step, seen: Seen) -> Desired:
    """Tell what the config must say when a step failed: only what served stays."""
    return Desired({step.live: seen.images[step.live]}, {step.live: WHOLE}, seen.source or None)


def sections(config: Mapping[str, Any], wanted: Desired) -> dict[str, Any]:
    """Compare a stack's config with what it shall say: the sections that change, whole, and `image.promote`.

    None takes a field out. A deployment that is new is described as the other one; all that is said of others goes.
    """
    here: Mapping[str, Mapping[str, Any]] = config.get("deployments") or {}
    pattern = next((here[name] for name in wanted.images if name in here), next(iter(here.values()), {}))
    deployments: dict[str, Any] = {}
    for name, own in wanted.images.items():
        kept = {key: value for key, value in here.get(name, pattern).items() if key != "image"}
        deployments[name] = kept if own is None else {**kept, "image": own}
    endpoint = {key: value for key, value in (config.get("endpoint") or {}).items() if key != "mirror"}
    if "traffic" in endpoint or len(deployments) > 1:
        endpoint["traffic"] = dict(wanted.traffic)
    told: dict[str, Any] = {"deployments": deployments, "endpoint": endpoint}
    changed = {name: section for name, section in told.items() if section != (config.get(name) or {})}
    if (config.get("image") or {}).get("promote") != wanted.promote:
        # Alone: a build's secrets may stand beside it, sealed.
        changed["image.promote"] = wanted.promote
    return changed


def split(traffic: Mapping[str, int]) -> str:
    """Write a split for people."""
    return ", ".join(f"{name} {share} %" for name, share in sorted(traffic.items()) if share) or "nowhere"


def difference(expected: object, got: object, tolerance: float, path: str = "reply") -> str:
    """Say where a reply is not the expected one; numbers may differ by a relative tolerance. Empty: it is the same."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        if lone := next((name for name in [*expected, *got] if name not in got or name not in expected), None):
            return f"{path}.{lone} is {'not expected' if lone in got else 'missing'}"
        pairs = [(f"{path}.{name}", expected[name], got[name]) for name in expected]
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{path} has {len(got)} entries instead of {len(expected)}"
        pairs = [(f"{path}[{at}]", *pair) for at, pair in enumerate(zip(expected, got, strict=True))]
    elif _number(expected) and _number(got):
        return "" if _near(expected, got, tolerance) else f"{path} is {got} instead of {expected}"
    else:
        return "" if type(expected) is type(got) and expected == got else f"{path} is {got!r} instead of {expected!r}"
    return next((said for at, one, other in pairs if (said := difference(one, other, tolerance, at))), "")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(a: Any, b: Any, tolerance: float) -> bool:  # noqa: ANN401 - numbers
    return bool(abs(a - b) <= tolerance * max(abs(a), abs(b), 1.0))
