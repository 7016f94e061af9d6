"""One version through several stacks: built once, carried by digest, deployed beside the version that serves.

Owns the steps on the engine and on Azure, the approval, the way back when a step fails, and the final table. Refuses to
own what is next (`rollout_plan.py`), and the shift of traffic with its checks, steps, limits and restoration, which
belongs to the resource `EndpointTraffic`. Between two steps nothing is remembered: each reads the stack's state.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from azureml_scoring.delivery.engine import Lock, LockedError, PulumiStack, config_of
from azureml_scoring.delivery.pending import operations
from azureml_scoring.delivery.recover import recover
from azureml_scoring.delivery.rollout_events import Event, EventKind, engine_event
from azureml_scoring.delivery.rollout_plan import (
    Action,
    DesiredState,
    ObservedState,
    RolloutError,
    Step,
    config_changes,
    desired,
    digest_of,
    format_split,
    next_step,
    read_state,
    restored,
    rollback_step,
    short_digest,
)
from azureml_scoring.delivery.rollout_summary import Row
from azureml_scoring.errors import CommandError, ExitCode
from azureml_scoring.plan.stack import StackPlan, plan_file
from azureml_scoring.provider.arm import ML_API, Arm, connect
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.settings.errors import SettingsError
from azureml_scoring.settings.stack import StackSettings

_STEPS: Final = 3
"""Steps of one stack: deploy or shift, done, and one to spare."""
_TURNS: Final = 3
"""Turns of other runs that are waited for before a step."""
_PAUSE: Final = 2.0
"""Seconds between two looks at a lock."""
_UNBUILT: Final = "not-built"
"""Stands for an image in a dry run, whose digest is not known before the build."""


class ApprovalNeeded(Exception):  # noqa: N818 - no error
    """A stack waits for approval: one line that says how to go on."""


@dataclass(frozen=True)
class Request:
    """What a rollout was asked to do."""

    stacks: Sequence[str]
    source: str = ""
    """The stack whose version is taken; empty: the first stack builds it."""
    approved: frozenset[str] = frozenset()
    dry_run: bool = False


@dataclass(frozen=True)
class StackFile:
    """One stack with its config."""

    name: str
    config: Mapping[str, Any]
    settings: StackSettings
    plan: StackPlan

    @property
    def needs_approval(self) -> bool:
        """Whether a person must agree before the stack changes."""
        return self.settings.rollout.approval == "required"

    @property
    def deployments(self) -> list[str]:
        """Names of the deployments that the file describes."""
        return list(self.settings.deployments)

    @property
    def content(self) -> str:
        """The name of what the stack's image is built from: known without an engine."""
        image = self.plan.image
        return image.tag or image.reference or "" if image else ""

    def built_digest(self, observed: ObservedState) -> str:
        """The digest of what the file describes, where the stack's state has it already; empty: it is to be built."""
        return digest_of(self.content) or (digest_of(observed.image) if self.content == observed.tag else "")


@dataclass
class Rollout:
    """Takes stacks from version to version."""

    project: Path
    tell: Callable[[Event], None]
    """Takes what happens, as it happens."""
    confirm: Callable[[str], bool] | None = None
    """Asks the user at the terminal; None where there is none."""
    arm: Callable[[], Arm] = connect
    rows: list[Row] = field(default_factory=list)

    # -- commands --------------------------------------------------------------------------------------------------

    def roll(
        self, stacks: Sequence[str], *, source: str = "", approved: Sequence[str] = (), dry_run: bool = False
    ) -> ExitCode:
        """Take the version of `source`, else the one that the first stack builds, through all stacks.

        Stops at the first stack that fails, or that needs approval and is not `approved`.
        """
        request = Request(stacks, source, frozenset(approved), dry_run)
        return self._report(stacks, lambda: self._roll(request))

    def _roll(self, request: Request) -> None:
        files = [self.load(name) for name in request.stacks]
        version = self._served(request.source) if request.source else _promoted(files[0])
        for file, row in zip(files, self.rows, strict=True):
            with self._turn(row):
                version = self._roll_stack(request, file, row, version)

    def rollback(self, name: str, *, dry_run: bool = False) -> ExitCode:
        """Go back to the version that served before, or out of a shift that was interrupted."""
        return self._report([name], lambda: self._rollback(self.load(name), self.rows[0], dry_run=dry_run))

    def _rollback(self, file: StackFile, row: Row, *, dry_run: bool) -> None:
        observed = self._observe(file.name) if dry_run else self._recover(file.name)
        step = rollback_step(observed)
        image = observed.images[step.deployment]
        row.version, row.deployment = short_digest(image), step.deployment
        split = format_split(observed.traffic)
        self._say(EventKind.PLANNED, file.name, f"{split}; back to {short_digest(image)} in {step.deployment}")
        if dry_run:
            row.result = "would go back"
            return
        with self._turn(row):
            try:
                self._execute(file, observed, step, digest_of(image), observed.source)
            except (CommandError, ResourceError) as error:
                row.result = f"{step.serving} serves on: {error}"
                raise
            row.result = f"went back from {short_digest(observed.images[step.serving])}"

    def pin(self, names: Sequence[str], *, following: bool = False) -> ExitCode:
        """Write the versions that serve into the stack files: for a checkout that is older than the last rollout.

        `following` leaves the other deployment to the stack's image, as the next rollout would: to preview that.
        """
        return self._report(names, lambda: self._pin(following=following))

    def _pin(self, *, following: bool) -> None:
        for row in self.rows:
            file, observed = self.load(row.stack), self._observe(row.stack)
            serving = observed.serving
            if not serving:
                row.result = f"left alone: traffic goes {format_split(observed.traffic)}"
                continue
            row.version, row.deployment, row.result = short_digest(observed.images[serving]), serving, "is pinned"
            step = self._next(file, _promoted(file), observed)[1] if following else Step(Action.DONE, serving)
            state = desired(step, observed, observed.source or None)
            self._configure(file, state if following else replace(state, kept=observed.own))

    # -- one stack -------------------------------------------------------------------------------------------------

    def load(self, name: str) -> StackFile:
        """Read and check a stack file, and the files that it names."""
        file = self.project / f"Pulumi.{name}.yaml"
        if not file.is_file():
            raise RolloutError(
                f"{file.name} does not exist; run `pulumi stack init {name}` and write its settings there"
            )
        config = config_of(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        settings, plan = plan_file(config, self.project)
        return StackFile(name, config, settings, plan)

    def _roll_stack(self, request: Request, file: StackFile, row: Row, version: str) -> str:
        """Take one stack to a version (empty: the one that it builds); return the image that it serves."""
        observed = self._observe(file.name)
        digest, step = self._next(file, version, observed)
        row.deployment, row.version = step.deployment, short_digest(version or (observed.image if digest else ""))
        if request.dry_run:
            return self._describe(file, row, step, observed, version)
        result = "serves it already"
        if step.action is not Action.DONE:
            self._approve(request, file, row, version)
            for _ in range(_STEPS):
                observed, digest, step = self._advance(file, row, version)
                if step.action is Action.DONE:
                    break
                result = "serves"
            else:
                raise RolloutError("the image's files change during the rollout; run this again")
        self._verify_digest(observed, step.deployment, digest)
        self._configure(self.load(file.name), desired(step, observed, version or None))
        image = observed.images[step.deployment]
        row.version, row.result = short_digest(image), result
        self._say(EventKind.DONE, file.name, f"{step.deployment} serves {short_digest(image)}")
        return image

    def _advance(self, file: StackFile, row: Row, version: str) -> tuple[ObservedState, str, Step]:
        """Carry out the next step, if there is one; return it, with the state that it followed from.

        A run of this machine that holds the stack is waited for: what it brings may be this very version.
        """
        turns = _TURNS
        while True:
            try:
                return self._advance_unlocked(file, row, version)
            except LockedError:
                turns -= 1
                if not turns or not self._is_ours(file.name):
                    raise

    def _advance_unlocked(self, file: StackFile, row: Row, version: str) -> tuple[ObservedState, str, Step]:
        observed = self._recover(file.name)
        digest, step = self._next(file, version, observed)
        row.deployment = step.deployment
        if step.action is Action.DONE:
            return observed, digest, step
        try:
            self._execute(file, observed, step, digest, version)
        except LockedError:
            raise
        except (CommandError, ResourceError) as error:
            raise RolloutError(f"{error}{self._restore(file, step)}") from None
        return observed, digest, step

    def _next(self, file: StackFile, version: str, observed: ObservedState) -> tuple[str, Step]:
        """Return the wanted digest (empty: to be built), and the next step."""
        digest = digest_of(version) or file.built_digest(observed)
        return digest, next_step(observed, file.deployments, digest)

    def _execute(self, file: StackFile, observed: ObservedState, step: Step, digest: str, version: str) -> None:
        """Carry out a step; the resource `EndpointTraffic` does checks and the shift of traffic."""
        name = step.deployment
        if step.action is Action.SHIFT:
            self._verify_digest(observed, name, digest)
            self._say(EventKind.SHIFT, file.name, f"traffic from {step.serving} to {name}", percent=0)
        else:
            beside = f"beside {step.serving}, at 0 %" if step.serving else "as the first version"
            kind, words = (EventKind.IMPORT, "importing") if version else (EventKind.BUILD, "building")
            self._say(kind, file.name, f"{words}, then {name} {beside}", percent=0 if step.serving else None)
        if not file.settings.rollout.checks:
            untested = f"{name} is not tested; name requests and replies by scoring:rollout.checks"
            self._say(EventKind.CHECK, file.name, untested)
        self._configure(self.load(file.name), desired(step, observed, version or None))
        self._stack(file.name).up()

    def _restore(self, file: StackFile, step: Step) -> str:
        """Leave only the deployment that served before; say how that went."""
        if not step.serving:
            return "; no version served before it"
        self._say(EventKind.UNDONE, file.name, f"{step.serving} serves on; {step.deployment} is deleted", percent=0)
        try:
            observed = self._observe(file.name)
            # Read anew: the step that failed has changed the file.
            self._configure(self.load(file.name), restored(step, observed))
            self._stack(file.name).up()
            # A deployment whose creation failed is in no state.
            path = f"{observed.endpoint_id}/deployments/{step.deployment}"
            if self.arm().get(path, ML_API) is not None:
                self.arm().delete(path, ML_API)
        except (CommandError, ResourceError) as error:
            return f"; and deleting {step.deployment} failed as well: {error}"
        return f"; {step.serving} serves on"

    # -- Azure -----------------------------------------------------------------------------------------------------

    def _verify_digest(self, observed: ObservedState, name: str, digest: str) -> None:
        """Raise where a deployment does not run this digest on Azure itself."""
        deployment = self._properties(f"{observed.endpoint_id}/deployments/{name}")
        environment_id = str(deployment.get("environmentId") or "").removeprefix("azureml:")
        image = str((self._properties(environment_id) if environment_id else {}).get("image") or "nothing")
        if digest_of(image) != digest:
            raise RolloutError(
                f"deployment {name} runs {image} on Azure, not {digest}: it was changed outside of Pulumi;"
                " run `pulumi up --refresh`"
            )

    def _properties(self, path: str) -> Mapping[str, Any]:
        return (self.arm().get(path, ML_API) or {}).get("properties") or {}

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _report(self, stacks: Sequence[str], work: Callable[[], None]) -> ExitCode:
        """Run a command; tell its error."""
        self.rows = [Row(name) for name in stacks]
        try:
            work()
        except ApprovalNeeded as needed:
            return self._end(EventKind.APPROVAL, ExitCode.WAITING, needed)
        except LockedError as error:
            return self._end(EventKind.LOCKED, ExitCode.LOCKED, error)
        except (CommandError, ResourceError, SettingsError) as error:
            return self._end(EventKind.FAILED, ExitCode.FAILED, error)
        return ExitCode.OK

    def _end(self, kind: EventKind, code: ExitCode, error: Exception) -> ExitCode:
        """Tell why the run ends at the stack that was begun last."""
        self._say(kind, next((row.stack for row in reversed(self.rows) if row.is_begun), ""), str(error))
        return code

    @contextmanager
    def _turn(self, row: Row) -> Iterator[None]:
        """Begin with a stack, and measure how long it takes."""
        row.result, start = "failed", time.monotonic()
        self._say(EventKind.STARTED, row.stack, "the rollout reaches this stack")
        try:
            yield
        except LockedError:
            row.result = "is locked"
            raise
        finally:
            row.seconds, row.ended = time.monotonic() - start, datetime.now(UTC)

    def _say(self, kind: EventKind, stack: str, message: str, *, percent: int | None = None) -> None:
        self._event(Event(kind, stack, message, percent=percent))

    def _event(self, event: Event) -> None:
        """Tell an event, and keep what the summary shows of it."""
        if event.percent is not None:
            next(row for row in self.rows if row.stack == event.stack).shifts.append((event.time, event.percent))
        self.tell(event)

    def _stack(self, name: str) -> PulumiStack:
        gets_traffic = next((row.deployment for row in self.rows if row.stack == name), "")
        return PulumiStack(self.project, name, lambda line: self._event(engine_event(name, gets_traffic, line)))

    def _observe(self, stack: str) -> ObservedState:
        return read_state(self._stack(stack).export())

    def _served(self, stack: str) -> str:
        observed = self._observe(stack)
        if not observed.serving:
            raise RolloutError(
                f"stack {stack} serves no version ({format_split(observed.traffic)}); roll out there first"
            )
        return observed.images[observed.serving]

    def _configure(self, file: StackFile, state: DesiredState) -> None:
        self._stack(file.name).configure(config_changes(file.config, state))

    def _describe(self, file: StackFile, row: Row, step: Step, observed: ObservedState, version: str) -> str:
        """Log what would be done; return the image that the stack would serve."""
        name, image = step.deployment, observed.images.get(step.deployment, "")
        obtain = f"build {file.content}"
        if version:
            obtain = f"import {short_digest(version) if digest_of(version) else 'it'}"
        text = {
            Action.CREATE: f"{obtain} and serve it from {name}, as the first version",
            Action.DEPLOY: f"{obtain}, deploy it to {name} at 0 %, test it, then shift traffic from {step.serving}",
            Action.SHIFT: f"test {name}, which is deployed, then shift traffic from {step.serving}",
            Action.DONE: f"nothing; {name} serves {short_digest(image)} already",
        }[step.action]
        is_done = step.action is Action.DONE
        approval = ", after approval" if file.needs_approval and not is_done else ""
        row.result = "serves it already" if is_done else f"would {step.action}{approval}"
        self._say(EventKind.PLANNED, file.name, f"{text}{approval}")
        return version or (image if step.action in {Action.SHIFT, Action.DONE} else _UNBUILT)

    def _recover(self, name: str) -> ObservedState:
        """After a run that was killed: wait until it has ended, then make state and Azure agree again."""
        stack = self._stack(name)
        self._wait(stack)
        locks = stack.locks()
        if not locks and not stack.half_written() and not operations(state := stack.export()):
            return read_state(state)
        if locks is None or not _are_ours(locks):
            unknown = "a run that was killed or is still at work: make sure that it has ended"
            holder = next((str(lock) for lock in locks or () if not lock.is_local), unknown)
            raise LockedError(f"held by {holder}, then run `azureml-scoring recover {name}`")
        if not recover(stack, lambda plan: _are_ours(plan.locks or ())):
            raise RolloutError(f"a killed run left operations undecided; run `azureml-scoring recover {name}`")
        return self._observe(name)

    def _wait(self, stack: PulumiStack) -> None:
        """Wait until no run of this machine updates a stack."""
        if any(lock.is_alive for lock in stack.locks() or ()):
            self._say(EventKind.WAITING, stack.name, "waiting for the run that still updates it")
            while any(lock.is_alive for lock in stack.locks() or ()):
                time.sleep(_PAUSE)

    def _is_ours(self, name: str) -> bool:
        """Whether a run of this machine holds the stack, or has just left it: that one can be waited for."""
        locks = self._stack(name).locks()
        return locks is not None and _are_ours(locks)

    def _approve(self, request: Request, file: StackFile, row: Row, version: str) -> None:
        if not file.needs_approval or file.name in request.approved:
            return
        if self.confirm is not None and self.confirm(f"{file.name}: serve {short_digest(version)}?"):
            return
        row.result = "waits for approval"
        source = f"--from {request.source} " if request.source else ""
        raise ApprovalNeeded(
            f"{file.name} waits for approval; to go on: azureml-scoring rollout {source}"
            f"{' '.join(request.stacks)} --approve {file.name}"
        )


def _are_ours(locks: Sequence[Lock]) -> bool:
    """Whether all locks are of this machine, on which a run that has ended is known to have."""
    return all(lock.is_local for lock in locks)


def _promoted(file: StackFile) -> str:
    """Return the version that a stack file names itself."""
    return str((file.config.get("image") or {}).get("promote") or "")
