"""Known vulnerabilities of what is installed here, as the Python package index tells them: `python
-m tests.advisories`, after `pip install pip-audit`.

It reports and never fails: an advisory that appears somewhere must not stop a change that has
nothing to do with it, and a fresh environment has the newest versions that `requirements.txt`
allows already. Where the index cannot be reached, or gives no advisories (many mirrors do not),
that is said instead; nothing is called safe that was not looked up.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

import httpx

INDEX = "https://pypi.org"


def not_told(index: str = INDEX) -> str:
    """Why the index's advisories cannot be had here; empty if they can.

    Asks about one installed package.
    """
    known = f"{index}/pypi/pip/{metadata.version('pip')}/json"
    try:
        reply = httpx.get(known, timeout=15, follow_redirects=True)
    except httpx.HTTPError as error:
        return f"{index} cannot be reached ({type(error).__name__})"
    if reply.status_code != 200:
        return (
            f"{known} is answered with status {reply.status_code}, as by a mirror without"
            " advisories"
        )
    try:
        return "" if "vulnerabilities" in reply.json() else f"{known} tells no vulnerabilities"
    except ValueError:
        return f"{known} is no JSON"


def summary(dependencies: Sequence[dict]) -> str:
    """What pip-audit found, in lines: one an advisory, then how many packages were looked up and
    how many could not be.
    """
    looked_up = [each for each in dependencies if "vulns" in each]
    lines = [
        f"{each['name']} {each['version']}: {found['id']}"
        + (
            f", mended in {', '.join(found['fix_versions'])}"
            if found.get("fix_versions")
            else ", not mended yet"
        )
        for each in looked_up
        for found in each["vulns"]
    ]
    return "\n".join(
        [
            *lines,
            (
                f"{len(lines)} known vulnerabilities in {len(looked_up)} packages;"
                f" {len(dependencies) - len(looked_up)} packages could not be looked up."
            ),
        ]
    )


def main(index: str = INDEX) -> str:
    """What is to be printed."""
    if reason := not_told(index):
        return f"Known vulnerabilities were not looked up: {reason}."
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip_audit",
            "--format",
            "json",
            "--progress-spinner",
            "off",
            "--skip-editable",
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    try:
        return summary(json.loads(done.stdout)["dependencies"])
    except ValueError:
        return (
            "Known vulnerabilities were not looked up: pip-audit says"
            f" {(done.stderr.strip().splitlines() or ['nothing'])[-1]}."
        )


if __name__ == "__main__":
    print(main())
