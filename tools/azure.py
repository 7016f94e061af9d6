"""The local Azure as a background process, and the environment by which Pulumi and Azure's clients reach it."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools import engine, registry, toolchain
from tools.shell import ToolError, say

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".local" / "azure"
_PATIENCE = 180.0


def search_path() -> str:
    """PATH with the project's Python, Pulumi, the registry, and a docker command that can build in front."""
    folders = [Path(sys.prefix) / "bin", toolchain.ensure(), registry.ensure(), engine.builder()]
    return os.pathsep.join([*dict.fromkeys(str(folder) for folder in folders if folder), os.environ.get("PATH", "")])


def machine() -> dict[str, str]:
    """The variables that depend on the machine alone."""
    return {"PATH": search_path()}


def environment(project: Path = ROOT, state: Path = STATE) -> dict[str, str]:
    """All that Pulumi needs in `project` to meet the local Azure of `state`, apart from the user's own set-up."""
    home = project / ".local" / "pulumi"
    backend = project / ".local" / "state"
    home.mkdir(parents=True, exist_ok=True)
    backend.mkdir(parents=True, exist_ok=True)
    told: dict[str, str] = ready(state)["environment"]
    return {
        **machine(),
        "PULUMI_HOME": str(home),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "local",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PYTHONWARNINGS": "ignore",
        **told,
    }


def exports(variables: dict[str, str]) -> str:
    """Lines for a shell's `eval`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def ready(state: Path = STATE) -> dict[str, Any]:
    """What a running local Azure says of itself (one line where none runs)."""
    file = state / "ready.json"
    if not running(state):
        raise ToolError("the local Azure does not run: start it with `make up` or `python -m tools start`")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def running(state: Path = STATE) -> bool:
    """Whether the process that wrote ready.json lives."""
    file = state / "ready.json"
    if not file.exists():
        return False
    pid = int(json.loads(file.read_text())["pid"])
    command = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        return command.exists() and b"emulator" in command.read_bytes()
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def start(state: Path = STATE) -> None:
    """Start the local Azure where it does not run, and wait until it serves."""
    if running(state):
        return
    say("starting the local Azure")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    (state / "ready.json").unlink(missing_ok=True)
    log = state / "azure.log"
    at = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "serve", "--state", str(state)],
            cwd=ROOT,
            env={**os.environ, **machine()},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    end = time.monotonic() + _PATIENCE
    while not running(state):
        if process.poll() is not None or time.monotonic() > end:
            lines = [line for line in log.read_bytes()[at:].decode(errors="replace").splitlines() if line.strip()]
            raise ToolError(f"{lines[-1] if lines else 'the local Azure did not start'} (its log: {log})")
        time.sleep(0.2)


def stop(state: Path = STATE) -> None:
    """Stop the local Azure where it runs, and wait until it has."""
    if running(state):
        tell(state, "stop")
    end = time.monotonic() + _PATIENCE
    while running(state):
        if time.monotonic() > end:
            raise ToolError(
                f"the local Azure does not stop: end process {json.loads((state / 'ready.json').read_text())['pid']}"
            )
        time.sleep(0.2)


def tell(state: Path, *words: str) -> str:
    """Run `python -m emulator WORDS` on a local Azure; its output."""
    verb, *rest = words
    command = [sys.executable, "-m", "emulator", verb, "--state", str(state), *rest]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise ToolError((done.stderr or done.stdout).strip().splitlines()[-1])
    return done.stdout
