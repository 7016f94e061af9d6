"""After a killed `pulumi up`, make state and Azure agree again, so that the next `up` finishes the interrupted one.

Owns the order (save the state, unlock, adopt or drop what is pending or was never recorded, refresh), the questions to
Azure, and that nothing is changed while one operation is undecided. Refuses to own how an operation is resolved
(`pending.py`), and the `up` that follows. Deletes nothing on Azure but passwords that the killed run created and whose
value is lost.

https://www.pulumi.com/docs/iac/operations/troubleshooting/interrupted-updates/
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpResponse

from azureml_scoring.delivery.engine import EngineError, Lock, LockedError, Log, PulumiStack
from azureml_scoring.delivery.pending import (
    Decisions,
    Query,
    Result,
    StateError,
    Step,
    applications,
    marked_unfinished,
    operations,
    repaired,
    resolve,
    resolve_or_query,
    unrecorded,
    unrefreshed,
    with_decisions,
)
from azureml_scoring.provider.arm import (
    TRANSITIONAL_STATES,
    Arm,
    ArmError,
    HttpClient,
    connect,
    error_of,
    json_object,
    log_states,
    request_name,
    state_of,
)
from azureml_scoring.provider.errors import ResourceError

COPIES: Final = Path(".local") / "states"
"""Where states are saved, relative to the project's folder."""

_SUBSCRIPTIONS_API: Final = "2022-12-01"
_STATES: Final = {
    "failed": "; its provisioning failed, which up repairs",
    "canceled": "; it was cancelled, up repairs it",
}
_APPLICATION: Final = "/applications/"
_PRINCIPAL: Final = "/servicePrincipals/"


class RecoverError(StateError):
    """A stack cannot be recovered; one line."""


@dataclass(frozen=True)
class RecoveryPlan:
    """What would be done to a stack."""

    stack: str
    steps: tuple[Step, ...]
    locks: tuple[Lock, ...] | None
    """None where the backend does not show them."""
    copy: Path
    unrefreshed: tuple[str, ...] = ()
    """What an earlier recovery has adopted, but not refreshed."""
    pending: int = 0
    """How many of the steps are of operations that the state has as pending; the others it does not have at all."""
    half_written: tuple[Path, ...] = ()
    """Files of the backend. They keep the state from being read: a plan that removes them does nothing else."""

    @property
    def undecided(self) -> tuple[Step, ...]:
        """Operations that the user must decide."""
        return tuple(step for step in self.steps if step.resolution == "leave")

    @property
    def is_empty(self) -> bool:
        """Whether no run has left anything."""
        return not self.steps and not self.unrefreshed and self.locks == ()

    @property
    def lines(self) -> Iterator[str]:
        """The plan for the user."""
        if self.half_written:
            yield f"Stack {self.stack}: the killed run left half-written files beside the state."
            yield from (f"  remove   {file}" for file in self.half_written)
            return
        locked = "perhaps locked" if self.locks is None else "locked" if self.locks else "not locked"
        unrecorded = len(self.steps) - self.pending
        more = f", resources that the state does not have: {unrecorded}" if unrecorded else ""
        yield f"Stack {self.stack}: {self.pending} pending operations{more}, {locked}."
        yield f"  save     the state, to {self.copy}"
        if self.locks is None:
            yield "  unlock   by `pulumi cancel`: make sure that nobody deploys this stack now"
        for lock in self.locks or ():
            yield f"  unlock   {lock}"
        for step in self.steps:
            yield f"  {step}"
        interrupted = f", with {', '.join(self.unrefreshed)} from an interrupted recovery" if self.unrefreshed else ""
        yield f"  refresh  all resources of the state{interrupted}"
        for step in self.undecided:
            name = step.operation.name
            yield f"{name}: check whether Azure has it, then add --adopt {name}=ID or --drop {name}"


@dataclass(frozen=True)
class Azure:
    """Asks Azure about resources: Resource Manager, and Entra by Microsoft Graph.

    https://learn.microsoft.com/graph/api/application-list
    """

    arm: Arm
    graph: HttpClient = field(init=False)

    def __post_init__(self) -> None:
        """Sign in to Graph with Resource Manager's credential."""
        base = self.arm.cloud.graph
        bearer = BearerTokenCredentialPolicy(self.arm.credential, f"{base}/.default")
        object.__setattr__(
            self, "graph", HttpClient(f"{base}/v1.0", authentication=bearer, transport=self.arm.transport)
        )

    def require_access(self, subscription: str) -> None:
        """Raise where a subscription is not visible: there, everything would seem to be gone."""
        if self.arm.get(f"/subscriptions/{subscription}", _SUBSCRIPTIONS_API) is None:
            raise RecoverError(f"ARM_SUBSCRIPTION_ID = {subscription}: not visible to this identity; correct either")

    def ask(self, query: Query) -> Result:
        """Return what an operation has created."""
        try:
            if query.application:
                return _application(self._entities("applications", "displayName", query.application), query)
            if query.principal_of:
                principals = self._entities("servicePrincipals", "appId", query.principal_of)
                return Result(f"{_PRINCIPAL}{principals[0]['id']}") if principals else Result()
            if query.password:
                return Result(lost=tuple(self._lost_passwords(query)))
            document = self.arm.get(query.arm_id, query.version)
        except ArmError as error:
            return Result(unclear=str(error))
        if document is None:
            return Result()
        state = state_of(document)
        note = (
            "; Azure still works on it, which is waited for" if state in TRANSITIONAL_STATES else _STATES.get(state, "")
        )
        return Result(str(document.get("id") or query.arm_id), note)

    def doubles(self, query: Query) -> Iterator[str]:
        """Describe applications of a name that are not the known ones."""
        try:
            for each in self._entities("applications", "displayName", query.application):
                if f"{_APPLICATION}{each['id']}" not in query.known:
                    yield _described(each, self._entities("servicePrincipals", "appId", each["appId"]))
        except ArmError as error:
            yield f"none can be listed ({error})"

    def wait_until_idle(self, query: Query, log: Log) -> None:
        """Wait while Azure works on a resource."""
        self.arm.wait_until_idle(query.arm_id, query.version, log_states(log, query.arm_id.rpartition("/")[2]))

    def remove_password(self, owner: str, key: str) -> None:
        """Remove a password of an application."""
        path = f"{_APPLICATION}{owner}/removePassword"
        _checked(self.graph.send("POST", path, body={"keyId": key}, once=True), "POST", path)

    def _entities(self, kind: str, name: str, value: str) -> list[dict[str, Any]]:
        quoted = value.replace("'", "''")
        reply = self.graph.send("GET", f"/{kind}", params={"$filter": f"{name} eq '{quoted}'"})
        entities: list[dict[str, Any]] = json_object(_checked(reply, "GET", f"/{kind}")).get("value") or []
        return entities

    def _lost_passwords(self, query: Query) -> Iterator[str]:
        path = f"{_APPLICATION}{query.owner}"
        reply = self.graph.send("GET", path)
        if reply.status_code == HTTPStatus.NOT_FOUND:
            return
        for each in json_object(_checked(reply, "GET", path)).get("passwordCredentials") or []:
            is_known = f"{query.owner}/password/{each['keyId']}" in query.known
            if each.get("displayName") == query.password and not is_known:
                yield str(each["keyId"])


def _checked(reply: HttpResponse, method: str, path: str) -> HttpResponse:
    if reply.status_code >= HTTPStatus.BAD_REQUEST:
        raise error_of(reply, request_name(method, path))
    return reply


def _described(application: Mapping[str, Any], principals: list[dict[str, Any]]) -> str:
    """Say whether an application is an orphan: nothing was made for it after it was created."""
    created = f"{_APPLICATION}{application['id']}, created {application.get('createdDateTime', 'at an unknown time')}"
    if principals or _has_credentials(application):
        return f"{created}; it has credentials or a service principal, so that it is in use elsewhere: leave it"
    orphan = "an orphan of a killed run, unless somebody else has just made it"
    return f"{created}; nothing uses it: {orphan}; `az ad app delete --id {application['id']}` deletes it"


def _has_credentials(application: Mapping[str, Any]) -> bool:
    return bool(application.get("passwordCredentials") or application.get("keyCredentials"))


def _application(named: list[dict[str, Any]], query: Query) -> Result:
    """Choose the application that a killed run created: names are not unique in Entra, and anybody can take one.

    What depends on an application is created after it, so that the one of a pending creation has no credentials yet.
    """
    candidates = [each for each in named if f"{_APPLICATION}{each['id']}" not in query.known]
    if not candidates:
        return Result()
    ids = ", ".join(f"{_APPLICATION}{each['id']}" for each in candidates)
    if len(candidates) > 1:
        return Result(unclear=f"Entra has {len(candidates)} applications named {query.application}: {ids}")
    if _has_credentials(candidates[0]):
        return Result(unclear=f"Entra has {ids}, whose credentials the killed run cannot have created")
    return Result(ids, f", created {candidates[0].get('createdDateTime', 'at an unknown time')}")


Confirm = Callable[[RecoveryPlan], bool]
"""Decides about a plan that was logged."""


def recover(
    stack: PulumiStack,
    confirm: Confirm,
    *,
    decisions: Decisions | None = None,
    copies: Path | None = None,
    arm: Callable[[], Arm] = connect,
) -> bool:
    """Recover one stack after its run was killed; True when the next `up` can go on.

    `confirm` is not called where nothing is to be done, or an operation is undecided. Raises CommandError. Azure is
    reached as the environment says (`provider/arm.py`).
    """
    try:
        return _recover(stack, confirm, Azure(arm()), decisions or Decisions(), copies or stack.project / COPIES)
    except ResourceError as error:
        raise RecoverError(str(error)) from None


def _recover(stack: PulumiStack, confirm: Confirm, azure: Azure, decisions: Decisions, copies: Path) -> bool:
    locks = stack.locks()
    if running := [lock for lock in locks or () if lock.is_alive]:
        raise LockedError(f"stack {stack.name}: process {running[0].process} still updates it; wait for it, or end it")
    copy = copies / f"{stack.name.replace('/', '-')}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json"
    if files := stack.half_written():
        if not _agreed(stack, confirm, RecoveryPlan(stack.name, (), locks, copy, half_written=files)):
            return False
        for file in files:
            file.unlink(missing_ok=True)
    state = stack.export()
    steps, queries = _resolved(state, _preview(stack), azure, decisions)
    plan = RecoveryPlan(stack.name, tuple(steps), locks, copy, tuple(unrefreshed(state)), len(operations(state)))
    for line in _doubles(state, azure):
        stack.log(line)
    if plan.is_empty:
        stack.log(f"Stack {stack.name}: no operation is pending, and no run holds it.")
        return True
    if not _agreed(stack, confirm, plan):
        return False
    _save(copy, state)
    stack.log(f"The state as it was: {copy}")
    try:
        _unlock(stack, locks, state)
        after = repaired(state, plan.steps)
        if plan.steps:
            _finish_on_azure(azure, plan, queries, stack.log)
            stack.import_(after)
        _refresh(stack, after)
    except (EngineError, RecoverError) as error:
        raise RecoverError(f"{error}; the state as it was: {copy}") from None
    stack.log(f"Stack {stack.name} is recovered: `pulumi up --stack {stack.name}` finishes what was begun.")
    return True


def _resolved(
    state: Mapping[str, Any], preview: Mapping[str, Any], azure: Azure, decisions: Decisions
) -> tuple[list[Step], list[Query]]:
    """Resolve all operations; return the queries of what is adopted as well."""
    subscription = os.environ.get("ARM_SUBSCRIPTION_ID", "")
    if subscription:
        azure.require_access(subscription)
    steps: list[Step] = []
    queries: list[Query] = []
    pending = operations(state)
    for operation in [*pending, *unrecorded(state, preview)]:
        step = resolve_or_query(state, operation, subscription)
        query = step if isinstance(step, Query) else None
        if isinstance(step, Query):
            step = resolve(operation, step, azure.ask(step))
        if operation in pending or (query and (step.resolution != "drop" or step.lost)):
            steps.append(step)
        if step.resolution == "adopt" and query and query.arm_id:
            queries.append(query)
    return with_decisions(steps, decisions), queries


def _preview(stack: PulumiStack) -> dict[str, Any]:
    """Ask the program what it wants: by its names Azure is searched for what no run has recorded."""
    try:
        return stack.preview()
    except EngineError as error:
        stack.log(f"Resources that the state does not have are not searched for: the preview failed ({error})")
        return {}


def _agreed(stack: PulumiStack, confirm: Confirm, plan: RecoveryPlan) -> bool:
    """Show a plan; ask whether to do it, unless an operation is undecided."""
    for line in plan.lines:
        stack.log(line)
    if not plan.undecided and confirm(plan):
        return True
    stack.log("Nothing was changed.")
    return False


def _doubles(state: Mapping[str, Any], azure: Azure) -> Iterator[str]:
    """Say which applications of Entra have the name of one that the state has."""
    for query in applications(state):
        owned = ", ".join(sorted(query.known))
        for double in azure.doubles(query):
            yield f"The state has {owned}; Entra has another application {query.application}: {double}"


def _unlock(stack: PulumiStack, locks: tuple[Lock, ...] | None, state: Mapping[str, Any]) -> None:
    """Remove the locks; raise where another run turns out to be at work after all."""
    if locks is None:
        # Pulumi Cloud refuses where nothing runs. A stack that is locked in spite of it refuses the import.
        with suppress(EngineError):
            stack.unlock()
    elif locks:
        stack.unlock()
    if stack.export() != state:
        raise RecoverError(f"stack {stack.name}: its state has changed meanwhile; another run is at work on it")


def _finish_on_azure(azure: Azure, plan: RecoveryPlan, queries: list[Query], log: Log) -> None:
    """Wait for what Azure still works on, and remove passwords that cannot be used."""
    for query in queries:
        azure.wait_until_idle(query, log)
    for step in plan.steps:
        for key in step.lost:
            azure.remove_password(step.owner, key)
            log(f"Removed the password with the key id {key} from application {step.owner}.")


def _refresh(stack: PulumiStack, before: Mapping[str, Any]) -> None:
    """Read all resources of the state, and let the next `up` write what was adopted."""
    stack.log("Refreshing.")
    stack.refresh()
    refreshed = stack.export()
    after = marked_unfinished(refreshed, before)
    if after != refreshed:
        stack.import_(after)


def _save(file: Path, state: Mapping[str, Any]) -> None:
    """Write a copy that only its owner can read: its secrets are encrypted, the rest is not."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as copy:
            json.dump(state, copy, indent=2)
    except OSError as error:
        raise RecoverError(f"{file}: the state cannot be saved there ({error.strerror}); add --copies FOLDER") from None
