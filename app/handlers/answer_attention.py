"""What the words of an answer looked at, what they hang on, and whether that mattered."""

import vlm

from .. import models, payloads
from .answering import model_of, remembered_answer
from .errors import asked_by_script, whole_number
from .views import hidden_states

attentions: models.Recent = models.Recent(heavy=True)
sinks_by_run: models.Recent = models.Recent()
relevancies: models.Recent = models.Recent()


def answered(key: str, step: int):
    """The answer of this key, the number of one of its words, and the model that said it.

    Raises:
        vlm.VLMError: it is no longer kept, or there is no such word.
    """
    trace, _ = remembered_answer(key)
    return trace, whole_number(step, "word", len(trace.steps)), model_of(key)


def sinks(key: str, trace: vlm.Trace, model):
    """The sinks of a run: another decoding of the same question changes nothing."""
    run = str(key).rpartition("-")[0]
    return sinks_by_run.get(run, lambda: model.sinks(trace, hidden_states(run, trace)))


@asked_by_script
def looked(key: str, step: int, layer: int) -> dict:
    """What one word looked at in one layer (0: the mean of all): every head, the mean of the heads,
    the same without sinks, and the rollout.
    """
    trace, step, model = answered(key, step)
    attention = attentions.get(key, lambda: model.attention(trace))
    layer = whole_number(layer, "layer", len(attention.layers) + 1)
    return payloads.looked(trace, attention, step, layer, sinks(key, trace, model))


@asked_by_script
def relevancy(key: str, step: int) -> dict:
    """What one word hangs on: gradient times attention, of every visual token, and the share of the
    picture.
    """
    trace, step, model = answered(key, step)
    values = relevancies.get((key, step), lambda: model.relevancy(trace, step))
    visual = payloads.among_sources(trace, len(values))
    came = values.sum() - 1  # what R's identity puts at the word's own position came from nowhere
    return {
        "values": payloads.packed(values[visual]),
        "share": round(float(values[visual].sum() / max(came, 1e-12)), 4),
    }


@asked_by_script
def ablation(key: str, step: int, tokens: list) -> dict:
    """Does the word need these visual tokens more than as many others, drawn by chance?"""
    trace, step, model = answered(key, step)
    if not isinstance(tokens, list) or not tokens:
        raise vlm.VLMError(
            "No visual token is lit, so there is nothing to check; choose a map first."
        )
    count = len(trace.visual_tokens.embeddings)
    checked = model.ablation(
        trace, step, [whole_number(token, "visual token", count) for token in tokens]
    )
    return {
        "lit": checked.lit,
        "random": [round(float(value), 4) for value in checked.random],
        "mean": checked.mean,
        "spread": checked.spread,
        "mattered": checked.mattered,
        "count": len(checked.tokens),
    }
