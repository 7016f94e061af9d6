import json
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import PATIENCE, ROOT, Cloud, local_azure


def _emulator(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_restart_keeps_ports_identities_and_resources(tmp_path: Path) -> None:
    with local_azure(tmp_path / "azure") as before:
        before.put("resourceGroups/kept", {"location": "westeurope"})
        first = before.environment
    assert not (tmp_path / "azure" / "ready.json").exists()
    with local_azure(tmp_path / "azure") as after:
        assert after.environment == first
        assert after.ask("GET", "resourceGroups/kept").status_code == 200


def test_the_deployers_secret_stands_in_ready_json_only(tmp_path: Path) -> None:
    folder = tmp_path / "azure"
    with local_azure(folder) as cloud:
        cloud.token()
        secret = cloud.environment["ARM_CLIENT_SECRET"].encode()
        holding = [file.name for file in folder.rglob("*") if file.is_file() and secret in file.read_bytes()]
        assert holding == ["ready.json"]
        for name in ("ready.json", "ca.key", "server.key", "seal.key"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_the_pages_link_opens_it_once_and_only_with_it(azure: Cloud) -> None:
    link = urlsplit(azure.tell("page").strip())
    assert link.hostname == "127.0.0.1"
    address = f"{link.scheme}://{link.netloc}"
    with httpx.Client(trust_env=False) as browser, httpx.Client(trust_env=False) as other:
        assert browser.get(link.geturl()).status_code == 200
        assert "nodes" in browser.get(f"{address}/data/overview").json()
        assert other.get(link.geturl()).status_code == 401
        assert other.get(f"{address}/data/overview").status_code == 401


def test_an_example_that_cannot_be_read_is_told_in_one_line(azure: Cloud, tmp_path: Path) -> None:
    done = _emulator("page", "--state", str(azure.folder), "--example", str(tmp_path / "nothing.json"))
    assert done.returncode == 2
    assert done.stderr == f"error: --example {tmp_path}/nothing.json: No such file or directory\n"


def test_the_bundle_trusts_the_public_authorities_too(azure: Cloud) -> None:
    bundle = Path(azure.environment["REQUESTS_CA_BUNDLE"]).read_text()
    assert bundle.count("BEGIN CERTIFICATE") > 50
    assert bundle.endswith((azure.folder / "ca.pem").read_text())


def test_a_port_in_use_is_told_in_one_line_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = _emulator("serve", "--state", str(tmp_path / "azure"), "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: port {port} (https) is in use: end what listens there, or choose another port (--port)\n"
    )


def test_a_scoring_port_in_use_is_told_likewise(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = _emulator("serve", "--state", str(tmp_path / "azure"), "--port=0", f"--scoring-port={port}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: port {port} (scoring) is in use: ")
    assert done.stderr.endswith("(--scoring-port)\n")


def test_a_second_process_on_one_folder_is_refused(azure: Cloud) -> None:
    done = _emulator("serve", "--state", str(azure.folder), "--port", "0")
    assert done.returncode == 2
    assert "already serves" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_stop_ends_the_process_and_says_so_when_there_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "azure"
    with local_azure(folder) as cloud:
        pid = json.loads((folder / "ready.json").read_text())["pid"]
        assert cloud.tell("stop") == ""
        assert not (folder / "ready.json").exists()
    assert pid
    done = _emulator("stop", "--state", str(folder))
    assert (done.returncode, done.stdout) == (0, f"no local Azure serves {folder}\n")


def test_a_killed_process_leaves_a_folder_that_serves_again(tmp_path: Path) -> None:
    folder = tmp_path / "azure"
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, "-m", "emulator", "serve", "--state", str(folder), "--port=0", "--scoring-port=0"]
    with log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as running:
        deadline = time.monotonic() + PATIENCE
        while not (folder / "ready.json").exists():
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first = json.loads((folder / "ready.json").read_text())["environment"]
        running.send_signal(signal.SIGKILL)
    with local_azure(folder) as cloud:
        assert cloud.environment == first


def test_only_this_machine_is_listened_to(azure: Cloud) -> None:
    port = int(azure.environment["ARM_METADATA_HOSTNAME"].rpartition(":")[2])
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = {fields[1] for fields in listening if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port}
    assert local == {f"0100007F:{port:04X}"}


def test_writes_are_counted_and_the_count_can_be_reset(tmp_path: Path) -> None:
    with local_azure(tmp_path / "azure") as cloud:
        assert json.loads(cloud.tell("stats")) == {"writes": {}, "builds": 0, "uploads": 0}
        cloud.put("resourceGroups/counted", {"location": "westeurope"})
        assert json.loads(cloud.tell("stats"))["writes"] == {"Microsoft.Resources/resourceGroups": 1}
        cloud.tell("reset-stats")
        assert json.loads(cloud.tell("stats"))["writes"] == {}


def test_faults_are_set_listed_and_ended(tmp_path: Path) -> None:
    with local_azure(tmp_path / "azure") as cloud:
        cloud.tell("fault", "principal-replication", "2.5")
        cloud.tell("fault", "build", "fails here")
        assert json.loads(cloud.tell("fault")) == {"principal-replication": 2.5, "build": "fails here"}
        cloud.tell("fault", "build")
        assert json.loads(cloud.tell("fault")) == {"principal-replication": 2.5}


def test_control_needs_the_deployers_secret(azure: Cloud) -> None:
    assert azure.http.get("/_local/stats").status_code == 401
    assert azure.http.get("/_local/stats", headers={"Authorization": "Bearer x"}).status_code == 403


def test_a_log_that_does_not_exist_is_told_in_one_line(azure: Cloud) -> None:
    done = _emulator("logs", "--state", str(azure.folder), "ca99")
    assert (done.returncode, done.stderr) == (2, "error: no run or deployment 'ca99' has a log here\n")


@pytest.mark.parametrize("words", [(), ("serve",), ("stop",), ("logs",), ("fault",)])
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    done = _emulator(*words, "--help")
    assert done.returncode == 0
    assert "usage: python -m emulator" in done.stdout


@pytest.mark.parametrize("port", ["http", "65536", "-1"])
def test_a_wrong_port_is_refused_by_name(tmp_path: Path, port: str) -> None:
    done = _emulator("serve", "--state", str(tmp_path), f"--port={port}")
    assert done.returncode == 2
    assert f"--port: '{port}' is no port" in done.stderr
