"""Records -> what the page's store receives, once each: JSON in which every array is its bytes. Nothing is computed here that a record has."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

import vlm

FIRST = 4  # numbers shown of each vector
PHOTO_SIDE, LAB_SIDE = 896, 240  # pixels, for the wire only
TYPES = {np.dtype(np.uint8): "u1", np.dtype(np.int32): "i4", np.dtype(np.float32): "f4"}
OUTLIER = 3  # times the median length of a layer: what Darcet et al. (2023) call a register token lies far above, others below
GROUPS, NEIGHBOURS, WORDS = 6, 4, 4


def packed(array: np.ndarray) -> dict:
    """An array for the wire: its type, its shape, its bytes (little-endian) in base64. Floats go as float32, whole numbers as int32."""
    kinds = {"f": np.float32, "i": np.int32}
    array = np.ascontiguousarray(array, dtype=kinds.get(array.dtype.kind, array.dtype))
    return {"type": TYPES[array.dtype], "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def data_url(image: Image.Image, side: int, quality: int = 85) -> str:
    """A JPEG of at most `side` pixels, for an <img>."""
    image = image.copy()
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def rounded(values: np.ndarray, digits: int = 4) -> list:
    """Nested lists with `digits` decimals."""
    return np.round(values.astype(np.float64), digits).tolist()


def stages(trace: vlm.Trace) -> list[dict]:
    """Symbol, shape, axes and milliseconds of every stage so far."""
    return [{"symbol": s.symbol, "shape": list(s.shape), "axes": list(s.axes), "ms": round(s.milliseconds, 1)} for s in trace.stages]


def vectors(rows: np.ndarray) -> dict:
    """What the page tells of rows that are too long to send: their shape, first numbers and lengths."""
    return {"shape": list(rows.shape), "first": packed(rows[:, :FIRST]), "norms": packed(np.linalg.norm(rows, axis=1))}


def colours(rows: np.ndarray, edge: np.ndarray | None = None) -> dict:
    """PCA-RGB of one set of rows."""
    record = vlm.pca_colours(rows, edge)
    return {"rgb": packed(record.rgb), "explained": [round(share, 4) for share in record.explained]}


def edge(rows: int, columns: int) -> np.ndarray:
    """Which patches lie at the picture's border."""
    border = np.ones((rows, columns), bool)
    border[1:-1, 1:-1] = False
    return border.ravel()


def layer(trace: vlm.Trace, number: int) -> dict:
    """PCA-RGB of the patches at one layer of the encoder, with and without the background."""
    rows, patches = trace.patch_features[number], trace.patches
    return {"rgb": colours(rows), "foreground": colours(rows, edge(patches.rows, patches.columns))}


def transform(trace: vlm.Trace) -> str:
    """What happened to the photo before the model saw it, in words."""
    patches, (height, width) = trace.patches, (trace.image.height, trace.image.width)
    top, left, bottom, right = patches.received_box
    received = patches.received.shape[:2]
    lost = 1 - (bottom - top) * (right - left) / (height * width)
    vertical, horizontal = received[0] / (bottom - top), received[1] / (right - left)
    stretch = vertical / horizontal
    said = [f"Your photo of {width} × {height} pixels was scaled to {received[1]} × {received[0]}"]
    if abs(stretch - 1) > 0.01:
        said.append(f"which makes everything {max(stretch, 1 / stretch):.2f} times {'taller' if stretch > 1 else 'wider'} than it is")
    said.append(f"{100 * lost:.0f} % of it, the dark margins, was cut off" if lost > 0.001 else "nothing was cut off")
    said.append(f"then it was cut into {patches.rows} × {patches.columns} = {patches.rows * patches.columns} patches of {patches.size} × {patches.size} pixels")
    return "; ".join(said) + "."


def record(key: str, trace: vlm.Trace) -> dict:
    """A run before its answer: all that its views draw without asking again."""
    sight, patches, text = trace.sight, trace.patches, trace.text_tokens
    norms = np.linalg.norm(sight.patch_features, axis=2)
    received = vlm.patchify(patches.received.transpose(2, 0, 1).astype(np.float32), patches.size).reshape(len(patches.boxes), -1, 3)
    first = trace.visual_tokens.positions[0]
    return {
        "run": key,
        "question": trace.question,
        "stages": stages(trace),
        "photo": data_url(trace.image, PHOTO_SIDE),
        "received": data_url(Image.fromarray(patches.received), PHOTO_SIDE, quality=92),
        "photo_size": [trace.image.height, trace.image.width],
        "received_size": list(patches.received.shape[:2]),
        "received_box": list(patches.received_box),
        "transform": transform(trace),
        "rows": patches.rows,
        "columns": patches.columns,
        "patch_size": patches.size,
        "boxes": packed(trace.visual_tokens.boxes),
        "positions": packed(trace.visual_tokens.positions),
        "colours": packed(np.rint(received.mean(1)).astype(np.uint8)),
        "numbers": {
            "x_p": vectors(patches.pixels),
            "projection": vectors(sight.projections),
            "X'": vectors(sight.encoder_output),
            "VT": vectors(trace.visual_tokens.embeddings),
            "VT + TT": {"shape": list(trace.inputs_embeds.shape)},
        },
        "layers": {
            "read": list(sight.output_layers),
            "norms": packed(norms),
            "limit": [round(float(limit), 4) for limit in OUTLIER * np.median(norms, axis=1)],
        },
        "connector": {"before": colours(sight.encoder_output), "after": colours(trace.visual_tokens.embeddings)},
        "text": {
            "strings": list(text.token_strings),
            "roles": [trace.roles[position] for position in text.positions],
            "norms": packed(np.linalg.norm(text.embeddings, axis=1)),
            "positions": packed(text.positions),
        },
        "prompt": ["".join(string for string, position in zip(text.token_strings, text.positions) if (position < first) == before) for before in (True, False)],
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
        "neighbours": packed(np.argsort(-alike, axis=1)[:, :NEIGHBOURS]),
        "groups": packed(groups.astype(np.uint8)),
    }


def rows(trace: vlm.Trace, token: int, layer: int, attention) -> dict:
    """What the views tell of one token at one layer: its vectors, and how every other patch relates to it (`attention`: the encoder's)."""
    sight = trace.sight

    def cosines(table: np.ndarray) -> np.ndarray:
        lengths = np.linalg.norm(table, axis=1)
        return table @ table[token] / np.maximum(lengths * lengths[token], 1e-9)

    result = {
        "pixels": packed(sight.patches.pixels[token]),
        "projection": packed(sight.projections[token]),
        "position": packed(sight.position_embeddings[token]),
        "embedded": packed(sight.patch_features[0][token]),
        "position_cosine": packed(cosines(sight.position_embeddings)),
        "cosine": packed(cosines(sight.patch_features[layer])),
    }
    if layer:
        prefix = attention.prefix
        weights = attention.weights(layer)[:, prefix + token]
        result |= {
            "attention": packed(weights[:, prefix:]),
            "elsewhere": round(float(weights[:, :prefix].sum(1).mean()), 5),
            "rollout": packed(attention.rollout(layer, prefix + token)[prefix:]),
            "prefix": prefix,
        }
    return result


def steps(taken: Sequence[vlm.Step]) -> list[dict]:
    """Each token of an answer, with its alternatives before and after D_d."""
    return [
        {
            "string": step.token_string,
            "probability": round(step.probability, 5),
            "decoding": round(step.decoding_probability, 5),
            "entropy": round(step.entropy, 4),
            "end": step.is_end,
            "alternatives": [[a.token_string, round(a.probability, 5), round(a.decoding_probability, 5)] for a in step.alternatives],
        }
        for step in taken
    ]


def word(trace: vlm.Trace, index: int) -> dict:
    """What one word of the answer looked at, layer by layer: each visual token, and the shares of picture, prompt and earlier words."""
    visual, text = trace.visual_tokens.positions, trace.text_tokens.positions
    rows = trace.steps[index].attention
    if rows is None:
        raise vlm.ModelError("This model's language part does not tell what it looks at.")
    of_all = np.mean([step.attention[:, visual] for step in trace.steps], axis=0)
    shares = np.stack([rows[:, visual].sum(1), rows[:, text].sum(1), rows[:, len(trace.input_ids) :].sum(1)])
    return {"visual": packed(rows[:, visual]), "mean": packed(of_all), "shares": packed(shares)}


def answer(taken: Sequence[vlm.Step], finished: bool, longest: int, trace: vlm.Trace | None = None, key: str | None = None) -> dict:
    """The answer so far, of at most `longest` tokens; when it is finished, its stages and the key under which its words can be asked about."""
    return {
        "key": key,
        "answer": taken[-1].answer if taken else "",
        "finished": finished,
        "longest": longest,
        "stages": stages(trace) if trace else None,
        "steps": steps(taken),
    }


def matrices(record: vlm.Similarity, texts: Sequence[str]) -> dict:
    """Every reading of the matrix and the losses, in plain lists."""
    return {
        "texts": list(texts),
        "matrices": {name: rounded(getattr(record, name), 5) for name in ("cosine", "logits", "image_to_text", "text_to_image", "sigmoid")},
        "logit_scale": record.logit_scale,
        "logit_bias": record.logit_bias,
        "losses": losses(record),
    }


def losses(record: vlm.Similarity) -> dict | None:
    """L_X, L_t, L and the sigmoid loss, if there are as many photos as texts."""
    return None if record.loss is None else {"image": record.loss_image, "text": record.loss_text, "both": record.loss, "sigmoid": record.loss_sigmoid}


def experiment(trace: vlm.Trace, after: np.ndarray, taken: Sequence[vlm.Step], finished: bool) -> dict:
    """The old answer's tokens with their probabilities before and after a change of VT, and the new answer so far."""
    before = [step.log_probability for step in trace.steps]
    return {
        "before": [[step.token_string, round(float(np.exp(old)), 5), round(float(np.exp(new)), 5)] for step, old, new in zip(trace.steps, before, after)],
        "change": round(float(np.sum(after - before)), 4),
        "answer": trace.answer,
        "again": taken[-1].answer if taken else "",
        "steps": steps(taken),
        "finished": finished,
    }


def similarity(key: str, name: str, record: vlm.Similarity, bias: float | None, images: Sequence[Image.Image], texts: Sequence[str], templates: Sequence[str], comparison, notes: Sequence[str]) -> dict:
    """The matrix, from which the browser computes every other reading; `bias` is None for a model without the sigmoid loss."""
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
        "space": space(np.stack([each.vector for each in comparison.images]), np.stack(comparison.vectors)),
        "notes": list(notes),
    }


def space(images: np.ndarray, texts: np.ndarray) -> dict:
    """Both kinds of vectors in one plane, and the modality gap: how far apart their means are, beside how far each lies from its own mean."""
    projected = vlm.project(np.concatenate([images, texts]))
    spread = [float(np.linalg.norm(rows - rows.mean(0), axis=1).mean()) for rows in (images, texts)]
    return {
        "points": packed(projected.points),
        "explained": [round(share, 4) for share in projected.explained],
        "gap": round(float(np.linalg.norm(images.mean(0) - texts.mean(0))), 4),
        "spread": [round(value, 4) for value in spread],
    }


def cell(scores: vlm.PatchScores | None, changes: Sequence[tuple[str, float]]) -> dict:
    """One photo and one text: the patches' scores (None: the tower has no patches) and what each word changes."""
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


def ledger(width: int, height: int, spent: Sequence[vlm.Spending], sides: Sequence[int], curve: Sequence[Sequence[vlm.Spending]]) -> dict:
    """What each family spends on one size, and on every longest side of `sides`."""
    return {
        "width": width,
        "height": height,
        "rows": [{"family": each.family, "checkpoint": each.checkpoint, "tokens": each.tokens, "why": each.why} for each in spent],
        "sides": list(sides),
        "curve": packed(np.array([[each.tokens for each in at] for at in curve]).T),
    }
