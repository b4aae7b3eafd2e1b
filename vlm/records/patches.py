"""x_p: the pictures that the encoder received, cut into patches, each with the place its pixels
have in the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int, UInt8

from vlm.errors import ModelError

Box = tuple[float, float, float, float]  # top, left, bottom, right, in pixels of the photo


@dataclass(frozen=True)
class Picture:
    """One picture that the encoder receives: the photo as a whole, a tile of it, or a small copy of
    the whole beside its tiles.

    Attributes:
        name: "whole photo" or "tile ROW, COLUMN", counted from 1.
        photo: which of the photos of the question it shows; 0 is the first.
        received: its pixels as the encoder receives them (resized, cropped, padded), in 8-bit RGB.
            Where its sides are no multiples of P, the last pixels at the bottom and on the right
            fill no patch: the encoder reads the first rows * P x columns * P.
        box: the part of the photo that all of it shows; it reaches beyond the photo where the
            processor added a margin.
        rows: patches from top to bottom.
        columns: patches from left to right.
    """

    name: str
    photo: int
    received: UInt8[np.ndarray, "H W 3"]
    box: Box
    rows: int
    columns: int


@dataclass(frozen=True)
class Patches:
    """x_p, the N flattened patches of all pictures, in the order in which the encoder keeps them.

    Attributes:
        pixels: what enters the linear projection: normalised values, each row one patch as (P, P,
            C).
        boxes: (top, left, bottom, right) of each patch in pixels of the photo the user gave.
        places: picture, row and column of each patch.
        pictures: what the encoder received.
        size: P, the side of a patch in received pixels.
    """

    pixels: Float[np.ndarray, "N PPC"]
    boxes: Float[np.ndarray, "N 4"]
    places: Int[np.ndarray, "N 3"]
    pictures: tuple[Picture, ...]
    size: int

    def covered_box(self, picture: Picture) -> Box:
        """The part of the photo that the patches of one picture cover."""
        return covered_box(picture, self.size)

    def covered_pixels(self, picture: Picture) -> UInt8[np.ndarray, "height width 3"]:
        """The received pixels of one picture that lie in its patches."""
        return picture.received[: picture.rows * self.size, : picture.columns * self.size]


def patchify(pixel_values: Float[np.ndarray, "C H W"], size: int) -> Float[np.ndarray, "N PPC"]:
    """Cut an image into flattened patches, left to right, top to bottom.

    As in the encoder's convolution, pixels at the bottom and on the right that fill no whole patch
    are left out.

    Raises:
        ModelError: the image is smaller than one patch.
    """
    height, width = pixel_values.shape[1:]
    if min(height, width) < size:
        raise ModelError(
            f"An image of {height} x {width} pixels cannot be cut into {size} x {size} patches; the"
            " processor and the encoder do not fit together."
        )
    return rearrange(
        pixel_values[:, : height // size * size, : width // size * size],
        "c (rows p1) (columns p2) -> (rows columns) (p1 p2 c)",
        p1=size,
        p2=size,
    )


def unpatchify(
    patches: Float[np.ndarray, "N PPC"], rows: int, size: int
) -> Float[np.ndarray, "C H W"]:
    """Put the patches back together: what `patchify` cut, without pixels that filled no patch."""
    return rearrange(
        patches, "(rows columns) (p1 p2 c) -> c (rows p1) (columns p2)", rows=rows, p1=size, p2=size
    )


def grid_boxes(box: Box, rows: int, columns: int) -> Float[np.ndarray, "N 4"]:
    """`box` cut into rows x columns equal boxes in raster order.

    Neighbours share their edge exactly.
    """
    top, left, bottom, right = box
    horizontal = np.linspace(top, bottom, rows + 1)
    vertical = np.linspace(left, right, columns + 1)
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack(
        [horizontal[row], vertical[column], horizontal[row + 1], vertical[column + 1]], axis=1
    )


def raster_places(pictures: Sequence[Picture]) -> Int[np.ndarray, "N 3"]:
    """Picture by picture, each left to right, top to bottom."""
    return np.concatenate(
        [
            [(number, row, column) for row in range(each.rows) for column in range(each.columns)]
            for number, each in enumerate(pictures)
        ]
    )


def window_box(
    photo: tuple[int, int],
    resized: tuple[int, int],
    corner: tuple[float, float],
    received: tuple[int, int],
) -> Box:
    """The part of a photo that a window on a resized copy of it shows.

    Args:
        photo, resized: height and width, before and after.
        corner: the top and left edge of the window in pixels of the copy; below zero where a margin
            is added.
        received: height and width of the window.
    """
    vertical, horizontal = photo[0] / resized[0], photo[1] / resized[1]
    return (
        corner[0] * vertical,
        corner[1] * horizontal,
        (corner[0] + received[0]) * vertical,
        (corner[1] + received[1]) * horizontal,
    )


def cover_box(box: Box, received: tuple[int, int], covered: tuple[int, int]) -> Box:
    """The part of `box` that the patches cover.

    Args:
        box: what a received picture shows.
        received: its height and width in pixels.
        covered: how many of these pixels, from the top left on, lie in a patch.
    """
    top, left, bottom, right = box
    return (
        top,
        left,
        bottom - (bottom - top) * (received[0] - covered[0]) / received[0],
        right - (right - left) * (received[1] - covered[1]) / received[1],
    )


def covered_box(picture: Picture, size: int) -> Box:
    """The part of the photo that the patches of a picture cover; `size` is P."""
    return cover_box(
        picture.box, picture.received.shape[:2], (picture.rows * size, picture.columns * size)
    )


def place_boxes(
    pictures: Sequence[Picture], places: Int[np.ndarray, "N 3"], size: int
) -> Float[np.ndarray, "N 4"]:
    """Where in the photo the pixels of the patches at these places are; `size` is P."""
    grids = [
        grid_boxes(covered_box(each, size), each.rows, each.columns).reshape(
            each.rows, each.columns, 4
        )
        for each in pictures
    ]
    return np.stack([grids[picture][row, column] for picture, row, column in places])
