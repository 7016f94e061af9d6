import os
import subprocess
from pathlib import Path

import pytest
import yaml
from azureml_scoring.delivery.engine import Engine, EngineError, config_of, news, why

from tools import azure

FAILED = """Updating (dev):
 ~  azureml-scoring:index:EndpointTraffic scoring-traffic **updating failed** error: endpoint scoring: the shift to gr…
    pulumi:pulumi:Stack azureml-scoring-dev **failed** 1 error
Diagnostics:
  pulumi:pulumi:Stack (azureml-scoring-dev):
    error: update failed
  azureml-scoring:index:EndpointTraffic (scoring-traffic):
    error: endpoint scoring: the shift to green 100 % failed, restored blue 100 %: deployment green answers nothing

Resources:
    24 unchanged
"""


PROGRESS = """Updating (dev):
@ updating....
 +  azureml-scoring:index:OnlineDeployment scoring-green creating (0s)
 ~  azureml-scoring:index:ImageBuild scoring-build updating (0s) [diff: ~contentKey]; run ca2 builds served:55b4
 ~  azureml-scoring:index:ImageBuild scoring-build updating (1s) [diff: ~contentKey]; run ca2 builds served:55b4
 ~  azureml-scoring:index:ImageBuild scoring-build updated (1s) [diff: ~contentKey]; run ca2 builds served:55b4
 ++ azureml-scoring:index:EnvironmentVersion scoring-blue-environment created replacement (0.02s)
 +  azureml-scoring:index:OnlineDeployment scoring-green created (1s)
Outputs:
  ~ deployments: ["green"]
"""


def test_progress_is_what_is_new_of_each_resource() -> None:
    said: dict[str, str] = {}
    assert [shown for line in PROGRESS.splitlines() if (shown := news(line, said))] == [
        "scoring-build: run ca2 builds served:55b4",
        "scoring-build: ImageBuild updated",
        "scoring-green: OnlineDeployment created",
    ]


def test_an_update_is_said_to_have_failed_for_its_telling_reason() -> None:
    assert why(FAILED) == (
        "endpoint scoring: the shift to green 100 % failed, restored blue 100 %: deployment green answers nothing"
    )


def test_a_run_that_says_no_more_than_that_it_failed_is_quoted() -> None:
    assert why("error: no stack named 'dev' found\n") == "no stack named 'dev' found"
    assert why("Diagnostics:\n    error: update failed\n") == "update failed"
    assert why("killed\n") == "killed"
    assert why("") == "it said nothing"


def test_a_stack_files_secrets_stay_hidden() -> None:
    text = {
        "encryptionsalt": "v1:…",
        "config": {
            "scoring:location": "westeurope",
            "scoring:registry": {"mode": "private", "password": {"secure": "v1:abc"}},
            "azure-native:location": "elsewhere",
        },
    }
    assert config_of(text) == {"location": "westeurope", "registry": {"mode": "private", "password": "[hidden]"}}


@pytest.fixture
def stack_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a stack that has a build's secret, sealed by the real CLI."""
    (tmp_path / "Pulumi.yaml").write_text("name: azureml-scoring\nruntime: yaml\n")
    (tmp_path / "state").mkdir()
    local = {**azure.local_pulumi(tmp_path), "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}"}
    for name, value in local.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  scoring:image:\n    context: app # ours\n")
    for words in (
        ["stack", "init", "dev"],
        ["config", "set", "--secret", "--path", "scoring:image.buildSecrets.TOKEN", "s3cret"],
    ):
        subprocess.run(["pulumi", *words], cwd=tmp_path, env=os.environ, check=True, capture_output=True)
    return file


def test_what_is_sealed_beside_a_written_field_stays_sealed(stack_file: Path) -> None:
    engine = Engine(stack_file.parent, print)
    before = yaml.safe_load(stack_file.read_text())["config"]["scoring:image"]
    engine.write("dev", {"image.promote": "host/app@sha256:1", "endpoint": {"traffic": {"blue": 100}}})
    config = yaml.safe_load(stack_file.read_text())["config"]
    assert config["scoring:image"] == {**before, "promote": "host/app@sha256:1"}
    assert config["scoring:endpoint"] == {"traffic": {"blue": 100}}
    assert "# ours" in stack_file.read_text()
    engine.write("dev", {"image.promote": None})
    assert yaml.safe_load(stack_file.read_text())["config"]["scoring:image"] == before


def test_a_section_with_a_sealed_value_is_not_written_over(stack_file: Path) -> None:
    before = stack_file.read_text()
    with pytest.raises(EngineError, match="scoring:endpoint of stack dev has a sealed value"):
        Engine(stack_file.parent, print).write("dev", {"endpoint": {"probe": {"token": "[hidden]"}}})
    assert stack_file.read_text() == before
