"""What a photo of any size costs each family of models."""

import vlm

from .. import payloads
from ..backend import Backend
from ..checks import whole
from .errors import shows_errors


@shows_errors
def ledger(server: Backend, width: float, height: float) -> dict:
    """What every family spends on a photo of this size, and on smaller and larger ones of the same
    shape.
    """
    width, height = (
        whole(width, "The width", vlm.ImageError),
        whole(height, "The height", vlm.ImageError),
    )
    [spent] = vlm.count_visual_tokens_at([(height, width)])  # is it a size?
    longest, sides = max(width, height), [64 * step for step in range(1, 33)]
    curve = vlm.count_visual_tokens_at(
        [
            (max(1, round(height * side / longest)), max(1, round(width * side / longest)))
            for side in sides
        ]
    )
    return payloads.ledger(width, height, spent, sides, curve)
