"""The Pulumi CLI on a project's stacks: state out, config in, updates.

Owns: the calls, the progress that is shown of them, and the one line that says why an update failed. Refuses to own
what an update is for, and what a killed one has left (`recover.py`).
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_ROW: Final = re.compile(
    r"^ +[+~-]{1,2} +\S+:(?P<kind>\w+) (?P<name>\S+) (?P<state>[a-z]+) \([\d.]+s\)"
    r"(?: \[diff: [^\]]*\])?;? ?(?P<text>.*)$"
)
"""A line of progress about a resource: what becomes of it, how long it has taken, what it says."""
_HIDDEN: Final = "[hidden]"
"""Stands for what is sealed in a stack file."""
_SAID: Final = re.compile(r"\berror: (.+)")
_NOTHING_NEW: Final = ("update failed", "resource monitor", "an unhandled error", "failed to register new resource")


class EngineError(Exception):
    """A run of Pulumi failed: one line that says why."""


@dataclass(frozen=True)
class Engine:
    """Pulumi in the folder of a project; `tell` gets a line at a time."""

    root: Path
    tell: Callable[[str], None]

    def state(self, stack: str) -> dict[str, Any]:
        """The state of a stack as `pulumi stack export` tells it; secrets stay sealed."""
        found: dict[str, Any] = json.loads(self._run("stack", "export", "--stack", stack))
        return found

    def write(self, stack: str, changes: Mapping[str, Any]) -> None:
        """Change a stack's file as its user would: by `pulumi config`, which keeps comments and what is sealed.

        Sections are written whole, single fields by their path; None takes a field out.
        """
        whole: dict[str, Any] = {}
        for name, value in changes.items():
            if value is None:
                self._run("config", "rm", "--stack", stack, "--path", f"scoring:{name}")
            elif isinstance(value, str):
                self._run("config", "set", "--stack", stack, "--path", f"scoring:{name}", value)
            elif _HIDDEN in json.dumps(value):
                raise EngineError(f"scoring:{name} of stack {stack} has a sealed value, which would be lost; move it")
            else:
                whole[f"scoring:{name}"] = {"value": json.dumps(value), "objectValue": value, "secret": False}
        if whole:
            self._run("config", "set-all", "--stack", stack, "--json", json.dumps(whole))

    def up(self, stack: str) -> None:
        """Update a stack; on failure raise what it said."""
        code, text = self._update(stack)
        if code:
            raise EngineError(why(text))

    def _update(self, stack: str) -> tuple[int, str]:
        lines: list[str] = []
        with subprocess.Popen(
            ["pulumi", "--non-interactive", "--color=never", "up", "--yes", "--skip-preview", "--stack", stack],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            said: dict[str, str] = {}
            for line in process.stdout or ():
                lines.append(line)
                if shown := news(line, said):
                    self.tell(f"    {shown}")
        return process.returncode, "".join(lines)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *words],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(why(done.stderr + done.stdout))
        return done.stdout


def news(line: str, said: dict[str, str]) -> str:
    """Tell what a line of progress has that is new: what a resource says, or that it is done. Empty: nothing.

    `said` keeps what each resource said last, since every line repeats it.
    """
    found = _ROW.match(line.rstrip())
    if found is None:
        return ""
    name, text = found["name"], found["text"]
    if text and said.get(name) != text:
        said[name] = text
        return f"{name}: {text}"
    return f"{name}: {found['kind']} {found['state']}" if found["state"].endswith("ed") else ""


def why(text: str) -> str:
    """Pick the line of a run's output that says why it failed."""
    said = [found[1].strip() for found in map(_SAID.search, _diagnostics(text)) if found]
    telling = [line for line in said if not line.startswith(_NOTHING_NEW)]
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
    return next(iter(telling or said), last)


def _diagnostics(text: str) -> Iterator[str]:
    """An update's summary alone, where it has one: rows of progress repeat what stands there, cut short."""
    yield from (text.partition("Diagnostics:")[2] or text).splitlines()


def config_of(text: Mapping[str, Any]) -> dict[str, Any]:
    """The project's part of a stack file, with secrets hidden."""
    given = {str(key): value for key, value in (text.get("config") or {}).items()}
    return {key.removeprefix("scoring:"): _open(value) for key, value in given.items() if key.startswith("scoring:")}


def _open(value: object) -> Any:  # noqa: ANN401 - YAML
    if isinstance(value, Mapping):
        return _HIDDEN if set(value) == {"secure"} else {key: _open(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_open(inner) for inner in value]
    return value
