"""One version through several stacks: built once, carried by digest, taken into service beside the one that serves.

Owns: the steps on the engine and on Azure, the approval, the way back when a step fails, and the table at the end.
Refuses to own: what is next (`rollout_plan.py`), and the shift of traffic with its steps, limits and restoration, which
is the resource `EndpointTraffic`'s. Between two steps nothing is remembered: each looks at the stack's state.
"""

import json
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from azureml_scoring.delivery import recover as recovery
from azureml_scoring.delivery.engine import Engine, EngineError, config_of
from azureml_scoring.delivery.pending import StateError
from azureml_scoring.delivery.rollout_plan import (
    Desired,
    Do,
    RolloutError,
    Seen,
    Step,
    back_step,
    desired,
    difference,
    digest_of,
    next_step,
    read_state,
    sections,
    short,
    split,
    undone,
)
from azureml_scoring.plan.stack import StackPlan, plan_file
from azureml_scoring.provider.arm import ML_API, Arm, connect
from azureml_scoring.provider.endpoint_traffic import SUCCESS, SmokeTest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.stack import StackFile

_STEPS = 4
"""Looks at one stack: deploy, shift, done, and one to spare."""
_PAUSE = 2.0
_UNBUILT = "not-built"
"""Stands for an image in a dry run, where nobody knows its digest."""
OK, FAILED, WAITING = 0, 1, 3
"""Exit codes: all done; a step failed and what served serves on; a stack waits for approval."""
_HEAD = ("STACK", "VERSION", "DEPLOYMENT", "RESULT", "SECONDS")


class WaitingError(Exception):
    """A stack waits for somebody's approval: one line that says how to go on."""


@dataclass(frozen=True)
class Asked:
    """What the user asked for."""

    stacks: Sequence[str]
    source: str = ""
    """The stack whose version is taken; empty: the first stack builds it."""
    approved: frozenset[str] = frozenset()
    dry_run: bool = False


@dataclass(frozen=True)
class Stack:
    """One stack with its config as it stands in its file."""

    name: str
    config: Mapping[str, Any]
    settings: StackFile
    plan: StackPlan
    checks: Sequence[tuple[str, object, object]] = ()
    """Name, request and reply of each."""
    tolerance: float = 0.0
    approval: bool = False

    @property
    def deployments(self) -> list[str]:
        """Names of the deployments that the file describes."""
        return list(self.settings.deployments)


@dataclass
class Row:
    """A line of the final table."""

    stack: str
    version: str = "-"
    slot: str = "-"
    result: str = "not begun"
    seconds: float = 0.0

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        return (self.stack, self.version, self.slot, self.result, f"{self.seconds:.0f}")


@dataclass
class Rollout:
    """Takes stacks from version to version; `tell` gets a line at a time."""

    root: Path
    tell: Callable[[str], None]
    ask: Callable[[str], bool] | None = None
    """Asks a person; None where there is none."""
    arm: Callable[[], Arm] = connect
    rows: list[Row] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        """Pulumi in the project's folder."""
        return Engine(self.root, self.tell)

    # -- commands --------------------------------------------------------------------------------------------------

    def roll(self, asked: Asked) -> int:
        """Take the version through all stacks; stop at the first that fails or waits."""
        self.rows = [Row(name) for name in asked.stacks]
        return self._guarded(lambda: self._through(asked))

    def _through(self, asked: Asked) -> None:
        stacks = [self.load(name) for name in asked.stacks]
        version = self._served(asked.source) if asked.source else _promote(stacks[0])
        for stack, row in zip(stacks, self.rows, strict=True):
            start = time.monotonic()
            try:
                version = self._stack(asked, stack, row, version)
            finally:
                row.seconds = time.monotonic() - start

    def rollback(self, name: str, *, dry_run: bool = False) -> int:
        """Go back to the version that served before, or out of a shift that was killed half-way."""
        self.rows = [Row(name)]
        return self._guarded(lambda: self._back(self.load(name), self.rows[0], dry_run=dry_run))

    def _back(self, stack: Stack, row: Row, *, dry_run: bool) -> None:
        start = time.monotonic()
        if not dry_run:
            self._recover(stack.name)
        seen = self._seen(stack.name)
        step = back_step(seen)
        image = seen.images[step.slot]
        row.version, row.slot = short(image), step.slot
        self.tell(f"{stack.name}: {split(seen.traffic)}; back to {short(image)} in {step.slot}")
        if dry_run:
            row.result = "would go back"
            return
        try:
            self._verify(seen, step.slot, digest_of(image))
            # Its replies were right when it served, and what is expected may have changed since.
            self._test(stack, seen, step.slot, compare=False)
            self._send(stack, seen, step, seen.source or None)
            row.result = f"went back from {short(seen.images[step.live])}"
        except (EngineError, ResourceError, RolloutError) as error:
            row.result = f"{step.live} serves on: {error}"
            raise
        finally:
            row.seconds = time.monotonic() - start

    def pin(self, names: Sequence[str], *, following: bool = False) -> int:
        """Write what serves into the stacks' files: for a checkout that has not seen the last rollout.

        `following` leaves the other deployment to the stack's image, as the next rollout would: to preview that.
        """
        self.rows = [Row(name) for name in names]
        return self._guarded(lambda: self._pin(following=following))

    def _pin(self, *, following: bool) -> None:
        for row in self.rows:
            stack, seen = self.load(row.stack), self._seen(row.stack)
            row.version, row.slot, row.result = (
                short(seen.images.get(seen.live, "")),
                seen.live or "-",
                "is written down",
            )
            if not seen.live:
                row.result = f"left alone: traffic goes {split(seen.traffic)}"
            else:
                step = next_step(seen, stack.deployments, "") if following else Step(Do.DONE, seen.live)
                self._write(stack, desired(step, seen, seen.source or None))

    # -- one stack -------------------------------------------------------------------------------------------------

    def load(self, name: str) -> Stack:
        """Read and check a stack's file, and the replies that it expects."""
        file = self.root / f"Pulumi.{name}.yaml"
        if not file.is_file():
            raise RolloutError(f"{file.name} does not exist; `pulumi stack init {name}`, and describe the stack there")
        config = config_of(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        settings, plan = plan_file(config, self.root)
        rollout = settings.rollout
        checks = [(each.request, self._json(each.request), self._json(each.reply)) for each in rollout.checks]
        return Stack(name, config, settings, plan, checks, rollout.tolerance, rollout.approval == "required")

    def _stack(self, asked: Asked, stack: Stack, row: Row, version: str) -> str:
        """Take one stack to a version (empty: the one that it builds); return the image that it serves."""
        seen, digest, step = self._look(stack, version)
        row.slot, row.version = step.slot, short(version or (seen.image if digest else ""))
        if asked.dry_run:
            return self._tell_plan(stack, row, step, seen, version)
        if step.do is not Do.DONE:
            self._approve(asked, stack, row, version)
            self._recover(stack.name)
        for _ in range(_STEPS):
            seen, digest, step = self._look(stack, version)
            row.slot = step.slot
            if step.do is Do.DONE:
                break
            try:
                self._do(stack, seen, step, digest, version)
            except (EngineError, ResourceError, RolloutError) as error:
                row.result = "failed"
                raise RolloutError(f"{stack.name}: {error}{self._undo(stack, step)}") from None
            row.result = "serves"
        else:
            raise RolloutError(f"{stack.name}: what it is built from changes all the while; run this again")
        self._verify(seen, step.slot, digest)
        self._write(self.load(stack.name), desired(step, seen, version or None))
        image = seen.images[step.slot]
        row.version = short(image)
        if row.result != "serves":
            row.result = "serves it already"
        self.tell(f"{stack.name}: {step.slot} serves {short(image)}")
        return image

    def _look(self, stack: Stack, version: str) -> tuple[Seen, str, Step]:
        """What the state says, which digest is wanted (empty: to be built), and what is next."""
        seen = self._seen(stack.name)
        digest = digest_of(version) or _built(stack, seen)
        return seen, digest, next_step(seen, stack.deployments, digest)

    def _do(self, stack: Stack, seen: Seen, step: Step, digest: str, version: str) -> None:
        if step.do is Do.SHIFT:
            self._shift(stack, seen, step, digest, version or None)
            return
        beside = f"beside {step.live}, at 0 %" if step.live else "as the first version"
        self.tell(f"{stack.name}: {'importing' if version else 'building'}, then {step.slot} {beside}")
        self._write(self.load(stack.name), desired(step, seen, version or None))
        self.engine.up(stack.name)
        if step.do is Do.CREATE:
            self._test(stack, self._seen(stack.name), step.slot)

    def _shift(self, stack: Stack, seen: Seen, step: Step, digest: str, promote: str | None) -> None:
        """Test a version that stands at 0 %, and let `EndpointTraffic` send everything there."""
        self._verify(seen, step.slot, digest)
        self._test(stack, seen, step.slot)
        self._send(stack, seen, step, promote)

    def _send(self, stack: Stack, seen: Seen, step: Step, promote: str | None) -> None:
        """Let `EndpointTraffic` send everything to the deployment."""
        self.tell(f"{stack.name}: traffic from {step.live} to {step.slot}")
        self._write(self.load(stack.name), desired(step, seen, promote))
        self.engine.up(stack.name)

    def _undo(self, stack: Stack, step: Step) -> str:
        """Leave only what served before; say how that went."""
        if not step.live:
            return "; nothing served before it"
        self.tell(f"{stack.name}: {step.live} serves on; {step.slot} is taken away")
        try:
            seen = self._seen(stack.name)
            self._write(self.load(stack.name), undone(step, seen))
            self.engine.up(stack.name)
            # A deployment that failed at first is in nobody's state.
            left = f"{seen.endpoint_id}/deployments/{step.slot}"
            if self.arm().get(left, ML_API) is not None:
                self.arm().delete(left, ML_API)
        except (EngineError, ResourceError, RolloutError) as error:
            return f"; and taking {step.slot} away failed as well: {error}"
        return f"; {step.live} serves on"

    # -- Azure -----------------------------------------------------------------------------------------------------

    def _verify(self, seen: Seen, slot: str, digest: str) -> None:
        """See on Azure itself that a deployment runs this digest."""
        path = f"{seen.endpoint_id}/deployments/{slot}"
        deployment = self.arm().get(path, ML_API) or {}
        environment_id = str((deployment.get("properties") or {}).get("environmentId") or "").removeprefix("azureml:")
        environment = (self.arm().get(environment_id, ML_API) if environment_id else None) or {}
        image = str((environment.get("properties") or {}).get("image") or "nothing")
        if digest_of(image) != digest:
            raise RolloutError(
                f"deployment {slot} runs {image} on Azure, not {digest}; who else changes it? `pulumi up --refresh`"
            )

    def _test(self, stack: Stack, seen: Seen, slot: str, *, compare: bool = True) -> None:
        """Send the stack's requests to a deployment by name, and compare its replies with the expected ones."""
        if not stack.checks:
            self.tell(f"{stack.name}: {slot} is not tested; name requests and replies by scoring:rollout.checks")
            return
        document = self.arm().get(seen.endpoint_id, ML_API) or {}
        probe = SmokeTest(Context("", preview=False, log=self.tell, connect=self.arm), document, None)
        for name, request, reply in stack.checks:
            answer = probe.send(slot, request)
            text = answer.content.decode("utf-8", "replace")
            if answer.status_code not in SUCCESS:
                raise RolloutError(f"deployment {slot} answers {name} with HTTP {answer.status_code} {text[:200]}")
            if not compare:
                continue
            try:
                got = json.loads(text)
            except ValueError:
                raise RolloutError(f"deployment {slot} answers {name} with no JSON: {text[:200]}") from None
            if said := difference(reply, got, stack.tolerance):
                raise RolloutError(f"deployment {slot} answers {name} wrongly: {said}")
        how = "as expected" if compare else "well"
        self.tell(f"{stack.name}: {slot} answers {', '.join(name for name, _, _ in stack.checks)} {how}")

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _guarded(self, work: Callable[[], None]) -> int:
        code = OK
        try:
            work()
        except WaitingError as waiting:
            self.tell(str(waiting))
            code = WAITING
        except (EngineError, ResourceError, RolloutError, SettingsError, StateError) as error:
            self.tell(f"error: {error}")
            code = FAILED
        self.tell("")
        for line in table([_HEAD, *(row.cells for row in self.rows)]):
            self.tell(line)
        return code

    def _seen(self, stack: str) -> Seen:
        return read_state(self.engine.state(stack))

    def _served(self, stack: str) -> str:
        seen = self._seen(stack)
        if not seen.live:
            raise RolloutError(f"stack {stack} serves no version ({split(seen.traffic)}); roll out there first")
        return seen.images[seen.live]

    def _write(self, stack: Stack, wanted: Desired) -> None:
        self.engine.write(stack.name, sections(stack.config, wanted))

    def _tell_plan(self, stack: Stack, row: Row, step: Step, seen: Seen, version: str) -> str:
        """Say what would be done; return the image that the stack would serve."""
        what = f"import {short(version) if digest_of(version) else 'it'}"
        if not version:
            what = f"build {_content(stack)}"
        rest = {
            Do.CREATE: f"{what} and serve it from {step.slot}, as the first version",
            Do.DEPLOY: f"{what}, deploy it to {step.slot} at 0 %, test it, and shift traffic there from {step.live}",
            Do.SHIFT: f"test {step.slot}, which stands, and shift traffic there from {step.live}",
            Do.DONE: f"nothing; {step.slot} serves {short(seen.images.get(step.slot, ''))} already",
        }[step.do]
        approval = ", after approval" if stack.approval and step.do is not Do.DONE else ""
        row.result = "serves it already" if step.do is Do.DONE else f"would {step.do}{approval}"
        self.tell(f"{stack.name}: {rest}{approval}")
        stands = seen.images[step.slot] if step.do in {Do.SHIFT, Do.DONE} else _UNBUILT
        return version or stands

    def _recover(self, stack: str) -> None:
        """After a run that was killed: wait until it has ended, then make state and Azure fit again."""
        held = recovery.Stack(self.root, stack)
        told = False
        while any(lock.lives for lock in held.locks() or ()):
            if not told:
                self.tell(f"{stack}: waiting for the run that still works on it")
            told = True
            time.sleep(_PAUSE)
        pending = (self.engine.state(stack).get("deployment") or {}).get("pending_operations")
        if not (held.locks() or pending):
            return

        def ours(plan: recovery.Plan) -> bool:
            return all(lock.host == socket.gethostname() for lock in plan.locks or ())

        if not recovery.recover(self.root, stack, agree=ours, tell=self.tell):
            raise RolloutError(f"{stack}: a killed run left things to decide; `azureml-scoring recover {stack}`")

    def _approve(self, asked: Asked, stack: Stack, row: Row, version: str) -> None:
        if not stack.approval or stack.name in asked.approved:
            return
        if self.ask is not None and self.ask(f"{stack.name}: take {short(version)} into service? [y/N] "):
            return
        row.result = "waits for approval"
        source = f"--from {asked.source} " if asked.source else ""
        raise WaitingError(
            f"{stack.name} waits for approval; to go on: azureml-scoring rollout {source}"
            f"{' '.join(asked.stacks)} --approve {stack.name}"
        )

    def _json(self, name: str) -> object:
        try:
            found: object = json.loads((self.root / name).read_text(encoding="utf-8"))
        except OSError as error:
            raise RolloutError(f"scoring:rollout.checks: {name} cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise RolloutError(f"scoring:rollout.checks: {name} is no JSON ({error})") from None
        return found


def _built(stack: Stack, seen: Seen) -> str:
    """The digest of what the stack's file describes, where its state has it already."""
    content = _content(stack)
    return digest_of(content) or (digest_of(seen.image) if content == seen.tag else "")


def _content(stack: Stack) -> str:
    """The name of what the stack's image is made from: known without an engine."""
    image = stack.plan.image
    return image.tag or image.reference or "" if image else ""


def _promote(stack: Stack) -> str:
    """The version that a stack's file names itself."""
    return str((stack.config.get("image") or {}).get("promote") or "")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def person() -> Callable[[str], bool] | None:
    """Whom to ask: the one at the terminal; nobody in CI."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return lambda question: input(question).strip().lower() in {"y", "yes"}
