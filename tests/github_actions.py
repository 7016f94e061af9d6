"""Runs workflows of GitHub Actions: what this repository's use of the language; anything else fails.

Steps with `run` are executed as GitHub's runner does; the actions of others are doubles, by name. `act` could not do
it: it starts images of runners from a registry.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
https://docs.github.com/actions/reference/workflows-and-actions/expressions
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.runner import Machine

_UNSPECIFIED = ("-e",)
_BASH = ("--noprofile", "--norc", "-eo", "pipefail")
"""Options of the two: a shell that is not named, and `shell: bash`.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell"""
_WORKFLOW = {"name", "on", True, "permissions", "concurrency", "jobs"}
_JOB = {"if", "needs", "strategy", "runs-on", "timeout-minutes", "environment", "permissions", "env", "steps"}
_STEP = {"name", "uses", "with", "run", "env", "shell"}
_OPTIONAL = "vars"
"""The context whose unset names are empty; a wrong name in another one is a mistake."""

Actions = Mapping[str, Callable[[Machine, Mapping[str, str]], None]]


@dataclass
class JobRun:
    """A job that has ended."""

    name: str
    code: int
    machine: Machine


@dataclass
class Workflow:
    """A workflow of a repository, and what its event and its settings say."""

    repository: Path
    name: str
    contexts: dict[str, Any]
    """`github`, `vars`."""
    machine: Callable[[str], Machine]
    """Makes the machine of a job."""
    actions: Actions
    """The doubles of actions, by name."""
    runs: list[JobRun] = field(default_factory=list)

    def run(self) -> list[JobRun]:
        """Run all jobs in their order; a job whose needs have failed is skipped."""
        document = _load(self.repository / f".github/workflows/{self.name}.yml", _WORKFLOW)
        for name, job in document["jobs"].items():
            assert job.keys() <= _JOB, job.keys() - _JOB
            needed = [job["needs"]] if "needs" in job else []
            have_failed = any(run.code for run in self.runs if run.name in needed)
            if not have_failed and value(job.get("if", "'true'"), self.contexts):
                self.runs += [self._job(name, job, matrix) for matrix in _matrix(job)]
        return self.runs

    def _job(self, name: str, job: Mapping[str, Any], matrix: Mapping[str, str]) -> JobRun:
        contexts = {**self.contexts, "matrix": matrix}
        machine = self.machine("-".join([self.name, name, *matrix.values()]))
        machine.variables |= _evaluated(job.get("env"), contexts)
        return JobRun(name, self._steps(machine, job["steps"], contexts), machine)

    def _steps(self, machine: Machine, steps: list[dict[str, Any]], contexts: Mapping[str, Any]) -> int:
        for step in steps:
            assert step.keys() <= _STEP, step.keys() - _STEP
            if code := self._step(machine, step, contexts):
                return code
        return 0

    def _step(self, machine: Machine, step: Mapping[str, Any], contexts: Mapping[str, Any]) -> int:
        if "run" in step:
            return _run(machine, step, contexts)
        inputs, action = _evaluated(step.get("with"), contexts), step["uses"]
        if action.startswith("./"):
            document = _load(machine.workspace / action / "action.yml", {"name", "description", "inputs", "runs"})
            assert document["runs"]["using"] == "composite"
            assert inputs.keys() == document["inputs"].keys()
            return self._steps(machine, document["runs"]["steps"], {**contexts, "inputs": inputs})
        name = action.partition("@")[0]
        assert name in self.actions, f"{name}: no double of this action"
        self.actions[name](machine, inputs)
        return 0


def _run(machine: Machine, step: Mapping[str, Any], contexts: Mapping[str, Any]) -> int:
    """Run a script, then read the files by which it speaks to the runner.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#environment-files
    """
    files = {name: machine.folder / name for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.write_text("")
    variables = {name: str(file) for name, file in files.items()} | _evaluated(step.get("env"), contexts)
    assert step.get("shell", "bash") == "bash"
    options = _BASH if "shell" in step else _UNSPECIFIED
    code, _ = machine.bash(_text(step["run"], contexts), options, variables)
    for line in files["GITHUB_ENV"].read_text().splitlines():
        name, _, text = line.partition("=")
        assert "<<" not in name, "values of several lines are not read"
        machine.variables[name] = text
    machine.path[:0] = reversed(files["GITHUB_PATH"].read_text().split())
    machine.summary += files["GITHUB_STEP_SUMMARY"].read_text()
    return code


def _load(file: Path, known: set[Any]) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(file.read_text())
    assert document.keys() <= known, document.keys() - known
    return document


def _matrix(job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the combinations of a matrix of one dimension; one empty one where there is none."""
    matrix = job.get("strategy", {}).get("matrix", {})
    assert len(matrix) <= 1
    for name, values in matrix.items():
        yield from ({name: each} for each in values)
    if not matrix:
        yield {}


def _evaluated(values: Mapping[str, Any] | None, contexts: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(str(each), contexts) for name, each in (values or {}).items()}


def _text(text: str, contexts: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{\{(.+?)\}\}", lambda match: str(value(match[1], contexts)), text)


def value(expression: str, contexts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any value
    """Evaluate an expression of `||`, `==`, literals and names of contexts."""
    if "||" in expression:
        first, _, rest = expression.partition("||")
        return value(first, contexts) or value(rest, contexts)
    if "==" in expression:
        left, _, right = expression.partition("==")
        return value(left, contexts) == value(right, contexts)
    if literal := re.fullmatch(r"\s*'([^']*)'\s*", expression):
        return literal[1]
    names = expression.strip().split(".")
    assert all(re.fullmatch(r"[\w-]+", name) for name in names), f"{expression}: not understood"
    if names[0] == _OPTIONAL:
        return contexts[_OPTIONAL].get(names[1], "")
    found: Any = contexts
    for name in names:
        found = found[name]
    return found
