"""One version through several stacks: built once, carried by digest, deployed beside the version that serves.

Owns the steps on the engine and on Azure, the approval, the way back when a step fails, and the final table. Refuses to
own what is next (`rollout_plan.py`), and the shift of traffic with its steps, limits and restoration, which belongs to
the resource `EndpointTraffic`. Between two steps nothing is remembered: each reads the stack's state.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from azureml_scoring.delivery.engine import LockedError, Log, PulumiStack, config_of
from azureml_scoring.delivery.pending import operations
from azureml_scoring.delivery.recover import RecoveryPlan, recover
from azureml_scoring.delivery.rollout_plan import (
    Action,
    DesiredState,
    ObservedState,
    RolloutError,
    Step,
    config_changes,
    desired,
    difference,
    digest_of,
    format_split,
    next_step,
    read_state,
    restored,
    rollback_step,
    short_digest,
)
from azureml_scoring.delivery.table import table
from azureml_scoring.errors import CommandError, ExitCode
from azureml_scoring.plan.stack import StackPlan, plan_file
from azureml_scoring.provider.arm import ML_API, Arm, connect
from azureml_scoring.provider.endpoint_traffic import SUCCESS, SmokeTest
from azureml_scoring.provider.errors import ResourceError
from azureml_scoring.provider.framework import Context
from azureml_scoring.settings import stack as stack_settings
from azureml_scoring.settings.errors import SettingsError

_STEPS: Final = 4
"""Steps of one stack: deploy, shift, done, and one to spare."""
_PAUSE: Final = 2.0
"""Seconds between two looks at a lock."""
_UNBUILT: Final = "not-built"
"""Stands for an image in a dry run, whose digest is not known before the build."""
_HEADER: Final = ("STACK", "VERSION", "DEPLOYMENT", "RESULT", "SECONDS")


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
    settings: stack_settings.StackFile
    plan: StackPlan
    checks: Sequence[tuple[str, object, object]] = ()
    """Name, request and reply of each."""
    tolerance: float = 0.0
    """Relative difference that numbers of a reply may have."""
    needs_approval: bool = False

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
class Row:
    """A line of the final table."""

    stack: str
    version: str = "-"
    deployment: str = "-"
    result: str = "not begun"
    seconds: float = 0.0

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        return (self.stack, self.version, self.deployment, self.result, f"{self.seconds:.0f}")


@dataclass
class Rollout:
    """Takes stacks from version to version."""

    project: Path
    log: Log
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
            with _timed(row):
                version = self._roll_stack(request, file, row, version)

    def rollback(self, name: str, *, dry_run: bool = False) -> ExitCode:
        """Go back to the version that served before, or out of a shift that was interrupted."""
        return self._report([name], lambda: self._rollback(self.load(name), self.rows[0], dry_run=dry_run))

    def _rollback(self, file: StackFile, row: Row, *, dry_run: bool) -> None:
        if not dry_run:
            self._recover(file.name)
        observed = self._observe(file.name)
        step = rollback_step(observed)
        image = observed.images[step.deployment]
        row.version, row.deployment = short_digest(image), step.deployment
        split = format_split(observed.traffic)
        self.log(f"{file.name}: {split}; back to {short_digest(image)} in {step.deployment}")
        if dry_run:
            row.result = "would go back"
            return
        with _timed(row):
            try:
                # Its replies were right when it served, and what is expected may have changed since.
                self._execute(file, observed, step, digest_of(image), observed.source, compare=False)
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
            step = next_step(observed, file.deployments, "") if following else Step(Action.DONE, serving)
            self._configure(file, desired(step, observed, observed.source or None))

    # -- one stack -------------------------------------------------------------------------------------------------

    def load(self, name: str) -> StackFile:
        """Read and check a stack file, and the replies that it expects."""
        file = self.project / f"Pulumi.{name}.yaml"
        if not file.is_file():
            raise RolloutError(
                f"{file.name} does not exist; run `pulumi stack init {name}` and write its settings there"
            )
        config = config_of(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        settings, plan = plan_file(config, self.project)
        rollout = settings.rollout
        checks = [
            (os.path.relpath(each.request, self.project), self._json(each.request), self._json(each.reply))
            for each in rollout.checks
        ]
        return StackFile(name, config, settings, plan, checks, rollout.tolerance, rollout.approval == "required")

    def _roll_stack(self, request: Request, file: StackFile, row: Row, version: str) -> str:
        """Take one stack to a version (empty: the one that it builds); return the image that it serves."""
        observed, digest, step = self._next(file, version)
        row.deployment, row.version = step.deployment, short_digest(version or (observed.image if digest else ""))
        if request.dry_run:
            return self._describe(file, row, step, observed, version)
        if step.action is not Action.DONE:
            self._approve(request, file, row, version)
            self._recover(file.name)
        row.result = "serves it already"
        for _ in range(_STEPS):
            observed, digest, step = self._next(file, version)
            row.deployment = step.deployment
            if step.action is Action.DONE:
                break
            try:
                self._execute(file, observed, step, digest, version)
            except LockedError as error:
                row.result = "is locked"
                raise LockedError(f"{file.name}: {error}") from None
            except (CommandError, ResourceError) as error:
                row.result = "failed"
                raise RolloutError(f"{file.name}: {error}{self._restore(file, step)}") from None
            row.result = "serves"
        else:
            raise RolloutError(f"{file.name}: the image's files change during the rollout; run this again")
        self._verify_digest(observed, step.deployment, digest)
        self._configure(self.load(file.name), desired(step, observed, version or None))
        image = observed.images[step.deployment]
        row.version = short_digest(image)
        self.log(f"{file.name}: {step.deployment} serves {short_digest(image)}")
        return image

    def _next(self, file: StackFile, version: str) -> tuple[ObservedState, str, Step]:
        """Return the stack's state, the wanted digest (empty: to be built), and the next step."""
        observed = self._observe(file.name)
        digest = digest_of(version) or file.built_digest(observed)
        return observed, digest, next_step(observed, file.deployments, digest)

    def _execute(  # noqa: PLR0913 - a step, and what it is about
        self, file: StackFile, observed: ObservedState, step: Step, digest: str, version: str, *, compare: bool = True
    ) -> None:
        """Carry out a step; the resource `EndpointTraffic` does the shift of traffic."""
        name = step.deployment
        if step.action is Action.SHIFT:
            self._verify_digest(observed, name, digest)
            self._check(file, observed, name, compare=compare)
            self.log(f"{file.name}: traffic from {step.serving} to {name}")
        else:
            beside = f"beside {step.serving}, at 0 %" if step.serving else "as the first version"
            self.log(f"{file.name}: {'importing' if version else 'building'}, then {name} {beside}")
        self._configure(self.load(file.name), desired(step, observed, version or None))
        self._stack(file.name).up()
        if step.action is Action.CREATE:
            self._check(file, self._observe(file.name), name)

    def _restore(self, file: StackFile, step: Step) -> str:
        """Leave only the deployment that served before; say how that went."""
        if not step.serving:
            return "; no version served before it"
        self.log(f"{file.name}: {step.serving} serves on; {step.deployment} is deleted")
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

    def _check(self, file: StackFile, observed: ObservedState, name: str, *, compare: bool = True) -> None:
        """Send the stack's requests to a deployment by name, and compare its replies with the expected ones."""
        if not file.checks:
            self.log(f"{file.name}: {name} is not tested; name requests and replies by scoring:rollout.checks")
            return
        document = self.arm().get(observed.endpoint_id, ML_API) or {}
        client = SmokeTest(Context("", preview=False, log=self.log, connect=self.arm), document, None)
        for request, body, expected in file.checks:
            reply = client.send(name, body)
            text = reply.content.decode("utf-8", "replace")
            if reply.status_code not in SUCCESS:
                raise RolloutError(f"deployment {name} answers {request} with HTTP {reply.status_code} {text[:200]}")
            if compare and (problem := _problem(expected, text, file.tolerance)):
                raise RolloutError(f"deployment {name} answers {request} {problem}")
        how = "as expected" if compare else "well"
        self.log(f"{file.name}: {name} answers {', '.join(request for request, _, _ in file.checks)} {how}")

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _report(self, stacks: Sequence[str], work: Callable[[], None]) -> ExitCode:
        """Run a command; log its error, and the table of all stacks."""
        self.rows = [Row(name) for name in stacks]
        code = ExitCode.OK
        try:
            work()
        except ApprovalNeeded as needed:
            self.log(str(needed))
            code = ExitCode.WAITING
        except (CommandError, ResourceError, SettingsError) as error:
            self.log(f"error: {error}")
            code = ExitCode.LOCKED if isinstance(error, LockedError) else ExitCode.FAILED
        self.log("")
        for line in table([_HEADER, *(row.cells for row in self.rows)]):
            self.log(line)
        return code

    def _stack(self, name: str) -> PulumiStack:
        return PulumiStack(self.project, name, self.log)

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
        self.log(f"{file.name}: {text}{approval}")
        return version or (image if step.action in {Action.SHIFT, Action.DONE} else _UNBUILT)

    def _recover(self, name: str) -> None:
        """After a run that was killed: wait until it has ended, then make state and Azure agree again."""
        stack = self._stack(name)
        if any(lock.is_alive for lock in stack.locks() or ()):
            self.log(f"{name}: waiting for the run that still updates it")
            while any(lock.is_alive for lock in stack.locks() or ()):
                time.sleep(_PAUSE)
        is_killed = stack.half_written() or stack.locks() or operations(stack.export())
        if is_killed and not recover(stack, _is_ours):
            raise RolloutError(f"{name}: a killed run left operations undecided; run `azureml-scoring recover {name}`")

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

    def _json(self, name: str) -> object:
        try:
            document: object = json.loads((self.project / name).read_text(encoding="utf-8"))
        except OSError as error:
            raise RolloutError(f"scoring:rollout.checks: {name} cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise RolloutError(f"scoring:rollout.checks: {name} is not JSON ({error})") from None
        return document


def _problem(expected: object, text: str, tolerance: float) -> str:
    """Say what is wrong with a reply; empty where it is as expected."""
    try:
        actual = json.loads(text)
    except ValueError:
        return f"with text that is not JSON: {text[:200]}"
    problem = difference(expected, actual, tolerance)
    return problem and f"wrongly: {problem}"


def _is_ours(plan: RecoveryPlan) -> bool:
    """Whether all locks are of this machine, on which the run has ended."""
    return all(lock.is_local for lock in plan.locks or ())


def _promoted(file: StackFile) -> str:
    """Return the version that a stack file names itself."""
    return str((file.config.get("image") or {}).get("promote") or "")


@contextmanager
def _timed(row: Row) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        row.seconds = time.monotonic() - start
