"""`make acceptance`: every claim about Azure, tried on the local Azure or, with CLOUD=azure, on a real subscription.

Owns asking before money is spent, the order (up, claims, destroy), that everything is taken down whatever happens, and
the report.
"""

import argparse
import os
import shutil
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from azureml_scoring.delivery import prices

from tests.acceptance.claims import CLAIMS, NotTriedError
from tests.acceptance.stack import INSTANCE, Stack
from tests.local_azure import ROOT, LocalAzure
from tools import azure

LOCAL_BASE = "azureml-scoring-base:bookworm"
PUBLIC_BASE = "docker.io/library/python:3.11-slim-bookworm"
_HOURS = 2
"""What a run takes at most, rounded up, for the estimate."""
_TABLE = "| Claim | Where it comes from | Test | Tried on Azure |\n| --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Verdict:
    """What came of one claim: `holds`, `fails` or `not tried`, and the answer or reason."""

    name: str
    sentence: str
    result: str
    answer: str = ""


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


_UP = "One `pulumi up` makes registry, principal, image and endpoint from nothing."
_DOWN = "`pulumi destroy` takes away all that was made."


def run(stack: Stack) -> list[Verdict]:
    """Take the stack up, try each claim, and take it down whatever happened."""
    verdicts: list[Verdict] = []

    def step(name: str, sentence: str, check: Callable[[Stack], None]) -> None:
        verdicts.append(_verdict(name, sentence, lambda: check(stack)))
        print(f"{verdicts[-1].result:9} {name}", flush=True)

    try:
        step("up", _UP, _up)
        up = verdicts[-1].result == "holds"
        for each in CLAIMS:
            step(each.name, each.sentence, each.check if up else _not_up)
    finally:
        step("destroy", _DOWN, _destroy)
    return verdicts


def _not_up(_: Stack) -> None:
    raise NotTriedError("the stack did not go up")


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
    hours = f"one {INSTANCE} during {_HOURS} h"
    instance = (
        f"about {_HOURS * price.price:.2f} {table.currency} for {hours} (list price of {price.dated})"
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
def local(folder: Path) -> Iterator[Mapping[str, str]]:
    """A local Azure of this run, and the environment that leads to it."""
    started = LocalAzure(folder / "azure", extra={"LOCAL_AZURE_ROLE_DELAY": "0"}).start()
    try:
        yield azure.environment(folder / "stack", started.folder)
    finally:
        started.stop()


def real(folder: Path) -> dict[str, str]:
    """The user's own sign-in, with Pulumi's state in a folder of this run."""
    own = azure.local_pulumi(folder / "stack")
    own.pop("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION")
    state = Path(own["PULUMI_BACKEND_URL"].removeprefix("file://"))
    state.mkdir(parents=True, exist_ok=True)
    return {**azure.machine(), **own}


def _try(folder: Path, environment: Mapping[str, str], location: str, base: str, where: str) -> list[Verdict]:
    os.environ.update(environment)  # clients find the trusted certificates there
    stack = Stack(folder / "stack", dict(os.environ), f"acc{uuid.uuid4().hex[:6]}")
    stack.prepare(location, base)
    verdicts = run(stack)
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
    parser.add_argument("--yes", action="store_true", help="agree to the cost")
    parser.add_argument("--table", action="store_true", help="print the claims for docs/verification.md, and run none")
    given = parser.parse_args(words)
    if given.table:
        print(table(), end="")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="acceptance-"))
    if given.cloud == "local":
        with local(folder) as environment:
            verdicts = _try(folder, environment, "westeurope", LOCAL_BASE, "the local Azure")
    elif agreed(os.environ.get("ARM_SUBSCRIPTION_ID", "of the Azure CLI"), given.location, yes=given.yes):
        verdicts = _try(folder, real(folder), given.location, given.base, f"Azure ({given.location})")
    else:
        print("error: nothing was made; answer y, or give --yes (ARGS=--yes)", file=sys.stderr)
        return 2
    if verdicts[-1].result == "holds":  # else the folder has the state of what is left
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(each.result == "fails" for each in verdicts))


if __name__ == "__main__":
    sys.exit(main())
