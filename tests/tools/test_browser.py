"""The browser of the page's tests: found, installed, or said to be missing."""

import pytest

from tools import browser, debian


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    packages: list[str] = []
    monkeypatch.setattr(debian, "install", lambda names, **_: packages.extend(names))
    return packages


@pytest.mark.parametrize(
    ("found", "root", "wanted"), [(True, True, []), (False, True, ["chromium"]), (False, False, [])]
)
def test_it_is_installed_only_where_it_is_missing_and_that_may_be_done(  # noqa: PLR0913, PLR0917 - fixtures and the case
    installed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: bool,  # noqa: FBT001
    root: bool,  # noqa: FBT001
    wanted: list[str],
) -> None:
    monkeypatch.setattr(browser, "which", lambda _: "/usr/bin/chromium" if found else None)
    monkeypatch.setattr(debian, "can_install", lambda: root)
    browser.ensure()
    assert installed == wanted
    assert ("skipped" in capsys.readouterr().err) is (not found and not root)
