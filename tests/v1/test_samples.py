"""The files of Microsoft's public v1 documents and repositories, by name: each converts, and no field is lost.

Written anew, with the fields and values that they have. The notebooks of Azure/MachineLearningNotebooks have no such
files: they call the SDK.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_scoring.convert.v1.files import convert_files

CONDA = "dependencies:\n- python=3.6.2\n- pip:\n  - azureml-defaults\n  - scikit-learn\n"
_DOCKER: dict[str, Any] = {
    "arguments": [],
    "baseDockerfile": None,
    "enabled": False,
    "sharedVolumes": True,
    "shmSize": None,
}
_PYTHON = {
    "baseCondaEnvironment": None,
    "condaDependencies": {
        "channels": [],
        "dependencies": ["python=3.6.2", {"pip": ["azureml-defaults"]}],
        "name": "project_environment",
    },
    "condaDependenciesFile": None,
    "interpreterPath": "python",
    "userManagedDependencies": False,
}
_RESOURCES = {"cpu": 0.5, "memoryInGB": 1.0}
INFERENCE: dict[str, Any] = {
    "how-to-deploy-and-where: echo_score": {
        "entryScript": "score.py",
        "sourceDirectory": "./source_dir",
        "environment": {
            "docker": {**_DOCKER, "baseImage": "mcr.microsoft.com/azureml/base:intelmpi2018.3-ubuntu16.04"},
            "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
            "name": "my-deploy-env",
            "python": _PYTHON,
            "version": "1",
        },
    },
    "how-to-deploy-and-where, older: x/y/score.py with env/myenv.yml": {
        "entryScript": "x/y/score.py",
        "runtime": "python",
        "condaFile": "env/myenv.yml",
        "sourceDirectory": "./source_dir",
    },
    "reference-azure-machine-learning-cli: without an environment": {
        "entryScript": "score.py",
        "runtime": "python",
        "condaFile": "myenv.yml",
        "extraDockerfileSteps": None,
        "sourceDirectory": None,
        "enableGpu": False,
        "baseImage": None,
        "baseImageRegistry": None,
    },
    "reference-azure-machine-learning-cli: a registered environment": {
        "entryScript": "score.py",
        "sourceDirectory": None,
        "environment": {"name": "my-env", "version": "1"},
    },
    "tutorial-train-deploy-model-cli: inferenceConfig.json": {
        "entryScript": "score.py",
        "sourceDirectory": ".",
        "environment": {"name": "tutorial-env", "docker": _DOCKER, "python": _PYTHON, "spark": {"packages": []}},
    },
    "how-to-deploy-custom-docker-image: a public registry": {
        "entryScript": "score.py",
        "environment": {
            "docker": {
                **_DOCKER,
                "baseImage": "mcr.microsoft.com/azureml/o16n-sample-user-base/ubuntu-miniconda:latest",
            },
            "environmentVariables": {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
            "name": "my-deploy-env",
            "python": _PYTHON,
            "version": None,
        },
    },
    "reference-azure-machine-learning-cli: enableGpu": {
        "entryScript": "score.py",
        "runtime": "python",
        "condaFile": "myenv.yml",
        "enableGpu": True,
    },
    "reference-azure-machine-learning-cli: baseImageRegistry as a text": {
        "entryScript": "score.py",
        "runtime": "python",
        "condaFile": "myenv.yml",
        "baseImage": "azureml/openmpi4.1.0-ubuntu22.04",
        "baseImageRegistry": "mcr.microsoft.com",
    },
    "MLOpsPython: inference_config.yml": {
        "entryScript": "score.py",
        "runtime": "python",
        "condaFile": "myenv.yml",
        "extraDockerfileSteps": None,
        "schemaFile": None,
        "dependencies": None,
        "enableGpu": False,
        "baseImage": None,
        "baseImageRegistry": None,
    },
}
DEPLOYMENT: dict[str, Any] = {
    "how-to-deploy-local": {"computeType": "local", "port": 32267},
    "how-to-deploy-azure-container-instance": {
        "computeType": "aci",
        "containerResourceRequirements": _RESOURCES,
        "authEnabled": True,
        "sslEnabled": False,
        "appInsightsEnabled": False,
    },
    "how-to-deploy-azure-kubernetes-service": {
        "computeType": "aks",
        "autoScaler": {
            "autoscaleEnabled": True,
            "minReplicas": 1,
            "maxReplicas": 3,
            "refreshPeriodInSeconds": 1,
            "targetUtilization": 70,
        },
        "dataCollection": {"storageEnabled": True},
        "authEnabled": True,
        "containerResourceRequirements": _RESOURCES,
    },
    "tutorial-train-deploy-model-cli: aciDeploymentConfig.json": {
        "containerResourceRequirements": {"cpu": 1, "memoryInGB": 1},
        "computeType": "ACI",
    },
    "MLOpsPython: deployment_config_aci.yml": {
        "containerResourceRequirements": {"cpu": 1, "memoryInGB": 4},
        "computeType": "ACI",
    },
    "MLOpsPython: deployment_config_aks.yml": {
        "computeType": "AKS",
        "autoScaler": {
            "autoscaleEnabled": True,
            "minReplicas": 1,
            "maxReplicas": 3,
            "refreshPeriodInSeconds": 10,
            "targetUtilization": 70,
        },
        "authEnabled": True,
        "containerResourceRequirements": {"cpu": 1, "memoryInGB": 4},
        "appInsightsEnabled": True,
        "scoringTimeoutMs": 5000,
        "maxConcurrentRequestsPerContainer": 2,
        "maxQueueWaitMs": 5000,
        "sslEnabled": True,
    },
    "mlflow: echo '{ computeType: aci }'": {"computeType": "aci"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scripts and packages that the files name."""
    for name in ("score.py", "source_dir/score.py", "source_dir/x/y/score.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def init(): ...\n")
    for name in ("myenv.yml", "source_dir/env/myenv.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONDA)
    return tmp_path


def unknown(folder: Path, inference: object, deployment: object, text: Any = json.dumps) -> list[str]:  # noqa: ANN401
    """Convert both files, with the stack file; the lines of fields that are not known."""
    files = folder / "inferenceconfig.json", folder / "deploymentconfig.json"
    for file, document in zip(files, (inference, deployment), strict=True):
        file.write_text(text(document))
    _, notes = convert_files(*files, folder / "Pulumi.old.yaml", name="myservice", model="mymodel:1")
    assert (folder / "Pulumi.old.yaml").is_file()
    return [str(note) for note in notes if note.kind == "unknown"]


@pytest.mark.parametrize("sample", INFERENCE)
def test_an_inference_config_of_microsofts_documents_converts(folder: Path, sample: str) -> None:
    assert unknown(folder, INFERENCE[sample], DEPLOYMENT["how-to-deploy-azure-container-instance"]) == []


@pytest.mark.parametrize("sample", DEPLOYMENT)
def test_a_deployment_config_of_microsofts_documents_converts(folder: Path, sample: str) -> None:
    inference = INFERENCE["reference-azure-machine-learning-cli: without an environment"]
    assert unknown(folder, inference, DEPLOYMENT[sample], yaml.safe_dump) == []


def test_a_trailing_comma_as_in_a_published_sample_is_read(folder: Path) -> None:
    text = '{\n   "entryScript": "score.py",\n   "condaFile": "myenv.yml",\n}\n'
    assert unknown(folder, text, "{ computeType: aci }", str) == []
