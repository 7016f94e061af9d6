"""What every lifecycle has: a local Azure of its own, and the same as other clients see it."""

from collections.abc import Iterator

import pytest

from tests import arm_types
from tests.conftest import Cloud
from tests.project import LocalAzure


@pytest.fixture(scope="module", autouse=True)
def _published_types(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All that a module writes to its local Azures, and all that they answer, is as Microsoft's published types say."""
    recording = tmp_path_factory.mktemp("arm") / "requests.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_AZURE_RECORD", str(recording))
        yield
    if arm_types.ABSENT:
        pytest.skip(arm_types.ABSENT)
    assert arm_types.violations(arm_types.read(recording)) == []


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    with LocalAzure(tmp_path_factory.mktemp("azure")) as local:
        yield local


@pytest.fixture(scope="module")
def cloud(azure: LocalAzure) -> Cloud:
    return azure.cloud
