"""A finding that changes the encoder: outlier patches come from a few neurons, and an extra token
can take them over.
"""

import numpy as np

from vlm.findings.finding import Case, Outcome, Untestable
from vlm.findings.seeing import OUTLIER, few_outliers, outlying

FEWER, UNCHANGED = 0.5, 0.95  # of the outliers; cosine of the encoder's vector


def register_neurons(case: Case) -> Outcome:
    """Fact 4: with an extra token that takes over a few neurons the outliers are gone, and CLS is
    the same.
    """
    if not few_outliers(case)[0]:
        raise Untestable(
            "There are no outlier patches in this photo (finding 3), so there is nothing to move."
        )
    encoded_image = case.trace.encoded_image
    norms = np.linalg.norm(encoded_image.patch_features, axis=2)
    layer, _, _ = outlying(norms)
    outliers = norms[layer] > OUTLIER * np.median(norms[layer])
    moved = case.look.registers(outliers, layer)
    left = int((moved.after[layer - 1] > OUTLIER * np.median(moved.before[layer - 1])).sum())
    numbers = {
        "outliers before": int(outliers.sum()),
        "outliers after": left,
        "neurons moved": len(moved.neurons),
        "cosine of the encoder's vector": moved.cosine,
    }
    seen = left <= FEWER * outliers.sum() and moved.cosine >= UNCHANGED
    return (
        bool(seen),
        numbers,
        (
            f"Moving {len(moved.neurons)} neurons to a blank token leaves {left} of"
            f" {int(outliers.sum())} outliers; the encoder's vector keeps a cosine of"
            f" {moved.cosine:.3f}."
        ),
    )
