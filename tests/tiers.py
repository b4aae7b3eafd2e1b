"""Which tests run: all that are not long; with `-m ""` all; with a path all that it names.

Long is what is marked so, never an identity (hostile files, load, killed processes, what compiles
itself), and what needs a browser or the wheel.
"""

import pytest

SHORT = "not long"


def expression(config: pytest.Config) -> str:
    """Give the marks asked for: those of `-m`; without it and without a path the short ones."""
    asked = any(str(given).startswith("-m") for given in config.invocation_params.args)
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return config.option.markexpr if asked or named else SHORT


def pytest_configure(config: pytest.Config) -> None:
    """Leave out what is long where nothing else is asked for."""
    config.option.markexpr = expression(config)


@pytest.hookimpl(tryfirst=True)  # before pytest leaves anything out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long what opens the page in a browser and is not marked `always`, and what needs the
    wheel.
    """
    for item in items:
        browses = "visit" in item.fixturenames and not item.get_closest_marker("always")
        if browses or "installed" in item.fixturenames:
            item.add_marker("long")
