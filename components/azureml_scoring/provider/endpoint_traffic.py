"""EndpointTraffic: the split of an endpoint's requests, shifted in probed steps.

Owns: probing, the steps, the limits, the confirmation, and the way back when a step fails.
Refuses to own: the endpoint and its deployments. Its end changes nothing: clients are served until the deployments go.

ARM: `properties.traffic` and `mirrorTraffic` of Microsoft.MachineLearningServices/workspaces/onlineEndpoints.
https://learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError

from azureml_scoring.provider.arm import ML_API, Arm, Reply, clean, state_of
from azureml_scoring.provider.endpoint_metrics import Limits, measure
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.fields import last
from azureml_scoring.provider.framework import Context, Outputs, ReadResult, Resource
from azureml_scoring.provider.registry_client import is_local
from azureml_scoring.provider.split import WHOLE, Split, nonzero, put_split, split_of, steps
from azureml_scoring.provider.values import Properties
from azureml_scoring.settings.arguments import EndpointTrafficArgs

TRIES = 5
"""How often a deployment is probed before it counts as unable to answer."""
PAUSE = 1.0
"""Seconds before the second try; doubled for each further one."""
GOOD = range(200, 300)


class EndpointTrafficOutputs(Outputs):
    """Nothing beyond the inputs: `traffic` is the confirmed split."""


class EndpointTraffic(Resource[EndpointTrafficArgs]):
    """The split of an endpoint's requests over its deployments, shifted in probed steps."""

    name = "EndpointTraffic"
    inputs = EndpointTrafficArgs
    outputs = EndpointTrafficOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"endpointId"})
    # How to shift and what to ask is only of interest when there is something to shift.
    ignored_in_diff: ClassVar[frozenset[str]] = frozenset(
        {"steps", "bakeSeconds", "probe", "mirrorFirst", "errorPercent", "latencyMilliseconds"}
    )

    def _create(self, context: Context, inputs: EndpointTrafficArgs) -> tuple[str, Outputs]:
        shift(context, inputs)
        return f"{inputs.endpoint_id}/traffic", EndpointTrafficOutputs()

    def _update(self, context: Context, resource_id: str, olds: Properties, inputs: EndpointTrafficArgs) -> Outputs:
        del resource_id
        # What was confirmed last: a shift that was killed half-way has left another split behind.
        good = Split(dict(olds.get("traffic") or {}), dict(olds.get("mirrorTraffic") or {}))
        shift(context, inputs, good)
        return EndpointTrafficOutputs()

    def _read(self, context: Context, resource_id: str, olds: Properties, inputs: Properties) -> ReadResult | None:
        endpoint_id = resource_id.removesuffix("/traffic")
        document = context.arm.get(endpoint_id, ML_API)
        if document is None:
            return None
        split = split_of(document)
        here = {
            **olds,
            "endpointId": olds.get("endpointId") or endpoint_id,
            "traffic": _seen(split.traffic, olds.get("traffic") or {}),
            "mirrorTraffic": _seen(split.mirror, olds.get("mirrorTraffic") or {}),
        }
        return ReadResult(f"{endpoint_id}/traffic", here, {**inputs, **here})

    def _delete(self, context: Context, resource_id: str, olds: Properties) -> None:
        """Leave the traffic alone: whoever removes the deployments removes their shares."""
        del resource_id, olds
        context.log("the endpoint keeps its traffic until its deployments go")


def shift(context: Context, inputs: EndpointTrafficArgs, good: Split | None = None) -> None:
    """Go from the split that stands to the one that is wanted; on failure go back to the good one and say why."""
    arm, endpoint_id, name = context.arm, inputs.endpoint_id, last(inputs.endpoint_id)
    document = arm.wait_until_idle(endpoint_id, ML_API)
    if document is None:
        msg = f"endpoint {name} does not exist; run up --refresh to make it anew"
        raise ResourceError(msg)
    before, wanted = split_of(document), Split(inputs.traffic, inputs.mirror_traffic)
    existing = _ready(arm, endpoint_id, wanted)
    safe = good if good is not None and nonzero(good.traffic).keys() <= existing and nonzero(good.traffic) else before
    receivers = sorted({*nonzero(wanted.traffic), *nonzero(wanted.mirror)})
    ask = SmokeTest(context, document, inputs.probe)
    touched = not before.same(safe)
    try:
        ask.all(receivers)
        way = plan(before, wanted, inputs)
        for number, split in enumerate(way, start=1):
            context.log(f"endpoint {name}: step {number} of {len(way)}, {split}")
            touched = True
            begun = datetime.now(UTC)
            put_split(arm, endpoint_id, split)
            if inputs.bake_seconds and nonzero(before.traffic):
                arm.sleep(inputs.bake_seconds)
            ask.all(receivers)
            _measure(context, inputs, [each for each in receivers if grows(each, before, split)], begun)
    except ResourceError as error:
        if not touched:
            msg = f"endpoint {name} keeps its traffic ({before}): {error}"
            raise ResourceError(msg) from None
        back = _restore(context, endpoint_id, safe, existing)
        msg = f"endpoint {name}: the shift to {wanted} failed, {back}: {error}"
        raise ResourceError(msg) from None


def plan(before: Split, wanted: Split, inputs: EndpointTrafficArgs) -> list[Split]:
    """Plan the splits on the way; a newcomer gets copies of live requests first, where that is asked for."""
    way = [Split(traffic, wanted.mirror) for traffic in steps(before.traffic, wanted.traffic, inputs.steps)]
    if not way and not before.same(wanted):
        way = [wanted]
    newcomers = sorted(nonzero(wanted.traffic).keys() - nonzero(before.traffic).keys())
    if inputs.mirror_first and len(newcomers) == 1 and sum(before.traffic.values()) == WHOLE:
        way.insert(0, Split(before.traffic, {newcomers[0]: inputs.mirror_first}))
    return way


def grows(name: str, before: Split, after: Split) -> bool:
    """Tell whether a deployment gets more than it had: only then is what it answers new."""
    return after.traffic.get(name, 0) > before.traffic.get(name, 0) or bool(after.mirror.get(name))


def _measure(context: Context, inputs: EndpointTrafficArgs, names: Iterable[str], begun: datetime) -> None:
    """Hold what was measured since then against the limits; raise for the first that is exceeded."""
    limits = Limits(inputs.error_percent, inputs.latency_milliseconds)
    if not limits:
        return
    for name in names:
        found = measure(context.arm, inputs.endpoint_id, name, begun, datetime.now(UTC))
        context.log(f"deployment {name}: {found}")
        if problem := found.beyond(limits):
            msg = f"deployment {name}: {problem}; see its log"
            raise ResourceError(msg)


def _ready(arm: Arm, endpoint_id: str, wanted: Split) -> set[str]:
    """Check that every receiver is a deployment that came up; Azure would refuse later, and less clearly."""
    found = {last(str(each.get("id") or each.get("name"))): each for each in _deployments(arm, endpoint_id)}
    for name in {*nonzero(wanted.traffic), *nonzero(wanted.mirror)}:
        state = state_of(found[name]) if name in found else "missing"
        if state not in {"succeeded", ""}:
            there = ", ".join(sorted(found)) or "none"
            msg = f"endpoint {last(endpoint_id)}: deployment {name} is {state}; traffic needs one that runs: {there}"
            raise ResourceError(msg)
    return set(found)


def _deployments(arm: Arm, endpoint_id: str) -> Iterable[dict[str, Any]]:
    page = arm.get(f"{endpoint_id}/deployments", ML_API) or {}
    yield from page.get("value") or []
    while link := page.get("nextLink"):
        page = arm.follow_page(str(link))
        yield from page.get("value") or []


def _restore(context: Context, endpoint_id: str, before: Split, existing: set[str]) -> str:
    """Go back to the split that worked; say in half a sentence how that went."""
    traffic = {name: share for name, share in before.traffic.items() if name in existing}
    mirror = {name: share for name, share in before.mirror.items() if name in existing}
    if not traffic:
        # There was no split before. An empty one is never sent: name everybody, with nothing.
        traffic = dict.fromkeys(sorted(existing), 0)
    try:
        return f"restored {put_split(context.arm, endpoint_id, Split(traffic, mirror))}"
    except ResourceError as error:
        return f"and going back to {before} failed as well ({error})"


class SmokeTest:
    """Asks deployments a question, each by name, past the traffic split."""

    def __init__(self, context: Context, document: dict[str, Any], body: object) -> None:
        self._context = context
        self._endpoint = document
        self._body = body
        self._key = ""

    def all(self, deployments: Iterable[str]) -> None:
        """SmokeTest each; raise for the first that does not answer well."""
        if self._body is not None:
            for name in deployments:
                self._one(name)

    def ask(self, name: str, body: object) -> Reply:
        """Ask one deployment once, as clients would sign in."""
        arm = self._context.arm
        properties = self._endpoint.get("properties") or {}
        uri = str(properties.get("scoringUri") or "")
        where = urlsplit(uri)
        if where.scheme != "https" and not is_local(where.netloc):
            msg = f"scoring URI {uri or '(none)'} is not https; the key is not sent there"
            raise ResourceError(msg)
        self._key = self._key or self._credential(str(properties.get("authMode") or "Key"))
        headers = {"Authorization": f"Bearer {self._key}", "azureml-model-deployment": name}
        return arm.no_retry.send("POST", uri, headers=headers, body=body)

    def _one(self, name: str) -> None:
        arm = self._context.arm
        answer = "no answer"
        for attempt in range(TRIES):
            if attempt:
                arm.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                reply = self.ask(name, self._body)
            except ResourceError as error:
                answer = str(error)
                continue
            if reply.status in GOOD:
                self._context.log(f"deployment {name} answers the probe")
                return
            answer = f"HTTP {reply.status} {clean(reply.content[:300].decode('utf-8', 'replace'))}"
        msg = (
            f"deployment {name} did not answer the probe in {TRIES} tries: {answer}; see its log, or correct the probe"
        )
        raise ResourceError(msg)

    def _credential(self, mode: str) -> str:
        """Return the key or token that clients would use."""
        arm, path = self._context.arm, str(self._endpoint.get("id") or "")
        if mode.lower() == "aadtoken":
            try:
                return arm.credential.get_token("https://ml.azure.com/.default").token
            except AzureError as error:
                msg = f"no token for the probe: {clean(str(error))}"
                raise ResourceError(msg) from None
        action, field = ("token", "accessToken") if mode.lower() == "amltoken" else ("listKeys", "primaryKey")
        value = arm.post(f"{path}/{action}", ML_API).get(field)
        if not isinstance(value, str):
            msg = f"endpoint {last(path)} gave no {field}; give the deployer AzureML Data Scientist on the workspace"
            raise ResourceError(msg)
        return value


def _seen(found: Mapping[str, int], ours: Mapping[str, int]) -> dict[str, int]:
    """Write what Azure has the way we wrote it: a share of 0 counts only where we named it."""
    return {**{name: found.get(name, 0) for name in ours}, **nonzero(found)}
