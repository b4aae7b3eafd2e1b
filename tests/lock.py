"""The lock: which versions the requirements come to today. `python -m tests.lock` writes
`constraints.txt`; `pip install -c tests/constraints.txt -r requirements.txt` installs just these.

Nothing is installed for it: pip resolves the ranges anew and reports what it would take. Local
versions (torch's `+cpu`) are left out, so that the lock serves machines with a GPU too.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = Path(__file__).with_name("constraints.txt")
WANTED = ("requirements.txt", "tests/requirements.txt")
HEAD = "# Written by: python -m tests.lock (Python {}.{})\n"


def resolve(requirements: Iterable[str]) -> list[dict]:
    """Let pip say what it would install into an empty environment: name and version of each.

    Raises:
        subprocess.CalledProcessError: the ranges allow nothing; pip itself says why.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--report", "-", *(part for path in requirements for part in ("-r", path))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [each["metadata"] for each in json.loads(done.stdout)["install"]]


def lines(packages: Iterable[dict]) -> list[str]:
    """Write one line a package, in alphabetical order, without local versions."""
    return sorted(
        f"{canonicalize_name(each['name'])}=={Version(each['version']).public}" for each in packages
    )


if __name__ == "__main__":
    LOCK.write_text(HEAD.format(*sys.version_info[:2]) + "\n".join(lines(resolve(WANTED))) + "\n")
