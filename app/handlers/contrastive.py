"""The contrastive lab: photos against texts, by one model or by two."""

import dataclasses
import hashlib
from collections.abc import Sequence

from PIL import Image

import vlm

from .. import examples, payloads
from ..backend import Backend
from ..checks import MAX_TEXT, MAX_TEXTS, text, whole_number
from ..models import Models
from ..recent import Recent
from ..uploads import EXAMPLES, photo_digest
from .errors import asked_by_script, shows_errors
from .permissions import check_contrastive
from .photos import readable


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Photos against sentences (or labels) by one model.

    What a cell is asked about later is looked up here.
    """

    model: str
    images: tuple[vlm.ImageEmbedding, ...]
    texts: tuple[str, ...]
    templates: tuple[str, ...]
    vectors: tuple  # one unit vector a text


def contrast(
    models: Models,
    kept: Recent,
    name: str,
    images: Sequence[Image.Image],
    digests: Sequence[str],
    texts: Sequence[str],
    templates: Sequence[str] = (),
) -> Comparison:
    """Both towers on what they have not seen yet; templates turn the texts into labels."""
    model = models.contrastive_model(name)
    keys = [("photo", name, digest) for digest in digests]
    pictures = dict(zip(keys, images, strict=True))
    embedded = kept.many(
        keys,
        lambda missing: model.embed_images([pictures[key] for key in missing]),
    )
    keys = [("text", name, text, tuple(templates)) for text in texts]
    if templates:
        vectors = kept.many(
            keys, lambda missing: model.embed_labels([text for _, _, text, _ in missing], templates)
        )
    else:
        vectors = kept.many(
            keys, lambda missing: model.embed_texts([text for _, _, text, _ in missing])
        )
    return Comparison(name, tuple(embedded), tuple(texts), tuple(templates), tuple(vectors))


@shows_errors
def compare(
    server: Backend,
    path: str | None,
    more: Sequence[str] | None,
    lines: str,
    template: str,
    ensemble: bool,
    name: str,
    beside: str | None,
) -> tuple[dict, dict | None]:
    """The photo (and more photos) against the lines of text, by one model or by two."""
    images, notes = readable(server.uploads, ([path] if path else []) + list(more or []))
    texts, templates = (
        check_texts(lines),
        ([template.strip()] if text(template, "The template").strip() else []),
    )
    if len(template) > MAX_TEXT:
        raise vlm.QuestionError(
            f"The template has {len(template):,} characters, at most {MAX_TEXT} are allowed;"
            " shorten it."
        )
    if templates and ensemble:
        templates = list(dict.fromkeys([*templates, *vlm.TEMPLATES]))
    shown = [
        lab(server, check_contrastive(server.settings, each), images, texts, templates, notes)
        for each in (name, beside)
        if each
    ]
    return shown[0], shown[1] if len(shown) > 1 else {}


def lab(
    server: Backend,
    name: str,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    templates: Sequence[str],
    notes: Sequence[str],
) -> dict:
    """One model's side of the comparison."""
    digests = [photo_digest(image) for image in images]
    comparison = contrast(server.models, server.contrasts, name, images, digests, texts, templates)
    model = server.models.contrastive_model(name)
    sentences = {
        text: [template.replace("{}", text) for template in templates] or [text] for text in texts
    }
    cut = [text for text in texts if any(map(model.is_cut, sentences[text]))]
    notes = [
        *notes,
        *(
            f"{len(cut)} of the texts are longer than this model reads; the rest of them changes"
            f" nothing: {cut[0][:60]} …"
            for _ in cut[:1]
        ),
    ]
    key = hashlib.blake2b(
        repr((name, digests, texts, templates)).encode(), digest_size=16
    ).hexdigest()
    server.contrasts.get(("comparison", key), lambda: comparison)
    record = model.compare(
        stacked([each.vector for each in comparison.images]), stacked(comparison.vectors)
    )
    return payloads.similarity(
        key, name, record, model.logit_bias, images, texts, templates, comparison, notes
    )


def stacked(vectors: Sequence):
    """Rows of a matrix."""
    import numpy as np

    return np.stack(list(vectors))


@asked_by_script
def cell(server: Backend, key: str, photo: int, text: int) -> dict:
    """Which patches of one photo speak for one text, and which words of it."""
    comparison = server.contrasts.known(("comparison", str(key))) or compare_again(server, str(key))
    if comparison is None:
        raise vlm.VLMError("This comparison is no longer kept on the server; press Compare again.")
    image = comparison.images[whole_number(photo, "photo", len(comparison.images))]
    text = whole_number(text, "text", len(comparison.texts))
    model = server.models.contrastive_model(comparison.model)
    sentence = (
        comparison.templates[0].replace("{}", comparison.texts[text])
        if comparison.templates
        else comparison.texts[text]
    )
    scores = (
        model.patch_scores(image, comparison.vectors[text]) if image.patches is not None else None
    )
    return payloads.cell(scores, model.leave_one_out(image.vector, sentence))


def compare_again(server: Backend, key: str) -> Comparison | None:
    """The comparison that the page shows on arrival, computed anew as soon as something is asked
    about it; None for every other key.
    """
    if key != server.precomputed.opening.get("similarity", {}).get("key"):
        return None
    photos = [str(EXAMPLES / photo) for photo, _ in examples.QUESTIONS]
    name = server.models.contrastive_name
    compare(server, photos[0], photos[1:], examples.LINES, "", False, name, None)
    return server.contrasts.known(("comparison", key))


def matched(
    server: Backend, paths: Sequence[str] | None, lines: str
) -> tuple[list[Image.Image], list[str], vlm.Similarity]:
    """The photos, the texts, and how well they match.

    Raises:
        vlm.VLMError: a photo or a text cannot be used, or there are too many.
    """
    paths, texts = list(paths or []), check_texts(lines)
    images, notes = readable(server.uploads, paths)
    if unreadable := [note for note in notes if "left out" in note]:
        raise vlm.ImageError(unreadable[0])
    return images, texts, server.models.contrastive.get().similarity(images, texts)


def check_texts(lines: str) -> list[str]:
    """The lines that are not empty.

    Raises:
        vlm.QuestionError: none, too many, or one too long.
    """
    texts = [
        line.strip() for line in text(lines, "What is to be compared").splitlines() if line.strip()
    ]
    if not texts:
        raise vlm.QuestionError(
            "There is no text to compare; type one description a line, for example: a photo of"
            " a cat"
        )
    if len(texts) > MAX_TEXTS:
        raise vlm.QuestionError(
            f"There are {len(texts)} lines of text, at most {MAX_TEXTS} can be compared at once;"
            " take some away."
        )
    longest = max(texts, key=len)
    if len(longest) > MAX_TEXT:
        raise vlm.QuestionError(
            f"A line has {len(longest):,} characters, at most {MAX_TEXT} are allowed; shorten it."
        )
    return texts
