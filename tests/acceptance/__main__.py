"""`make acceptance`: every claim about Azure, and every journey of Azure's own clients, on the local Azure or, with
CLOUD=azure, on a real subscription.

Owns asking before money is spent, the order (up, claims, journeys, destroy), that everything is taken down whatever
happens, and the report.
"""

import argparse
import os
import shutil
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azureml_scoring.delivery import prices

from tests.acceptance.claims import CLAIMS, NotTriedError
from tests.acceptance.stack import INSTANCE, Stack
from tests.clients.clients import Clients, sign_in
from tests.clients.journeys import JOURNEYS
from tests.local_azure import ROOT, LocalAzure
from tests.modes import kubernetes_cluster
from tools import azure, base_image

PUBLIC_BASE = "docker.io/library/python:3.11-slim-bookworm"
_HOURS = 4
"""What a run takes at most, rounded up, for the estimate."""
_INSTANCES = 2
"""How many there are at a time: one of the stack, one of a claim or journey."""
_TABLE = "| Claim | Where it comes from | Test | Tried on Azure |\n| --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Verdict:
    """What came of one claim or journey: `holds`, `fails` or `not tried`, and the answer or reason."""

    name: str
    sentence: str
    result: str
    answer: str = ""


def journeys() -> str:
    """The journeys as the table of docs/verification.md."""
    rows = (f"| `{each.name}` | {each.tried} |\n" for each in JOURNEYS)
    return "| Journey | Tried on Azure |\n| --- | --- |\n" + "".join(rows)


def table() -> str:
    """The claims as the table of docs/verification.md."""
    rows = (
        f"| {each.sentence} | [{each.source.split('/')[2]}]({each.source}) | `{each.name}` | {each.tried} |"
        for each in CLAIMS
    )
    return _TABLE + "\n".join(rows) + "\n"


def report(verdicts: list[Verdict], where: str, moment: datetime) -> str:
    """The dated report of a run."""
    lines = [f"# Acceptance on {where}, {moment:%Y-%m-%d %H:%M} UTC", ""]
    for each in verdicts:
        lines.append(f"- **{each.result}** `{each.name}`: {each.sentence}")
        if each.answer:
            lines += ["", *(f"      {line}" for line in each.answer.strip().splitlines()), ""]
    return "\n".join(lines) + "\n"


_SIGN_IN = "Azure's own clients sign in and find their roles."
_UP = "One `pulumi up` makes registry, principal, image and endpoint from nothing."
_DOWN = "`pulumi destroy` takes away all that was made."


def run(stack: Stack) -> list[Verdict]:
    """Take the stack up, try each claim and journey, and take it down whatever happened."""
    verdicts: list[Verdict] = []
    clients: list[Clients] = []

    def step(name: str, sentence: str, check: Callable[[Stack], None]) -> None:
        verdicts.append(_verdict(name, sentence, lambda: check(stack)))
        print(f"{verdicts[-1].result:9} {name}", flush=True)

    try:
        step("up", _UP, _up)
        up = verdicts[-1].result == "holds"
        for each in CLAIMS:
            step(each.name, each.sentence, each.check if up else _not_up)
        step("sign_in", _SIGN_IN, (lambda stack: clients.append(sign_in(stack))) if up else _not_up)
        for journey in JOURNEYS:
            step(journey.name, journey.sentence, _by(clients, journey.check))
    finally:
        step("destroy", _DOWN, _destroy)
    return verdicts


def _not_up(_: Stack) -> None:
    raise NotTriedError("the stack did not go up")


def _by(clients: list[Clients], journey: Callable[[Clients], None]) -> Callable[[Stack], None]:
    def check(stack: Stack) -> None:
        del stack
        if not clients:
            raise NotTriedError("Azure's own clients are not signed in")
        journey(clients[0])

    return check


def _verdict(name: str, sentence: str, check: Callable[[], None]) -> Verdict:
    try:
        check()
    except NotTriedError as reason:
        return Verdict(name, sentence, "not tried", str(reason))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the claim's answer
        text = str(error) or "".join(traceback.format_exception(error))
        return Verdict(name, sentence, "fails", text)
    return Verdict(name, sentence, "holds")


def _up(stack: Stack) -> None:
    done = stack.up()
    assert done.code == 0, done.text


def _destroy(stack: Stack) -> None:
    done = stack.destroy()
    assert done.code == 0, f"{done.text}\nTake it away by hand: pulumi destroy in {stack.folder}"


def estimate(location: str) -> str:
    """What a run costs, in words."""
    table = prices.load()
    price = table.regions.get(location, {}).get(INSTANCE)
    hours = f"{_INSTANCES} {INSTANCE} during {_HOURS} h"
    instance = (
        f"about {_HOURS * _INSTANCES * price.price:.2f} {table.currency} for {hours} (list price of {price.dated})"
        if price
        else f"the price of {hours} (no list price of {location} is recorded)"
    )
    return f"{instance}, and less than 1 {table.currency} for a Basic registry, storage and a vault"


def agreed(subscription: str, location: str, *, yes: bool) -> bool:
    """Tell the cost, and ask whether to go on."""
    print(f"This makes a stack in {location}, subscription {subscription}, and takes it away again.")
    print(f"It costs {estimate(location)}.")
    return yes or (sys.stdin.isatty() and input("Go on? [y/N] ").strip().lower() in {"y", "yes"})


@contextmanager
def local(folder: Path) -> Iterator[Stack]:
    """A local Azure of this run, and a stack for it that is not made yet."""
    options = ("--role-delay=0", "--registry-tls=on")
    with LocalAzure(folder / "azure", options=options) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in azure.environment(folder / "stack", started.folder).items():
            patch.setenv(name, value)  # clients find the trusted certificates there
        cluster = kubernetes_cluster(started.cloud)
        yield Stack(folder / "stack", dict(os.environ), _name(), base_image.NAME, cluster=cluster)


def real(folder: Path, location: str, base: str, cluster: str) -> Stack:
    """A stack for the user's own subscription, with Pulumi's state in a folder of this run."""
    own = azure.local_pulumi(folder / "stack")
    own.pop("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION")
    state = Path(own["PULUMI_BACKEND_URL"].removeprefix("file://"))
    state.mkdir(parents=True, exist_ok=True)
    os.environ.update({**azure.machine(), **own})
    return Stack(folder / "stack", dict(os.environ), _name(), base, location, cluster)


def _name() -> str:
    return f"acc{uuid.uuid4().hex[:6]}"


def _try(stack: Stack, where: str) -> list[Verdict]:
    stack.prepare()
    verdicts = run(stack)
    shutil.rmtree(stack.folder.with_name("clients"), ignore_errors=True)  # their sessions
    moment = datetime.now(UTC)
    file = ROOT / ".local" / f"acceptance-{moment:%Y-%m-%d-%H%M}.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text(report(verdicts, where, moment))
    print(f"Report: {file}")
    return verdicts


def main(words: list[str] | None = None) -> int:
    """Run all; 1 where a claim fails, 2 where nobody agreed to the cost."""
    parser = argparse.ArgumentParser(prog="make acceptance", description=__doc__)
    parser.add_argument("--cloud", choices=("local", "azure"), default=os.environ.get("CLOUD") or "local")
    parser.add_argument("--location", default="westeurope", help="the region of a real run")
    parser.add_argument("--base", default=PUBLIC_BASE, help="the base image of a real run, which ACR Tasks can pull")
    parser.add_argument("--cluster", default="", help="ARM id of a cluster with the Azure ML extension, for a real run")
    parser.add_argument("--yes", action="store_true", help="agree to the cost")
    parser.add_argument(
        "--table", action="store_true", help="print the tables of docs/verification.md, and run nothing"
    )
    given = parser.parse_args(words)
    if given.table:
        print(table(), journeys(), sep="\n", end="")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="acceptance-"))
    if given.cloud == "local":
        with local(folder) as stack:
            verdicts = _try(stack, "the local Azure")
    elif agreed(os.environ.get("ARM_SUBSCRIPTION_ID", "of the Azure CLI"), given.location, yes=given.yes):
        stack = real(folder, given.location, given.base, given.cluster)
        verdicts = _try(stack, f"Azure ({given.location})")
    else:
        print("error: nothing was made; answer y, or give --yes (ARGS=--yes)", file=sys.stderr)
        return 2
    if verdicts[-1].result == "holds":  # else the folder has the state of what is left
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(each.result == "fails" for each in verdicts))


if __name__ == "__main__":
    sys.exit(main())
