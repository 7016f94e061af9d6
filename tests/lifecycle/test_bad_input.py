"""Bad input: one line that names field, value and remedy; nothing is asked of a provider, nothing is half-made."""

import pytest
import yaml

from tests.project import LocalAzure, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, azure: LocalAzure) -> Project:
    return Project.copied(tmp_path_factory.mktemp("project") / "copy", azure)


def _diagnostics(text: str) -> list[str]:
    """The engine's summary: progress rows repeat what stands there."""
    return text.partition("Diagnostics:")[2].splitlines()


@pytest.mark.parametrize(
    "wrong",
    [
        {"registry.skuu": ("Basic", "sku"), "registry.name": ("my-registry", "my-registry")},
        {"image.context": ("examples/nothing", "examples/nothing")},
        {"image.dockerfile": ("Dockerfile.gone", "Dockerfile.gone")},
    ],
)
def test_each_wrong_setting_is_told_in_one_line_before_anything_is_made(
    project: Project, wrong: dict[str, tuple[str, str]]
) -> None:
    file = project.folder / "Pulumi.local.yaml"
    text = file.read_text()
    stack = yaml.safe_load(text)
    for path, (value, _) in wrong.items():
        section, field = path.split(".")
        stack["config"][f"scoring:{section}"][field] = value
    file.write_text(yaml.safe_dump(stack))
    project.azure.tell("reset-stats")
    try:
        run = project.up()
    finally:
        file.write_text(text)
    assert run.code != 0
    for path, (_, word) in wrong.items():
        told = [line for line in _diagnostics(run.text) if path in line and word in line]
        assert len(told) == 1, run.text
    assert "Traceback" not in run.text, run.text
    assert project.azure.tell("stats") == {"writes": {}, "builds": 0, "uploads": 0}


def test_a_base_image_that_cannot_be_had_is_told_and_names_the_image(project: Project) -> None:
    file = project.folder / "Pulumi.local.yaml"
    text = file.read_text()
    stack = yaml.safe_load(text)
    stack["config"]["scoring:image"]["buildArguments"]["BASE"] = "localhost:9/nothing:here"
    file.write_text(yaml.safe_dump(stack))
    try:
        run = project.up()
        assert run.code != 0
        assert any("localhost:9/nothing:here" in line for line in _diagnostics(run.text)), run.text
        assert "Traceback" not in run.text, run.text
    finally:
        file.write_text(text)
        assert project.destroy().code == 0
