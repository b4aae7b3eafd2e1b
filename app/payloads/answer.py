"""What the page is told of an answer, and of what its words looked at."""

from collections.abc import Sequence

import numpy as np

import vlm

from ..wire import packed
from .run import stages


def steps(taken: Sequence[vlm.Step]) -> list[dict]:
    """Each token of an answer, with its alternatives before and after D_d."""
    return [
        {
            "string": step.token_string,
            "probability": round(step.probability, 5),
            "decoding": round(step.decoding_probability, 5),
            "entropy": round(step.entropy, 4),
            "end": step.is_end,
            "alternatives": [
                [a.token_string, round(a.probability, 5), round(a.decoding_probability, 5)]
                for a in step.alternatives
            ],
        }
        for step in taken
    ]


def answer(
    taken: Sequence[vlm.Step],
    finished: bool,
    longest: int,
    trace: vlm.Trace | None = None,
    key: str | None = None,
) -> dict:
    """The answer so far, of at most `longest` tokens.

    When it is finished, its stages and the key under which its words can be asked about.
    """
    return {
        "key": key,
        "answer": taken[-1].answer if taken else "",
        "finished": finished,
        "longest": longest,
        "stages": stages(trace) if trace else None,
        "steps": steps(taken),
        "looked": None if trace is None or key is None else glances(trace),
    }


def glances(trace: vlm.Trace) -> dict | None:
    """What every word of the answer looked at in the mean of all layers, which its hover shows at
    once, in float16; None where that is not recorded.
    """
    if (
        not trace.steps
        or trace.steps[0].attention is None
        or (trace.visual_tokens.positions is None and trace.steps[0].beside is None)
    ):
        return None
    return {
        "visual": packed(
            np.stack([seen(trace, step).mean(0) for step in trace.steps]).astype(np.float16)
        ),
        "shares": packed(np.stack([shares(trace, step).mean(1) for step in trace.steps])),
    }


def word(trace: vlm.Trace, index: int) -> dict:
    """What one word of the answer looked at, layer by layer: each visual token, and the shares of
    picture, prompt and earlier words.
    """
    step = trace.steps[index]
    if trace.visual_tokens.positions is None and step.beside is None:
        raise vlm.ModelError(
            "This model's language part reads the picture by cross-attention, beside the sequence;"
            " what this word looked at there was not recorded."
        )
    if step.attention is None:
        raise vlm.ModelError("This model's language part does not tell what it looks at.")
    mine = seen(trace, step)
    return {
        "visual": packed(mine),
        "mean": packed(np.mean([seen(trace, each) for each in trace.steps], axis=0)),
        "shares": packed(shares(trace, step)),
    }


def seen(trace: vlm.Trace, step: vlm.Step) -> np.ndarray:
    """What one word looked at among the visual tokens, layer by layer: in the sequence, or beside
    it in the layers of cross-attention. Layers x V.
    """
    positions = trace.visual_tokens.positions
    return step.beside if positions is None else step.attention[:, positions]


def among_sources(trace: vlm.Trace, sources: int) -> np.ndarray:
    """Where the visual tokens stand in a row of all that a word comes from: at their positions, or
    behind all positions. V.
    """
    positions = trace.visual_tokens.positions
    return (
        sources
        - len(trace.visual_tokens.embeddings)
        + np.arange(len(trace.visual_tokens.embeddings))
        if positions is None
        else positions
    )


def shares(trace: vlm.Trace, step: vlm.Step) -> np.ndarray:
    """How much of what a word was read from was the picture, the prompt, earlier words, layer by
    layer; of the sequence alone where the picture stands beside it. 3 x layers.
    """
    rows, visual = step.attention, trace.visual_tokens.positions
    picture = np.zeros(len(rows), np.float32) if visual is None else rows[:, visual].sum(1)
    return np.stack(
        [
            picture,
            rows[:, trace.text_tokens.positions].sum(1),
            rows[:, len(trace.input_ids) :].sum(1),
        ]
    )


def looked(trace: vlm.Trace, attention, step: int, layer: int, sinks) -> dict:
    """Maps of what one word looked at.

    `layer` counts the layers that have attention to the picture from 1, 0 is their mean.

    Of a picture beside the sequence, what was read of the text is no share of the same attention.
    """
    beside, text = trace.visual_tokens.positions is None, trace.text_tokens.positions
    # in the rows
    visual = (
        np.arange(len(trace.visual_tokens.embeddings)) if beside else trace.visual_tokens.positions
    )
    of_all = attention.weights(step)
    rows = of_all[layer - 1] if layer else of_all.mean(0)  # heads x positions
    parked = set() if beside else set(sinks.positions)
    kept = attention.weights(step, tuple(parked | set(visual[list(sinks.encoder_tokens)].tolist())))
    clean = kept[layer - 1] if layer else kept.mean(0)
    mean = rows.mean(0)
    others = np.mean(
        [
            seen(trace, each)[layer - 1] if layer else seen(trace, each).mean(0)
            for each in trace.steps
        ],
        axis=0,
    )
    rollout = attention.rollout(step)
    shares = (
        [float(part.sum()) for part in (mean[visual], mean[text], mean[len(trace.input_ids) :])]
        if not beside
        else []
    )
    return {
        "numbers": list(attention.numbers),
        "heads": packed(rows[:, visual]),
        "mean": packed(mean[visual]),
        "clean": packed(clean.mean(0)[visual]),
        "relative": packed(mean[visual] - others),
        "rollout": packed(rollout[among_sources(trace, len(rollout))]),
        "text": None if beside else packed(mean[text]),
        "shares": [round(share, 4) for share in shares],
        "sinks": [
            [token, sinks.why(token, int(visual[token]))]
            for token in sorted({*sinks.tokens, *sinks.encoder_tokens})
        ],
        # where the prompt begins with the picture, no word of it is the first
        "first": None if beside or visual.min() == 0 else round(float(mean[0]), 4),
    }


def experiment(
    trace: vlm.Trace,
    before: np.ndarray,
    after: np.ndarray,
    taken: Sequence[vlm.Step],
    finished: bool,
) -> dict:
    """The old answer's tokens with their probabilities before and after a change of VT, and the new
    answer so far.
    """
    return {
        "before": [
            [step.token_string, round(float(np.exp(old)), 5), round(float(np.exp(new)), 5)]
            for step, old, new in zip(trace.steps, before, after)
        ],
        "change": round(float(np.sum(after - before)), 4),
        "answer": trace.answer,
        "again": taken[-1].answer if taken else "",
        "steps": steps(taken),
        "finished": finished,
    }
