"""What the page is told of what visual tokens "say" in the lenses."""

from collections.abc import Callable, Sequence

import numpy as np

from ..wire import packed

WORDS, PHRASES = 4, 3  # shown of each row


def lenses(
    entering: Sequence[tuple[str, float]], layers: Sequence, near: Sequence, without: str
) -> dict:
    """The three lenses of one visual token.

    `near` is empty, and `without` says why, where there is no contextual lens; so are `layers`
    where it passes none.
    """
    return {
        "entering": [[word, round(cosine, 4)] for word, cosine in entering],
        "layers": layers,
        "near": [
            [[phrase, round(cosine, 4), layer] for phrase, cosine, layer in row] for row in near
        ],
        "without": without,
    }


def lens_rows(first: int, table, read: Callable[[int], str]) -> dict:
    """A block of the lens table: the words once each, and by token, layer and rank which word and
    how probable. `read` gives what a token reads as.
    """
    ids, places = np.unique(table.token_ids, return_inverse=True)

    def by_token(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(values.reshape(table.token_ids.shape), 1, 0))

    return {
        "first": first,
        "words": [read(int(number)) for number in ids],
        "ids": packed(by_token(places)),
        "chances": packed(by_token(table.probabilities)),
    }
