import re
from pathlib import Path

import pytest

from tests.samples import is_printed
from tools import __main__ as tools
from tools import azure, debian
from tools.shell import ToolError


def test_counts_of_an_unchanged_run_read_as_zeros() -> None:
    assert tools.counts({"writes": {}, "builds": 0, "uploads": 0}) == "0 provider writes, 0 builds, 0 uploads"


def test_a_provider_that_cannot_be_had_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho $* >&2\necho error: no such host >&2\nexit 1\n")
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setattr(azure, "environment", dict)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ToolError) as failure:
        tools._install_providers()
    assert re.fullmatch(
        r"PROVIDERS=official: azure-native [\d.]+ cannot be had: error: no such host \(exit status 1\);"
        r" leave PROVIDERS out for the local Azure's own",
        str(failure.value),
    )


@pytest.mark.parametrize("words", [("up", "--yes"), ("preview",), ("destroy",)])
def test_a_run_whose_output_is_a_file_has_no_line_of_dots(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho $*\n")
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setattr(azure, "environment", dict)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tools._pulumi(*words, quiet=True).split()[len(words) :] == [
        "--non-interactive",
        "--color=never",
        "--suppress-progress",
    ]


def test_writes_of_all_types_are_summed() -> None:
    told = tools.counts({"writes": {"a": 2, "b": 3}, "builds": 1, "uploads": 4})
    assert told == "5 provider writes, 1 builds, 4 uploads"


def test_table_names_resources_but_neither_stack_nor_providers_nor_components() -> None:
    resources = [
        {"type": "pulumi:pulumi:Stack", "urn": "urn:x::stack"},
        {"type": "pulumi:providers:azure-native", "custom": True, "id": "1", "urn": "urn:x::default"},
        {"type": "azureml-scoring:index:ScoringStack", "urn": "urn:x::scoring"},
        {
            "type": "azure-native:containerregistry:Registry",
            "custom": True,
            "id": "/subscriptions/s/providers/Microsoft.ContainerRegistry/registries/mine",
            "urn": "urn:x::r",
        },
        {"type": "azuread:index/application:Application", "custom": True, "id": "/applications/1", "urn": "urn:x::a"},
        {"type": "azureml-scoring:index:ImageBuild", "custom": True, "id": "", "urn": "urn:x::image-build"},
    ]
    assert tools.existing({"resources": resources}) == [
        ("containerregistry.Registry", "mine"),
        ("azuread.Application", "1"),
        ("azureml-scoring.ImageBuild", "image-build"),
    ]


def test_each_deployment_is_a_row_with_its_state_traffic_and_counts() -> None:
    blue = {
        "endpoint": "score",
        "deployment": "blue",
        "kind": "Kubernetes",
        "state": "Succeeded",
        "traffic": 0,
        "mirror": 10,
        "instances": 3,
        "ready": 2,
        "requests": 7,
        "failures": 1,
    }
    assert tools.served([]) == []
    assert tools.served([blue])[1] == (
        "score/blue",
        "kubernetes",
        "Succeeded",
        "0 %, mirrors 10 %",
        "3 (2 here)",
        "7 (1 failed)",
    )


def test_the_docs_show_a_deployment_as_state_prints_it() -> None:
    name = {"endpoint": "azureml-scoring-local-95fd4b", "deployment": "blue", "kind": "Managed", "state": "Succeeded"}
    counts = {"traffic": 100, "mirror": 0, "instances": 1, "ready": 1, "requests": 1, "failures": 0}
    assert is_printed("state.txt", tools.table(tools.served([{**name, **counts}])))


def test_table_is_aligned() -> None:
    assert tools.table([("A", "B"), ("long", "x")]) == "  A     B\n  long  x"


def test_unknown_command_is_refused_with_the_ones_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tools.main(["uup"])
    assert ended.value.code == 2
    assert "'uup'" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(tools.COMMANDS))
def test_every_command_has_a_help_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tools.main([command, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 2


def test_error_is_one_line_and_an_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(azure, "ready", no_azure)
    assert tools.main(["env"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"error: no local Azure on {tmp_path.anchor}\n"


@pytest.mark.parametrize(("words", "place"), [(["env"], "''"), (["env", "--inside"], "'inside'")])
def test_a_shell_is_inside_the_networks_where_it_asks_for_it(
    words: list[str], place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(azure, "environment", lambda: {"A": "b"})
    assert tools.main(words) == 0
    assert capsys.readouterr().out == f"export A='b'\nexport LOCAL_AZURE_ADDRESS={place}\n"


def test_run_without_a_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["run"]) == 1
    assert capsys.readouterr().err.startswith("error: run: no command; give one")


def test_mirror_is_the_machine_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "http://security/ bookworm-security main\nhttp://near/debian/ bookworm main\n"
    monkeypatch.setattr(debian, "run", lambda *_, **__: listed)
    assert debian.mirror("bookworm") == "http://near/debian/"
    assert debian.mirror("trixie") == "http://deb.debian.org/debian"


def no_azure(*_: object) -> None:
    raise ToolError("no local Azure on /")
