"""Is what the page shows what the model computes?

Each comparison with its difference as a number, on the photo at hand.

What is compared, and how far it may differ, is said in words. The tolerance is a share of the
largest number compared, by number format: the same sums in another order differ in the last digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from vlm.backends import architecture, text_model
from vlm.backends.attention import Scoring, added_mask, as_always, own_attention, replace_attention
from vlm.backends.device import to_numpy
from vlm.backends.text_model import adjustment_left_out
from vlm.inspect import lens
from vlm.records.patches import Patches
from vlm.records.trace import Trace

if TYPE_CHECKING:
    from vlm.inspect.inspector import Inspector

# of the largest number compared
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}
TOKENS = 5  # whose boxes are proven
OVERLAP = 0.9  # of the pixels that changed and those that should have: all but some at the edges
LEAST = 6  # pixels, of the photo and of what is received, on a side of a box that can be proven so


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    name: what is compared.
    difference: the largest absolute one; None where it cannot be compared with this model.
    allowed: how large it may be.
    words: what was done, or why it cannot be.
    counted: the difference is a number of things, not a distance.
    """

    name: str
    difference: float | None
    allowed: float
    words: str
    counted: bool = False

    @property
    def holds(self) -> bool | None:
        """None where it cannot be compared."""
        return None if self.difference is None else bool(self.difference <= self.allowed)


def compare(look: "Inspector") -> Iterator[Comparison]:
    """Every comparison of a run under inspection, one by one.

    About fifteen passes of the model in all, and no more memory than an answer takes.
    """
    model, trace = look.model, look.trace
    share = TOLERANCE.get(model.network.dtype, TOLERANCE[torch.bfloat16])
    read = look.prefill()
    logits = to_numpy(read.logits)
    scales = {
        "logits": np.abs(logits).max(),
        "tokens": np.abs(trace.visual_tokens.embeddings).max(),
    }
    left_out = adjustment_left_out(model.network)
    for each in model.check(trace):
        scale = scales["logits" if "logits" in each.name else "tokens"]
        words = "stage by stage, against the model's own forward pass in one go"
        yield Comparison(
            each.name,
            each.difference,
            float(share * scale),
            f"{words}; {left_out}" if left_out and "logits" in each.name else words,
        )
    yield last_row(look, logits, share)
    yield eager(model, trace, read.attention, share)
    yield from boxes(model, trace)


@torch.inference_mode()
def last_row(look: "Inspector", logits: Float[np.ndarray, " vocab"], share: float) -> Comparison:
    """The last row of the logit lens at the last position against the logits that the answer begins
    with.
    """
    name = "last row of the logit lens"
    network, hidden = look.model.network, look.hidden_states()[:, -1:]
    [said] = to_numpy(text_model.head(network, lens.normed(network, hidden)[-1]))
    return Comparison(
        name,
        float(np.abs(said - logits).max()),
        float(share * np.abs(logits).max()),
        "the final norm is applied once: the last layer's row is the model's own logits",
    )


@torch.inference_mode()
def eager(
    model: Any, trace: Trace, recorded: Float[np.ndarray, "layers S"] | None, share: float
) -> Comparison:
    """What the last position looks at in the middle layer: as recorded beside the fast attention,
    against transformers' own eager attention.

    Of the picture, where it stands in the sequence: most of a row is often its first position
    alone, beside which the picture would count for nothing.
    """
    name, layer = "recorded attention, middle layer", 0 if recorded is None else len(recorded) // 2
    if recorded is None:
        return Comparison(
            name, None, 0.0, "this model's language part does not tell what it looks at"
        )
    found: list[Tensor] = []
    called, beside = 0, architecture.crossing(model.network)

    def attend(module, query, key, value, mask, **named):
        nonlocal called
        if module in beside:
            return as_always(module, query, key, value, mask, **named)
        explicit = own_attention(module)
        if called == layer and explicit is not None:
            added = added_mask(mask, query, key, Scoring.of(module, named))
            found.append(explicit(module, query, key, value, added, **named)[1])
        called += 1
        return as_always(module, query, key, value, mask, **named)

    with replace_attention(attend):
        text_model.language_trunk(model.network)(**model.language_inputs(trace), use_cache=False)
    if not found:
        return Comparison(
            name, None, 0.0, "transformers has no eager attention for this model to compare with"
        )
    visual = trace.visual_tokens.positions
    shown, weights = (
        row if visual is None else row[visual]
        for row in (recorded[layer], to_numpy(found[0][0, :, -1].float().mean(0)))
    )
    what = "the sequence" if visual is None else "the picture"
    return Comparison(
        name,
        float(np.abs(weights - shown).sum()),
        float(share * shown.sum()),
        f"layer {layer + 1}, what the last position read of {what}, mean of the heads: as shown,"
        " against transformers' eager attention; differences of all positions together",
    )


def boxes(model: Any, trace: Trace) -> Iterator[Comparison]:
    """Check the boxes of a few visual tokens by filling each with white, and with black.

    The patches that a token is made of have to differ, to the pixel, and most; and then the token
    (of those that show the same place, any).
    """
    names, visual, encoded_image = (
        ("boxes of the visual tokens", "visual tokens in their boxes"),
        trace.visual_tokens,
        trace.encoded_image,
    )
    inside = np.isfinite(visual.boxes).all(1) & (visual.photos == 0)
    inside &= (
        (visual.boxes >= 0).all(1)
        & (visual.boxes[:, 2] <= encoded_image.image.height + 1e-6)
        & (visual.boxes[:, 3] <= encoded_image.image.width + 1e-6)
    )
    if not inside.any():
        yield from (
            Comparison(
                name,
                None,
                0.0,
                "the visual tokens of this model have no place of their own in the photo",
            )
            for name in names
        )
        return
    chosen = np.unique(
        np.flatnonzero(inside)[
            np.linspace(0, inside.sum() - 1, TOKENS + 2).round().astype(int)[1:-1]
        ]
    )
    own, patches, tokens = encoded_image.visual_tokens.embeddings, 0, 0
    lengths = np.maximum(np.linalg.norm(own, axis=1), 1e-9)
    for token in chosen.tolist():
        white, black = (
            model.encode_image(
                [
                    filled(encoded_image.image, visual.boxes[token], level),
                    *encoded_image.images[1:],
                ],
                trace.question,
            )
            for level in (255, 0)
        )
        patch = np.abs(white.patches.pixels - black.patches.pixels).sum(1).argmax()
        most = (
            np.linalg.norm(white.visual_tokens.embeddings - black.visual_tokens.embeddings, axis=1)
            / lengths
        ).argmax()
        sources = visual.sources[token][visual.sources[token] >= 0]
        patches += not (
            any(
                shows_the_same(
                    encoded_image.patches.boxes[patch], encoded_image.patches.boxes[source]
                )
                for source in sources
            )
            and fills_its_patches(white.patches, black.patches, sources, visual.boxes[token])
        )
        tokens += not shows_the_same(visual.boxes[most], visual.boxes[token])
    done = (
        f"the pixels in the boxes of {len(chosen)} tokens were turned to white and to black: for"
        " how many another"
    )
    yield Comparison(
        names[0],
        float(patches),
        0.0,
        f"{done} patch of what the encoder gets changed more than those the token is made of, or"
        " not just the pixels of these changed",
        counted=True,
    )
    yield Comparison(
        names[1],
        float(tokens),
        float(len(chosen) // 4),
        f"{done} token changed more, for its length. In the encoder patches look at each other, so"
        " that it may happen to one in four; with wrong boxes it would to nearly all",
        counted=True,
    )


def changed(image: Image.Image, box: Float[np.ndarray, " 4"]) -> Image.Image:
    """The photo with the colours inside a box turned to their opposite."""
    pixels = np.array(image)
    top, left, bottom, right = whole_pixels(box)
    pixels[top:bottom, left:right] = 255 - pixels[top:bottom, left:right]
    return Image.fromarray(pixels)


def filled(image: Image.Image, box: Float[np.ndarray, " 4"], level: int) -> Image.Image:
    """The photo with a box in one grey level."""
    pixels = np.array(image)
    top, left, bottom, right = whole_pixels(box)
    pixels[top:bottom, left:right] = level
    return Image.fromarray(pixels)


def whole_pixels(box: Float[np.ndarray, " 4"]) -> tuple[int, int, int, int]:
    """The whole pixels of a photo that a box holds, at least one."""
    top, left, bottom, right = (round(float(edge)) for edge in box)
    return top, left, max(bottom, top + 1), max(right, left + 1)


def fills_its_patches(
    white: Patches,
    black: Patches,
    sources: Int[np.ndarray, " merged"],
    box: Float[np.ndarray, " 4"],
) -> bool:
    """Whether those received pixels differ that belong to these patches, and no others, where
    `box` was `filled` with `white` and with `black`.

    True of boxes that are too small for it to be told, or lie in several pictures.
    """
    places, size = white.places[sources], white.size
    if len(set(places[:, 0].tolist())) > 1:
        return True
    picture = white.pictures[places[0, 0]]
    first, last = places[:, 1:].min(0) * size, (places[:, 1:].max(0) + 1) * size
    scale = (last - first) / np.array([box[2] - box[0], box[3] - box[1]])
    if min(*(last - first), *(last - first) / scale) < LEAST:
        return True
    # the edges of the filled pixels, as the box places them among the received ones
    edges = np.array(whole_pixels(box)) - box
    first, last = first + edges[:2] * scale, last + edges[2:] * scale
    rows, columns = (np.arange(count) + 0.5 for count in picture.received.shape[:2])
    expected = ((rows > first[0]) & (rows < last[0]))[:, None] & (
        (columns > first[1]) & (columns < last[1])
    )
    found = picture.received.astype(int) - black.pictures[places[0, 0]].received > 255 / 2
    found = found.all(2)
    return bool((found & expected).sum() >= OVERLAP * (found | expected).sum())


def shows_the_same(one: Float[np.ndarray, " 4"], other: Float[np.ndarray, " 4"]) -> bool:
    """Whether two boxes overlap by at least half of the smaller one."""
    if not np.isfinite([*one, *other]).all():
        return False
    height, width = (
        max(0.0, min(one[side + 2], other[side + 2]) - max(one[side], other[side]))
        for side in (0, 1)
    )
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return bool(height * width >= smaller / 2)
