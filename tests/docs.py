"""The tables of the documents that repeat what the program itself says: `python -m tests.docs`
writes them, `--check` only says which are no longer true.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; what is around them is written by hand.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import app.settings
import vlm
import vlm.settings
from vlm.backends.family_words import DESCRIBED

ROOT = Path(__file__).parents[1]
NAME_WIDTH = 28  # of a path in the file tree
ROOMS = ("vlm", "app", "tests")  # folders of the file tree, in its order


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell for cell in line) + " |" for line in lines)


def settings() -> str:
    """List every environment variable."""
    variables = (
        *app.settings.Settings.variables(),
        *vlm.settings.Settings.variables(),
        *app.settings.OTHERS,
        *vlm.settings.OTHERS,
    )
    return table(
        ("variable", "meaning", "default"),
        ((f"`{each.name}`", each.meaning, each.default) for each in variables),
    )


def models() -> str:
    """List the models of the hub that the page offers."""
    return table(
        (
            "model",
            "kind",
            "parameters, billions",
            "GB in bfloat16",
            "GB in 4-bit",
            "licence of the weights",
            "commit",
        ),
        (
            (
                f"`{each.name}`",
                each.kind,
                f"{each.parameters / 1000:.2f}",
                f"{each.gigabytes:.1f}",
                f"{each.gigabytes_four_bit:.1f}",
                each.licence + (", to be accepted on its page first" if each.gated else ""),
                f"`{each.revision[:12]}`" if each.revision else "first use",
            )
            for each in vlm.MODELS
        ),
    )


def pairs() -> str:
    """List the contrastive pairs that the page offers."""
    return table(
        ("pair", "parameters, millions", "licence of the weights"),
        (
            (f"`{each.name}/{each.pretrained}`", str(each.parameters), each.licence)
            for each in vlm.LISTED
        ),
    )


def families() -> str:
    """List every family of models, in words."""
    return table(
        (
            "system",
            "kind",
            "how its picture is made",
            "what its connector does",
            "places, in f_v",
            "exact",
        ),
        (each._replace(kind=each.kind and f"`{each.kind}`") for each in DESCRIBED),
    )


def findings() -> str:
    """List the published findings with source and tolerance."""
    return table(
        ("", "finding", "source", "seen if"),
        ((str(each.id), each.claim, each.source, each.tolerance) for each in vlm.findings.FACTS),
    )


def default(value: object) -> str:
    """Write an input's default as a cell: a photo by its name, a text with its lines in one."""
    return f"`{json.dumps(value.get('orig_name') if isinstance(value, dict) else value)}`"


def endpoints() -> str:
    """List the page's named endpoints with their inputs, as Gradio tells them to programs."""
    from app.page import build

    rows = []
    for name, said in build().get_api_info()["named_endpoints"].items():
        inputs = [
            f"`{each['parameter_name']}`"
            + (f" ({default(each['parameter_default'])})" if each["parameter_has_default"] else "")
            for each in said["parameters"]
        ]
        meaning = said.get("description", "").removeprefix(f"`{name}`: ")
        rows.append((f"`{name}`", ", ".join(inputs), meaning))
    return table(("endpoint", "inputs (default)", "what it gives"), rows)


def first_sentence(path: Path) -> str:
    """Read what a file says of itself: the first sentence of its docstring or first comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.match(r"(?://[^\n]*\n)+|/\*.*?\*/", text, re.DOTALL)
        said = re.sub(r"(?m)^\s*(//|/\*+|\*/|\*)\s?", "", comment[0]) if comment else ""
    paragraph = " ".join(said.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[^.][.!?])\s(?=[A-Z])|: `", paragraph)[0].rstrip(".")


def files() -> list[str]:
    """List the files that are followed, and those on their way there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(path for path in set(listed.stdout.splitlines()) if (ROOT / path).is_file())


def tree() -> str:
    """Draw the tree of source files, each with the first sentence it says of itself."""
    lines, seen = [], set()
    for room in ROOMS:
        for path in files():
            parts = path.split("/")
            if parts[0] != room or Path(path).suffix not in (".py", ".js", ".ts"):
                continue
            if parts[-1].startswith(("test_", "conftest")) or parts[-1].endswith(".test.ts"):
                continue
            if "dist" in parts:  # made of the others
                continue
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                if folder in seen:
                    continue
                seen.add(folder)
                about = ROOT / folder / "__init__.py"
                said = first_sentence(about) if about.exists() else ""
                lines.append((depth - 1, f"{parts[depth - 1]}/", said))
            if parts[-1] != "__init__.py":
                lines.append((len(parts) - 1, parts[-1], first_sentence(ROOT / path)))
    return "\n".join(
        [
            "```text",
            *(f"{'  ' * deep + name:<{NAME_WIDTH}} {said}".rstrip() for deep, name, said in lines),
            "```",
        ]
    )


def pictures() -> str:
    """Show the picture of every view that `python -m tests.screenshots` took."""
    from app.sections.stages import VIEWS

    taken = {path.stem for path in (ROOT / "assets" / "docs" / "views").glob("*.png")}
    order = [*(name for name in VIEWS if name in taken), *sorted(taken - set(VIEWS))]
    return "\n\n".join(
        f"### {name.replace('-', ' ')}\n\n![The view {name.replace('-', ' ')}](views/{name}.png)"
        for name in order
    )


# the document and the name of each table in it
TABLES: dict[tuple[str, str], Callable[[], str]] = {
    ("assets/docs/serving.md", "settings"): settings,
    ("assets/docs/models.md", "models"): models,
    ("assets/docs/models.md", "pairs"): pairs,
    ("assets/docs/models.md", "families"): families,
    ("assets/docs/findings.md", "findings"): findings,
    ("assets/docs/views.md", "pictures"): pictures,
    ("assets/docs/api.md", "endpoints"): endpoints,
    ("assets/docs/architecture.md", "files"): tree,
}


def replaced(text: str, name: str, content: str) -> str:
    """Put a table in its place in a document.

    Raises:
        ValueError: it has no place there, or several.
    """
    place = re.compile(rf"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)", re.DOTALL)
    new, places = place.subn(lambda found: f"{found[1]}\n{content}\n{found[2]}", text)
    if places != 1:
        raise ValueError(f"{places} places for the table {name!r}; it needs one")
    return re.sub(rf"\n+(<!-- /{name} -->)", r"\n\n\1", new)


def outdated(write: bool, names: Sequence[str] = ()) -> list[str]:
    """Find the tables that are no longer true, and write them anew if that is asked."""
    found = []
    for (document, name), content in TABLES.items():
        if names and name not in names:
            continue
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        new = replaced(text, name, content())
        if new != text:
            found.append(f"{document}: {name}")
            if write:
                path.write_text(new, encoding="utf-8")
    return found


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing; 1 if one differs")
    given = options.parse_args()
    found = outdated(write=not given.check)
    print("\n".join(found) or "Every table is true.")
    if given.check and found:
        print("Write them anew: python -m tests.docs")
    return 1 if given.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
