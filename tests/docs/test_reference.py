"""The config reference: the built page has every field of every section, with what its declaration says."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args, get_origin

import pytest
from azureml_scoring.settings.stack import StackSettings
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from docs._ext.config_reference import anchor, reference
from tests.conftest import ROOT

Rows = dict[tuple[str, str], list[str]]


def declared(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """Section and field of everything that the model of a stack file declares."""
    for name, field in model.model_fields.items():
        yield path, to_camel(name)
        yield from inside(field.annotation, f"{path}.{to_camel(name)}".removeprefix("."))


def inside(annotation: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from declared(annotation, path)
        return
    origin = get_origin(annotation)
    below = f"{path}.NAME" if origin in {dict, Mapping} else f"{path}[]" if origin in {list, tuple} else path
    for argument in get_args(annotation):
        yield from inside(argument, below)


def sphinx(source: Path) -> subprocess.CompletedProcess[str]:
    """Build a folder of pages as strictly as `make docs`, into its folder `html`."""
    folders = (ROOT / "docs", source, source / "html")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-c", *map(str, folders)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Page(HTMLParser):
    """Reads the tables: for each id of a section and name of a field, the row's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Rows = {}
        self._sections: list[str] = []
        self._cells: list[str] = []
        self._heading = self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        id_ = dict(attrs).get("id") or ""
        if tag == "section":
            self._sections, self._heading = [id_], True
        elif tag == "span" and id_ and self._heading:
            self._sections.append(id_)
        elif tag == "table":
            self._heading = False
        elif tag == "tr":
            self._cells = []
        elif tag == "td":
            self._cells.append("")
            self._cell = True

    def handle_data(self, data: str) -> None:
        if self._cell:
            self._cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._cell = False
        elif tag == "tr" and self._cells:
            name, *rest = (cell.strip() for cell in self._cells)
            self.rows |= {(section, name): rest for section in self._sections}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of the page as Sphinx builds it, without the other pages."""
    source = tmp_path_factory.mktemp("docs")
    for name in ("configuration.md", "_ext"):
        (source / name).symlink_to(ROOT / "docs" / name)
    (source / "index.md").write_text("# Index\n```{toctree}\nconfiguration\n```\n")
    built = sphinx(source)
    assert built.returncode == 0, built.stderr
    page = Page()
    page.feed((source / "html" / "configuration.html").read_text())
    return page.rows


@pytest.mark.parametrize(("section", "field"), sorted(set(declared(StackSettings))), ids=".".join)
def test_every_field_has_a_row_in_each_of_its_sections(rows: Rows, section: str, field: str) -> None:
    description, *_ = rows[anchor(section), field]
    assert description


def test_no_row_is_of_a_field_that_nobody_declares(rows: Rows) -> None:
    fields = {(anchor(section), field) for section, field in declared(StackSettings)}
    assert {row for row in rows if row[0].startswith("config-")} == fields


def test_a_row_says_what_may_stand_there_and_what_stands_there_otherwise(rows: Rows) -> None:
    assert rows["config-registry", "mode"][1:3] == ["workspace, standalone, public, private", "standalone"]
    assert rows["config-top", "location"][1].startswith("text; ")
    assert rows["config-top", "location"][2] == "required"
    assert rows["config-registry", "password"][1] == "secret text"
    assert rows["config-endpoint", "traffic"][1].startswith(
        "mapping of names to whole numbers; at least 0, at most 100"
    )


def test_kinds_and_place_in_azure_have_columns_where_a_section_has_them() -> None:
    field = {"type": "string", "description": "d", "x-sides": ["managed"], "x-arm": "properties.sku", "x-secret": True}
    config = {"description": "c", "properties": {"scoring:size": field}, "required": []}
    table = reference({"properties": {"config": config}, "$defs": {}}).splitlines()
    head = "| Field | Description | Value | Default | Endpoint kinds | In Azure Resource Manager |"
    assert head in table
    assert table[-1].endswith("| d | secret text |  | managed | properties.sku |")


def test_a_page_cannot_be_built_with_a_reference_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# Index\n[the field](#config-nothing)\n")
    built = sphinx(tmp_path)
    assert built.returncode != 0
    assert "config-nothing" in built.stderr
