"""The resources of a preview as a drawing: SVG with a table of the same facts. Pure; needs no script and no network.

Each component is a band; what needs another resource stands to the right of it in its band, or in a band further down.
Refuses to own colours (`report.css`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Final

from azureml_scoring.delivery.changes import Change, Preview, Risk
from azureml_scoring.delivery.dependencies import direct
from azureml_scoring.delivery.markdown import short
from azureml_scoring.delivery.report import effect

MOST: Final = 120
"""Resources that are drawn, the riskiest first."""
_WIDTH, _HEIGHT, _GAP, _TITLE = 226, 46, 14, 26
_EDGE, _LEAD, _SPACE = 24, 14, 24
"""Before the first column; of the last part of an arrow; between two bands."""
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
    band: int
    """Where its band begins."""


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
    depth = _depths(needs)
    groups: dict[str, list[Change]] = {}
    for each in sorted(shown, key=lambda each: (depth[each.urn], each.name)):
        groups.setdefault(_component(each), []).append(each)
    boxes: list[_Box] = []
    bands: list[_Band] = []
    top = 0
    # What is needed most comes first.
    for title, members in sorted(groups.items(), key=lambda group: fmean(depth[each.urn] for each in group[1])):
        column = _depths(_within(members, needs))
        rows: dict[int, int] = {}
        for each in members:
            at = column[each.urn]
            y = top + _TITLE + rows.get(at, 0) * (_HEIGHT + _GAP)
            boxes.append(_Box(each, _EDGE + at * _COLUMN, y, top))
            rows[at] = rows.get(at, 0) + 1
        height = _TITLE + max(rows.values()) * (_HEIGHT + _GAP)
        bands.append(_Band(title or "Stack", top, height))
        top += height + _SPACE
    return boxes, bands


def _within(members: Sequence[Change], needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    urns = {each.urn for each in members}
    return {each.urn: [urn for urn in needs[each.urn] if urn in urns] for each in members}


def _depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many steps each is from what needs nothing; a circle, which no engine writes, ends somewhere."""
    depth = dict.fromkeys(needs, 0)
    for _ in needs:
        later = {urn: max((depth[source] + 1 for source in sources), default=0) for urn, sources in needs.items()}
        if later == depth:
            break
        depth = later
    used = {at: position for position, at in enumerate(sorted(set(depth.values())))}
    return {urn: used[at] for urn, at in depth.items()}


def _svg(
    stack: str, name: str, needs: Mapping[str, Sequence[str]], boxes: Sequence[_Box], bands: Sequence[_Band]
) -> list[str]:
    width = max(box.x for box in boxes) + _WIDTH + 2 * _EDGE
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
    path = _across(source, target) if source.band == target.band else _between(source, target)
    return f'<path class="arrow" d="{path}" marker-end="url(#{name}-tip)"/>'


def _across(source: _Box, target: _Box) -> str:
    """Return the path within a band; one that leads past a box of the same row goes round it."""
    x, y, end_x, end_y = source.x + _WIDTH, source.y + _HEIGHT // 2, target.x, target.y + _HEIGHT // 2
    bend, dip = (end_x - x) // 2, _HEIGHT if y == end_y and end_x - x > _COLUMN else 0
    return f"M{x} {y}C{x + bend} {y + dip} {end_x - bend} {end_y + dip} {end_x} {end_y}"


def _between(source: _Box, target: _Box) -> str:
    """Return the path to another band: down beside the columns and along above the band, where no box stands."""
    y, end_y = source.y + _HEIGHT // 2, target.y + _HEIGHT // 2
    lane = 10 + source.y // (_HEIGHT + _GAP) % 6 * 6
    x, above = source.x + _WIDTH + lane, target.band - _SPACE + 4 + lane // 4
    return f"M{source.x + _WIDTH} {y}H{x}V{above}H{target.x - _LEAD}V{end_y}H{target.x}"


def _drawn(box: _Box) -> list[str]:
    resource = box.resource
    words = f"{resource.kind}: {_effect(resource)}"
    return [
        f'<g class="{_class(resource)}"><title>{_text(resource.name + ", " + words, 200)}</title>',
        f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        f'<text class="name" x="{box.x + 10}" y="{box.y + 19}">{_text(resource.name, _LONGEST)}</text>',
        f'<text x="{box.x + 10}" y="{box.y + 36}">{_text(words, _LONGEST + 6)}</text></g>',
    ]


def _effect(resource: Change) -> str:
    if resource.is_new_version:
        return "new version"
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
