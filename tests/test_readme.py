"""The documents tell the truth: their commands, examples, links and tables."""

import re
from pathlib import Path

import pytest

from tests import docs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LARGEST = 8_000  # bytes of the README, which is read in two minutes
DOCUMENTS = [path for path in docs.files() if path.endswith(".md")]
# each link of a document: from where, to where
LINKS = [
    (document, target)
    for document in DOCUMENTS
    for target in re.findall(r"\]\(((?!http)[^)\s]+)\)", (ROOT / document).read_text())
]


def examples(document: str) -> list[str]:
    """The Python blocks of a document that need no page."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return [block for block in blocks if "127.0.0.1" not in block]


def anchors(path: Path) -> set[str]:
    """What a link into a document may name: its headings, as forges write them."""
    headings = re.findall(r"(?m)^#+ (.+)$", path.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_two_commands_stand_in_the_first_screen():
    first_screen = README.splitlines()[:30]
    for command in (
        "pip install -r requirements.txt && python app.py",
        "pip install -r tests/requirements.txt && pytest -n 2 --dist loadfile",
    ):
        assert f"    {command}" in first_screen


def test_the_readme_is_short():
    assert len(README.encode()) <= LARGEST


def test_every_document_is_found_from_the_readme():
    found, new = set(), {"README.md"}
    while new:
        found |= new
        new = {
            str(
                (ROOT / document)
                .parent.joinpath(target.partition("#")[0])
                .resolve()
                .relative_to(ROOT)
            )
            for document, target in LINKS
            if document in new
        } & set(DOCUMENTS) - found
    assert found == set(DOCUMENTS)


@pytest.mark.parametrize(("document", "target"), LINKS)
def test_every_link_leads_somewhere(document, target):
    file, _, anchor = target.partition("#")
    path = (ROOT / document).parent / file if file else ROOT / document
    assert path.exists()
    assert not anchor or anchor in anchors(path)


@pytest.mark.parametrize(
    "document", ["README.md", pytest.param("assets/docs/library.md", marks=pytest.mark.long)]
)
def test_the_library_example_runs_as_printed(document, embedded_model, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    [example] = examples(document)
    names: dict = {}
    exec(compile(example, document, "exec"), names)
    assert names["trace"].answer in capsys.readouterr().out
    if "m" in names:
        assert names["m"].loss is None  # one photo, two texts: no pairs


@pytest.mark.parametrize(("document", "name"), docs.TABLES)
def test_a_table_that_repeats_the_program_is_what_the_command_writes(document, name):
    assert docs.outdated(write=False, names=[name]) == [], "run: python -m tests.docs"


def test_a_table_that_is_no_longer_true_is_found_and_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "TABLES", {("a.md", "models"): docs.models})
    (tmp_path / "a.md").write_text("before\n\n<!-- models -->\n\nold\n\n<!-- /models -->\nafter\n")
    assert (
        docs.outdated(write=False) == ["a.md: models"] and "old" in (tmp_path / "a.md").read_text()
    )
    assert docs.outdated(write=True) == ["a.md: models"] and docs.outdated(write=False) == []
    text = (tmp_path / "a.md").read_text()
    assert docs.models() in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("<!-- /models -->\nafter\n")
    (tmp_path / "a.md").write_text("no place")
    with pytest.raises(ValueError, match="0 places"):
        docs.outdated(write=False)


def test_every_part_of_the_benchmark_has_its_place_in_the_document():
    document = (ROOT / "assets" / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    command = (ROOT / "tests" / "benchmark" / "__main__.py").read_text(encoding="utf-8")
    parts = re.findall(r'^            "(\w+)": ', command, re.MULTILINE)
    assert len(parts) == 8
    for part in parts:
        assert "written" in docs.replaced(document, part, "written")
