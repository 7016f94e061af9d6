"""What is registered in a workspace, and a deployment's own environment, on the real engine."""

from typing import Any

import httpx
import pytest

from tests.modes import QUICK, REPLY, answer, configure, served
from tests.project import LocalAzure, Project
from tools import base_image

pytestmark = pytest.mark.slow

MACHINE = {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK}
ROUTE = {"path": "/", "port": 5001}
ROUTES = {"livenessRoute": ROUTE, "readinessRoute": ROUTE, "scoringRoute": {**ROUTE, "path": "/score"}}
SERVER_PACKAGE = "azureml-inference-server-http==1.5.1"
# A whole MLflow model in files: https://mlflow.org/docs/latest/ml/model/#custom-python-models (loader_module)
MLFLOW = {
    "MLmodel": """flavors:
  python_function:
    code: code
    data: factor.txt
    env: {conda: conda.yaml}
    loader_module: scaling
    python_version: 3.11.2
mlflow_version: 2.22.0
""",
    "conda.yaml": """dependencies:
- python=3.11.2
- pip<=24
- pip: [mlflow-skinny==2.22.0, pandas==2.2.3, numpy==2.2.6, setuptools<81]
""",
    "factor.txt": "3",
    "code/scaling.py": """from pathlib import Path


class Model:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, data, params=None):
        return (data * self.factor).to_numpy()[:, 0]


def _load_pyfunc(path):
    return Model(int(Path(path).read_text()))
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    """A stack that stands: an image, and a model that is registered by it."""
    copied = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))
    configure(copied, registry={"mode": "workspace"})
    run = copied.up()
    assert run.code == 0, run.text
    return copied


def _register(project: Project, azure: LocalAzure, version: str) -> str:
    """Register the stack's image as a version of the environment `ours`; its id."""
    outputs = project.outputs()
    path = f"{outputs['workspaceId']}/environments/ours/versions/{version}"
    azure.cloud.put(
        path, {"properties": {"image": outputs["image"], "inferenceConfig": ROUTES, "tags": {"v": version}}}
    )
    return path


def _runs(project: Project, azure: LocalAzure, name: str) -> str:
    """The environment that a deployment runs on Azure."""
    outputs = project.outputs()
    path = f"{outputs['workspaceId']}/onlineEndpoints/{outputs['endpointName']}/deployments/{name}"
    return str(azure.cloud.ask("GET", path).json()["properties"]["environmentId"])


def _deploy(project: Project, blue: Any, green: Any, **sections: Any) -> Any:  # noqa: ANN401 - YAML
    configure(
        project,
        registry={"mode": "workspace"},
        deployments={"blue": blue, "green": green},
        endpoint={"traffic": {"blue": 100, "green": 0}},
        **sections,
    )
    run = project.up()
    assert run.code == 0, run.text
    return run


def test_the_latest_registered_environment_is_pinned_until_its_number_is_written(
    project: Project, azure: LocalAzure
) -> None:
    first = _register(project, azure, "1")
    green = {**MACHINE, "environment": {"reference": "azureml:ours@latest"}, "tags": {"colour": "green"}}
    _deploy(project, MACHINE, green)
    assert _runs(project, azure, "green") == first
    second = _register(project, azure, "2")
    azure.tell("reset-stats")
    run = _deploy(project, MACHINE, green)
    assert "environment ours@latest is version 2 now; 1 stays deployed; to take it, write azureml:ours:2" in run.text
    assert azure.tell("stats")["writes"] == {}
    _deploy(project, MACHINE, {**green, "environment": {"reference": "azureml:ours:2"}})
    assert _runs(project, azure, "green") == second
    assert answer(project.outputs()) == REPLY


def test_deployments_run_environments_of_their_own_beside_the_stacks_image(project: Project, azure: LocalAzure) -> None:
    code = project.folder / "code"
    code.mkdir()
    (code / "score.py").write_text("def init(): ...\n\ndef run(data):\n    return 'own'\n")
    (project.folder / "conda.yml").write_text(f"dependencies:\n- python=3.11\n- pip: [{SERVER_PACKAGE}]\n")
    own = {
        **MACHINE,
        "environment": {"base": base_image.NAME, "condaFile": "conda.yml"},
        "code": {"path": "code", "entryScript": "score.py"},
    }
    _deploy(project, MACHINE, own)
    assert "/environments/conda-green/" in _runs(project, azure, "green")
    assert _score(project, "green", {}) == "own"
    assert answer(project.outputs()) == REPLY


def test_an_mlflow_model_is_served_without_image_environment_and_code(project: Project) -> None:
    for name, text in MLFLOW.items():
        path = project.folder / "scaling" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    blue = {**MACHINE, "image": project.outputs()["image"]}
    _deploy(project, blue, {**MACHINE, "model": {"path": "scaling", "type": "mlflow"}}, image=None)
    assert _score(project, "green", {"input_data": {"columns": ["x"], "data": [[2], [5]]}}) == [6, 15]


def _score(project: Project, deployment: str, body: object) -> object:
    """Send a request to one deployment, whatever its share of the traffic."""
    outputs = project.outputs()
    headers = {"Authorization": f"Bearer {outputs['endpointKey']}", "azureml-model-deployment": deployment}
    reply = httpx.post(outputs["scoringUri"], json=body, headers=headers, timeout=60, trust_env=False)
    assert reply.status_code == httpx.codes.OK, reply.text
    return reply.json()
