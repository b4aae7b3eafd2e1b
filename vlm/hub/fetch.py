"""A model on the hub: its name checked, its configuration read first, its files fetched whole, its
commit kept.

Beside `store.py` the one file that touches the network. It fetches data alone (configuration,
tokenizer, processor, safetensors), never code. Files go where huggingface_hub keeps them, so that
what other programs fetched is found; which commit a name stands for is kept in our own cache
directory, because a branch moves.
"""

import errno
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from vlm.backends import memory
from vlm.errors import FetchError, ModelError
from vlm.hub.catalogue import MODELS
from vlm.hub.store import Progress, cache_directory, sha256
from vlm.settings import Settings

log = logging.getLogger(__name__)

NAME = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})"
    r"(@(?P<revision>[A-Za-z0-9][\w.-]{0,99}))?",
    re.ASCII,
)
COMMIT = re.compile(r"[0-9a-f]{40}")
# beside the weights: configuration, tokenizer, processor, chat template
DATA = (".json", ".jinja", ".txt", ".model")
SPARE = 2_000_000_000  # bytes that stay free on the disk
HTTPError = HfHubHTTPError.__bases__[0]  # of httpx or of httpx2, by the version of huggingface_hub
UNREACHABLE = (HTTPError, OfflineModeIsEnabled, ConnectionError, LocalEntryNotFoundError)


@dataclass(frozen=True)
class Reference:
    """A model on the hub, as a person names it: OWNER/NAME, and which commit, branch or tag if one
    was given.
    """

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> "Reference | None":
        """What a text names; None if it is no name of a model on a hub.

        Neither `..` nor a second slash can be in one.
        """
        found = NAME.fullmatch(text)
        return (
            cls(found["name"], found["revision"])
            if found and ".." not in text and "--" not in text
            else None
        )

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name

    @property
    def page(self) -> str:
        """Give the address of the model's page on the hub."""
        return f"{_endpoint()}/{self.name}"


def _endpoint() -> str:
    return (Settings.read().hub or constants.ENDPOINT).rstrip("/")


def pinned(reference: Reference) -> str | None:
    """The commit that is used: the one that was asked for, the catalogue's, or the one that was
    first fetched; None if it is not settled yet.
    """
    if reference.revision and COMMIT.fullmatch(reference.revision):
        return reference.revision
    if reference.revision is None:
        listed = next((model.revision for model in MODELS if model.name == reference.name), None)
        if listed:
            return listed
    try:
        kept = _pin(reference).read_text().strip()
    except OSError:
        return None
    return kept if COMMIT.fullmatch(kept) else None


def _repository(reference: Reference) -> Path:
    return (
        Path(constants.HF_HUB_CACHE).expanduser() / f"models--{reference.name.replace('/', '--')}"
    )


def _pin(reference: Reference) -> Path:
    return cache_directory() / "commits" / str(reference).replace("/", "--")


def _keep(reference: Reference, commit: str) -> None:
    path = _pin(reference)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        half.write_text(commit + "\n")
        half.replace(path)
    except OSError as error:
        raise FetchError(
            f"Which commit {reference} stands for cannot be kept in {path.parent}"
            f" ({error.strerror or error}); free some space there."
        ) from error


def in_cache(reference: Reference) -> tuple[Path, str] | None:
    """The folder of a model that is wholly on this machine, and its commit.

    The network is not asked.

    Raises:
        ModelError: a weight file in it is damaged.
    """
    repository = _repository(reference)
    commit = pinned(reference)
    if commit is None:  # fetched by another program
        try:
            commit = (repository / "refs" / (reference.revision or "main")).read_text().strip()
        except OSError:
            return None
    folder = repository / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not (folder / "config.json").is_file():
        return None
    try:
        memory.parameters(folder)
    except ModelError as error:
        log.info("%s is not whole: %s", folder, error)
        return None
    return folder, commit


def fetch(
    reference: Reference, check: Callable[[dict, int], None], progress: Progress | None = None
) -> tuple[Path, str]:
    """The folder of a model of the hub and its commit; fetched if it is not on this machine yet.

    Args:
        check: called with the configuration and the bytes of the weights before these are fetched;
            raises if they are not wanted.
        progress: called with (fraction of all bytes, words).

    Raises:
        FetchError: no network, no such model, no permission, no room on the disk, or a file that is
            not what the hub says it is.
        ModelError: it has no safetensors, or `check` raised.
    """
    told = progress or (lambda fraction, words: None)
    if found := in_cache(reference):
        told(1.0, f"{reference.name} is on this machine, commit {found[1][:12]}")
        return found
    told(0.0, f"asking {_endpoint()} for {reference}")
    known = pinned(reference)
    try:
        info = HfApi(endpoint=_endpoint()).model_info(
            reference.name, revision=known or reference.revision, files_metadata=True
        )
        commit = known or info.sha
        configuration = (
            _read(_one(reference, commit, "config.json"), reference)
            if any(each.rfilename == "config.json" for each in info.siblings)
            else None
        )
        if configuration is None:
            raise ModelError(
                f"{reference} has no config.json, so it is no checkpoint of transformers; look for"
                " a copy of it whose name ends in -hf."
            )
        files = _wanted(reference, commit, info)
        check(
            configuration,
            sum(each.size or 0 for each in files if each.rfilename.endswith(".safetensors")),
        )
        _keep(reference, commit)
        folder = _fetch_all(reference, commit, files, told)
    except (HfHubHTTPError, *UNREACHABLE) as error:
        raise _sentence(reference, error) from error
    except (OSError, RuntimeError) as error:  # the second: the hub's own faster protocol
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                f"The disk of {constants.HF_HUB_CACHE} is full, {reference} is half fetched; free"
                " some space, or set HF_HUB_CACHE to another disk, and load it again."
            ) from error
        raise FetchError(
            f"{reference} could not be fetched ({str(error).splitlines()[0]}); what is there is"
            " kept, load it again to go on."
        ) from error
    memory.parameters(folder)  # whole?
    return folder, commit


def _bar(heard: Callable[[int], None]) -> type:
    """What huggingface_hub takes for a class of progress bars: it draws nothing and tells of every
    piece that was written.
    """

    class Bar:
        total, n = None, 0

        def __init__(self, *arguments, **named) -> None:
            pass

        def update(self, count: float | None = 1) -> None:
            heard(int(count or 0))

        def silent(self, *arguments, **named) -> None:
            """Speeds, and bytes on the wire, which are fewer than those written."""

        update_transfer = set_postfix_str = set_transfer_postfix_str = set_description = refresh = (
            close
        ) = silent

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *arguments) -> None:
            pass

    return Bar


def _one(
    reference: Reference, commit: str, name: str, heard: Callable[[int], None] = lambda count: None
) -> Path:
    return Path(
        hf_hub_download(
            reference.name,
            name,
            revision=commit,
            endpoint=_endpoint(),
            cache_dir=constants.HF_HUB_CACHE,
            tqdm_class=_bar(heard),
        )
    )


def _read(path: Path, reference: Reference) -> dict:
    try:
        configuration = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(
            f"The config.json of {reference} cannot be read; choose another model."
        ) from error
    if not isinstance(configuration, dict):
        raise ModelError(
            f"The config.json of {reference} holds no configuration; choose another model."
        )
    return configuration


def _wanted(reference: Reference, commit: str, info: ModelInfo) -> list[RepoSibling]:
    """The files of the checkpoint, small ones first: data beside the weights, and those weights
    that its index names.

    Raises:
        ModelError: its weights are not safetensors.
    """
    files = {each.rfilename: each for each in info.siblings if "/" not in each.rfilename}
    if memory.SINGLE in files:
        weights = [memory.SINGLE]
    elif memory.INDEX in files:
        weights = sorted(
            set(
                _read(_one(reference, commit, memory.INDEX), reference)
                .get("weight_map", {})
                .values()
            )
            & set(files)
        )
    else:
        weights = []
    if not weights:
        others = sorted(
            {Path(name).suffix for name in files}
            & {".bin", ".pt", ".pth", ".gguf", ".onnx", ".msgpack"}
        )
        instead = f" (it has {' and '.join(others)} files)" if others else ""
        raise ModelError(
            f"{reference} has no weights as safetensors{instead}; files that could run code are not"
            " opened, look for a copy with safetensors."
        )
    beside = [name for name in files if name.endswith(DATA) and name not in weights]
    return sorted((files[name] for name in [*beside, *weights]), key=lambda each: each.size or 0)


def _fetch_all(reference: Reference, commit: str, files: list[RepoSibling], told: Progress) -> Path:
    """Fetch what is not there yet, with the bytes told.

    Every weight file is compared with the hub's SHA-256.

    Raises:
        FetchError: no room, or a file with another SHA-256.
    """
    repository = _repository(reference)
    folder = repository / "snapshots" / commit
    total = sum(each.size or 0 for each in files)
    for each in files:
        # cut off
        if (
            (there := folder / each.rfilename).is_file()
            and each.size is not None
            and there.stat().st_size != each.size
        ):
            there.resolve().unlink()
            there.unlink(missing_ok=True)
    done = sum(each.size or 0 for each in files if (folder / each.rfilename).is_file())
    existing = next(path for path in (repository, *repository.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if total - done > free - SPARE:
        raise FetchError(
            f"{reference} takes {memory.gigabytes(total - done)} more on the disk, and of"
            f" {memory.gigabytes(free)} that are free in {existing} {memory.gigabytes(SPARE)} are"
            " left alone; free some space, or set HF_HUB_CACHE to another disk."
        )

    def heard(count: int) -> None:
        nonlocal done
        done = min(done + count, total)
        told(
            done / total if total else 1.0,
            f"fetching {reference.name} at {commit[:12]}: {memory.gigabytes(done)} of"
            f" {memory.gigabytes(total)}",
        )

    heard(0)
    for each in files:
        if (folder / each.rfilename).is_file():
            continue
        before = done
        path = _one(reference, commit, each.rfilename, heard)
        done = min(before + (each.size or 0), total)
        if each.lfs and sha256(path) != each.lfs.sha256:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise FetchError(
                f"{each.rfilename} of {reference} is not the file that the hub names (its SHA-256"
                " differs); it was thrown away, load the model again."
            )
    return folder


def _sentence(reference: Reference, error: Exception) -> FetchError:
    """What a failure means to the one who asked for the model."""
    if isinstance(error, GatedRepoError):
        return FetchError(
            f"{reference} is gated: accept its licence at {reference.page}, log in with 'hf auth"
            " login' on this machine, and load it again."
        )
    if isinstance(error, RevisionNotFoundError):
        return FetchError(
            f"{reference.name} has no commit, branch or tag"
            f" {reference.revision or pinned(reference)!r}; leave the part after @ away, or see"
            f" {reference.page} for those it has."
        )
    if isinstance(error, RepositoryNotFoundError):
        return FetchError(
            f"There is no model {reference.name!r} on {_endpoint()}, or it is private; check the"
            " name, or log in with 'hf auth login' if it is yours."
        )
    if (
        isinstance(error, HfHubHTTPError)
        and error.response is not None
        and error.response.status_code in (401, 403)
    ):
        return FetchError(
            f"{_endpoint()} does not give {reference} to this machine (status"
            f" {error.response.status_code}); log in with 'hf auth login', accept its licence at"
            f" {reference.page}, and load it again."
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code if error.response is not None else "unknown"
        return FetchError(
            f"{_endpoint()} could not answer for {reference} (status {status}); try again in a"
            " while."
        )
    commit = pinned(reference)
    command = f"hf download {reference.name}" + (
        f" --revision {commit or reference.revision}" if commit or reference.revision else ""
    )
    return FetchError(
        f"{_endpoint()} cannot be reached and {reference} is not wholly in"
        f" {constants.HF_HUB_CACHE}; run '{command}' on a machine with network, copy its"
        f" {_repository(reference).name} folder there, and load it again."
    )
