"""Records -> the JSON that the panels draw. Numbers are rounded for the wire, never computed here if the record has them."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

import vlm

FIRST = 4  # numbers shown of each vector
PHOTO_SIDE, THUMB_SIDE = 896, 128  # pixels, for the wire only


def data_url(image: Image.Image, side: int, quality: int = 88) -> str:
    """A JPEG of at most `side` pixels, for an <img>."""
    image = image.copy()
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def rounded(values: np.ndarray, digits: int = 4) -> list:
    """Nested lists with `digits` decimals."""
    return np.round(values.astype(np.float64), digits).tolist()


def stages(trace: vlm.Trace) -> dict:
    """The stage strip."""
    return {"stages": [{"symbol": s.symbol, "shape": list(s.shape), "axes": list(s.axes), "ms": round(s.milliseconds, 1)} for s in trace.stages]}


def patch_grid(trace: vlm.Trace) -> dict:
    """The photo, what the model received of it, every visual token's box, and the first numbers of each row of x_p, X', VT."""
    patches = trace.patches
    rows = {"x_p": patches.pixels, "X'": trace.encoder_output, "VT": trace.visual_tokens.embeddings}
    return {
        "photo": data_url(trace.image, PHOTO_SIDE),
        "received": data_url(Image.fromarray(patches.received), PHOTO_SIDE, quality=95),
        "photo_size": [trace.image.height, trace.image.width],
        "received_size": list(patches.received.shape[:2]),
        "received_box": list(patches.received_box),
        "boxes": rounded(trace.visual_tokens.boxes, 2),
        "rows": patches.rows,
        "columns": patches.columns,
        "positions": trace.visual_tokens.positions.tolist(),
        "vectors": {name: {"width": values.shape[1], "first": rounded(values[:, :FIRST], 3)} for name, values in rows.items()},
        "norms": {name: rounded(np.linalg.norm(values, axis=1), 2) for name, values in rows.items()},
    }


def projection(trace: vlm.Trace, projected: vlm.Projection) -> dict:
    """Visual tokens, coloured by the mean colour of their patch, and text tokens in the same plane."""
    count = len(trace.visual_tokens.embeddings)
    patches = trace.patches
    received = patches.received.transpose(2, 0, 1).astype(np.float32)
    colours = vlm.patchify(received, patches.size).reshape(count, -1, 3).mean(1).round().astype(int)
    text = trace.text_tokens
    return {
        "method": projected.method,
        "explained": [round(share, 4) for share in projected.explained],
        "visual": {
            "points": rounded(projected.points[:count]),
            "colours": [f"rgb({r},{g},{b})" for r, g, b in colours.tolist()],
            "norms": rounded(np.linalg.norm(trace.visual_tokens.embeddings, axis=1), 2),
            "columns": patches.columns,
        },
        "text": {
            "points": rounded(projected.points[count:]),
            "strings": list(text.token_strings),
            "norms": rounded(np.linalg.norm(text.embeddings, axis=1), 2),
            "roles": [trace.roles[position] for position in text.positions],
        },
    }


def answer(steps: Sequence[vlm.Step], finished: bool) -> dict:
    """The answer so far, each token with its alternatives before and after D_d."""
    return {
        "answer": steps[-1].answer if steps else "",
        "finished": finished,
        "steps": [
            {
                "string": step.token_string,
                "probability": round(step.probability, 5),
                "decoding": round(step.decoding_probability, 5),
                "end": step.is_end,
                "alternatives": [[a.token_string, round(a.probability, 5), round(a.decoding_probability, 5)] for a in step.alternatives],
            }
            for step in steps
        ],
    }


def similarity(record, images: Sequence[Image.Image], texts: Sequence[str], shares=None) -> dict:
    """The matrices, e^tau, the losses, and what each patch of the first photo gives to each text."""
    return {
        "photos": [data_url(image, THUMB_SIDE) for image in images],
        "texts": list(texts),
        "matrices": {name: rounded(getattr(record, name), 5) for name in ("cosine", "logits", "image_to_text", "text_to_image")},
        "logit_scale": record.logit_scale,
        "logit_bias": record.logit_bias,
        "losses": None if record.loss is None else {"image": record.loss_image, "text": record.loss_text, "both": record.loss},
        "shares": None if shares is None else {"class": rounded(shares.class_share), "patches": rounded(shares.patch_shares), "rows": shares.rows, "columns": shares.columns},
    }
