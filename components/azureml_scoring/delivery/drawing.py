"""The resources of a preview as a drawing: SVG with a table of the same facts. Pure; needs no script and no network.

What needs another resource stands to the right of it; each component is a band. Refuses to own colours (`page.css`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from azureml_scoring.delivery.changes import Change, Preview, Risk
from azureml_scoring.delivery.dependencies import direct
from azureml_scoring.delivery.markdown import short
from azureml_scoring.delivery.report import effect

MOST: Final = 120
"""Resources that are drawn, the riskiest first."""
_WIDTH, _HEIGHT, _GAP, _TITLE, _EDGE = 220, 46, 14, 26, 12
_COLUMN: Final = _WIDTH + 56
_LONGEST: Final = 26
"""Characters that a box has room for."""
_PROVIDERS: Final = "pulumi:"


@dataclass(frozen=True)
class _Box:
    """Where a resource is drawn, by its upper left corner."""

    resource: Change
    x: int
    y: int


@dataclass(frozen=True)
class _Band:
    """A component with its resources, or what stands outside of all."""

    title: str
    y: int
    height: int


def drawn(preview: Preview, name: str) -> list[str]:
    """Return the lines of a figure: drawing, table, and what was left out. `name` begins its ids."""
    listed = _listed(preview)
    shown = listed[:MOST]
    if not shown:
        return []
    needs = direct(shown)
    boxes, bands = _layout(shown, needs)
    lines = ["<figure>", '<div class="drawing" role="region" aria-label="Graph of the stack" tabindex="0">']
    lines += [*_svg(preview.stack, name, needs, boxes, bands), "</div>"]
    lines += ["<figcaption>An arrow leads from a resource to those that need it.</figcaption>"]
    if len(listed) > len(shown):
        lines.append(f"<p>The graph omits {len(listed) - len(shown)} less risky resources.</p>")
    return [*lines, *_table(shown, needs), "</figure>"]


def _listed(preview: Preview) -> list[Change]:
    """Return all resources, the riskiest change first; neither components, which are bands, nor Pulumi's own."""
    every = [*sorted(preview.changes, key=lambda change: change.risk), *preview.unchanged_resources]
    parents = {prefix for each in every for prefix in _parents(each)}
    return [each for each in every if _types(each) not in parents and not each.type.startswith(_PROVIDERS)]


def _types(resource: Change) -> str:
    return resource.urn.split("::")[2]


def _parents(resource: Change) -> list[str]:
    """Return the types of all that it is part of, as URNs have them: `A`, `A$B`."""
    parts = _types(resource).split("$")
    return ["$".join(parts[:number]) for number in range(1, len(parts))]


def _component(resource: Change) -> str:
    """Return the kind of the component that it is part of."""
    return ["", *_parents(resource)][-1].rpartition(":")[2]


def _layout(shown: Sequence[Change], needs: Mapping[str, Sequence[str]]) -> tuple[list[_Box], list[_Band]]:
    column = _columns(needs)
    groups: dict[str, list[Change]] = {}
    for each in sorted(shown, key=lambda each: (column[each.urn], each.name)):
        groups.setdefault(_component(each), []).append(each)
    boxes: list[_Box] = []
    bands: list[_Band] = []
    top = 0
    for title, members in groups.items():
        rows: dict[int, int] = {}
        for each in members:
            at = column[each.urn]
            boxes.append(_Box(each, _EDGE + at * _COLUMN, top + _TITLE + rows.get(at, 0) * (_HEIGHT + _GAP)))
            rows[at] = rows.get(at, 0) + 1
        height = _TITLE + max(rows.values()) * (_HEIGHT + _GAP)
        bands.append(_Band(title or "Stack", top, height))
        top += height + _GAP
    return boxes, bands


def _columns(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many steps each is from what needs nothing; a circle, which no engine writes, ends somewhere."""
    column = dict.fromkeys(needs, 0)
    for _ in needs:
        later = {urn: max((column[source] + 1 for source in sources), default=0) for urn, sources in needs.items()}
        if later == column:
            break
        column = later
    used = {at: position for position, at in enumerate(sorted(set(column.values())))}
    return {urn: used[at] for urn, at in column.items()}


def _svg(
    stack: str, name: str, needs: Mapping[str, Sequence[str]], boxes: Sequence[_Box], bands: Sequence[_Band]
) -> list[str]:
    width = max(box.x for box in boxes) + _WIDTH + _EDGE
    height = bands[-1].y + bands[-1].height
    changed = sum(box.resource.op != "same" for box in boxes)
    place = {box.resource.urn: box for box in boxes}
    tip = f'id="{name}-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">Graph of {_text(stack, 60)}</title>',
        f'<desc id="{name}-desc">{len(boxes)} resources; {changed} change. The table below has the same.</desc>',
        f'<defs><marker {tip}><path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for band in bands:
        lines.append(f'<rect class="band" x="0" y="{band.y}" width="{width}" height="{band.height}" rx="8"/>')
        lines.append(f'<text class="band" x="{_EDGE}" y="{band.y + 18}">{_text(band.title, 60)}</text>')
    for urn, sources in needs.items():
        lines += [_arrow(place[source], place[urn], name) for source in sources]
    return [*lines, *(line for box in boxes for line in _drawn(box)), "</svg>"]


def _arrow(source: _Box, target: _Box, name: str) -> str:
    start, end = (source.x + _WIDTH, source.y + _HEIGHT // 2), (target.x, target.y + _HEIGHT // 2)
    bend = (end[0] - start[0]) // 2
    # What leads past a box of the same row goes round it.
    dip = _HEIGHT if start[1] == end[1] and end[0] - start[0] > _COLUMN else 0
    path = f"M{start[0]} {start[1]}C{start[0] + bend} {start[1] + dip} {end[0] - bend} {end[1] + dip} {end[0]} {end[1]}"
    return f'<path class="arrow" d="{path}" marker-end="url(#{name}-tip)"/>'


def _drawn(box: _Box) -> list[str]:
    resource = box.resource
    words = f"{resource.kind}: {_effect(resource)}"
    return [
        f'<g class="{_class(resource)}"><title>{_text(resource.name + ", " + words, 200)}</title>',
        f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        f'<text class="name" x="{box.x + 10}" y="{box.y + 19}">{_text(resource.name, _LONGEST)}</text>',
        f'<text x="{box.x + 10}" y="{box.y + 36}">{_text(words, _LONGEST + 4)}</text></g>',
    ]


def _effect(resource: Change) -> str:
    return "unchanged" if resource.op == "same" else effect(resource)


def _class(resource: Change) -> str:
    """Return the class that colours it: what goes, what comes, what changes, what stays."""
    if resource.op == "same":
        return "stays"
    if resource.risk is Risk.DESTRUCTIVE:
        return "goes"
    return "comes" if resource.op in {"create", "import"} else "changes"


def _table(shown: Sequence[Change], needs: Mapping[str, Sequence[str]]) -> list[str]:
    names = {each.urn: each.name for each in shown}
    lines = ["<details>", "<summary>The graph as a table</summary>", '<div class="drawing" tabindex="0"><table>']
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    lines.append(f"<thead><tr>{heads}</tr></thead>")
    lines.append("<tbody>")
    for each in shown:
        needed = ", ".join(names[urn] for urn in needs[each.urn]) or "nothing here"
        cells = "".join(f"<td>{_text(cell, 400)}</td>" for cell in (each.kind, _effect(each), needed))
        lines.append(f'<tr><th scope="row">{_text(each.name, 200)}</th>{cells}</tr>')
    return [*lines, "</tbody>", "</table></div>", "</details>"]


_HEADS: Final = ("Resource", "Kind", "What happens", "Needs")


def _text(value: str, longest: int) -> str:
    return escape(short(value, longest))
