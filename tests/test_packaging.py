"""What is installed, and what stands beside the program: one version, one list of what is needed,
and a wheel that works without the checkout.
"""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vlm
from tests import docs

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]


def requirements(path: str) -> list[str]:
    """What a requirements file itself asks for."""
    lines = [line.partition(" #")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-r"))]


def test_the_citation_has_what_the_format_asks_for():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(said)
    assert said["license"] == PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert said["references"][0]["title"] in (ROOT / "README.md").read_text()


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    changes = re.findall(r"(?m)^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text())
    assert vlm.__version__ == cited == changes[0]


@pytest.mark.parametrize(
    ("extra", "path"),
    [("train", "vlm/training/requirements.txt"), ("test", "tests/requirements.txt")],
)
def test_an_extra_asks_for_what_its_requirements_file_does(extra, path):
    own = [line for line in EXTRAS[extra] if not line.startswith("visual-token-explorer")]
    assert sorted(own) == sorted(requirements(path))


def test_every_package_of_the_program_is_installed():
    """A folder of Python files that nobody names would be missing in the wheel."""
    folders = PROJECT["tool"]["setuptools"]["package-dir"]
    installed = {
        next(
            (
                name.replace(package, folder, 1)
                for package, folder in folders.items()
                if name.startswith(package)
            ),
            name,
        ).replace(".", "/")
        for name in PROJECT["tool"]["setuptools"]["packages"]
    }
    there = {
        str(Path(path).parent)
        for path in docs.files()
        if path.startswith(("vlm/", "app/")) and path.endswith(".py")
    }
    assert there <= installed


@pytest.mark.parametrize("path", ["requirements.txt", "tests/requirements.txt"])
def test_the_lock_names_every_requirement_within_its_range(path):
    locked = dict(line.split("==") for line in requirements("tests/constraints.txt"))
    for line in requirements(path):
        wanted = Requirement(line)
        version = locked.get(canonicalize_name(wanted.name))
        assert version and wanted.specifier.contains(version), f"{line}: run python -m tests.lock"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing in it but the unpacked wheel."""
    made, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for path in docs.files():
        if not path.startswith("tests/"):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            made,
            source,
        ],
        check=True,
    )
    [wheel] = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    return site


def run_installed(site: Path, folder: Path, code: str, *arguments: str) -> str:
    """Run Python from a folder of its own, with the wheel and what else is installed here."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site), "GRADIO_ANALYTICS_ENABLED": "False"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_wheel_holds_every_file_that_the_program_reads(installed):
    renamed = {"app/": "visual_token_explorer/", "assets/": "vlm/assets/"}
    for path in docs.files():
        start = path.partition("/")[0] + "/"
        if start in ("app/", "vlm/", "assets/") and not path.endswith(".md") and path.count("/"):
            if path.startswith("assets/") and not path.startswith(
                ("assets/embedded", "assets/examples")
            ):
                continue
            if path.startswith("app/web/") and not path.startswith("app/web/dist/"):
                continue  # what the bundle is made of
            inside = renamed.get(start, start) + path.removeprefix(start)
            assert (installed / inside).read_bytes() == (ROOT / path).read_bytes(), path
    assert {path.name for path in installed.iterdir() if "dist-info" not in path.name} == {
        "vlm",
        "visual_token_explorer",
    }


def test_what_the_wheel_needs_is_what_the_requirements_say(installed):
    [metadata] = installed.glob("*.dist-info/METADATA")
    text = metadata.read_text().partition("\n\n")[0]
    needed = re.findall(r"(?m)^Requires-Dist: ([^;\n]+)$", text)
    assert {str(Requirement(line)) for line in needed} == {
        str(Requirement(line)) for line in requirements("requirements.txt")
    }
    assert f"Version: {vlm.__version__}\n" in text


SERVE = """
import sys
import gradio, httpx
from gradio_client import Client, handle_file
import vlm
from visual_token_explorer import __main__ as program, examples, models

def visit(demo):
    page, photo = httpx.get(demo.local_url), examples.FOLDER / "chelsea.jpg"
    assert "window.VTE" in page.text
    assert httpx.get(f"{demo.local_url}gradio_api/file={photo}").content == photo.read_bytes()
    client = Client(demo.local_url, verbose=False)
    said = client.predict(handle_file(photo), "What?", max_new_tokens=3, api_name="/answer")
    decoding = vlm.Decoding(max_new_tokens=3)
    trace = demo.backend.models.language.get().trace(vlm.open_image(photo), "What?", decoding)
    assert said == trace.answer and trace.steps
    demo.close()

gradio.Blocks.block_thread = visit  # where the command would wait for visitors
models.Models.start = lambda every: every.language.start()  # the one model that is asked
assert program.main(["serve", "--host", "127.0.0.1"]) == 0
assert vlm.__file__.startswith(sys.argv[1]) and str(vlm.assets()).startswith(sys.argv[1])
assert not {name for name in sys.modules if name.split(".")[0] == "app"}
print("served")
"""


def test_the_installed_program_serves_the_page_and_answers(
    installed, tmp_path, checkpoints, monkeypatch
):
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_MODEL", str(checkpoints("clip")))
    said = run_installed(installed, tmp_path, SERVE, str(installed))
    assert said.splitlines()[-1] == "served"


def test_the_command_tells_every_setting(installed, tmp_path):
    code = "import sys; from visual_token_explorer.__main__ import main; sys.exit(main(['--help']))"
    said = run_installed(installed, tmp_path, code)
    for command in ("serve", "ask", "fetch", "replay", "findings", "index", "replicas"):
        assert re.search(rf"(?m)^    {command} ", said)
    for line in docs.settings().splitlines()[2:]:
        assert line.split("`")[1] in said
