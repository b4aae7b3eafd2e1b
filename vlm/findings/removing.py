"""Findings that need visual tokens to be taken away: which the answer needs, what zero does, and
what attention is worth.
"""

from collections.abc import Sequence

import numpy as np

from vlm.findings.finding import Case, Outcome, Untestable, on_picture, rank_correlation
from vlm.inspect import token_changes
from vlm.inspect.interventions import Remove
from vlm.records.text_tokens import word_ids
from vlm.records.trace import Step, Trace

DRAWS, BEATS = 10, 9  # random sets of as many tokens; how many of them the thing must outdo
PRESENCE = "Is there {} {} in the image?"
EXAGGERATES = 2.0  # times the effect of another replacement
SHARE = 0.1  # of the visual tokens, where nobody selected any
BLOCKS, WEAK = 4, 0.5  # a side; rank correlation below which attention is weak evidence
CLEARLY = 0.1  # nats that a word loses without the part of the picture it needs most
EMPTY = frozenset(
    [
        "the",
        "this",
        "that",
        "image",
        "photo",
        "picture",
        "shows",
        "there",
        "and",
        "with",
        "for",
        "are",
        "was",
        "has",
    ]
)


def the_thing_is_needed(case: Case) -> Outcome:
    """Fact 7: without its own tokens the thing is found less than without as many others."""
    word, chosen = case.word(), case.chosen()
    tokenizer = case.model.processor.tokenizer
    sides = [word_ids(tokenizer, side) for side in ("yes", "no")]
    asked = case.model.ask(
        case.trace.encoded_image,
        PRESENCE.format("an" if word[:1].lower() in "aeiou" else "a", word),
    )

    def sure(trace: Trace) -> float:
        chances = case.model.prefill(trace).logits.softmax(-1)
        yes, no = (float(chances[list(ids)].sum()) for ids in sides)
        return float(np.log(max(yes, 1e-12) / max(no, 1e-12)))

    before = sure(asked)
    if before <= 0:
        raise Untestable(
            f"The model does not find {word!r} in this photo to begin with (log-odds of yes:"
            f" {before:.2f}), so nothing can be lost."
        )
    others = np.flatnonzero(~case.inside())
    if len(others) < len(chosen):
        raise Untestable(
            "More than half of the visual tokens are selected, so there are too few others to"
            " compare with; select only the thing's patches."
        )
    chance = np.random.default_rng(0)
    drop = before - sure(token_changes.remove(asked, chosen))
    random = np.array(
        [
            before
            - sure(
                token_changes.remove(
                    asked, chance.choice(others, len(chosen), replace=False).tolist()
                )
            )
            for _ in range(DRAWS)
        ]
    )
    beaten = int((drop > random).sum())
    numbers = {
        "log-odds of yes": before,
        "lost without the thing's tokens": drop,
        "lost without as many others (mean)": random.mean(),
        "sets of others that cost less": beaten,
        "of sets": DRAWS,
    }
    return (
        beaten >= BEATS,
        numbers,
        (
            f"Without its {len(chosen)} tokens the log-odds of {word!r} fall by {drop:.2f}, without"
            f" as many others by {random.mean():.2f} on average; {beaten} of {DRAWS} random sets"
            " cost less."
        ),
    )


def zero_exaggerates(case: Case) -> Outcome:
    """Fact 8: zero changes the answer far more than the mean or noise in the same places."""
    case.require_positions()
    count = len(case.trace.visual_tokens.embeddings)
    tokens = case.tokens or tuple(
        np.random.default_rng(0).choice(count, max(1, round(SHARE * count)), replace=False).tolist()
    )
    ids = [step.token_id for step in case.steps]
    if not ids:
        raise Untestable("The answer has no word whose probability could change.")
    before = case.look.score(ids)
    effect = {
        how: float(np.abs(case.look.score(ids, Remove(tokens, how)) - before).mean())
        for how in ("zero", "mean", "noise")
    }
    largest = max(effect["mean"], effect["noise"])
    numbers = {f"mean change of log-probability, {how}": value for how, value in effect.items()} | {
        "tokens replaced": len(tokens)
    }
    ratio = effect["zero"] / max(largest, 1e-9)
    return (
        ratio >= EXAGGERATES,
        numbers,
        (
            f"Zero in the place of {len(tokens)} tokens changes the answer's words {ratio:.1f}"
            " times as much as the mean token or noise, whichever changes more."
        ),
    )


def attention_is_weak(case: Case) -> Outcome:
    """Fact 23: where a word looked says little about which part of the picture it needed."""
    case.require_positions()
    step = telling(case.steps, case.words)
    looked = None if step is None else on_picture(step, case.look.positions)
    if step is None or looked is None:
        raise Untestable(
            "The answer has no word to ask about."
            if step is None
            else "What this model's words look at in the picture is not recorded."
        )
    groups, looked = blocks(case.trace), looked.mean(0)
    ids = [each.token_id for each in case.steps[: step.index + 1]]
    before = case.look.score(ids)[-1]
    shares = np.array([looked[group].sum() for group in groups])
    lost = np.array([before - case.look.score(ids, Remove(group.tolist()))[-1] for group in groups])
    if lost.max() < CLEARLY:
        raise Untestable(
            f"{step.token_string.strip()!r} does without any part of the picture (at most"
            f" {lost.max():.2f} nats are lost), so there is nothing that attention could tell."
        )
    related = rank_correlation(shares, lost)
    numbers = {
        "rank correlation of attention and loss": related,
        "parts of the picture": len(groups),
        "most that is lost without one (nats)": lost.max(),
    }
    return (
        related < WEAK,
        numbers,
        (
            f"For {step.token_string.strip()!r}, attention to {len(groups)} parts of the picture"
            f" and what the word loses without each have a rank correlation of {related:.2f}."
        ),
    )


def telling(steps: Sequence[Step], words: Sequence[str]) -> Step | None:
    """The first word of the answer that is one of `words`.

    Else the first that says something; else the first.
    """
    said = [(step.token_string.strip().lower(), step) for step in steps if not step.is_end]
    named = [
        step
        for text, step in said
        if text
        and any(word.lower().split()[-1].startswith(text) and len(text) > 2 for word in words)
    ]
    content = [
        step for text, step in said if len(text) > 2 and text.isalpha() and text not in EMPTY
    ]
    return next(iter([*named, *content, *(step for _, step in said)]), None)


def blocks(trace: Trace) -> list[np.ndarray]:
    """The visual tokens by their place in the photo, 4 x 4 parts.

    Without places, 16 runs of the sequence.
    """
    boxes = trace.visual_tokens.boxes
    placed = np.flatnonzero(np.isfinite(boxes).all(1))
    if len(placed) < len(boxes) / 2:
        return [part for part in np.array_split(np.arange(len(boxes)), BLOCKS**2) if len(part)]
    centres = (boxes[placed, :2] + boxes[placed, 2:]) / 2
    low, high = centres.min(0), centres.max(0)
    cell = np.minimum(
        (BLOCKS * (centres - low) / np.maximum(high - low, 1e-9)).astype(int), BLOCKS - 1
    )
    number = trace.visual_tokens.photos[placed] * BLOCKS**2 + cell[:, 0] * BLOCKS + cell[:, 1]
    return [placed[number == each] for each in np.unique(number)]
