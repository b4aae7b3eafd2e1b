"""Findings about contrastive models: the modality gap, the temperature, and maps that light the
background.
"""

from typing import Any

import numpy as np

from vlm.findings.finding import Case, Outcome, Untestable

FEWEST = 5  # photos with a sentence each
STEP, SHARE = 0.03, 0.9  # a difference of cosines, and the share that the higher one must get
EXACT = 1e-3


def contrastive(case: Case) -> Any:
    """The contrastive model.

    Raises:
        Untestable: there is none.
    """
    if case.contrast is None:
        raise Untestable(
            "This needs a contrastive model beside this one; give one with --contrastive."
        )
    return case.contrast


def modality_gap(case: Case) -> Outcome:
    """Fact 18: photos and sentences lie in two cones, further apart than either is wide."""
    model = contrastive(case)
    if len(case.pairs) < FEWEST:
        raise Untestable(
            f"This needs at least {FEWEST} photos with a sentence each; {len(case.pairs)} were"
            " given."
        )
    photos = np.stack(
        [each.vector for each in model.embed_images([photo for photo, _ in case.pairs])]
    )
    texts = model.embed_texts([sentence for _, sentence in case.pairs])
    gap = float(np.linalg.norm(photos.mean(0) - texts.mean(0)))
    wide = [float(np.linalg.norm(rows - rows.mean(0), axis=1).mean()) for rows in (photos, texts)]
    cosine = photos @ texts.T
    right = float((cosine.argmax(1) == np.arange(len(cosine))).mean())
    numbers = {
        "distance of the means": gap,
        "spread of the photos": wide[0],
        "spread of the sentences": wide[1],
        "cosine of matching pairs": float(np.diag(cosine).mean()),
        "photos nearest to their sentence": right,
        "pairs": len(cosine),
    }
    said = f"photos lie {wide[0]:.2f} and sentences {wide[1]:.2f} from their own"
    return (
        gap > max(wide),
        numbers,
        (
            f"The means of {len(cosine)} photos and sentences are {gap:.2f} apart; {said}. Matching"
            f" pairs have a cosine of {np.diag(cosine).mean():.2f}."
        ),
    )


def temperature(case: Case) -> Outcome:
    """Fact 19: the learned scale turns small differences of cosines into near certainty, exactly by
    the formula.
    """
    model = contrastive(case)
    sentences = [sentence for _, sentence in case.pairs] or [
        f"a photo of a {word}" for word in (*case.words, "cat", "dog")
    ]
    record = model.similarity([case.trace.encoded_image.image], sentences)
    share = float(1 / (1 + np.exp(-record.logit_scale * STEP)))
    logits = record.cosine[0].astype(np.float64) * record.logit_scale + record.logit_bias
    by_formula = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    wrong = float(
        max(
            np.abs(by_formula - record.image_to_text[0]).max(),
            np.abs(1 / (1 + np.exp(-logits)) - record.sigmoid[0]).max(),
        )
    )
    numbers = {
        "e^tau": record.logit_scale,
        "bias": record.logit_bias,
        f"share of the higher of two, {STEP} apart": share,
        "largest error of the formula": wrong,
    }
    return (
        share >= SHARE and wrong < EXACT,
        numbers,
        (
            f"The learned scale is {record.logit_scale:.1f}: of two texts whose cosines differ by"
            f" {STEP}, the nearer gets {100 * share:.0f} %."
        ),
    )


def background_is_lit(case: Case) -> Outcome:
    """Fact 20: the raw map of the thing's name is brighter outside the thing.

    With the correction it is not.
    """
    model, boxes = contrastive(case), case.trace.visual_tokens.boxes[list(case.chosen())]
    scores = model.patch_scores(case.trace.encoded_image.image, f"a photo of a {case.word()}")
    centres = (scores.boxes[:, :2] + scores.boxes[:, 2:]) / 2
    inside = (
        ((centres[:, None] >= boxes[None, :, :2]) & (centres[:, None] < boxes[None, :, 2:]))
        .all(2)
        .any(1)
    )
    if not 0 < inside.sum() < len(inside):
        raise Untestable(
            "The selected patches cover none or all of what the contrastive model sees of the"
            " photo."
        )

    def contrast(values: np.ndarray) -> float:
        return float((values[inside].mean() - values[~inside].mean()) / max(values.std(), 1e-9))

    raw = contrast(scores.patches)
    numbers = {"inside minus outside, raw (standard deviations)": raw}
    if scores.corrected is not None:
        numbers["corrected"] = contrast(scores.corrected)
    dark = (
        f"{'darker' if raw < 0 else 'brighter'} inside the thing than outside by {abs(raw):.2f}"
        " standard deviations"
    )
    after = (
        ""
        if scores.corrected is None
        else (
            "; with each patch looking only at itself in the last layer the difference is"
            f" {numbers['corrected']:+.2f}"
        )
    )
    return (
        raw < 0 and numbers.get("corrected", np.inf) > raw,
        numbers,
        f"The raw map of {case.word()!r} is {dark}{after}.",
    )
