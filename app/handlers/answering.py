"""A photo and a question through the model: stage views at once, the answer as it comes; what has
not changed is not computed again.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import gradio as gr

import vlm

from .. import examples, gpu, models, payloads
from .errors import MAX_QUESTION, MAX_TOGETHER, plain, shows_errors, text, whole
from .photos import EXAMPLES, digest, example_digests, open_upload

sights: models.Recent[vlm.Sight] = models.Recent()
traces: models.Recent[vlm.Trace] = models.Recent()
prefills: models.Recent = models.Recent(heavy=True)
answers: models.Recent[vlm.Trace] = models.Recent()
operators: models.Recent[vlm.Decoding] = models.Recent()  # of these answers
projections: models.Recent[vlm.Projection] = models.Recent()
# in the order of the controls
SETTINGS = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "max_new_tokens")
PLANE = ("method", "dimensions", "projection_seed", "neighbours", "metric")


def encode(
    path: str | None,
    question: str,
    choice: models.Choice = models.START,
    also: Sequence[str] | None = None,
) -> tuple[str, vlm.Trace]:
    """The trace before its answer, from the last few if photos, question and model are the same,
    and its key. Photos are seen once, whatever is asked.

    The key is that of the photos, a point, the tag of the model, a dash, and that of the question.

    Raises:
        vlm.VLMError: the photo or the question cannot be used.
    """
    also = list(also or [])
    if len(also) >= MAX_TOGETHER:
        raise vlm.ImageError(
            f"There are {len(also) + 1} photos, at most {MAX_TOGETHER} can be asked about at once;"
            " take some away."
        )
    images = [open_upload(each) for each in (path, *also)]
    if len(text(question, "The question")) > MAX_QUESTION:
        raise vlm.QuestionError(
            f"The question has {len(question):,} characters, at most {MAX_QUESTION:,} are allowed;"
            " shorten it."
        )
    model = models.language_model(choice)
    model.check_question(question)
    seen = f"{'+'.join(map(digest, images))}.{choice.tag}"
    key = f"{seen}-{hashlib.blake2b(question.strip().encode(), digest_size=8).hexdigest()}"
    # a connector may read the question too
    sight = (
        (key, lambda: model.see(images, question))
        if model.reads_question
        else (seen, lambda: model.see(images))
    )
    return key, traces.get(key, lambda: model.ask(sights.get(*sight), question))


@dataclasses.dataclass(frozen=True)
class Plane:
    """How tokens are laid out; the settings beside the method matter to UMAP and t-SNE alone."""

    method: str = "pca"
    dimensions: int = 2
    seed: int = 0
    neighbours: int = 15
    metric: str = "cosine"

    @classmethod
    def of(
        cls, method: str, dimensions: int, seed: float | None, neighbours: float | None, metric: str
    ) -> "Plane":
        """The controls' values.

        Raises:
            vlm.VLMError: one is not to be had.
        """
        for name, value, least, most in (
            ("seed", seed, 0, 2**31 - 1),
            ("neighbours", neighbours, 2, 200),
        ):
            if not least <= whole(value, name) <= most:
                raise vlm.VLMError(
                    f"{name} is {value!r}; give a whole number from {least} to {most}."
                )
        if (
            method not in ("pca", "umap", "tsne")
            or dimensions not in (2, 3)
            or metric not in ("cosine", "euclidean")
        ):
            raise vlm.VLMError(
                f"{method!r:.40} in {dimensions!r:.40} dimensions by {metric!r:.40} distance is not"
                " to be had; choose pca, umap or tsne, 2 or 3, cosine or euclidean."
            )
        return (
            cls("pca", int(dimensions))
            if method == "pca"
            else cls(method, int(dimensions), int(seed), int(neighbours), metric)
        )

    @property
    def asked(self) -> dict:
        """As a link tells it."""
        return dict(zip(PLANE, dataclasses.astuple(self)))

    @property
    def words(self) -> str:
        """Name the settings that matter to the method, in words; PCA has none."""
        return (
            ""
            if self.method == "pca"
            else f"seed {self.seed}, {self.neighbours} neighbours, {self.metric} distance"
        )


def project(key: str, trace: vlm.Trace, plane: Plane) -> dict:
    """Visual and text tokens together in the plane or in space."""
    import numpy as np

    def make() -> vlm.Projection:
        rows = np.concatenate([trace.visual_tokens.embeddings, trace.text_tokens.embeddings])
        return vlm.project(
            rows,
            plane.method,
            seed=plane.seed,
            neighbours=plane.neighbours,
            dimensions=plane.dimensions,
            metric=plane.metric,
        )

    return payloads.plane(key, projections.get((key, plane), make), plane.words) | {
        "asked": plane.asked
    }


def decoding(
    temperature: float,
    top_k: float,
    top_p: float,
    repetition_penalty: float,
    seed: float,
    max_new_tokens: float,
) -> vlm.Decoding:
    """The sliders' values as D_d (a browser sends whole numbers as floats).

    Raises:
        vlm.DecodingError: a value is outside its range.
    """
    counted = {"top_k": top_k, "seed": seed, "max_new_tokens": max_new_tokens}
    measured = {
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
    }
    numbers = {name: whole(value, name, vlm.DecodingError) for name, value in counted.items()} | {
        name: plain(value, name, vlm.DecodingError) for name, value in measured.items()
    }
    return vlm.Decoding(**numbers)


def asked(key: str, choice: models.Choice, operator: vlm.Decoding) -> dict:
    """How a run was asked for, as a link tells it; only an example photo can be in one."""
    return {
        "example": example_digests().get(key.partition(".")[0]),  # no two photos together
        "model": choice.name,
        "settings": {name: getattr(operator, name) for name in SETTINGS},
    }


@shows_errors
def run(
    path: str | None,
    also: Sequence[str] | None,
    question: str,
    choice: models.Choice,
    method: str,
    dimensions: int,
    seed: float,
    neighbours: float,
    metric: str,
    *settings: float,
) -> Iterator[tuple]:
    """Stage views at once, then the answer token by token, then what the tokens are near to:
    (record, plane, answer, words).
    """
    operator, plane = decoding(*settings), Plane.of(method, dimensions, seed, neighbours, metric)
    # this run's, whatever is chosen meanwhile
    model, longest = models.language_model(choice), operator.max_new_tokens
    key, trace = encode(path, question, choice, also)
    # UMAP and t-SNE take seconds: a run begins with PCA
    first = plane if plane.method == "pca" else Plane(dimensions=plane.dimensions)
    record = payloads.record(key, trace) | {
        "language_layers": model.language_layers,
        "model": model.name,
        "asked": asked(key, choice, operator),
    }
    yield (
        record,
        project(key, trace, first),
        payloads.answer((), False, longest) | {"run": key},
        gr.skip(),
    )
    steps: list[vlm.Step] = []
    for step in gpu.answer(
        model,
        choice,
        trace,
        operator,
        lambda: prefills.get(key, lambda: model.prefill(trace, hidden=True)),
    ):
        steps.append(step)
        yield gr.skip(), gr.skip(), payloads.answer(steps, False, longest) | {"run": key}, gr.skip()
    answered = f"{key}-{hashlib.blake2b(repr(operator).encode(), digest_size=8).hexdigest()}"
    trace = answers.get(answered, lambda: trace.with_steps(steps))
    operators.get(answered, lambda: operator)
    yield (
        gr.skip(),
        gr.skip(),
        payloads.answer(steps, True, longest, trace, answered) | {"run": key},
        gr.skip(),
    )
    models.answered.set()
    nearest = model.embedding_lens(trace.visual_tokens.embeddings, payloads.WORDS)
    yield (
        gr.skip(),
        gr.skip() if plane is first else project(key, trace, plane),
        gr.skip(),
        payloads.words(key, trace, nearest),
    )
    yield (gr.skip(),) * 4  # Gradio sends the last again with the word that it was the last


@shows_errors
def reproject(
    path: str | None,
    also: Sequence[str] | None,
    question: str,
    choice: models.Choice,
    method: str,
    dimensions: int,
    seed: float,
    neighbours: float,
    metric: str,
) -> dict:
    """The same tokens by another method, with other settings."""
    plane = Plane.of(method, dimensions, seed, neighbours, metric)
    key, trace = encode(path, question, choice, also)
    return project(key, trace, plane)


def remembered(run: str) -> vlm.Trace:
    """The trace of an earlier run.

    That of an instant example is computed anew, as soon as the model is there.

    Raises:
        vlm.VLMError: it is no longer kept.
    """
    instant = examples.find_precomputed(str(run))
    trace = traces.get(run, lambda: computed(instant)) if instant else traces.known(str(run))
    if trace is None:
        raise vlm.VLMError(
            "This run is no longer kept on the server; press Run again to look further into it."
        )
    return trace


def remembered_answer(
    answered: str, gone: str = "This answer is no longer kept on the server; press Run again."
) -> tuple[vlm.Trace, vlm.Decoding]:
    """The trace of an earlier answer, and how it was decoded.

    Those of an instant example are computed anew, as soon as the model is there.

    Raises:
        vlm.VLMError: it is no longer kept; `gone` is what the visitor then reads.
    """
    instant, key = examples.find_precomputed(str(answered)), str(answered)
    if instant:
        operator = operators.get(key, lambda: decoding(*examples.SETTINGS))
        trace = answers.get(key, lambda: spoken(instant, operator))
    else:
        operator, trace = operators.known(key), answers.known(key)
    if trace is None or operator is None:
        raise vlm.VLMError(gone)
    return trace, operator


def computed(instant: examples.PrecomputedRun) -> vlm.Trace:
    """The trace of an instant example: photo and question once more through the model."""
    return encode(str(EXAMPLES / instant.photo), instant.question)[1]


def spoken(instant: examples.PrecomputedRun, operator: vlm.Decoding) -> vlm.Trace:
    """The same with its answer."""
    trace = remembered(instant.run)
    return trace.with_steps(
        gpu.answer(models.language_model(models.START), models.START, trace, operator)
    )


def model_of(key: str):
    """The model that made a run or an answer.

    Raises:
        vlm.VLMError: it is no longer in memory.
    """
    if examples.find_precomputed(str(key)):
        return models.language_model(models.START)  # whose run came before it
    return models.made_by(str(key).partition("-")[0].partition(".")[2])
