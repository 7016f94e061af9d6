"""What has drifted is told; what only follows from putting it back is named as that."""

import json
from typing import Any

from azureml_scoring.delivery import drift, report
from azureml_scoring.delivery.changes import UNKNOWN, Preview, read


def step(op: str, name: str, old: dict[str, Any], new: dict[str, Any], *differing: str) -> dict[str, Any]:
    return {
        "op": op,
        "urn": f"urn:pulumi:dev::p::azure-native:x:{name.title()}::{name}",
        "oldState": {"inputs": old},
        "newState": {"inputs": new},
        "detailedDiff": {path: {"kind": "update"} for path in differing},
    }


def preview(*steps: dict[str, Any]) -> Preview:
    return read(json.dumps({"steps": steps, "changeSummary": {"same": 3}}))


def names(result: Preview) -> list[str]:
    return [change.name for change in result.changes]


def test_a_difference_to_what_is_declared_is_drift() -> None:
    result = drift.drifted(
        preview(
            step("update", "registry", {"admin": True}, {"admin": False}, "admin"),
            step("create", "role", {}, {"scope": UNKNOWN}),
            step("delete", "stray", {"a": 1}, {}),
        )
    )
    assert names(result) == ["registry", "role", "stray"]
    assert result.messages == ()


def test_a_difference_to_what_nobody_knows_yet_is_named_as_what_follows() -> None:
    result = drift.drifted(
        preview(
            step("update", "registry", {"admin": True}, {"admin": False}, "admin"),
            step("replace", "build", {"server": "a"}, {"server": UNKNOWN}, "server"),
            step("update", "connection", {"to": {"hosts": ["a"]}}, {"to": {"hosts": [UNKNOWN]}}, "to"),
        )
    )
    assert names(result) == ["registry"]
    text = report.render([result], title=drift.TITLE)
    assert "## Drift that an update would correct" in text
    assert "known after the update: build, connection" in text


def test_one_known_difference_is_enough() -> None:
    change = step("update", "mixed", {"a": 1, "b": 2}, {"a": UNKNOWN, "b": 3}, "a", "b")
    assert names(drift.drifted(preview(change))) == ["mixed"]


def test_an_update_whose_difference_the_engine_does_not_name_is_drift() -> None:
    assert names(drift.drifted(preview(step("update", "unnamed", {"a": 1}, {"a": 1})))) == ["unnamed"]


def test_a_changed_secret_is_drift() -> None:
    old, new = ({"env": {"DB": f"Server=a;Password={word};"}} for word in ("x", "y"))
    result = drift.drifted(preview(step("update", "job", old, new, "env")))
    text = report.render([result], title=drift.TITLE)
    assert "| `env.DB` | `Server=a;Password=[secret];` | `Server=a;Password=[secret];` |" in text


def test_without_drift_nothing_is_said() -> None:
    result = drift.drifted(preview())
    assert report.headline(result) == "nothing changes"
