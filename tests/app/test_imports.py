"""The arrows of the architecture: the page knows the library's public names, the library knows
nothing of the page.
"""

import ast
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vlm
from app.panels import bundle

ROOT = Path(__file__).parents[2]
# modules of the library that the page's own program is made of, beside the names of `import vlm`
PUBLIC_MODULES = ("cli", "settings")
# panels whose work is to lead to another: the lesson scrolls to its step, the strip to the answer
LOOKING_ELSEWHERE = {"lesson", "stage-strip"}
WEB = ROOT / "app" / "web"
# panels that are drawn in a page that was taken home only
OFFLINE = {"scatter"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, in full, with the names taken out of them."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
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
    public = {*vlm.__all__, *PUBLIC_MODULES}
    for path in modules("app"):
        inner = {name for name in imported(path) if name.startswith("vlm.")}
        assert {name.split(".")[1] for name in inner} <= public, path
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "vlm"
        }
        assert used <= public, path


def test_the_page_finds_its_own_files_under_any_name():
    """Installed, the folder `app` is the package `visual_token_explorer`: names of `app` break."""
    for path in modules("app"):
        absolute = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if (
                isinstance(node, ast.ImportFrom)
                and not node.level
                and f"{node.module}.".startswith("app.")
            )
            or (
                isinstance(node, ast.Import)
                and any(f"{alias.name}.".startswith("app.") for alias in node.names)
            )
        ]
        assert not absolute, f"{path}:{absolute[0].lineno}: write a relative import"


def test_a_panels_script_looks_into_its_own_element_only():
    """Views meet in the store: none reads or writes another's element."""
    looking = {
        path.stem
        for path in (WEB / "src" / "views").glob("*.ts")
        if re.search(r"document\.(querySelector|getElement)", path.read_text())
    }
    assert looking == LOOKING_ELSEWHERE


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


def test_every_panel_is_mounted_by_a_module_of_its_name():
    panels = {path.stem for path in (ROOT / "app" / "panels").glob("*.html")}
    mounted = re.findall(
        r"import \{ mount as \w+ \} from '\./([\w-]+)'",
        (WEB / "src" / "views" / "index.ts").read_text(),
    )
    assert {name.replace("-", "_") for name in mounted} == panels - OFFLINE
    for name in mounted:
        assert (WEB / "src" / "views" / f"{name}.ts").exists(), name


def test_the_store_and_what_else_is_core_knows_no_view():
    for path in sorted((WEB / "src" / "core").glob("*.ts")):
        assert not re.search(r"from '\.\./", path.read_text().replace("../../../panels/", "")), path


@pytest.mark.parametrize("name", ["ahead", "page", "offline"])
def test_the_name_of_a_bundle_is_what_it_holds(name):
    """A browser keeps it for a year."""
    contents = bundle(name).read_bytes()
    assert bundle(name).stem == f"{name}-{hashlib.sha256(contents).hexdigest()[:12]}"
    assert b"</script" not in contents.lower()  # the page that is kept has it inside of one


def test_no_script_parses_text_as_html():
    for path in sorted((WEB / "src").rglob("*.ts")):
        for danger in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert danger not in path.read_text(), path
