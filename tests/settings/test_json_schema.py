import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from azureml_scoring.settings import json_schema as schema
from azureml_scoring.settings.stack import StackSettings
from jsonschema import Draft7Validator
from pydantic import ValidationError

from tests.settings.test_stack_file import BAD, ROOT, changed, usual

STACKS = sorted(path.name for path in ROOT.glob("Pulumi.*.yaml"))
VALIDATOR = Draft7Validator(json.loads((ROOT / schema.FILE).read_text()))
LONG = "PT5M"
"""Durations have limits, which a pattern cannot tell."""


def problems(given: dict[str, Any]) -> list[str]:
    """What an editor would underline, config given as in the program's own section."""
    return _told({"config": {f"scoring:{name}": section for name, section in given.items()}})


def _told(stack: object) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(stack)]


def _is_of_shape(given: dict[str, Any]) -> bool:
    """Whether the model itself has nothing against it: what is wrong lies in mixtures or files."""
    try:
        StackSettings.model_validate(given, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


BROKEN = [
    pytest.param(path, value, id=f"{path}-{number}")
    for number, (path, value, _) in enumerate(BAD)
    if LONG not in str(value) and not _is_of_shape(changed(path, value))
]


def test_the_committed_schema_is_current() -> None:
    assert (ROOT / schema.FILE).read_text() == schema.text(), (
        "the config has changed: run `make schema` and commit what it wrote"
    )


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(schema.stack_schema())


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_file_names_the_schema_and_obeys_it(stack: str) -> None:
    text = (ROOT / stack).read_text()
    assert text.startswith(f"{schema.HEADER}\n")
    assert (ROOT / schema.HEADER.partition("=")[2]).is_file()
    assert _told(yaml.safe_load(text)) == []


@pytest.mark.parametrize(("path", "value"), BROKEN)
def test_an_editor_finds_what_the_program_would_refuse(path: str, value: object) -> None:
    assert problems(usual()) == []
    assert problems(changed(path, value)), "the schema lets it pass"


def test_an_editor_finds_every_misspelt_field() -> None:
    misspelt = [(path, value) for path, value, line in BAD if "no such field" in line]
    assert misspelt
    assert [path for path, value in misspelt if not problems(changed(path, value))] == []


def test_other_namespaces_and_pulumis_own_keys_are_left_alone() -> None:
    config = {f"scoring:{name}": section for name, section in usual().items()} | {"azure-native:location": "westeurope"}
    assert _told({"config": config, "encryptionsalt": "v1:abc", "secretsprovider": "passphrase"}) == []


def test_a_password_is_taken_sealed_and_refused_in_plain_text() -> None:
    private = {"mode": "private", "address": "ghcr.io", "username": "reader"}
    given = usual() | {"registry": {**private, "password": {"secure": "v1:abc:def"}}}
    assert problems(given) == []
    assert problems(given | {"registry": {**private, "password": "hunter2"}})
    assert problems(given | {"registry": {"secure": "v1:abc:def"}}) == [], "Pulumi can seal a whole key"


def test_every_field_is_described() -> None:
    bare = [path for path, field in _fields(schema.stack_schema(), "$") if not field.get("description")]
    assert bare == []


def _fields(node: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            yield f"{path}.{name}", field
        for key, value in node.items():
            yield from _fields(value, f"{path}.{key}")
