"""The claims about Azure hold for the local Azure, and the runner of `make acceptance` does what it promises."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance import __main__ as acceptance
from tests.acceptance.claims import CLAIMS, Claim, NotTriedError
from tests.acceptance.stack import Stack
from tests.project import Run


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The acceptance stack, up on a local Azure, and down in the end."""
    folder = tmp_path_factory.mktemp("acceptance")
    with acceptance.local(folder) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        made = Stack(folder / "stack", {**environment}, "acceptance")
        made.prepare("westeurope", acceptance.LOCAL_BASE)
        up = made.up()
        assert up.code == 0, up.text
        yield made
        gone = made.destroy()
        assert gone.code == 0, gone.text


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda each: each.name)
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


def test_a_stack_that_does_not_go_up_is_taken_down_and_its_claims_are_not_tried(tmp_path: Path) -> None:
    stack = _Broken(tmp_path, {}, "broken")
    verdicts = acceptance.run(stack)
    assert [each.result for each in verdicts] == ["fails", *["not tried"] * len(CLAIMS), "holds"]
    assert stack.down
    told = acceptance.report(verdicts, "Azure (westeurope)", datetime(2026, 7, 1, tzinfo=UTC))
    assert "2026-07-01" in told
    assert "no quota" in told
    assert all(each.name in told for each in CLAIMS)


def test_nothing_is_made_before_somebody_agrees_to_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert acceptance.main(["--cloud=azure"]) == 2
    printed = capsys.readouterr()
    assert "USD" in printed.out
    assert "nothing was made" in printed.err
