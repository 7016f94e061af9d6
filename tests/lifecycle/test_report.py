"""The reviewer's report of three stacks, as the real engine previews them: a script, a split and an identity change."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from azureml_scoring.cli import main
from azureml_scoring.delivery.report import MARKER

from tests.modes import QUICK, configure, served
from tests.project import PATIENCE, LocalAzure, Project

DEPLOYMENT = {"instanceType": "Standard_DS3_v2", "livenessProbe": QUICK, "readinessProbe": QUICK}
REPLACED = "the endpoint is replaced: no answers meanwhile, new keys, its URL may change"
SPLIT = {"blue": DEPLOYMENT, "green": DEPLOYMENT}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> list[Project]:
    """Three stacks that stand: one with a split of traffic. They end with their local Azure."""
    dev = served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure, "dev"))
    usual = (dev.folder / "Pulumi.dev.yaml").read_text()
    projects = [dev, Project(dev.folder, azure, "staging"), Project(dev.folder, azure, "prod")]
    for each in projects[1:]:
        (each.folder / f"Pulumi.{each.stack}.yaml").write_text(usual)
        assert each.pulumi("stack", "init", each.stack).code == 0
    configure(projects[0])
    configure(projects[1], deployments=SPLIT, endpoint={"traffic": {"blue": 90, "green": 10}})
    configure(projects[2])
    running = [each.begin("up", "--yes", "--skip-preview", "--stack", each.stack) for each in projects]
    for process in running:
        text, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, text
    return projects


def _preview(project: Project, *, streaming: bool) -> Path:
    """What a pull request's job keeps of one stack."""
    shape = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"} if streaming else {}
    done = subprocess.run(
        ["pulumi", "preview", "--non-interactive", "--json", "--show-sames", "--stack", project.stack],
        cwd=project.folder,
        env={**os.environ, **project.environment, **shape},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    path = project.folder / f"{project.stack}.json"
    path.write_text(done.stdout)
    return path


def _passwords(project: Project) -> list[str]:
    state = json.loads(project.pulumi("stack", "export", "--show-secrets", "--stack", project.stack).text)
    values = [
        each["outputs"]["value"]
        for each in state["deployment"]["resources"]
        if each["type"].startswith("azuread:index/applicationPassword")
    ]
    return [json.loads(value["plaintext"]) if isinstance(value, dict) else value for value in values]


def test_one_report_tells_three_stacks_of_a_script_a_split_and_an_identity(
    stacks: list[Project], tmp_path: Path
) -> None:
    dev, staging, prod = stacks
    dev.edit("app/server.py", "from stub_server", "# an edit\nfrom stub_server")
    previews = [_preview(dev, streaming=False)]
    dev.edit("app/server.py", "# an edit\n", "")
    configure(staging, deployments=SPLIT, endpoint={"traffic": {"blue": 50, "green": 50}})
    configure(prod, principal={"kind": "managed-identity"})
    previews += [_preview(staging, streaming=True), _preview(prod, streaming=False)]
    out = tmp_path / "report.md"
    assert main(["report", *map(str, previews), "--out", str(out)]) == 0
    report = out.read_text()
    assert report.startswith(MARKER)
    headlines = [line for line in report.splitlines() if line.startswith("### ")]
    assert headlines == [
        "### `dev`: clients get answers of another image",
        "### `staging`: traffic moves (blue 90 % → 50 %, green 10 % → 50 %)",
        f"### `prod`: {REPLACED}; pulls with a deleted password may be refused",
    ]
    assert "  - files: `server.py`\n" in report, "the image is not explained by the one file that changed"
    assert "because `identityType`" in report
    assert report.count("- Password `scoring-password-first` ends") == 2, "prod has no password any more"
    passwords = _passwords(prod)
    assert len(passwords) == 1
    texts = [*(path.read_text() for path in previews), report]
    assert not any(password in text for password in passwords for text in texts)
