"""Records -> what the page's store receives, once each: JSON in which every array is its bytes.

Nothing is computed here that a record has.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

import vlm

from .layout import layout
from .photo import at_the_edge
from .wire import data_url, packed, rounded

FIRST = 4  # numbers shown of each vector
LAB_SIDE = 240  # pixels, for the wire only
# times the median length of a layer: what Darcet et al. (2023) call a register token lies far
# above, others below
OUTLIER = 3
GROUPS, NEIGHBOURS, WORDS, PHRASES = 6, 4, 4, 3


def stages(trace: vlm.Trace) -> list[dict]:
    """Symbol, shape, axes and milliseconds of every stage so far."""
    return [
        {
            "symbol": s.symbol,
            "shape": list(s.shape),
            "axes": list(s.axes),
            "ms": round(s.milliseconds, 1),
        }
        for s in trace.stages
    ]


def vectors(rows: np.ndarray) -> dict:
    """What the page tells of rows that are too long to send: their shape, first numbers and
    lengths.
    """
    return {
        "shape": list(rows.shape),
        "first": packed(rows[:, :FIRST]),
        "norms": packed(np.linalg.norm(rows, axis=1)),
    }


def colours(rows: np.ndarray, edge: np.ndarray | None = None) -> dict:
    """PCA-RGB of one set of rows."""
    record = vlm.pca_colours(rows, edge)
    return {"rgb": packed(record.rgb), "explained": [round(share, 4) for share in record.explained]}


def layer(trace: vlm.Trace, number: int) -> dict:
    """PCA-RGB of the patches at one layer of the encoder, with and without the background."""
    rows = trace.patch_features[number]
    return {"rgb": colours(rows), "foreground": colours(rows, at_the_edge(trace.patches))}


def positions_kind(sight: vlm.Sight) -> str:
    """How the encoder knows where a patch is."""
    kinds = [
        name
        for name, there in (("learned", sight.position_embeddings), ("rotary", sight.rotation))
        if there is not None
    ]
    return " and ".join(kinds) or "none"


def prompt(trace: vlm.Trace) -> list[str | int]:
    """The prompt as text, with a number where the visual tokens of a photo stand.

    What is written between those is left out.
    """
    tokens, text = trace.visual_tokens, trace.text_tokens
    if tokens.positions is None:
        return ["".join(text.token_strings)]
    parts, rest = [], 0
    for photo in sorted(set(tokens.photos.tolist())):
        mine = tokens.positions[tokens.photos == photo]
        parts += [
            "".join(
                string
                for string, position in zip(text.token_strings, text.positions)
                if rest <= position < mine.min()
            ),
            len(mine),
        ]
        rest = mine.max()
    return [
        *parts,
        "".join(
            string
            for string, position in zip(text.token_strings, text.positions)
            if position >= rest
        ),
    ]


def record(key: str, trace: vlm.Trace) -> dict:
    """A run before its answer: all that its views draw without asking again."""
    sight, patches, tokens, text = (
        trace.sight,
        trace.patches,
        trace.visual_tokens,
        trace.text_tokens,
    )
    norms = np.linalg.norm(sight.patch_features, axis=2)
    return layout(trace) | {
        "run": key,
        "question": trace.question,
        "stages": stages(trace),
        "positions_kind": positions_kind(sight),
        "positions": None if tokens.positions is None else packed(tokens.positions),
        "numbers": {
            "x_p": vectors(patches.pixels),
            "projection": None if sight.projections is None else vectors(sight.projections),
            "X'": vectors(sight.encoder_output),
            "VT": vectors(tokens.embeddings),
            "VT + TT": {"shape": list(trace.inputs_embeds.shape)},
        },
        "layers": {
            "read": list(sight.output_layers),
            "norms": packed(norms),
            "limit": packed(OUTLIER * np.median(norms, axis=1)),
        },
        "connector": {"before": colours(sight.encoder_output), "after": colours(tokens.embeddings)},
        "text": {
            "strings": list(text.token_strings),
            "roles": [trace.roles[position] for position in text.positions],
            "norms": packed(np.linalg.norm(text.embeddings, axis=1)),
            "positions": packed(text.positions),
        },
        "prompt": prompt(trace),
    }


def beside(key: str, name: str, trace: vlm.Trace) -> dict:
    """What a second model made of the photo, before its answer: its tokens' places and the stages
    so far.
    """
    laid = layout(trace)
    return {
        "run": key,
        "model": name,
        "stages": stages(trace),
        "patches": len(trace.patches.places),
        "photo": laid["photo"],
        "photo_size": laid["photo_size"],
        "boxes": laid["boxes"],
    }


def plane(key: str, projected: vlm.Projection, settings: str) -> dict:
    """Where every token stands, the visual ones first."""
    return {
        "run": key,
        "method": projected.method,
        "points": packed(projected.points),
        "explained": [round(share, 4) for share in projected.explained],
        "settings": settings,
    }


def words(key: str, trace: vlm.Trace, nearest: Sequence[Sequence[tuple[str, float]]]) -> dict:
    """What each visual token is near to: words of the vocabulary, other visual tokens, a group."""
    from sklearn.cluster import KMeans

    rows = trace.visual_tokens.embeddings
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -2)
    groups = KMeans(min(GROUPS, len(rows)), n_init=1, random_state=0).fit_predict(rows)
    return {
        "run": key,
        "words": [[[word, round(cosine, 4)] for word, cosine in near] for near in nearest],
        # a token's number: no model has 65,536 of them
        "neighbours": packed(np.argsort(-alike, axis=1)[:, :NEIGHBOURS].astype(np.uint16)),
        "groups": packed(groups.astype(np.uint8)),
    }


def cosines(table: np.ndarray, number: int) -> np.ndarray:
    """Of one row with every row."""
    lengths = np.linalg.norm(table, axis=1)
    return table @ table[number] / np.maximum(lengths * lengths[number], 1e-9)


def rows(trace: vlm.Trace, patch: int, layer: int, attention=None, without: str = "") -> dict:
    """What the views tell of one patch at one layer: its vectors, and how every other relates to
    it; None where this encoder has no such thing.

    Args:
        attention: the encoder's; None below layer 1, and where it has none: `without` says why.
    """
    sight = trace.sight
    learned, turned = sight.position_embeddings, sight.rotation
    result = {
        "pixels": packed(sight.patches.pixels[patch]),
        "projection": None if sight.projections is None else packed(sight.projections[patch]),
        "position": None if learned is None else packed(learned[patch]),
        "position_cosine": None if learned is None else packed(cosines(learned, patch)),
        "rotation": None if turned is None else packed(turned[patch]),
        "rotation_cosine": (
            None if turned is None else packed(np.cos(turned - turned[patch]).mean(1))
        ),
        "embedded": packed(sight.patch_features[0][patch]),
        "cosine": packed(cosines(sight.patch_features[layer], patch)),
        "without_attention": without,
    }
    if attention is not None:
        # nobody looks into another picture
        mine = np.flatnonzero(sight.patches.places[:, 0] == sight.patches.places[patch, 0])
        looks, rollout = attention.row(layer, patch), attention.rollout(layer, patch)
        result |= {
            "among": (
                [int(mine[0]), len(mine)]
                if np.ptp(mine) + 1 == len(mine)
                else [0, len(sight.patches.places)]
            ),
            "elsewhere": round(float(attention.elsewhere(layer, patch)), 5),
            "prefix": sight.prefix_features.shape[1] // len(sight.patches.pictures),  # a picture
        }
        first, count = result["among"]
        result |= {
            "attention": packed(looks[:, first : first + count]),
            "rollout": packed(rollout[first : first + count]),
        }
    return result


def lenses(
    entering: Sequence[tuple[str, float]], layers: Sequence, near: Sequence, without: str
) -> dict:
    """The three lenses of one visual token.

    `near` is empty, and `without` says why, where there is no contextual lens; so are `layers`
    where it passes none.
    """
    return {
        "entering": [[word, round(cosine, 4)] for word, cosine in entering],
        "layers": layers,
        "near": [
            [[phrase, round(cosine, 4), layer] for phrase, cosine, layer in row] for row in near
        ],
        "without": without,
    }


def lens_rows(first: int, table, read: Callable[[int], str]) -> dict:
    """A block of the lens table: the words once each, and by token, layer and rank which word and
    how probable. `read` gives what a token reads as.
    """
    ids, places = np.unique(table.token_ids, return_inverse=True)
    by_token = lambda values: np.ascontiguousarray(
        np.moveaxis(values.reshape(table.token_ids.shape), 1, 0)
    )
    return {
        "first": first,
        "words": [read(int(number)) for number in ids],
        "ids": packed(by_token(places)),
        "chances": packed(by_token(table.probabilities)),
    }


def findings(run: str, found: Sequence, total: int) -> dict:
    """The findings that were tested so far."""
    return {
        "run": run,
        "total": total,
        "rows": [
            {
                "id": each.fact.id,
                "claim": each.fact.claim,
                "verdict": each.verdict,
                "sentence": each.sentence,
                "source": each.source,
                "tolerance": each.tolerance,
                "numbers": [[name, float(f"{value:.4g}")] for name, value in each.numbers.items()],
            }
            for each in found
        ],
    }


def comparisons(found: Sequence, versions: dict[str, str], finished: bool) -> dict:
    """What was compared so far, and what is at work."""
    rows = [
        {
            "name": each.name,
            "difference": each.difference,
            "allowed": each.allowed,
            "holds": each.holds,
            "words": each.words,
            "counted": each.counted,
        }
        for each in found
    ]
    return {
        "rows": rows,
        "versions": [[name, value] for name, value in versions.items()],
        "finished": finished,
    }


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


def matrices(record: vlm.Similarity, texts: Sequence[str]) -> dict:
    """Every reading of the matrix and the losses, in plain lists."""
    return {
        "texts": list(texts),
        "matrices": {
            name: rounded(getattr(record, name), 5)
            for name in ("cosine", "logits", "image_to_text", "text_to_image", "sigmoid")
        },
        "logit_scale": record.logit_scale,
        "logit_bias": record.logit_bias,
        "losses": losses(record),
    }


def losses(record: vlm.Similarity) -> dict | None:
    """L_X, L_t, L and the sigmoid loss, if there are as many photos as texts."""
    return (
        None
        if record.loss is None
        else {
            "image": record.loss_image,
            "text": record.loss_text,
            "both": record.loss,
            "sigmoid": record.loss_sigmoid,
        }
    )


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


def similarity(
    key: str,
    name: str,
    record: vlm.Similarity,
    bias: float | None,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    templates: Sequence[str],
    comparison,
    notes: Sequence[str],
) -> dict:
    """The matrix, from which the browser computes every other reading.

    `bias` is None for a model without the sigmoid loss.
    """
    return {
        "key": key,
        "model": name,
        "photos": [data_url(image, LAB_SIDE) for image in images],
        "sizes": [[image.height, image.width] for image in images],
        "texts": list(texts),
        "templates": list(templates),
        "cosine": packed(record.cosine),
        "logit_scale": record.logit_scale,
        "logit_bias": bias,
        "losses": losses(record),
        "space": space(
            np.stack([each.vector for each in comparison.images]), np.stack(comparison.vectors)
        ),
        "notes": list(notes),
    }


def space(images: np.ndarray, texts: np.ndarray) -> dict:
    """Both kinds of vectors in one plane, and the modality gap: how far apart their means are,
    beside how far each lies from its own mean.
    """
    projected = vlm.project(np.concatenate([images, texts]))
    spread = [float(np.linalg.norm(rows - rows.mean(0), axis=1).mean()) for rows in (images, texts)]
    return {
        "points": packed(projected.points),
        "explained": [round(share, 4) for share in projected.explained],
        "gap": round(float(np.linalg.norm(images.mean(0) - texts.mean(0))), 4),
        "spread": [round(value, 4) for value in spread],
    }


def cell(scores: vlm.PatchScores | None, changes: Sequence[tuple[str, float]]) -> dict:
    """One photo and one text: the patches' scores (None: the tower has no patches) and what each
    word changes.
    """
    words = [[word, round(change, 5)] for word, change in changes]
    if scores is None:
        return {"words": words, "patches": None}
    return {
        "words": words,
        "patches": packed(scores.patches),
        "corrected": None if scores.corrected is None else packed(scores.corrected),
        "exact": scores.exact,
        "cls": round(scores.cls, 5),
        "cosine": round(scores.cosine, 5),
        "boxes": packed(scores.boxes),
    }


def ledger(
    width: int,
    height: int,
    spent: Sequence[vlm.Spending],
    sides: Sequence[int],
    curve: Sequence[Sequence[vlm.Spending]],
) -> dict:
    """What each family spends on one size, and on every longest side of `sides`."""
    return {
        "width": width,
        "height": height,
        "rows": [
            {
                "family": each.family,
                "checkpoint": each.checkpoint,
                "tokens": each.tokens,
                "why": each.why,
                "compared": each.compared,
            }
            for each in spent
        ],
        "sides": list(sides),
        "curve": packed(np.array([[each.tokens for each in at] for at in curve]).T),
    }
