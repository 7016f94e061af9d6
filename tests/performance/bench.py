"""`make bench`: what a no-op `up` costs, as ratios within one run, and where its time goes.

Three programs against one local Azure: the project's own stack; the same resources written plainly, without components;
an empty program. Machines are shared and noisy, so only ratios of alternating runs are told, and none is judged.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.project import LocalAzure, Project

ROUNDS = 3
_PLAIN = '''"""The same resources, plainly: registered from data, in the state's order and with its dependencies."""

import json
from pathlib import Path

import pulumi

SECRET = "4dabf18193072939515e22adb298388d"
made: dict[str, pulumi.Resource] = {}


def given(value):
    if isinstance(value, dict):
        if SECRET in value:
            return pulumi.Output.secret(json.loads(value["plaintext"]))
        return {key: given(inner) for key, inner in value.items()}
    return [given(inner) for inner in value] if isinstance(value, list) else value


for each in json.loads(Path("resources.json").read_text()):
    options = pulumi.ResourceOptions(
        depends_on=[made[urn] for urn in each["dependencies"] if urn in made], version=each["version"] or None
    )
    made[each["urn"]] = pulumi.CustomResource(each["type"], each["name"], given(each["inputs"]), options)
'''


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="azureml-scoring-bench-") as scratch:
        local = LocalAzure(Path(scratch) / "azure").start()
        try:
            _measure(Path(scratch), local)
        finally:
            local.stop()
    return 0


def _measure(scratch: Path, local: LocalAzure) -> None:
    print("taking the stack up once …", flush=True)
    project = Project.copied(scratch / "project", local)
    _demand(project.up())
    plain, empty = _plain(scratch / "plain", project), _empty(scratch / "empty", local)
    times: dict[str, list[float]] = {"components": [], "plain": [], "empty": []}
    for turn in range(ROUNDS + 1):
        for name, each in (("components", project), ("plain", plain), ("empty", empty)):
            begun = time.monotonic()
            run = each.up()
            took = time.monotonic() - begun
            _demand(run)
            assert not re.search(r"\d+ (created|updated|replaced|deleted)", run.text), f"{name}: {run.text}"
            if turn:  # the first round warms caches
                times[name].append(took)
    middle = {name: statistics.median(found) for name, found in times.items()}
    print(f"\nno-op `pulumi up`, median of {ROUNDS} alternating rounds; ratio to an empty program in the same run")
    for name, words in (
        ("components", "this project's stack"),
        ("plain", "the same resources without components"),
        ("empty", "an empty program"),
    ):
        print(f"  {words:40} {middle[name] / middle['empty']:5.2f}   ({middle[name]:.1f} s here)")
    print(f"  {'components against plain resources':40} {middle['components'] / middle['plain']:5.2f}")
    _where(project)
    _demand(project.destroy())


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
        {
            "urn": each["urn"],
            "type": each["type"],
            "name": each["urn"].split("::", 3)[3],
            "inputs": {key: value for key, value in (each.get("inputs") or {}).items() if key != "__defaults"},
            "dependencies": each.get("dependencies", []),
            "version": (re.findall(r"default_(\d+)_(\d+)_(\d+)", each.get("provider", "")) or [()])[0],
        }
        for each in document["deployment"]["resources"]
        if each.get("custom") and not each["type"].startswith("pulumi:")
    ]
    for each in resources:
        each["version"] = ".".join(each["version"])
    (folder / "resources.json").write_text(json.dumps(resources), encoding="utf-8")
    (folder / "__main__.py").write_text(_PLAIN, encoding="utf-8")
    return project


if __name__ == "__main__":
    sys.exit(main())
