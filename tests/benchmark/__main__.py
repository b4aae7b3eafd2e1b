"""Everything that is said of speed: `python -m tests.benchmark`, or some parts of it by name.

With `--write` the figures go into assets/docs/benchmarks.md, with the command, the day and the
processor that gave them.
"""

import argparse
import contextlib
import datetime
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmark import lens, memory, page, pipeline, start
from tests.docs import ROOT, replaced
from vlm.backends.device import has_fast_bfloat16

DOCUMENT = ROOT / "assets" / "docs" / "benchmarks.md"


class Both(io.StringIO):
    """What is printed, kept and shown at once."""

    def write(self, text: str) -> int:
        """Keep and show a text; its length."""
        sys.__stdout__.write(text)
        sys.__stdout__.flush()
        return super().write(text)


def describe_machine() -> str:
    """Say what computes: the GPU's name, or the processor's cores and widest instructions."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    wide = torch.backends.cpu.get_cpu_capability()
    halves = "with" if has_fast_bfloat16() else "without"
    return f"{len(os.sched_getaffinity(0))} CPU cores, {wide}, {halves} bfloat16"


def measure(name: str, part: Callable[[], object], command: str) -> str:
    """Run one part and show its figures; give them with where they came from, as Markdown."""
    print(f"\n### {name}\n", flush=True)
    with contextlib.redirect_stdout(Both()) as said:
        part()
    today = datetime.date.today().isoformat()
    figures = re.sub(r"(?m)^Closing server.*\n", "", said.getvalue()).strip()  # Gradio's own words
    return f"`{command}`, {today}, {describe_machine()}:\n\n{figures}"


def main() -> None:
    """Run the parts that are named, or all."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    options.add_argument(
        "parts",
        nargs="*",
        help="limit, growth, reuse, lens, memory, start, opening, page; by default all",
    )
    options.add_argument("--rounds", type=int, default=5, help="runs of every way, in turn")
    options.add_argument("--tokens", type=int, default=24, help="longest answer")
    options.add_argument("--count", type=int, default=100, help="events on the page")
    options.add_argument("--write", action="store_true", help="the figures into the document")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            "limit": lambda: pipeline.against_the_limit(Path(folder), given.rounds, given.tokens),
            "growth": lambda: pipeline.growth(Path(folder), given.rounds),
            "reuse": lambda: pipeline.reuse(given.rounds, given.tokens),
            "lens": lambda: (lens.cost(given.rounds), lens.opened()),
            "memory": memory.cost,
            "start": lambda: start.cold(given.rounds),
            "opening": lambda: start.opened(given.rounds),
            "page": lambda: page.quickness(given.count),
        }
        if unknown := set(given.parts) - set(parts):
            options.error(
                f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(parts)}"
            )
        for name, part in parts.items():
            if given.parts and name not in given.parts:
                continue
            figures = measure(
                name, part, f"python -m tests.benchmark {name} --rounds {given.rounds}"
            )
            if given.write:
                text = DOCUMENT.read_text(encoding="utf-8")
                DOCUMENT.write_text(replaced(text, name, figures), encoding="utf-8")


if __name__ == "__main__":
    main()
