"""`make bench`: what a no-op `up` costs, as ratios within one run, and where its time goes.

Three programs against one local Azure: the project's own stack; the same resources written by hand with the same typed
SDKs (the program is generated from the state); an empty program. Machines are shared and noisy, so only ratios of
alternating runs are told, and none is judged.
"""

import importlib
import inspect
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from tests.project import LocalAzure, Project

ROUNDS = 3
_SECRET = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi marks a secret in a state."""


def main() -> int:
    """Measure and print."""
    scratch = tempfile.TemporaryDirectory(prefix="azureml-scoring-bench-")
    with scratch as folder, LocalAzure(Path(folder) / "azure") as local:
        _measure(Path(folder), local)
    return 0


def _measure(scratch: Path, local: LocalAzure) -> None:
    print("taking the stack up once …", flush=True)
    project = Project.copied(scratch / "project", local)
    _demand(project.up())
    plain, empty = _plain(scratch / "plain", project), _empty(scratch / "empty", local)
    times: dict[str, list[float]] = {"components": [], "plain": [], "empty": []}
    processor: dict[str, list[float]] = {name: [] for name in times}
    for turn in range(ROUNDS + 1):
        for name, each in (("components", project), ("plain", plain), ("empty", empty)):
            begun, used = time.monotonic(), _processor_time()
            run = each.up()
            took = time.monotonic() - begun
            _demand(run)
            assert not re.search(r"\d+ (created|updated|replaced|deleted)", run.text), f"{name}: {run.text}"
            if turn:  # the first round warms caches
                times[name].append(took)
                processor[name].append(_processor_time() - used)
    middle = {name: statistics.median(found) for name, found in times.items()}
    print(f"\nno-op `pulumi up`, median of {ROUNDS} alternating rounds; ratio to an empty program in the same run")
    for name, words in (
        ("components", "this project's stack"),
        ("plain", "the same resources by hand, same SDKs"),
        ("empty", "an empty program"),
    ):
        cpu = statistics.median(processor[name])
        print(f"  {words:40} {middle[name] / middle['empty']:5.2f}   ({middle[name]:.1f} s, {cpu:.1f} s of processors)")
    print(f"  {'components against those by hand':40} {middle['components'] / middle['plain']:5.2f}")
    _where(project)
    _demand(project.destroy())


def _processor_time() -> float:
    """Seconds that the runs so far, with all they started, took of the processors."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _where(project: Project) -> None:
    """Say where a no-op's time goes: the program's own imports and config, and the rest, which is the engine's."""
    print("\nwhere the time goes")
    for words, code in (
        ("starting Python", "pass"),
        ("… importing pulumi", "import pulumi"),
        ("… importing the components", "import azureml_scoring.stack"),
        ("… hashing the example's context", _HASH),
    ):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", code], cwd=project.folder, check=True, env=project.environment)
        print(f"  {words:40} {time.monotonic() - begun:5.1f} s")


_HASH = (
    "from pathlib import Path; import azureml_scoring.plan.content as c;"
    "c.read_content(Path('examples/sklearn'), c.ImageSettings())"
)


def _demand(run: Any) -> None:  # noqa: ANN401 - a finished run
    assert run.code == 0, run.text


def _empty(folder: Path, local: LocalAzure) -> Project:
    project = _bare(folder, local, "empty")
    (folder / "__main__.py").write_text("", encoding="utf-8")
    _demand(project.up())
    return project


def _bare(folder: Path, local: LocalAzure, stack: str) -> Project:
    folder.mkdir(parents=True)
    settings = {"name": "azureml-scoring", "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
    (folder / "Pulumi.yaml").write_text(json.dumps(settings), encoding="utf-8")
    project = Project(folder, local, stack)
    _demand(project.pulumi("stack", "init", stack))
    return project


def _plain(folder: Path, source: Project) -> Project:
    """A stack that holds what `source` holds, without components: its state is imported with the parents taken out."""
    project = _bare(folder, source.azure, "plain")
    shown = source.pulumi("stack", "export", "--show-secrets", "--stack", source.stack)
    document = json.loads(shown.text)
    found = document["deployment"]["resources"]
    renamed = {
        each["urn"]: "::".join(
            [f"urn:pulumi:{project.stack}", "azureml-scoring", each["type"], each["urn"].split("::", 3)[3]]
        )
        for each in found
    }
    renamed.update({each["urn"]: each["urn"] for each in found if each["type"] == "pulumi:pulumi:Stack"})
    stack = next(each for each in found if each["type"] == "pulumi:pulumi:Stack")
    renamed[stack["urn"]] = (
        f"urn:pulumi:{project.stack}::azureml-scoring::pulumi:pulumi:Stack::azureml-scoring-{project.stack}"
    )
    kept = [each for each in found if each.get("custom") or each is stack]
    text = json.dumps(kept)
    for old, new in sorted(renamed.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    document["deployment"]["resources"] = json.loads(text)
    for each in document["deployment"]["resources"]:
        if each.get("custom") and not each["type"].startswith("pulumi:"):
            each["parent"] = renamed[stack["urn"]]
        each.pop("aliases", None)
    (folder / "state.json").write_text(json.dumps(document), encoding="utf-8")
    _demand(project.pulumi("stack", "import", "--stack", project.stack, "--file", "state.json"))
    (folder / "state.json").unlink()
    resources = [
        each
        for each in document["deployment"]["resources"]
        if each.get("custom") and not each["type"].startswith("pulumi:")
    ]
    (folder / "__main__.py").write_text(_by_hand(resources), encoding="utf-8")
    return project


def _by_hand(resources: list[dict[str, Any]]) -> str:
    """The program that somebody would write: a statement a resource, in the state's order and with its dependencies."""
    variables = {each["urn"]: f"resource{number}" for number, each in enumerate(resources)}
    lines = [
        "import pulumi",
        "import pulumi_azure_native as azure_native",
        "import pulumi_azuread as azuread",
        "from azureml_scoring import sdk",
        "from azureml_scoring.settings import arguments",
    ]
    for each in resources:
        depends_on = ", ".join(variables[urn] for urn in each.get("dependencies", []) if urn in variables)
        name, inputs = each["urn"].split("::", 3)[3], each.get("inputs") or {}
        inputs.pop("__defaults", None)
        options = f"opts=pulumi.ResourceOptions(depends_on=[{depends_on}])"
        lines.append(f"{variables[each['urn']]} = {_statement(each['type'], name, inputs, options)}")
    return "\n".join(lines) + "\n"


def _statement(token: str, name: str, inputs: dict[str, Any], options: str) -> str:
    package, module, class_name = token.split(":")
    if package == "azureml-scoring":
        settings = ", ".join(f"{key!r}: {_literal(value)}" for key, value in inputs.items())
        return f"sdk.{class_name}({name!r}, arguments.{class_name}Args(**{{{settings}}}), {options})"
    module = "azuread" if package == "azuread" else f"azure_native.{module}"
    names = _parameters(module, class_name)
    settings = ", ".join(f"{names[key]}={_literal(value)}" for key, value in inputs.items())
    return f"{module}.{class_name}({name!r}, {settings}, {options})"


def _parameters(module: str, class_name: str) -> dict[str, str]:
    """Names of a resource's arguments in Python, by their names in the state."""
    class_ = getattr(importlib.import_module(f"pulumi_{module}"), class_name)
    return {to_camel(name.rstrip("_")): name for name in inspect.signature(class_._internal_init).parameters}


def _literal(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, dict) and _SECRET in value:
        return f"pulumi.Output.secret({json.loads(value['plaintext'])!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(inner)}" for key, inner in value.items()) + "}"
    return "[" + ", ".join(map(_literal, value)) + "]" if isinstance(value, list) else repr(value)


if __name__ == "__main__":
    sys.exit(main())
