import os
import socket
from pathlib import Path

import pytest

from tools import debian, engine, registry
from tools.shell import ToolError


@pytest.mark.parametrize(
    ("shown", "own"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", True),
        ("Docker version 28.2.2, build e6534b4", False),
        ("nothing of the kind", False),
    ],
)
def test_old_clients_bring_buildkit_themselves(shown: str, own: bool) -> None:  # noqa: FBT001 - a parameter
    assert engine.builds_without_plugin(shown) is own


def test_reason_is_the_last_failure_in_the_log() -> None:
    log = 'level=error msg=first\nlevel=fatal msg="failed to   load iptables"\nlevel=info msg=bye\n'
    assert engine.reason(log) == 'level=fatal msg="failed to load iptables"'
    assert engine.reason("") == "no output"


def test_pid_file_of_a_process_with_another_name_counts_as_stale(tmp_path: Path) -> None:
    file = tmp_path / "docker.pid"
    file.write_text(f"{os.getpid()}\n")
    assert not engine._alive(file, "dockerd")
    name = Path("/proc/self/comm").read_text().strip()
    assert engine._alive(file, name)


@pytest.mark.parametrize("text", ["", "nonsense", "4194304999"])
def test_unreadable_pid_file_counts_as_stale(tmp_path: Path, text: str) -> None:
    file = tmp_path / "docker.pid"
    file.write_text(text)
    assert not engine._alive(file, "dockerd")


def test_leftovers_of_a_killed_engine_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid, containerd, stale = tmp_path / "docker.pid", tmp_path / "containerd", tmp_path / "containerd.sock"
    containerd.mkdir()
    (containerd / "containerd.pid").write_text(str(os.getpid()))
    pid.write_text(str(os.getpid()))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    monkeypatch.setattr(engine, "_PID", pid)
    monkeypatch.setattr(engine, "_CONTAINERD", containerd)
    monkeypatch.setattr(engine, "_SYSTEM_CONTAINERD", stale)
    engine._clear()
    assert not pid.exists()
    assert not (containerd / "containerd.pid").exists()
    assert not stale.exists()


def test_service_that_listens_keeps_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "containerd.sock"
    monkeypatch.setattr(engine, "_PID", tmp_path / "none")
    monkeypatch.setattr(engine, "_CONTAINERD", tmp_path)
    monkeypatch.setattr(engine, "_SYSTEM_CONTAINERD", place)
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(place))
        service.listen()
        engine._clear()
        assert place.exists()


def test_docker_host_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(ToolError, match=r"^DOCKER_HOST=unix:///nowhere\.sock: .*; start it, or unset DOCKER_HOST$"):
        engine._provide()


def test_where_nothing_may_be_installed_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(debian, "can_install", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolError, match=r"^no Docker engine answers; start Docker [^\n]*$"):
        engine._provide()


def test_only_distribution_counts_as_registry_program() -> None:
    assert registry.is_distribution("docker-registry github.com/docker/distribution 2.8.2+ds1")
    assert registry.is_distribution("./registry github.com/distribution/distribution/v3 v3.0.0")
    assert not registry.is_distribution("usage: registry [--hive HKLM]")
