"""What the program asked of Azure in the last run, in order, with times."""

from collections.abc import Mapping
from typing import Any

from emulator.core.azure import Azure
from emulator.core.rbac import ASSIGNMENTS
from emulator.protocols.page import overview, words
from emulator.services.graph.data import PRINCIPALS

_MOST = 1000


def requests(azure: Azure, query: Mapping[str, str]) -> dict[str, Any]:
    """The view model: a row a request, and how much of what there was."""
    del query
    principals = overview.principal_names(azure.store.of_type(PRINCIPALS))
    names = {each.id.key: words.name_of(each, principals) for each in azure.store.of_type(ASSIGNMENTS)}
    rows = [words.request_row(each, names) for each in sorted(azure.journal.run(), key=lambda each: each.at)]
    return {
        "total": len(rows),
        "failed": sum(row["tone"] == "failed" for row in rows),
        "began": rows[0]["at"] if rows else None,
        "ended": max((row["at"] + (row["seconds"] or 0) for row in rows), default=None),
        "services": sorted({row["service"] for row in rows}),
        "rows": rows[-_MOST:],
    }
