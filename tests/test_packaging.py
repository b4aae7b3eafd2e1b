"""What stands beside the program: how to cite it, what changed, how to work on it."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_citation_has_what_the_format_asks_for():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(said)
    assert said["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()
    assert (
        "Nulli" in str(said["references"])
        and said["references"][0]["title"] in (ROOT / "README.md").read_text()
    )


def test_the_newest_change_is_of_the_version_that_is_cited():
    version = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert re.search(r"(?m)^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text())[1] == version


def test_contributing_begins_with_the_three_commands():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    install, run, test = re.findall(r"(?m)^    (.+)$", text)
    assert (
        install == "pip install -r requirements.txt -r tests/requirements.txt"
        and run == "python app.py"
        and test == "pytest"
    )
    for path in re.findall(r"\bpytest (\S+?\.py)", text):
        assert (ROOT / path).is_file()
    assert "## For those who build on it" in (ROOT / "README.md").read_text()
