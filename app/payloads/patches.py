"""What the page is told of one patch, and of one layer of the encoder."""

import numpy as np

import vlm

from ..wire import packed
from .preprocessing import at_the_edge
from .run import colours


def layer(trace: vlm.Trace, number: int) -> dict:
    """PCA-RGB of the patches at one layer of the encoder, with and without the background."""
    rows = trace.patch_features[number]
    return {"rgb": colours(rows), "foreground": colours(rows, at_the_edge(trace.patches))}


def cosines(table: np.ndarray, number: int) -> np.ndarray:
    """Of one row with every row."""
    lengths = np.linalg.norm(table, axis=1)
    return table @ table[number] / np.maximum(lengths * lengths[number], 1e-9)


def rows(trace: vlm.Trace, patch: int, layer: int, attention=None, without: str = "") -> dict:
    """What the views tell of one patch at one layer: its vectors, and how every other relates to
    it; None where this encoder has no such thing.

    Args:
        attention: the encoder's; None below layer 1, and where it has none: `without` says why.
    """
    encoded_image = trace.encoded_image
    learned, turned = encoded_image.position_embeddings, encoded_image.rotation
    result = {
        "pixels": packed(encoded_image.patches.pixels[patch]),
        "projection": None
        if encoded_image.projections is None
        else packed(encoded_image.projections[patch]),
        "position": None if learned is None else packed(learned[patch]),
        "position_cosine": None if learned is None else packed(cosines(learned, patch)),
        "rotation": None if turned is None else packed(turned[patch]),
        "rotation_cosine": (
            None if turned is None else packed(np.cos(turned - turned[patch]).mean(1))
        ),
        "embedded": packed(encoded_image.patch_features[0][patch]),
        "cosine": packed(cosines(encoded_image.patch_features[layer], patch)),
        "without_attention": without,
    }
    if attention is not None:
        # nobody looks into another picture
        mine = np.flatnonzero(
            encoded_image.patches.places[:, 0] == encoded_image.patches.places[patch, 0]
        )
        looks, rollout = attention.row(layer, patch), attention.rollout(layer, patch)
        result |= {
            "among": (
                [int(mine[0]), len(mine)]
                if np.ptp(mine) + 1 == len(mine)
                else [0, len(encoded_image.patches.places)]
            ),
            "elsewhere": round(float(attention.elsewhere(layer, patch)), 5),
            "prefix": encoded_image.prefix_features.shape[1]
            // len(encoded_image.patches.pictures),  # a picture
        }
        first, count = result["among"]
        result |= {
            "attention": packed(looks[:, first : first + count]),
            "rollout": packed(rollout[first : first + count]),
        }
    return result
