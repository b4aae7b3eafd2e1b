"""What the page waits for and keeps: the models, loaded behind the open page, and the last traces."""

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import vlm

MODEL = os.environ.get("VISUAL_TOKEN_EXPLORER_MODEL", "embedded")
CONTRASTIVE = os.environ.get("VISUAL_TOKEN_EXPLORER_CONTRASTIVE", "embedded")

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """How far a background job is: `state` is "loading", "ready" or "failed"; `fraction` is 0 to 1."""

    state: str
    fraction: float
    message: str


class Background(Generic[T]):
    """A value made once by a thread. `get` waits for it; `status` tells how far it is."""

    def __init__(self, name: str, make: Callable[[vlm.Progress], T]) -> None:
        self.name = name
        self._make = make
        self._changed = threading.Condition()
        self._status = Status("loading", 0.0, f"loading the {name}")
        self._thread: threading.Thread | None = None
        self._value: T | None = None
        self._error: BaseException | None = None

    @property
    def status(self) -> Status:
        return self._status

    def start(self) -> None:
        """Begin, if it has not begun, or begin again after a failure."""
        with self._changed:
            if self._thread is None or (self._status.state == "failed" and not self._thread.is_alive()):
                self._error = None
                self._status = Status("loading", 0.0, f"loading the {self.name}")
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def get(self) -> T:
        """The value, as soon as it is there.

        Raises:
            vlm.VLMError: it could not be made; the next call tries again.
        """
        self.start()
        self.wait(lambda status: status.state != "loading")
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self, until: Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait until the status satisfies `until` or `timeout` seconds have passed; the status then."""
        with self._changed:
            self._changed.wait_for(lambda: until(self._status), timeout)
            return self._status

    def _run(self) -> None:
        try:
            self._value = self._make(self._report)
            self._set(Status("ready", 1.0, f"{self.name} ready"))
        except vlm.VLMError as error:
            self._error = error
            self._set(Status("failed", 0.0, str(error)))
        except BaseException as error:  # the waiting requests must not wait for ever; it is raised again in them and here
            self._error = error
            self._set(Status("failed", 0.0, f"the {self.name} could not be loaded"))
            raise

    def _report(self, fraction: float, message: str) -> None:
        self._set(Status("loading", fraction, message))

    def _set(self, status: Status) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()


class Recent(Generic[T]):
    """The last few values by key: what has not changed is not computed again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, key: Hashable) -> T | None:
        """The value if it is kept."""
        with self._lock:
            return self._values.get(key)

    def many(self, keys: Sequence[Hashable], make: Callable[[list[Hashable]], Sequence[T]]) -> list[T]:
        """A value for every key; those that are not kept are made together."""
        with self._lock:
            found = {key: self._values[key] for key in keys if key in self._values}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            found |= dict(zip(missing, make(missing), strict=True))
        return [self.get(key, lambda key=key: found[key]) for key in keys]

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


def _load_language(progress: vlm.Progress):
    model = vlm.load(MODEL, progress)
    progress(1.0, "warming up")
    from PIL import Image

    trace = model.trace(Image.new("RGB", (64, 48), "gray"), "What is this?", vlm.Decoding(max_new_tokens=1))
    vlm.project(trace.visual_tokens.embeddings)
    return model


def _load_contrastive(progress: vlm.Progress):
    language.wait(lambda status: status.state != "loading")  # two cores: the first answer comes first
    return vlm.load_contrastive(CONTRASTIVE, progress=progress)


def _warm_umap(progress: vlm.Progress) -> bool:
    """numba compiles UMAP on its first fit: some ten seconds of both cores that nobody should wait for, least of all the first answer."""
    contrastive.wait(lambda status: status.state != "loading")
    answered.wait(PATIENCE)
    if sys.platform == "linux":  # there a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    model = language.get()
    from PIL import Image

    trace = model.encode(Image.effect_noise((64, 48), 60), "What is this?")
    vlm.project(trace.visual_tokens.embeddings, "umap")
    return True


language = Background("vision-language model", _load_language)
contrastive = Background("contrastive model", _load_contrastive)
umap = Background("UMAP view", _warm_umap)
answered = threading.Event()  # the first answer on this page is complete
PATIENCE = 60.0  # seconds without a question after which UMAP is warmed up all the same


_others: Recent[Background] = Recent(2)


def contrastive_model(name: str):
    """The contrastive model of this name: the page's own, or one of the two that were asked for last.

    Raises:
        vlm.VLMError: it cannot be had.
    """
    if name == CONTRASTIVE:
        return contrastive.get()
    if name.startswith("local-dir:") or Path(name).exists():
        folder, allowed = Path(name.removeprefix("local-dir:")).resolve(), os.environ.get("VISUAL_TOKEN_EXPLORER_MODELS")
        if not allowed or not folder.is_relative_to(Path(allowed).resolve()):
            raise vlm.ModelError(f"Folders of this machine are not open to visitors ({name!r}); whoever serves the page names theirs in VISUAL_TOKEN_EXPLORER_MODELS.")
        name = str(folder)
    return _others.get(name, lambda: Background("contrastive model", lambda progress: vlm.load_contrastive(name, progress=progress))).get()


def start() -> None:
    """Load everything behind the page, the vision-language model first."""
    for job in (language, contrastive, umap):
        job.start()
