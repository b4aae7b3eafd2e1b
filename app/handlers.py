"""What happens when a visitor does something. Plain functions: tests call them without a server."""

import dataclasses
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
MAX_QUESTION, MAX_TEXT, MAX_TEXTS, MAX_PHOTOS = 2_000, 300, 64, 32  # characters, characters, lines, photos

_sights: models.Recent[vlm.Sight] = models.Recent(8)
_traces: models.Recent[vlm.Trace] = models.Recent(12)
_prefills: models.Recent = models.Recent(4)
_answered: models.Recent[vlm.Trace] = models.Recent(12)
_projections: models.Recent[vlm.Projection] = models.Recent(32)
_pictures: models.Recent[vlm.ImageEmbedding] = models.Recent(96)
_sentences: models.Recent = models.Recent(2048)
_comparisons: models.Recent = models.Recent(8)
_hidden: models.Recent = models.Recent(3)
_attentions: models.Recent = models.Recent(4)


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
    """The trace before its answer, from the last few if photo and question are the same, and its key. A photo is seen once, whatever is asked.

    Raises:
        vlm.VLMError: the photo or the question cannot be used.
    """
    image = open_upload(path)
    if len(question) > MAX_QUESTION:
        raise vlm.QuestionError(f"The question has {len(question):,} characters, at most {MAX_QUESTION:,} are allowed; shorten it.")
    model = models.language.get()
    model.check_question(question)
    seen = digest(image)
    key = f"{seen}-{hashlib.blake2b(question.strip().encode(), digest_size=8).hexdigest()}"
    return key, _traces.get(key, lambda: model.ask(_sights.get(seen, lambda: model.see(image)), question))


@dataclasses.dataclass(frozen=True)
class Plane:
    """How tokens are laid out; the settings beside the method matter to UMAP and t-SNE alone."""

    method: str = "pca"
    dimensions: int = 2
    seed: int = 0
    neighbours: int = 15
    metric: str = "cosine"

    @classmethod
    def of(cls, method: str, dimensions: int, seed: float | None, neighbours: float | None, metric: str) -> "Plane":
        """The controls' values.

        Raises:
            vlm.VLMError: one is not to be had.
        """
        for name, value, least, most in (("seed", seed, 0, 2**31 - 1), ("neighbours", neighbours, 2, 200)):
            if value is None or int(value) != value or not least <= value <= most:
                raise vlm.VLMError(f"{name} is {value!r}; give a whole number from {least} to {most}.")
        if method not in ("pca", "umap", "tsne") or int(dimensions) not in (2, 3) or metric not in ("cosine", "euclidean"):
            raise vlm.VLMError(f"{method!r} in {dimensions!r} dimensions by {metric!r} distance is not to be had; choose pca, umap or tsne, 2 or 3, cosine or euclidean.")
        return cls("pca", int(dimensions)) if method == "pca" else cls(method, int(dimensions), int(seed), int(neighbours), metric)

    @property
    def words(self) -> str:
        return "" if self.method == "pca" else f"seed {self.seed}, {self.neighbours} neighbours, {self.metric} distance"


def project(key: str, trace: vlm.Trace, plane: Plane) -> dict:
    """Visual and text tokens together in the plane or in space."""
    import numpy as np

    def make() -> vlm.Projection:
        rows = np.concatenate([trace.visual_tokens.embeddings, trace.text_tokens.embeddings])
        return vlm.project(rows, plane.method, seed=plane.seed, neighbours=plane.neighbours, dimensions=plane.dimensions, metric=plane.metric)

    return payloads.plane(key, _projections.get((key, plane), make), plane.words)


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
def run(path: str | None, question: str, method: str, dimensions: int, seed: float, neighbours: float, metric: str, *settings: float) -> Iterator[tuple]:
    """Stage views at once, then the answer token by token, then what the tokens are near to: (record, plane, answer, words)."""
    operator, plane = decoding(*settings), Plane.of(method, dimensions, seed, neighbours, metric)
    key, trace = encode(path, question)
    model, longest = models.language.get(), operator.max_new_tokens
    # UMAP and t-SNE take seconds: a run begins with PCA
    first = plane if plane.method == "pca" else Plane(dimensions=plane.dimensions)
    record = payloads.record(key, trace) | {"language_layers": model.language_layers}
    yield record, project(key, trace, first), payloads.answer((), False, longest), gr.skip()
    steps: list[vlm.Step] = []
    for step in model.decode(trace, operator, _prefills.get(key, lambda: model.prefill(trace))):
        steps.append(step)
        yield gr.skip(), gr.skip(), payloads.answer(steps, False, longest), gr.skip()
    answered = f"{key}-{hashlib.blake2b(repr(operator).encode(), digest_size=8).hexdigest()}"
    trace = _answered.get(answered, lambda: trace.with_steps(steps))
    yield gr.skip(), gr.skip(), payloads.answer(steps, True, longest, trace, answered), gr.skip()
    models.answered.set()
    nearest = model.embedding_lens(trace.visual_tokens.embeddings, payloads.WORDS)
    yield gr.skip(), gr.skip() if plane is first else project(key, trace, plane), gr.skip(), payloads.words(key, trace, nearest)


@shows_errors
def reproject(path: str | None, question: str, method: str, dimensions: int, seed: float, neighbours: float, metric: str) -> dict:
    """The same tokens by another method, with other settings."""
    plane = Plane.of(method, dimensions, seed, neighbours, metric)
    key, trace = encode(path, question)
    return project(key, trace, plane)


def asked_by_script(handler):
    """For what the page's script asks, with all arguments as one list; an error the user can mend becomes `{"error": sentence}`, which the view shows."""
    count = len(inspect.signature(handler).parameters)

    @functools.wraps(handler)
    def call(arguments):
        try:
            if not isinstance(arguments, list) or len(arguments) != count:
                raise vlm.VLMError(f"{handler.__name__} was asked with {arguments!r:.60}; it takes a list of {count}.")
            return handler(*arguments)
        except vlm.VLMError as error:
            return {"error": str(error)}

    call.__signature__ = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.POSITIONAL_ONLY)])
    return call


def remembered(run: str) -> vlm.Trace:
    """The trace of an earlier run.

    Raises:
        vlm.VLMError: it is no longer kept.
    """
    trace = _traces.known(str(run))
    if trace is None:
        raise vlm.VLMError("This run is no longer kept on the server; press Run again to look further into it.")
    return trace


def whole_number(value, name: str, count: int) -> int:
    """An index that a browser sent.

    Raises:
        vlm.VLMError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < count:
        raise vlm.VLMError(f"There is no {name} {value!r}; there are {count}, counted from 0.")
    return value


@asked_by_script
def layer(run: str, number: int) -> dict:
    """PCA-RGB of one layer of the encoder."""
    trace = remembered(run)
    return payloads.layer(trace, whole_number(number, "layer", len(trace.patch_features)))


@asked_by_script
def rows(run: str, token: int, number: int) -> dict:
    """All that the views tell of one token at one layer of the encoder."""
    trace = remembered(run)
    token, number = whole_number(token, "token", len(trace.patches.boxes)), whole_number(number, "layer", len(trace.patch_features))
    seen = run.partition("-")[0]  # the photo: another question changes nothing here
    attention = _attentions.get(seen, lambda: models.language.get().encoder_attention(trace.sight)) if number else None
    return payloads.rows(trace, token, number, attention)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Photos against sentences (or labels) by one model; what a cell is asked about later is looked up here."""

    model: str
    images: tuple[vlm.ImageEmbedding, ...]
    texts: tuple[str, ...]
    templates: tuple[str, ...]
    vectors: tuple  # one unit vector a text


def contrast(name: str, images: Sequence[Image.Image], texts: Sequence[str], templates: Sequence[str] = ()) -> Comparison:
    """Both towers on what they have not seen yet; templates turn the texts into labels."""
    model = models.contrastive_model(name)
    pictures = {(name, digest(image)): image for image in images}
    embedded = _pictures.many([(name, digest(image)) for image in images], lambda missing: model.embed_images([pictures[key] for key in missing]))
    keys = [(name, text, tuple(templates)) for text in texts]
    if templates:
        vectors = _sentences.many(keys, lambda missing: model.embed_labels([text for _, text, _ in missing], templates))
    else:
        vectors = _sentences.many(keys, lambda missing: model.embed_texts([text for _, text, _ in missing]))
    return Comparison(name, tuple(embedded), tuple(texts), tuple(templates), tuple(vectors))


@shows_errors
def compare(path: str | None, more: Sequence[str] | None, lines: str, template: str, ensemble: bool, name: str, beside: str | None) -> tuple[dict, dict | None]:
    """The photo (and more photos) against the lines of text, by one model or by two."""
    images, notes = readable(([path] if path else []) + list(more or []))
    texts, templates = check_texts(lines), [template.strip()] if template.strip() else []
    if templates and ensemble:
        templates = list(dict.fromkeys([*templates, *vlm.TEMPLATES]))
    shown = [lab(each, images, texts, templates, notes) for each in (name, beside) if each]
    return shown[0], shown[1] if len(shown) > 1 else {}


def lab(name: str, images: Sequence[Image.Image], texts: Sequence[str], templates: Sequence[str], notes: Sequence[str]) -> dict:
    """One model's side of the comparison."""
    comparison = contrast(name, images, texts, templates)
    model = models.contrastive_model(name)
    cut = [text for text in texts if model.is_cut(text)]
    notes = [*notes, *(f"{len(cut)} of the texts are longer than this model reads; the rest of them changes nothing: {cut[0][:60]} …" for _ in cut[:1])]
    key = hashlib.blake2b(repr((name, [digest(image) for image in images], texts, templates)).encode(), digest_size=16).hexdigest()
    _comparisons.get(key, lambda: comparison)
    record = model.compare(stacked([each.vector for each in comparison.images]), stacked(comparison.vectors))
    return payloads.similarity(key, name, record, model.logit_bias, images, texts, templates, comparison, notes)


def stacked(vectors: Sequence):
    """Rows of a matrix."""
    import numpy as np

    return np.stack(list(vectors))


def example_photos() -> list[str]:
    """The paths of the photos that come with the page."""
    return sorted(str(path) for path in EXAMPLES.glob("*.jpg"))


def check_count(paths: Sequence[str]) -> None:
    """Raises:
    vlm.ImageError: there are too many photos.
    """
    if len(paths) > MAX_PHOTOS:
        raise vlm.ImageError(f"There are {len(paths)} photos, at most {MAX_PHOTOS} can be compared at once; take some away.")


def readable(paths: Sequence[str]) -> tuple[list[Image.Image], list[str]]:
    """The photos that can be opened, and a sentence for each that cannot.

    Raises:
        vlm.ImageError: there are too many, or none can be opened.
    """
    check_count(paths)
    images, notes = [], []
    for number, path in enumerate(paths, start=1):
        try:
            images.append(open_upload(path))
        except vlm.ImageError as error:
            notes.append(f"Photo {number} was left out. {error}")
    if not images:
        raise vlm.ImageError(notes[0] if notes else "There is no photo to compare; upload one, paste one, or click an example.")
    return images, notes


@asked_by_script
def cell(key: str, photo: int, text: int) -> dict:
    """Which patches of one photo speak for one text, and which words of it."""
    comparison = _comparisons.known(str(key))
    if comparison is None:
        raise vlm.VLMError("This comparison is no longer kept on the server; press Compare again.")
    image = comparison.images[whole_number(photo, "photo", len(comparison.images))]
    text = whole_number(text, "text", len(comparison.texts))
    model = models.contrastive_model(comparison.model)
    sentence = comparison.templates[0].replace("{}", comparison.texts[text]) if comparison.templates else comparison.texts[text]
    scores = model.patch_scores(image, comparison.vectors[text]) if image.patches is not None else None
    return payloads.cell(scores, model.leave_one_out(image.vector, sentence))


def hidden_states(run: str, trace: vlm.Trace):
    """The trace inside the language model, layer by layer."""
    return _hidden.get(run, lambda: models.language.get().hidden_states(trace))


@asked_by_script
def lens(run: str, token: int) -> dict:
    """What one visual token "says" at every layer of the language model."""
    trace = remembered(run)
    position = int(trace.visual_tokens.positions[whole_number(token, "token", len(trace.visual_tokens.positions))])
    return {"layers": models.language.get().logit_lens(hidden_states(run, trace), position, payloads.WORDS)}


@asked_by_script
def word_map(run: str, word: str, number: int) -> dict:
    """Where the picture "says" a word at one layer of the language model."""
    trace = remembered(run)
    hidden = hidden_states(run, trace)
    if not isinstance(word, str) or len(word) > MAX_TEXT:
        raise vlm.QuestionError(f"A word of at most {MAX_TEXT} characters can be looked for.")
    read, values = models.language.get().word_map(hidden, whole_number(number, "layer", len(hidden)), trace.visual_tokens.positions, word)
    return {"word": read, "values": payloads.packed(values), "layers": len(hidden) - 1}


@asked_by_script
def word(answered: str, number: int) -> dict:
    """What one word of an answer looked at."""
    trace = _answered.known(str(answered))
    if trace is None:
        raise vlm.VLMError("This answer is no longer kept on the server; press Run again.")
    return payloads.word(trace, whole_number(number, "word", len(trace.steps)))


CHANGES = {
    "remove": lambda trace, tokens, how, factor, seed: vlm.experiments.remove(trace, tokens, how, seed),
    "keep": lambda trace, tokens, how, factor, seed: vlm.experiments.keep(trace, tokens, how, seed),
    "shuffle": lambda trace, tokens, how, factor, seed: vlm.experiments.shuffle(trace, seed),
    "rescale": lambda trace, tokens, how, factor, seed: vlm.experiments.rescale(trace, factor),
}


@shows_errors
def experiment(event: gr.EventData) -> Iterator[dict]:
    """Change the visual tokens of an answered run as the panel asked, and answer again: the old answer's words with what became of them, and the new answer as it comes."""
    asked = event._data or {}
    trace = _answered.known(str(asked.get("answer")))
    if trace is None:
        raise vlm.VLMError("There is no answer to compare with; press Run first, and wait for its end.")
    kind, how, factor, seed = asked.get("kind"), asked.get("how"), asked.get("factor"), asked.get("seed")
    tokens, count = asked.get("tokens"), len(trace.visual_tokens.embeddings)
    if kind not in CHANGES:
        raise vlm.VLMError(f"There is no experiment {kind!r}; choose one of {', '.join(CHANGES)}.")
    if not isinstance(factor, (int, float)) or not 0 <= factor <= 10 or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise vlm.VLMError(f"The factor is {factor!r} and the seed {seed!r}; give a factor from 0 to 10 and a whole number as seed.")
    if not isinstance(tokens, list):
        raise vlm.VLMError("Select some tokens first.")
    tokens = [whole_number(token, "visual token", count) for token in tokens]
    if kind in ("remove", "keep") and not tokens:
        raise vlm.VLMError("No token is selected; click some patches in the picture first.")
    changed = CHANGES[kind](trace, tokens, how, factor, seed)
    model, ids = models.language.get(), [step.token_id for step in trace.steps]
    after = model.score(changed, ids)
    steps: list[vlm.Step] = []
    # the new answer is greedy, whatever the old one was: chance must not look like an effect
    for step in model.decode(changed, vlm.Decoding(max_new_tokens=max(len(ids), 12))):
        steps.append(step)
        yield payloads.experiment(trace, after, steps, False)
    yield payloads.experiment(trace, after, steps, True)


def matched(paths: Sequence[str] | None, lines: str) -> tuple[list[Image.Image], list[str], vlm.Similarity]:
    """The photos, the texts, and how well they match.

    Raises:
        vlm.VLMError: a photo or a text cannot be used, or there are too many.
    """
    paths, texts = list(paths or []), check_texts(lines)
    check_count(paths)
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
def ledger(width: float, height: float) -> dict:
    """What every family spends on a photo of this size, and on smaller and larger ones of the same shape."""
    for name, value in (("width", width), ("height", height)):
        if value is None or int(value) != value:
            raise vlm.ImageError(f"The {name} is {value!r}; give a whole number of pixels.")
    width, height = int(width), int(height)
    vlm.ledger(height, width)  # is it a size?
    longest = max(width, height)
    sides = [64 * step for step in range(1, 33)]
    curve = [vlm.ledger(max(1, round(height * side / longest)), max(1, round(width * side / longest))) for side in sides]
    return payloads.ledger(width, height, vlm.ledger(height, width), sides, curve)


def photo_size(path: str | None) -> tuple[int, int]:
    """Width and height of the visitor's photo, for the ledger."""
    try:
        return open_upload(path).size
    except vlm.VLMError:
        return gr.skip(), gr.skip()


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
        "stages": payloads.stages(trace),
        "roles": list(trace.roles),
        "boxes": payloads.rounded(trace.visual_tokens.boxes, 3),
        "text_tokens": list(trace.text_tokens.token_strings),
        "answer": trace.answer,
        "finished": True,
        "steps": payloads.steps(trace.steps),
    }


@shows_errors
def similarity_endpoint(photos: Sequence[str] | None, texts: str) -> dict:
    """`/similarity`: photos against lines of text; the matrices, e^tau and the losses."""
    _, lines, record = matched(photos, texts)
    return payloads.matrices(record, lines)


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
