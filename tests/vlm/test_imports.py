"""The arrows of the library: everything points down, and what knows a framework is named."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "vlm"
# from the ground up: a wing imports those before it
WINGS = (
    "errors",
    "settings",
    "records",
    "backends",
    "pipeline",
    "hub",
    "embedded",
    "inspect",
    "contrastive",
    "token_budget",
    "loading",
    "findings",
    "reports",
    "cli",
    "training",
)
# the model hands out what looks inside its runs
UP = {("pipeline/model.py", "inspect")}
# the arrows of the article, each a file of the pipeline
ARROWS = (
    "image",
    "patches",
    "vision_encoder",
    "connector",
    "prompt",
    "language_model",
    "decoding",
    "model",
)
KNOWN_BY = {  # who may import a package, by wing or file
    "transformers": {
        "backends",
        "pipeline",
        "inspect",
        "loading/load.py",
        "embedded/assembly.py",
        "token_budget",
        "training",
    },
    "open_clip": {"contrastive/loading.py", "training"},
    "timm": {"training"},
    "huggingface_hub": {"hub/fetch.py", "backends/architecture.py", "contrastive/loading.py"},
}


def modules() -> list[Path]:
    return [path for path in sorted(LIBRARY.rglob("*.py")) if path.parent != LIBRARY]


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in it, but for types; of names out of `vlm`, each as
    a module.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_wing_imports_only_what_lies_below_it(path):
    name = path.relative_to(LIBRARY).as_posix()
    own = WINGS.index(name.split("/")[0])
    below = {name.split(".")[1] for name in imported(path) if name.startswith("vlm.")}
    above = {wing for wing in below & set(WINGS) if WINGS.index(wing) > own}
    assert {(name, wing) for wing in above} <= UP


def test_no_module_imports_itself_by_way_of_others():
    names = {
        ".".join(["vlm", *path.relative_to(LIBRARY).with_suffix("").parts]): path
        for path in modules()
    }
    arrows = {name: {*imported(path)} & names.keys() for name, path in names.items()}
    reached: dict[str, set[str]] = {}

    def reach(name: str, way: tuple[str, ...]) -> set[str]:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in reached:
            below = [reach(each, (*way, name)) | {each} for each in arrows[name]]
            reached[name] = set().union(*below)
        return reached[name]

    for name in names:
        reach(name, ())


@pytest.mark.parametrize("package", KNOWN_BY)
def test_what_knows_a_framework_is_named(package):
    found = {
        path.relative_to(LIBRARY).as_posix()
        for path in modules()
        if any(name.split(".")[0] == package for name in imported(path))
    }
    allowed = KNOWN_BY[package]
    known = {name: allowed & {name, name.split("/")[0]} for name in found}
    assert [name for name, by in known.items() if not by] == []
    assert set().union(*known.values()) == allowed


def test_each_arrow_of_the_article_is_a_file():
    assert {path.stem for path in (LIBRARY / "pipeline").glob("*.py")} >= set(ARROWS)
