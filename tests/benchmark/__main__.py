"""Everything that is said of speed: `python -m tests.benchmark`, or some parts of it by name."""

import argparse
import tempfile
from pathlib import Path

from tests.benchmark import lens, memory, page, pipeline, start


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    options.add_argument(
        "parts",
        nargs="*",
        help="limit, growth, reuse, lens, memory, start, opening, page; by default all",
    )
    options.add_argument("--rounds", type=int, default=5, help="runs of every way, in turn")
    options.add_argument("--tokens", type=int, default=24, help="longest answer")
    options.add_argument("--count", type=int, default=100, help="events on the page")
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
            if not given.parts or name in given.parts:
                print(f"\n### {name}\n", flush=True)
                part()


if __name__ == "__main__":
    main()
