"""What the page is told of what a photo costs each family of models."""

from collections.abc import Sequence

import numpy as np

import vlm

from ..wire import packed


def ledger(
    width: int,
    height: int,
    spent: Sequence[vlm.TokenBudget],
    sides: Sequence[int],
    curve: Sequence[Sequence[vlm.TokenBudget]],
) -> dict:
    """What each family spends on one size, and on every longest side of `sides`."""
    return {
        "width": width,
        "height": height,
        "rows": [
            {
                "family": each.family,
                "checkpoint": each.checkpoint,
                "tokens": each.tokens,
                "why": each.why,
                "compared": each.compared,
            }
            for each in spent
        ],
        "sides": list(sides),
        "curve": packed(np.array([[each.tokens for each in at] for at in curve]).T),
    }
