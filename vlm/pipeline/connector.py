"""Which patches become which visual token.

Nothing here runs a model: the family's way of connecting (`TOKENS`) says it, so V is known before
the encoder starts. The tests change the pixels inside each box and see which token changes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Int

from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError
from vlm.pipeline.patches import Size
from vlm.records.patches import Patches
from vlm.records.visual_tokens import BREAK, CLASS, PATCH, QUERY

ensure_torchvision()

from transformers.models.llava_next.modeling_llava_next import unpad_image


@dataclass(frozen=True)
class TokenLayout:
    """What each of the V visual tokens is made of: see `connector.VisualTokens`."""

    sources: Int[np.ndarray, "V merged"]
    kinds: tuple[str, ...]
    photos: Int[np.ndarray, "V"]


def merged(config, patches: Patches, photos: Sequence[Size], merge: int) -> TokenLayout:
    """Merge `merge` x `merge` neighbouring patches into one token, picture by picture, left to
    right, top to bottom.

    Raises:
        ModelError: a picture's rows or columns cannot be merged so.
    """
    sources, of = [], []
    for picture, index in zip(patches.pictures, indices(patches)):
        if picture.rows % merge or picture.columns % merge:
            raise ModelError(
                f"A picture of {picture.rows} x {picture.columns} patches cannot be merged {merge}"
                f" x {merge}; the processor and the connector do not fit together."
            )
        sources.append(rearrange(index, "(r a) (c b) -> (r c) (a b)", a=merge, b=merge))
        of += [picture.photo] * len(sources[-1])
    sources = np.concatenate(sources)
    return TokenLayout(sources, (PATCH,) * len(sources), np.array(of))


def tiled(config, patches: Patches, photos: Sequence[Size], merge: int) -> TokenLayout:
    """Llama 3.2 Vision: of every tile its CLS position, then one token a patch."""
    sources, kinds, of = [], [], []
    for picture, index in zip(patches.pictures, indices(patches)):
        sources += [-1, *index.ravel()]
        kinds += [CLASS, *[PATCH] * index.size]
        of += [picture.photo] * (1 + index.size)
    return TokenLayout(np.array(sources)[:, None], tuple(kinds), np.array(of))


def packed(config, patches: Patches, photos: Sequence[Size], merge: int) -> TokenLayout:
    """LLaVA-NeXT: the whole photo's tokens, then those of the tiles put together, without the
    margin, a newline token after each row.

    Where that is more than so many tiles' worth (LLaVA-OneVision's anyres_max), the tokens are
    thinned out; each is then made of the patches that it covers.
    """
    sources, kinds, of, grids = [], [], [], indices(patches)
    for number, photo in enumerate(photos):
        mine = [
            (picture, index)
            for picture, index in zip(patches.pictures, grids)
            if picture.photo == number
        ]
        (_, base), *rest = mine
        rows = [[(each,) for each in base.ravel()]]
        marks = [False]
        if rest:
            across = len({picture.box[1] for picture, _ in rest})
            board = np.concatenate(
                [
                    np.concatenate([index for _, index in rest[start : start + across]], axis=1)
                    for start in range(0, len(rest), across)
                ]
            )
            board = unpad_image(board[None], photo)[0]
            tall, wide = thinned(config, board.shape, len(base))
            for row in range(tall):
                down = slice(row * board.shape[0] // tall, -(-(row + 1) * board.shape[0] // tall))
                rows.append(
                    [
                        tuple(
                            board[
                                down,
                                column * board.shape[1] // wide : -(
                                    -(column + 1) * board.shape[1] // wide
                                ),
                            ].ravel()
                        )
                        for column in range(wide)
                    ]
                )
                marks.append(True)
        else:
            marks = [True]
        for row, ends in zip(rows, marks):
            sources += [*row, ()] if ends else row
            kinds += [PATCH] * len(row) + [BREAK] * ends
            of += [number] * (len(row) + ends)
    most = max(map(len, sources))
    return TokenLayout(
        np.array([[*each, *[-1] * (most - len(each))] for each in sources]),
        tuple(kinds),
        np.array(of),
    )


def thinned(config, shape: Size, side: int) -> Size:
    """Rows and columns of tokens that are left of `shape` by LLaVA-OneVision's rule.

    `side` is the rows of one picture.
    """
    limit = getattr(config, "vision_aspect_ratio", "")
    if not limit.startswith("anyres_max_"):
        return shape
    ratio = math.sqrt(shape[0] * shape[1] / (int(limit.removeprefix("anyres_max_")) * side**2))
    return (int(shape[0] // ratio), int(shape[1] // ratio)) if ratio > 1.1 else shape


def queries(config, patches: Patches, photos: Sequence[Size], merge: int) -> TokenLayout:
    """Lay out a fixed number of learned queries, which see the whole photo and have no place."""
    count = (
        config.latent_query_num if hasattr(config, "latent_query_num") else config.num_query_tokens
    )
    return TokenLayout(
        np.full((count * len(photos), 1), -1),
        (QUERY,) * (count * len(photos)),
        np.repeat(np.arange(len(photos)), count),
    )


def indices(patches: Patches) -> list[Int[np.ndarray, "rows columns"]]:
    """For every picture the index of the patch at each row and column."""
    grids = [np.empty((picture.rows, picture.columns), int) for picture in patches.pictures]
    for index, (picture, row, column) in enumerate(patches.places):
        grids[picture][row, column] = index
    return grids


TOKENS: dict[str, Callable[[object, Patches, Sequence[Size], int], TokenLayout]] = {
    "merged": merged,
    "tiled": tiled,
    "packed": packed,
    "queries": queries,
}


def lay_tokens(
    name: str, config, patches: Patches, photos: Sequence[Size], merge: int
) -> TokenLayout:
    """The visual tokens that a connector of this kind (`TOKENS`) makes of these patches.

    Raises:
        ModelError: the pictures do not fit the connector.
    """
    return TOKENS[name](config, patches, photos, merge)
