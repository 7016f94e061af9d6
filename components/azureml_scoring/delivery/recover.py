"""`recover`: after a killed `pulumi up`, bring state and Azure together again, so that the next `up` converges.

Owns the order (keep a copy, unlock, adopt or drop what was pending, refresh), looking at Azure, and that nothing is
changed which is not understood: while one operation is left undecided, nothing is done at all. Refuses to own what
becomes of an operation (`pending.py`), and the `up` that follows. Deletes nothing on Azure but passwords that the
killed run made and whose value nobody knows.

https://www.pulumi.com/docs/iac/operations/troubleshooting/interrupted-updates/
"""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpResponse

from azureml_scoring.delivery.pending import (
    Answer,
    Decisions,
    Look,
    StateError,
    Step,
    conclude,
    decided,
    judge,
    mended,
    operations,
    redone,
    unread,
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
"""Where copies of the state are kept, seen from the project's folder."""

_SUBSCRIPTIONS_API: Final = "2022-12-01"
_STATES: Final = {"failed": "; its provisioning failed, which up mends", "canceled": "; it was cancelled, up mends it"}
_APPLICATION: Final = "/applications/"
_PRINCIPAL: Final = "/servicePrincipals/"

_DIFFERS: Final = re.compile(r" (updated|deleted) \(|warning: ")
"""Lines of a refresh that say where the state was not as Azure is."""

Tell = Callable[[str], None]


class RecoverError(StateError):
    """It cannot be done; one line."""


@dataclass(frozen=True)
class Lock:
    """Who holds the stack, as the backend keeps it."""

    user: str
    host: str
    process: int
    since: str

    @property
    def lives(self) -> bool:
        """Whether that process still runs, as far as this machine can tell."""
        if self.host != socket.gethostname():
            return False
        with suppress(OSError):
            return Path(f"/proc/{self.process}/comm").read_text(encoding="utf-8").startswith("pulumi")
        return False

    def __str__(self) -> str:
        """One line for whoever is asked."""
        ours = self.host == socket.gethostname()
        ended = "which no longer runs" if ours else "elsewhere: make sure that it has ended"
        return f"{self.user}@{self.host}, process {self.process} since {self.since}, {ended}"


@dataclass(frozen=True)
class Plan:
    """What would be done to a stack."""

    stack: str
    steps: tuple[Step, ...]
    locks: tuple[Lock, ...] | None
    """None where the backend does not show them."""
    copy: Path
    unread: tuple[str, ...] = ()
    """What an earlier recovery has adopted, but not yet refreshed."""

    @property
    def left(self) -> tuple[Step, ...]:
        """What is not for us to say."""
        return tuple(step for step in self.steps if step.fate == "leave")

    @property
    def needless(self) -> bool:
        """Whether no run has left anything."""
        return not self.steps and not self.unread and self.locks == ()

    @property
    def lines(self) -> Iterator[str]:
        """The plan for whoever is asked."""
        yield f"Stack {self.stack}: {len(self.steps)} pending operations, {_counted(self.locks)}."
        yield f"  keep     the state as it is, in {self.copy}"
        if self.locks is None:
            yield "  unlock   by `pulumi cancel`: make sure that nobody deploys this stack now"
        for lock in self.locks or ():
            yield f"  unlock   {lock}"
        for step in self.steps:
            yield f"  {step}"
        yield f"  refresh  all that the state then has{_beside(self.unread)}"
        for step in self.left:
            name = step.operation.name
            yield f"{name}: look whether Azure has it, then say --adopt {name}=ID or --drop {name}"


def _beside(unread: tuple[str, ...]) -> str:
    return f", with {', '.join(unread)} from a recovery that did not end" if unread else ""


def _counted(locks: tuple[Lock, ...] | None) -> str:
    return "perhaps locked" if locks is None else "locked" if locks else "not locked"


@dataclass(frozen=True)
class Stack:
    """One stack, by the Pulumi CLI in the project's folder."""

    folder: Path
    name: str

    def run(self, *words: str, given: str | None = None) -> str:
        """Run a command to its end; what it prints."""
        program = shutil.which("pulumi")
        if program is None:
            raise RecoverError("pulumi is not on PATH; install it, or on the local Azure use the shell of `make env`")
        chosen = ["--stack", self.name] if self.name and words[0] != "whoami" else []
        done = subprocess.run(
            [program, "--non-interactive", "--color=never", *words, *chosen],
            cwd=self.folder,
            input=given or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RecoverError(f"pulumi {words[0]}: {_reason(done.stderr or done.stdout)}")
        return done.stdout

    def export(self) -> dict[str, Any]:
        """The state; secrets stay sealed."""
        found: dict[str, Any] = json.loads(self.run("stack", "export"))
        return found

    def put(self, state: Mapping[str, Any]) -> None:
        """Make this the state; the engine checks it first."""
        self.run("stack", "import", given=json.dumps(state))

    def locks(self) -> tuple[Lock, ...] | None:
        """Who holds the stack; None where the backend is not a folder."""
        url = os.environ.get("PULUMI_BACKEND_URL") or json.loads(self.run("whoami", "--json"))["url"]
        if not url.startswith("file://"):
            return None
        place = self.folder / Path(url.removeprefix("file://")).expanduser()
        project = yaml.safe_load((self.folder / "Pulumi.yaml").read_text(encoding="utf-8"))["name"]
        *_, stack = self.name.split("/")
        found = place.glob(f".pulumi/locks/*/{project}/{stack}/*.json")
        return tuple(_lock(json.loads(file.read_text(encoding="utf-8"))) for file in sorted(found))


def selected(folder: Path) -> str:
    """The stack that is selected in a project's folder."""
    return Stack(folder, "").run("stack", "--show-name").strip()


def _lock(told: Mapping[str, Any]) -> Lock:
    return Lock(told["username"], told["hostname"], told["pid"], told["timestamp"].partition(".")[0])


def _reason(text: str) -> str:
    """The line of an output that tells the failure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line.partition("error: ")[2] for line in lines if "error: " in line), lines[-1] if lines else "failed")


@dataclass(frozen=True)
class Azure:
    """What is there: Resource Manager, and Entra by Microsoft Graph.

    https://learn.microsoft.com/graph/api/application-list
    """

    arm: Arm
    graph: HttpClient = field(init=False)

    def __post_init__(self) -> None:
        """Speak to Graph as whoever speaks to Resource Manager."""
        base = self.arm.cloud.graph
        bearer = BearerTokenCredentialPolicy(self.arm.credential, f"{base}/.default")
        object.__setattr__(self, "graph", HttpClient(f"{base}/v1.0", authentication=bearer))

    def demand(self, subscription: str) -> None:
        """Raise where a subscription cannot be seen: there, everything would seem to be gone."""
        if self.arm.get(f"/subscriptions/{subscription}", _SUBSCRIPTIONS_API) is None:
            raise RecoverError(f"ARM_SUBSCRIPTION_ID = {subscription}: who signs in cannot see it; correct one of them")

    def answer(self, look: Look) -> Answer:
        """Look for what an operation may have made."""
        try:
            if look.application:
                return _one_application(self._listed("applications", "displayName", look.application), look)
            if look.principal_of:
                found = self._listed("servicePrincipals", "appId", look.principal_of)
                return Answer(f"{_PRINCIPAL}{found[0]['id']}") if found else Answer()
            if look.password:
                return Answer(lost=tuple(self._lost(look)))
            document = self.arm.get(look.arm_id, look.version)
        except ArmError as error:
            return Answer(unclear=str(error))
        if document is None:
            return Answer()
        state = state_of(document)
        note = "; Azure is still at it, which is waited for" if state in TRANSITIONAL_STATES else _STATES.get(state, "")
        return Answer(str(document.get("id") or look.arm_id), note)

    def settle(self, look: Look, tell: Tell) -> None:
        """Wait while Azure is at it."""
        self.arm.wait_until_idle(look.arm_id, look.version, log_states(tell, look.arm_id.rpartition("/")[2]))

    def remove_password(self, owner: str, key: str) -> None:
        """Take a password away."""
        path = f"{_APPLICATION}{owner}/removePassword"
        reply = self.graph.send("POST", path, body={"keyId": key})
        _good(reply, "POST", path)

    def _listed(self, kind: str, name: str, value: str) -> list[dict[str, Any]]:
        told = value.replace("'", "''")
        reply = self.graph.send("GET", f"/{kind}", params={"$filter": f"{name} eq '{told}'"})
        found: list[dict[str, Any]] = json_object(_good(reply, "GET", f"/{kind}")).get("value") or []
        return found

    def _lost(self, look: Look) -> Iterator[str]:
        path = f"{_APPLICATION}{look.owner}"
        reply = self.graph.send("GET", path)
        if reply.status_code == HTTPStatus.NOT_FOUND:
            return
        for each in json_object(_good(reply, "GET", path)).get("passwordCredentials") or []:
            if each.get("displayName") == look.password and f"{look.owner}/password/{each['keyId']}" not in look.known:
                yield str(each["keyId"])


def _good(reply: HttpResponse, method: str, path: str) -> HttpResponse:
    if reply.status_code >= HTTPStatus.BAD_REQUEST:
        raise error_of(reply, request_name(method, path))
    return reply


def _one_application(named: list[dict[str, Any]], look: Look) -> Answer:
    """Choose the application that a killed run made: names are not unique in Entra, and anybody can take one.

    What depends on an application is made after it, so that the one of a pending creation has no credentials yet.
    """
    found = [each for each in named if f"{_APPLICATION}{each['id']}" not in look.known]
    if not found:
        return Answer()
    ids = ", ".join(f"{_APPLICATION}{each['id']}" for each in found)
    if len(found) > 1:
        return Answer(unclear=f"Entra has {len(found)} applications named {look.application}: {ids}")
    if found[0].get("passwordCredentials") or found[0].get("keyCredentials"):
        return Answer(unclear=f"Entra has {ids}, whose credentials the killed run cannot have made")
    return Answer(ids, f", made {found[0].get('createdDateTime', 'at a time that is not told')}")


def recover(  # noqa: PLR0913 - where, what is agreed, and who is told
    folder: Path,
    stack: str,
    *,
    agree: Callable[[Plan], bool],
    tell: Tell = print,
    decisions: Decisions | None = None,
    copies: Path | None = None,
) -> bool:
    """Recover one stack after its run was killed; True when the next `up` can go on.

    `agree` sees the plan and answers whether to do it; it is not asked where nothing is to be done, or something is
    left to its user. Raises StateError with one line. Azure is reached as the environment says (`arm.py`).
    """
    try:
        return _recovered(folder, stack, Azure(connect()), agree, tell, decisions, copies)
    except ResourceError as error:
        raise RecoverError(str(error)) from None


def _recovered(  # noqa: PLR0913, PLR0917 - as above
    folder: Path,
    stack: str,
    azure: Azure,
    agree: Callable[[Plan], bool],
    tell: Tell,
    decisions: Decisions | None,
    copies: Path | None,
) -> bool:
    chosen = Stack(folder, stack)
    state = chosen.export()
    locks = chosen.locks()
    if alive := [lock for lock in locks or () if lock.lives]:
        raise RecoverError(f"stack {stack}: process {alive[0].process} still works on it; wait for it, or end it")
    steps, looks = _judged(state, azure, decisions or Decisions())
    now = datetime.now(UTC)
    copy = (copies or folder / COPIES) / f"{stack.replace('/', '-')}-{now:%Y%m%dT%H%M%S.%fZ}.json"
    plan = Plan(stack, tuple(steps), locks, copy, tuple(unread(state)))
    if plan.needless:
        tell(f"Stack {stack}: nothing is pending, and nobody holds it.")
        return True
    for line in plan.lines:
        tell(line)
    if plan.left:
        tell("Nothing was changed.")
        return False
    if not agree(plan):
        tell("Nothing was changed.")
        return False
    _keep(plan.copy, state)
    tell(f"The state as it was: {plan.copy}")
    _unlock(chosen, plan, state)
    try:
        after = mended(state, plan.steps)
        if plan.steps:
            _clear(azure, plan, looks, tell)
            chosen.put(after)
        _refresh(chosen, after, tell)
    except RecoverError as error:
        raise RecoverError(f"{error}; the state as it was: {plan.copy}") from None
    tell(f"Stack {stack} is recovered: `pulumi up --stack {stack}` finishes what was begun.")
    return True


def _judged(state: Mapping[str, Any], azure: Azure, decisions: Decisions) -> tuple[list[Step], list[Look]]:
    subscription = os.environ.get("ARM_SUBSCRIPTION_ID", "")
    if subscription:
        azure.demand(subscription)
    steps: list[Step] = []
    looks: list[Look] = []
    for operation in operations(state):
        found: Step | Look = judge(state, operation, subscription)
        if isinstance(found, Look):
            step = conclude(operation, found, azure.answer(found))
            if step.fate == "adopt" and found.arm_id:
                looks.append(found)
            steps.append(step)
        else:
            steps.append(found)
    return decided(steps, decisions), looks


def _unlock(stack: Stack, plan: Plan, seen: Mapping[str, Any]) -> None:
    """Take the locks away; raise where somebody turns out to be at work after all."""
    if plan.locks is None:
        # Pulumi Cloud refuses where nothing runs. What is locked in spite of all refuses the import.
        with suppress(RecoverError):
            stack.run("cancel", "--yes")
    elif plan.locks:
        stack.run("cancel", "--yes")
    if stack.export() != seen:
        raise RecoverError(f"stack {plan.stack}: its state has changed meanwhile; somebody else is at work on it")


def _clear(azure: Azure, plan: Plan, looks: list[Look], tell: Tell) -> None:
    """Wait for what Azure is still at, and take away what nobody can use."""
    for look in looks:
        azure.settle(look, tell)
    for step in plan.steps:
        for key in step.lost:
            azure.remove_password(step.owner, key)
            tell(f"Removed the password with the key id {key} from application {step.owner}.")


def _refresh(stack: Stack, before: Mapping[str, Any], tell: Tell) -> None:
    """Read all that the state has, and let the next `up` write what was adopted."""
    tell("Refreshing.")
    for line in stack.run("refresh", "--yes", "--skip-preview", "--suppress-progress").splitlines():
        if _DIFFERS.search(line):
            tell(f"  {line.strip(' ~-')}")
    refreshed = stack.export()
    after = redone(refreshed, before)
    if after != refreshed:
        stack.put(after)


def _keep(file: Path, state: Mapping[str, Any]) -> None:
    """Write a copy for its owner alone: its secrets are sealed, but it tells much."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as copy:
            json.dump(state, copy, indent=2)
    except OSError as error:
        raise RecoverError(f"{file}: the state cannot be kept there ({error.strerror}); say --copies FOLDER") from None
