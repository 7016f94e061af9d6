"""The local Azure as a background process, and the environment by which Pulumi and Azure's clients reach it.

Owns starting and stopping the process and composing that environment. What the local Azure does is its own business.
"""

import contextlib
import functools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools import engine, registry, toolchain
from tools.shell import ToolError, bin_folder, cache, last_line, link, progress, which

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".local" / "azure"
PORTS = {"AZURE_PORT": "--port", "SCORING_PORT": "--scoring-port"}
"""Variables by which a user chooses other ports, and the local Azure's options for them."""

_PATIENCE = 240.0
_PULUMI = {
    "PULUMI_CONFIG_PASSPHRASE": "local",
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # The local Azure attaches its own providers: a download would only ever be a mistake.
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PYTHONWARNINGS": "ignore",
}


_OFFICIAL = {
    "PULUMI_DEBUG_PROVIDERS": "",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "false",
    # Only Microsoft's own authorities are known to Entra's discovery of instances.
    # https://www.pulumi.com/registry/packages/azure-native/installation-configuration/
    "ARM_DISABLE_INSTANCE_DISCOVERY": "true",
}
"""How Pulumi's own builds of azure-native, azuread and docker meet the local Azure instead of its fakes."""


def official_providers() -> bool:
    """Whether the user chose the official providers (PROVIDERS=official)."""
    chosen = os.environ.get("PROVIDERS", "")
    if chosen not in {"", "official"}:
        raise ToolError(f"PROVIDERS={chosen}: write official, or leave it out for those of the local Azure")
    return bool(chosen)


def path_of(folders: list[Path], path: str) -> str:
    """PATH with some folders in front, each once."""
    named = [*map(str, folders), *(folder for folder in path.split(os.pathsep) if folder)]
    return os.pathsep.join(dict.fromkeys(named))


@functools.cache
def machine() -> dict[str, str]:
    """The variables of the machine alone: PATH with our Python, Pulumi and programs in front, and kept bytecode."""
    folders = [Path(sys.prefix) / "bin", toolchain.ensure(), registry.ensure()]
    engine.builder()
    own_uv = cache() / "uv" / "bin" / "uv"
    if which("uv") is None and own_uv.exists():
        link("uv", own_uv)
    return {
        # Services often run without the system's own folders on PATH.
        "PATH": path_of([*folders, bin_folder()], f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"),
        # Empty is unset. Where a machine sets it, each start would compile a thousand modules anew.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def environment(project: Path = ROOT, state: Path = STATE) -> dict[str, str]:
    """All that Pulumi needs in `project` to meet the local Azure of `state`, apart from the user's own set-up."""
    told: dict[str, str] = ready(state)["environment"]
    local = local_pulumi(project)
    _private(project / ".local")
    Path(local["PULUMI_HOME"]).mkdir(parents=True, exist_ok=True)
    Path(local["PULUMI_BACKEND_URL"].removeprefix("file://")).mkdir(parents=True, exist_ok=True)
    variables = {**machine(), **local, **told}
    if official_providers():
        variables |= _OFFICIAL
    if builds_itself(project):
        variables["PATH"] = path_of([toolchain.builder()], variables["PATH"])
    return variables


def _private(folder: Path) -> None:
    """Make a folder that nobody else reads, or make one so."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def builds_itself(project: Path) -> bool:
    """Whether a stack of a project builds by pulumi-docker-build: its provider takes minutes to build."""
    return any("builder: docker-build" in file.read_text() for file in project.glob("Pulumi.*.yaml"))


def local_pulumi(project: Path) -> dict[str, str]:
    """Pulumi's own settings: home and state inside the project, so that the user's stay untouched."""
    folder = project / ".local"
    return {"PULUMI_HOME": str(folder / "pulumi"), "PULUMI_BACKEND_URL": f"file://{folder / 'state'}", **_PULUMI}


def exports(variables: Mapping[str, str]) -> str:
    """Lines for a shell's `eval`."""
    return "\n".join(f"export {name}={quoted(value)}" for name, value in variables.items())


def quoted(value: str) -> str:
    """A value for a shell, quoted whether it needs it or not."""
    text = shlex.quote(value)
    return text if text.startswith("'") else f"'{text}'"


def ready(state: Path = STATE) -> dict[str, Any]:
    """What a running local Azure says of itself (one line where none runs)."""
    found = _told(state)
    if not found or not running(state):
        raise ToolError(f"no local Azure runs on {state}: start it with `make up`")
    return found


def running(state: Path = STATE) -> bool:
    """Whether the process that wrote ready.json lives."""
    pid = _told(state).get("pid")
    return isinstance(pid, int) and _lives(pid)


def start(state: Path = STATE) -> None:
    """Start the local Azure where it does not run, and wait until it serves."""
    if running(state):
        return
    ports = port_options(os.environ)
    _private(state)
    (state / "ready.json").unlink(missing_ok=True)
    log = state / "azure.log"
    at = log.stat().st_size if log.exists() else 0
    with progress("Starting the local Azure"):
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "emulator", "serve", "--state", str(state), *ports],
                cwd=ROOT,
                env={**os.environ, **machine()},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        end = time.monotonic() + _PATIENCE
        while not running(state) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
    if not running(state):
        if process.poll() is None:
            process.terminate()
        raise ToolError(f"{start_problem(log.read_bytes()[at:].decode(errors='replace'))} (log: {log})")


def port_options(variables: Mapping[str, str]) -> list[str]:
    """The local Azure's options for the ports that the user chose."""
    options: list[str] = []
    for name, option in PORTS.items():
        value = variables.get(name, "")
        if not value:
            continue
        most = 65535
        if not value.isdigit() or int(value) > most:
            raise ToolError(f"{name}={value}: not a port; give a number from 0 (any free one) to {most}")
        options += [option, value]
    return options


def start_problem(log: str) -> str:
    """Why the local Azure ended, from what it wrote; its options are told as the variables that set them."""
    told = last_line(log).removeprefix("error: ")
    # The longer option first: the shorter one is a part of it.
    for name, option in sorted(PORTS.items(), key=lambda pair: -len(pair[1])):
        told = told.replace(f"({option})", f"(make up {name}=NUMBER)")
    return f"the local Azure did not start: {told}"


def stop(state: Path = STATE) -> None:
    """Stop the local Azure where it runs, and wait until it has; one that does not answer is ended."""
    pid = _told(state).get("pid")
    if not isinstance(pid, int) or not _lives(pid):
        return
    with progress("Stopping the local Azure"):
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if not _lives(pid):
                break
            if number is None:
                with contextlib.suppress(ToolError):
                    tell(state, "stop")
            else:
                os.kill(pid, number)
            end = time.monotonic() + _PATIENCE / 4
            while _lives(pid) and time.monotonic() < end:
                time.sleep(0.1)
    if _lives(pid):
        raise ToolError(f"the local Azure (process {pid}) cannot be stopped; end it by hand")


def tell(state: Path, verb: str, *words: str) -> str:
    """Run `python -m emulator VERB` on a local Azure; its output."""
    command = [sys.executable, "-m", "emulator", verb, "--state", str(state), *words]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            # It may have to take containers away or start processes: it needs the same programs.
            env={**os.environ, **machine()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"the local Azure does not answer `{verb}` within {_PATIENCE:.0f} s; see `make logs`"
        ) from error
    if done.returncode:
        raise ToolError(last_line(done.stderr or done.stdout).removeprefix("error: "))
    return done.stdout


def _told(state: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((state / "ready.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def _lives(pid: int) -> bool:
    """Whether a process lives and is a local Azure; a killed one that nobody has waited for does not count."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self").exists():
        return True
    try:
        return b"emulator" in (process / "cmdline").read_bytes()
    except OSError:
        return False
