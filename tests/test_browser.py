"""A machine without a browser: the tests that need one are left out and counted, and fail in CI."""

from types import SimpleNamespace

import pytest

from tests import browser


@pytest.fixture
def no_chromium(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_chromium")
@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_without_chromium_a_test_is_left_out_and_in_ci_it_fails(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=browser.NO_BROWSER):
        browser.chromium_path()


def test_how_many_were_left_out_is_said_at_the_end():
    reports = [
        SimpleNamespace(longrepr=("file.py", 1, f"Skipped: {browser.NO_BROWSER}")),
        SimpleNamespace(longrepr=("file.py", 2, "Skipped: no GPU")),
    ]
    assert browser.summary(reports) == f"1 tests were left out: {browser.NO_BROWSER}."
    assert browser.summary(reports[1:]) == ""
