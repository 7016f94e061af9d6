"""The report as a page: the text's facts and the drawn graph, valid, closed to the network, without secrets."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from azureml_scoring.cli import main
from azureml_scoring.delivery import html_report, report
from azureml_scoring.delivery.changes import Change, Preview, read
from azureml_scoring.delivery.drawing import MOST

from tests.delivery.golden.__main__ import made, made_page, names, previews

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
PASSWORD = "abc8Q~ThisIsTheMadeUpPasswordOfNobody.1234"
VOID = {"meta"}


def _parsed(page: str) -> ET.Element:
    return ET.fromstring(page)  # noqa: S314 - our own page


def _urn(number: int, kind: str = "azure-native:storage:StorageAccount") -> str:
    return f"urn:pulumi:dev::p::azureml-scoring:index:ScoringStack${kind}::store-{number}"


def _words(page: str) -> str:
    return " ".join(" ".join(_parsed(page).itertext()).split())


class _Elements(HTMLParser):
    """What a browser reads: elements that are never closed, or closed twice, are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        # To HTML the slash means nothing, except in SVG.
        if tag not in VOID and "svg" not in self.open:
            self.wrong.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"/{tag}")


def _elements(page: str) -> _Elements:
    elements = _Elements()
    elements.feed(page)
    elements.close()
    return elements


@pytest.mark.parametrize("name", names())
def test_the_page_is_valid_and_needs_nothing_from_elsewhere(name: str) -> None:
    page = made_page(name)
    elements = _elements(page)
    assert (elements.wrong, elements.open) == ([], [])
    assert {each.tag.partition("}")[0] + "}" for each in _parsed(page).iter()} == {HTML, SVG}
    assert not [each for each in elements.attributes if each[1] in {"src", "href", "style"} or each[1].startswith("on")]
    assert "<script" not in page
    assert "url(" not in page.replace('"url(#', "")
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", names())
def test_every_graph_has_a_title_a_description_and_a_table_of_the_same(name: str) -> None:
    root = _parsed(made_page(name))
    ids = [each.attrib["id"] for each in root.iter() if "id" in each.attrib]
    assert len(ids) == len(set(ids))
    figures = list(root.iter(f"{HTML}figure"))
    assert len(figures) == len(previews(name))
    for figure in figures:
        drawing = next(figure.iter(f"{SVG}svg"))
        assert drawing.attrib["role"] == "img"
        assert set(drawing.attrib["aria-labelledby"].split()) <= set(ids)
        drawn = ["".join(each.itertext()) for each in drawing.iter(f"{SVG}text") if each.get("class") == "name"]
        rows = ["".join(each.itertext()) for each in figure.iter(f"{HTML}th") if each.get("scope") == "row"]
        assert len(drawn) == len(rows) > 1
    levels = [int(each.tag[-1]) for each in root.iter() if re.fullmatch(r".*\}h\d", each.tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", names())
def test_the_page_says_what_the_text_says_in_the_same_order(name: str) -> None:
    text = made(name).partition("```mermaid")[0]
    code = re.findall(r"`([^`]+)`", text)
    page = _words(made_page(name))
    at = 0
    for each in code:
        at = page.find(" ".join(each.split()), at)
        assert at >= 0, f"{each} is missing, or comes too early"


def test_what_names_hold_is_text() -> None:
    name = '<img src=x onerror="alert(1)">&amp;</title><script>'
    change = Change(_urn(1).replace("store-1", name), "create", ())
    page = html_report.render([Preview(name, (change,))], title=name)
    assert _elements(page).wrong == []
    assert {"img", "script"}.isdisjoint(each.tag.rpartition("}")[2] for each in _parsed(page).iter())
    assert name in "".join(_parsed(page).itertext())


def test_secrets_are_as_hidden_as_in_the_text() -> None:
    states = [{"inputs": {"password": f"{PASSWORD}{n}", "url": f"https://u:{PASSWORD}{n}@x"}} for n in (1, 2)]
    step = {"op": "update", "urn": _urn(1), "oldState": states[0], "newState": states[1]}
    step["detailedDiff"] = {"password": {"kind": "update"}, "url": {"kind": "update"}}
    document = {"steps": [step], "changeSummary": {"update": 1}}
    preview = read(json.dumps(document))
    page = html_report.render([preview])
    assert page.count("[secret]") == report.render([preview]).count("[secret]") > 1
    assert PASSWORD not in page


def test_a_huge_stack_is_a_page_of_bounded_size() -> None:
    long = "x" * 150
    changes = tuple(
        Change(_urn(n).replace("store-", long), "update", (), tuple(_urn(m).replace("store-", long) for m in range(n)))
        for n in range(600)
    )
    page = html_report.render([Preview("dev", changes)])
    assert len(page) < 2 * html_report.LIMIT
    assert f"The graph omits {600 - MOST} less risky resources." in page


def test_the_riskiest_are_drawn_and_components_are_bands() -> None:
    component = "azureml-scoring:index:ScoringStack"
    kept: list[Any] = [Change(_urn(n), "same", ()) for n in range(MOST)]
    kept.append(Change(f"urn:pulumi:dev::p::{component}::scoring", "same", ()))
    gone = Change(_urn(900), "delete", ())
    root = _parsed(html_report.render([Preview("dev", (gone,), MOST, unchanged_resources=tuple(kept))]))
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert texts[:1] == ["ScoringStack"]
    assert "store-900" in texts
    assert "scoring" not in texts


def test_a_circle_and_an_empty_preview_are_drawn_as_well() -> None:
    circle = tuple(Change(_urn(n), "create", (), (_urn(1 - n),)) for n in range(2))
    assert "store-1" in html_report.render([Preview("dev", circle)])
    assert "<figure>" not in html_report.render([Preview("dev", ())])


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    preview, out = tmp_path / "image.json", tmp_path / "report.html"
    preview.write_text(previews("image")[0])
    assert main(["report", "--html", "--out", str(out), str(preview)]) == 0
    assert "What this change would do" in _words(out.read_text())
