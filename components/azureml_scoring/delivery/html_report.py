"""The report for reviewers as one HTML page that needs no other file, no script and no network. Pure but for its style.

Owns the page and where the graph is drawn in it. Refuses to own what the report says: that is `report.py`, whose
Markdown is rendered, and so hides secrets alike.
"""

from collections.abc import Sequence
from datetime import date
from functools import cache
from html import escape
from importlib import resources
from typing import Final

from markdown_it import MarkdownIt

from azureml_scoring.delivery import report
from azureml_scoring.delivery.changes import Preview
from azureml_scoring.delivery.drawing import drawn
from azureml_scoring.delivery.markdown import JOINER
from azureml_scoring.delivery.prices import Prices

LIMIT: Final = 200_000
"""Longest report of one stack, in characters of its Markdown."""
_PARAGRAPH: Final = ["paragraph_open", "inline", "paragraph_close"]


def render(
    previews: Sequence[Preview],
    prices: Prices | None = None,
    title: str = report.TITLE,
    today: date | None = None,
) -> str:
    """Return the page."""
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en" xmlns="http://www.w3.org/1999/xhtml">',
        "<head>",
        '<meta charset="utf-8"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        # Nothing is loaded and nothing runs, whatever a name in the preview may hold.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>",
        f"<title>{escape(title)}</title>",
        f"<style>\n{_style()}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{escape(title)}</h1>",
    ]
    for number, preview in enumerate(previews):
        lines += ["<section>", _html(report.section(preview, LIMIT, prices, today)).rstrip()]
        lines += [*drawn(preview, f"graph{number}"), "</section>"]
    return "\n".join([*lines, "</main>", "</body>", "</html>"]) + "\n"


@cache
def _style() -> str:
    return resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")


def _html(markdown: str) -> str:
    """Render the report's Markdown; its headings are one level higher here, and a bold line is a heading below them."""
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": True}).enable("table")
    tokens = parser.parse(markdown.replace(JOINER, ""))
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = "h2"
    for first, inside, last in zip(tokens, tokens[1:], tokens[2:], strict=False):
        parts = [child.type for child in inside.children or [] if child.content or child.nesting]
        if [first.type, inside.type, last.type] == _PARAGRAPH and parts == ["strong_open", "text", "strong_close"]:
            inside.children = [child for child in inside.children or [] if child.type == "text"]
            first.tag = last.tag = "h3"
    return str(parser.renderer.render(tokens, parser.options, {}))
