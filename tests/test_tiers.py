"""What is long is left out where nothing else is asked for, and CI asks for all."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiers

ROOT = Path(__file__).parents[1]
PROJECT = """
import pytest
@pytest.fixture
def visit(): ...
@pytest.fixture
def installed(): ...
def test_short(): ...
@pytest.mark.long
def test_marked(): ...
def test_in_a_browser(visit): ...
@pytest.mark.always
def test_always_in_a_browser(visit): ...
def test_on_the_wheel(installed): ...
"""
SHORT = ["test_short", "test_always_in_a_browser"]
LONG = ["test_marked", "test_in_a_browser", "test_on_the_wheel"]


class Seen:
    """The names of the tests that would run."""

    def pytest_collection_finish(self, session):
        self.names = [item.name for item in session.items]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], SHORT),
        (["--maxfail", "1"], SHORT),
        (["-m", ""], SHORT + LONG),
        (["-mlong"], LONG),
        (["test_project.py"], SHORT + LONG),
        (["-m", tiers.SHORT, "test_project.py"], SHORT),
    ],
)
def test_what_is_long_is_left_out_where_nothing_else_is_asked_for(
    tmp_path, monkeypatch, given, expected
):
    (tmp_path / "test_project.py").write_text(PROJECT)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    long\n    always\n")
    monkeypatch.chdir(tmp_path)
    seen = Seen()
    options = ["--collect-only", "--import-mode=importlib", "--strict-markers", "-q"]
    assert pytest.main([*options, *given], plugins=[tiers, seen]) == 0
    assert sorted(seen.names) == sorted(expected)


def test_processes_of_one_run_leave_out_the_same(tmp_path):
    (tmp_path / "test_project.py").write_text(PROJECT)
    (tmp_path / "conftest.py").write_text(
        "from tests.tiers import pytest_collection_modifyitems, pytest_configure"
    )
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    ).stdout
    assert f"{len(SHORT)} passed" in said, said


def test_ci_and_who_contributes_run_the_readmes_command_with_all_that_is_long():
    [command] = re.findall(
        r"(?m)^ +pip install .* && (pytest .*)$", (ROOT / "README.md").read_text()
    )
    [line] = re.findall(r"(?m)^eval .*$", (ROOT / ".ci" / "run").read_text())
    told = 'pip() { :; }; pytest() { printf "<%s>" pytest "$@"; }; ' + line
    said = subprocess.run(["bash", "-c", told], cwd=ROOT, capture_output=True, text=True).stdout
    assert said == "".join(f"<{word}>" for word in [*command.split(), "-m", ""])
    assert f'\n    {command} -m ""\n' in (ROOT / "CONTRIBUTING.md").read_text()
