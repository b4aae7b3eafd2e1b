"""Findings about what happens before the language model: how many tokens, whose patches, outliers,
places, colours.
"""

import numpy as np
from jaxtyping import Float

from vlm.findings.finding import Case, Outcome, Untestable, rank_correlation
from vlm.inspect.projection import components
from vlm.records.patches import Patches

OUTLIER, MOST_OUTLIERS = 3.0, 0.1  # times the median length; share of the patches
# rank correlation with the distance; distances up to this share of the grid's longer side
FALLS, FAR = -0.9, 0.5
GROUPED = 0.5  # of the colour distance of two patches taken by chance
MOST = 2048  # patches whose places are compared with each other


def one_token_a_patch(case: Case) -> Outcome:
    """Fact 1: V = N, CLS left out, and one place in the prompt for each."""
    encoded_image, trace = case.trace.encoded_image, case.trace
    case.require_positions()
    size = encoded_image.patches.size
    cut = sum(
        (picture.received.shape[0] // size) * (picture.received.shape[1] // size)
        for picture in encoded_image.patches.pictures
    )
    numbers = {
        "patches by size": cut,
        "encoder positions": len(encoded_image.patches.boxes)
        + encoded_image.prefix_features.shape[1],
        "of them no patches (CLS)": encoded_image.prefix_features.shape[1],
        "visual tokens": len(trace.visual_tokens.embeddings),
        "places in the prompt": trace.roles.count("visual"),
    }
    v = numbers["visual tokens"]
    seen = (
        cut == v == numbers["places in the prompt"]
        and set(trace.visual_tokens.kinds) == {"patch"}
        and (trace.visual_tokens.sources >= 0).sum() == cut
    )
    return (
        seen,
        numbers,
        (
            f"{cut:,} patches became {v:,} visual tokens at {numbers['places in the prompt']:,}"
            " places of the prompt."
        ),
    )


def square_of_patches(case: Case) -> Outcome:
    """Fact 2: every token is made of one square block of neighbouring patches, and no patch is used
    twice.
    """
    patches, sources = case.trace.encoded_image.patches, case.trace.visual_tokens.sources
    made = sources[(sources >= 0).any(1)]
    if not len(made):
        raise Untestable(
            "The tokens of this model are learned questions to the whole photo (a Q-Former), not"
            " merged patches."
        )
    if (made >= 0).sum(1).max() == 1:
        raise Untestable("The connector of this model keeps one token a patch; nothing is merged.")
    blocks = [tuple(each[each >= 0].tolist()) for each in made]
    sides = {_side(patches, block) for block in blocks}
    used = np.concatenate([np.array(block) for block in blocks])
    twice, left = len(used) - len(set(used.tolist())), len(patches.boxes) - len(set(used.tolist()))
    side = max(sides, default=0)
    seen = len(sides) == 1 and side > 1 and twice == 0 and left == 0
    numbers = {
        "patches": len(patches.boxes),
        "visual tokens": len(made),
        "patches a side of a token": side if len(sides) == 1 else 0,
        "patches used twice": twice,
        "patches left out": left,
    }
    said = (
        f"one token is {side} x {side} neighbouring patches"
        if len(sides) == 1 and side
        else "the tokens are not squares of one size"
    )
    return (
        seen,
        numbers,
        (
            f"{len(patches.boxes):,} patches, {len(made):,} tokens: {said}; {twice} patches are"
            f" used twice and {left} not at all."
        ),
    )


def _side(patches: Patches, block: tuple[int, ...]) -> int:
    """The side of the square that these patches fill; 0 if they fill none."""
    places = patches.places[list(block)]
    height, width = (
        places[:, 1].max() - places[:, 1].min() + 1,
        places[:, 2].max() - places[:, 2].min() + 1,
    )
    whole = (
        len(set(places[:, 0].tolist())) == 1
        and height == width
        and len(block) == height * width == len({tuple(place) for place in places.tolist()})
    )
    return int(height) if whole else 0


def outlying(norms: Float[np.ndarray, "layers N"]) -> tuple[int, float, float]:
    """The layer (of the deeper half) with the longest patch against the median, how much longer it
    is, and the share of patches over three times the median.
    """
    ratio = norms.max(1) / np.maximum(np.median(norms, axis=1), 1e-9)
    start = max(1, len(norms) // 2)
    layer = start + int(ratio[start:].argmax())
    return (
        layer,
        float(ratio[layer]),
        float((norms[layer] > OUTLIER * np.median(norms[layer])).mean()),
    )


def few_outliers(case: Case) -> Outcome:
    """Fact 3: a few patches of a far greater length in the deeper layers."""
    features = case.trace.encoded_image.patch_features
    if len(features) < 3:
        raise Untestable(
            "This encoder's layers do not keep one vector a patch, so their lengths cannot be"
            " compared."
        )
    layer, ratio, share = outlying(np.linalg.norm(features, axis=2))
    seen = ratio > OUTLIER and share <= MOST_OUTLIERS
    said = (
        f"{100 * share:.1f} % of the patches are more than three times as long as the median one"
        if share
        else "no patch is three times as long as the median one"
    )
    return (
        seen,
        {"layer": layer, "longest / median": ratio, "share of patches": share},
        f"After layer {layer} of the encoder {said}; the longest is {ratio:.1f} times.",
    )


def places_are_neighbours(case: Case) -> Outcome:
    """Fact 25: the cosine of two position embeddings falls with the distance of their patches."""
    encoded_image = case.trace.encoded_image
    if encoded_image.position_embeddings is None:
        raise Untestable(
            "This encoder learns no position embeddings; it turns queries and keys by an angle that"
            " is computed from the place."
        )
    first = np.flatnonzero(encoded_image.patches.places[:, 0] == 0)
    if len(first) > MOST:  # pairs of patches take memory with the square of their number
        first = np.sort(np.random.default_rng(0).choice(first, MOST, replace=False))
    places, rows = encoded_image.patches.places[first, 1:], encoded_image.position_embeddings[first]
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    distance = (
        np.linalg.norm((places[:, None] - places[None]).astype(float), axis=2).round().astype(int)
    )
    cosine, furthest = unit @ unit.T, max(2, int(FAR * (places.max() + 1)))
    means = np.array([cosine[distance == each].mean() for each in range(1, furthest + 1)])
    fall = rank_correlation(np.arange(len(means), dtype=float), means)
    numbers = {
        "cosine of neighbours": means[0],
        f"cosine {furthest} patches apart": means[-1],
        "rank correlation with the distance": fall,
    }
    return (
        fall <= FALLS,
        numbers,
        (
            f"Neighbours have a mean cosine of {means[0]:.2f}, patches {furthest} apart one of"
            f" {means[-1]:.2f}."
        ),
    )


def colours_group(case: Case) -> Outcome:
    """Fact 26: neighbouring patches get similar PCA colours."""
    encoded_image = case.trace.encoded_image
    rows, places = encoded_image.encoder_output, encoded_image.patches.places
    if len(rows) <= 4 or (rows == rows[0]).all():
        raise Untestable("There are too few different patches for three principal components.")
    found = components(rows, 3)
    where = {tuple(place): index for index, place in enumerate(places.tolist())}
    beside = [
        (index, where.get((picture, row + down, column + right)))
        for (picture, row, column), index in where.items()
        for down, right in ((0, 1), (1, 0))
    ]
    pairs = np.array([pair for pair in beside if pair[1] is not None])
    near = np.linalg.norm(found.points[pairs[:, 0]] - found.points[pairs[:, 1]], axis=1).mean()
    chance = np.random.default_rng(0).integers(0, len(rows), (4000, 2))
    apart = np.linalg.norm(found.points[chance[:, 0]] - found.points[chance[:, 1]], axis=1)[
        chance[:, 0] != chance[:, 1]
    ].mean()
    ratio, explained = float(near / max(apart, 1e-9)), float(sum(found.explained))
    numbers = {
        "neighbours' colour distance / chance": ratio,
        "variance in three components": explained,
    }
    return (
        ratio <= GROUPED,
        numbers,
        (
            f"Neighbouring patches differ {ratio:.2f} times as much in colour as two taken by"
            f" chance; the three components carry {100 * explained:.0f} % of the variance."
        ),
    )
