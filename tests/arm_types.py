"""ARM requests and answers held against Microsoft's published types (bicep-types-az), which lie beside the repository.

`ARM_TYPES` names another folder.
"""

import importlib.util
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.local_azure import ROOT

TYPES = Path(os.environ.get("ARM_TYPES") or ROOT.parent / "shared" / "arm-types")
ABSENT = "" if TYPES.is_dir() else f"{TYPES} has no ARM types: set ARM_TYPES to their folder"
"""Why nothing can be held against the types; empty where it can."""
_OK = range(200, 300)
#: What the published types have wrong: a route is "/" in Azure's own images, and the type of an autoscale setting has
#: a capital letter (https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-understanding-settings).
_FALSE_ALARMS = (
    "'/' does not match [a-zA-Z0-9_]",
    "'Microsoft.Insights/autoscaleSettings': the case of 'Microsoft.Insights/autoscalesettings'",
)


@cache
def validator() -> Any:  # noqa: ANN401 - a module without types
    """The module that comes with the types."""
    spec = importlib.util.spec_from_file_location("validate", TYPES / "validate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def violations(rows: list[dict[str, Any]]) -> list[str]:
    """What recorded writes and answers have that the published types have not.

    Left out are api-versions that are not published: tests themselves ask for newer ones than the program.
    """
    library = validator().Library(TYPES)
    told: dict[str, None] = {}
    for row in filter(_is_published, rows):
        if row["method"] in {"PUT", "PATCH", "POST"} and row["status"] in _OK:
            told |= dict.fromkeys(_found(library, row, answers=False))
        for each in _answers(row):
            told |= dict.fromkeys(_found(library, each, answers=True))
    return list(told)


def read(recording: Path) -> list[dict[str, Any]]:
    """The rows that local Azures have written into a file."""
    return [json.loads(line) for line in recording.read_text().splitlines()] if recording.exists() else []


def _found(library: Any, row: dict[str, Any], *, answers: bool) -> Iterator[str]:  # noqa: ANN401 - as above
    type_, version, findings = validator().check(library, row, answers=answers)
    what = "answer" if answers else "body"
    for each in findings:
        if each.level in {"error", "readonly"} and not any(alarm in each.message for alarm in _FALSE_ALARMS):
            yield f"{row['method']} {type_}@{version}, {what}: {each.path}: {each.message}"


def _is_published(row: dict[str, Any]) -> bool:
    namespace, *_ = validator().parse(row["id"], row["method"])
    return not _is_unlike_arm(row) and (TYPES / namespace.lower() / row["apiVersion"] / "types.json").is_file()


def _is_unlike_arm(row: dict[str, Any]) -> bool:
    """Whether a path is no resource and no collection of a type: subscriptions, lists of all types, providers."""
    words: list[str] = row["id"].lower().strip("/").split("/")
    if "providers" not in words:
        return not (len(words) == 4 and words[2] == "resourcegroups")
    behind = words[::-1].index("providers")
    return behind <= (2 if row["method"] == "POST" else 1)


def _answers(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The resources that a row answers: itself, or the items of a list."""
    answer = row.get("answer")
    if row["status"] not in _OK or not isinstance(answer, dict):
        return []
    _, type_, names, _ = validator().parse(row["id"], row["method"])
    if row["method"] != "GET" or len(names) > type_.count("/") - 1:
        return [row]
    return [{**row, "id": each["id"], "answer": each} for each in answer.get("value", []) if "id" in each]
