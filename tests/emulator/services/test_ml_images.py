"""Images that Azure ML builds from a base image and a conda file."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.core.errors import AzureError
from emulator.services.machinelearningservices.assets.jobs import RecipeError, name, recipe
from tests.conftest import Cloud
from tests.emulator.conftest import InProcessAzure
from tests.ml import ENVIRONMENT, scene
from tests.scoring import ROUTES, Stage, stage
from tools import base_image

PIP = "dependencies:\n  - python=3.11\n  - pip\n  - pip: [azureml-inference-server-http==1.5.0, six]\n"
GIVEN = {"image": "base:1", "condaFile": PIP}


def test_the_recipe_installs_the_conda_file_and_starts_azures_server() -> None:
    files = recipe(GIVEN)
    assert files["conda.yml"] == PIP
    assert files["requirements.txt"] == "azureml-inference-server-http==1.5.0\nsix\n"
    assert files["Dockerfile"].startswith("FROM base:1\n")
    assert "azmlinfsrv --entry_script" in files["Dockerfile"]
    assert f"conda env create --yes --prefix /azureml-envs/azureml_{name(GIVEN)}" in files["setup.sh"]


def test_a_custom_container_keeps_the_images_own_command() -> None:
    given = {**GIVEN, "condaFile": "dependencies: [{pip: [six]}]", "inferenceConfig": ROUTES}
    assert "CMD" not in recipe(given)["Dockerfile"]
    assert name(given) != name({**given, "inferenceConfig": None})


@pytest.mark.parametrize(
    ("conda", "said"),
    [
        ("- a", "no conda environment"),
        (": :", "no conda environment"),
        ("dependencies: [{pip: [six]}]", "neither azureml-defaults nor azureml-inference-server-http"),
    ],
)
def test_a_conda_file_that_cannot_serve_is_refused(conda: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe({**GIVEN, "condaFile": conda})


def test_an_environment_that_needs_a_build_needs_a_registry_and_code(local: InProcessAzure) -> None:
    with scene(local, listen=False) as found:
        path = f"{ENVIRONMENT}/versions/2"
        local.ask("PUT", path, {"properties": GIVEN})
        with pytest.raises(AzureError, match="lacks 'codeConfiguration'"):
            found.deploy("blue", environmentId=f"{local.group}/{path}")
        local.ask("PUT", f"{ENVIRONMENT}/versions/3", {"properties": {**GIVEN, "inferenceConfig": ROUTES}})
        with pytest.raises(AzureError, match=r"ImageBuildFailure: .*scorer:3.* has no container registry"):
            found.deploy("blue", environmentId=f"{local.group}/{ENVIRONMENT}/versions/3")


@pytest.fixture(scope="module")
def built(azure: Cloud) -> Iterator[Stage]:
    """A workspace whose own registry is the registry, with an image that has pip."""
    with stage(azure, base_image.NAME) as made:
        body = azure.ask("GET", made.workspace).json()
        body["properties"]["containerRegistry"] = made.registry.id
        azure.put(made.workspace, body)
        yield made


def _register(made: Stage, version: str, **properties: Any) -> str:  # noqa: ANN401 - JSON
    path = f"{made.workspace}/environments/conda/versions/{version}"
    made.cloud.put(path, {"properties": {"image": base_image.NAME, "inferenceConfig": ROUTES, **properties}})
    return path


@pytest.mark.parametrize(
    ("version", "conda", "said"),
    [
        ("1", "dependencies: [python=3.6.2, {pip: []}]", r"asks for python=3\.6\.2, the base image has 3\.11"),
        ("2", "dependencies: [python=3.11, numpy=1.26]", r"no conda, which is needed for numpy=1\.26"),
        ("3", "dependencies: [{pip: ['no such package']}]", "(?i)error"),
    ],
)
def test_a_build_that_fails_gives_its_last_lines(built: Stage, version: str, conda: str, said: str) -> None:
    environment = _register(built, version, condaFile=conda)
    with built.endpoint() as endpoint:
        told = endpoint.deploy(environmentId=environment)
    assert told["status"] == "Failed"
    assert told["error"]["code"] == "ImageBuildFailure"
    assert f"conda:{version}' cannot be built: " in told["error"]["message"]
    assert "\n" not in told["error"]["message"]
    assert re.search(said, told["error"]["message"])


def test_an_environment_is_built_in_the_workspaces_registry_once_and_pulled_from_there(built: Stage) -> None:
    # The scoring image's own server runs, with an empty venv before it on the PATH: no index is asked.
    environment = _register(built, "7", image=built.image, condaFile="dependencies: [python=3.11, {pip: []}]")
    built.cloud.tell("reset-stats")
    with built.endpoint() as endpoint:
        for name_ in ("blue", "green"):
            assert endpoint.deploy(name_, environmentId=environment)["status"] == "Succeeded"
        assert endpoint.send({"blue": 100}).is_success
        assert endpoint.score({"x": 1}).json()["name"] == "blue"
        images = {each["Image"] for each in built.containers}
    assert '"builds": 1' in built.cloud.tell("stats")
    assert images
