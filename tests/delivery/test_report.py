"""What reviewers read: made of both shapes of a preview, without secrets, without broken Markdown, within limits."""

import html
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from azureml_scoring.delivery.changes import UNKNOWN, Finding, Preview, PreviewError, Risk, load, read
from azureml_scoring.delivery.markdown import code
from azureml_scoring.delivery.redaction import HIDDEN, redacted
from azureml_scoring.delivery.report import LIMITS, MARKER, graph, render

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
                        path: {"diffKind": entry["kind"]} for path, entry in (step["detailedDiff"] or {}).items()
                    },
                    "keys": step["replaceReasons"],
                },
            },
        }
        for n, step in enumerate(steps)
    ]
    return "\n".join(json.dumps(event) for event in [*events, SUMMARY])


SUMMARY = {"sequence": 99, "summaryEvent": {"isPreview": True, "resourceChanges": {"same": 1}, "result": "succeeded"}}
"""The engine's last event but one."""


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
        (f"https://{PASSWORD}@host/path", "url"),
        (f"redis://:{PASSWORD}@host:6379", "url"),
        (f"https://user:a/b{PASSWORD}@host/path", "url"),
        ([{"name": "DB_PASSWORD", "value": PASSWORD}], "environment"),
        (f'could not read {{"adminPassword": "{PASSWORD}"}} here', "message"),
        (f"client_secret: {PASSWORD}", "yaml"),
        (f"tool --registry-password {PASSWORD} --verbose", "command"),
        (json.dumps(json.dumps({"token": PASSWORD})), "settings"),
        (PASSWORD, "primaryKey"),
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(value: object, name: str) -> None:
    shown = json.dumps(redacted(value, name))
    assert PASSWORD not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize("name", ["secretName", "keyVaultId", "passwordExpires", "tokenUri", "contentKey"])
def test_what_only_sounds_secret_stays(name: str) -> None:
    assert redacted("2027-01-01", name) == "2027-01-01"


@pytest.mark.parametrize(
    "evil",
    [
        "</table><script>",
        "a | b | c",
        "a\\| @everyone",
        "a\x85b",
        "half \ud800",
        "#1 owner/name#2",
        "`` ` ``|``",
        "```\n# Title",
        "@everyone [x](https://evil)",
        "line\r\nbreak",
        "\u202eevil",
    ],
)
def test_user_text_cannot_break_out(evil: str) -> None:
    step = _step("update", "azure-native:x:Y", evil, {"p": "1"}, {"p": evil}, {"p": {"kind": "update"}})
    plain = _step("update", "azure-native:x:Y", "name", {"p": "1"}, {"p": "value"}, {"p": {"kind": "update"}})
    text, usual = (render([read(_classic([each], diagnostics=[]))]) for each in (step, plain))
    assert len(text.splitlines()) == len(usual.splitlines())
    message = Preview("dev", (), 0, (("warning", evil),), findings=(Finding(evil, "advisory", evil),))
    for begin in ("- **warning**", "- **advisory**"):
        said = next(line for line in render([message]).splitlines() if line.startswith(begin))
        assert not any(sign in said.replace(code(evil), "") for sign in ("<script>", "](", "\u202e", "\x85"))
        # Mentions and references are looked for in the page, where an entity is the sign itself again.
        assert not re.search(r"@everyone|#[12]", html.unescape(said.replace(code(evil), "")))
    assert text.encode()


@pytest.mark.parametrize("limit", [*LIMITS.values(), 2000])
def test_a_long_report_fits_and_names_what_it_omits(limit: int) -> None:
    steps = [
        _step("update", "azure-native:x:Y", f"n{n}", {"p": "1" * 150}, {"p": f"{n}" * 150}, {"p": {"kind": "update"}})
        for n in range(3000)
    ]
    text = render([read(_classic([*_steps(), *steps]))], limit)
    assert len(text) <= limit
    assert text.startswith(MARKER)
    assert "Omitted" in text
    assert "traffic moves" in text, "the headline must outlive the details"


@pytest.mark.parametrize("limit", range(1000, 2500, 50))
def test_a_title_stands_before_its_changes_only(limit: int) -> None:
    steps = [_step("create", "azure-native:x:Y", f"n{n}" * 20, None, {}) for n in range(20)]
    lines = render([read(_classic([*_steps(), *steps]))], limit).splitlines()
    titles = [n for n, line in enumerate(lines) if line.startswith("**")]
    assert all(lines[n + 2].startswith("- ") for n in titles)


@pytest.mark.parametrize("text", ["", "   ", "{}", "no json", '{"sequence": 1}\nnot json', "[1]"])
def test_what_is_no_preview_is_told_in_one_line(text: str) -> None:
    with pytest.raises(PreviewError) as error:
        read(text)
    assert "pulumi preview --json" in str(error.value)
    assert "\n" not in str(error.value)


def test_errors_and_policy_violations_are_shown() -> None:
    failed = read(_classic([], diagnostics=[{"severity": "error", "message": "registry.name 'a-b' is wrong"}]))
    assert failed.failed
    assert "the preview failed" in render([failed])
    event = {"sequence": 1, "policyEvent": {"policyName": "no-latest", "message": "x", "enforcementLevel": "mandatory"}}
    forbidden = read(json.dumps(event))
    assert forbidden.failed
    assert "a rule forbids it" in render([forbidden])
    assert "- **mandatory** `no-latest`: x" in render([forbidden])


def test_a_deletion_is_the_riskiest() -> None:
    gone = read(_classic([_step("delete", f"{OWN}OnlineEndpoint", "endpoint", {"a": 1}, None)]))
    assert gone.changes[0].risk is Risk.DESTRUCTIVE
    assert "the endpoint is deleted" in render([gone])


def test_a_bar_in_a_value_is_no_end_of_a_cell() -> None:
    step = _step("update", "azure-native:x:Y", "n", {"p": "1"}, {"p": r"a\|b @x"}, {"p": {"kind": "update"}})
    line = next(line for line in render([read(_classic([step]))]).splitlines() if line.startswith("| `p`"))
    assert len(re.findall(r"\|", line)) == 4


def _build(**inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"repository": "r", "platform": "linux/amd64", **inputs}


def _image_lines(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    detail = {"contentKey": {"kind": "update"}}
    old, new = _build(contentKey="a" * 64, **old), _build(contentKey="b" * 64, **new)
    text = render([read(_classic([_step("update", f"{OWN}ImageBuild", "build", old, new, detail)]))])
    return [line.strip() for line in text.splitlines() if line.startswith("  - ")]


def test_a_new_image_is_explained_by_files_base_and_packages() -> None:
    old = {
        "files": {"score.py": "1", "my_token": "1", "old.txt": "1", "same": "1"},
        "bases": ["python:3.11-slim"],
        "packages": {"numpy": "1.0", "scipy": "1.0"},
    }
    new = {
        "files": {"score.py": "2", "my_token": "2", "new.txt": "1", "same": "1"},
        "bases": ["python:3.12-slim"],
        "packages": {"numpy": "2.0", "scipy": "1.0", "pandas": "any"},
    }
    assert _image_lines(old, new) == [
        "- files: `my_token`, `new.txt` (new), `old.txt` (removed), `score.py`",
        "- base: `python:3.11-slim` → `python:3.12-slim`",
        "- packages: `numpy` `1.0` → `2.0`, `pandas` none → `any`",
    ]


def test_a_state_without_ingredients_explains_nothing_rather_than_everything() -> None:
    assert _image_lines({}, {"files": {"a": "1"}, "bases": ["b"], "packages": {"c": "1"}}) == []


def test_a_folder_that_is_kept_as_a_whole_is_compared_as_a_whole() -> None:
    old, new = {"data/": "1", "more/a": "1", "more/b": "1"}, {"data/": "2", "more/": "1"}
    assert _image_lines({"files": old}, {"files": new}) == ["- files: `data/`, `more/` (perhaps)"]


@pytest.mark.parametrize(
    ("type_", "old", "outputs", "new", "line"),
    [
        (
            "docker:index/image:Image",
            {"imageName": "h/r:1"},
            {"repoDigest": "h/r@sha256:1"},
            {"imageName": "h/r:2"},
            "- Image: `h/r:1` (`h/r@sha256:1`) → `h/r:2`",
        ),
        (
            "docker-build:index:Image",
            {"tags": ["h/r:1"]},
            {"digest": "sha256:1"},
            {"tags": ["h/r:2"]},
            "- Image: `h/r:1` (`sha256:1`) → `h/r:2`",
        ),
        (
            f"{OWN}ImageImport",
            {"source": "dev/r@sha256:1"},
            {"digest": "sha256:1"},
            {"source": "dev/r@sha256:2"},
            "- Image: `dev/r@sha256:1` → `dev/r@sha256:2`",
        ),
        (
            f"{OWN}ImagePin",
            {"reference": "h/r:1"},
            {"digest": "sha256:1"},
            {"reference": "h/r:2"},
            "- Image: `h/r:1` (`sha256:1`) → `h/r:2`",
        ),
    ],
)
def test_an_image_that_acr_does_not_build_is_told_by_its_name_and_digest(
    type_: str, old: dict[str, Any], outputs: dict[str, Any], new: dict[str, Any], line: str
) -> None:
    step = _step("update", type_, "image", old, new)
    step["oldState"]["outputs"] = outputs
    moved = {"environmentId": {"kind": "update", "inputDiff": True}}
    runs = _step("update", f"{OWN}OnlineDeployment", "blue", {"environmentId": "a"}, {"environmentId": "b"}, moved)
    text = render([read(_classic([step, runs]))])
    assert line in text
    assert "clients get answers of another image" in text
    assert "clients notice nothing" in render([read(_classic([step]))]), "what serves is pinned to another image"
    assert f"- Image: {line.rpartition('→ ')[2]}" in render(
        [read(_classic([_step("create", type_, "image", None, new)]))]
    )


def test_findings_of_policies_and_of_the_image_stand_by_themselves_the_worst_first() -> None:
    steps = _streaming(
        [_step("update", f"{OWN}OnlineEndpoint", "endpoint", {"a": 1}, {"a": 2}, {"a": {"kind": "update"}})]
    )
    events = [
        {
            "policyEvent": {
                "policyName": "tags",
                "message": "<{%fg 3%}>no tag\nstack<{%reset%}>",
                "enforcementLevel": "advisory",
            }
        },
        {"diagnosticEvent": {"severity": "info", "message": "image: AML-IMG-009 curl: apt takes what is newest"}},
        {"diagnosticEvent": {"severity": "warning", "message": "image: AML-IMG-011 runs as root"}},
        {"diagnosticEvent": {"severity": "warning", "message": "image: AML-IMG-011 runs as root"}},
        {"diagnosticEvent": {"severity": "warning", "message": "warning: something else"}},
        {"diagnosticEvent": {"severity": "info", "message": "an idle remark"}},
    ]
    text = render([read("\n".join([steps, *(json.dumps({"sequence": 9, **event}) for event in events)]))])
    lines = [line for line in text.splitlines() if line.startswith("- **")]
    assert lines == [
        "- **warning**: something else",
        "- **advisory** `tags`: no tag stack",
        "- **warning** `AML-IMG-011`: runs as root",
        "- **info** `AML-IMG-009`: curl: apt takes what is newest",
    ]


def test_what_was_found_in_an_image_that_stays_is_told_again() -> None:
    step = _step("same", f"{OWN}ImageBuild", "build", _build(), _build())
    step["oldState"]["outputs"] = {"findings": ["warning: AML-IMG-011 the image runs as root"]}
    assert "- **warning** `AML-IMG-011`: the image runs as root" in render([read(_classic([step]))])
    assert "AML-IMG-011" not in render([read(_classic([{**step, "op": "update"}]))]), "that image is going"


@pytest.mark.parametrize(("number", "names"), [(3, "`n0` (Y), `n1` (Y), `n2` (Y)"), (40, "`n29` (Y), 10 more")])
def test_the_same_change_of_many_resources_is_one_line_with_the_list(number: int, names: str) -> None:
    steps = [
        _step("update", "azure-native:x:Y", f"n{n}", {"p": "1"}, {"p": "2"}, {"p": {"kind": "update"}})
        for n in range(number)
    ]
    other = _step("update", "azure-native:x:Y", "other", {"p": "1"}, {"p": 2}, {"p": {"kind": "update"}})
    text = render([read(_classic([*steps, other]))])
    assert f"{names} are **updated**\n" in text
    assert text.count("| `p` | `1` | `2` |") == 2, "a number is no text"


def test_what_stays_on_azure_is_no_deletion() -> None:
    step = _step("delete", "azure-native:keyvault:Secret", "kept", {"a": 1}, None)
    step["oldState"]["retainOnDelete"] = True
    preview = read(_classic([step]))
    assert preview.changes[0].risk is Risk.REST
    text = render([preview])
    assert "1 staying on Azure, 0 unchanged" in text
    assert "- `kept` (Secret) leaves the stack and **stays on Azure**" in text


def test_a_replacement_without_a_known_reason_states_none() -> None:
    step = _step("replace", f"{OWN}OnlineDeployment", "blue", {"a": 1}, {"a": 1})
    assert "- `blue` (OnlineDeployment) is **replaced**\n" in render([read(_classic([step]))])


def test_a_replacement_is_one_change_whatever_steps_the_engine_makes_of_it() -> None:
    steps = [
        _step(op, "azure-native:x:Y", "n", {"a": 1}, {"a": 2})
        for op in ("create-replacement", "replace", "delete-replaced")
    ]
    assert [change.op for change in read(_classic(steps)).changes] == ["replace"]


def test_an_existing_resource_in_place_of_another_is_one_change() -> None:
    steps = [_step(op, "azure-native:x:Y", "n", {"a": 1}, {"a": 2}) for op in ("import-replacement", "replace")]
    steps[0]["newState"]["id"] = "/existing"
    preview = read(_classic(steps))
    assert [change.risk for change in preview.changes] == [Risk.DESTRUCTIVE]
    assert "- `n` (Y) is **replaced** by `/existing`" in render([preview])


def test_what_an_earlier_run_left_to_delete_is_deleted() -> None:
    left = _step("delete-replaced", "azure-native:x:Y", "n", {"a": 1}, None)
    assert [(change.op, change.risk) for change in read(_classic([left])).changes] == [("delete", Risk.DESTRUCTIVE)]


@pytest.mark.parametrize("op", ["same", "read", "refresh", "discard", "discard-replaced", "read-replacement", "diff"])
def test_a_step_that_writes_nothing_is_no_change(op: str) -> None:
    preview = read(_classic([_step(op, "azure-native:x:Y", "n", {"a": 1}, {"a": 2}, {"a": {"kind": "update"}})]))
    assert preview.changes == ()
    assert "nothing changes" in render([preview])


@pytest.mark.parametrize("text", ["code:0b83933fcb6e", '{"code": "AuthorizationFailed"}'])
def test_an_asset_or_an_error_named_by_a_code_stays(text: str) -> None:
    assert redacted(text, "tags") == text


def test_an_image_of_another_secret_argument_is_explained_without_it() -> None:
    old, new = ({"buildArguments": {"API_TOKEN": value}} for value in ("first", "second"))
    assert _image_lines(old, new) == ["- other build arguments"]


def test_a_replacement_names_what_it_is_replaced_for() -> None:
    role = next(step for step in _steps() if step["op"] == "replace")
    after = _step("replace", f"{OWN}OnlineDeployment", "blue", {"a": 1}, {"a": 1}, needs=[role["urn"]])
    assert "`blue` (OnlineDeployment) is **replaced** because `role` is replaced" in render(
        [read(_classic([role, after]))]
    )


def test_a_hidden_value_that_differs_is_a_change_and_shows_neither_side() -> None:
    old, new = {"p": HIDDEN, "q": {"a": "1"}}, {"p": "lost its mark", "q": {"a": "2"}}
    detail = {"p": {"kind": "update"}}
    text = render([read(_classic([_step("update", "azure-native:x:Y", "n", old, new, detail)]))])
    assert f"| `p` | `{HIDDEN}` | `{HIDDEN}` |" in text
    assert "lost its mark" not in text


def test_what_stands_around_a_value_tells_that_it_is_secret() -> None:
    old = {"env": [{"name": "DB_PASSWORD", "value": "first"}], "credentials": {"user": "first"}}
    new = {"env": [{"name": "DB_PASSWORD", "value": "second"}], "credentials": {"user": "second"}}
    detail = {"env[0].value": {"kind": "update"}, "credentials.user": {"kind": "update"}}
    text = render([read(_classic([_step("update", "azure-native:x:Y", "n", old, new, detail)]))])
    assert "first" not in text
    assert "second" not in text
    assert "`env[0].value`" in text
    assert "`credentials.user`" in text


def test_a_password_that_ends_soon_is_told_as_urgent() -> None:
    step = _step(
        "same", "azuread:index/applicationPassword:ApplicationPassword", "p", {}, {"endDate": "2026-12-20T00:00:00Z"}
    )
    texts = {
        day: render([read(_classic([step]))], today=day)
        for day in (date(2026, 1, 1), date(2026, 12, 1), date(2027, 1, 1))
    }
    ends = [next(line for line in text.splitlines() if "ends" in line) for text in texts.values()]
    assert ends == [
        "- Password `p` ends `2026-12-20`",
        "- Password `p` ends `2026-12-20`: **in 19 days**",
        "- Password `p` ends `2026-12-20`: **it has ended**",
    ]


@pytest.mark.parametrize(
    ("ops", "count"), [(["refresh"], 1), (["refresh", "same"], 1), (["refresh", "delete"], 0), (["replace"], 1)]
)
def test_a_password_is_listed_once_whatever_steps_there_are(ops: list[str], count: int) -> None:
    type_, ends = "azuread:index/applicationPassword:ApplicationPassword", {"endDate": "2028-01-01T00:00:00Z"}
    steps = [_step(op, type_, "p", ends, None if op == "delete" else ends) for op in ops]
    assert render([read(_classic(steps))]).count("- Password `p` ends") == count


def test_the_picture_draws_no_arrow_that_others_tell() -> None:
    first, second = (_step("create", "azure-native:x:Y", name, None, {}) for name in ("a", "b"))
    second["newState"]["dependencies"] = [first["urn"]]
    third = _step("create", 'azure-native:x:Y"]; click n0', "c", None, {}, needs=[first["urn"], second["urn"]])
    lines = graph(read(_classic([first, second, third])).changes)
    assert [line.strip() for line in lines if "-->" in line] == ["n0 --> n1", "n1 --> n2"]
    assert all(line.count('"') == 2 for line in lines if "[" in line)


def test_a_line_of_an_event_ends_at_a_line_feed_only() -> None:
    step = _step("update", "azure-native:x:Y", "n", {"p": "1"}, {"p": "a\x85b\u2028c"}, {"p": {"kind": "update"}})
    event = {
        "sequence": 1,
        "resourcePreEvent": {"metadata": {"op": "update", "urn": step["urn"], "new": step["newState"]}},
    }
    assert read(json.dumps(event, ensure_ascii=False)).changes


def test_even_headlines_that_are_too_long_are_cut_between_lines() -> None:
    previews = [Preview(f"`{n}" * 60, ()) for n in range(100)]
    text = render(previews, 2000)
    assert len(text) <= 2000
    lines = text.partition("\n\n_Cut here")[0].splitlines()
    assert lines[-1] in render(previews, LIMITS["github"]).splitlines()


def test_the_end_that_azure_chose_is_told_too() -> None:
    step = _step("same", "azuread:index/applicationPassword:ApplicationPassword", "p", {}, {})
    step["oldState"]["outputs"] = {"endDate": "2027-01-01T00:00:00Z"}
    assert "ends `2027-01-01`" in render([read(_classic([step]))])
    assert "Password `p`" not in render([read(_classic([{**step, "op": "replace"}]))]), "the new one ends another day"


def test_what_the_program_refuses_is_an_error_of_the_preview() -> None:
    lines = [
        "error: scoring:location is missing: write it",
        "error: image: AML-IMG-001 Ubuntu 14.04 is older",
        "a remark",
    ]
    text = json.dumps({"diagnostics": [{"severity": "info#err", "message": f"{line}\n\n"} for line in lines]})
    preview = read(text, "dev")
    assert preview.messages == (("error", "scoring:location is missing: write it"),)
    assert [(each.rule, each.level) for each in preview.findings] == [("AML-IMG-001", "error")]
    assert "### `dev`: the preview failed" in render([preview])


ENVIRONMENT = f"{OWN}EnvironmentVersion"


def test_a_new_environment_version_is_a_matter_of_the_image_not_a_loss() -> None:
    moved = {"image": {"kind": "update-replace"}}
    replaced = read(_classic([_step("replace", ENVIRONMENT, "env", {"image": "a"}, {"image": "b"}, moved, ["image"])]))
    assert replaced.changes[0].risk is Risk.IMAGE
    assert "1 with a new version" in render([replaced])
    assert "- `env` (EnvironmentVersion) gets **a new version**\n" in render([replaced])
    deleted = read(_classic([_step("delete", ENVIRONMENT, "env", {"image": "a"}, None)]))
    assert deleted.changes[0].risk is Risk.DESTRUCTIVE


def _policy(name: str, message: str, level: str = "mandatory", rule: str = "required-tags") -> dict[str, Any]:
    urn = f"urn:pulumi:dev::p::azure-native:x:Y::{name}"
    policy = {"policyName": rule, "message": message, "enforcementLevel": level, "resourceUrn": urn}
    return {"sequence": 1, "policyEvent": policy}


def _events(*events: dict[str, Any]) -> Preview:
    return read("\n".join(json.dumps(event) for event in [*events, SUMMARY]))


def test_one_violation_of_many_resources_is_one_line_with_their_names() -> None:
    events = [_policy(name, f"Tags are set.\n{name}: tags: team missing") for name in ("vault", "registry", "vault")]
    preview = _events(*events, _policy("group", "Tags are set.\ngroup: tags: owner missing"))
    lines = [line for line in render([preview]).splitlines() if "required-tags" in line]
    assert lines == [
        "- **mandatory** `required-tags` on `vault`, `registry`: Tags are set. tags: team missing",
        "- **mandatory** `required-tags` on `group`: Tags are set. tags: owner missing",
    ]


def test_policies_that_cannot_judge_a_preview_are_named_once() -> None:
    unknown = "can't run policy '{0}' during preview: string value at .image can't be known during preview"
    events = [_policy(name, unknown.format(rule), "advisory", rule) for name in "abc" for rule in ("digest", "tags")]
    preview = _events(*events)
    assert not preview.failed
    lines = [line for line in render([preview]).splitlines() if "digest" in line]
    assert lines == ["- **info**: judged in the update only, when all values are known: `digest`, `tags`"]


def _rows(old: object, new: object) -> list[str]:
    step = _step("update", "azure-native:x:Y", "n", {"p": old}, {"p": new}, {"p": {"kind": "update"}})
    line = next(line for line in render([read(_classic([step]))]).splitlines() if line.startswith("| `p`"))
    return [cell.strip(" `") for cell in line.split("|")[2:4]]


def test_a_long_id_is_cut_from_the_left() -> None:
    workspace = f"/subscriptions/{'0' * 36}/resourceGroups/{'g' * 90}/providers/P/workspaces/{'w' * 60}"
    id_ = f"{workspace}/environments/e/versions/"
    old, new = _rows(f"{id_}1", f"{id_}2")
    assert (old[0], old[-1], new[-1]) == ("…", "1", "2")
    assert old.endswith("/environments/e/versions/1")
    old, new = _rows(f"{id_}1", UNKNOWN)
    assert old.endswith("/environments/e/versions/1")
    assert new == "_known after the update_"


def test_of_a_long_image_the_digest_is_left() -> None:
    old, _ = _rows(f"{'r' * 90}.azurecr.io/served@sha256:{'1' * 64}", UNKNOWN)
    assert old.startswith("…")
    assert old.endswith(f"/served@sha256:{'1' * 64}")


@pytest.mark.parametrize(
    ("kind", "op", "path", "words"),
    [
        ("OnlineEndpoint", "update", "authMode", "clients sign in in another way"),
        (
            "OnlineDeployment",
            "update",
            "environmentVariables.A",
            "answers may differ: a deployment gets other settings",
        ),
        ("OnlineDeployment", "update", "tags.a", "clients notice nothing"),
        ("OnlineDeployment", "replace", "location", "a deployment is replaced: no answers of it meanwhile"),
    ],
)
def test_the_headline_is_what_clients_notice(kind: str, op: str, path: str, words: str) -> None:
    root, _, inner = path.partition(".")
    old, new = ({root: {inner: value} if inner else value} for value in ("1", "2"))
    step = _step(op, f"{OWN}{kind}", "n", old, new, {path: {"kind": op}})
    assert f"### `dev`: {words}\n" in render([read(_classic([step]))])


def test_of_long_values_the_part_that_differs_is_shown() -> None:
    old, new = _rows("x" * 600 + "first", "x" * 600 + "second")
    assert "first" in old
    assert "second" in new


def _table(old: dict[str, Any], new: dict[str, Any], *paths: str) -> list[str]:
    """The rows of an update, for which the engine names these paths."""
    step = _step("update", "azure-native:x:Y", "n", old, new, {path: {"kind": "update"} for path in paths})
    lines = render([read(_classic([step]))]).splitlines()
    return [line for line in lines if line.startswith("| `")]


def test_of_a_whole_property_only_what_differs_in_it_is_a_row() -> None:
    old = {"tags": {"project": "p", "a.b": "1"}, "list": [1, 2]}
    new = {"tags": {"project": "p", "a.b": "2", "team": "t"}, "list": [1, 3]}
    assert _table(old, new, "tags", "list") == [
        '| `tags["a.b"]` | `1` | `2` |',
        "| `tags.team` | none | `t` |",
        "| `list` | `[1, 2]` | `[1, 3]` |",
    ]


@pytest.mark.parametrize("path", ["p", "p.texts", "p.texts.DB"])
def test_a_changed_secret_stays_a_row_whatever_path_the_engine_names(path: str) -> None:
    old, new = ({"p": {"texts": {"DB": f"Server=a;Password={word};", "x": "1"}}} for word in ("x", "y"))
    shown = f"`Server=a;Password={HIDDEN};`"
    assert _table(old, new, path) == [f"| `p.texts.DB` | {shown} | {shown} |"]


def test_a_text_that_differs_in_its_spaces_alone_is_a_row() -> None:
    assert len(_table({"p": '{"a":1}'}, {"p": '{"a": 1}'}, "p")) == 1


def test_the_old_value_is_that_of_the_state_where_the_engine_compares_with_it() -> None:
    step = _step("update", "azure-native:x:Y", "n", {"p": 1}, {"p": 1}, {"p": {"kind": "update", "inputDiff": False}})
    step["oldState"]["outputs"] = {"p": 2}
    assert "| `p` | `2` | `1` |" in render([read(_classic([step]))])


def test_a_secret_that_changes_inside_a_text_is_a_row() -> None:
    old, new = (f"Endpoint=x;SharedAccessKey={secret};" for secret in ("s3cret-a", "s3cret-b"))
    assert _rows(old, new) == [f"Endpoint=x;SharedAccessKey={HIDDEN};"] * 2


@pytest.mark.parametrize(("listed", "words"), [(0, "none"), (1, "1")])
def test_a_document_that_counts_more_changes_than_it_lists_is_a_failure(listed: int, words: str) -> None:
    steps = [_step("delete", "azure-native:x:Y", "n", {"a": 1}, None)] * listed
    classic = {"steps": steps, "changeSummary": {"delete": 2, "same": 5}}
    events = [{"resourcePreEvent": {"metadata": {"op": step["op"], "urn": step["urn"]}}} for step in steps]
    summary = {"summaryEvent": {"resourceChanges": {"delete": 2, "same": 5}}}
    for text in (json.dumps(classic), "\n".join(json.dumps(event) for event in [*events, summary])):
        preview = read(text)
        assert preview.failed
        assert "### `dev`: the preview failed" in render([Preview("dev", preview.changes, 5, preview.messages)])
        assert f"counts 2 changes and lists {words}; the file is cut" in render([preview])
    assert not read(json.dumps({"steps": [], "changeSummary": {"same": 5}})).failed


def test_a_preview_without_its_summary_is_a_failure() -> None:
    step = _step("update", "azure-native:x:Y", "n", {"a": 1}, {"a": 2}, {"a": {"kind": "update"}})
    event = _streaming([step]).splitlines()[0]
    for text in (json.dumps({"steps": [step]}), event):
        assert read(text).messages == (("error", "the preview ended before its summary; the job's log says why"),)
    refused = {"diagnosticEvent": {"severity": "error", "message": "location is missing"}}
    assert read(f"{event}\n{json.dumps(refused)}").messages == (("error", "location is missing"),)


def test_two_previews_in_one_file_are_refused() -> None:
    with pytest.raises(PreviewError, match="holds 2 previews; write each into a file of its own"):
        read(f"{_classic(_steps())}\n{_classic(_steps())}")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_as_shells_write_it(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "dev.json"
    file.write_bytes(f"Installing policy pack\n{_classic(_steps())}".encode(encoding))
    assert load(str(file)) == read(_classic(_steps()))


@pytest.mark.parametrize("document", [_classic(_steps()), json.dumps(json.loads(_classic(_steps())), indent=4)])
def test_what_pulumi_and_shells_print_around_a_document_is_skipped(document: str) -> None:
    before = "Installing policy pack rules 0.0.7...\nFinished installing policy pack\n\n{level: info} an agent\n"
    text = f"\ufeff{before}{document}\nUpdate plan written to 'plan.json'\n"
    assert read(text) == read(document)
    streaming = _streaming(_steps())
    assert read(f"warning: a policy pack is old\n{streaming}\n[resource plugin x] installing\n") == read(streaming)


def test_a_document_that_is_cut_is_refused() -> None:
    with pytest.raises(PreviewError, match="begins on line 2 is incomplete"):
        read(f"Previewing\n{_classic(_steps())[:-20]}")


def test_imports_have_a_section_with_their_ids() -> None:
    step = _step("import", "azure-native:keyvault:Vault", "vault", None, {"vaultName": "kv"})
    step["newState"]["id"] = "/subscriptions/s/vaults/kv"
    text = render([read(_classic([step]))])
    assert "1 imported, 0 unchanged" in text
    assert "**Imported into the stack**" in text
    assert "- `vault` (Vault) is **imported** from `/subscriptions/s/vaults/kv`" in text
