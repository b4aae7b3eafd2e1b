"""The browser that opens the page in tests: where it is, and what is said where there is none."""

import os
import shutil
from typing import NoReturn

import pytest

NO_BROWSER = "chromium is not installed, so no browser can open the page"


def leave_out() -> NoReturn:
    """Leave out a test that needs a browser; in CI that is a failure."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_BROWSER)


def chromium_path() -> str:
    """Find Debian's Chromium, or leave out the test."""
    return shutil.which("chromium") or leave_out()


def summary(reports) -> str:
    """Say how many tests were left out because there is no browser; nothing if none was."""
    left_out = sum(NO_BROWSER in str(report.longrepr) for report in reports)
    return f"{left_out} tests were left out: {NO_BROWSER}." if left_out else ""
