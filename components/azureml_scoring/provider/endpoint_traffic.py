"""EndpointTraffic: the split of an endpoint's requests, shifted in tested steps.

Owns: smoke tests, the steps, the limits, the confirmation, and the way back when a step fails.
Refuses to own: the endpoint and its deployments. Deleting it changes nothing: clients are served until the deployments
are deleted.

ARM: `properties.traffic` and `mirrorTraffic` of Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from azure.core.rest import HttpResponse

from azureml_scoring.provider.arm import ML_API, Arm, clean, state_of
from azureml_scoring.provider.endpoint_metrics import Limits, measure
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.outside import OutsideError, refuse_outside
from azureml_scoring.provider.registry_client import is_local
from azureml_scoring.provider.traffic_split import TrafficSplit, bake_line, nonzero, put_traffic, step_line, steps
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import EndpointTrafficArgs
from azureml_scoring.settings.rules import WHOLE

ATTEMPTS = 5
"""Smoke test requests to a deployment before it counts as unable to answer."""
RETRY_SECONDS = 1.0
"""Seconds before the second attempt; doubled for each further one."""
SUCCESS = range(200, 300)
"""HTTP statuses of a deployment that answers."""
_REASON = 300
"""Bytes of a reply that say why a request failed."""


class EndpointTrafficOutputs(Outputs):
    """Nothing beyond the inputs: `traffic` is the confirmed split."""


class EndpointTraffic(Resource[EndpointTrafficArgs]):
    """The split of an endpoint's requests over its deployments, shifted in probed steps."""

    name = "EndpointTraffic"
    inputs = EndpointTrafficArgs
    outputs = EndpointTrafficOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"endpointId"})
    # How to shift and test only matters when there is something to shift.
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset(
        {"steps", "bakeSeconds", "probe", "mirrorFirst", "errorPercent", "latencyMilliseconds"}
    )

    def _create(self, context: Context, inputs: EndpointTrafficArgs) -> tuple[str, Outputs]:
        shift(context, inputs)
        return f"{inputs.endpoint_id}/traffic", EndpointTrafficOutputs()

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: EndpointTrafficArgs) -> Outputs:
        del resource_id
        # The split confirmed last: a shift that was killed half-way has left another one behind.
        confirmed = TrafficSplit(dict(olds.get("traffic") or {}), dict(olds.get("mirrorTraffic") or {}))
        shift(context, inputs, confirmed)
        return EndpointTrafficOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        endpoint_id = resource_id.removesuffix("/traffic")
        document = context.arm.get(endpoint_id, ML_API)
        if document is None:
            return None
        split = TrafficSplit.of(document)
        state = {
            **olds,
            "endpointId": olds.get("endpointId") or endpoint_id,
            "traffic": _with_own_zeros(split.traffic, olds.get("traffic") or {}),
            "mirrorTraffic": _with_own_zeros(split.mirror, olds.get("mirrorTraffic") or {}),
        }
        return ReadResult(f"{endpoint_id}/traffic", state, {**inputs, **state})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Leave the traffic unchanged: deleting a deployment takes its share."""
        del resource_id, olds
        context.log("the endpoint keeps its traffic until its deployments are deleted")


def shift(context: Context, inputs: EndpointTrafficArgs, confirmed: TrafficSplit | None = None) -> None:
    """Go from the current split to the one that is wanted; after a failure restore the confirmed one, and say why."""
    arm, endpoint_id, name = context.arm, inputs.endpoint_id, last(inputs.endpoint_id)
    document = arm.wait_until_idle(endpoint_id, ML_API)
    if document is None:
        msg = f"endpoint {name} does not exist; run up --refresh to create it again"
        raise ResourceError(msg)
    before, wanted = TrafficSplit.of(document), TrafficSplit(inputs.traffic, inputs.mirror_traffic)
    existing = _check_receivers(arm, endpoint_id, wanted)
    usable = confirmed is not None and nonzero(confirmed.traffic) and nonzero(confirmed.traffic).keys() <= existing
    fallback = confirmed if confirmed is not None and usable else before
    smoke_test = SmokeTest(context, document, inputs.probe)
    changed = not before.same(fallback)
    receivers = sorted(wanted.receivers)
    try:
        smoke_test.run(receivers)
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
        outcome = _restore(context, endpoint_id, fallback, existing)
        msg = f"endpoint {name}: the shift to {wanted} failed, {outcome}: {error}"
        raise ResourceError(msg) from None


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


def _check_receivers(arm: Arm, endpoint_id: str, wanted: TrafficSplit) -> set[str]:
    """Check that every receiver is provisioned: Azure would refuse later, and less clearly. Return all deployments."""
    documents = arm.list_all(f"{endpoint_id}/deployments", ML_API)
    deployments = {last(str(each.get("id") or each.get("name"))): each for each in documents}
    for name in wanted.receivers:
        state = state_of(deployments[name]) if name in deployments else "missing"
        if state not in {"succeeded", ""}:
            existing = ", ".join(sorted(deployments)) or "none"
            msg = f"endpoint {last(endpoint_id)}: deployment {name} is {state}; traffic needs one that runs: {existing}"
            raise ResourceError(msg)
    return set(deployments)


def _restore(context: Context, endpoint_id: str, split: TrafficSplit, existing: set[str]) -> str:
    """Put a split back, as far as its deployments exist; say in half a sentence how that went."""
    restored = split.only(existing)
    if not restored.traffic:
        # An empty traffic is never sent: name every deployment, with nothing.
        restored = TrafficSplit(dict.fromkeys(sorted(existing), 0), restored.mirror)
    try:
        return f"restored {put_traffic(context.arm, endpoint_id, restored)}"
    except ResourceError as error:
        return f"and going back to {split} failed as well ({error})"


class SmokeTest:
    """Sends a request to deployments, each by name, past the traffic split."""

    def __init__(self, context: Context, document: dict[str, Any], body: object) -> None:
        self._context = context
        self._endpoint = document
        self._body = body

    def run(self, deployments: Iterable[str]) -> None:
        """Test each; raise for the first that does not answer with a success. Without a body nothing is sent."""
        for name in deployments if self._body is not None else ():
            self._test(name)

    def send(self, name: str, body: object) -> HttpResponse:
        """Send one request to one deployment, signed in as clients do."""
        headers = {"Authorization": f"Bearer {self._key}", "azureml-model-deployment": name}
        response = self._context.arm.http.try_once("POST", self._url, headers=headers, body=body)
        text = response.content[:_REASON].decode("utf-8", "replace")
        refuse_outside(f"endpoint {last(str(self._endpoint['id']))}", response.status_code, text)
        return response

    @cached_property
    def _url(self) -> str:
        url = str((self._endpoint.get("properties") or {}).get("scoringUri") or "")
        if urlsplit(url).scheme != "https" and not is_local(urlsplit(url).netloc):
            msg = f"scoring URI {url or '(none)'} is not https; the key is not sent there"
            raise ResourceError(msg)
        return url

    @cached_property
    def _key(self) -> str:
        return self._credential(str((self._endpoint.get("properties") or {}).get("authMode") or "Key"))

    def _test(self, name: str) -> None:
        arm = self._context.arm
        # What keeps us from asking at all is no fault of the deployment's, and not tried again here.
        _ = self._url, self._key
        failure = "no answer"
        for attempt in range(ATTEMPTS):
            if attempt:
                arm.sleep(RETRY_SECONDS * 2 ** (attempt - 1))
            try:
                response = self.send(name, self._body)
            except OutsideError:
                raise
            except ResourceError as error:
                failure = str(error)
                continue
            if response.status_code in SUCCESS:
                self._context.log(f"deployment {name} passes the smoke test")
                return
            failure = f"HTTP {response.status_code} {clean(response.content[:_REASON].decode('utf-8', 'replace'))}"
        remedy = "see its log, or correct endpoint.smokeTest"
        msg = f"deployment {name} did not pass the smoke test in {ATTEMPTS} attempts: {failure}; {remedy}"
        raise ResourceError(msg)

    def _credential(self, mode: str) -> str:
        """Return the key or token that clients use."""
        arm, path = self._context.arm, str(self._endpoint.get("id") or "")
        if mode.lower() == "aadtoken":
            return arm.token("https://ml.azure.com/.default")
        action, field = ("token", "accessToken") if mode.lower() == "amltoken" else ("listKeys", "primaryKey")
        value = arm.post(f"{path}/{action}", ML_API).get(field)
        if not isinstance(value, str):
            msg = f"endpoint {last(path)} gave no {field}; give the deployer AzureML Data Scientist on the workspace"
            raise ResourceError(msg)
        return value


def _with_own_zeros(current: Mapping[str, int], own: Mapping[str, int]) -> dict[str, int]:
    """Return the current shares; one of 0 only where the program names it."""
    return {**{name: current.get(name, 0) for name in own}, **nonzero(current)}
