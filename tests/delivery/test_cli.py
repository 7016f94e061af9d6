"""`azureml-scoring`: files in, one comment out, one line where it cannot be done."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from azureml_scoring.cli import cli, main
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
    output = capsys.readouterr().out
    assert output.startswith(MARKER)
    assert output.index("### `dev`") < output.index("### `production`")
    assert "1 created, 4 unchanged" in output


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
    output = capsys.readouterr().out
    assert "### `dev`: a rule forbids it" in output
    assert "- **mandatory** `admin-account-off`: registry: adminUserEnabled" in output


def test_a_preview_that_never_began_is_told_as_failed_by_its_files_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prod.json").write_text('{"config": {"scoring:location": "westeurope"}, "changeSummary": null}')
    assert main(["report", str(tmp_path / "prod.json")]) == 0
    output = capsys.readouterr().out
    assert "### `prod`: the preview failed" in output
    assert "the job&#39;s log says why" in output or "the job's log says why" in output


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
        (["report"], "Missing argument 'PREVIEW.json'"),
        (["report", "missing.json"], "missing.json: cannot be read"),
        (["report", "--stack", "name"], "write NAME=FILE"),
        (["comment", "--to", "github", "missing.md"], "'missing.md': No such file or directory"),
        (["recover", "--adopt", "name"], "write NAME=ID"),
        (["recover", "--dry-run"], "no Pulumi.yaml here"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    output = capsys.readouterr().err
    assert said in output
    assert output.count("\n") == 1


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
    output = capsys.readouterr().out
    assert "error: Pulumi.dev.yaml does not exist; run `pulumi stack init dev` and write its settings there\n" in output
    assert output.splitlines()[-1].split()[0] == "dev"


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


COMMANDS = [
    "adopt",
    "comment",
    "convert",
    "convert-v1",
    "doctor",
    "pin",
    "prices",
    "recover",
    "report",
    "rollback",
    "rollout",
    "schema",
    "status",
]


def run(*words: str, code: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the command, or `code` on it."""
    program = ["-c", code, *words] if code else ["-m", "azureml_scoring", *words]
    return subprocess.run(
        [sys.executable, *program],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_each_command_has_a_help_text_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(cli.commands) == COMMANDS
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        output = capsys.readouterr().out
        assert f"Usage: azureml-scoring {name} " in output
        assert "Examples:" in output
        assert f"  azureml-scoring {name}" in output or f"; azureml-scoring {name}" in output
        assert "..." not in output.partition("\n\n")[2].replace("STACK...", "").replace("]...", ""), "cut short"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {name} " in output for name in COMMANDS)
    assert "Exit codes:" in output
    assert "_AZUREML_SCORING_COMPLETE=bash_source" in output


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == "azureml-scoring, version 0.1.0\n"


LOADED = """import sys
from azureml_scoring.cli import main
code = main(sys.argv[1:])
loaded = {name.partition(".")[0] for name in sys.modules}
sys.exit(f"loaded {sorted(loaded & {'pulumi', 'azure', 'requests', 'pydantic'})}, code {code}")
"""


@pytest.mark.parametrize("words", [["--help"], ["rollout", "--help"], ["recover", "--help"], ["rollout"], ["nope"]])
def test_help_and_usage_errors_load_no_heavy_library(words: list[str]) -> None:
    assert "loaded [], code" in run(*words, code=LOADED).stderr


def test_a_report_needs_neither_pulumi_nor_azure(tmp_path: Path) -> None:
    done = run("report", str(_preview(tmp_path, "one", "dev")), code=LOADED)
    assert "loaded [], code 0" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "No such command 'nope'; see `azureml-scoring --help`"),
        (["rollout"], "Missing argument 'STACK...'; see `azureml-scoring rollout --help`"),
        (["report", "--limit", "12"], "a number of at least 1000; see `azureml-scoring report --help`"),
        (["recover", "--nope"], "No such option"),
        (["comment", "--to", "gitlab", "report.md"], "'gitlab' is not one of 'github', 'azure-devops'"),
        (["rollback", "one", "two"], "Got unexpected extra argument (two)"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words: list[str], said: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_interrupted_command_is_one_line_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(_path: Path) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "read_bytes", interrupted)
    assert main(["report", str(tmp_path / "dev.json")]) == 130
    assert capsys.readouterr().err.strip() == "error: interrupted"


def test_shells_complete_commands_and_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"):
        (tmp_path / name).write_text("")

    def completed(words: str, at: int) -> list[str]:
        variables = {"COMP_WORDS": f"azureml-scoring {words}", "COMP_CWORD": str(at)}
        done = run(_AZUREML_SCORING_COMPLETE="bash_complete", **variables)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("ro", 1) == ["rollback", "rollout"]
    assert completed("rollout ", 2) == ["dev", "prod"]
    assert completed("rollout dev p", 3) == ["prod"]
    assert completed("rollout --from d", 3) == ["dev"]


def test_recover_asks_nobody_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: p\n")
    asked: list[object] = []

    def recovers(_stack: object, confirm: Callable[[object], bool], **_options: object) -> bool:
        asked.append(confirm)
        return confirm(None)

    monkeypatch.setattr("azureml_scoring.delivery.recover.recover", recovers)
    assert main(["recover", "dev"]) == 2
    assert "no terminal to ask on: add --yes, or --dry-run" in capsys.readouterr().err
    assert (main(["recover", "dev", "--yes"]), main(["recover", "dev", "--dry-run"])) == (0, 0)
    assert len(asked) == 3
