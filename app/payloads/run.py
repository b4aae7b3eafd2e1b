"""What the page is told of a run before its answer, and of the plane its tokens lie in."""

from collections.abc import Sequence

import numpy as np

import vlm

from ..wire import packed
from .layout import layout

FIRST = 4  # numbers shown of each vector
# times the median length of a layer: what Darcet et al. (2023) call a register token lies far
# above, others below
OUTLIER = 3
GROUPS, NEIGHBOURS = 6, 4


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


def positions_kind(encoded_image: vlm.EncodedImage) -> str:
    """How the encoder knows where a patch is."""
    kinds = [
        name
        for name, there in (
            ("learned", encoded_image.position_embeddings),
            ("rotary", encoded_image.rotation),
        )
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
    encoded_image, patches, tokens, text = (
        trace.encoded_image,
        trace.patches,
        trace.visual_tokens,
        trace.text_tokens,
    )
    norms = np.linalg.norm(encoded_image.patch_features, axis=2)
    return layout(trace) | {
        "run": key,
        "question": trace.question,
        "stages": stages(trace),
        "positions_kind": positions_kind(encoded_image),
        "positions": None if tokens.positions is None else packed(tokens.positions),
        "numbers": {
            "x_p": vectors(patches.pixels),
            "projection": None
            if encoded_image.projections is None
            else vectors(encoded_image.projections),
            "X'": vectors(encoded_image.encoder_output),
            "VT": vectors(tokens.embeddings),
            "VT + TT": {"shape": list(trace.inputs_embeds.shape)},
        },
        "layers": {
            "read": list(encoded_image.output_layers),
            "norms": packed(norms),
            "limit": packed(OUTLIER * np.median(norms, axis=1)),
        },
        "connector": {
            "before": colours(encoded_image.encoder_output),
            "after": colours(tokens.embeddings),
        },
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
