"""Settings: every environment variable is declared once, and read in one place."""

import ast
from pathlib import Path

import pytest

import app.settings
import vlm.settings

ROOT = Path(__file__).parents[1]
# Which folders are nobody's business but the operator's: variables of other programs among them.
MAY_READ = {"vlm/settings.py", "app/handlers/resources.py"}
PACKAGES = (vlm.settings, app.settings)


def reads_environment(path: Path) -> bool:
    """Whether a file reads `os.environ` or `os.getenv`; setting a default is not reading."""
    tree = ast.parse(path.read_text())
    spoken_to = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "setdefault"
    }
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and id(node) not in spoken_to
        for node in ast.walk(tree)
    )


def test_the_environment_is_read_in_one_place():
    reading = {
        str(path.relative_to(ROOT))
        for folder in ("vlm", "app")
        for path in (ROOT / folder).rglob("*.py")
        if reads_environment(path)
    }
    assert reading == MAY_READ


@pytest.mark.parametrize("package", PACKAGES)
def test_a_variable_that_is_unset_or_empty_leaves_the_default(package):
    settings = package.Settings
    names = [variable.name for variable in settings.variables()]
    assert settings.read({}) == settings.read(dict.fromkeys(names, "")) == settings()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_variable_reaches_a_setting_of_its_own(package):
    settings = package.Settings
    given = {variable.name: f"value {place}" for place, variable in enumerate(settings.variables())}
    read = settings.read(given)
    assert sorted(vars(read).values()) == sorted(given.values())
    for setting, value in vars(read).items():
        assert given[settings.name_of(setting)] == value


def test_no_variable_is_declared_twice():
    names = [
        variable.name
        for package in PACKAGES
        for variable in (*package.Settings.variables(), *package.OTHERS)
    ]
    assert len(names) == len(set(names))
