"""The table of what works and which tests show it: every command runs tests that exist, no lifecycle is missing."""

import re
import shlex

import pytest

from tests.acceptance import __main__ as acceptance
from tests.conftest import ROOT

ROWS = re.findall(
    r"^\| ([^|]+) \| [^|]+ \| `(\"?tests/.*)` \|$",
    (ROOT / "docs/verification.md").read_text(),
    re.MULTILINE,
)


def _words(command: str) -> list[str]:
    """What pytest gets: make hands the variable to a shell without its outer quotes."""
    return shlex.split(shlex.split(command)[0])


def test_the_table_names_every_test_of_a_lifecycle() -> None:
    named = {word for _, command in ROWS for word in _words(command)}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "tests/lifecycle").glob("test_*.py")} <= named


@pytest.mark.parametrize(("row", "command"), ROWS)
def test_a_row_runs_tests_that_exist(row: str, command: str) -> None:
    words = _words(command)
    files = [word for word in words if word.startswith("tests/")]
    assert files, row
    for file in files:
        assert (ROOT / file).exists(), f"{row}: {file}"
    if "-k" in words:
        wanted = re.findall(r"\w+", words[words.index("-k") + 1].replace(" or ", " "))
        names = " ".join(re.findall(r"def (test_\w+)", "".join((ROOT / file).read_text() for file in files)))
        for word in wanted:
            assert word in names, f"{row}: no test has {word!r} in its name"


def test_the_claims_about_azure_and_the_journeys_are_those_that_make_acceptance_tries() -> None:
    written = (ROOT / "docs/verification.md").read_text()
    for table in (acceptance.table(), acceptance.journeys()):
        assert table in written, "paste what `make acceptance ARGS=--table` prints"
