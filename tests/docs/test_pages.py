"""README and docs keep up with the code: commands, options, fields, stack files, outputs, files and links they name."""

import re
import subprocess
import sys
import tomllib
from functools import cache
from typing import Any

import pytest
import yaml
from azureml_scoring.settings.json_schema import stack_schema
from azureml_scoring.settings.requirements import RULES
from azureml_scoring.settings.stack import StackSettings
from jsonschema import Draft7Validator

from docs._ext.command_reference import reference
from tests.conftest import ROOT
from tests.docs.test_reference import declared
from tests.screenshots import IMAGES, recorded, size

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
SAMPLES = {path.name: path.read_text() for path in sorted((ROOT / "docs/samples").iterdir())}
"""Output of commands, as the pages show it."""
SHELL = "\n".join(block for text in PAGES.values() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
V1_FIELDS = re.compile(r"^\| [^|]+ \|", re.MULTILINE)
"""The first column of the page on v1: fields of v1's files."""
CODE = {
    (page, code)
    for page, text in PAGES.items()
    for code in re.findall(r"`([^`\n]+)`", V1_FIELDS.sub("", text) if page == "docs/azure-ml-v1.md" else text)
}
LINKS = [
    (page, link)
    for page, text in {**PAGES, "examples/sklearn/README.md": (ROOT / "examples/sklearn/README.md").read_text()}.items()
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    if "://" not in link
]
STACK_FILES = [
    (page, block)
    for page, text in PAGES.items()
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    if "scoring:" in block
]
COMMANDS = sorted(
    set(re.findall(r"^\$? ?azureml-scoring (.+?)(?: +#.*)?$", "\n".join([SHELL, *SAMPLES.values()]), re.MULTILINE))
)
FOLDERS = r"components|infra|emulator|examples|policy|schema|tools|tests|docs|\.github|\.azure-pipelines"
README_LINES = 200
MOST_PICTURES, LARGEST_PICTURE = 6, 100_000


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= README_LINES


@cache
def usage(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "azureml_scoring", *words, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_shown_command_exists_with_its_options(command: str) -> None:
    name, *words = command.split()
    text = usage(name)
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{name} has no {option}"


@pytest.mark.parametrize(
    "name", ["adopt", "report", "comment", "pin", "rollout", "rollback", "recover", "doctor", "convert-v1", "schema"]
)
def test_every_command_is_shown_by_its_own_help_and_explained_on_a_page(name: str) -> None:
    shown = reference().partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    assert re.findall(r"(?<![\w-])--?[a-z][\w-]*", shown) == re.findall(r"(?<![\w-])--?[a-z][\w-]*", usage(name))
    assert ("docs/commands.md", name) in CODE


def test_no_command_is_left_out() -> None:
    listed = usage().partition("Commands:\n")[2].partition("\n\n")[0]
    names = re.findall(r"^  (\S+)", listed, re.MULTILINE)
    assert re.findall(r"^## `([\w-]+)`$", reference(), re.MULTILINE) == ["azureml-scoring", *names]


def test_every_make_target_they_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\()make (?:-s )?([a-z]+)", "\n".join(PAGES.values()), flags=re.MULTILINE))
    assert {"up", "down", "test", "docs"} <= named
    assert named <= targets


def test_every_output_is_listed() -> None:
    exported = re.findall(r'^        "(\w+)": ', (ROOT / "infra" / "outputs.py").read_text(), flags=re.MULTILINE)
    assert exported
    assert set(exported) <= {code for page, code in CODE if page == "docs/quick-start.md"}


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_file_they_link_to_exists(page: str, link: str) -> None:
    # A part of CONTRIBUTING.md is included in a page; its links are relative to the file that it stands in.
    assert ((ROOT / page).parent / link).exists()


@pytest.mark.parametrize(
    ("page", "path"),
    sorted((page, code) for page, code in CODE if re.fullmatch(rf"({FOLDERS})/(?!_build)[\w./-]*", code)),
)
def test_every_path_they_name_exists(page: str, path: str) -> None:
    assert (ROOT / path).exists(), page


FIELDS = {f"{section}.{field}".removeprefix(".").replace("[]", "") for section, field in declared(StackSettings)}
SECTIONS = "|".join({field.partition(".")[0] for field in FIELDS})
NAMED = sorted((page, code) for page, code in CODE if re.fullmatch(rf"({SECTIONS})(\.\w+)+", code))


@pytest.mark.parametrize(("page", "code"), NAMED)
def test_every_field_they_name_by_its_section_exists(page: str, code: str) -> None:
    free = re.sub(r"^(deployments|principal\.passwords)\.\w+", r"\1.NAME", code)
    assert free in FIELDS, page


@pytest.mark.parametrize(("page", "block"), STACK_FILES)
def test_every_stack_file_they_show_fits_the_schema(page: str, block: str) -> None:
    group = f"/subscriptions/{'0' * 8}-0000-0000-0000-{'0' * 12}/resourceGroups/group/"
    # An editor reads `off` as YAML 1.2 does: as a text.
    written = yaml.safe_load(block.replace("/subscriptions/…/", group).replace(": off ", ": 'off' "))
    shown: dict[str, Any] = written.get("config", written)
    required = {"scoring:location": "westeurope", "scoring:deployments": {"blue": {}}}
    assert not list(Draft7Validator(stack_schema()).iter_errors({"config": {**required, **shown}})), page


def test_the_checks_of_an_image_are_listed_with_their_levels() -> None:
    rows = re.findall(r"^\| (AML-IMG-\d+) \| (\w+) \|", PAGES["docs/images.md"], re.MULTILINE)
    assert rows == [(id_, rule.level) for id_, rule in RULES.items()]


def test_the_readme_and_the_page_on_languages_show_the_same_program() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    assert program in PAGES["docs/languages.md"]


def test_the_example_of_a_field_is_its_declaration() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["CONTRIBUTING.md"], re.DOTALL)
    code = (ROOT / "components/azureml_scoring/settings/deployment.py").read_text().splitlines()
    assert not [line for line in block.splitlines() if line not in code]


def test_every_picture_is_shown_described_and_small() -> None:
    shown = dict(re.findall(r"!\[(.+?)\]\(images/(\S+?)\.png\)", "\n".join(PAGES.values())))
    assert sorted(shown.values()) == sorted(recorded()) == sorted(path.stem for path in IMAGES.glob("*.png"))
    assert len(shown) <= MOST_PICTURES
    assert all(len(description) > len(name) + 10 for description, name in shown.items())
    assert [name for name in shown.values() if size(name) > LARGEST_PICTURE] == []


def test_every_sample_is_shown() -> None:
    shown = set(re.findall(r"\{(?:literal)?include\} samples/(\S+)", "\n".join(PAGES.values())))
    assert shown == set(SAMPLES)


def test_reports_are_shown_as_the_golden_ones_are() -> None:
    assert "{literalinclude} ../tests/delivery/golden/stacks.md" in PAGES["docs/review.md"]


def test_the_version_stands_once_and_programs_that_name_it_follow() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for path in sorted((ROOT / "examples").glob("*/Pulumi.yaml")):
        assert f"azureml-scoring@{version}" in path.read_text(), path


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
