"""The README tells the truth: its commands, its library example and its file tree."""

import re
import subprocess
from pathlib import Path

import pytest

import vlm

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL).group(1)


def tree_paths() -> set[str]:
    """Paths of the annotated tree: two spaces of indent a level, a trailing slash for folders, the
    note after two spaces.
    """
    paths, folders = set(), []
    for line in block("text").splitlines():
        name = line.strip().split("  ")[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        path = "/".join([*folders, name.rstrip("/")])
        paths.add(path)
        if name.endswith("/"):
            folders.append(name.rstrip("/"))
    return paths


def tracked_files() -> set[str]:
    return set(
        subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    )


def test_every_path_of_the_file_tree_exists():
    assert [path for path in sorted(tree_paths()) if not (ROOT / path).exists()] == []


def test_every_module_is_in_the_file_tree():
    modules = {
        path
        for path in tracked_files()
        if re.match(r"(app|vlm)/(?!training/).*\.(py|js)$", path)
        and not path.endswith("__init__.py")
    }
    assert sorted(modules - tree_paths()) == []


def test_the_two_commands_stand_in_the_first_screen():
    first_screen = README.splitlines()[:30]
    for command in (
        "pip install -r requirements.txt && python app.py",
        "pip install -r tests/requirements.txt && pytest -n 2 --dist loadfile",
    ):
        assert f"    {command}" in first_screen


def test_the_library_example_runs_as_printed(embedded_model, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(compile(block("python"), "README.md", "exec"), names)
    assert names["trace"].answer in capsys.readouterr().out
    assert names["m"].loss is None  # one photo, two texts: no pairs


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README))))
def test_every_link_leads_to_a_file(path):
    assert (ROOT / path).exists()


def test_the_listed_models_stand_in_the_table_with_their_commits():
    for model in vlm.MODELS:
        row = next(line for line in README.splitlines() if line.startswith(f"| `{model.name}` |"))
        told = [cell.strip() for cell in row.strip("|").split("|")]
        assert told[1:5] == [
            model.kind,
            f"{model.parameters / 1000:.2f}",
            f"{model.gigabytes:.1f}",
            f"{model.gigabytes_four_bit:.1f}",
        ]
        assert told[5].startswith(model.licence) and ("accepted" in told[5]) == model.gated
        assert told[6] == (f"`{model.revision[:12]}`" if model.revision else "first use")
