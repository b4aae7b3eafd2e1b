"""What happens when a visitor does something. Plain functions: tests call them without a server."""

import functools
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

import vlm
from app import models, payloads

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
MAX_QUESTION, MAX_TEXT, MAX_TEXTS, MAX_PHOTOS = 2_000, 300, 64, 8  # characters, characters, lines, photos

_traces: models.Recent[vlm.Trace] = models.Recent(8)
_projections: models.Recent[vlm.Projection] = models.Recent(32)


def shows_errors(handler):
    """The one place where an error the user can mend becomes a notice; everything on the page stays as it was."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*arguments, **named):
            try:
                yield from handler(*arguments, **named)
            except vlm.VLMError as error:
                raise gr.Error(str(error), print_exception=False) from error

        return stream

    @functools.wraps(handler)
    def call(*arguments, **named):
        try:
            return handler(*arguments, **named)
        except vlm.VLMError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


def open_upload(path: str | None) -> Image.Image:
    """The photo a visitor uploaded (or one of our examples); nothing else on this machine can be opened.

    Raises:
        vlm.ImageError: nothing was given, or it cannot be used.
    """
    if not path:
        raise vlm.ImageError("There is no photo yet; upload one, paste one, or click an example.")
    inside_examples = Path(path).resolve().is_relative_to(EXAMPLES.resolve())
    return vlm.open_image(path, root=EXAMPLES if inside_examples else get_upload_folder())


def digest(image: Image.Image) -> str:
    """A key for what the photo shows."""
    return hashlib.blake2b(f"{image.size}".encode() + image.tobytes(), digest_size=16).hexdigest()


def encode(path: str | None, question: str) -> tuple[str, vlm.Trace]:
    """The trace before its answer, from the last few if photo and question are the same; and its key.

    Raises:
        vlm.VLMError: the photo or the question cannot be used.
    """
    image = open_upload(path)
    if len(question) > MAX_QUESTION:
        raise vlm.QuestionError(f"The question has {len(question):,} characters, at most {MAX_QUESTION:,} are allowed; shorten it.")
    key = f"{digest(image)} {question.strip()}"
    return key, _traces.get(key, lambda: models.language.get().encode(image, question))


def project(key: str, trace: vlm.Trace, method: str, seed: int) -> vlm.Projection:
    """Visual and text tokens together in the plane."""
    import numpy as np

    rows = np.concatenate([trace.visual_tokens.embeddings, trace.text_tokens.embeddings])
    return _projections.get((key, method, seed if method == "umap" else 0), lambda: vlm.project(rows, method, seed=int(seed)))


def decoding(temperature: float, top_k: float, top_p: float, repetition_penalty: float, seed: float, max_new_tokens: float) -> vlm.Decoding:
    """The sliders' values as D_d (a browser sends whole numbers as floats).

    Raises:
        vlm.DecodingError: a value is outside its range.
    """
    whole = {"top_k": top_k, "seed": seed, "max_new_tokens": max_new_tokens}
    for name, value in whole.items():
        if value is None or value != value or int(value) != value:
            raise vlm.DecodingError(f"{name} is {value!r}; give a whole number.")
    return vlm.Decoding(
        max_new_tokens=int(max_new_tokens), temperature=temperature, top_k=int(top_k), top_p=top_p, repetition_penalty=repetition_penalty, seed=int(seed)
    )


@shows_errors
def run(path: str | None, question: str, method: str, umap_seed: float, *settings: float) -> Iterator[tuple]:
    """Stage views at once, then the answer token by token: (stage strip, patch grid, projection, answer)."""
    operator = decoding(*settings)
    key, trace = encode(path, question)
    projected = project(key, trace, method, int(umap_seed or 0))
    yield payloads.stages(trace), payloads.patch_grid(trace), payloads.projection(trace, projected), payloads.answer((), False)
    steps: list[vlm.Step] = []
    for step in models.language.get().decode(trace, operator):
        steps.append(step)
        yield gr.skip(), gr.skip(), gr.skip(), payloads.answer(steps, False)
    yield payloads.stages(trace.with_steps(steps)), gr.skip(), gr.skip(), payloads.answer(steps, True)
    models.answered.set()


@shows_errors
def reproject(path: str | None, question: str, method: str, seed: float) -> dict:
    """The same tokens by another method or seed."""
    key, trace = encode(path, question)
    return payloads.projection(trace, project(key, trace, method, int(seed or 0)))


@shows_errors
def compare(path: str | None, more: Sequence[str] | None, lines: str) -> dict:
    """The photo (and more photos) against the lines of text."""
    images, texts, record = matched(([path] if path else []) + list(more or []), lines)
    model = models.contrastive.get()
    shares = model.patch_shares(images[0], texts) if model.has_shares else None
    return payloads.similarity(record, images, texts, shares)


def matched(paths: Sequence[str] | None, lines: str) -> tuple[list[Image.Image], list[str], vlm.Similarity]:
    """The photos, the texts, and how well they match.

    Raises:
        vlm.VLMError: a photo or a text cannot be used, or there are too many.
    """
    paths, texts = list(paths or []), check_texts(lines)
    if len(paths) > MAX_PHOTOS:
        raise vlm.ImageError(f"There are {len(paths)} photos, at most {MAX_PHOTOS} can be compared at once; take some away.")
    images = [open_upload(path) for path in paths]
    return images, texts, models.contrastive.get().similarity(images, texts)


def check_texts(lines: str) -> list[str]:
    """The lines that are not empty.

    Raises:
        vlm.QuestionError: none, too many, or one too long.
    """
    texts = [line.strip() for line in lines.splitlines() if line.strip()]
    if not texts:
        raise vlm.QuestionError("There is no text to compare; type one description a line, for example: a photo of a cat")
    if len(texts) > MAX_TEXTS:
        raise vlm.QuestionError(f"There are {len(texts)} lines of text, at most {MAX_TEXTS} can be compared at once; take some away.")
    longest = max(texts, key=len)
    if len(longest) > MAX_TEXT:
        raise vlm.QuestionError(f"A line has {len(longest):,} characters, at most {MAX_TEXT} are allowed; shorten it.")
    return texts


@shows_errors
def check(path: str | None, question: str) -> list[list[str]]:
    """Run the model's own forward beside what the page shows; the largest differences."""
    _, trace = encode(path, question)
    return [[entry.name, f"{entry.difference:.1e}" if entry.difference else "0 (identical)"] for entry in models.language.get().check(trace)]


@shows_errors
def answer_endpoint(
    photo: str | None, question: str, temperature: float, top_k: float, top_p: float, repetition_penalty: float, seed: float, max_new_tokens: float
) -> Iterator[str]:
    """`/answer`: the text of the answer as it grows."""
    operator = decoding(temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens)
    _, trace = encode(photo, question)
    for step in models.language.get().decode(trace, operator):
        yield step.answer


@shows_errors
def trace_endpoint(
    photo: str | None, question: str, temperature: float, top_k: float, top_p: float, repetition_penalty: float, seed: float, max_new_tokens: float
) -> dict:
    """`/trace`: shapes, roles, boxes, tokens and steps as JSON."""
    operator = decoding(temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens)
    _, trace = encode(photo, question)
    trace = trace.with_steps(models.language.get().decode(trace, operator))
    return {
        "question": trace.question,
        "prompt": trace.prompt,
        **payloads.stages(trace),
        "roles": list(trace.roles),
        "boxes": payloads.rounded(trace.visual_tokens.boxes, 3),
        "text_tokens": list(trace.text_tokens.token_strings),
        **payloads.answer(trace.steps, True),
    }


@shows_errors
def similarity_endpoint(photos: Sequence[str] | None, texts: str) -> dict:
    """`/similarity`: photos against lines of text; the matrices, e^tau and the losses."""
    images, lines, record = matched(photos, texts)
    result = payloads.similarity(record, images, lines)
    return {name: value for name, value in result.items() if name not in ("photos", "shares")}


def status() -> Iterator[dict]:
    """Follow the loading until everything is there."""
    models.start()
    shown = None
    while True:
        jobs = [(job.name, job.status) for job in (models.language, models.contrastive, models.umap)]
        current = [{"name": name, "state": status.state, "fraction": status.fraction, "message": status.message} for name, status in jobs]
        if current != shown:
            shown = current
            yield {"jobs": current}
        waiting = [job for job in (models.language, models.contrastive, models.umap) if job.status.state == "loading"]
        if not waiting:
            return
        last = waiting[0].status
        waiting[0].wait(lambda status: status != last, timeout=1.0)  # noqa: B023
