"""What Hugging Face Spaces asks for: the front matter, a source tree nobody writes to, and on
ZeroGPU a job that is forked and pickled.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gradio
import pytest
import yaml
from gradio_client import Client, handle_file

import vlm
from tests.tiny import photo, tiny_clip

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
KEYS = {
    "title",
    "emoji",
    "colorFrom",
    "colorTo",
    "sdk",
    "sdk_version",
    "python_version",
    "app_file",
    "app_build_command",
    "base_path",
    "fullWidth",
    "header",
    "short_description",
    "models",
    "datasets",
    "tags",
    "thumbnail",
    "pinned",
    "disable_embedding",
    "startup_duration_timeout",
    "custom_headers",
    "preload_from_hub",
    "suggested_hardware",
}
LARGEST = 10_000_000  # bytes that a file may have without Git LFS or Xet


def tracked() -> list[str]:
    """What a push carries, and what is on its way there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def test_the_front_matter_is_what_a_space_reads():
    said = yaml.safe_load(README.split("---\n")[1])
    assert README.startswith("---\n") and set(said) <= KEYS
    assert said["sdk"] == "gradio" and (ROOT / said["app_file"]).is_file()
    assert len(said["short_description"]) <= 60
    assert {said["colorFrom"], said["colorTo"]} <= set(COLOURS)
    # a string; of ZeroGPU's two the one that transformers runs on
    assert said["python_version"] == "3.12"
    assert re.fullmatch(r"\d+(m|h)", said["startup_duration_timeout"])
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in said["models"])


def test_the_space_installs_the_gradio_that_is_tested():
    version = yaml.safe_load(README.split("---\n")[1])["sdk_version"]
    assert version == gradio.__version__
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    # a Space brings its own torch, gradio and spaces
    assert not [line for line in lines if "==" in line.partition("#")[0]]


def test_no_file_needs_to_travel_by_git_lfs():
    assert [
        path
        for path in tracked()
        if (ROOT / path).is_file() and (ROOT / path).stat().st_size > LARGEST
    ] == []


FAKE_SPACES = '''
"""ZeroGPU's decorator as far as its rules go: every call is pickled into a forked process, and
every result out of it.
"""
import functools, multiprocessing, pickle, sys
assert "torch" not in sys.modules, "spaces has to be imported before torch"
asked = []
class Gone: pass
def GPU(duration):
    def decorate(task):
        @functools.wraps(task)
        def call(*arguments):
            asked.append(duration(*arguments))
            bytes_in = pickle.dumps(arguments)
            context = multiprocessing.get_context("fork")
            out, into = context.Pipe(duplex=False)
            def work():
                for value in task(*pickle.loads(bytes_in)):
                    into.send_bytes(pickle.dumps(value))
                into.send_bytes(pickle.dumps(Gone()))
            process = context.Process(target=work)
            process.start()
            while not isinstance(value := pickle.loads(out.recv_bytes()), Gone):
                yield value
            process.join()
        return call
    return decorate
'''
ZERO = """
import sys
from app import gpu
import spaces, os
from app.models import Background, Choice
from app.server import Server
from app.uploads import EXAMPLES
import vlm
from PIL import Image
gpu.DEVICE = "cpu"
assert gpu.ACTIVE and os.environ["VLM_DEVICE"] == "cpu"
server = Server()
server.models.language = Background("language", lambda progress: vlm.load(sys.argv[1]))
model, first = server.models.language.get(), server.models.first
path = str(EXAMPLES / "coffee.jpg")
plane, decoding = ("pca", 2, 0, 15, "cosine"), (0.0, 0, 1.0, 1.0, 0, 5)
updates = list(server.run(path, None, "What is it?", first, *plane, *decoding))
expected = model.trace(vlm.open_image(path), "What is it?", vlm.Decoding(max_new_tokens=5))
last = [update[2] for update in updates if isinstance(update[2], dict) and "steps" in update[2]][-1]
assert last["answer"] == expected.answer and last["finished"] and last["key"]
assert len(last["steps"]) == len(expected.steps)
kept = server.runs.open_answer(last["key"]).trace
# came back, and is kept here
assert kept.steps[0].attention.shape == expected.steps[0].attention.shape
later = Choice(sys.argv[2])  # a model that the worker was born before
[first, *_] = server.gpu.answer(None, later, expected, vlm.Decoding(max_new_tokens=2))
assert first.token_string and not server.gpu.lent
try:
    list(server.gpu.answer(None, Choice("nowhere"), expected, vlm.Decoding()))
except vlm.VLMError as error:
    assert "no model 'nowhere'" in str(error)
else:
    raise AssertionError("an error of the worker was lost")
assert 20 < spaces.asked[0] < 60
print("fine")
"""


@pytest.mark.long
def test_on_zerogpu_the_answer_is_computed_by_a_forked_worker_and_everything_it_said_comes_back(
    tmp_path, checkpoints
):
    (tmp_path / "spaces.py").write_text(FAKE_SPACES)
    environment = {
        **os.environ,
        "SPACES_ZERO_GPU": "true",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    environment.pop("VLM_DEVICE", None)
    done = subprocess.run(
        [sys.executable, "-c", ZERO, str(checkpoints("clip")), str(checkpoints("siglip"))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "fine", done.stderr[-3000:]


def test_app_py_brings_spaces_before_anything_else():
    imports = [
        line
        for line in (ROOT / "app.py").read_text().splitlines()
        if line.startswith(("import ", "from "))
    ]
    assert imports[0].startswith("from app import gpu")


@pytest.fixture
def read_only_tree(tmp_path):
    """A copy of the project that cannot be written, and a folder that its reader can."""
    tree, home = tmp_path / "project", tmp_path / "home"
    for path in tracked():
        if (ROOT / path).is_file() and not path.startswith("tests/"):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tree / path)
    home.mkdir()
    for path in [*tree.rglob("*"), tree]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield tree, home
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755)


@pytest.mark.long
def test_the_page_starts_from_a_tree_that_nobody_can_write(
    read_only_tree, checkpoints, tmp_path_factory, tmp_path
):
    tree, home = read_only_tree
    bound = []
    if os.getuid() == 0:  # whom no file mode binds, until the capabilities are given up
        if not shutil.which("setpriv"):
            pytest.skip("root may write everything, and there is no setpriv to give that up")
        bound = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    refused = subprocess.run(
        [*bound, sys.executable, "-c", "open('new', 'w')"], cwd=tree, capture_output=True, text=True
    )
    assert "PermissionError" in refused.stderr, refused.stderr
    shutil.copytree(checkpoints("clip"), home / "model")
    shutil.copytree(tiny_clip(tmp_path_factory.mktemp("contrast")), home / "contrast")
    (home / "tmp").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "VISUAL_TOKEN_EXPLORER_MODEL": str(home / "model"),
        "VISUAL_TOKEN_EXPLORER_CONTRASTIVE": str(home / "contrast"),
        "HF_HUB_OFFLINE": "1",
    }
    picture = tmp_path / "wide.png"
    photo(90, 150).save(picture)
    page = subprocess.Popen(
        [*bound, sys.executable, "app.py"],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = []
        for line in page.stdout:
            said.append(line)
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError("".join(said))
        client = Client(address[0], verbose=False)
        answer = client.predict(
            handle_file(picture), "What is it?", 0.0, 0, 1.0, 1.0, 0, 5, api_name="/answer"
        )
        assert (
            answer
            == vlm.load(checkpoints("clip"))
            .trace(vlm.open_image(picture), "What is it?", vlm.Decoding(max_new_tokens=5))
            .answer
        )
    finally:
        page.terminate()
        page.wait(60)
    assert not list(tree.rglob("*.pyi")) and not list(tree.rglob("__pycache__"))
