"""`python -m tests.delivery.golden.record`: three stacks on a local Azure, and what the engine prints of their changes.

Minutes, on the real engine. What the report does not read is left out; ids and the project's folder are replaced.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.delivery.golden.__main__ import FOLDER
from tests.modes import QUICK, configure, served
from tests.project import PATIENCE, LocalAzure, Project

DEPLOYMENT = {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK}
BOTH = {"blue": DEPLOYMENT, "green": DEPLOYMENT}
ENDS = "2028-11-28T00:00:00Z"
"""When passwords end: of a moment that is written down, not of the run's."""
FIRST: dict[str, Any] = {"first": {"expires": ENDS}}
VARIABLES = {"DATABASE": "Server=a;Password=first;"}
READ = ("ApplicationPassword", "ImageBuild")
"""Kinds of which the report reads something although they do not change."""
STEP = ("op", "urn", "diffReasons", "replaceReasons", "diffs", "keys", "detailedDiff")
STATES = ("oldState", "newState", "old", "new")
STATE = ("id", "inputs", "outputs", "dependencies", "retainOnDelete")


def main() -> int:
    """Record every preview."""
    scratch = tempfile.TemporaryDirectory(prefix="azureml-scoring-golden-")
    with scratch as folder, LocalAzure(Path(folder) / "azure") as azure:
        _record(Path(folder), azure)
    return 0


def _record(scratch: Path, azure: LocalAzure) -> None:
    dev = served(Project.copied(scratch / "project", azure, "dev"))
    usual = (dev.folder / "Pulumi.dev.yaml").read_text()
    staging, prod = (Project(dev.folder, azure, name) for name in ("staging", "prod"))
    for each in (staging, prod):
        (each.folder / f"Pulumi.{each.stack}.yaml").write_text(usual)
        assert each.pulumi("stack", "init", each.stack).code == 0
    stack: dict[str, Any] = {
        "principal": {"passwords": FIRST},
        "deployments": {"blue": DEPLOYMENT | {"environmentVariables": VARIABLES}},
    }
    configure(dev, **stack)
    _write(dev, "create")
    _up(dev)
    configure(
        staging, principal={"passwords": FIRST}, deployments=BOTH, endpoint={"traffic": {"blue": 90, "green": 10}}
    )
    configure(prod, principal={"passwords": FIRST})
    _up(staging)
    _up(prod)

    dev.edit("app/server.py", "from stub_server", "# an edit\nfrom stub_server")
    _write(dev, "image")
    dev.edit("app/server.py", "# an edit\n", "")
    configure(dev, **stack, tags={"team": "search"})
    _write(dev, "tags")
    passwords = {**FIRST, "second": {"expires": "2030-11-28T00:00:00Z"}}
    configure(dev, **stack | {"principal": {"passwords": passwords, "current": "second"}})
    _write(dev, "rotation")
    variables = {"DATABASE": "Server=a;Password=second;"}
    more = DEPLOYMENT | {"instanceCount": 3, "environmentVariables": variables}
    configure(dev, **stack | {"deployments": {"blue": more}}, registry={"sku": "Premium"})
    _write(dev, "size")
    configure(
        staging, principal={"passwords": FIRST}, deployments=BOTH, endpoint={"traffic": {"blue": 50, "green": 50}}
    )
    _write(staging, "traffic", streaming=True)
    configure(prod, principal={"kind": "managed-identity"})
    _write(prod, "identity")

    configure(dev, **stack)
    _drift(dev)
    _write(dev, "drift", "--refresh")
    _write(dev, "drift-streaming", "--refresh", streaming=True)


def _drift(project: Project) -> None:
    """Change in the portal what the stack declares."""
    cloud = project.azure.cloud
    registry = project.resource("azure-native:containerregistry:Registry", "::scoring-registry")["id"]
    cloud.finish(cloud.ask("PATCH", registry, {"tags": {"by": "hand"}, "properties": {"adminUserEnabled": True}}))
    role = project.resource("azure-native:authorization:RoleAssignment", "::scoring-role")["id"]
    cloud.finish(cloud.ask("DELETE", role))


def _up(project: Project) -> None:
    run = project.up()
    assert run.code == 0, run.text


def _write(project: Project, name: str, *words: str, streaming: bool = False) -> None:
    """Write what a preview prints."""
    shape = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"} if streaming else {}
    done = subprocess.run(
        ["pulumi", "preview", "--non-interactive", "--json", "--show-sames", "--stack", project.stack, *words],
        cwd=project.folder,
        env={**project.environment, **shape},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (FOLDER / f"{name}.json").write_text(cleaned(done.stdout, project.folder))
    print(f"{name}.json", flush=True)


def cleaned(text: str, folder: Path) -> str:
    """Return a preview of either format without what the report does not read, a step on each line."""
    text = re.sub(r"\b(?:localhost|127\.0\.0\.1):\d+", "registry1.azurecr.io", text.replace(str(folder), "/src"))
    ids = dict.fromkeys(re.findall(r"\b(?!04da6b54)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", text))
    for number, id_ in enumerate(ids, 1):
        text = text.replace(id_, f"00000000-0000-0000-0000-{number:012}")
    if text.startswith('{"sequence"'):
        events = (json.loads(line) for line in text.splitlines())
        return "".join(f"{json.dumps(kept)}\n" for event in events if (kept := _event(event)))
    document = json.loads(text)
    steps = ",\n".join(json.dumps(_step(step)) for step in document["steps"])
    rest = {name: document[name] for name in ("diagnostics", "changeSummary") if name in document}
    return f'{{"steps": [\n{steps}\n],\n{json.dumps(rest)[1:]}\n'


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    if step := event.get("resourcePreEvent"):
        return {"resourcePreEvent": {"metadata": _step(step["metadata"])}}
    # Debug messages hold what the program registered, secrets in plain text among it.
    kept = {} if event.get("diagnosticEvent", {}).get("severity") == "debug" else event
    return {name: kept[name] for name in ("diagnosticEvent", "summaryEvent") if name in kept}


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: step[name] for name in STEP if step.get(name) is not None}
    if step["op"] in {"same", "refresh"} and not step["urn"].split("::")[2].endswith(READ):
        return kept
    states = {name: step[name] for name in STATES if step.get(name)}
    return kept | {name: {part: state[part] for part in STATE if state.get(part)} for name, state in states.items()}


if __name__ == "__main__":
    sys.exit(main())
