"""What the page waits for: the models, loaded behind the open page."""

import hashlib
import os
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import vlm

from .recent import Budget, Recent
from .settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """How far a background job is: `state` is "loading", "ready", "failed" or "idle" (let go);
    `fraction` is 0 to 1.
    """

    state: str
    fraction: float
    message: str


class Background(Generic[T]):
    """A value made once by a thread. `get` waits for it; `status` tells how far it is."""

    def __init__(self, name: str, make: Callable[[vlm.Progress], T]) -> None:
        self.name = name
        self._make = make
        self._changed = threading.Condition()  # its lock can be taken again by who holds it
        self._status = Status("loading", 0.0, f"loading the {name}")
        self._thread: threading.Thread | None = None
        self._value: T | None = None
        self._error: BaseException | None = None
        self._retired = False

    @property
    def status(self) -> Status:
        """Tell how far the value is, without waiting for it."""
        return self._status

    def start(self) -> None:
        """Begin, if it has not begun; begin again after a failure or when the value was let go."""
        with self._changed:
            if self._retired:
                return
            if self._thread is None or (
                self._status.state in ("failed", "idle") and not self._thread.is_alive()
            ):
                self._error = None
                self._status = Status("loading", 0.0, f"loading the {self.name}")
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def get(self) -> T:
        """The value, as soon as it is there; None if it was retired.

        Raises:
            vlm.VLMError: it could not be made; the next call tries again.
        """
        while True:
            self.start()
            self.wait(lambda status: status.state != "loading")
            with self._changed:
                if self._status.state != "idle" or self._retired:
                    return self.made()

    def made(self) -> T | None:
        """The value if it is there; nothing is begun or waited for.

        Raises:
            vlm.VLMError: it could not be made.
        """
        with self._changed:
            if self._status.state == "failed":
                raise self._error
            return self._value

    def wait(self, until: Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait until the status satisfies `until` or `timeout` seconds have passed; the status
        then.
        """
        with self._changed:
            self._changed.wait_for(lambda: until(self._status), timeout)
            return self._status

    def let_go(self, retire: bool) -> T | None:
        """Keep the value no longer, and give it to the caller, the last who holds it here.

        The next `get` makes it again, unless it is retired.
        """
        with self._changed:
            self._retired = retire
            value, self._value = self._value, None
            if self._status.state == "ready":
                self._status = Status("idle", 0.0, f"{self.name} not in memory")
                self._changed.notify_all()
            return value

    def _run(self) -> None:
        try:
            self._value = self._make(self._report)
            self._set(Status("ready", 1.0, f"{self.name} ready"))
        except vlm.VLMError as error:
            self._error = error
            self._set(Status("failed", 0.0, str(error)))
        # the waiting requests must not wait for ever; it is raised again in them and here
        except BaseException as error:
            little = vlm.is_out_of_memory(error)
            self._error = (
                vlm.ModelError(
                    f"There was not enough memory to load the {self.name}; choose a smaller one, or"
                    " try again when others are done."
                )
                if little
                else error
            )
            self._set(
                Status(
                    "failed",
                    0.0,
                    str(self._error)
                    if little
                    else (
                        f"The {self.name} could not be loaded ({type(error).__name__}); try again,"
                        " or choose another, and tell whoever serves this page, whose log says"
                        " more."
                    ),
                )
            )
            if not little:
                raise

    def _report(self, fraction: float, message: str) -> None:
        self._set(Status("loading", fraction, message))

    def _set(self, status: Status) -> None:
        with self._changed:
            self._status = status
            self._changed.notify_all()


@dataclass(frozen=True)
class Choice:
    """A vision-language model as a visitor chose it."""

    name: str
    four_bit: bool = False

    @property
    def tag(self) -> str:
        """What stands for it in the keys of what it made."""
        return hashlib.blake2b(repr((self.name, self.four_bit)).encode(), digest_size=6).hexdigest()


# seconds without a question after which UMAP is warmed up all the same
PATIENCE = 60.0
# seconds that a model which is being replaced is waited for: runs under way keep theirs until they
# are done
RUNS_END = 60.0


class Models:
    """The models of one page: those that it begins with, and those that visitors choose.

    Attributes:
        name, contrastive_name: of the models that the page begins with.
        first: the vision-language model that it begins with, as a choice.
        language, contrastive, umap: the jobs that bring them, and make UMAP quick.
        answered: set when the first answer on this page is complete.
        runs_end: seconds that a model which is being replaced is waited for.
    """

    def __init__(self, settings: Settings, budget: Budget) -> None:
        self.name, self.contrastive_name = settings.model, settings.contrastive
        self.first = Choice(self.name)
        self.language: Background = Background("vision-language model", self._load_language)
        self.contrastive: Background = Background("contrastive model", self._load_contrastive)
        self.umap: Background = Background("UMAP view", self._warm_umap)
        self.answered = threading.Event()
        self.runs_end = RUNS_END
        self._budget = budget
        # of these one is in memory, beside the embedded model
        self._chosen: dict[Choice, Background] = {}
        self._chosen_lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        # what a job holds is not known when it is begun
        self._others: Recent[Background] = Recent(Budget(0), size=2)

    def _load_language(self, progress: vlm.Progress):
        with self._one_at_a_time:
            model = vlm.load(
                self.name,
                progress,
                make_room=(lambda: self._make_room(self.first))
                if self.name != "embedded"
                else None,
            )
        progress(1.0, "warming up")
        from PIL import Image

        trace = model.trace(
            Image.new("RGB", (64, 48), "gray"), "What is this?", vlm.Decoding(max_new_tokens=1)
        )
        vlm.project(trace.visual_tokens.embeddings)
        return model

    def _load_contrastive(self, progress: vlm.Progress):
        # two cores: the first answer comes first
        self.language.wait(lambda status: status.state != "loading")
        return vlm.load_contrastive(self.contrastive_name, progress=progress)

    def _warm_umap(self, progress: vlm.Progress) -> bool:
        """Compile UMAP, which numba does on its first fit: some ten seconds of both cores that
        nobody should wait for, least of all the first answer.
        """
        self.contrastive.wait(lambda status: status.state != "loading")
        self.answered.wait(PATIENCE)
        if sys.platform == "linux":  # there a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        model = self.language.get()
        from PIL import Image

        trace = model.encode(Image.effect_noise((64, 48), 60), "What is this?")
        vlm.project(trace.visual_tokens.embeddings, "umap")
        return True

    def contrastive_model(self, name: str):
        """The contrastive model of this name: the page's own, or one of the two that were asked for
        last. Whether a visitor may ask for it is for `handlers.permissions` to say.

        Raises:
            vlm.VLMError: it cannot be had.
        """
        if name == self.contrastive_name:
            return self.contrastive.get()
        return self._others.get(
            name,
            lambda: Background(
                "contrastive model", lambda progress: self._load_other(name, progress)
            ),
        ).get()

    def _load_other(self, name: str, progress: vlm.Progress):
        with self._one_at_a_time:
            return vlm.load_contrastive(name, progress=progress)

    def choose(self, choice: Choice) -> Background:
        """The job that brings a vision-language model: the page's own, the one beside it, or a new
        one, which takes the other's place once it is known to be a model.
        """
        if choice == self.first:
            return self.language
        with self._chosen_lock:
            if choice not in self._chosen:
                self._chosen[choice] = Background(
                    f"model {choice.name}", lambda progress: self._load_chosen(choice, progress)
                )
            return self._chosen[choice]

    def language_model(self, choice: Choice):
        """The vision-language model of this choice, loaded if it is not in memory.

        Raises:
            vlm.VLMError: it cannot be had.
        """
        # another visitor's took its place while it was waited for
        while (model := self.choose(choice).get()) is None:
            pass
        return model

    def at_hand(self, choice: Choice):
        """The model of this choice if it is in memory, else None.

        Takes no lock: a forked process may have been born while another thread held it.
        """
        job = self.language if choice == self.first else self._chosen.get(choice)
        return job and job._value

    def made_by(self, tag: str):
        """The vision-language model with this tag, if it is in memory; no other is let go for it.

        Raises:
            vlm.VLMError: it is not.
        """
        with self._chosen_lock:
            jobs = (
                [self.language]
                if tag == self.first.tag
                else [job for choice, job in self._chosen.items() if choice.tag == tag]
            )
        model = jobs[0].made() if jobs else None
        if model is None:
            raise vlm.VLMError(
                "The model of this run is no longer in memory; load it again under Model and press"
                " Run to look further into it."
            )
        return model

    def _load_chosen(self, choice: Choice, progress: vlm.Progress):
        with self._one_at_a_time:
            try:
                return vlm.load(
                    choice.name,
                    progress,
                    four_bit=choice.four_bit,
                    make_room=lambda: self._make_room(choice),
                )
            except vlm.VLMError:
                with self._chosen_lock:
                    self._chosen.pop(choice, None)
                raise

    def _make_room(self, coming: Choice) -> None:
        """Let go of the models beside the embedded one, and wait until nobody computes with them
        any more.
        """
        with self._chosen_lock:
            leaving = [
                (choice, job)
                for choice, job in self._chosen.items()
                if choice != coming and job.status.state == "ready"
            ]
            for choice, _ in leaving:
                del self._chosen[choice]
        if self.name != "embedded" and coming != self.first:
            leaving.append((self.first, self.language))
        for choice, job in leaving:
            gone, model = threading.Event(), job.let_go(retire=job is not self.language)
            if model is None:
                continue
            weakref.finalize(model, gone.set)
            del model
            self._budget.forget(choice.tag)
            vlm.release_memory()
            if gone.wait(self.runs_end):
                vlm.release_memory()

    def begin_loading(self) -> None:
        """Load everything behind the page, the vision-language model first."""
        for job in (self.language, self.contrastive, self.umap):
            job.start()
