"""Reports as reviewers get them, made of what the real engine printed. `python -m tests.delivery.golden`."""

import pytest
from azureml_scoring.delivery.changes import read

from tests.delivery.golden.__main__ import FOLDER, made, names, previews


@pytest.mark.parametrize("name", names())
def test_the_report_is_as_it_was_reviewed(name: str) -> None:
    assert made(name) == (FOLDER / f"{name}.md").read_text()


def test_there_is_one_for_score_for_traffic_and_for_an_identity() -> None:
    assert {"score", "traffic", "identity", "stacks"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_a_recorded_preview_reads_without_errors(name: str) -> None:
    for text in previews(name):
        preview = read(text)
        assert preview.changes
        assert not preview.failed
