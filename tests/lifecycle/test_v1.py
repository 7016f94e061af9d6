"""Azure ML v1's files, converted by the command and deployed on the real engine."""

import json
import subprocess
import sys

import httpx
import pytest
import yaml

from tests.project import PATIENCE, ROOT, LocalAzure, Project
from tests.samples import is_printed
from tools import base_image

pytestmark = pytest.mark.slow

SCORE = """import json, os

def init():
    global model
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights", "factor.json")) as file:
        model = json.load(file)

def run(data):
    return [value * model["factor"] for value in json.loads(data)["data"]] + [os.environ["UNIT"]]
"""
INFERENCE = {
    "entryScript": "score.py",
    "sourceDirectory": "./old",
    "environment": {
        "name": "old-env",
        "docker": {"baseImage": base_image.NAME, "enabled": True, "shmSize": "2g"},
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
def old(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    """A stack made of v1's files, which stands."""
    project = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
    source = project.folder / "old"
    source.mkdir()
    (source / "score.py").write_text(SCORE)
    (project.folder / "weights").mkdir()
    (project.folder / "weights" / "factor.json").write_text('{"factor": 3}')
    told = convert(project, INFERENCE, "old", "--model", str(project.folder / "weights"))
    assert "dropped: environment.docker.shmSize = 2g" in told
    project.stack = "old"
    assert project.pulumi("stack", "init", "old").code == 0
    run = project.up()
    assert run.code == 0, run.text
    return project


def convert(project: Project, inference: object, stack: str, *words: str) -> str:
    """Convert by the command, into a stack's file; what it tells."""
    for name, content in (("inferenceconfig", inference), ("deploymentconfig", DEPLOYMENT)):
        (project.folder / f"{name}.json").write_text(json.dumps(content))
    files = [str(project.folder / f"{name}.json") for name in ("inferenceconfig", "deploymentconfig")]
    command = [
        sys.executable,
        "-m",
        "azureml_scoring",
        "convert-v1",
        *files,
        "--out",
        str(project.folder / f"Pulumi.{stack}.yaml"),
        *words,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_v1s_files_become_a_stack_that_answers_as_before(old: Project) -> None:
    assert _reply(old) == [3, 6, "m"]


def test_the_documents_own_file_deploys_up_to_what_cannot_be_had_here(old: Project) -> None:
    document = json.loads((ROOT / "tests" / "v1" / "document.json").read_text())
    # The document's base image lies in a registry that tests do not reach; this one has no conda and a newer Python.
    document["environment"]["docker"]["baseImage"] = base_image.NAME
    convert(old, {**document, "sourceDirectory": "./old"}, "document", "--model", str(old.folder / "weights"))
    sections = yaml.safe_load((old.folder / "Pulumi.document.yaml").read_text())["config"]
    file = old.folder / "Pulumi.old.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "config": sections}))
    run = old.up()
    assert run.code != 0
    said = "ImageBuildFailure: The image of environment 'my-deploy-env-blue:"
    assert said in run.text, run.text
    assert "the conda file asks for python=3.6.2, the base image has 3.11" in run.text
    assert is_printed("v1-conda.txt", run.text)
    assert _reply(old) == [3, 6, "m"], "what serves is left alone"


def _reply(project: Project) -> object:
    outputs = project.outputs()
    headers = {"Authorization": f"Bearer {outputs['endpointKey']}"}
    reply = httpx.post(outputs["scoringUri"], json={"data": [1, 2]}, headers=headers, timeout=60, trust_env=False)
    return reply.json()
