"""The arrows of the architecture: the page knows the library's public names, the library knows
nothing of the page.
"""

import ast
import subprocess
import sys
from pathlib import Path

import vlm

ROOT = Path(__file__).parents[2]


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, with the names taken out of them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def test_the_library_never_imports_the_page():
    for path in modules("vlm"):
        assert not {name for name in imported(path) if name.split(".")[0] in ("app", "gradio")}, (
            path
        )


def test_the_page_imports_neither_torch_nor_transformers():
    for path in [ROOT / "app.py", *modules("app")]:
        assert not {
            name
            for name in imported(path)
            if name.split(".")[0] in ("torch", "transformers", "open_clip", "timm")
        }, path


def test_the_page_uses_public_names_of_the_library_only():
    for path in modules("app"):
        inner = {name for name in imported(path) if name.startswith("vlm.")}
        assert not inner, path
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "vlm"
        }
        assert used <= set(vlm.__all__) | {"Progress"}, path


def test_panels_do_not_import_each_other():
    for path in modules("app/panels"):
        assert not {name for name in imported(path) if name.startswith("app.panels.")}, path


def test_the_page_is_built_without_loading_torch():
    code = (
        "import sys, app.page; app.page.build(); print(sorted({'torch', 'transformers',"
        " 'open_clip', 'umap'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_no_template_holds_a_placeholder():
    """Gradio evaluates `{{...}}` and `${...}` of a template as code.

    Text reaches the page through scripts instead.
    """
    for path in sorted((ROOT / "app" / "panels").glob("*.html")):
        assert "{{" not in path.read_text() and "${" not in path.read_text(), path


def test_no_script_parses_text_as_html():
    for path in sorted((ROOT / "app" / "panels").glob("*.js")):
        for danger in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert danger not in path.read_text(), path
