"""The wheel in an environment of its own: another team's program takes a stack up with it, and gets a report."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cloud
from tests.distribution import build, install
from tests.modes import REPLY, SERVER, answer, write_image
from tests.second import Second

pytestmark = pytest.mark.slow

PROJECT = """name: second
runtime: {{name: python, options: {{virtualenv: {environment}}}}}
"""
PROGRAM = """import pulumi
from azureml_scoring.stack import ScoringStack

probe = {"initial_delay": "PT1S", "period": "PT1S"}
scoring = ScoringStack(
    "scoring",
    {
        "location": "westeurope",
        "registry": {"mode": "workspace"},
        "image": {"context": "app", "repository": "second/served"},
        "deployments": {
            "blue": {"instance_type": "Standard_DS3_v2", "liveness_probe": probe, "readiness_probe": probe},
        },
    },
)
pulumi.export("image", scoring.image)
pulumi.export("scoringUri", scoring.scoring_uri)
endpoint = pulumi.Output.format("{0}/onlineEndpoints/{1}", scoring.workspace_id, scoring.endpoint_name)
pulumi.export("endpointId", endpoint)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud) -> Iterator[Second]:
    """A program that has the wheel, and nothing of the checkout; destroyed at the end."""
    folder = tmp_path_factory.mktemp("installed")
    programs = install(build(folder / "dist").wheel, folder / "environment")
    project = folder / "second"
    project.mkdir()
    (project / "Pulumi.yaml").write_text(PROJECT.format(environment=programs.parent))
    (project / "__main__.py").write_text(PROGRAM)
    write_image(project / "app", SERVER)
    second = Second(project, cloud, programs)
    second.up()
    yield second
    gone = second.pulumi("destroy", "--yes", "--skip-preview")
    assert gone.returncode == 0, gone.stdout


def test_its_endpoint_answers(program: Second, cloud: Cloud) -> None:
    outputs = program.outputs()
    keys = cloud.ask("POST", f"{outputs['endpointId']}/listKeys").json()
    assert answer({**outputs, "endpointKey": keys["primaryKey"]}) == REPLY


def test_its_preview_gets_a_report(program: Second, tmp_path: Path) -> None:
    server = program.folder / "app" / "server.py"
    server.write_text(f"# an edit\n{SERVER}")
    try:
        preview = program.pulumi("preview", "--json", "--show-sames")
    finally:
        server.write_text(SERVER)
    assert preview.returncode == 0, preview.stdout
    (tmp_path / "dev.json").write_text(preview.stdout)
    done = program.run("azureml-scoring", "report", str(tmp_path / "dev.json"), "--out", str(tmp_path / "report.md"))
    assert done.returncode == 0, done.stdout
    report = (tmp_path / "report.md").read_text()
    assert "### `dev`: clients get answers of another image" in report
    assert "  - files: `server.py`\n" in report
