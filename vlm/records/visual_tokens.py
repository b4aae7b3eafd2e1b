"""VT: what the connector m_gamma made of the patch features, in the language model's own input
space.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

PATCH, BREAK, QUERY, CLASS = "patch", "newline", "query", "class"  # kinds of visual tokens


@dataclass(frozen=True)
class VisualTokens:
    """VT, the V visual tokens in the order in which the language model reads them.

    Attributes:
        embeddings: the tokens themselves.
        boxes: (top, left, bottom, right) of the pixels each was made from, in pixels of its photo;
            NaN for tokens that are made from no place of their own.
        sources: the patches each was made from; -1 fills up, and a token without a place has none.
        kinds: "patch", made of one or several neighbouring patches; "newline", a learned mark that
            ends a row of patches; "query", a learned question to the whole photo (Q-Former,
            resampler), which has no place; "class", an encoder's own position for a whole picture
            (CLS), where the language model reads that too.
        photos: which of the photos of the question each belongs to; 0 is the first.
        positions: where each stands in the fused sequence; None before there is one, and in models
            that read visual tokens by cross-attention instead.
        deepstack: what the language model adds to the tokens at its first layers (DeepStack), layer
            by layer; none in most models.
    """

    embeddings: Float[np.ndarray, "V D"]
    boxes: Float[np.ndarray, "V 4"]
    sources: Int[np.ndarray, "V merged"]
    kinds: tuple[str, ...]
    photos: Int[np.ndarray, "V"]
    positions: Int[np.ndarray, "V"] | None = None
    deepstack: tuple[Float[np.ndarray, "V D"], ...] = ()


def boxes_around(
    boxes: Float[np.ndarray, "N 4"], sources: Int[np.ndarray, "V merged"]
) -> Float[np.ndarray, "V 4"]:
    """The smallest box around the patches of each token; NaN where there are none."""
    of = boxes[sources]  # V x merged x 4; -1 reads the last patch, and is masked
    missing = (sources < 0)[..., None]
    least = np.where(missing, np.inf, of[..., :2]).min(1)
    most = np.where(missing, -np.inf, of[..., 2:]).max(1)
    return np.where(
        np.isfinite(np.concatenate([least, most], axis=1)),
        np.concatenate([least, most], axis=1),
        np.nan,
    )
