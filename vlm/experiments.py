"""Changes to VT: take visual tokens away, keep only some, shuffle, rescale or paste them, and let the language model answer again.

A change gives a new trace; nothing else in it changes, and an empty change leaves every number as it was, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vlm.errors import ModelError
from vlm.records import Trace


def with_tokens(trace: Trace, embeddings: Float[np.ndarray, "V D"]) -> Trace:
    """The trace with other visual tokens in the same places, before its answer.

    Raises:
        ModelError: there are not as many of them, or not as wide.
    """
    visual = trace.visual_tokens
    if embeddings.shape != visual.embeddings.shape:
        raise ModelError(f"The new visual tokens are {embeddings.shape}; in the places of the old ones {visual.embeddings.shape} fit.")
    fused = trace.inputs_embeds.copy()
    fused[visual.positions] = embeddings
    stages = tuple(stage for stage in trace.stages if stage.symbol != "answer")
    return replace(trace, visual_tokens=replace(visual, embeddings=embeddings), inputs_embeds=fused, steps=(), stages=stages)


def remove(trace: Trace, tokens: Sequence[int], how: str = "mean", seed: int = 0) -> Trace:
    """Put something without content in the places of some visual tokens.

    Args:
        how: "mean", the mean visual token of this photo (the usual choice); "zero", which the model has never seen and which
            exaggerates; "noise", drawn with the mean and spread of this photo's tokens; "neighbour", the nearest kept token.
    """
    rows = trace.visual_tokens.embeddings
    chosen = np.array(sorted({int(token) for token in tokens}), int)
    if len(chosen) and not (0 <= chosen[0] and chosen[-1] < len(rows)):
        raise ModelError(f"There is no visual token {chosen[-1] if chosen[0] >= 0 else chosen[0]}; there are {len(rows)}, counted from 0.")
    changed = rows.copy()
    if how == "mean":
        changed[chosen] = rows.mean(0)
    elif how == "zero":
        changed[chosen] = 0
    elif how == "noise":
        changed[chosen] = np.random.default_rng(seed).normal(rows.mean(0), rows.std(0), (len(chosen), rows.shape[1]))
    elif how == "neighbour":
        kept = np.setdiff1d(np.arange(len(rows)), chosen)
        if len(chosen) and not len(kept):
            raise ModelError("All visual tokens are to be removed, so none has a neighbour that is kept; choose another replacement.")
        boxes = trace.visual_tokens.boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        for token in chosen:
            changed[token] = rows[kept[np.linalg.norm(centres[kept] - centres[token], axis=1).argmin()]]
    else:
        raise ModelError(f"The replacement is {how!r}; choose mean, zero, noise or neighbour.")
    return with_tokens(trace, changed)


def keep(trace: Trace, tokens: Sequence[int], how: str = "mean", seed: int = 0) -> Trace:
    """Remove all visual tokens but some."""
    others = np.setdiff1d(np.arange(len(trace.visual_tokens.embeddings)), list(tokens))
    return remove(trace, others.tolist(), how, seed)


def shuffle(trace: Trace, seed: int = 0) -> Trace:
    """The same visual tokens in another order: what is left if the model reads them as a bag."""
    order = np.random.default_rng(seed).permutation(len(trace.visual_tokens.embeddings))
    return with_tokens(trace, trace.visual_tokens.embeddings[order])


def rescale(trace: Trace, factor: float) -> Trace:
    """Every visual token longer or shorter, its direction kept."""
    return with_tokens(trace, trace.visual_tokens.embeddings * np.float32(factor))


def paste(trace: Trace, tokens: Sequence[int], other: Trace) -> Trace:
    """Some visual tokens of another photo in the same places of this one."""
    chosen = [int(token) for token in tokens]
    if other.visual_tokens.embeddings.shape != trace.visual_tokens.embeddings.shape:
        raise ModelError("The two photos have different numbers of visual tokens; only photos of one grid can exchange them.")
    changed = trace.visual_tokens.embeddings.copy()
    changed[chosen] = other.visual_tokens.embeddings[chosen]
    return with_tokens(trace, changed)
