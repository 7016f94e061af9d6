"""One stack of a Pulumi project, by Pulumi's Automation API: state, config, updates and locks.

Owns the calls, the progress that is shown of them, and the one line that says why one failed. Refuses to own what an
update is for, and what a killed one has left (`recover.py`).

Three things of the Automation API are kept away (sdk/python, `pulumi/automation/_local_workspace.py`): `export_stack`
decrypts secrets, `import_stack` drops a state's `features` and leaves its file when it is refused, and project settings
that are handed over rewrite Pulumi.yaml.
"""

import json
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml
from pulumi import automation
from pulumi.automation.events import EngineEvent, OpType

from azureml_scoring.delivery.changes import COLOUR
from azureml_scoring.errors import CommandError

Log = Callable[[str], None]
"""Takes one line for the user."""
SEALED: Final = "[hidden]"
"""Stands for an encrypted value of a stack file."""
_UNINFORMATIVE: Final = ("update failed", "resource monitor", "an unhandled error", "failed to register new resource")
_CRASH: Final = "unhandled exception:"
"""The end of the first line that the Python language host writes above a traceback, whose last line is the error."""
_RESULTS: Final = {OpType.CREATE: "created", OpType.UPDATE: "updated", OpType.DELETE: "deleted"}


class EngineError(CommandError):
    """A run of Pulumi failed: one line that says why."""


class LockedError(EngineError):
    """Another run holds the stack: nothing was changed."""


class _Workspace(automation.LocalWorkspace):
    def select_stack(self, stack_name: str) -> None:
        """Leave the user's selection as it is: each command names its stack."""

    def stack_outputs(self, stack_name: str) -> automation.OutputMap:  # noqa: ARG002 - as the base has it
        """Read none: an update asks for them at its end, by two runs of the CLI, and nobody here wants them."""
        return {}


@cache
def _workspace(project: Path) -> _Workspace:
    """Return the project's workspace; once, since each asks the CLI for its version."""
    # An event that the SDK does not know would be printed whole, with what debug messages hold.
    warnings.filterwarnings("ignore", message="Failed to parse engine event")
    return _Workspace(work_dir=str(project))


@dataclass(frozen=True)
class Lock:
    """Who holds a stack, as a backend in a folder or bucket records it."""

    user: str
    host: str
    process: int
    since: str

    @property
    def is_local(self) -> bool:
        """Whether it was taken on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether that process still runs, as far as this machine can tell.

        One that has ended is listed until its parent takes note, which not every container's first process does (Z).
        https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        """
        with suppress(OSError):
            name, _, rest = Path(f"/proc/{self.process}/stat").read_text(encoding="utf-8").rpartition(")")
            return self.is_local and "(pulumi" in name and rest.split()[0] not in {"Z", "X"}
        return False

    def __str__(self) -> str:
        """One line for the user."""
        state = "which has ended" if self.is_local else "on another machine: make sure that it has ended"
        return f"{self.user}@{self.host}, process {self.process} since {self.since}, {state}"


@dataclass(frozen=True)
class PulumiStack:
    """One stack; an empty name is the stack that is selected. Failures are EngineErrors."""

    project: Path
    name: str
    log: Log = print

    @cached_property
    def _stack(self) -> automation.Stack:
        return automation.Stack.select(self.name, _workspace(self.project))

    def export(self) -> dict[str, Any]:
        """Return the state; secrets stay encrypted."""
        state: dict[str, Any] = json.loads(self._run("stack", "export"))
        return state

    def preview(self) -> dict[str, Any]:
        """Return what an update would do; secrets are hidden. No lock is asked for, and none is taken."""
        plan: dict[str, Any] = json.loads(self._run("preview", "--json"))
        return plan

    def create(self) -> None:
        """Create the stack where there is none of its name; the selection of the user stays."""
        try:
            self.export()
        except EngineError as error:
            if "no stack named" not in str(error):
                raise
            self._run("stack", "init", "--no-select")

    def importable(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what an update would do, and what it would create as a file of `pulumi import`, without ids."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "import.json"
            plan: dict[str, Any] = json.loads(self._run("preview", "--json", "--import-file", str(file)))
            return plan, json.loads(file.read_text(encoding="utf-8"))

    def take(self, resources: Mapping[str, Any]) -> None:
        """Take existing resources into the state by `pulumi import`, which reads them; no code is written.

        https://www.pulumi.com/docs/iac/guides/migration/import/#bulk-import-operations
        """
        with TemporaryDirectory() as folder:
            file = Path(folder) / "import.json"
            file.write_text(json.dumps(resources), encoding="utf-8")
            self._run(
                "import", "--file", str(file), "--generate-code=false", "--protect=false", "--yes", "--skip-preview"
            )

    def import_(self, state: Mapping[str, Any]) -> None:
        """Make this the state; the engine checks it first."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "state.json"
            file.write_text(json.dumps(state), encoding="utf-8")
            self._run("stack", "import", "--file", str(file))

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change the stack file by `pulumi config`, which keeps comments and encrypted values.

        Sections are written whole, texts by their path; None removes a field.
        """
        if names := [name for name, value in changes.items() if SEALED in json.dumps(value)]:
            raise EngineError(
                f"scoring:{names[0]} of stack {self.name} has an encrypted value, which would be lost; move it"
            )
        sections: dict[str, Any] = {}
        with _errors():
            for name, value in changes.items():
                if value is None:
                    _workspace(self.project).remove_config(self.name, f"scoring:{name}", path=True)
                elif isinstance(value, str):
                    setting = automation.ConfigValue(value)
                    _workspace(self.project).set_config(self.name, f"scoring:{name}", setting, path=True)
                else:
                    sections[f"scoring:{name}"] = {"value": json.dumps(value), "objectValue": value, "secret": False}
        if sections:
            self._run("config", "set-all", "--json", json.dumps(sections))

    def up(self) -> None:
        """Update the stack."""
        progress = Progress(self.log)
        with _errors(progress):
            self._stack.up(on_event=progress, show_secrets=False)

    def refresh(self) -> None:
        """Read all resources of the state from Azure."""
        progress = Progress(self.log)
        with _errors(progress):
            self._stack.refresh(on_event=progress, show_secrets=False)

    def unlock(self) -> None:
        """Take the lock of a run that has ended away."""
        with _errors():
            self._stack.cancel()

    def locks(self) -> tuple[Lock, ...] | None:
        """Return who holds the stack; None where the backend does not show it, as it is no folder."""
        if self._backend is None:
            return None
        files = sorted(self._backend.glob(f"locks/*/{self._path}/*.json"))
        return tuple(_lock(json.loads(file.read_text(encoding="utf-8"))) for file in files)

    def half_written(self) -> tuple[Path, ...]:
        """Return the files that a kill leaves in a backend's folder: attributes without contents, temporary files.

        The first keep every command from reading what they describe, and can be missing; the second count as locks
        among the locks. https://github.com/google/go-cloud/blob/master/blob/fileblob/fileblob.go
        """
        if self._backend is None:
            return ()
        patterns = (f"stacks/{self._path}.json*", f"*/{self._path}/*", f"locks/*/{self._path}/*")
        files = (file for pattern in patterns for file in self._backend.glob(pattern))
        return tuple(sorted(file for file in files if file.suffix == ".tmp" or _is_empty_attributes(file)))

    def unreadable(self) -> list[str]:
        """Return the names of the project's stacks whose state has lost its attributes: none can be listed then."""
        if self._backend is None:
            return []
        files = (self._backend / "stacks" / self._project_name).glob("*.json.attrs")
        return sorted(file.name.removesuffix(".json.attrs") for file in files if _is_empty_attributes(file))

    @cached_property
    def _backend(self) -> Path | None:
        """The folder of a backend that is one."""
        with _errors():
            url = os.environ.get("PULUMI_BACKEND_URL") or _workspace(self.project).who_am_i().url or ""
        is_folder = url.startswith("file://")
        return self.project / Path(url.removeprefix("file://")).expanduser() / ".pulumi" if is_folder else None

    @property
    def _path(self) -> str:
        """The stack's path below the folders of a backend."""
        return f"{self._project_name}/{self.name.rpartition('/')[2]}"

    @property
    def _project_name(self) -> str:
        return str(yaml.safe_load((self.project / "Pulumi.yaml").read_text(encoding="utf-8"))["name"])

    def _run(self, *words: str) -> str:
        """Run a command that the Automation API has no fitting call for."""
        with _errors():
            command = _workspace(self.project).pulumi_command
            return str(command.run([*words, "--stack", self.name], str(self.project), {}).stdout)


def _is_empty_attributes(file: Path) -> bool:
    return file.suffix == ".attrs" and not file.read_bytes().strip()


def selected_stack(project: Path) -> str:
    """Return the name of the stack that is selected in a project.

    Where a kill has left the attributes of a stack's state empty the CLI lists no stack: then it is that one.
    """
    try:
        with _errors():
            selected = _workspace(project).stack()
    except EngineError:
        names = PulumiStack(project, "").unreadable()
        if len(names) > 1:
            raise EngineError(f"a killed run left the states of {', '.join(names)} half written; name one") from None
        if not names:
            raise
        return names[0]
    if selected is None:
        raise EngineError("no stack is selected; name one")
    return str(selected.name)


def _lock(document: Mapping[str, Any]) -> Lock:
    return Lock(document["username"], document["hostname"], document["pid"], document["timestamp"].partition(".")[0])


@dataclass
class Progress:
    """Reads the engine's events: logs what a resource says and when its step is done, and collects errors.

    Debug messages are never read: programs and providers may write anything there, secrets too.
    """

    log: Log
    errors: list[str] = field(default_factory=list)
    _last: dict[str, str] = field(default_factory=dict)
    """The last message of each resource: a provider may repeat it."""

    def __call__(self, event: EngineEvent) -> None:
        """Take one event."""
        if message := event.diagnostic_event:
            self._message(message.urn or "", message.severity, COLOUR.sub("", message.message).strip())
        elif (policy := event.policy_event) and policy.enforcement_level == "mandatory":
            self.errors.append(f"{policy.policy_name}: {' '.join(COLOUR.sub('', policy.message).split())}")
        elif done := event.res_outputs_event:
            step = done.metadata
            if result := _RESULTS.get(step.op):
                self.log(f"    {_name(step.urn)}: {step.type.rpartition(':')[2]} {result}")

    def _message(self, urn: str, severity: str, text: str) -> None:
        line, _, rest = text.partition("\n")
        if line.endswith(_CRASH):
            line = rest.rpartition("\n")[2]
        if severity == "error":
            self.errors.append(line)
        elif severity == "info#err":
            # What the program writes to standard error: its refusals, a line each.
            self.errors += [each.removeprefix("error: ") for each in text.splitlines() if each.startswith("error: ")]
        elif severity in {"info", "warning"} and urn and line and self._last.get(urn) != line:
            self._last[urn] = line
            self.log(f"    {_name(urn)}: {'warning: ' if severity == 'warning' else ''}{line}")

    @property
    def reason(self) -> str:
        """The error that says why the run failed; empty where the engine reported none."""
        informative = [error for error in self.errors if not error.startswith(_UNINFORMATIVE)]
        return next(iter(informative or self.errors), "")


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


@contextmanager
def _errors(progress: Progress | None = None) -> Iterator[None]:
    """Turn what the Automation API raises into one line."""
    try:
        yield
    except FileNotFoundError:
        raise EngineError("pulumi is not on PATH; install it, or use the shell of `make env`") from None
    except automation.InvalidVersionError as error:
        raise EngineError(str(error)) from None
    except automation.ConcurrentUpdateError:
        raise LockedError("another run holds the stack; wait for it, or run `azureml-scoring recover`") from None
    except automation.CommandError as error:
        raise EngineError((progress and progress.reason) or reason_of(str(error))) from None


def reason_of(output: str) -> str:
    """Return the line of a command's output that says why it failed: the CLI's own errors are no events."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    reason = next(iter(errors), lines[-1] if lines else "no output")
    if reason.rpartition(": ")[2] == "EOF":
        reason += "; a killed run left a file half written: run `azureml-scoring recover`"
    return reason


def config_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the project's part of a stack file, with encrypted values replaced by `SEALED`."""
    config = {str(key): value for key, value in (document.get("config") or {}).items()}
    return {key.removeprefix("scoring:"): _sealed(value) for key, value in config.items() if key.startswith("scoring:")}


def _sealed(value: object) -> Any:  # noqa: ANN401 - YAML
    if isinstance(value, Mapping):
        return SEALED if set(value) == {"secure"} else {key: _sealed(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_sealed(inner) for inner in value]
    return value
