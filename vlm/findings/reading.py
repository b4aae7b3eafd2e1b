"""Findings about visual tokens inside the language model: what they say, sinks, lengths, order, and
how deep they are read.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vlm.findings.finding import ANSWER, Case, Outcome, Untestable, on_picture
from vlm.inspect import token_changes
from vlm.inspect.interventions import Drop, Remove
from vlm.records.text_tokens import word_ids
from vlm.records.trace import Decoding, Trace

READABLE = 0.1  # of the thing's tokens
FAR_LARGER = 2.0  # times the median text embedding
SHUFFLES, OVERLAP = 3, 0.5
SURE = float(np.log(2))  # log-odds of left against right, either way
HARDLY = 0.5  # of the attention that the first two layers pay
DESCRIBE, SIDE = "Describe the image.", "Is the {} on the left or on the right of the image?"
MORE_SURE = 0.75  # of the absent words
EVERYDAY = [
    "dog",
    "cat",
    "horse",
    "bird",
    "car",
    "bus",
    "train",
    "boat",
    "tree",
    "flower",
    "chair",
    "table",
    "bottle",
    "book",
    "clock",
    "pizza",
    "snow",
    "water",
    "bridge",
    "baby",
]


def readable_with_depth(case: Case) -> Outcome:
    """Fact 5: in the deeper layers the logit lens names the thing at its tokens."""
    ids, chosen = (
        set(word_ids(case.model.processor.tokenizer, case.word())),
        list(case.chosen()),
    )
    # a share for each layer
    named = np.isin(case.look.lens_table().token_ids[:, chosen], list(ids)).any(2).mean(1)
    layers = len(named) - 1
    deep, early = named[layers // 2 + 1 :], named[: layers // 4 + 1]
    best = layers // 2 + 1 + int(deep.argmax())
    numbers = {
        "share of tokens in the first quarter": early.max(),
        "largest share in the deeper half": deep.max(),
        "at layer": best,
    }
    said = (
        f"the deeper half of the layers names {case.word()!r} among the five first words at up to"
        f" {100 * deep.max():.0f} % of them (layer {best})"
    )
    return (
        bool(deep.max() >= READABLE and deep.max() > early.max()),
        numbers,
        (
            f"Of {len(chosen)} tokens of the thing, {said}; the first quarter at"
            f" {100 * early.max():.0f} %."
        ),
    )


def removable_sinks(case: Case) -> Outcome:
    """Fact 9: some visual tokens carry the first token's huge dimensions, and the answer does not
    need them.
    """
    case.require_positions()
    found = case.look.sinks()
    count = len(case.trace.visual_tokens.embeddings)
    numbers = {
        "huge dimensions of the first token": len(found.dimensions),
        "visual sink tokens": len(found.tokens),
        "of visual tokens": count,
    }
    if not found.dimensions or not found.tokens:
        why = (
            "no dimension of the first token is huge"
            if not found.dimensions
            else "no visual token has them"
        )
        return False, numbers, f"There is no visual sink here: {why}."
    layers = np.flatnonzero(found.found[:, case.look.positions[list(found.tokens)]].any(1))
    without = tuple(
        case.look.decode(Remove(found.tokens), decoding=Decoding(max_new_tokens=ANSWER))
    )
    same = agreement([step.token_id for step in case.steps], [step.token_id for step in without])
    numbers |= {"from layer": int(layers[0]), "share of the answer that stays": same}
    said = "does not change" if same == 1 else f"changes after {same:.0%} of it"
    return (
        same == 1,
        numbers,
        (
            f"{len(found.tokens)} of {count} visual tokens are sinks from layer {layers[0]} on"
            f" (dimensions {', '.join(map(str, found.dimensions))}); without them the answer"
            f" {said}."
        ),
    )


def agreement(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of `one` up to the first token in which two answers differ."""
    same = next(
        (place for place, pair in enumerate(zip(one, other)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    return 1.0 if list(one) == list(other) else same / max(len(one), 1)


def longer_than_text(case: Case) -> Outcome:
    """Fact 11: visual tokens are far longer vectors than text embeddings."""
    visual, text = (
        float(np.median(np.linalg.norm(rows, axis=1)))
        for rows in (case.trace.visual_tokens.embeddings, case.trace.text_tokens.embeddings)
    )
    ratio = visual / max(text, 1e-9)
    numbers = {"median length of visual tokens": visual, "of text tokens": text, "ratio": ratio}
    return (
        ratio >= FAR_LARGER,
        numbers,
        (
            f"The median visual token is {ratio:.2f} times as long as the median text token"
            f" ({visual:.3g} against {text:.3g})."
        ),
    )


def bag_of_tokens(case: Case) -> Outcome:
    """Fact 12: in another order the tokens give nearly the same description, not the same side."""
    case.require_positions()
    tokenizer, thing = case.model.processor.tokenizer, case.words[0] if case.words else "main thing"
    sides = [word_ids(tokenizer, side) for side in ("left", "right")]
    told, asked = (
        case.model.ask(case.trace.encoded_image, question)
        for question in (DESCRIBE, SIDE.format(thing))
    )

    def describe(trace: Trace) -> str:
        return list(case.model.decode(trace, Decoding(max_new_tokens=ANSWER)))[-1].answer

    def leaning(trace: Trace) -> float:
        chances = case.model.prefill(trace).logits.softmax(-1)
        left, right = (float(chances[list(ids)].sum()) for ids in sides)
        return float(np.log(max(left, 1e-12) / max(right, 1e-12)))

    caption, side = describe(told), leaning(asked)
    if abs(side) < SURE:
        raise Untestable(
            "The model does not tell left from right here to begin with (log-odds of left"
            f" {side:.2f}), so nothing can be turned; ask about a photo with one thing at a side."
        )
    overlaps = [
        overlap(caption, describe(token_changes.shuffle(told, seed))) for seed in range(SHUFFLES)
    ]
    leanings = [leaning(token_changes.shuffle(asked, seed)) for seed in range(SHUFFLES)]
    turned = sum((each > 0) != (side > 0) for each in leanings)
    numbers = {
        "words kept in the description": float(np.mean(overlaps)),
        "orders that turn left into right": turned,
        "of orders": SHUFFLES,
        "log-odds of left": side,
        "their mean after": float(np.mean(leanings)),
    }
    return (
        bool(np.mean(overlaps) >= OVERLAP and turned),
        numbers,
        (
            f"In {SHUFFLES} random orders the description keeps {100 * np.mean(overlaps):.0f} % of"
            f" its words; left and right are turned in {turned}."
        ),
    )


def overlap(one: str, other: str) -> float:
    """How many words two texts share: F1 over their words with repetitions."""
    first, second = (Counter(re.findall(r"\w+", text.lower())) for text in (one, other))
    total = sum(first.values()) + sum(second.values())
    return 2 * sum((first & second).values()) / total if total else 1.0


def half_is_enough(case: Case) -> Outcome:
    """Fact 13: after layer 2 the picture is hardly looked at, and half of the visual tokens, the
    least looked at, can be dropped.
    """
    from vlm.inspect.knockout import under

    layers = case.model.language_layers
    if layers < 3:
        raise Untestable(
            f"The language model has {layers} layers; something must come after the second."
        )
    whole, kept = [step.token_id for step in case.steps], {}
    for layer, share in ((2, 0.5), (2, 0.75), (5, 0.75)):
        if layer >= layers:
            continue
        masking = case.look.masking(Drop(layer, share))()
        steps = tuple(
            under(masking, case.model.decode(case.trace, Decoding(max_new_tokens=ANSWER)))
        )
        if masking.dropped is None:
            raise Untestable(
                "What this model's attention reads cannot be changed here, so no token can be"
                " dropped on the way."
            )
        kept[f"answer kept, {share:.0%} dropped after layer {layer}"] = agreement(
            whole, [step.token_id for step in steps]
        )
    looked = on_picture(case.steps[0], case.look.positions) if case.steps else None
    if looked is None or len(looked) != layers:
        raise Untestable("How much each layer of this model looks at the picture is not recorded.")
    early, later = float(looked[:2].sum(1).mean()), float(looked[2:].sum(1).mean())
    kept |= {"attention on the picture, layers 1 and 2": early, "later layers": later}
    first = kept["answer kept, 50% dropped after layer 2"]
    said = "is the same word for word" if first == 1 else f"changes after {first:.0%} of it"
    return (
        first == 1 and later <= HARDLY * early,
        kept,
        (
            f"Layers 1 and 2 give the picture {early:.1%} of their attention, later ones"
            f" {later:.1%}; with half of the visual tokens dropped after layer 2 the answer {said}."
        ),
    )


def sure_of_what_is_there(case: Case) -> Outcome:
    """Fact 17: somewhere in the picture the logit lens is surer of what is there than of what is
    not.
    """
    case.word()
    tokenizer, answer = (
        case.model.processor.tokenizer,
        (case.steps[-1].answer.lower() if case.steps else ""),
    )
    named = {word.lower() for word in case.words}
    absent = case.absent or tuple(
        word for word in EVERYDAY if word not in named and word not in answer
    )
    ids = {word: ids for word in (*case.words, *absent) if (ids := _telling(tokenizer, word))}
    there, away = (
        [word for word in case.words if word in ids],
        [word for word in absent if word in ids and word.lower() not in named],
    )
    if not there or not away:
        raise Untestable(
            "This model's tokenizer cuts the words into pieces that say nothing alone; name the"
            " thing with a common word."
        )
    wanted = [number for word in (*there, *away) for number in ids[word]]
    chances = case.look.word_probabilities(wanted)
    most, surest = chances.reshape(-1, chances.shape[2]).max(0), {}
    for word in (*there, *away):
        surest[word], most = float(most[: len(ids[word])].max()), most[len(ids[word]) :]
    below = float(
        np.mean([np.mean([surest[other] < surest[word] for other in away]) for word in there])
    )
    numbers = (
        {"absent words below": below, "absent words": len(away)}
        | {f"surest of {word!r}": surest[word] for word in there}
        | {"mean of the absent": float(np.mean([surest[word] for word in away]))}
    )
    return (
        below >= MORE_SURE,
        numbers,
        (
            f"The lens says {there[0]!r} with up to {surest[there[0]]:.3g}; {100 * below:.0f} % of"
            f" {len(away)} words for what is not there stay below."
        ),
    )


def _telling(tokenizer, word: str) -> tuple[int, ...]:
    """The vocabulary entries of a word; none where it is cut into pieces that say nothing."""
    from vlm.errors import QuestionError

    try:
        return word_ids(tokenizer, word)
    except QuestionError:
        return ()
