"""What every lifecycle has: a local Azure of its own, and the same as other clients see it."""

from collections.abc import Iterator

import pytest

from tests.conftest import Cloud
from tests.project import LocalAzure


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    local = LocalAzure(tmp_path_factory.mktemp("azure")).start()
    yield local
    local.stop()


@pytest.fixture(scope="module")
def cloud(azure: LocalAzure) -> Cloud:
    return azure.cloud
