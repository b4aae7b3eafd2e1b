"""x_p: the image the model received, cut into patches, each with the place its pixels have in the photo."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

from vlm.errors import ModelError

Box = tuple[float, float, float, float]  # top, left, bottom, right, in pixels of the photo


@dataclass(frozen=True)
class Patches:
    """x_p, the N = rows * columns flattened patches in raster order.

    Attributes:
        pixels: what enters the linear projection: normalised values, each row one patch as (P, P, C).
        boxes: (top, left, bottom, right) of each patch in pixels of the photo the user gave.
        received: the image as the model received it (resized, perhaps cropped), in 8-bit RGB.
        received_box: the part of the photo that `received` shows.
        rows: patches from top to bottom.
        columns: patches from left to right.
        size: P, the side of a patch in received pixels.
    """

    pixels: Float[np.ndarray, "N PPC"]
    boxes: Float[np.ndarray, "N 4"]
    received: UInt8[np.ndarray, "H W 3"]
    received_box: Box
    rows: int
    columns: int
    size: int


def patchify(pixel_values: Float[np.ndarray, "C H W"], size: int) -> Float[np.ndarray, "N PPC"]:
    """Cut an image into flattened patches, left to right, top to bottom.

    Raises:
        ModelError: `size` does not divide the height and the width.
    """
    height, width = pixel_values.shape[1:]
    if height % size or width % size:
        raise ModelError(f"An image of {height} x {width} pixels cannot be cut into {size} x {size} patches; the processor and the encoder do not fit together.")
    return rearrange(pixel_values, "c (rows p1) (columns p2) -> (rows columns) (p1 p2 c)", p1=size, p2=size)


def unpatchify(patches: Float[np.ndarray, "N PPC"], rows: int, size: int) -> Float[np.ndarray, "C H W"]:
    """Put the patches back together: the inverse of `patchify`."""
    return rearrange(patches, "(rows columns) (p1 p2 c) -> c (rows p1) (columns p2)", rows=rows, p1=size, p2=size)


def grid_boxes(box: Box, rows: int, columns: int) -> Float[np.ndarray, "N 4"]:
    """`box` cut into rows x columns equal boxes in raster order; neighbours share their edge exactly."""
    top, left, bottom, right = box
    horizontal = np.linspace(top, bottom, rows + 1)
    vertical = np.linspace(left, right, columns + 1)
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([horizontal[row], vertical[column], horizontal[row + 1], vertical[column + 1]], axis=1)
