"""The traffic split of an endpoint: arithmetic, reading and writing.

Owns: how shares are planned and rounded, and the one PUT that changes them. Refuses to own: when to change them.

ARM's PATCH on an endpoint only takes tags, identity and sku, so a split is changed by a PUT of the whole endpoint
(https://learn.microsoft.com/rest/api/azureml/online-endpoints/create-or-update). An empty traffic is never PUT: Azure
reads it as 0 % for everyone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azureml_scoring.provider.arm import ML_API, Arm, Progress
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last

WHOLE = 100


@dataclass(frozen=True)
class Split:
    """Percent by deployment, for answers and for the mirror."""

    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write it for people: `blue 90 %, green 10 %`."""
        parts = [f"{name} {share} %" for name, share in sorted(self.traffic.items()) if share]
        parts += [f"mirror {name} {share} %" for name, share in sorted(self.mirror.items()) if share]
        return ", ".join(parts) or "nowhere"

    def sends_to(self, deployment: str) -> bool:
        """Tell whether the deployment gets any request."""
        return bool(self.traffic.get(deployment) or self.mirror.get(deployment))

    def same(self, other: "Split") -> bool:
        """Compare two splits; a share of 0 is no share."""
        return (nonzero(self.traffic), nonzero(self.mirror)) == (nonzero(other.traffic), nonzero(other.mirror))


def nonzero(shares: Mapping[str, int]) -> dict[str, int]:
    """Leave out the shares of 0."""
    return {name: share for name, share in shares.items() if share}


def steps(old: Mapping[str, int], new: Mapping[str, int], step_percents: Sequence[int]) -> list[dict[str, int]]:
    """Plan the way from one split to another: each percent says how much of the shift is done at that step.

    The last step is always the new split itself; steps that would change nothing are left out. From an endpoint that
    sends nowhere there is nothing to shift, so the new split comes at once. Every step sums to 100.
    """
    target = dict(new)
    planned: list[dict[str, int]] = []
    if sum(old.values()) == WHOLE == sum(new.values()):
        names = sorted({*old, *new})
        for percent in sorted({percent for percent in step_percents if 0 < percent < WHOLE}):
            exact = {
                name: (old.get(name, 0) * (WHOLE - percent) + new.get(name, 0) * percent) / WHOLE for name in names
            }
            planned.append(rounded(exact))
    planned.append(target)
    way: list[dict[str, int]] = []
    before = nonzero(old)
    for split in planned:
        if nonzero(split) != before:
            way.append(split)
            before = nonzero(split)
    return way


def rounded(shares: Mapping[str, float]) -> dict[str, int]:
    """Round shares so that their sum stays what it was: the largest remainders go up."""
    floors = {name: int(share) for name, share in shares.items()}
    missing = round(sum(shares.values())) - sum(floors.values())
    for name in sorted(shares, key=lambda name: (floors[name] - shares[name], name))[:missing]:
        floors[name] += 1
    return floors


def without(split: Split, deployment: str) -> Split:
    """Hand a deployment's share to the others, in proportion; nobody else means nowhere."""
    rest = {name: share for name, share in nonzero(split.traffic).items() if name != deployment}
    total = sum(rest.values())
    scaled = rounded({name: share * WHOLE / total for name, share in rest.items()}) if total else {}
    # A mirror copies live requests; with nobody to answer them there is nothing to copy.
    mirror = {name: share for name, share in split.mirror.items() if name != deployment} if total else {}
    return Split(scaled, mirror)


def split_of(document: Mapping[str, Any]) -> Split:
    """Read the split off an endpoint's document."""
    properties = document.get("properties") or {}
    return Split(
        {name: int(share) for name, share in (properties.get("traffic") or {}).items()},
        {name: int(share) for name, share in (properties.get("mirrorTraffic") or {}).items()},
    )


def read_split(arm: Arm, endpoint_id: str) -> Split | None:
    """Ask Azure for the split; None when there is no endpoint."""
    document = arm.get(endpoint_id, ML_API)
    return None if document is None else split_of(document)


def put_split(arm: Arm, endpoint_id: str, split: Split, progress: Progress | None = None) -> Split:
    """Set the split and read it back; everything else of the endpoint is sent again as it stands."""
    name = last(endpoint_id)
    document = arm.wait_until_idle(endpoint_id, ML_API, progress)
    if document is None:
        msg = f"endpoint {name} is gone; run up --refresh to make it anew"
        raise ResourceError(msg)
    if not split.traffic:
        msg = f"endpoint {name}: refusing to set an empty traffic, Azure would send 0 % everywhere"
        raise ResourceError(msg)
    arm.put(endpoint_id, ML_API, body_of(document, split), progress)
    found = read_split(arm, endpoint_id)
    if found is None or not found.same(split):
        there = found or "nothing"
        msg = f"endpoint {name}: Azure confirmed {there} instead of {split}; who else changes it? run up again"
        raise ResourceError(msg)
    return found


def body_of(document: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """Build the body of a PUT from what stands there: location, tags, identity and the writable properties."""
    identity = document.get("identity") or {}
    sent: dict[str, Any] = {"type": identity.get("type", "None")}
    if identity.get("userAssignedIdentities"):
        sent["userAssignedIdentities"] = {one: {} for one in identity["userAssignedIdentities"]}
    here = document.get("properties") or {}
    properties = {name: here[name] for name in WRITABLE if here.get(name) is not None}
    return {
        **{name: document[name] for name in ("location", "kind", "tags", "sku") if document.get(name) is not None},
        "identity": sent,
        "properties": {**properties, "traffic": dict(split.traffic), "mirrorTraffic": dict(split.mirror)},
    }


WRITABLE = ("authMode", "description", "properties", "publicNetworkAccess", "compute")
