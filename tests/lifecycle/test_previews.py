"""A preview's steps are the update's steps: a table of ordinary edits over every section of the config.

One test for the whole table: each edit starts from what the one before it left.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.modes import DOCKERFILE, QUICK, configure, served
from tests.project import LocalAzure, Project

pytestmark = pytest.mark.slow

Edit = dict[str, Any]
"""New values by the path of a field; None takes a field out."""
BLUE = "deployments.blue"
EDITS: dict[str, Edit] = {
    "a new tag": {"tags.team": "search"},
    "another value of a tag": {"tags.team": "ranking"},
    "another tier of the registry": {"registry.sku": "Premium"},
    "a tag taken out": {"tags.team": None},
    "more instances": {f"{BLUE}.instanceCount": 2},
    "a variable": {f"{BLUE}.environmentVariables.LEVEL": "debug"},
    "a variable taken out": {f"{BLUE}.environmentVariables": None},
    "a probe": {f"{BLUE}.livenessProbe.failureThreshold": 5},
    "request limits": {f"{BLUE}.requestSettings": {"maxConcurrentRequestsPerInstance": 3, "requestTimeout": "PT20S"}},
    "application insights": {f"{BLUE}.appInsights": True},
    "egress": {f"{BLUE}.egressPublicNetworkAccess": False},
    "a description of the deployment": {f"{BLUE}.description": "the first"},
    "data collection": {f"{BLUE}.dataCollector": {"collections": {"request": {}}}},
    "a route": {f"{BLUE}.routes": {"scoring": "/predict"}},
    "a description of the endpoint": {"endpoint.description": "scores"},
    "diagnostics": {"endpoint.diagnostics": {"logs": ["console"]}},
    "other diagnostics": {"endpoint.diagnostics.logs": ["console", "traffic"]},
    "another deployment": {
        "deployments.green": {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK},
        "endpoint.traffic": {"blue": 100},
    },
    "a mirror": {"endpoint.mirror": {"green": 10}},
    "no mirror": {"endpoint.mirror": None},
    "a split": {"endpoint.traffic": {"blue": 60, "green": 40}},
    "all traffic to the other one": {"endpoint.traffic": {"green": 100}},
    "another machine": {f"{BLUE}.instanceType": "Standard_F4s_v2"},
    "a deployment taken out": {"deployments.blue": None},
    "autoscale": {"deployments.green.autoscale": {"min": 1, "max": 3}},
    "other bounds of autoscale": {"deployments.green.autoscale.max": 4},
    "no autoscale": {"deployments.green.autoscale": None},
    "a second password": {"principal.passwords": {"first": {}, "second": {}}, "principal.current": "first"},
    "the second password in use": {"principal.current": "second"},
    "the first password taken out": {"principal.passwords": {"second": {}}, "principal.current": None},
    "a build argument": {"image.buildArguments": {"WORD": "one"}},
    "a model": {"model": {"path": "weights", "name": "words"}},
    "another image for a deployment's sake": {"image.repository": "served/anew"},
    "a check of the image": {"image.requirements": {"AML-IMG-011": "off"}},
    "a smoke test": {"endpoint.smokeTest": {"data": [1]}},
    "smaller steps of a shift": {"endpoint.trafficSteps": [50]},
    "a managed identity": {"principal": {"kind": "managed-identity"}},
    "tokens instead of keys": {"endpoint.auth": "aad-token"},
}


@pytest.mark.timeout(3600)
def test_what_a_preview_shows_is_what_the_update_does(tmp_path: Path, azure: LocalAzure) -> None:
    project = served(Project.copied(tmp_path / "copy", azure))
    project.extra["PULUMI_DEBUG_COMMANDS"] = "true"  # --event-log
    # An argument that the image does not depend on would build the same image: no preview can know that.
    step = "ARG WORD=none\nRUN echo $WORD > /word\nCMD"
    (project.folder / "app" / "Dockerfile").write_text(DOCKERFILE.replace("CMD", step))
    (project.folder / "weights").mkdir()
    (project.folder / "weights" / "words.txt").write_text("some")
    sections: dict[str, Any] = {
        "deployments": {
            "blue": {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK},
        },
        "image": {"context": "app", "repository": "served"},
    }
    configure(project, **sections)
    assert project.up().code == 0
    wrong = {}
    for name, edit in EDITS.items():
        sections = edited(sections, edit)
        configure(project, **sections)
        shown, done = _steps(project, "preview"), _steps(project, "up", "--yes", "--skip-preview")
        if shown != done:
            wrong[name] = {"only shown": sorted(shown - done), "not shown": sorted(done - shown)}
    assert not wrong, json.dumps(wrong, indent=2)


def edited(sections: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    """The sections with other values of some fields."""
    result: dict[str, Any] = copy.deepcopy(dict(sections))
    for path, value in edit.items():
        *parents, field = path.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
        if value is None:
            section.pop(field)
        else:
            section[field] = value
    return result


def _steps(project: Project, *words: str) -> set[str]:
    """What a run shows or does: `update URN`."""
    log = project.folder / "events.json"
    log.unlink(missing_ok=True)
    run = project.pulumi(*words, "--stack", project.stack, "--event-log", str(log))
    if run.code != 0:
        return {f"{words[0]} failed", *run.errors}
    events = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [event["resourcePreEvent"]["metadata"] for event in events if "resourcePreEvent" in event]
    return {f"{step['op']} {step['urn'].partition('::')[2]}" for step in steps if step["op"] not in {"same", "read"}}
