import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from azureml_scoring.cli import main
from azureml_scoring.convert.reading import ConvertError
from azureml_scoring.convert.v1 import files as v1_files
from azureml_scoring.convert.v1.config import CONDA_FILE, DOCKERFILE, Converted, convert
from azureml_scoring.convert.v1.files import with_paths
from azureml_scoring.convert.v1.sizes import choose
from azureml_scoring.plan.requirements import before
from azureml_scoring.plan.stack import plan_file
from azureml_scoring.settings.stack import StackSettings

from tests.settings.test_json_schema import problems

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((Path(__file__).parent / "document.json").read_text())
ACI = {
    "computeType": "aci",
    "containerResourceRequirements": {"cpu": 0.5, "memoryInGB": 1.0},
    "location": "West Europe",
    "authEnabled": True,
    "sslEnabled": False,
    "appInsightsEnabled": False,
    "sslCertificate": "",
    "sslKey": "",
    "cname": "",
    "dnsNameLabel": "",
}
AKS = {
    "computeType": "aks",
    "autoScaler": {
        "autoscaleEnabled": True,
        "minReplicas": 2,
        "maxReplicas": 3,
        "refreshPeriodInSeconds": 1,
        "targetUtilization": 70,
    },
    "dataCollection": {"storageEnabled": True},
    "authEnabled": True,
    "tokenAuthEnabled": False,
    "containerResourceRequirements": {"cpu": 3, "memoryInGB": 10, "cpuLimit": 4, "memoryInGBLimit": 12},
    "appInsightsEnabled": True,
    "scoringTimeoutMs": 5500,
    "maxConcurrentRequestsPerContainer": 2,
    "maxQueueWaitMs": 500,
    "keys": {"primaryKey": "hush-1", "secondaryKey": "hush-2"},
    "gpuCores": 0,
    "livenessProbeRequirements": {
        "periodSeconds": 10,
        "initialDelaySeconds": 310,
        "timeoutSeconds": 2,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
    "namespace": "scoring",
    "description": "Iris",
    "tags": {"team": "data", "costs": 7},
}


def converted_from(inference: object = None, deployment: object = None, **more: Any) -> Converted:  # noqa: ANN401
    return convert(DOCUMENT if inference is None else inference, deployment, **more)


def changed(path: str, value: object) -> dict[str, Any]:
    """The document's own file with one field written."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENT)
    *parents, last = path.split("/")
    part = document
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return document


def lines(converted: Converted, kind: str = "") -> list[str]:
    return [str(note) for note in converted.notes if note.kind.startswith(kind)]


def accepted(converted: Converted, root: Path) -> dict[str, Any]:
    """The config as the program reads it, with the files in place."""
    (root / "score.py").write_text("def init(): ...\n")
    for name, text in converted.files.items():
        (root / name).write_text(text)
    config = yaml.safe_load(yaml.safe_dump(with_paths(converted.config, Path(), root)))
    assert problems(config) == [], "an editor would underline it"
    return plan_file(config, root)[0].model_dump(exclude_unset=True)


# -- the document's own file -------------------------------------------------------------------------------------------


def test_the_documents_inference_config_becomes_config_that_the_program_accepts(tmp_path: Path) -> None:
    converted = converted_from()
    settings = accepted(converted, tmp_path)
    assert settings["registry"] == {"mode": "workspace"}
    assert "image" not in settings
    assert settings["environment"]["base"] == DOCUMENT["environment"]["docker"]["baseImage"]
    assert settings["environment"]["name"] == "my-deploy-env"
    assert settings["code"] == {"path": str(tmp_path), "entry_script": "score.py"}
    assert settings["deployments"]["blue"]["environment_variables"] == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}


def test_the_documents_packages_are_installed_as_they_stand() -> None:
    converted = converted_from()
    wanted = DOCUMENT["environment"]["python"]["condaDependencies"]
    assert list(converted.files) == [CONDA_FILE]
    assert yaml.safe_load(converted.files[CONDA_FILE]) == wanted


def test_the_document_has_no_unknown_field_and_its_retired_image_is_told() -> None:
    converted = converted_from()
    assert lines(converted, "unknown") == []
    assert any("retired" in line and "minimal-py312-inference" in line for line in lines(converted))


def test_a_registered_model_or_a_folder_is_mounted(tmp_path: Path) -> None:
    registered = converted_from(model="iris:3")
    assert accepted(registered, tmp_path)["model"] == {"reference": "azureml:iris:3"}
    assert any(line.startswith("changed: -m iris:3: it stays where it is registered") for line in lines(registered))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"w")
    assert accepted(converted_from(model=str(tmp_path / "weights")), tmp_path)["model"] == {
        "path": str(tmp_path / "weights")
    }
    assert any("add --model NAME:VERSION or a path" in line for line in lines(converted_from()))


def test_what_azure_ml_cannot_build_becomes_a_dockerfile(tmp_path: Path) -> None:
    for path, value in (
        ("environment/docker/platform", {"os": "Linux", "architecture": "arm64"}),
        ("environment/docker/baseDockerfile", "FROM ubuntu:24.04\nRUN echo"),
        ("environment/python/baseCondaEnvironment", "base"),
    ):
        settings = accepted(converted_from(changed(path, value)), tmp_path)
        assert "environment" not in settings
        assert settings["image"]["dockerfile"] == DOCKERFILE
        assert "code" not in settings, "the Dockerfile brings it"


def test_the_dockerfile_is_one_that_the_image_checks_understand() -> None:
    converted = converted_from(changed("environment/docker/platform", {"os": "Linux", "architecture": "amd64"}))
    assert f"&& conda env create --prefix /opt/azureml-v1 --file /tmp/{CONDA_FILE}" in converted.files[DOCKERFILE]
    assert '"/var/azureml-app/score.py"' in converted.files[DOCKERFILE]
    ids = [finding.id for finding in before(converted.files[DOCKERFILE], {CONDA_FILE: converted.files[CONDA_FILE]})]
    assert ids == ["AML-IMG-004", "AML-IMG-008", "AML-IMG-010", "AML-IMG-016"]


# -- inference config --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("environment/docker/arguments", ["--gpus", "all"], "dropped: environment.docker.arguments"),
        ("environment/docker/shmSize", "2g", "dropped: environment.docker.shmSize = 2g"),
        ("environment/docker/sharedVolumes", False, "dropped: environment.docker.sharedVolumes = false"),
        ("environment/docker/enabled", False, "changed: environment.docker.enabled = false"),
        ("environment/spark", {"packages": ["x"], "precachePackages": True}, "dropped: environment.spark"),
        ("environment/inferencingStackVersion", "latest", "changed: environment.inferencingStackVersion"),
        ("runtime", "spark-py", "dropped: runtime = spark-py"),
        ("cudaVersion", "10.1", "dropped: cudaVersion = 10.1"),
        ("entryScrip", "x", "unknown: entryScrip"),
        ("environment/docker/baseimages", "x", "unknown: environment.docker.baseimages"),
        ("environment/python/conda", "x", "unknown: environment.python.conda"),
    ],
)
def test_what_is_done_otherwise_or_not_at_all_is_one_line(path: str, value: object, words: str) -> None:
    notes = [line for line in lines(converted_from(changed(path, value))) if line.startswith(words)]
    assert len(notes) == 1
    assert "\n" not in notes[0]


@pytest.mark.parametrize("key", ["environment/docker/baseImageRegistry", "environment/docker/registry"])
def test_a_private_base_is_told_without_its_password(key: str) -> None:
    converted = converted_from(changed(key, {"address": "acme.azurecr.io", "username": "u", "password": "hush"}))
    assert any("az acr import" in line for line in lines(converted, "dropped"))
    assert "hush" not in str(converted)


def test_fields_that_say_nothing_are_not_told() -> None:
    document = changed("environment/spark", {"repositories": [], "packages": [], "precachePackages": True})
    assert not any("spark" in line for line in lines(converted_from(document)))


def test_a_base_dockerfile_comes_first_and_may_be_a_file(tmp_path: Path) -> None:
    text = "FROM ubuntu:24.04\nRUN echo"
    inline = converted_from(changed("environment/docker/baseDockerfile", text))
    assert text in inline.files[DOCKERFILE]
    assert "buildArguments" not in inline.config["image"]
    filed = converted_from(changed("environment/docker/baseDockerfile", "base.Dockerfile"), read=lambda _: text)
    assert filed.files[DOCKERFILE] == inline.files[DOCKERFILE]
    accepted(inline, tmp_path)


def test_an_image_with_its_own_packages_gets_the_server_only() -> None:
    document = changed("environment/python", {"userManagedDependencies": True, "interpreterPath": "/opt/x/bin/python"})
    converted = converted_from(document)
    assert CONDA_FILE not in converted.files
    assert (
        "=1 /opt/x/bin/python -m pip install --no-cache-dir azureml-inference-server-http"
        in converted.files[DOCKERFILE]
    )


def test_packages_without_a_server_get_one_and_too_old_a_one_is_refused() -> None:
    place = "environment/python/condaDependencies"
    converted = converted_from(changed(place, {"dependencies": ["python=3.12", {"pip": ["scipy"]}]}))
    assert yaml.safe_load(converted.files[CONDA_FILE])["dependencies"][1]["pip"] == [
        "scipy",
        "azureml-inference-server-http",
    ]
    with pytest.raises(ConvertError, match=r"azureml-defaults 1\.0\.44 cannot serve"):
        converted_from(changed(place, {"dependencies": [{"pip": ["azureml-defaults==1.0.44"]}]}))


def test_a_conda_file_and_a_base_environment_are_followed() -> None:
    python = {"condaDependenciesFile": "env.yml", "baseCondaEnvironment": "base"}
    converted = converted_from(
        changed("environment/python", python), read=lambda _: "dependencies: [{pip: [azureml-defaults==1.60]}]"
    )
    assert 'conda create --yes --prefix /opt/azureml-v1 --clone "base"' in converted.files[DOCKERFILE]
    with pytest.raises(ConvertError, match=r"env\.yml: no such text file"):
        converted_from(changed("environment/python", python))


def test_the_fields_from_before_environments_are_read() -> None:
    older = {
        "entryScript": "score.py",
        "runtime": "python",
        "condaFile": "env.yml",
        "extraDockerfileSteps": "steps",
        "enableGpu": True,
        "baseImage": "acme.azurecr.io/base:1",
        "description": "old",
    }
    texts = {"env.yml": "dependencies: [python=3.12, {pip: [azureml-defaults==1.60]}]", "steps": "RUN touch /x"}
    converted = converted_from(older, read=texts.__getitem__)
    assert "RUN touch /x" in converted.files[DOCKERFILE]
    assert converted.config["image"]["buildArguments"] == {"BASE": "acme.azurecr.io/base:1"}
    assert converted.config["endpoint"]["description"] == "old"
    assert "_NC" in converted.config["deployments"]["blue"]["instanceType"]


@pytest.mark.parametrize(
    ("environment", "reference"),
    [
        ({"name": "mine", "version": "3"}, "azureml:mine:3"),
        ({"name": "mine"}, "azureml:mine@latest"),
        ("mine", "azureml:mine@latest"),
        ("mine:3", "azureml:mine:3"),
        (
            {"name": "AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "version": "1"},
            "azureml://registries/azureml/environments/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu/versions/1",
        ),
    ],
)
def test_an_environment_by_name_is_the_registered_one(tmp_path: Path, environment: object, reference: str) -> None:
    converted = converted_from({"entryScript": "score.py", "environment": environment})
    settings = accepted(converted, tmp_path)
    assert settings["environment"] == {"reference": reference}
    assert settings["code"]["entry_script"] == "score.py"
    assert len([line for line in lines(converted) if line.startswith("changed: environment.name")]) == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not an object"),
        ({}, "entryScript is missing"),
        ({"entryScript": {}}, "entryScript is a dict, not a text"),
        ({"entryScript": "x", "environment": []}, "environment is a list, not an object"),
        ({"entryScript": "x", "enableGpu": 3}, "enableGpu = 3 is neither"),
    ],
)
def test_a_file_that_is_none_of_v1s_is_refused_in_one_line(document: object, words: str) -> None:
    with pytest.raises(ConvertError, match=words) as caught:
        convert(document)
    assert "\n" not in str(caught.value)


# -- deployment config -------------------------------------------------------------------------------------------------


def test_an_aci_config_becomes_a_managed_deployment(tmp_path: Path) -> None:
    converted = converted_from(deployment=ACI, name="myservice")
    settings = accepted(converted, tmp_path)
    assert settings["location"] == "westeurope"
    assert settings["endpoint"]["name"] == "myservice"
    assert settings["deployments"]["blue"]["instance_type"] == "Standard_DS2_v2"
    assert lines(converted, "unknown") == []


def test_an_aks_config_is_read_in_full(tmp_path: Path) -> None:
    converted = converted_from(deployment=AKS)
    settings = accepted(converted, tmp_path)
    assert lines(converted, "unknown") == []
    blue = settings["deployments"]["blue"]
    assert (blue["instance_type"], blue["app_insights"]) == ("Standard_DS3_v2", True)
    assert blue["autoscale"] == {"min": 2, "max": 3}
    assert blue["liveness_probe"] == {
        "initial_delay": "PT310S",
        "period": "PT10S",
        "timeout": "PT2S",
        "success_threshold": 1,
        "failure_threshold": 3,
    }
    assert blue["request_settings"] == {
        "max_concurrent_requests_per_instance": 2,
        "request_timeout": "PT5.5S",
        "max_queue_wait": "PT0.5S",
    }
    assert settings["tags"] == {"team": "data", "costs": "7"}
    assert settings["endpoint"]["description"] == "Iris"
    notes = {note.field.partition(" ")[0] for note in converted.notes if note.kind == "dropped"}
    assert {"dataCollection.storageEnabled", "keys", "namespace"} <= notes
    assert any(line.startswith("changed: autoScaler: Azure Monitor") for line in lines(converted))
    assert "hush" not in str(converted)


WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/ml"
)


def test_with_its_compute_an_aks_config_stays_on_kubernetes_as_it_was(tmp_path: Path) -> None:
    converted = converted_from(deployment={**AKS, "computeTargetName": f"{WORKSPACE}/computes/aks"})
    settings = accepted(converted, tmp_path)
    assert settings["workspace"]["id"] == WORKSPACE
    assert (settings["endpoint"]["kind"], settings["endpoint"]["compute"]) == (
        "kubernetes",
        f"{WORKSPACE}/computes/aks",
    )
    blue = settings["deployments"]["blue"]
    assert blue["resources"] == {
        "requests": {"cpu": "3", "memory": "10Gi"},
        "limits": {"cpu": "4", "memory": "12Gi"},
    }
    assert blue["scale"] == {
        "min_instances": 2,
        "max_instances": 3,
        "target_utilization_percentage": 70,
        "polling_interval": "PT1S",
    }
    assert "instance_type" not in blue
    assert lines(converted, "unknown") == []


def test_on_kubernetes_replicas_and_long_requests_are_kept(tmp_path: Path) -> None:
    document = {
        "computeType": "aks",
        "computeTargetName": f"{WORKSPACE}/computes/aks",
        "numReplicas": 60,
        "scoringTimeoutMs": 250_000,
        "containerResourceRequirements": {"memoryInGB": 0.7},
        "gpuCores": 2,
    }
    blue = accepted(converted_from(deployment=document), tmp_path)["deployments"]["blue"]
    assert blue["instance_count"] == 60
    assert blue["request_settings"]["request_timeout"] == "PT250S"
    assert blue["resources"] == {"requests": {"cpu": "0.1", "memory": "717Mi"}, "limits": {"gpu": 2}}


def test_another_target_of_the_autoscaler_becomes_rules() -> None:
    scaler = {"autoscaleEnabled": True, "maxReplicas": 90, "targetUtilization": 50}
    blue = converted_from(deployment={"computeType": "aks", "autoScaler": scaler}).config["deployments"]["blue"]
    assert (blue["autoscale"]["min"], blue["autoscale"]["max"]) == (1, 50)
    assert [(rule.get("above"), rule.get("below"), rule["change"]) for rule in blue["autoscale"]["rules"]] == [
        (50, None, 1),
        (None, 25, -1),
    ]


def test_an_autoscaler_that_is_off_leaves_the_count() -> None:
    scaler = {"autoscaleEnabled": False, "minReplicas": 2}
    blue = converted_from(deployment={"computeType": "aks", "autoScaler": scaler, "numReplicas": 3}).config[
        "deployments"
    ]["blue"]
    assert (blue["instanceCount"], "autoscale" in blue) == (3, False)


def test_a_local_config_keeps_the_documents_port() -> None:
    converted = converted_from(deployment={"computeType": "local", "port": 8890})
    assert any("SCORING_PORT=8890" in line for line in lines(converted))


@pytest.mark.parametrize(
    ("document", "auth"),
    [({"authEnabled": True}, "key"), ({"authEnabled": False}, "key"), ({"tokenAuthEnabled": True}, "aml-token")],
)
def test_who_may_call_is_kept(document: dict[str, bool], auth: str) -> None:
    assert converted_from(deployment=document).config["endpoint"]["auth"] == auth


def test_limits_of_v2_are_kept_and_said() -> None:
    converted = converted_from(deployment={"scoringTimeoutMs": 600_000, "numReplicas": 90})
    blue = converted.config["deployments"]["blue"]
    assert blue["requestSettings"]["requestTimeout"] == "PT180S"
    assert blue["instanceCount"] == 50
    assert (
        len([line for line in lines(converted, "changed") if "scoringTimeoutMs" in line or "numReplicas" in line]) == 2
    )


def test_unknown_fields_of_a_deployment_are_named() -> None:
    converted = converted_from(
        deployment={"computeType": "aks", "autoScaler": {"minReplica": 1}, "scorringTimeoutMs": 1}
    )
    assert [line.split(": ")[1] for line in lines(converted, "unknown")] == [
        "autoScaler.minReplica",
        "scorringTimeoutMs",
    ]


def test_a_machine_has_what_was_asked_or_is_the_largest() -> None:
    assert choose(0.1, 0.5, 0).name == "Standard_DS2_v2"
    assert choose(2, 20, 0).name == "Standard_DS4_v2"
    assert choose(4, 16, 1).gpus == 1
    assert choose(1000, 1, 0).cpu == 32


# -- what v1 did when nothing was said ---------------------------------------------------------------------------------


@pytest.mark.parametrize("aks", [{"computeType": "aks"}, {"computeType": "AKS", "autoScaler": {}}])
def test_without_a_count_v1_scaled_on_a_cluster_from_1_to_10(aks: dict[str, Any]) -> None:
    converted = converted_from(deployment=aks)
    assert converted.config["deployments"]["blue"]["autoscale"] == {"min": 1, "max": 10}
    said = "changed: autoScaler: neither numReplicas nor autoScaler is set; v1's default is written: 1 to 10 at 70 %"
    assert lines(converted).count(said) == 1
    kept = converted_from(deployment={**aks, "computeTargetName": f"{WORKSPACE}/computes/aks"})
    assert kept.config["deployments"]["blue"]["scale"]["maxInstances"] == 10


@pytest.mark.parametrize("count", [{"numReplicas": 1}, {"autoScaler": {"autoscaleEnabled": False}}])
def test_a_count_that_is_said_is_kept_and_so_is_an_autoscaler_that_is_off(count: dict[str, Any]) -> None:
    blue = converted_from(deployment={"computeType": "aks", **count}).config["deployments"]["blue"]
    assert (blue["instanceCount"], "autoscale" in blue) == (1, False)
    assert converted_from(deployment=ACI).config["deployments"]["blue"]["instanceCount"] == 1


@pytest.mark.parametrize(
    ("inference", "deployment"),
    [
        ({"entryScript": "score.py", "enableGpu": True}, None),
        ({"entryScript": "score.py"}, {"computeType": "aks", "gpuCores": 1}),
        ({"entryScript": "score.py"}, {"containerResourceRequirements": {"gpu": 1}}),
    ],
)
def test_a_gpu_without_a_base_image_gets_one_with_cuda(inference: object, deployment: object) -> None:
    converted = converted_from(inference, deployment)
    assert "cuda" in converted.config["image"]["buildArguments"]["BASE"]
    assert any("default image is retired" in line and "cuda" in line for line in lines(converted))


# -- spellings that v1 took --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "registry", "used"),
    [
        ("mcr.microsoft.com/azureml/base:1", "mcr.microsoft.com", "mcr.microsoft.com/azureml/base:1"),
        ("azureml/base:1", "mcr.microsoft.com", "mcr.microsoft.com/azureml/base:1"),
        ("team/base:1", {"address": "acme.azurecr.io"}, "acme.azurecr.io/team/base:1"),
    ],
)
def test_a_registry_may_be_a_text_its_address(base: str, registry: object, used: str) -> None:
    converted = converted_from({"entryScript": "score.py", "baseImage": base, "baseImageRegistry": registry})
    assert converted.config["image"]["buildArguments"]["BASE"] == used
    assert any("az acr import" in line for line in lines(converted)) == ("acme" in used)


def test_windows_paths_are_read_as_paths(folder: Path) -> None:
    (folder / "app" / "sub").mkdir()
    (folder / "app" / "sub" / "score.py").write_text("def init(): ...\n")
    (folder / "app" / "env.yml").write_text("dependencies: [{pip: [azureml-defaults==1.60]}]")
    document = {"entryScript": "sub\\score.py", "sourceDirectory": ".\\app", "condaFile": ".\\env.yml"}
    (folder / "inferenceconfig.json").write_text(json.dumps({**document, "baseImage": "mcr.microsoft.com/a/b:1"}))
    out = folder / "Pulumi.old.yaml"
    assert run(folder, "--out", str(out)) == 0
    assert yaml.safe_load(out.read_text())["config"]["scoring:code"]["entryScript"] == "sub/score.py"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "score.py").write_text("def init(): ...\n")
    (tmp_path / "inferenceconfig.json").write_text(json.dumps({**DOCUMENT, "sourceDirectory": "./app"}))
    (tmp_path / "deploymentconfig.json").write_text(json.dumps(AKS))
    return tmp_path


def run(folder: Path, *words: str) -> int:
    return main(["convert-v1", str(folder / "inferenceconfig.json"), str(folder / "deploymentconfig.json"), *words])


def test_out_writes_a_stack_file_and_the_build_into_the_source(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "Pulumi.old.yaml"
    assert run(folder, "--out", str(out)) == 0
    assert out.read_text().startswith("# yaml-language-server: ")
    stack = yaml.safe_load(out.read_text())["config"]
    document = {key.removeprefix("scoring:"): value for key, value in stack.items()}
    assert StackSettings.model_validate(document)
    settings = plan_file(document, folder)[0].model_dump()
    assert settings["code"]["path"] == str(folder / "app")
    assert settings["environment"]["conda_file"] == str(folder / "app" / CONDA_FILE)
    assert {CONDA_FILE, "score.py"} == {path.name for path in (folder / "app").iterdir()}
    notes = capsys.readouterr().err.splitlines()
    assert notes
    assert all(f"# {line}" in out.read_text() for line in notes)
    assert run(folder, "--out", str(out)) == 0, "the same again is fine"


def test_nothing_that_exists_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "Pulumi.old.yaml"
    out.write_text("mine\n")
    assert run(folder, "--out", str(out)) == 2
    assert "exists and differs" in capsys.readouterr().err
    assert out.read_text() == "mine\n"
    assert [path.name for path in (folder / "app").iterdir()] == ["score.py"]


def test_nothing_is_written_where_the_stack_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app" / "score.py").unlink()
    assert run(folder, "--out", str(folder / "Pulumi.old.yaml")) == 2
    assert "no such file" in capsys.readouterr().err
    assert sorted(path.name for path in folder.rglob("*")) == ["app", "deploymentconfig.json", "inferenceconfig.json"]


def test_without_out_the_config_is_shown_and_nothing_is_written(folder: Path) -> None:
    command = [sys.executable, "-m", "azureml_scoring", "convert-v1", str(folder / "inferenceconfig.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["config"]["scoring:code"]["entryScript"] == "score.py"
    assert [path.name for path in (folder / "app").iterdir()] == ["score.py"]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([f"{WORKSPACE}/computes/aks"], ""),
        ([], "--compute = aks: no visible workspace has it; write its ARM id"),
        (["/a/computes/aks", "/b/computes/aks"], "there are several: /a/computes/aks, /b/computes/aks; write one of"),
    ],
)
def test_a_compute_by_name_is_searched(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ids: list[str], said: str
) -> None:
    monkeypatch.setattr(v1_files, "connect", lambda: None)
    monkeypatch.setattr(v1_files, "computes_named", lambda _, name: [id_ for id_ in ids if name == "aks"])
    assert run(folder, "--compute", "aks") == (2 if said else 0)
    shown = capsys.readouterr()
    assert said in shown.err
    if not said:
        assert yaml.safe_load(shown.out)["config"]["scoring:endpoint"]["compute"] == ids[0]


def test_a_file_that_cannot_be_read_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "inferenceconfig.json").write_text("{")
    assert run(folder) == 2
    assert main(["convert-v1", str(folder / "gone.json")]) == 2
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 2
    assert all(line.startswith("error: ") for line in notes)
