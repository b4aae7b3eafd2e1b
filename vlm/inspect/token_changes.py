"""Changes to VT: take visual tokens away, keep only some, shuffle, rescale or paste them, and let
the language model answer again.

A change gives a new trace; nothing else in it changes, and an empty change leaves every number as
it was, bit for bit. What a model with DeepStack adds to the tokens at its first layers is changed
in the same way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from vlm.errors import ModelError
from vlm.records.trace import Trace
from vlm.records.visual_tokens import BREAK


@dataclass(frozen=True)
class Rerun:
    """What became of a run when something was changed.

    Attributes:
        trace: as changed, with its new answer.
        before: the log-probability (nats) of each word of the old answer, as it was: `model.score`
            of the unchanged trace.
        after: as it is now, the words before it unchanged. Where nothing was changed, `before`, bit
            for bit.
    """

    trace: Trace
    before: Float[np.ndarray, " words"]
    after: Float[np.ndarray, " words"]


def with_tokens(
    trace: Trace,
    embeddings: Float[np.ndarray, "V D"],
    deepstack: Sequence[Float[np.ndarray, "V D"]] | None = None,
) -> Trace:
    """The trace with other visual tokens in the same places, before its answer.

    Args:
        deepstack: in the place of `visual_tokens.deepstack`; None leaves those.

    Raises:
        ModelError: there are not as many of them, or not as wide.
    """
    visual = trace.visual_tokens
    if embeddings.shape != visual.embeddings.shape:
        raise ModelError(
            f"The new visual tokens are {embeddings.shape}; in the places of the old ones"
            f" {visual.embeddings.shape} fit."
        )
    fused = trace.inputs_embeds.copy()
    if visual.positions is not None:
        fused[visual.positions] = embeddings
    stages = tuple(stage for stage in trace.stages if stage.symbol != "answer")
    changed = replace(
        visual,
        embeddings=embeddings,
        deepstack=visual.deepstack if deepstack is None else tuple(deepstack),
    )
    return replace(trace, visual_tokens=changed, inputs_embeds=fused, steps=(), stages=stages)


def _changed(
    trace: Trace, change: Callable[[Float[np.ndarray, "V D"]], Float[np.ndarray, "V D"]]
) -> Trace:
    """The same change of the visual tokens and of what is added to them later."""
    visual = trace.visual_tokens
    return with_tokens(
        trace, change(visual.embeddings), [change(rows) for rows in visual.deepstack]
    )


def remove(trace: Trace, tokens: Sequence[int], how: str = "mean", seed: int = 0) -> Trace:
    """Put something without content in the places of some visual tokens.

    Args:
        how: "mean", the mean visual token (of all photos that were asked about together; the usual
            choice); "zero", which the model has never seen and which exaggerates; "noise", drawn
            with the mean and spread of this photo's tokens; "neighbour", the nearest kept token.
    """
    chosen, generator = np.array(checked(trace, tokens), int), np.random.default_rng(seed)
    kept = np.setdiff1d(np.arange(len(trace.visual_tokens.embeddings)), chosen)
    if how not in ("mean", "zero", "noise", "neighbour"):
        raise ModelError(f"The replacement is {how!r}; choose mean, zero, noise or neighbour.")
    if how == "neighbour" and len(chosen) and not len(kept):
        raise ModelError(
            "All visual tokens are to be removed, so none has a neighbour that is kept; choose"
            " another replacement."
        )
    nearest = (
        [int(kept[_distances(trace, kept, token).argmin()]) for token in chosen.tolist()]
        if how == "neighbour"
        else []
    )

    def change(rows: Float[np.ndarray, "V D"]) -> Float[np.ndarray, "V D"]:
        changed = rows.copy()
        if how == "mean":
            changed[chosen] = rows.mean(0)
        elif how == "zero":
            changed[chosen] = 0
        elif how == "noise":
            changed[chosen] = generator.normal(
                rows.mean(0), rows.std(0), (len(chosen), rows.shape[1])
            )
        else:
            changed[chosen] = rows[nearest]
        return changed

    return _changed(trace, change)


def keep(trace: Trace, tokens: Sequence[int], how: str = "mean", seed: int = 0) -> Trace:
    """Remove all visual tokens but some."""
    others = np.setdiff1d(np.arange(len(trace.visual_tokens.embeddings)), list(tokens))
    return remove(trace, others.tolist(), how, seed)


def shuffle(trace: Trace, seed: int = 0) -> Trace:
    """The same visual tokens in another order: what is left if the model reads them as a bag.

    Marks between them stay where they are.
    """
    visual, generator = trace.visual_tokens, np.random.default_rng(seed)
    kinds, order = np.array(visual.kinds), np.arange(len(visual.kinds))
    for kind in dict.fromkeys(visual.kinds):
        if kind != BREAK:
            [of] = np.nonzero(kinds == kind)
            order[of] = generator.permutation(of)
    return _changed(trace, lambda rows: rows[order])


def rescale(trace: Trace, factor: float) -> Trace:
    """Every visual token longer or shorter, its direction kept."""
    return _changed(trace, lambda rows: rows * np.float32(factor))


def paste(trace: Trace, tokens: Sequence[int], other: Trace) -> Trace:
    """Visual tokens of another photo in the places of some of this one: the token whose centre is
    nearest, both photos stretched over each other.

    Raises:
        ModelError: the other photo's tokens are of another model, or there is no such token.
    """
    mine, theirs = trace.visual_tokens, other.visual_tokens
    if theirs.embeddings.shape[1] != mine.embeddings.shape[1] or len(theirs.deepstack) != len(
        mine.deepstack
    ):
        raise ModelError(
            f"The other photo's visual tokens have {theirs.embeddings.shape[1]} numbers and this"
            f" one's {mine.embeddings.shape[1]}; only photos that one model saw can exchange them."
        )
    chosen, targets, sources, taken = checked(trace, tokens), _centres(trace), _centres(other), []
    for token in chosen:
        alike = np.array(
            [index for index, kind in enumerate(theirs.kinds) if kind == mine.kinds[token]]
        )
        if not len(alike):
            raise ModelError(
                f"Token {token} is a {mine.kinds[token]} token; the other photo has none. Choose"
                " others."
            )
        if np.isnan(targets[token]).any():  # a mark or a query has no place but its order
            place = [
                index for index, kind in enumerate(mine.kinds) if kind == mine.kinds[token]
            ].index(token)
            taken.append(alike[min(place, len(alike) - 1)])
        else:
            taken.append(alike[np.linalg.norm(sources[alike] - targets[token], axis=1).argmin()])
    pasted = []
    for rows, others in zip(
        (mine.embeddings, *mine.deepstack), (theirs.embeddings, *theirs.deepstack)
    ):
        pasted.append(rows.copy())
        pasted[-1][chosen] = others[taken]
    return with_tokens(trace, pasted[0], pasted[1:])


def checked(trace: Trace, tokens: Sequence[int]) -> list[int]:
    """The visual tokens, each once and in order.

    Raises:
        ModelError: there is no such token.
    """
    chosen, count = sorted({int(token) for token in tokens}), len(trace.visual_tokens.embeddings)
    if chosen and not (chosen[0] >= 0 and chosen[-1] < count):
        raise ModelError(
            f"There is no visual token {chosen[-1] if chosen[0] >= 0 else chosen[0]}; there are"
            f" {count}, counted from 0."
        )
    return chosen


def _centres(trace: Trace) -> Float[np.ndarray, "V 2"]:
    """Where the centre of each token lies, as shares of its photo's height and width; NaN without a
    place.
    """
    visual = trace.visual_tokens
    sizes = np.array([(image.height, image.width) for image in trace.encoded_image.images], float)[
        visual.photos
    ]
    return (visual.boxes[:, :2] + visual.boxes[:, 2:]) / 2 / sizes


def _distances(
    trace: Trace, tokens: Int[np.ndarray, " some"], token: int
) -> Float[np.ndarray, " some"]:
    """How far some tokens are from one: in its photo, or in the sequence where one of the two has
    no place there.
    """
    visual, centres = trace.visual_tokens, _centres(trace)
    size = np.array(
        [
            trace.encoded_image.images[visual.photos[token]].height,
            trace.encoded_image.images[visual.photos[token]].width,
        ]
    )
    apart = np.linalg.norm((centres[tokens] - centres[token]) * size, axis=1)
    elsewhere = np.isnan(apart) | (visual.photos[tokens] != visual.photos[token])
    return np.where(elsewhere, 1e6 + np.abs(tokens - token), apart)
