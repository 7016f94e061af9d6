"""`python -m tools`: what the Makefile calls. Owns the order of the steps and what the user sees of them."""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from typing import Any

from tools import azure, base_image, engine, registry, toolchain
from tools import browser as chromium
from tools.shell import ToolError, last_line, one_line, progress, say
from tools.shell import run as run_quietly

STACK = "local"
_LOCAL = azure.ROOT / ".local"
_REQUEST = azure.ROOT / "examples" / "sklearn" / "request.json"
_LABEL = f"azureml-scoring.state={azure.STATE}"
_LOG_LINES = 100
_ADDRESS = "LOCAL_AZURE_ADDRESS"
"""From where the local Azure takes a shell's commands to come."""
_SCORE_SECONDS = 60
_RECOVERY_SECONDS = 120.0
_NOTHING = "nothing"
# After an engine or the local Azure was ended by force, containers are started anew: their endpoint is back in a while.
_PASSING = ("502", "503", "504", _NOTHING)


def ready() -> None:
    """Set the machine up: Pulumi, a Docker engine, a base image, a registry program."""
    # Building Pulumi takes minutes of processor time, installing Docker waits for the network: side by side.
    with ThreadPoolExecutor() as pool:
        steps: list[Future[Any]] = [pool.submit(toolchain.ensure), pool.submit(_ready_engine)]
    for step in steps:
        step.result()


def start() -> None:
    """Set the machine up and start the local Azure."""
    ready()
    azure.start()


def up() -> None:
    """Take the local stack up, show what exists, and ask the endpoint a question."""
    start()
    _select()
    if azure.official_providers():
        _install_providers()
    azure.tell(azure.STATE, "reset-stats")
    _pulumi("up", "--yes", "--skip-preview", "--stack", STACK)
    outputs = _outputs()
    _show(outputs)
    _ask(outputs)
    print(f"\nThis run: {counts(json.loads(azure.tell(azure.STATE, 'stats')))}.")
    page()


def preview() -> None:
    """Show what an up would change on the local stack."""
    start()
    _select()
    _pulumi("preview", "--diff", "--stack", STACK)


def down(*, force: bool = False) -> None:
    """Take the local stack and the local Azure away; nothing stays."""
    if _LOCAL.exists():
        if (_LOCAL / "state").exists() and azure.STATE.exists():
            _destroy(force=force)
        azure.stop()
    # Without an engine there is nothing to remove; none is installed for it.
    if engine.answers():
        engine.remove_leftovers(_LABEL)
    shutil.rmtree(_LOCAL, ignore_errors=True)
    print("Nothing is left: no resource, no container, no volume, no process, no state.")


def env(*, inside: bool = False) -> None:
    """Print the environment for a shell: eval "$(make -s env)"."""
    print(azure.exports({**azure.environment(), _ADDRESS: "inside" if inside else ""}))


def page() -> None:
    """Print a link that opens the page of the local Azure, once."""
    print(invitation(azure.tell(azure.STATE, "page", "--example", str(_REQUEST))))


def logs(name: str | None = None) -> None:
    """Print the log of a build (by run id) or of a deployment (by name); without a name the local Azure's own."""
    if name is not None:
        print(azure.tell(azure.STATE, "logs", name), end="")
        return
    told = False
    for file in (azure.STATE / "azure.log", azure.STATE / "emulator.log"):
        if file.exists():
            told = True
            print(f"== {file}")
            print("\n".join(file.read_text(errors="replace").splitlines()[-_LOG_LINES:]))
    if not told:
        raise ToolError(f"{azure.STATE} has no log; start the local Azure with `make up`")


def state() -> None:
    """Tell what of the local stack runs."""
    if not azure.running():
        print("The local Azure does not run; `make up` starts it.")
        return
    told = azure.ready()
    print(f"The local Azure runs: https://{told['environment']['ARM_METADATA_HOSTNAME']}, process {told['pid']}.")
    _select()
    _show(_outputs())
    rows = served(json.loads(azure.tell(azure.STATE, "deployments")))
    if rows:
        print()
        print(table(rows))


def browser() -> None:
    """Set up the browser that tests of the page use."""
    chromium.ensure()


def language(name: str) -> None:
    """Print the folder of the language host of nodejs or yaml, for PATH; where there is none, it is built first."""
    print(toolchain.language(name))


def builder() -> None:
    """Print the folder of pulumi-docker-build and of BuildKit, for PATH; where there is none, they are built first."""
    print(toolchain.builder())


def run(command: Sequence[str]) -> None:
    """Run a command with the project's programs on PATH."""
    if not command:
        raise ToolError("run: no command; give one, as in `python -m tools run pytest`")
    os.environ.update(azure.machine())
    program = shutil.which(command[0])
    if program is None:
        raise ToolError(f"run: {command[0]} is not on PATH; install it")
    os.execv(program, list(command))  # noqa: S606 - the user's own command


COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__: command
    for command in (ready, start, up, preview, down, env, page, logs, state, browser, language, builder, run)
}


def invitation(link: str) -> str:
    """The line that ends `make up`."""
    return f"Look at it: {link.strip()}"


def counts(stats: Mapping[str, Any]) -> str:
    """The counts of a run in words."""
    writes = sum(stats["writes"].values())
    return f"{writes} provider writes, {stats['builds']} builds, {stats['uploads']} uploads"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def served(deployments: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Rows that tell how each deployment of an endpoint fares; none without deployments."""
    rows = [
        (
            f"{each['endpoint']}/{each['deployment']}",
            str(each["kind"]).lower(),
            str(each["state"]),
            f"{each['traffic']} %" + (f", mirrors {each['mirror']} %" if each["mirror"] else ""),
            f"{each['instances']} ({each['ready']} here)",
            f"{each['requests']} ({each['failures']} failed)",
        )
        for each in deployments
    ]
    head = ("DEPLOYMENT", "KIND", "STATE", "TRAFFIC", "INSTANCES", "REQUESTS")
    return [head, *rows] if rows else []


def existing(deployment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Type and physical name of everything a stack's state holds, without what only groups or configures."""
    rows: list[tuple[str, str]] = []
    for resource in deployment.get("resources", []):
        type_, id_ = str(resource["type"]), str(resource.get("id", ""))
        if not resource.get("custom") or type_.startswith("pulumi:"):
            continue
        module, _, kind = type_.rpartition(":")
        package, _, part = module.partition(":")
        part = part.split("/")[0]
        short = f"{package}.{kind}" if part in {"", "index"} else f"{part}.{kind}"
        rows.append((short, id_.rstrip("/").rpartition("/")[2] or resource["urn"].rpartition("::")[2]))
    return rows


def _ready_engine() -> None:
    try:
        registry.ensure()
        engine.ensure()
        base_image.ensure()
    except ToolError as error:
        # Told at once: a build that goes on beside this takes minutes more before the run ends.
        say(f"{error} (ends when what runs beside it has ended)")
        raise


def _destroy(*, force: bool) -> None:
    try:
        start()
        _select()
        _pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    except ToolError as error:
        if not force:
            raise ToolError(f"{error}; or remove the local Azure with all it holds: make down ARGS=--force") from error
        say(f"{error}; removing the local Azure with all it holds")


def _select() -> None:
    _pulumi("stack", "select", "--create", STACK, quiet=True)


def _install_providers() -> None:
    """Have Pulumi install its own builds of the providers, in the versions of the SDKs."""
    for name in ("azure-native", "azuread", "docker"):
        version = metadata.version(f"pulumi-{name}")
        with progress(f"Installing the official provider {name} {version}"):
            run_quietly(
                ["pulumi", "plugin", "install", "resource", name, version],
                what=f"PROVIDERS=official: {name} {version} cannot be had",
                remedy="leave PROVIDERS out for the local Azure's own",
                environment=azure.environment(),
            )


def _pulumi(*words: str, quiet: bool = False) -> str:
    command = ["pulumi", *words]
    if not sys.stdout.isatty():
        command += ["--non-interactive", "--color=never"]
        # Dots that a terminal draws over each other are a line each in a file; progress itself is told still.
        command += ["--suppress-progress"] if words[0] in {"up", "destroy", "preview"} else []
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run(
        command,
        cwd=azure.ROOT,
        env={**os.environ, **azure.environment()},
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        check=False,
    )
    if done.returncode:
        told = f": {last_line(done.stderr)}" if quiet and done.stderr.strip() else ""
        raise ToolError(f"pulumi {words[0]} did not succeed{told}; mend what it names and try again")
    return done.stdout or ""


def _outputs() -> dict[str, Any]:
    told = _pulumi("stack", "output", "--json", "--show-secrets", "--stack", STACK, quiet=True)
    found: dict[str, Any] = json.loads(told)
    return found


def _show(outputs: Mapping[str, Any]) -> None:
    exported = json.loads(_pulumi("stack", "export", "--stack", STACK, quiet=True))
    rows = existing(exported.get("deployment") or {})
    print()
    print(table([("WHAT", "NAME"), *rows]) if rows else "  nothing exists")
    shown = [(name, _cell(value)) for name, value in outputs.items() if not _secret(name)]
    if shown:
        print()
        print(table([("OUTPUT", "VALUE"), *shown]))


def _secret(name: str) -> bool:
    return any(word in name.lower() for word in ("key", "password", "secret", "token"))


def _cell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _ask(outputs: Mapping[str, Any]) -> None:
    address, key = outputs.get("scoringUri"), outputs.get("endpointKey")
    if not isinstance(address, str) or not isinstance(key, str):
        say("the stack tells no scoringUri and endpointKey: no sample request is sent")
        return
    request = urllib.request.Request(  # noqa: S310 - the address is the stack's own
        address,
        data=_REQUEST.read_bytes(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    answer, problem = _reply(request)
    if problem in _PASSING:
        with progress(f"The endpoint does not answer yet ({problem}); waiting for it"):
            end = time.monotonic() + _RECOVERY_SECONDS
            while problem in _PASSING and time.monotonic() < end:
                time.sleep(1)
                answer, problem = _reply(request)
    if problem:
        raise ToolError(f"{address} answers {problem}: {answer}; see `make logs ARGS=DEPLOYMENT`")
    print(f"\nScoring URL: {address}")
    print(f"POST {_REQUEST.relative_to(azure.ROOT)}")
    print(f"  reply: {answer.strip()}")


def _reply(request: urllib.request.Request) -> tuple[str, str]:
    """What the endpoint answers, and why that is no reply (empty where it is one)."""
    # The endpoint is on this machine: a proxy cannot reach it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SCORE_SECONDS) as reply:
            return reply.read().decode(), ""
    except urllib.error.HTTPError as error:
        return one_line(error.read().decode(errors="replace"))[:300], str(error.code)
    except OSError as error:
        return one_line(str(error))[:300], _NOTHING


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools", description="The local Azure and its stack.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        if name == "logs":
            added.add_argument("name", nargs="?", help="a build's run id or a deployment's name")
        elif name == "language":
            added.add_argument("name", choices=sorted(toolchain.LANGUAGES), help="what a program is written in")
        elif name == "down":
            added.add_argument(
                "--force", action="store_true", help="remove everything even if Pulumi cannot destroy it"
            )
        elif name == "env":
            added.add_argument("--inside", action="store_true", help="of a client inside the virtual networks")
        elif name == "run":
            added.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; an error is one line."""
    given = _parser().parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # In a pipe, results and messages shall come in the order in which they were told.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        match given.command:
            case "logs":
                logs(given.name)
            case "language":
                language(given.name)
            case "down":
                down(force=given.force)
            case "env":
                env(inside=given.inside)
            case "run":
                run(given.words)
            case name:
                COMMANDS[name]()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("stopped; running it again goes on")
        return 130
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
