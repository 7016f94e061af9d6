"""The table of figures says what `make bench` has kept."""

import json

from tests.performance.figures import FILE, PAGE, table


def test_the_page_shows_the_kept_figures() -> None:
    assert table(json.loads(FILE.read_text())) in PAGE.read_text()
