"""Reports as reviewers get them, made of what the real engine printed. `python -m tests.delivery.golden`."""

import re
from dataclasses import replace

import pytest
from azureml_scoring.delivery.changes import Preview, read

from tests.delivery.golden.__main__ import FOLDER, STACKED, STREAMED, made, made_page, names, previews


@pytest.mark.parametrize("name", names())
def test_the_report_is_as_it_was_reviewed(name: str) -> None:
    assert made(name) == (FOLDER / f"{name}.md").read_text()


def test_the_page_is_as_it_was_reviewed() -> None:
    assert made_page(STACKED) == (FOLDER / f"{STACKED}.html").read_text()


def test_there_is_one_for_each_kind_of_change() -> None:
    assert {"create", "image", "tags", "rotation", "size", "traffic", "identity", "drift", "stacks"} == set(names())


@pytest.mark.parametrize("name", names())
def test_a_recorded_preview_reads_without_errors(name: str) -> None:
    for text in previews(name):
        preview = read(text)
        assert preview.changes
        assert not preview.failed


def test_both_formats_of_one_preview_read_alike_but_for_dependencies() -> None:
    classic, streaming = (_without_dependencies(read(previews(name)[0])) for name in ("drift", STREAMED))
    assert classic == streaming


def _without_dependencies(preview: Preview) -> Preview:
    changed, same = (
        [replace(change, dependencies=()) for change in changes]
        for changes in (preview.changes, preview.unchanged_resources)
    )
    # Events come as they happen, the steps of a document in the order of its resources.
    return replace(
        preview, changes=tuple(changed), unchanged_resources=tuple(sorted(same, key=lambda change: change.urn))
    )


@pytest.mark.parametrize("name", [*names(), STREAMED])
def test_what_is_recorded_holds_no_secret_and_no_folder_of_this_machine(name: str) -> None:
    for text in previews(name):
        assert not re.search(r"\dQ~[\w.~-]{31}|/tmp/|/root/|/home/|localhost", text)
