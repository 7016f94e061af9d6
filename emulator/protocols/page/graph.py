"""The graph of the resources: what each depends on, and where it is drawn. Pure.

A resource depends on the one it lives in, and on each that its document names: by ARM id, by a registry's login server
in an image's name, by the object or client id of a principal. Rows go by the longest way to what depends on nothing, so
that what must exist first stands above.
"""

import itertools
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.core.store import Document

_LEFT_OUT = frozenset(
    {
        "microsoft.resources/subscriptions",
        "microsoft.resources/resourcegroups",
        "microsoft.containerregistry/registries/runs",
        "microsoft.machinelearningservices/workspaces/datastores",
        "microsoft.machinelearningservices/workspaces/environments",
        "microsoft.machinelearningservices/workspaces/models",
        "microsoft.machinelearningservices/workspaces/codes",
        "microsoft.graph/serviceprincipals",
    }
)
"""Folders, history, and parts: a service principal is drawn as its application or as what has the identity."""
_WORDS = re.compile(r"[^\s\"',;()<>@]+")

_AUTHORS = frozenset({"systemData", "createdBy", "updatedBy"})
"""Who has written a document: it does not need them."""
_BEND = "|"
_BEND_WIDTH = 0.3
_SPARE = 1.0
_SWEEPS = 4

Edges = Mapping[str, set[str]]


def drawn(documents: Iterable[Document], deployer: str) -> list[Document]:
    """The resources of the graph: without folders, and without what the deployer is and has itself."""
    return [
        each
        for each in documents
        if each.id.type.lower() not in _LEFT_OUT
        and each.body.get("appId") != deployer
        and each.properties.get("principalId") != deployer
    ]


def references(documents: Iterable[Document], everything: Iterable[Document]) -> dict[str, set[str]]:
    """For each resource those that it depends on, without those that follow from others."""
    nodes = list(documents)
    names = _names(nodes, everything)
    found = {each.id.key: _named(each, names) - {each.id.key} for each in nodes}
    return _reduced(_acyclic(found))


def _names(nodes: list[Document], everything: Iterable[Document]) -> dict[str, str]:
    """By what resources are called in others' documents."""
    names = {each.id.key: each.id.key for each in nodes}
    for each in nodes:
        identity = each.body.get("identity") or {}
        called = (
            each.properties.get("loginServer"),
            identity.get("principalId"),
            each.body.get("appId"),
            each.properties.get("principalId") if "clientId" in each.properties else None,
        )
        names.update({str(name).lower(): each.id.key for name in called if name})
    for each in everything:
        application = names.get(str(each.body.get("appId", "")).lower())
        if application and each.id.key not in names:
            names[str(each.body["id"]).lower()] = application
    return names


def _named(document: Document, names: Mapping[str, str]) -> set[str]:
    # An object of Entra lives in nothing.
    parent = None if document.id.key.startswith("/providers/") else document.id.parent
    found = {names[parent.key]} if parent and parent.key in names else set()
    for text in _texts(document.body):
        for word in _WORDS.findall(text.lower()):
            found |= {names[each] for each in (word, word.partition("/")[0]) if each in names}
    return found


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _AUTHORS:
                yield name
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _acyclic(edges: Edges) -> dict[str, set[str]]:
    """The same without what closes a circle."""
    kept: dict[str, set[str]] = {key: set() for key in edges}
    done: set[str] = set()
    for start in edges:
        way: list[tuple[str, list[str]]] = [(start, sorted(edges[start]))] if start not in done else []
        on_way = {start}
        while way:
            key, rest = way[-1]
            if not rest:
                done.add(key)
                on_way.discard(key)
                way.pop()
                continue
            target = rest.pop()
            if target in on_way:
                continue
            kept[key].add(target)
            if target not in done:
                on_way.add(target)
                way.append((target, sorted(edges[target])))
    return kept


def _ordered(edges: Edges) -> list[str]:
    """Each after all it depends on."""
    order: dict[str, None] = {}

    def visit(key: str) -> None:
        for target in sorted(edges[key]):
            if target not in order:
                visit(target)
        order[key] = None

    for key in edges:
        if key not in order:
            visit(key)
    return list(order)


def _reduced(edges: Edges) -> dict[str, set[str]]:
    """The same without edges that a longer way says already."""
    reach: dict[str, set[str]] = {}
    for key in _ordered(edges):
        reach[key] = edges[key].union(*(reach[target] for target in edges[key]))
    return {
        key: {target for target in targets if not any(target in reach[other] for other in targets - {target})}
        for key, targets in edges.items()
    }


@dataclass(frozen=True)
class Place:
    """Where something is drawn: its row, and its column in parts of a resource's width."""

    row: int
    column: float


@dataclass(frozen=True)
class Drawing:
    """A place for each resource, and where the lines to what it needs pass between others, from it upwards."""

    places: dict[str, Place]
    bends: dict[tuple[str, str], list[Place]]
    width: float


Row = list[str]


def drawing(edges: Edges, columns: int) -> Drawing:
    """Lay the graph out, about `columns` resources in a row; where lines have no room beside them, without bends."""
    layer = _layers(edges)
    ways = {(key, target): _way(layer, key, target) for key in edges for target in edges[key]}
    rows = _sorted_rows(layer, ways)
    if max(map(_width, rows), default=0) > columns + _SPARE:
        rows = [row[at : at + columns] for row in _sorted_rows(layer, {}) for at in range(0, len(row), columns)]
        ways = {}
    width = max([columns, *map(_width, rows)])
    places = {name: Place(at, column) for at, row in enumerate(rows) for name, column in _columns(row, width)}
    bends = {edge: [places[each] for each in way[1:-1]] for edge, way in ways.items()}
    return Drawing({key: places[key] for key in edges}, bends, width)


def _way(layer: Mapping[str, int], key: str, target: str) -> list[str]:
    """The names on the way of a line, one a row. Lines to one target share their way."""
    between = [f"{_BEND}{target} {number}" for number in range(layer[key] - 1, layer[target], -1)]
    return [key, *between, target]


def _sorted_rows(layer: Mapping[str, int], ways: Mapping[tuple[str, str], list[str]]) -> list[Row]:
    """The rows with their bends, each ordered by the middle of what it is joined with: there few lines cross."""
    above: dict[str, set[str]] = {}
    below: dict[str, set[str]] = {}
    number = dict(layer)
    for way in ways.values():
        for at, (lower, upper) in enumerate(itertools.pairwise(way)):
            above.setdefault(lower, set()).add(upper)
            below.setdefault(upper, set()).add(lower)
            number.setdefault(upper, number[way[0]] - at - 1)
    rows: list[Row] = [[] for _ in range(max(number.values(), default=-1) + 1)]
    for name in sorted(number):
        rows[number[name]].append(name)
    for _ in range(_SWEEPS):
        for joined, order in ((above, rows), (below, rows[::-1])):
            _sweep(joined, order)
    return rows


def _sweep(joined: Mapping[str, set[str]], rows: Iterable[Row]) -> None:
    """Order each row by where its neighbours stand in the row before."""
    centres: dict[str, float] = {}
    for row in rows:
        at = {name: number for number, name in enumerate(row)}
        middles = {
            name: statistics.fmean(known) if known else at[name] - len(row) / 2
            for name in row
            for known in [[centres[each] for each in joined.get(name, ()) if each in centres]]
        }
        row.sort(key=lambda name: (middles[name], at[name]))
        width = _width(row)
        centres.update((name, column - width / 2) for name, column in _columns(row, width))


def _width(row: Row) -> float:
    return sum(_BEND_WIDTH if name.startswith(_BEND) else 1.0 for name in row)


def _columns(row: Row, width: float) -> Iterator[tuple[str, float]]:
    """Each name of a row with its column, the row in the middle."""
    left = (width - _width(row)) / 2
    for name in row:
        own = _BEND_WIDTH if name.startswith(_BEND) else 1.0
        yield name, left + (own - 1) / 2
        left += own


def _layers(edges: Edges) -> dict[str, int]:
    """How many lie below each on the longest way down; what depends on nothing comes right above its first user."""
    layer: dict[str, int] = {}
    for key in _ordered(edges):
        layer[key] = 1 + max((layer[target] for target in edges[key]), default=-1)
    first_user: dict[str, int] = {}
    for key, targets in edges.items():
        for target in targets:
            first_user[target] = min(layer[key], first_user.get(target, layer[key]))
    return {key: first_user.get(key, 1) - 1 if not edges[key] else layer[key] for key in edges}
