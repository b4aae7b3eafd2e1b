"""What the words of an answer looked at, what they hang on, and whether that mattered."""

import vlm

from .. import payloads
from ..backend import Backend
from ..checks import whole_number
from ..runs import Run
from .errors import asked_by_script


def open_word(server: Backend, answered: object, step: int) -> tuple[Run, int]:
    """The answer with this key, and the number of one of its words.

    Raises:
        vlm.VLMError: it is no longer kept, or there is no such word.
    """
    run = server.runs.open_answer(answered)
    return run, whole_number(step, "word", len(run.trace.steps))


@asked_by_script
def looked(server: Backend, key: str, step: int, layer: int) -> dict:
    """What one word looked at in one layer (0: the mean of all): every head, the mean of the heads,
    the same without sinks, and the rollout.
    """
    run, step = open_word(server, key, step)
    attention = run.look.answer_attention()
    layer = whole_number(layer, "layer", len(attention.layers) + 1)
    return payloads.looked(run.trace, attention, step, layer, run.look.sinks())


@asked_by_script
def relevancy(server: Backend, key: str, step: int) -> dict:
    """What one word hangs on: gradient times attention, of every visual token, and the share of the
    picture.
    """
    run, step = open_word(server, key, step)
    values = run.look.relevancy(step)
    visual = payloads.among_sources(run.trace, len(values))
    came = values.sum() - 1  # what R's identity puts at the word's own position came from nowhere
    return {
        "values": payloads.packed(values[visual]),
        "share": round(float(values[visual].sum() / max(came, 1e-12)), 4),
    }


@asked_by_script
def ablation(server: Backend, key: str, step: int, tokens: list) -> dict:
    """Does the word need these visual tokens more than as many others, drawn by chance?"""
    run, step = open_word(server, key, step)
    if not isinstance(tokens, list) or not tokens:
        raise vlm.VLMError(
            "No visual token is lit, so there is nothing to check; choose a map first."
        )
    count = len(run.trace.visual_tokens.embeddings)
    tokens = [whole_number(token, "visual token", count) for token in tokens]
    checked = run.look.ablation(step, tokens)
    return {
        "lit": checked.lit,
        "random": [round(float(value), 4) for value in checked.random],
        "mean": checked.mean,
        "spread": checked.spread,
        "mattered": checked.mattered,
        "count": len(checked.tokens),
    }
