"""The graph of resources, without a browser."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.core.ids import ResourceId
from emulator.core.store import Document
from emulator.protocols.page import graph

GROUP = "/subscriptions/s/resourceGroups/g"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/shop"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ml"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/score"


def document(path: str, body: dict[str, Any] | None = None, **properties: Any) -> Document:  # noqa: ANN401 - JSON
    id_ = ResourceId.parse(path)
    return Document(id_, {"id": path, "name": id_.name, "properties": properties, **(body or {})})


def needs(*documents: Document) -> dict[str, set[str]]:
    by_key = {each.id.key: each.id.name for each in documents}
    drawn = graph.drawn(documents, "nobody")
    found = graph.references(drawn, documents)
    return {by_key[key]: {by_key[target] for target in targets} for key, targets in found.items()}


def test_a_resource_needs_the_one_it_lives_in_and_those_that_it_names_in_any_case() -> None:
    registry = document(REGISTRY, loginServer="localhost:5000")
    workspace = document(WORKSPACE, containerRegistry=REGISTRY.upper())
    endpoint = document(ENDPOINT)
    assert needs(registry, workspace, endpoint) == {"shop": set(), "ml": {"shop"}, "score": {"ml"}}


def test_an_image_needs_its_registry() -> None:
    registry = document(REGISTRY, loginServer="localhost:5000")
    environment = document(f"{WORKSPACE}/environments/app/versions/7", image="localhost:5000/app@sha256:1")
    assert needs(registry, environment)["7"] == {"shop"}


def test_a_role_needs_its_scope_and_the_application_or_the_identity_that_gets_it() -> None:
    registry = document(REGISTRY)
    application = document("/providers/Microsoft.Graph/applications/a", {"id": "a", "appId": "app"})
    principal = document("/providers/Microsoft.Graph/servicePrincipals/p", {"id": "p", "appId": "app"})
    endpoint = document(ENDPOINT, {"identity": {"type": "SystemAssigned", "principalId": "own"}})
    given_ = f"{REGISTRY}/providers/Microsoft.Authorization/roleAssignments"
    first = document(f"{given_}/1", principalId="p", scope=REGISTRY)
    second = document(f"{given_}/2", principalId="own", scope=REGISTRY)
    found = needs(registry, application, principal, endpoint, first, second)
    assert found["1"] == {"shop", "a"}
    assert found["2"] == {"shop", "score"}
    assert "p" not in found


def test_who_has_written_a_resource_is_nothing_that_it_needs() -> None:
    application = document("/providers/Microsoft.Graph/applications/a", {"id": "a", "appId": "app"})
    written = document(REGISTRY, {"systemData": {"createdBy": "app"}}, createdBy="app", updatedBy="app")
    assert needs(application, written)["shop"] == set()


def test_what_follows_from_other_lines_is_not_drawn() -> None:
    registry, workspace = document(REGISTRY), document(WORKSPACE, containerRegistry=REGISTRY)
    endpoint = document(ENDPOINT, of=REGISTRY)
    assert needs(registry, workspace, endpoint)["score"] == {"ml"}


def test_the_deployer_and_folders_are_left_out() -> None:
    own = document(f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/1", principalId="deployer")
    folder = document(f"{WORKSPACE}/environments/app")
    group = document(GROUP)
    assert graph.drawn([own, folder, group], "deployer") == []


@st.composite
def edges(draw: st.DrawFn) -> dict[str, set[str]]:
    names = [f"{number:03}" for number in range(draw(st.integers(0, 25)))]
    return {
        name: set(draw(st.lists(st.sampled_from(names[:at]), max_size=4))) if at else set()
        for at, name in enumerate(names)
    }


@given(edges(), st.integers(1, 6))
def test_each_has_a_place_of_its_own_below_all_that_it_needs(found: dict[str, set[str]], columns: int) -> None:
    drawing = graph.drawing(found, columns)
    assert set(drawing.places) == set(found)
    by_row: dict[int, list[float]] = {}
    for place in drawing.places.values():
        by_row.setdefault(place.row, []).append(place.column)
    for row in by_row.values():
        assert len(row) <= columns + 1
        assert all(after - before >= 0.999 for before, after in itertools.pairwise(sorted(row)))
        assert min(row) >= -0.001
        assert max(row) <= drawing.width - 0.999
    for key, targets in found.items():
        assert all(drawing.places[target].row < drawing.places[key].row for target in targets)


@given(edges())
def test_a_line_passes_between_the_resources_of_the_rows_on_its_way(found: dict[str, set[str]]) -> None:
    drawing = graph.drawing(found, 100)
    for (key, target), bends in drawing.bends.items():
        rows = range(drawing.places[key].row - 1, drawing.places[target].row, -1)
        assert [bend.row for bend in bends] == list(rows)
        for bend in bends:
            near = [each.column for each in drawing.places.values() if each.row == bend.row]
            assert all(abs(column - bend.column) > 0.5 for column in near)


def test_lines_do_not_cross_where_they_need_not() -> None:
    found = {"a": set(), "b": set(), "of-b": {"b"}, "x-of-a": {"a"}}
    places = graph.drawing(found, 4).places
    assert (places["a"].column < places["b"].column) == (places["x-of-a"].column < places["of-b"].column)


@pytest.mark.parametrize("count", [2, 3])
def test_a_circle_is_drawn_all_the_same(count: int) -> None:
    endpoints = [
        document(f"{GROUP}/providers/A.B/c/{at}", other=f"{GROUP}/providers/A.B/c/{(at + 1) % count}")
        for at in range(count)
    ]
    found = graph.references(endpoints, endpoints)
    assert len(graph.drawing(found, 4).places) == count
