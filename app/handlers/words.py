"""What the words of an answer looked at, what they hang on, and whether that mattered."""

import vlm

from .. import payloads
from .answering import remembered_answer
from .errors import asked_by_script, whole_number
from .views import inspect


def answered(key: str, step: int):
    """The answer of this key, the number of one of its words, and the inspector of its run.

    Raises:
        vlm.VLMError: it is no longer kept, or there is no such word.
    """
    trace, _ = remembered_answer(key)
    return trace, whole_number(step, "word", len(trace.steps)), inspect(key, trace)


@asked_by_script
def looked(key: str, step: int, layer: int) -> dict:
    """What one word looked at in one layer (0: the mean of all): every head, the mean of the heads,
    the same without sinks, and the rollout.
    """
    trace, step, look = answered(key, step)
    attention = look.answer_attention()
    layer = whole_number(layer, "layer", len(attention.layers) + 1)
    return payloads.looked(trace, attention, step, layer, look.sinks())


@asked_by_script
def relevancy(key: str, step: int) -> dict:
    """What one word hangs on: gradient times attention, of every visual token, and the share of the
    picture.
    """
    trace, step, look = answered(key, step)
    values = look.relevancy(step)
    visual = payloads.among_sources(trace, len(values))
    came = values.sum() - 1  # what R's identity puts at the word's own position came from nowhere
    return {
        "values": payloads.packed(values[visual]),
        "share": round(float(values[visual].sum() / max(came, 1e-12)), 4),
    }


@asked_by_script
def ablation(key: str, step: int, tokens: list) -> dict:
    """Does the word need these visual tokens more than as many others, drawn by chance?"""
    trace, step, look = answered(key, step)
    if not isinstance(tokens, list) or not tokens:
        raise vlm.VLMError(
            "No visual token is lit, so there is nothing to check; choose a map first."
        )
    count = len(trace.visual_tokens.embeddings)
    checked = look.ablation(step, [whole_number(token, "visual token", count) for token in tokens])
    return {
        "lit": checked.lit,
        "random": [round(float(value), 4) for value in checked.random],
        "mean": checked.mean,
        "spread": checked.spread,
        "mattered": checked.mattered,
        "count": len(checked.tokens),
    }
