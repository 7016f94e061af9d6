"""Random graphs meet random faults: a share of `make torture`."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.torture.graphs import Bench, Case, bench, cases, tried

SHARE = 50


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("graphs")) as made:
        yield made


def test_what_fails_on_the_way_is_made_by_the_next_run_and_never_twice(started: Bench) -> None:
    @settings(max_examples=SHARE, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck])
    @given(cases())
    def run(case: Case) -> None:
        tried(started, case)

    run()
