"""VT: what the connector m_gamma made of the patch features, in the language model's own input space."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class VisualTokens:
    """VT, the V visual tokens in the order in which the language model reads them.

    Attributes:
        embeddings: the tokens themselves.
        boxes: (top, left, bottom, right) of the pixels each was made from, in pixels of the photo the user gave.
        positions: where each stands in the fused sequence.
    """

    embeddings: Float[np.ndarray, "V D"]
    boxes: Float[np.ndarray, "V 4"]
    positions: Int[np.ndarray, "V"]
