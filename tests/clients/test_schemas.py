"""`azureml-scoring convert` against azure-ai-ml's own schemas."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.clients import VENV
from tests.project import PATIENCE

pytestmark = pytest.mark.skipif(not VENV, reason="Azure's own clients run by `make clients`")
SCRIPT = Path(__file__).with_name("schemas.py")
EVERY = yaml.safe_load((Path(__file__).parents[1] / "v2" / "fields.yml").read_text())
"""The document that `tests/v2` converts: each of its fields is read or gets a line."""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The fields of each schema."""
    report = tmp_path_factory.mktemp("schemas") / "fields.json"
    command = [f"{VENV}/bin/python", str(SCRIPT), str(report)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize("kind", EVERY)
def test_every_field_of_azure_ai_mls_schema_is_among_those_that_are_converted(
    schemas: dict[str, Any], kind: str
) -> None:
    managed = EVERY[kind.removeprefix("kubernetes_")]
    assert list(_missing(schemas[kind], _merged(managed, EVERY[f"kubernetes_{kind.rpartition('_')[2]}"]), "")) == []


_WHOLE = ("creation_context", "intellectual_property", "auto_delete_setting")
"""Fields that are taken with all that is below them."""


def _merged(one: Any, other: Any) -> Any:  # noqa: ANN401 - YAML
    """Put two documents together: some fields exclude each other."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one
    return {**other, **{name: _merged(value, other.get(name)) for name, value in one.items()}}


def _missing(fields: dict[str, Any], document: object, path: str) -> list[str]:
    """Name the fields that the document lacks; a conda file, which excludes a build, has tests of its own."""
    known = (
        {name.removeprefix("nvidia.com/"): each for name, each in document.items()}
        if isinstance(document, dict)
        else {}
    )
    missing = [f"{path}{name}" for name in fields if name not in {*known, "$schema", "conda_file"}]
    for name in fields.keys() & known.keys() - set(_WHOLE):
        missing += _missing(fields[name], known[name], f"{path}{name}.")
    return missing
