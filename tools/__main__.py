"""`python -m tools`: what the Makefile calls."""

import argparse
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

from tools import azure, base_image, engine, registry, toolchain
from tools.shell import ToolError, say

STACK = "local"
_REQUEST = azure.ROOT / "examples" / "sklearn" / "request.json"
_LABEL = f"azureml-scoring.state={azure.STATE}"


def ready() -> None:
    """Set the machine up: Pulumi, a Docker engine, a base image, a registry."""
    toolchain.ensure()
    registry.ensure()
    engine.ensure()
    base_image.ensure()


def start() -> None:
    """Start the local Azure."""
    ready()
    azure.start()


def up() -> None:
    """Take the local stack up, show what exists, and ask the endpoint a question."""
    start()
    _select()
    azure.tell(azure.STATE, "reset-stats")
    _pulumi("up", "--yes", "--skip-preview", "--stack", STACK)
    outputs = _outputs()
    _table(outputs)
    _ask(outputs)
    print(f"This run: {counts(json.loads(azure.tell(azure.STATE, 'stats')))}.")


def preview() -> None:
    """Show what an up would change on the local stack."""
    start()
    _select()
    _pulumi("preview", "--diff", "--stack", STACK)


def down() -> None:
    """Take the local stack and the local Azure away; nothing stays."""
    engine.ensure()
    if (azure.ROOT / ".local" / "state").exists() and azure.STATE.exists():
        azure.start()
        _select()
        _pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    azure.stop()
    engine.remove_containers(_LABEL)
    shutil.rmtree(azure.ROOT / ".local", ignore_errors=True)
    print("Nothing is left: no resource, no container, no process, no state.")


def env() -> None:
    """Print the environment for a shell: eval "$(make -s env)"."""
    print(azure.exports(azure.environment()))


def logs() -> None:
    """Print what the local stack's deployments log."""
    print(azure.tell(azure.STATE, "logs", *sys.argv[2:]), end="")


def state() -> None:
    """Tell what of the local stack runs."""
    if not azure.running():
        print("The local Azure does not run; `make up` starts it.")
        return
    _table(_outputs())


COMMANDS: dict[str, Callable[[], None]] = {
    command.__name__: command for command in (ready, start, up, preview, down, env, logs, state)
}


def counts(stats: dict[str, Any]) -> str:
    """The counts of a run in words."""
    writes = sum(stats["writes"].values())
    return f"{writes} provider writes, {stats['builds']} image builds, {stats['uploads']} uploads"


def _select() -> None:
    _pulumi("stack", "select", "--create", STACK, quiet=True)


def _pulumi(*words: str, quiet: bool = False) -> str:
    command = ["pulumi", *words]
    variables = {**os.environ, **azure.environment()}
    if not sys.stdout.isatty():
        command += ["--non-interactive", "--color=never"]
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run(
        command,
        cwd=azure.ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        check=False,
    )
    if done.returncode:
        told = f": {done.stderr.strip().splitlines()[-1]}" if quiet and done.stderr.strip() else ""
        raise ToolError(f"pulumi {words[0]} did not succeed{told}: mend what it names and run this again")
    return done.stdout or ""


def _outputs() -> dict[str, Any]:
    told = _pulumi("stack", "output", "--json", "--show-secrets", "--stack", STACK, quiet=True)
    found: dict[str, Any] = json.loads(told)
    return found


def _table(outputs: dict[str, Any]) -> None:
    shown = {name: _cell(value) for name, value in outputs.items() if "key" not in name.lower()}
    width = max((len(name) for name in shown), default=0)
    print()
    for name, value in shown.items():
        print(f"  {name.ljust(width)}  {value}")
    print()


def _cell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _ask(outputs: dict[str, Any]) -> None:
    body = _REQUEST.read_bytes()
    request = urllib.request.Request(  # noqa: S310 - the URL is the stack's own
        outputs["scoringUri"],
        data=body,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {outputs['endpointKey']}"},
    )
    trust = ssl.create_default_context() if outputs["scoringUri"].startswith("https") else None
    try:
        with urllib.request.urlopen(request, timeout=60, context=trust) as reply:  # noqa: S310 - as above
            answer = reply.read().decode()
    except OSError as error:
        raise ToolError(f"{outputs['scoringUri']} does not answer ({error}): see `make logs ARGS=blue`") from error
    print(f"POST {outputs['scoringUri']} with {_REQUEST.relative_to(azure.ROOT)}")
    print(f"  reply: {answer.strip()}")


def main() -> int:
    """Run one command; an error is one line."""
    parser = argparse.ArgumentParser(prog="python -m tools", description="The local Azure and its stack.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.__doc__)
        if name == "logs":
            added.add_argument("name", nargs="?", help="a build's run id or a deployment's name")
    wanted = parser.parse_args()
    try:
        COMMANDS[wanted.command]()
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("stopped; running it again goes on")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
