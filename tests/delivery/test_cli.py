"""`azureml-scoring`: files in, one comment out, one line where it cannot be done."""

import json
from pathlib import Path

import pytest
from azureml_scoring.delivery.__main__ import main
from azureml_scoring.delivery.report import MARKER

from tests.delivery.apis import TOKEN, serving


def _preview(folder: Path, name: str, stack: str) -> Path:
    step = {
        "op": "create",
        "urn": f"urn:pulumi:{stack}::p::azure-native:resources:ResourceGroup::{name}",
        "newState": {"inputs": {"location": "westeurope"}},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"steps": [step], "changeSummary": {"create": 1, "same": 4}}))
    return path


def test_several_stacks_make_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _preview(tmp_path, "one", "dev"), _preview(tmp_path, "two", "prod")
    assert main(["report", str(first), "--stack", f"production={second}"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(MARKER)
    assert told.index("### `dev`") < told.index("### `production`")
    assert "1 created, 4 unchanged" in told


def test_what_policies_found_stands_in_the_event_log_beside_a_preview(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = _preview(tmp_path, "one", "dev")
    event = {
        "policyName": "admin-account-off",
        "message": "registry: adminUserEnabled",
        "enforcementLevel": "mandatory",
    }
    lines = [{"sequence": 1, "preludeEvent": {}}, {"sequence": 2, "policyEvent": event}]
    preview.with_suffix(".events").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["report", str(preview)]) == 0
    told = capsys.readouterr().out
    assert "### `dev`: a rule forbids it" in told
    assert "- **mandatory** `admin-account-off`: registry: adminUserEnabled" in told


def test_a_preview_that_never_began_is_told_as_failed_by_its_files_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prod.json").write_text('{"config": {"scoring:location": "westeurope"}, "changeSummary": null}')
    assert main(["report", str(tmp_path / "prod.json")]) == 0
    told = capsys.readouterr().out
    assert "### `prod`: the preview failed" in told
    assert "the job&#39;s log says why" in told or "the job's log says why" in told


def test_a_report_is_made_and_put_on_the_pull_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report.md"
    assert main(["report", str(_preview(tmp_path, "one", "dev")), "--out", str(out), "--limit", "2000"]) == 0
    with serving() as double:
        for name, value in (
            ("GITHUB_API_URL", double.url),
            ("GITHUB_REPOSITORY", "owner/name"),
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_TOKEN", TOKEN),
        ):
            monkeypatch.setenv(name, value)
        assert main(["comment", "--to", "github", str(out)]) == 0
        assert main(["comment", "--to", "github", str(out)]) == 0
        assert [comment["body"] for comment in double.comments] == [out.read_text()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report"], "no preview is given"),
        (["report", "missing.json"], "missing.json: cannot be read"),
        (["report", "--stack", "name"], "write NAME=FILE"),
        (["comment", "--to", "github", "missing.md"], "missing.md: cannot be read"),
        (["recover", "--adopt", "name"], "write NAME=ID"),
        (["recover", "--dry-run"], "no Pulumi.yaml here"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_what_the_engine_does_not_write_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "odd.json"
    for text in ('{"steps": [{"op": "create"}]}', '{"steps": 3}', '{"steps": [{"op": "create", "urn": "x"}]}'):
        odd.write_text(text)
        assert main(["report", str(odd)]) == 2
        assert "pulumi preview --json" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["rollout", "dev"], ["rollback", "dev"], ["pin", "dev"]])
def test_a_rollout_needs_a_project_and_a_stack_file(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: no Pulumi.yaml here; change to the project's folder\n"
    (tmp_path / "Pulumi.yaml").write_text("name: p\n")
    assert main(words) == 1
    told = capsys.readouterr().out
    assert "error: Pulumi.dev.yaml does not exist; `pulumi stack init dev`, and describe the stack there\n" in told
    assert told.splitlines()[-1].split()[0] == "dev"


def test_a_bad_stack_file_ends_a_rollout_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # no engine could be asked
    (tmp_path / "Pulumi.yaml").write_text("name: p\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        "config: { scoring:location: westeurope, scoring:rollout: { aproval: no } }\n"
    )
    assert main(["rollout", "dev"]) == 1
    assert "scoring:rollout.aproval = false: no such field; did you mean approval?" in capsys.readouterr().out
