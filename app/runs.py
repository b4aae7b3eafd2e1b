"""Runs that were asked for, and what was computed of them: each thing once, as long as there is
room. What an instrument of the library finds out about a run comes from here alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

import vlm

from .examples import SETTINGS, Precomputed, PrecomputedRun
from .gpu import Gpu
from .models import Models
from .recent import Budget, Recent
from .run_key import RunKey
from .run_request import Plane, RunRequest, decoding
from .uploads import EXAMPLES, Uploads, photo_digest

BLOCK = 12  # visual tokens whose lens is read at a time: half of what a screen shows
# these lie where a model computes, and are let go with it
HEAVY = {"prefill", "hidden states", "encoder attention", "answer attention"}
GONE = "This run is no longer kept on the server; press Run again to look further into it."
ANSWER_GONE = "This answer is no longer kept on the server; press Run again."

T = TypeVar("T")


class Runs:
    """Traces and answers by their key, with what instruments make of them.

    A run that came with the page is computed anew when something is asked about it.
    """

    def __init__(
        self, models: Models, gpu: Gpu, uploads: Uploads, precomputed: Precomputed, budget: Budget
    ) -> None:
        self._models, self._gpu, self._uploads = models, gpu, uploads
        self._precomputed = precomputed
        self._kept: Recent[Any] = Recent(budget, size=4096, heavy=lambda key: key[0] in HEAVY)

    def get(self, what: str, key: RunKey, make: Callable[[], T], *part: object) -> T:
        """A thing of a run, or a part of it, made if it is not kept."""
        return self._kept.get((what, key, *part), make)

    def known(self, what: str, key: RunKey | None) -> Any:
        """A thing of a run if it is kept."""
        return self._kept.known((what, key)) if key else None

    def count(self, what: str) -> int:
        """How many things of a kind are kept."""
        return [key[0] for key in self._kept.keys].count(what)

    def clear(self, *kinds: str) -> None:
        """Let go of everything, or of some kinds of things."""
        self._kept.clear(lambda key: not kinds or key[0] in kinds)

    def encode(self, request: RunRequest) -> "Run":
        """The run before its answer; from what is kept if photos, question and model
        are the same. Photos are seen once, whatever is asked.

        Raises:
            vlm.VLMError: the photo or the question cannot be used.
        """
        request.check()
        images = [self._uploads.open(path) for path in request.photos]
        model = self._models.language_model(request.choice)
        model.check_question(request.question)
        key = RunKey.of(map(photo_digest, images), request.choice.tag, request.question)

        def encode_image() -> vlm.EncodedImage:
            if model.reads_question:  # a connector may
                return self.get("sight", key, lambda: model.encode_image(images, request.question))
            return self.get("sight", key.encoded_image, lambda: model.encode_image(images))

        return Run(
            self, key, self.get("trace", key, lambda: model.ask(encode_image(), request.question))
        )

    def open(self, run: object) -> "Run":
        """An earlier run, whose key a browser gave back.

        Raises:
            vlm.VLMError: it is no longer kept.
        """
        key, shipped = RunKey.parse(run), self._precomputed.find(run)
        if key and shipped:
            return Run(self, key, self.get("trace", key, lambda: self._encode_again(shipped)))
        trace = self.known("trace", key)
        if key is None or trace is None:
            raise vlm.VLMError(GONE)
        return Run(self, key, trace)

    def open_answer(self, answered: object, gone: str = ANSWER_GONE) -> "Run":
        """An earlier run with its answer, whose key a browser gave back.

        Raises:
            vlm.VLMError: it is no longer kept; `gone` is what the visitor then reads.
        """
        key, shipped = RunKey.parse(answered), self._precomputed.find(answered)
        if key and shipped:
            operator = self.get("operator", key, lambda: decoding(*SETTINGS))
            trace = self.get("answer", key, lambda: self._answer_again(shipped, operator))
        else:
            operator, trace = self.known("operator", key), self.known("answer", key)
        if key is None or trace is None or operator is None:
            raise vlm.VLMError(gone)
        return Run(self, key, trace, operator)

    def keep_answer(
        self, run: RunKey, operator: vlm.Decoding, trace: vlm.Trace, steps: list[vlm.Step]
    ) -> "Run":
        """The run with its answer, about whose words can be asked under its key."""
        key = run.decoded(operator)
        trace = self.get("answer", key, lambda: trace.with_steps(steps))
        return Run(self, key, trace, self.get("operator", key, lambda: operator))

    def _encode_again(self, shipped: PrecomputedRun) -> vlm.Trace:
        path = str(EXAMPLES / shipped.photo)
        return self.encode(RunRequest((path,), shipped.question, self._models.first)).trace

    def _answer_again(self, shipped: PrecomputedRun, operator: vlm.Decoding) -> vlm.Trace:
        choice, trace = self._models.first, self.open(shipped.run).trace
        model = self._models.language_model(choice)
        return trace.with_steps(self._gpu.answer(model, choice, trace, operator))

    def made_by(self, key: RunKey):
        """The model that made a run or an answer.

        Raises:
            vlm.VLMError: it is no longer in memory.
        """
        if self._precomputed.find(str(key)):
            return self._models.language_model(self._models.first)  # whose run came before it
        return self._models.made_by(key.model)


@dataclass(frozen=True)
class Held:
    """Where the inspector of a run holds what it computes: with what is kept of all runs."""

    runs: Runs
    key: RunKey

    def get(self, key, make):
        """What the key stands for, whatever answer it was asked about; what depends on the photos
        alone, whatever the question.
        """
        of = self.key.encoded_image if key.of_photos else self.key.run
        return self.runs.get(key.name, of, make, *key.part)


@dataclass(frozen=True)
class Run:
    """A run under inspection: its records, and what instruments make of it, each once.

    Attributes:
        trace: with the steps of the answer, if it is one.
        operator: how the answer was decoded; None before an answer.
    """

    runs: Runs
    key: RunKey
    trace: vlm.Trace
    operator: vlm.Decoding | None = None

    @property
    def model(self):
        """The model that made it.

        Raises:
            vlm.VLMError: it is no longer in memory.
        """
        return self.runs.made_by(self.key)

    @property
    def look(self):
        """The run under inspection: the library's instruments, which share what is kept here.

        Raises:
            vlm.VLMError: its model is no longer in memory.
        """
        return self.model.inspect(self.trace, held=Held(self.runs, self.key))

    def prefill(self, model):
        """The sequence once through this run's model, as decoding begins."""
        return self.runs.get(
            "prefill", self.key.run, lambda: model.prefill(self.trace, hidden=True)
        )

    def project(self, plane: Plane) -> vlm.Projection:
        """Visual and text tokens together in the plane or in space."""
        visual, text = self.trace.visual_tokens.embeddings, self.trace.text_tokens.embeddings

        def make() -> vlm.Projection:
            return vlm.project(
                np.concatenate([visual, text]),
                plane.method,
                seed=plane.seed,
                neighbours=plane.neighbours,
                dimensions=plane.dimensions,
                metric=plane.metric,
            )

        return self.runs.get("projection", self.key.run, make, plane)
