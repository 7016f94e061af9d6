"""Runs stages of Azure Pipelines: what this repository uses of the language; anything else fails.

https://learn.microsoft.com/azure/devops/pipelines/yaml-schema
https://learn.microsoft.com/azure/devops/pipelines/process/expressions
https://learn.microsoft.com/azure/devops/pipelines/process/template-expressions
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.runner import Machine

_STAGE = {"stage", "condition", "dependsOn", "lockBehavior", "jobs"}
_JOB = {"job", "deployment", "timeoutInMinutes", "environment", "strategy", "steps"}
_STEP = {"checkout", "persistCredentials", "task", "bash", "displayName", "inputs", "env"}
_BASH = ("--noprofile", "--norc")
"""Options of the tasks Bash@3 and AzureCLI@2: no `-e`, so that the last command decides.
https://learn.microsoft.com/azure/devops/pipelines/tasks/reference/bash-v3"""

Tasks = Mapping[str, Callable[[Machine, Mapping[str, Any]], dict[str, str]]]
"""What a task does to the machine, by its name; the variables of its script, where it has one."""


@dataclass
class JobRun:
    """A job that has ended."""

    stage: str
    code: int
    machine: Machine


@dataclass
class Pipeline:
    """A pipeline of a repository, and the variables that a run of it has."""

    repository: Path
    variables: dict[str, str]
    """By name, such as `Build.Reason`."""
    machine: Callable[[str], Machine]
    """Makes the machine of a job."""
    tasks: Tasks
    """The doubles of tasks, by name."""

    def run(self) -> list[JobRun]:
        """Run the stages whose condition holds, up to the first that fails."""
        document = expanded(yaml.safe_load((self.repository / "azure-pipelines.yml").read_text()), {})
        plain = {each["name"]: each["value"] for each in document["variables"] if "name" in each}
        runs: list[JobRun] = []
        for stage in document["stages"]:
            assert stage.keys() <= _STAGE, stage.keys() - _STAGE
            if condition(stage["condition"], self.variables, has_failed=any(run.code for run in runs)):
                runs += [self._job(stage["stage"], job, plain) for job in stage["jobs"]]
        return runs

    def _job(self, stage: str, job: Mapping[str, Any], plain: Mapping[str, str]) -> JobRun:
        assert job.keys() <= _JOB, job.keys() - _JOB
        machine = self.machine("-".join(["pipeline", stage, job.get("job", "deployment")]))
        machine.variables |= {**plain, "TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(machine.folder)}
        # Every variable but a secret one reaches scripts: in capitals, with _ for a dot.
        # https://learn.microsoft.com/azure/devops/pipelines/process/variables#environment-variables
        shown = {name: text for name, text in self.variables.items() if name != "System.AccessToken"}
        machine.variables |= {name.upper().replace(".", "_"): text for name, text in shown.items()}
        if "deployment" in job:
            steps = job["strategy"]["runOnce"]["deploy"]["steps"]
        else:
            # A job that is no deployment checks out by itself.
            steps = [{"checkout": "self"}, *job["steps"]]
        for step in self._flat(steps):
            if code := self._step(machine, step):
                return JobRun(stage, code, machine)
        return JobRun(stage, 0, machine)

    def _flat(self, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for step in steps:
            if "template" in step:
                yield from yaml.safe_load((self.repository / step["template"]).read_text())["steps"]
            else:
                yield step

    def _step(self, machine: Machine, step: Mapping[str, Any]) -> int:
        assert step.keys() <= _STEP, step.keys() - _STEP
        if "checkout" in step:
            machine.checkout()
            return 0
        inputs = step.get("inputs", {})
        script, variables = step.get("bash") or inputs.get("inlineScript"), {}
        if "task" in step:
            assert step["task"] in self.tasks, f"{step['task']}: no double of this task"
            variables = self.tasks[step["task"]](machine, inputs)
        variables |= {name: self._macros(text) for name, text in step.get("env", {}).items()}
        return self._run(machine, self._macros(script), variables) if script else 0

    def _run(self, machine: Machine, script: str, variables: Mapping[str, str]) -> int:
        """Run a script, and do what its output tells the agent.

        https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands
        """
        code, output = machine.bash(script, _BASH, variables)
        for command, text in re.findall(r"^##vso\[([\w.]+)[^\]]*\](.*)$", output, re.MULTILINE):
            if command == "task.prependpath":
                machine.path.insert(0, text)
            elif command == "task.uploadsummary":
                machine.summary += Path(text).read_text()
            else:
                assert command == "task.logissue", command
        return code

    def _macros(self, text: str) -> str:
        """Replace `$(name)` of known variables; others are left to bash."""
        return re.sub(r"\$\(([\w.]+)\)", lambda match: self.variables.get(match[1], match[0]), text)


def expanded(node: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - YAML
    """Expand template expressions: `each` in a list, `if` in a mapping, and names in texts."""
    if isinstance(node, list):
        return [item for each in node for item in _items(each, names)]
    if isinstance(node, dict):
        mapping: dict[Any, Any] = {}
        for key, inner in node.items():
            test = re.fullmatch(r"\$\{\{ if (.+) \}\}", str(key))
            if test is None:
                mapping[key] = expanded(inner, names)
            elif _evaluated(test[1], names):
                mapping |= expanded(inner, names)
        return mapping
    if isinstance(node, str):
        return re.sub(r"\$\{\{ (\w+) \}\}", lambda match: names[match[1]], node)
    return node


def _items(node: Any, names: Mapping[str, str]) -> Iterator[Any]:  # noqa: ANN401 - YAML
    key = next(iter(node)) if isinstance(node, dict) and len(node) == 1 else ""
    loop = re.fullmatch(r"\$\{\{ each (\w+) in (.+) \}\}", str(key))
    if loop is None:
        yield expanded(node, names)
        return
    for value in _evaluated(loop[2], names):
        yield from expanded(node[key], {**names, loop[1]: value})


def condition(text: str, variables: Mapping[str, str], *, has_failed: bool) -> bool:
    """Evaluate a condition; one without `succeeded()` does not ask how other stages ended."""
    return bool(_evaluated(text, {"variables": variables}, {"succeeded": lambda: not has_failed}))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": lambda left, right: left == right,
    "in_": lambda needle, *values: needle in values,
    "and_": lambda *values: all(values),
    "split": lambda text, mark: text.split(mark),
}


def _evaluated(
    expression: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None
) -> Any:  # noqa: ANN401 - any value
    known = {**_FUNCTIONS, **(functions or {})}

    def read(node: ast.expr) -> Any:  # noqa: ANN401 - any value
        match node:
            case ast.Constant(value):
                return value
            case ast.Name(name):
                return names[name]
            case ast.Subscript(value, index):
                return read(value)[read(index)]
            case ast.Call(ast.Name(name), arguments):
                return known[name](*map(read, arguments))
        raise AssertionError(f"{expression}: not understood")

    # Calls of functions look like Python's, but for two words that are no names there.
    return read(ast.parse(re.sub(r"\b(and|in)\(", r"\1_(", expression), mode="eval").body)
