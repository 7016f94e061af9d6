"""What all tests share: a local Azure for each test worker."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_azure import PATIENCE, ROOT, Cloud, local_azure
from tests.processor_time import ProcessorTime

# Tests assign a role and use it at once; the delay itself has its own test.
os.environ.setdefault("LOCAL_AZURE_ROLE_DELAY", "0")
__all__ = ["PATIENCE", "ROOT", "Cloud", "local_azure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of each file run from the last to the first: none may rely on another."""
    parser.addoption(
        "--processor-time", type=Path, help="append processor time by test file to this file, as JSON lines"
    )
    parser.addoption("--last-first", action="store_true", help="run the tests of each file from the last to the first")


def pytest_configure(config: pytest.Config) -> None:
    """Measure, where that is asked for."""
    if file := config.getoption("--processor-time"):
        config.pluginmanager.register(ProcessorTime(file))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole lifecycles first: they take longest, and no worker shall end alone with one."""
    if config.getoption("--last-first"):
        files = list(dict.fromkeys(item.path for item in items))
        items.reverse()
        items.sort(key=lambda item: files.index(item.path))
    items.sort(key=lambda item: "lifecycle" not in item.path.parts)


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A local Azure that the tests of this worker share: each takes a resource group of its own name."""
    with local_azure(tmp_path_factory.mktemp("azure")) as cloud:
        yield cloud
