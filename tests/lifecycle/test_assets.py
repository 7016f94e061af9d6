"""A model and code beside the image, from folders here to the container, on the real engine."""

import json
from typing import Any

import pytest

from tests.modes import DOCKERFILE, answer, configure, write_image
from tests.project import LocalAzure, Project
from tools import base_image

pytestmark = pytest.mark.slow

IMAGE = {"context": "image", "repository": "served"}
SERVER_PACKAGE = "azureml-inference-server-http==1.5.1"
# The image knows neither model nor code: it runs whatever Azure mounts.
SERVER = """import importlib.util, os
from stub_server import Answer, StubServer

script = os.path.join(os.environ["AML_APP_ROOT"], os.environ["AZUREML_ENTRY_SCRIPT"])
spec = importlib.util.spec_from_file_location("entry", script)
entry = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entry)
entry.init()
StubServer(lambda _: Answer(entry.run("")), "", 5001).serve_forever()
"""
SCORE = """import os

def init():
    global words
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights", "words.txt")) as file:
        words = file.read()

def run(data):
    return {"words": words, **{name: os.environ[name] for name in ("AZUREML_MODEL_DIR", "AML_APP_ROOT")}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    """A stack that stands: a server's image, a model's folder, a code folder."""
    copied = Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)
    image, weights, code = (copied.folder / name for name in ("image", "weights", "code"))
    for folder in (weights, code):
        folder.mkdir()
    write_image(image, SERVER)
    (image / "Dockerfile").write_text(DOCKERFILE.replace("CMD", "USER 10001\nCMD"))
    (weights / "words.txt").write_text("first")
    (code / "score.py").write_text(SCORE)
    _write(copied, image=IMAGE)
    run = copied.up()
    assert run.code == 0, run.text
    return copied


def _write(project: Project, **sections: Any) -> None:  # noqa: ANN401 - YAML
    """Write the stack file: the model and the code, with an image or an environment."""
    configure(
        project,
        **{
            "registry": {"mode": "workspace"},
            "image": None,
            "model": {"path": "weights", "name": "words"},
            "code": {"path": "code", "entryScript": "score.py"},
            **sections,
        },
    )


def _words(project: Project) -> str:
    return (project.folder / "weights" / "words.txt").read_text()


def _version(project: Project) -> str:
    id_: str = project.resource("azureml-scoring:index:ModelVersion", "-model")["id"]
    return id_.rpartition("/")[2]


def _writes(azure: LocalAzure) -> dict[str, Any]:
    found: dict[str, Any] = azure.tell("stats")
    return found


def test_the_entry_script_finds_model_and_code_where_azure_mounts_them(project: Project) -> None:
    version = _version(project)
    assert answer(project.outputs()) == {
        "words": _words(project),
        "AZUREML_MODEL_DIR": f"/var/azureml-app/azureml-models/words/{version}",
        "AML_APP_ROOT": "/var/azureml-app/code",
    }


def test_a_second_up_uploads_and_writes_nothing(project: Project, azure: LocalAzure) -> None:
    azure.tell("reset-stats")
    again = project.up()
    assert again.code == 0, again.text
    assert _writes(azure) == {"writes": {}, "builds": 0, "uploads": 0}


def test_a_changed_model_file_changes_the_model_version_and_the_deployment_only(
    project: Project, azure: LocalAzure
) -> None:
    before = _version(project)
    (project.folder / "weights" / "words.txt").write_text(f"after {_words(project)}")
    preview = project.pulumi("preview", "--json", "--stack", project.stack)
    assert preview.code == 0, preview.text
    steps = json.loads(preview.text[preview.text.index("{") :])["steps"]
    touched = {step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] != "same"}
    assert set(touched) == {"scoring-model", "scoring-blue"}
    assert touched["scoring-blue"] == "update"
    azure.tell("reset-stats")
    run = project.up()
    assert run.code == 0, run.text
    assert answer(project.outputs())["words"] == _words(project)
    assert _version(project) != before
    # One file is uploaded; the new version is written, and the old one archived.
    ml = "Microsoft.MachineLearningServices/workspaces"
    wanted = {f"{ml}/models/versions": 2, f"{ml}/onlineEndpoints/deployments": 1}
    assert _writes(azure) == {"writes": wanted, "builds": 0, "uploads": 1}


def test_azure_ml_builds_an_environment_and_its_own_server_runs_the_entry_script(
    project: Project, azure: LocalAzure
) -> None:
    (project.folder / "conda.yml").write_text(f"dependencies:\n- python=3.11\n- pip: [{SERVER_PACKAGE}]\n")
    _write(project, environment={"base": base_image.NAME, "condaFile": "conda.yml"})
    azure.tell("reset-stats")
    run = project.up()
    assert run.code == 0, run.text
    assert answer(project.outputs())["words"] == _words(project)
    assert _writes(azure)["builds"] == 1
    azure.tell("reset-stats")
    again = project.up()
    assert again.code == 0, again.text
    assert _writes(azure) == {"writes": {}, "builds": 0, "uploads": 0}
