"""The whole program in a terminal: `visual-token-explorer serve` where it is installed, `python -m
app serve` in a checkout; `--help` lists the other commands and every setting.
"""

import argparse
import sys
from collections.abc import Sequence

from vlm import settings as library
from vlm.cli import commands

from . import settings

PROGRAM = "visual-token-explorer"


def add_serve(command: argparse.ArgumentParser) -> None:
    """Take where the page is served."""
    command.add_argument("--host", help="the address (default: GRADIO_SERVER_NAME)")
    command.add_argument("--port", type=int, help="the port (default: GRADIO_SERVER_PORT)")


def serve(options: argparse.Namespace) -> int:
    """Serve the page until somebody ends it."""
    from . import gpu  # noqa: F401  before all else: on ZeroGPU `spaces` has to come before torch

    # isort: split
    from .page import build
    from .serving import launch

    launch(build(), options.host, options.port)
    return 0


def add_replicas(command: argparse.ArgumentParser) -> None:
    """Take how many processes, and where the page is served."""
    command.add_argument("--count", type=int, default=2, help="processes (default: %(default)s)")
    command.add_argument(
        "--cores", type=float, default=1, help="of the processor, for each (default: %(default)s)"
    )
    command.add_argument("--host", default="127.0.0.1", help="the address (default: %(default)s)")
    command.add_argument("--port", type=int, default=7860, help="the port (default: %(default)s)")


def replicas(options: argparse.Namespace) -> int:
    """Serve the page from several processes until somebody ends them."""
    from .replicas import serve_replicas

    serve_replicas(options.count, options.cores, options.host, options.port)
    return 0


COMMANDS = (
    ("serve", "serve the page", add_serve, serve),
    (
        "replicas",
        "serve the page from several processes, behind Ray Serve",
        add_replicas,
        replicas,
    ),
    *commands.COMMANDS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the page or of the library."""
    variables = (
        *settings.Settings.variables(),
        *library.Settings.variables(),
        *settings.OTHERS,
        *library.OTHERS,
    )
    return commands.execute(commands.command_line(PROGRAM, variables, COMMANDS), arguments)


if __name__ == "__main__":
    sys.exit(main())
