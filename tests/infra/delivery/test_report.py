"""What reviewers read: made of both shapes of a preview, without secrets, without broken Markdown, within limits."""

import json
from typing import Any

import pytest

from infra.delivery.changes import Preview, PreviewError, Risk, read
from infra.delivery.redaction import HIDDEN, redacted
from infra.delivery.report import AZURE_DEVOPS, GITHUB, MARKER, render

OWN = "azureml-scoring:index:"
PASSWORD = "abc8Q~ThisIsTheMadeUpPasswordOfNobody.1234"


def _urn(type_: str, name: str) -> str:
    return f"urn:pulumi:dev::azureml-scoring::{OWN}ScoringStack${type_}::{name}"


def _step(  # noqa: PLR0913, PLR0917 - what a step has
    op: str,
    type_: str,
    name: str,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
    replacing: list[str] | None = None,
    needs: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "op": op,
        "urn": _urn(type_, name),
        "oldState": {"inputs": old} if old is not None else None,
        "newState": {"inputs": new, "dependencies": needs or []} if new is not None else None,
        "detailedDiff": detail,
        "replaceReasons": replacing,
    }


def _steps() -> list[dict[str, Any]]:
    build = _step(
        "update",
        f"{OWN}ImageBuild",
        "scoring-image",
        {"contentKey": "a" * 64},
        {"contentKey": "b" * 64},
        {"contentKey": {"kind": "update", "inputDiff": True}},
    )
    return [
        _step("same", "azure-native:resources:ResourceGroup", "rg", {}, {}),
        _step(
            "update",
            "azure-native:storage:StorageAccount",
            "store",
            {"tags": {"a": "1"}},
            {"tags": {"a": "2"}},
            {"tags.a": {"kind": "update"}},
        ),
        build,
        _step(
            "update",
            f"{OWN}OnlineDeployment",
            "blue",
            {"environmentId": "/e/1"},
            {"environmentId": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"},
            {"environmentId": {"kind": "update"}},
            needs=[build["urn"]],
        ),
        _step(
            "replace",
            "azure-native:authorization:RoleAssignment",
            "role",
            {"principalId": "1"},
            {"principalId": "2"},
            {"principalId": {"kind": "update-replace"}},
            ["principalId"],
        ),
        _step("create-replacement", "azure-native:authorization:RoleAssignment", "role", {}, {}),
        _step(
            "update",
            f"{OWN}EndpointTraffic",
            "traffic",
            {"traffic": {"blue": 100}},
            {"traffic": {"blue": 90, "green": 10}},
            {"traffic.blue": {"kind": "update"}, "traffic.green": {"kind": "add"}},
        ),
    ]


def _classic(steps: list[dict[str, Any]], diagnostics: list[dict[str, str]] | None = None) -> str:
    return json.dumps({"steps": steps, "changeSummary": {}, "diagnostics": diagnostics or []})


def _streaming(steps: list[dict[str, Any]]) -> str:
    events = [
        {
            "sequence": n,
            "resourcePreEvent": {
                "planning": True,
                "metadata": {
                    "op": step["op"],
                    "urn": step["urn"],
                    "old": step["oldState"],
                    "new": step["newState"],
                    "detailedDiff": {
                        path: {"diffKind": found["kind"]} for path, found in (step["detailedDiff"] or {}).items()
                    },
                    "keys": step["replaceReasons"],
                },
            },
        }
        for n, step in enumerate(steps)
    ]
    return "\n".join(json.dumps(event) for event in events)


def test_both_shapes_of_a_preview_read_alike() -> None:
    assert read(_classic(_steps())) == read(_streaming(_steps()))


def test_changes_come_by_risk_and_only_what_differs_is_shown() -> None:
    text = render([read(_classic(_steps()))])
    titles = ["Replaced or deleted", "**Traffic**", "**Image**", "The rest"]
    assert [text.index(title) for title in titles] == sorted(text.index(title) for title in titles)
    assert "`role` (RoleAssignment) is **replaced** because `principalId` cannot change in place" in text
    assert "| `tags.a` | `1` | `2` |" in text
    assert "traffic moves (blue 100 % → 90 %, green 0 % → 10 %)" in text
    assert "clients get answers of another image" in text
    assert "1 replaced, 4 updated, 1 unchanged" in text
    assert "_known after the update_" in text
    assert "n1 --> n2" in text or "n2 --> n3" in text


def test_a_preview_without_changes_says_so() -> None:
    text = render([read(_classic([_steps()[0]]))])
    assert "nothing changes" in text
    assert "mermaid" not in text


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (PASSWORD, "password"),
        (PASSWORD, "anything"),
        (f"https://user:{PASSWORD}@host/path", "url"),
        (f"https://host/blob?sv=1&sig={PASSWORD}", "url"),
        (json.dumps({"deep": {"clientSecret": PASSWORD}}), "settings"),
        ({"list": [{"password": PASSWORD}]}, "settings"),
        (f"Endpoint=x;SharedAccessKey={PASSWORD};", "connection"),
        ({"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": PASSWORD}, "x"),
        (f"Authorization: Bearer {PASSWORD}", "header"),
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(value: object, name: str) -> None:
    shown = json.dumps(redacted(value, name))
    assert PASSWORD not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize("name", ["secretName", "keyVaultId", "passwordExpires", "tokenUri"])
def test_what_only_sounds_secret_stays(name: str) -> None:
    assert redacted("2027-01-01", name) == "2027-01-01"


@pytest.mark.parametrize(
    "evil",
    ["</table><script>", "a | b | c", "```\n# Title", "@everyone [x](https://evil)", "line\r\nbreak", "\u202eevil"],
)
def test_user_text_cannot_break_out(evil: str) -> None:
    step = _step("update", "azure-native:x:Y", evil, {"p": "1"}, {"p": evil}, {"p": {"kind": "update"}})
    plain = _step("update", "azure-native:x:Y", "name", {"p": "1"}, {"p": "value"}, {"p": {"kind": "update"}})
    text, usual = (render([read(_classic([found], diagnostics=[]))]) for found in (step, plain))
    assert len(text.splitlines()) == len(usual.splitlines())
    message = Preview("dev", (), 0, (("warning", evil),))
    said = next(line for line in render([message]).splitlines() if line.startswith("- **warning**"))
    assert not any(sign in said for sign in ("<script>", "@everyone", "](", "\u202e"))


@pytest.mark.parametrize("limit", [GITHUB, AZURE_DEVOPS, 2000])
def test_a_long_report_fits_and_tells_what_it_left_out(limit: int) -> None:
    steps = [
        _step("update", "azure-native:x:Y", f"n{n}", {"p": "1" * 150}, {"p": "2" * 150}, {"p": {"kind": "update"}})
        for n in range(3000)
    ]
    text = render([read(_classic([*_steps(), *steps]))], limit)
    assert len(text) <= limit
    assert text.startswith(MARKER)
    assert "Left out" in text
    assert "traffic moves" in text, "the headline must outlive the details"


@pytest.mark.parametrize("text", ["", "   ", "{}", "no json", '{"sequence": 1}\nnot json', "[1]"])
def test_what_is_no_preview_is_told_in_one_line(text: str) -> None:
    with pytest.raises(PreviewError) as told:
        read(text)
    assert "pulumi preview --json" in str(told.value)
    assert "\n" not in str(told.value)


def test_errors_and_policy_violations_are_shown() -> None:
    failed = read(_classic([], diagnostics=[{"severity": "error", "message": "registry.name 'a-b' is wrong"}]))
    assert failed.failed
    assert "the preview failed" in render([failed])
    event = {"sequence": 1, "policyEvent": {"policyName": "no-latest", "message": "x", "enforcementLevel": "mandatory"}}
    assert "no-latest: x" in render([read(json.dumps(event))])


def test_a_deletion_is_the_riskiest() -> None:
    gone = read(_classic([_step("delete", f"{OWN}OnlineEndpoint", "endpoint", {"a": 1}, None)]))
    assert gone.changes[0].risk is Risk.DESTRUCTIVE
    assert "the endpoint goes away" in render([gone])
