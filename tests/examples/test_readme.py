"""The README keeps up with the code: fields, targets, outputs, and the files it links to."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from azureml_scoring.settings.stack import StackFile
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
CODE = set(re.findall(r"`([^`\n]+)`", TEXT))
LINKS = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]


def fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield to_camel(name)
        yield from inside(field.annotation)


def inside(annotation: object) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from fields(annotation)
    for argument in get_args(annotation):
        yield from inside(argument)


@pytest.mark.parametrize("name", sorted(set(fields(StackFile))))
def test_every_field_of_the_config_is_explained(name: str) -> None:
    assert name in CODE or f"deployments.{name}" in CODE


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\()make (?:-s )?([a-z]+)", TEXT, flags=re.MULTILINE))
    assert named
    assert named <= targets


def test_every_output_is_listed() -> None:
    exported = re.findall(r'^        "(\w+)": ', (ROOT / "infra" / "outputs.py").read_text(), flags=re.MULTILINE)
    assert exported
    assert set(exported) <= CODE


@pytest.mark.parametrize("link", LINKS)
def test_every_file_it_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()
