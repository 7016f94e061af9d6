"""The command line of the local Azure: `python -m emulator serve|stop|stats|reset-stats|purge|logs|page|fault`."""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from emulator import lifecycle
from emulator.core import options

_FAILED = 2


def main(words: list[str] | None = None) -> int:
    """Run one command; 2 and one line on stderr for what cannot be done."""
    arguments = _parser().parse_args(words)
    try:
        result: int = arguments.run(arguments)
    except lifecycle.CannotServeError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    except httpx.HTTPError as error:
        print(
            f"error: the local Azure of {arguments.state} does not answer ({type(error).__name__}): start it again",
            file=sys.stderr,
        )
        return _FAILED
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator", description="A local Azure, for what this project needs of it."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:  # noqa: ANN401 - a command's function
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.add_argument(
            "--state", type=Path, required=True, metavar="DIR", help="the folder that holds its state"
        )
        subparser.set_defaults(run=run)
        return subparser

    serve = command("serve", _serve, "Serve in the foreground until SIGTERM; DIR/ready.json appears when it serves.")
    serve.add_argument(
        "--port",
        type=_port,
        help=f"the https port; default: the one of the last start, at first {lifecycle.DEFAULT_PORT}; 0: any free one",
    )
    serve.add_argument(
        "--scoring-port",
        type=_port,
        help=f"the first endpoint's scoring port; default {lifecycle.DEFAULT_SCORING_PORT}; 0: any free one",
    )
    for option in fields(options.Options):
        value = getattr(options.Options, option.name)
        flag, choices = f"--{option.name.replace('_', '-')}", option.metadata["choices"] or None
        metavar = None if choices else "FILE" if isinstance(value, str) else "NUMBER"
        text = f"{option.metadata['text']} (default: {'none' if value == '' else value})"
        serve.add_argument(flag, choices=choices, metavar=metavar, help=text)
    command("stop", _stop, "Stop it with its processes and containers; the state stays.")
    command("stats", _stats, "Print, as JSON, the writes since the start or the last reset-stats.")
    command("deployments", _deployments, "Print the online deployments and their state as JSON.")
    command("reset-stats", _reset, "Reset the counts.")
    command("purge", _purge, "Purge all deleted workspaces and vaults: their names are free again.")
    logs = command("logs", _logs, "Print the log of a build's run or of an online deployment.")
    logs.add_argument("name", metavar="RUN_OR_DEPLOYMENT", help="its name or its ARM id")
    page = command("page", _page, "Print a link that opens the page of the local Azure, once, within an hour.")
    page.add_argument("--example", type=Path, metavar="FILE", help="the request that the page offers to send")
    fault = command("fault", _fault, "Set a named fault or delay; without a value end it, without a name list them.")
    fault.add_argument("name", nargs="?", metavar="NAME", help="e.g. principal-replication")
    fault.add_argument("value", nargs="?", metavar="VALUE", help="JSON, or a text")
    return parser


def _port(text: str) -> int:
    highest = 65535
    if not text.isdigit() or int(text) > highest:
        raise argparse.ArgumentTypeError(f"'{text}' is no port: a number from 0 to {highest}")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    from emulator import process  # noqa: PLC0415 - all services and faces: the other commands need not wait for them

    try:
        chosen = options.read(vars(arguments))
    except ValueError as error:
        raise lifecycle.CannotServeError(str(error)) from error
    ports = process.Ports(arguments.port, arguments.scoring_port)
    process.serve(arguments.state, ports, chosen, lambda text: print(text, flush=True))
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    if not lifecycle.stop(arguments.state):
        print(f"no local Azure serves {arguments.state}")
    return 0


def _stats(arguments: argparse.Namespace) -> int:
    print(json.dumps(_ask(arguments.state, "GET", "stats").json(), indent=2))
    return 0


def _deployments(arguments: argparse.Namespace) -> int:
    print(json.dumps(_ask(arguments.state, "GET", "deployments").json(), indent=2))
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    _ask(arguments.state, "DELETE", "stats")
    return 0


def _purge(arguments: argparse.Namespace) -> int:
    _ask(arguments.state, "DELETE", "resources")
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    response = _ask(arguments.state, "GET", f"logs/{quote(arguments.name.strip('/'))}")
    sys.stdout.write(response.text)
    return 0


def _page(arguments: argparse.Namespace) -> int:
    try:
        example = arguments.example.read_text(encoding="utf-8") if arguments.example else ""
    except OSError as error:
        raise lifecycle.CannotServeError(f"--example {arguments.example}: {error.strerror}") from error
    print(_ask(arguments.state, "POST", "page", {"example": example}).json()["url"])
    return 0


def _fault(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        print(json.dumps(_ask(arguments.state, "GET", "faults").json(), indent=2))
        return 0
    _ask(arguments.state, "PUT", "faults", {"name": arguments.name, "value": _value(arguments.value)})
    return 0


def _value(text: str | None) -> object:
    if text is None:
        return None
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _ask(state: Path, method: str, path: str, body: dict[str, object] | None = None) -> httpx.Response:
    environment = lifecycle.ready(state)["environment"]
    url = f"https://{environment['ARM_METADATA_HOSTNAME']}/_local/{path}"
    headers = {"Authorization": f"Bearer {environment['ARM_CLIENT_SECRET']}"}
    with httpx.Client(verify=lifecycle.client_context(state), headers=headers, timeout=60, trust_env=False) as client:
        response = client.request(method, url, json=body)
    if response.is_error:
        raise lifecycle.CannotServeError(response.json()["error"]["message"])
    return response


if __name__ == "__main__":
    sys.exit(main())
