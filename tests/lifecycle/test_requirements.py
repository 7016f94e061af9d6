"""Image checks as a user meets them: told in preview, an error stops before anything is made, findings are kept."""

import pytest

from tests.modes import DOCKERFILE, configure, served, told
from tests.project import LocalAzure, Project

pytestmark = pytest.mark.slow

IMAGE = {"context": "app", "repository": "served"}
BUILD = "azureml-scoring:index:ImageBuild"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    return served(Project.copied(tmp_path_factory.mktemp("project") / "copy", azure))


def test_an_error_before_the_build_is_one_line_and_no_provider_is_called(project: Project) -> None:
    (project.folder / "app" / "Dockerfile").write_text("FROM python:3.5-slim-bookworm\nUSER 1\nCMD serve\n")
    configure(project, image=IMAGE)
    project.azure.tell("reset-stats")
    run = project.up()
    assert run.code != 0
    lines = [line for line in told(run) if "AML-IMG-003" in line]
    assert len(lines) == 1, run.text
    assert "Python 3.5 is older" in lines[0]
    assert "Traceback" not in run.text
    assert project.azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def test_an_unknown_check_is_one_line_that_names_the_known_ones(project: Project) -> None:
    (project.folder / "app" / "Dockerfile").write_text(DOCKERFILE)
    configure(project, image={**IMAGE, "requirements": {"AML-IMG-999": "off"}})
    lines = [line for line in told(project.up()) if "AML-IMG-999" in line]
    assert len(lines) == 1
    assert "no such check; one of AML-IMG-001 to" in lines[0]


def test_a_retired_base_is_warned_of_in_preview_with_its_successor(project: Project) -> None:
    retired = "mcr.microsoft.com/azureml/onnxruntime:v1.6.0"
    (project.folder / "app" / "Dockerfile").write_text(f"FROM {retired}\nUSER 1\nCMD serve\n")
    configure(project, image=IMAGE)
    preview = project.preview()
    assert preview.code == 0, preview.text
    assert f"AML-IMG-016 {retired} is retired" in preview.text
    assert "mcr.microsoft.com/azureml/minimal-py312-inference:latest" in preview.text
    configure(project, image={**IMAGE, "requirements": {"AML-IMG-016": False}})
    assert "is retired" not in project.preview().text, "a bare `off` in YAML is false"


def test_the_built_image_is_looked_into_and_its_findings_are_kept(project: Project) -> None:
    (project.folder / "app" / "Dockerfile").write_text(DOCKERFILE)
    configure(project, image={**IMAGE, "requirements": {"AML-IMG-008": "off"}})
    run = project.up()
    assert run.code == 0, run.text
    findings = project.resource(BUILD)["outputs"]["findings"]
    assert len(findings) == 1, findings
    assert findings[0].startswith("warning: AML-IMG-011 ")


def test_an_error_after_the_build_fails_the_step_in_one_line(project: Project) -> None:
    # What the Dockerfile does not say, the built image does: it runs as root.
    (project.folder / "app" / "Dockerfile").write_text(DOCKERFILE + "LABEL again=yes\n")
    configure(project, image={**IMAGE, "requirements": {"AML-IMG-011": "error"}})
    run = project.up()
    assert run.code != 0
    lines = [line for line in told(run) if "AML-IMG-011" in line]
    assert len(lines) == 1, run.text
    assert "image.requirements.AML-IMG-011: warning lets it pass" in lines[0]
