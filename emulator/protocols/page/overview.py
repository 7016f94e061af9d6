"""The overview: the graph of what exists, what failed and why; and one resource with all that is known of it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from emulator.core.azure import Azure
from emulator.core.errors import AzureError
from emulator.core.journal import Entry
from emulator.core.rbac import ASSIGNMENTS
from emulator.core.store import Document
from emulator.protocols.page import graph, words
from emulator.protocols.page.redaction import redacted
from emulator.services.containerregistry.jobs import RUNS
from emulator.services.graph import access as entra
from emulator.services.graph import data as directory

_MOST_COLUMNS = 8
_FAILURES = 20
_WRITES = frozenset({"PUT", "PATCH", "POST", "DELETE"})


def overview(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The view model; `columns` says how many resources fit beside each other."""
    asked = query.get("columns", "4")
    columns = min(_MOST_COLUMNS, max(1, int(asked))) if asked.isdigit() else 4
    everything, entries = azure.store.everything(), azure.journal.entries()
    return graph_model(everything, entries, entra.deployer(azure), columns)


def graph_model(
    everything: list[Document], entries: list[Entry], deployer: entra.Deployer, columns: int
) -> dict[str, Any]:
    """The graph, and the failures beside it."""
    nodes = [
        each
        for each in graph.drawn(everything, deployer.app_id)
        if each.properties.get("principalId") != deployer.object_id
    ]
    edges = graph.references(nodes, everything)
    drawing = graph.drawing(edges, columns)
    names, reasons = principal_names(everything), _reasons(entries)
    groups = [each.id.name for each in everything if each.id.type == "Microsoft.Resources/resourceGroups"]
    return {
        "groups": groups,
        "columns": drawing.width,
        "rows": 1 + max((place.row for place in drawing.places.values()), default=-1),
        "nodes": [
            {
                **summary(each, names),
                **asdict(drawing.places[each.id.key]),
                "needs": [
                    {"key": target, "bends": [asdict(bend) for bend in drawing.bends.get((each.id.key, target), ())]}
                    for target in sorted(edges[each.id.key])
                ],
                "reason": _reason(each, reasons),
            }
            for each in nodes
        ],
        "failures": failures(everything, entries),
    }


def failures(everything: Iterable[Document], entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Writes and build runs that have failed, newest first."""
    rows = [words.request_row(each) for each in entries if each.failure and each.method in _WRITES]
    rows += [words.run_failure(each) for each in everything if each.id.type == RUNS and _is_failed(each)]
    return sorted(rows, key=lambda row: row["at"], reverse=True)[:_FAILURES]


def resource(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """One resource: its document, its history, who may do what (404 where it does not exist)."""
    key, everything = query.get("id", "").lower(), azure.store.everything()
    document = next((each for each in everything if each.id.key == key), None)
    if document is None:
        raise AzureError(404, "ResourceNotFound", f"'{query.get('id')}' does not exist (any more).")
    names, entries = principal_names(everything), azure.journal.entries()
    edges = graph.references(graph.drawn(everything, entra.deployer(azure).app_id), everything)
    by_key = {each.id.key: each for each in everything}
    return {
        **summary(document, names),
        "reason": _reason(document, _reasons(entries)),
        "document": redacted(document, _shown(azure, document)),
        "history": words.history_of(key, entries),
        "access": access_rows(document, everything, names),
        "needs": [summary(by_key[each], names) for each in sorted(edges.get(key, ()))],
        "needed": [summary(by_key[each], names) for each, targets in edges.items() if key in targets],
    }


def summary(document: Document, names: Mapping[str, str]) -> dict[str, Any]:
    """What every mention of a resource shows."""
    state = words.state_of(document)
    return {
        "id": document.id.path,
        "key": document.id.key,
        "kind": words.kind_of(document.id.type),
        "name": words.name_of(document, names),
        "state": state,
        "tone": words.tone_of(state),
    }


def principal_names(everything: Iterable[Document]) -> dict[str, str]:
    """Display names of principals by their object ids."""
    return {each.body["id"]: each.body["displayName"] for each in everything if each.id.type == directory.PRINCIPALS}


def access_rows(document: Document, everything: Iterable[Document], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Who has which role at a resource, by which assignment."""
    rows = []
    for each in everything:
        if each.id.type != ASSIGNMENTS:
            continue
        scope = str(each.properties["scope"])
        if (document.id.key + "/").startswith(scope.lower().rstrip("/") + "/"):
            principal = each.properties["principalId"]
            rows.append(
                {
                    "principal": names.get(principal, f"{principal} (deleted)"),
                    "role": words.role_of(each),
                    "scope": scope,
                    "inherited": scope.lower() != document.id.key,
                }
            )
    return rows


def _shown(azure: Azure, document: Document) -> dict[str, Any]:
    try:
        return azure.service(document.id.type).show(document)
    except AzureError:
        return document.body  # an object of Entra


def _is_failed(document: Document) -> bool:
    return words.tone_of(words.state_of(document)) == "failed"


def _reasons(entries: Iterable[Entry]) -> dict[str, str]:
    """Why the latest write of a resource failed, by its key; empty where it did not."""
    return {
        each.target.lower(): each.failure for each in entries if each.method in _WRITES and each.operation is not None
    }


def _reason(document: Document, reasons: Mapping[str, str]) -> str:
    if not _is_failed(document):
        return ""
    return reasons.get(document.id.key) or str(document.properties.get("runErrorMessage") or "")
