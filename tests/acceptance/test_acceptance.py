"""The claims about Azure hold for the local Azure, and the runner of `make acceptance` does what it promises."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance import __main__ as acceptance
from tests.acceptance.claims import CLAIMS, Claim, NotTriedError
from tests.acceptance.stack import Stack
from tests.clients.journeys import JOURNEYS
from tests.project import Run


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The acceptance stack, up on a local Azure, and down in the end."""
    with acceptance.local(tmp_path_factory.mktemp("acceptance")) as made:
        made.prepare()
        up = made.up()
        assert up.code == 0, up.text
        yield made
        gone = made.destroy()
        assert gone.code == 0, gone.text


@pytest.mark.parametrize(
    "claim",
    [pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.slow else []) for each in CLAIMS],
)
def test_a_claim_about_azure_holds(stack: Stack, claim: Claim) -> None:
    try:
        claim.check(stack)
    except NotTriedError as reason:
        pytest.skip(str(reason))


class _Broken(Stack):
    """A stack that does not go up; it notes whether it was taken down."""

    down = False

    def up(self) -> Run:
        return Run(1, "no quota")

    def destroy(self) -> Run:
        self.down = True
        return Run(0, "")


def test_a_stack_that_does_not_go_up_is_taken_down_and_nothing_is_tried_on_it(tmp_path: Path) -> None:
    stack = _Broken(tmp_path, {}, "broken", "base")
    verdicts = acceptance.run(stack)
    tried = [*(each.name for each in CLAIMS), "sign_in", *(each.name for each in JOURNEYS)]
    assert [(each.name, each.result) for each in verdicts] == [
        ("up", "fails"),
        *((name, "not tried") for name in tried),
        ("destroy", "holds"),
    ]
    assert stack.down
    told = acceptance.report(verdicts, "Azure (westeurope)", datetime(2026, 7, 1, tzinfo=UTC))
    assert "2026-07-01" in told
    assert "no quota" in told
    assert all(name in told for name in tried)


def test_nothing_is_made_before_somebody_agrees_to_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert acceptance.main(["--cloud=azure"]) == 2
    printed = capsys.readouterr()
    assert "USD" in printed.out
    assert "nothing was made" in printed.err
