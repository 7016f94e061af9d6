"""Every shown output is compared with what is really printed; the comparison finds a word that changed."""

from pathlib import Path

import pytest

from tests import samples
from tests.conftest import ROOT
from tests.docs.test_pages import PAGES, SAMPLES
from tests.samples import is_printed, sample


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_sample_is_compared_by_a_test(name: str) -> None:
    tests = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "docs"]
    assert any(f'"{name}"' in text or f"docs/samples/{name}" in text for text in tests)


def test_a_sample_is_found_in_what_another_run_printed() -> None:
    printed = (ROOT / "docs/samples/rollback.txt").read_text().replace("dddb40828b7a", "0123456789ab")
    assert is_printed("rollback.txt", f"first line\n{printed.replace('27', '31')}last line\n")


@pytest.mark.parametrize("line", range(len(sample("rollback.txt"))))
def test_a_line_that_is_not_printed_is_named(line: int) -> None:
    lines = sample("rollback.txt")
    printed = "\n".join([*lines[:line], *lines[line + 1 :]])
    with pytest.raises(AssertionError, match=r"^rollback.txt: not printed: "):
        is_printed("rollback.txt", printed)


@pytest.mark.parametrize(("word", "other"), [("answers", "says"), ("blue", "green"), ("went back", "returned")])
def test_a_word_that_changed_is_found(word: str, other: str) -> None:
    printed = "\n".join(sample("rollback.txt"))
    with pytest.raises(AssertionError, match="not printed"):
        is_printed("rollback.txt", printed.replace(word, other))


def test_the_readme_and_the_quick_start_show_the_same_run() -> None:
    assert "<!-- make up -->\n```text\n" in PAGES["README.md"]
    assert ":start-after: <!-- make up -->" in PAGES["docs/quick-start.md"]


def test_a_sample_is_brought_up_to_date_by_what_is_printed_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "SAMPLES", tmp_path)
    (tmp_path / "one.txt").write_text("$ say\nfirst\n  the version serves now\n")
    printed = "first\n    some line more\n    the version takes traffic now\n"
    with pytest.raises(AssertionError, match="the version serves now"):
        is_printed("one.txt", printed)
    monkeypatch.setenv("UPDATE_SAMPLES", "1")
    assert is_printed("one.txt", printed)
    assert (tmp_path / "one.txt").read_text() == "$ say\nfirst\n  the version takes traffic now\n"


def test_a_digest_is_one_word_that_changes() -> None:
    printed = f"app:v1@sha256:{'0' * 64} stays deployed"
    assert samples.pattern("app:v1@sha256:8fcb2fbf… stays deployed").search(printed)
    assert not samples.pattern("app:v1@sha256:8fcb2fbf… was deployed").search(printed)


def test_a_tag_is_one_word_that_changes() -> None:
    assert samples.pattern("run ca2 builds served:55b4cd8ed967").search("run ca3 builds served:a5d76ad95b78")
