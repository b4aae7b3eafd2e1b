"""Types, by pyright: no more errors than there were. `python -m tests.typed` counts those of each
folder and fails if one has more than `typed.json` allows; `--write` allows what there is, if less.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = Path(__file__).with_name("typed.json")


def room(file: str) -> str:
    """Name the room that a file of the project is counted in: its folder at the top, or itself."""
    return Path(file).relative_to(ROOT).parts[0]


def counted(diagnostics: Iterable[dict]) -> dict[str, int]:
    """Count the errors of each room."""
    errors = (each for each in diagnostics if each["severity"] == "error")
    return dict(Counter(room(each["file"]) for each in errors))


def compared(found: dict[str, int], allowed: dict[str, int]) -> list[str]:
    """Say which rooms have more errors than they may, one sentence each."""
    return [
        f"{name} has {count} errors of types, {allowed.get(name, 0)} are allowed:"
        f" see `pyright {name}`."
        for name, count in sorted(found.items())
        if count > allowed.get(name, 0)
    ]


def check() -> list[dict]:
    """Let pyright check what pyproject.toml names, with the packages of this environment.

    Raises:
        RuntimeError: pyright itself failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):  # 1: there are errors
        raise RuntimeError(done.stderr or done.stdout)
    return json.loads(done.stdout)["generalDiagnostics"]


def main() -> int:
    """Run the check; 1 if a room has more errors than it may."""
    options = argparse.ArgumentParser(prog="python -m tests.typed", description=__doc__)
    options.add_argument(
        "--write", action="store_true", help="allow what there is, if it is less than was allowed"
    )
    given = options.parse_args()
    allowed = json.loads(ALLOWED.read_text())
    found = counted(check())
    worse = compared(found, allowed)
    if given.write and not worse:
        ALLOWED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print("\n".join(worse) or f"No more errors of types than are allowed: {found} of {allowed}.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
