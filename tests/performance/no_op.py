"""What a no-op `up` costs, as ratios within one run, and where its time goes.

Three programs against one local Azure: the project's own stack; the same resources written by hand with the same typed
SDKs (the program is generated from the state); an empty program.
"""

import functools
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from tests.performance.clocks import alternating
from tests.performance.figures import Figure
from tests.project import LocalAzure, Project, Run

ROUNDS = 3
_PULUMI = "import pulumi"
_COMPONENTS = f"{_PULUMI}; import azureml_scoring.stack"
_CLASSES = (
    "applicationinsights.Component",
    "authorization.RoleAssignment",
    "containerregistry.Registry",
    "keyvault.Vault",
    "machinelearningservices.Workspace",
    "operationalinsights.Workspace",
    "resources.ResourceGroup",
    "storage.StorageAccount",
)
_SDKS = "; ".join(
    (_COMPONENTS, "import pulumi_azuread, pulumi_azure_native", *(f"pulumi_azure_native.{each}" for each in _CLASSES))
)
_PARTS = {
    "starting Python": "pass",
    "loading pulumi": _PULUMI,
    "loading the components": _COMPONENTS,
    "loading the SDK modules of its resources": _SDKS,
    "hashing the example's context": f"{_SDKS}; from pathlib import Path; "
    "from azureml_scoring.plan import content; content.read_content(Path('examples/sklearn'), content.ImageSettings())",
}
"""Programs by what each does beyond the one before."""
_SECRET = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi marks a secret in a state."""


def measure(scratch: Path, project: Project) -> list[Figure]:
    """Compare a no-op of a stack that is up with those of two other programs, and take its parts apart."""
    plain, empty = _plain(scratch / "plain", project), _empty(scratch / "empty", project.azure)
    programs = {"components": project, "plain": plain, "empty": empty}
    times = alternating(ROUNDS, {name: functools.partial(no_op, each) for name, each in programs.items()})
    (ours, processor), (by_hand, others), (least, nothing) = (each.middle for each in times.values())
    return [
        Figure(
            "no-op `pulumi up`: this project's stack",
            ours,
            "s",
            processor,
            processor / others,
            "by hand",
            "≤ 1.0 of by hand",
        ),
        Figure("no-op: the same resources by hand, same SDKs", by_hand, processor=others),
        Figure("no-op: an empty program", least, processor=nothing),
        Figure("no-op: beyond an empty program", ours - least, processor=processor - nothing, aim="≤ 2.5 s"),
        *_parts(project),
    ]


def no_op(project: Project) -> None:
    """Run `pulumi up` where there is nothing to do."""
    run = project.up()
    demand(run)
    assert not re.search(r"\d+ (created|updated|replaced|deleted)", run.text), run.text


def _parts(project: Project) -> list[Figure]:
    """Where a no-op's time goes beyond an empty program: what the program loads, in turn, and what it reads."""
    work = {
        name: functools.partial(
            subprocess.run, [sys.executable, "-c", code], cwd=project.folder, check=True, env=project.environment
        )
        for name, code in _PARTS.items()
    }
    figures, before = [], (0.0, 0.0)
    for name, each in alternating(ROUNDS, work).items():
        wall, processor = each.middle
        figures.append(Figure(f"of it: {name}", wall - before[0], processor=processor - before[1]))
        before = (wall, processor)
    return figures


def demand(run: Run) -> None:
    """Fail with what a run has printed."""
    assert run.code == 0, run.text


def _empty(folder: Path, local: LocalAzure) -> Project:
    project = _bare(folder, local, "empty")
    (folder / "__main__.py").write_text("", encoding="utf-8")
    demand(project.up())
    return project


def _bare(folder: Path, local: LocalAzure, stack: str) -> Project:
    folder.mkdir(parents=True)
    settings = {"name": "azureml-scoring", "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
    (folder / "Pulumi.yaml").write_text(json.dumps(settings), encoding="utf-8")
    project = Project(folder, local, stack)
    demand(project.pulumi("stack", "init", stack))
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
    demand(project.pulumi("stack", "import", "--stack", project.stack, "--file", "state.json"))
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
