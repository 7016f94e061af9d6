"""EndpointTraffic: the split of an endpoint's requests, shifted in tested steps.

Owns: the steps, the limits, the confirmation, and the way back when a step fails, and which versions have served.
Refuses to own: the endpoint and its deployments, and how one is tested (`smoke_test.py`). Deleting it changes nothing:
clients are served until the deployments are deleted.

ARM: `properties.traffic` and `mirrorTraffic` of Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from azureml_scoring.provider.arm import ML_API, Arm, state_of
from azureml_scoring.provider.endpoint_metrics import Limits, measure
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.smoke_test import SmokeTest
from azureml_scoring.provider.traffic_split import TrafficSplit, bake_line, nonzero, put_traffic, step_line, steps
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import EndpointTrafficArgs
from azureml_scoring.settings.rules import WHOLE

_PROVIDER = "/providers/Microsoft.MachineLearningServices/"


class EndpointTrafficOutputs(Outputs):
    """Beyond the inputs, of which `traffic` is the confirmed split, what has been tested."""

    served: dict[str, str] = {}
    """What each deployment ran when it last got requests: environment, model and code, with blanks between them."""


class EndpointTraffic(Resource[EndpointTrafficArgs]):
    """The split of an endpoint's requests over its deployments, shifted in probed steps."""

    name = "EndpointTraffic"
    inputs = EndpointTrafficArgs
    outputs = EndpointTrafficOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"endpointId"})
    # How to shift and test only matters when there is something to shift.
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset(
        {
            "steps",
            "bakeSeconds",
            "probe",
            "mirrorFirst",
            "errorPercent",
            "latencyMilliseconds",
            "checks",
            "tolerance",
        }
    )

    def _create(self, context: Context, inputs: EndpointTrafficArgs) -> tuple[str, Outputs]:
        served = shift(context, inputs)
        return f"{inputs.endpoint_id}/traffic", EndpointTrafficOutputs(served=served)

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: EndpointTrafficArgs) -> Outputs:
        del resource_id
        # The split confirmed last: a shift that was killed half-way has left another one behind.
        confirmed = TrafficSplit(dict(olds.get("traffic") or {}), dict(olds.get("mirrorTraffic") or {}))
        return EndpointTrafficOutputs(served=shift(context, inputs, confirmed, dict(olds.get("served") or {})))

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        endpoint_id = resource_id.removesuffix("/traffic")
        document = context.arm.get(endpoint_id, ML_API)
        if document is None:
            return None
        split = TrafficSplit.of(document)
        current = {
            "endpointId": olds.get("endpointId") or endpoint_id,
            "traffic": _with_own_zeros(split.traffic, olds.get("traffic") or {}),
            "mirrorTraffic": _with_own_zeros(split.mirror, olds.get("mirrorTraffic") or {}),
        }
        return ReadResult(f"{endpoint_id}/traffic", {**olds, **current}, {**inputs, **current})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Leave the traffic unchanged: deleting a deployment takes its share."""
        del resource_id, olds
        context.log("the endpoint keeps its traffic until its deployments are deleted")


def shift(
    context: Context,
    inputs: EndpointTrafficArgs,
    confirmed: TrafficSplit | None = None,
    served: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Go from the current split to the one that is wanted; after a failure restore the confirmed one, and say why.

    Takes and returns the version that each deployment had when it last got requests.
    """
    arm, endpoint_id, name = context.arm, inputs.endpoint_id, last(inputs.endpoint_id)
    document = arm.wait_until_idle(endpoint_id, ML_API)
    if document is None:
        msg = f"endpoint {name} does not exist; run up --refresh to create it again"
        raise ResourceError(msg)
    before, wanted = TrafficSplit.of(document), TrafficSplit(inputs.traffic, inputs.mirror_traffic)
    existing = _deployments(arm, endpoint_id, wanted)
    serving = nonzero(confirmed.traffic) if confirmed is not None else {}
    fallback = confirmed if confirmed is not None and serving and serving.keys() <= existing.keys() else before
    smoke_test = SmokeTest(context, document, inputs)
    changed = not before.same(fallback)
    receivers = sorted(wanted.receivers)
    known = {name: version for name, version in (served or {}).items() if name in existing}
    versions = {name: _version(existing[name]) for name in receivers}
    try:
        smoke_test.run(receivers)
        for each in receivers:
            if grows(each, before, wanted):
                smoke_test.check(each, is_new=known.get(each) != versions[each])
        planned = plan(before, wanted, inputs)
        if not planned and wanted.traffic and state_of(document) in {"failed", "canceled"}:
            planned = [(wanted, 0.0)]  # the write that failed had the traffic already: the same one ends well
        for number, (split, seconds) in enumerate(planned, start=1):
            context.log(step_line(name, number, len(planned), split))
            changed, start = True, datetime.now(UTC)
            put_traffic(arm, endpoint_id, split)
            if seconds and nonzero(before.traffic):
                context.log(bake_line(name, seconds))
                arm.sleep(seconds)
            smoke_test.run(receivers)
            _check_limits(context, inputs, [each for each in receivers if grows(each, before, split)], start)
    except ResourceError as error:
        if not changed:
            msg = f"endpoint {name} keeps its traffic ({before}): {error}"
            raise ResourceError(msg) from None
        outcome = _restore(context, endpoint_id, fallback, existing.keys())
        msg = f"endpoint {name}: the shift to {wanted} failed, {outcome}: {error}"
        raise ResourceError(msg) from None
    return {**known, **versions}


def plan(before: TrafficSplit, wanted: TrafficSplit, inputs: EndpointTrafficArgs) -> list[tuple[TrafficSplit, float]]:
    """Plan the splits of a shift, and the seconds that each lasts.

    With `mirrorFirst` a new deployment gets mirrored requests before any share.
    """
    bakes = {step.percent: step.minutes * 60 for step in inputs.steps if step.minutes is not None}
    planned = [
        (TrafficSplit(traffic, wanted.mirror), bakes.get(percent, inputs.bake_seconds))
        for percent, traffic in steps(before.traffic, wanted.traffic, (step.percent for step in inputs.steps)).items()
    ]
    if not planned and not before.same(wanted):
        planned = [(wanted, inputs.bake_seconds)]
    new = sorted(nonzero(wanted.traffic).keys() - nonzero(before.traffic).keys())
    if inputs.mirror_first and len(new) == 1 and sum(before.traffic.values()) == WHOLE:
        planned.insert(0, (TrafficSplit(before.traffic, {new[0]: inputs.mirror_first}), inputs.bake_seconds))
    return planned


def grows(name: str, before: TrafficSplit, after: TrafficSplit) -> bool:
    """Tell whether a deployment gets more requests than before: only then are there new ones to measure."""
    return after.traffic.get(name, 0) > before.traffic.get(name, 0) or bool(after.mirror.get(name))


def _check_limits(context: Context, inputs: EndpointTrafficArgs, names: Iterable[str], start: datetime) -> None:
    """Compare the metrics since `start` with the limits; raise for the first that is exceeded."""
    limits = Limits(inputs.error_percent, inputs.latency_milliseconds)
    for name in names if limits else ():
        measured = measure(context.arm, inputs.endpoint_id, name, start, datetime.now(UTC))
        context.log(f"deployment {name}: {measured}")
        if violation := measured.violation(limits):
            msg = f"deployment {name}: {violation}; see its log"
            raise ResourceError(msg)


def _deployments(arm: Arm, endpoint_id: str, wanted: TrafficSplit) -> dict[str, dict[str, Any]]:
    """Return the deployments by name. Each receiver must be provisioned: Azure would refuse later, and less clearly."""
    documents = arm.list_all(f"{endpoint_id}/deployments", ML_API)
    deployments = {last(str(each.get("id") or each.get("name"))): each for each in documents}
    for name in wanted.receivers:
        state = state_of(deployments[name]) if name in deployments else "missing"
        if state not in {"succeeded", ""}:
            existing = ", ".join(sorted(deployments)) or "none"
            msg = f"endpoint {last(endpoint_id)}: deployment {name} is {state}; traffic needs one that runs: {existing}"
            raise ResourceError(msg)
    return deployments


def _version(deployment: Mapping[str, Any]) -> str:
    """Name what a deployment runs, by its ids in the resource group: environment, model, code and entry script."""
    properties = deployment.get("properties") or {}
    code = properties.get("codeConfiguration") or {}
    parts = (properties.get("environmentId"), properties.get("model"), code.get("codeId"), code.get("scoringScript"))
    return " ".join(str(each).rpartition(_PROVIDER)[2] for each in parts if each)


def _restore(context: Context, endpoint_id: str, split: TrafficSplit, existing: Collection[str]) -> str:
    """Put a split back, as far as its deployments exist; say in half a sentence how that went."""
    restored = split.only(existing)
    if not restored.traffic:
        # An empty traffic is never sent: name every deployment, with nothing.
        restored = TrafficSplit(dict.fromkeys(sorted(existing), 0), restored.mirror)
    try:
        return f"restored {put_traffic(context.arm, endpoint_id, restored)}"
    except ResourceError as error:
        return f"and going back to {split} failed as well ({error})"


def _with_own_zeros(current: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int]:
    """Return the current shares; one of 0 only where the program names it."""
    return {**{name: current.get(name, 0) for name in own}, **nonzero(current)}
