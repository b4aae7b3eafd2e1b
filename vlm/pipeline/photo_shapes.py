"""Which photos an image processor takes: those it refuses are told which shape it would take.

Asked of the processor itself, by blank photos of other shapes; no rule of any family is repeated
here.
"""

from collections.abc import Callable, Sequence

from PIL import Image

from vlm.backends.checkpoint_settings import IMAGES, UNFIT, first_line
from vlm.errors import ImageError, ModelError, VLMError

USUAL = 512  # pixels on a side: a photo that every model takes


def explain_refusal(
    take: Callable[[Image.Image], object], images: Sequence[Image.Image], error: Exception
) -> VLMError:
    """Why a processor did not take these photos.

    Args:
        take: gives one photo to the processor.
        error: what it raised.
    """

    def takes(width: int, height: int) -> bool:
        try:
            take(Image.new("RGB", (width, height)))
        except UNFIT:
            return False
        return True

    if not takes(USUAL, USUAL):
        return ModelError(
            "The processor of this checkpoint takes no photo at all"
            f" ({type(error).__name__}: {first_line(error)}); correct its settings in"
            f" {IMAGES}."
        )
    for number, image in enumerate(images, start=1):
        if takes(image.width, image.height):
            continue
        which = "The photo" if len(images) == 1 else f"Photo {number}"
        longer, least = max(image.size), least_side(takes, *image.size)
        allowed = (
            f"beside {longer:,} pixels the other side needs at least {least:,}"
            if least
            else f"the processor says: {first_line(error)}"
        )
        return ImageError(
            f"{which} has {image.width:,} x {image.height:,} pixels, a shape that this model does"
            f" not take; {allowed}. Crop it, or put it on a wider background."
        )
    return ModelError(
        f"The processor of this checkpoint does not take {len(images)} photos at once"
        f" ({type(error).__name__}: {first_line(error)}); give fewer."
    )


def least_side(takes: Callable[[int, int], bool], width: int, height: int) -> int | None:
    """The fewest pixels that the shorter side needs beside the longer one; None if even a square is
    refused.
    """
    longer, refused = max(width, height), min(width, height)

    def fits(side: int) -> bool:
        return takes(*((longer, side) if width >= height else (side, longer)))

    taken = min(2 * refused, longer)
    while not fits(taken):
        if taken == longer:
            return None
        refused, taken = taken, min(2 * taken, longer)
    while taken - refused > 1:
        middle = (refused + taken) // 2
        refused, taken = (refused, middle) if fits(middle) else (middle, taken)
    return taken
