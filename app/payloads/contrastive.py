"""What the page is told of photos against texts."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

import vlm

from ..wire import data_url, packed, rounded

LAB_SIDE = 240  # pixels, for the wire only


def matrices(record: vlm.Similarity, texts: Sequence[str]) -> dict:
    """Every reading of the matrix and the losses, in plain lists."""
    return {
        "texts": list(texts),
        "matrices": {
            name: rounded(getattr(record, name), 5)
            for name in ("cosine", "logits", "image_to_text", "text_to_image", "sigmoid")
        },
        "logit_scale": record.logit_scale,
        "logit_bias": record.logit_bias,
        "losses": losses(record),
    }


def losses(record: vlm.Similarity) -> dict | None:
    """L_X, L_t, L and the sigmoid loss, if there are as many photos as texts."""
    return (
        None
        if record.loss is None
        else {
            "image": record.loss_image,
            "text": record.loss_text,
            "both": record.loss,
            "sigmoid": record.loss_sigmoid,
        }
    )


def similarity(
    key: str,
    name: str,
    record: vlm.Similarity,
    bias: float | None,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    templates: Sequence[str],
    comparison,
    notes: Sequence[str],
) -> dict:
    """The matrix, from which the browser computes every other reading.

    `bias` is None for a model without the sigmoid loss.
    """
    return {
        "key": key,
        "model": name,
        "photos": [data_url(image, LAB_SIDE) for image in images],
        "sizes": [[image.height, image.width] for image in images],
        "texts": list(texts),
        "templates": list(templates),
        "cosine": packed(record.cosine),
        "logit_scale": record.logit_scale,
        "logit_bias": bias,
        "losses": losses(record),
        "space": space(
            np.stack([each.vector for each in comparison.images]), np.stack(comparison.vectors)
        ),
        "notes": list(notes),
    }


def space(images: np.ndarray, texts: np.ndarray) -> dict:
    """Both kinds of vectors in one plane, and the modality gap: how far apart their means are,
    beside how far each lies from its own mean.
    """
    projected = vlm.project(np.concatenate([images, texts]))
    spread = [float(np.linalg.norm(rows - rows.mean(0), axis=1).mean()) for rows in (images, texts)]
    return {
        "points": packed(projected.points),
        "explained": [round(share, 4) for share in projected.explained],
        "gap": round(float(np.linalg.norm(images.mean(0) - texts.mean(0))), 4),
        "spread": [round(value, 4) for value in spread],
    }


def cell(scores: vlm.PatchScores | None, changes: Sequence[tuple[str, float]]) -> dict:
    """One photo and one text: the patches' scores (None: the tower has no patches) and what each
    word changes.
    """
    words = [[word, round(change, 5)] for word, change in changes]
    if scores is None:
        return {"words": words, "patches": None}
    return {
        "words": words,
        "patches": packed(scores.patches),
        "corrected": None if scores.corrected is None else packed(scores.corrected),
        "exact": scores.exact,
        "cls": round(scores.cls, 5),
        "cosine": round(scores.cosine, 5),
        "boxes": packed(scores.boxes),
    }
