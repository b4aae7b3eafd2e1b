"""Where patches and tokens stand, as the page receives it: on the board, and in the photos."""

import numpy as np

import vlm

from ..wire import data_url, packed
from . import board
from .preprocessing import covered_part, describe_merging, describe_preprocessing, side_by_side

PHOTO_SIDE = 768  # pixels, for the wire only
NEUTRAL = (128, 128, 128)  # the colour of what has no place


def token_colours(patches: vlm.Patches, tokens: vlm.VisualTokens) -> np.ndarray:
    """The mean colour of what each token was made from; neutral where that is no place."""
    of_patches = np.empty((len(patches.places), 3))
    for number, picture in enumerate(patches.pictures):
        mine = patches.places[:, 0] == number
        squares = (
            patches.covered_pixels(picture)
            .reshape(picture.rows, patches.size, picture.columns, patches.size, 3)
            .mean((1, 3))
        )
        of_patches[mine] = squares[patches.places[mine, 1], patches.places[mine, 2]]
    used = (tokens.sources >= 0)[..., None]
    means = (of_patches[tokens.sources] * used).sum(1) / np.maximum(used.sum(1), 1)
    return np.rint(np.where(used.any(1), means, NEUTRAL)).astype(np.uint8)


def layout(trace: vlm.Trace) -> dict:
    """Where patches and tokens stand: on the board, and in the photos."""
    patches, tokens, images = trace.patches, trace.visual_tokens, trace.encoded_image.images
    laid, (together, lefts) = board.lay_out(patches, tokens), side_by_side(images)
    shown, kinds = board.picture(patches, laid), list(dict.fromkeys(tokens.kinds))

    def moved(box, photo: int) -> list[float]:
        left = lefts[photo]
        return [round(float(edge), 3) for edge in np.add(box, (0, left, 0, left))]

    return {
        "photo": data_url(together, PHOTO_SIDE),
        "photo_size": [together.height, together.width],
        "photos": [
            {
                "left": left,
                "size": [image.height, image.width],
                "seen": moved(covered_part(patches, number), number),
            }
            for number, (image, left) in enumerate(zip(images, lefts))
        ],
        "received": data_url(shown, board.SIDE, quality=92),
        "received_size": [shown.height, shown.width],
        "rows": laid.rows,
        "columns": laid.columns,
        "shelf": laid.shelf,
        "cells": packed(laid.cells),
        "pictures": [
            {
                "name": picture.name,
                "photo": picture.photo,
                "tile": board.is_tile(picture),
                "rectangle": [*corner, picture.rows, picture.columns],
                "box": moved(patches.covered_box(picture), picture.photo),
            }
            for picture, corner in zip(patches.pictures, laid.corners)
        ],
        "token_cells": packed(laid.token_cells),
        "token_patches": packed(tokens.sources),
        "kinds": kinds,
        "token_kinds": packed(np.array([kinds.index(kind) for kind in tokens.kinds], np.uint8)),
        "token_photos": packed(tokens.photos.astype(np.uint8)),
        "boxes": packed(tokens.boxes + np.array(lefts)[tokens.photos][:, None] * [0, 1, 0, 1]),
        "transform": describe_preprocessing(trace.encoded_image, tokens),
        "merge": describe_merging(patches, tokens),
        "patch_size": patches.size,
        "colours": packed(token_colours(patches, tokens)),
    }
