"""The traffic split of an endpoint: arithmetic, reading and writing.

Owns: how shares are planned and rounded, and the one PUT that changes them. Refuses to own: when to change them.

ARM's PATCH on an endpoint only takes tags, identity and sku, so a split is changed by a PUT of the whole endpoint
(https://learn.microsoft.com/rest/api/azureml/online-endpoints/create-or-update). An empty traffic is never PUT: Azure
reads it as 0 % for everyone.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azureml_scoring.provider.arm import ML_API, Arm, Progress
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.settings.rules import WHOLE

WRITABLE = ("authMode", "description", "properties", "publicNetworkAccess", "compute")
"""Properties of an endpoint that a PUT repeats."""


@dataclass(frozen=True)
class TrafficSplit:
    """Percent by deployment, for live traffic and for mirrored traffic."""

    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TrafficSplit":
        """Read the split from an endpoint's document."""
        properties = document.get("properties") or {}
        return cls(
            {name: int(share) for name, share in (properties.get("traffic") or {}).items()},
            {name: int(share) for name, share in (properties.get("mirrorTraffic") or {}).items()},
        )

    def __str__(self) -> str:
        """Write it for people: `blue 90 %, green 10 %`."""
        parts = [f"{name} {share} %" for name, share in sorted(self.traffic.items()) if share]
        parts += [f"mirror {name} {share} %" for name, share in sorted(self.mirror.items()) if share]
        return ", ".join(parts) or "nowhere"

    @property
    def receivers(self) -> set[str]:
        """The deployments that get requests, live or mirrored."""
        return {*nonzero(self.traffic), *nonzero(self.mirror)}

    def same(self, other: "TrafficSplit") -> bool:
        """Compare two splits; a share of 0 is no share."""
        return (nonzero(self.traffic), nonzero(self.mirror)) == (nonzero(other.traffic), nonzero(other.mirror))

    def only(self, deployments: Collection[str]) -> "TrafficSplit":
        """Return the shares of these deployments."""
        return TrafficSplit(
            {name: share for name, share in self.traffic.items() if name in deployments},
            {name: share for name, share in self.mirror.items() if name in deployments},
        )

    def without(self, deployment: str) -> "TrafficSplit":
        """Give a deployment's share to the others, in proportion; without others, no deployment gets traffic."""
        rest = self.only(self.receivers - {deployment})
        total = sum(rest.traffic.values())
        if not total:
            # Mirrored traffic copies live requests: without a receiver of those there is nothing to copy.
            return TrafficSplit()
        return TrafficSplit(
            rounded({name: share * WHOLE / total for name, share in nonzero(rest.traffic).items()}), rest.mirror
        )


def step_line(endpoint: str, number: int, count: int, split: TrafficSplit) -> str:
    """Say which step of a shift begins."""
    return f"endpoint {endpoint}: step {number} of {count}, {split}"


def read_step(line: str) -> dict[str, int] | None:
    """Read the live traffic off a line that ends with `step_line`; None for another line."""
    match = re.search(r"endpoint \S+: step \d+ of \d+, (.+)", line)
    return match and {name: int(share) for name, share in re.findall(r"(?<!mirror )\b([\w-]+) (\d+) %", match[1])}


def bake_line(endpoint: str, seconds: float) -> str:
    """Say how long a step lasts."""
    return f"endpoint {endpoint}: this step lasts {seconds:g} s"


def read_bake(line: str) -> float | None:
    """Read the seconds off a line that ends with `bake_line`; None for another line."""
    match = re.search(r"endpoint \S+: this step lasts (\S+) s$", line)
    return match and float(match[1])


def nonzero(shares: Mapping[str, int]) -> dict[str, int]:
    """Leave out the shares of 0."""
    return {name: share for name, share in shares.items() if share}


def steps(old: Mapping[str, int], new: Mapping[str, int], percents: Iterable[int]) -> dict[int, dict[str, int]]:
    """Plan the shift from one traffic to another: the traffic at each percent of the shift that is done.

    The last step is always the new traffic itself; steps that would change nothing are left out. From an endpoint
    without traffic there is nothing to shift, so the new traffic comes at once. Every step sums to 100.
    """
    shifts = sum(old.values()) == WHOLE == sum(new.values())
    planned = {percent: _partly(old, new, percent) for percent in sorted({*percents}) if shifts}
    planned[WHOLE] = dict(new)
    previous = [nonzero(old), *map(nonzero, planned.values())]
    return {
        percent: traffic
        for (percent, traffic), before in zip(planned.items(), previous, strict=False)
        if nonzero(traffic) != before
    }


def _partly(old: Mapping[str, int], new: Mapping[str, int], percent: int) -> dict[str, int]:
    """Return the traffic when this percent of a shift is done."""
    exact = {
        name: (old.get(name, 0) * (WHOLE - percent) + new.get(name, 0) * percent) / WHOLE
        for name in sorted({*old, *new})
    }
    return rounded(exact)


def rounded(shares: Mapping[str, float]) -> dict[str, int]:
    """Round shares so that their sum stays what it was: the largest remainders go up."""
    floors = {name: int(share) for name, share in shares.items()}
    missing = round(sum(shares.values())) - sum(floors.values())
    for name in sorted(shares, key=lambda name: (floors[name] - shares[name], name))[:missing]:
        floors[name] += 1
    return floors


def read_traffic(arm: Arm, endpoint_id: str) -> TrafficSplit | None:
    """Read the split of an endpoint; None when there is no endpoint."""
    document = arm.get(endpoint_id, ML_API)
    return None if document is None else TrafficSplit.of(document)


def put_traffic(arm: Arm, endpoint_id: str, split: TrafficSplit, progress: Progress | None = None) -> TrafficSplit:
    """Set the split and read it back; everything else of the endpoint is sent again unchanged."""
    name = last(endpoint_id)
    document = arm.wait_until_idle(endpoint_id, ML_API, progress)
    if document is None:
        msg = f"endpoint {name} is gone; run up --refresh to create it again"
        raise ResourceError(msg)
    if not split.traffic:
        msg = f"endpoint {name}: refusing to set an empty traffic, Azure would send 0 % everywhere"
        raise ResourceError(msg)
    arm.put(endpoint_id, ML_API, request_body(document, split), progress)
    confirmed = read_traffic(arm, endpoint_id)
    if confirmed is None or not confirmed.same(split):
        actual = confirmed or "nothing"
        msg = f"endpoint {name}: Azure confirmed {actual} instead of {split}; who else changes it? run up again"
        raise ResourceError(msg)
    return confirmed


def request_body(document: Mapping[str, Any], split: TrafficSplit) -> dict[str, Any]:
    """Build the body of a PUT from an endpoint's document: location, tags, identity and the writable properties."""
    identity = document.get("identity") or {}
    sent: dict[str, Any] = {"type": identity.get("type", "None")}
    if identity.get("userAssignedIdentities"):
        sent["userAssignedIdentities"] = {id_: {} for id_ in identity["userAssignedIdentities"]}
    properties = document.get("properties") or {}
    return {
        **{name: document[name] for name in ("location", "kind", "tags", "sku") if document.get(name) is not None},
        "identity": sent,
        "properties": {
            **{name: properties[name] for name in WRITABLE if properties.get(name) is not None},
            "traffic": dict(split.traffic),
            "mirrorTraffic": dict(split.mirror),
        },
    }
