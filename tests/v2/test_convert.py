from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_scoring.cli import main
from azureml_scoring.convert.v2.files import convert_files
from azureml_scoring.plan.stack import plan_file

from tests.conftest import ROOT
from tests.settings.test_json_schema import problems
from tests.v2.examples import VARIABLE, Result, files, results, root_of_examples, table

EVERY = yaml.safe_load((Path(__file__).parent / "fields.yml").read_text())
WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/"
    "Microsoft.MachineLearningServices/workspaces/ml"
)
DEPLOYMENT = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json",
    "name": "blue",
    "endpoint_name": "my-endpoint",
    "instance_type": "Standard_DS3_v2",
    "environment": {"image": "ghcr.io/acme/prices:1"},
}
ENDPOINT = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json",
    "name": "my-endpoint",
    "auth_mode": "key",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the files of az ml name."""
    for name, text in {
        "az/src/score.py": "def init(): ...\n",
        "az/weights/w.bin": "w",
        "az/image/Dockerfile": "FROM scratch\n",
        "az/conda.yml": "dependencies: [python=3.11, {pip: [azureml-inference-server-http]}]\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def written(folder: Path, *documents: dict[str, Any]) -> list[Path]:
    """The documents as files of the folder `az`."""
    paths = [folder / "az" / f"{n}.yml" for n in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(yaml.safe_dump(document))
    return paths


def converted(folder: Path, *documents: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[str]]:  # noqa: ANN401
    """The settings as the program reads them, camelCase, and the lines; the stack file lies in `folder`."""
    out = folder / "Pulumi.old.yaml"
    out.unlink(missing_ok=True)
    text, notes = convert_files(written(folder, *documents), out, **more)
    config = {key.removeprefix("scoring:"): value for key, value in yaml.safe_load(text)["config"].items()}
    assert problems(config) == [], "an editor would underline it"
    plan_file(config, folder)
    assert out.read_text() == text
    return config, [str(note) for note in notes]


def deployed(folder: Path, **fields: Any) -> tuple[dict[str, Any], list[str]]:  # noqa: ANN401
    """The whole config of one deployment with these fields."""
    return converted(folder, {**DEPLOYMENT, **fields}, location="westeurope")


# -- all fields --------------------------------------------------------------------------------------------------------


def test_every_field_of_a_managed_endpoint_and_deployment_is_read_or_gets_a_line(folder: Path) -> None:
    green = {**DEPLOYMENT, "name": "green"}
    config, lines = converted(folder, EVERY["endpoint"], EVERY["deployment"], green)
    assert not [line for line in lines if line.startswith("unknown")]
    assert config["location"] == "westeurope"
    assert config["endpoint"] == {
        "name": "my-endpoint",
        "auth": "aad-token",
        "description": "Prices",
        "tags": {"team": "data", "cost": "7"},
        "identity": EVERY["endpoint"]["identity"]["user_assigned_identities"][0]["resource_id"],
        "enforceAccessToDefaultSecretStores": True,
        "publicNetworkAccess": False,
        "traffic": {"blue": 100},
        "mirror": {"green": 10},
    }
    probe = {"period": "PT10S", "initialDelay": "PT310S", "timeout": "PT2S", "successThreshold": 1}
    assert config["deployments"]["blue"] == {
        "description": "the first",
        "instanceType": "STANDARD_NC4AS_T4_V3",
        "instanceCount": 2,
        "egressPublicNetworkAccess": False,
        "dataCollector": {
            "collections": {
                "request": {"samplingRate": 0.5},
                "model_inputs": {"samplingRate": 0.5, "data": "azureml://datastores/d/paths/p"},
            },
            "rollingRate": "hour",
            "captureHeaders": ["x-trace"],
        },
        "environmentVariables": {"WORKERS": "2", "LEVEL": "debug"},
        "livenessProbe": {**probe, "failureThreshold": 30},
        "readinessProbe": {**probe, "failureThreshold": 30},
        "requestSettings": {
            "maxConcurrentRequestsPerInstance": 4,
            "requestTimeout": "PT90S",
            "maxQueueWait": "PT0.5S",
        },
        "appInsights": True,
        "tags": {"colour": "blue"},
        "routes": {
            "liveness": "/v1/models/hpt",
            "readiness": "/v1/models/hpt",
            "scoring": "/v1/models/hpt:predict",
            "port": 8501,
        },
        "image": "acme.azurecr.io/prices:1",
        "model": {"path": "az/weights", "name": "prices", "version": "3", "mountPath": "/var/models"},
        "code": {"path": "az/src", "entryScript": "score.py"},
    }
    said = {line.split(": ")[1].partition(" ")[0].partition(".")[2] for line in lines if line.startswith("dropped")}
    assert said == {
        "properties.other",
        "properties",
        "private_network_connection",
        "data_collector.collections.model_inputs.data.data_id",
        "data_collector.collections.model_inputs.client_id",
        *(f"model.{each}" for each in ("description", "tags", "properties", "stage", "flavors", "system_metadata")),
        *(f"model.{each}" for each in ("datastore", "default_deployment_template", "allowed_deployment_templates")),
        *(f"environment.{each}" for each in ("description", "tags", "properties", "datastore", "auto_delete_setting")),
    }


def test_deployments_that_build_from_different_contexts_have_images_of_their_own(folder: Path) -> None:
    (folder / "az/second").mkdir()
    (folder / "az/second/Dockerfile").write_text("FROM mcr.microsoft.com/x:1\n")
    builds = {name: {"build": {"path": path}} for name, path in (("blue", "image"), ("green", "second"))}
    files = [{**DEPLOYMENT, "name": name, "environment": environment} for name, environment in builds.items()]
    named = {**DEPLOYMENT, "name": "grey", "environment": {"image": "acme.azurecr.io/prices:1"}}
    config, _ = converted(folder, *files, named, {**files[0], "name": "white"}, location="westeurope")
    assert config["image"] == {"context": "az/image"}
    images = {name: each.get("image") for name, each in config["deployments"].items()}
    expected = {"green": {"context": "az/second"}, "grey": "acme.azurecr.io/prices:1"}
    assert images == {"blue": None, "white": None, **expected}


def test_a_collection_may_name_a_registered_data_asset(folder: Path) -> None:
    collections = {"request": {"enabled": "true", "data": "azureml:mine:1"}}
    config, lines = deployed(folder, data_collector={"collections": collections})
    assert config["deployments"]["blue"]["dataCollector"] == {"collections": {"request": {"data": "azureml:mine:1"}}}
    assert not [line for line in lines if "data_collector" in line]


def test_every_field_of_a_kubernetes_endpoint_and_deployment_is_read(folder: Path) -> None:
    files = EVERY["kubernetes_endpoint"], EVERY["kubernetes_deployment"]
    config, lines = converted(folder, *files, workspace=WORKSPACE, location="westeurope")
    assert lines == []
    assert config["workspace"] == {"id": WORKSPACE}
    assert config["endpoint"] == {
        "name": "my-endpoint",
        "auth": "key",
        "kind": "kubernetes",
        "compute": "aks",
        "traffic": {"blue": 100},
    }
    assert config["image"] == {"context": "az/image", "dockerfile": "Dockerfile"}
    assert config["model"] == {"reference": "azureml:prices:3"}
    assert config["deployments"]["blue"] == {
        "instanceType": "defaultinstancetype",
        "scale": {
            "minInstances": 1,
            "maxInstances": 3,
            "targetUtilizationPercentage": 70,
            "pollingInterval": "PT10S",
        },
        "resources": {
            "requests": {"cpu": "0.1", "memory": "0.1Gi", "gpu": 1},
            "limits": {"cpu": "0.2", "memory": "200Mi", "gpu": 1},
        },
    }


# -- references --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written_as", "reference"),
    [
        ("azureml:ours:4", "azureml:ours:4"),
        ("azureml:ours@latest", "azureml:ours@latest"),
        ("azureml:ours", "azureml:ours@latest"),
        ("azureml:AzureML-a-b:3", "azureml://registries/azureml/environments/AzureML-a-b/versions/3"),
        ("azureml:AzureML-a-b@latest", "azureml://registries/azureml/environments/AzureML-a-b/labels/latest"),
        (
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
        ),
        (f"azureml:{WORKSPACE}/environments/ours/versions/4", f"{WORKSPACE}/environments/ours/versions/4"),
    ],
)
def test_a_registered_environment_is_named_as_az_ml_names_it(folder: Path, written_as: str, reference: str) -> None:
    config, _ = deployed(folder, environment=written_as)
    assert config["environment"] == {"reference": reference}


def test_a_registered_asset_needs_its_workspace_which_is_said(folder: Path) -> None:
    _, lines = deployed(folder, model="azureml:iris:3")
    assert [line for line in lines if "--workspace names that one" in line]
    config, lines = converted(folder, {**DEPLOYMENT, "model": "azureml:iris:3"}, workspace=WORKSPACE)
    assert config["workspace"] == {"id": WORKSPACE}
    assert not [line for line in lines if "--workspace" in line]


def test_packages_on_a_base_image_are_an_environment_inline_or_in_a_file(folder: Path) -> None:
    code = {"code": "./src", "scoring_script": "score.py"}
    base = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
    config, _ = deployed(folder, code_configuration=code, environment={"image": base, "conda_file": "conda.yml"})
    assert config["environment"] == {"base": base, "condaFile": "az/conda.yml"}
    assert config["registry"] == {"mode": "workspace"}
    inline = yaml.safe_load((folder / "az/conda.yml").read_text())
    config, _ = deployed(folder, code_configuration=code, environment={"image": base, "conda_file": inline})
    assert yaml.safe_load((folder / config["environment"]["condaFile"]).read_text()) == inline


def test_an_environment_may_be_a_file_whose_paths_start_there(folder: Path) -> None:
    (folder / "az/env").mkdir()
    (folder / "az/env/env.yml").write_text("image: ghcr.io/acme/base:1\nconda_file: ../conda.yml\n")
    code = {"code": "src", "scoring_script": "score.py"}
    config, _ = deployed(folder, code_configuration=code, environment="file:env/env.yml")
    assert config["environment"]["condaFile"] == "az/conda.yml"


@pytest.mark.parametrize("kind", ["mlflow_model", "triton_model"])
def test_a_model_that_azure_serves_by_itself_needs_nothing_else(folder: Path, kind: str) -> None:
    document = {key: value for key, value in DEPLOYMENT.items() if key != "environment"}
    config, _ = converted(folder, {**document, "model": {"path": "weights", "type": kind}})
    assert config["model"] == {"path": "az/weights", "type": kind.removesuffix("_model")}
    assert not {"image", "environment", "code"} & config.keys()


def test_a_custom_model_without_an_environment_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {key: value for key, value in DEPLOYMENT.items() if key != "environment"}
    files = written(folder, {**document, "model": {"path": "weights"}})
    before = sorted(folder.rglob("*"))
    assert main(["convert", *map(str, files), "--out", str(folder / "Pulumi.old.yaml")]) == 2
    assert "scoring:image.context" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


# -- the registry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("acme.azurecr.io/prices:1", {"mode": "standalone", "loginServer": "acme.azurecr.io"}),
        ("docker.io/tensorflow/serving:latest", {"mode": "workspace"}),
    ],
)
def test_an_azure_registry_is_named_so_that_the_endpoint_may_read_it(
    folder: Path, image: str, registry: dict[str, str]
) -> None:
    config, _ = deployed(folder, environment={"image": image})
    assert config["registry"] == registry
    assert config["image"] == {"reference": image}


def test_an_image_of_docker_hub_gets_its_host(folder: Path) -> None:
    config, lines = deployed(folder, environment={"image": "vllm/vllm-openai:v1"})
    assert config["image"] == {"reference": "docker.io/vllm/vllm-openai:v1"}
    assert any("the host is written: docker.io/vllm/vllm-openai:v1" in line for line in lines)


# -- several files -----------------------------------------------------------------------------------------------------


def test_what_deployments_share_is_the_stacks_and_the_rest_is_their_own(folder: Path) -> None:
    green = {**DEPLOYMENT, "name": "green_2", "environment": "azureml:ours:1", "model": {"path": "weights"}}
    blue = {**DEPLOYMENT, "model": {"path": "weights"}}
    config, lines = converted(folder, ENDPOINT, blue, green)
    assert config["model"] == {"path": "az/weights"}
    assert config["deployments"]["blue"]["image"] == "ghcr.io/acme/prices:1"
    assert config["deployments"]["green-2"]["environment"] == {"reference": "azureml:ours:1"}
    assert config["endpoint"]["traffic"] == {"blue": 100, "green-2": 0}
    assert any("traffic: no file shares it; blue, the first, gets all" in line for line in lines)
    assert any("name = green_2: Azure takes letters, digits and dashes: green-2" in line for line in lines)


def test_set_changes_a_field_of_the_deployments(folder: Path) -> None:
    files = written(folder, {key: value for key, value in DEPLOYMENT.items() if key != "environment"})
    text, _ = convert_files(
        files, None, changes=[("model", "azureml:iris:1"), ("request_settings.request_timeout_ms", "1")]
    )
    config = yaml.safe_load(text)["config"]
    assert config["scoring:model"] == {"reference": "azureml:iris:1"}
    assert config["scoring:deployments"]["blue"]["requestSettings"] == {"requestTimeout": "PT0.001S"}


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([ENDPOINT], "no file describes a deployment"),
        ([ENDPOINT, {**DEPLOYMENT, "endpoint_name": "other"}], "my-endpoint, other: a stack has one endpoint"),
        (
            [{"$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json"}],
            "neither an online endpoint",
        ),
        (
            [{**DEPLOYMENT, "environment": "ours"}],
            "environment = ours: a registered asset is written azureml:NAME:VERSION",
        ),
        ([{**DEPLOYMENT, "model": {"path": "azureml://datastores/d/paths/p"}}], "it lies on no disk of this machine"),
        ([{**DEPLOYMENT, "environment": {"image": "a.io/b:1", "os_type": "windows"}}], "online endpoints run Linux"),
        ([EVERY["kubernetes_endpoint"], EVERY["kubernetes_deployment"]], "add --workspace ID"),
        ([{**DEPLOYMENT, "instance_type": ""}], 'scoring:deployments.blue.instanceType = "": which machine?'),
        ([EVERY["kubernetes_deployment"]], "name the file of its endpoint, which has compute"),
    ],
)
def test_what_cannot_become_a_stack_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]], words: str
) -> None:
    assert main(["convert", *map(str, written(folder, *documents))]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert words in said[0]


def test_a_placeholder_is_named_with_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "blue.yml"
    file.write_text("name: blue\nendpoint_name: {{ENDPOINT_NAME}}\n")
    assert main(["convert", str(file)]) == 2
    assert "line 2 has the placeholder {{ENDPOINT_NAME}}; replace it" in capsys.readouterr().err


# -- Microsoft's examples ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples() -> list[Result]:
    """Each file of azureml-examples, converted."""
    root = root_of_examples()
    if root is None:
        pytest.skip(f"{VARIABLE} names no checkout of https://github.com/Azure/azureml-examples")
    assert len(files(root)) > 90, "the examples were moved"
    return list(results(root))


def test_every_example_of_microsoft_converts(examples: list[Result]) -> None:
    assert {result.name: result.reason for result in examples if result.reason} == {}


def test_the_documentation_shows_what_becomes_of_each_example(examples: list[Result]) -> None:
    assert (ROOT / "docs" / "samples" / "azureml-examples.md").read_text() == table(examples)


def test_no_example_of_microsoft_has_a_field_that_is_not_known(examples: list[Result]) -> None:
    assert [str(note) for result in examples for note in result.notes if note.kind == "unknown"] == []
