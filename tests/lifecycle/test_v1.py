"""Azure ML v1's files, converted by the command and deployed on the real engine."""

import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.project import PATIENCE, ROOT, LocalAzure, Project
from tests.registries import BASE

SCORE = """import json, os

def init():
    global model
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "factor.json")) as file:
        model = json.load(file)

def run(data):
    return [value * model["factor"] for value in json.loads(data)["data"]] + [os.environ["UNIT"]]
"""
INFERENCE = {
    "entryScript": "score.py",
    "sourceDirectory": "./old",
    "environment": {
        "name": "old-env",
        "docker": {"baseImage": BASE, "enabled": True, "shmSize": "2g"},
        "environmentVariables": {"UNIT": "m"},
        "python": {"userManagedDependencies": True, "interpreterPath": "python3"},
    },
}
DEPLOYMENT = {
    "computeType": "aks",
    "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1},
    "livenessProbeRequirements": {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 120},
    "scoringTimeoutMs": 5000,
    "location": "westeurope",
    "tokenAuthEnabled": False,
}


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    local = LocalAzure(tmp_path_factory.mktemp("azure")).start()
    yield local
    local.stop()


def test_v1s_files_become_a_stack_that_answers_as_before(
    tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure
) -> None:
    project = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
    source = project.folder / "old"
    (source / "azureml-models").mkdir(parents=True)
    (source / "azureml-models" / "factor.json").write_text('{"factor": 3}')
    (source / "score.py").write_text(SCORE)
    for name, content in (("inferenceconfig", INFERENCE), ("deploymentconfig", DEPLOYMENT)):
        (project.folder / f"{name}.json").write_text(json.dumps(content))
    files = [str(project.folder / f"{name}.json") for name in ("inferenceconfig", "deploymentconfig")]
    out = project.folder / "Pulumi.old.yaml"
    command = [sys.executable, "-m", "infra.v1", *files, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "dropped: environment.docker.shmSize = 2g" in done.stderr

    project.stack = "old"
    assert project.pulumi("stack", "init", "old").code == 0
    try:
        run = project.up()
        assert run.code == 0, run.text
        outputs = project.outputs()
        headers = {"Authorization": f"Bearer {outputs['endpointKey']}"}
        reply = httpx.post(outputs["scoringUri"], json={"data": [1, 2]}, headers=headers, timeout=60, trust_env=False)
        assert reply.json() == [3, 6, "m"]
    finally:
        gone = project.destroy()
        assert gone.code == 0, gone.text
