"""Whatever dies at a write of an `up`, `recover` and `up` end as an undisturbed run: a share of `make torture`."""

from pathlib import Path

import pytest

from tests.torture.matrix import End, Point, tried, undisturbed

pytestmark = pytest.mark.slow

SHARE = (
    Point("engine", "Microsoft.MachineLearningServices/workspaces/connections#1", "after"),
    Point("plugin", "builds#1", "before"),
    Point("provider", "azuread/Application#1", "after"),
    Point("azure", "Microsoft.MachineLearningServices/workspaces#1", "before"),
)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> End:
    """What an undisturbed run ends with."""
    writes, end = undisturbed(tmp_path_factory.mktemp("undisturbed"))
    assert {point.write for point in SHARE} <= set(writes)
    return end


@pytest.mark.parametrize("point", SHARE, ids=str)
def test_recover_and_up_end_as_an_undisturbed_run(tmp_path: Path, expected: End, point: Point) -> None:
    tried(point, tmp_path, expected)
