import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools import azure
from tools.shell import ToolError


def test_a_project_builds_by_docker_build_where_a_stack_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("# builder: docker-build")
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  scoring:image:\n    builder: docker\n")
    assert not azure.builds_itself(tmp_path)
    (tmp_path / "Pulumi.local.yaml").write_text("config:\n  scoring:image:\n    builder: docker-build\n")
    assert azure.builds_itself(tmp_path)


def test_own_programs_come_first_on_path_and_each_folder_once() -> None:
    assert azure.path_of([Path("/a"), Path("/b")], "/c::/b:/d") == "/a:/b:/c:/d"


def test_pulumi_keeps_home_and_state_inside_the_project() -> None:
    variables = azure.local_pulumi(Path("/project"))
    assert variables["PULUMI_HOME"] == "/project/.local/pulumi"
    assert variables["PULUMI_BACKEND_URL"] == "file:///project/.local/state"


def test_environment_holds_what_a_running_local_azure_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "azure"
    monkeypatch.setattr(azure, "machine", lambda: {"PATH": "/programs"})
    with pretended(state, {"ARM_TENANT_ID": "tenant"}):
        found = azure.environment(tmp_path / "project", state)
    assert found["ARM_TENANT_ID"] == "tenant"
    assert found["PATH"] == "/programs"
    assert (tmp_path / "project" / ".local" / "state").is_dir()


def test_official_providers_take_the_place_of_the_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure, "machine", lambda: {"PATH": "/programs"})
    monkeypatch.setenv("PROVIDERS", "official")
    with pretended(tmp_path / "azure", {"ARM_TENANT_ID": "tenant", "PULUMI_DEBUG_PROVIDERS": "azure-native:1"}):
        found = azure.environment(tmp_path / "project", tmp_path / "azure")
    assert found["ARM_TENANT_ID"] == "tenant"
    assert found["PULUMI_DEBUG_PROVIDERS"] == ""
    assert found["ARM_DISABLE_INSTANCE_DISCOVERY"] == "true"
    monkeypatch.setenv("PROVIDERS", "some")
    with pytest.raises(ToolError, match=r"^PROVIDERS=some: write official, or leave it out"):
        azure.official_providers()


def test_exports_survive_a_shell(tmp_path: Path) -> None:
    odd = "a 'quoted' $value; with `all` that \"hurts\""
    script = azure.exports({"ODD": odd, "PLAIN": "x", "EMPTY": ""})
    shown = f'{script}\nprintf "%s|%s|%s" "$ODD" "$PLAIN" "$EMPTY"'
    done = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == f"{odd}|x|"
    assert "export PLAIN='x'" in script


def test_ready_file_of_a_dead_process_does_not_count(tmp_path: Path) -> None:
    with pretended(tmp_path, {}):
        assert azure.running(tmp_path)
    assert not azure.running(tmp_path)
    with pytest.raises(ToolError, match=r"^no local Azure runs on .*: start it with `make up`$"):
        azure.ready(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"pid": "many"}', '{"pid": 1}'])
def test_half_written_ready_file_does_not_count(tmp_path: Path, text: str) -> None:
    (tmp_path / "ready.json").write_text(text)
    assert not azure.running(tmp_path)


def test_stop_without_a_running_one_does_nothing(tmp_path: Path) -> None:
    azure.stop(tmp_path)


def test_chosen_ports_are_handed_on() -> None:
    assert azure.port_options({"AZURE_PORT": "9001", "SCORING_PORT": "0"}) == ["--port", "9001", "--scoring-port", "0"]
    assert azure.port_options({"AZURE_PORT": ""}) == []


@pytest.mark.parametrize("value", ["no", "-1", "65536", "80.5"])
def test_what_is_no_port_is_named(value: str) -> None:
    with pytest.raises(ToolError, match=f"^SCORING_PORT={value}: not a port; give a number from 0 "):
        azure.port_options({"SCORING_PORT": value})


def test_taken_port_is_told_with_the_variable_that_chooses_another() -> None:
    log = "starting\nerror: port 8890 (scoring) is in use: choose another port (--scoring-port)\n"
    assert azure.start_problem(log) == (
        "the local Azure did not start: "
        "port 8890 (scoring) is in use: choose another port (make up SCORING_PORT=NUMBER)"
    )


class pretended:  # noqa: N801 - reads as a statement
    """A process that looks like a local Azure, with its ready.json."""

    def __init__(self, state: Path, environment: dict[str, str]) -> None:
        state.mkdir(parents=True, exist_ok=True)
        code = "import sys; print('up', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", code, "emulator"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        # Only a process that has said something surely shows its own command line by now.
        assert self.process.stdout is not None
        assert self.process.stdout.readline()
        text = json.dumps({"pid": self.process.pid, "environment": environment})
        (state / "ready.json").write_text(text)

    def __enter__(self) -> None:
        """Nothing more."""

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
