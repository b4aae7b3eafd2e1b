"""Arrays, pictures and numbers as they travel: inside JSON, and compact.

Knows nothing of what they stand for.
"""

import base64
import io

import numpy as np
from PIL import Image

TYPES = {
    np.dtype(np.uint8): "u1",
    np.dtype(np.uint16): "u2",
    np.dtype(np.int32): "i4",
    np.dtype(np.float16): "f2",
    np.dtype(np.float32): "f4",
}


def packed(array: np.ndarray) -> dict:
    """An array for the wire: its type, its shape, its bytes (little-endian) in base64.

    Floats go as float32 (float16 as it is), whole numbers as int32.
    """
    kinds = {"f": np.float32, "i": np.int32}
    array = np.ascontiguousarray(
        array,
        dtype=array.dtype if array.dtype in TYPES else kinds.get(array.dtype.kind, array.dtype),
    )
    return {
        "type": TYPES[array.dtype],
        "shape": list(array.shape),
        "data": base64.b64encode(array.tobytes()).decode(),
    }


def unpacked(value: dict) -> np.ndarray:
    """The array again."""
    return np.frombuffer(base64.b64decode(value["data"]), "<" + value["type"]).reshape(
        value["shape"]
    )


def data_url(image: Image.Image, side: int, quality: int = 85) -> str:
    """A picture of at most `side` pixels for an <img>: a JPEG, or a WebP where parts of it are
    clear.
    """
    image, kind = image.copy(), "webp" if image.mode == "RGBA" else "jpeg"
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def rounded(values: np.ndarray, digits: int = 4) -> list:
    """Nested lists with `digits` decimals; None where there is no number."""
    shortened = np.round(values.astype(np.float64), digits)
    return np.where(np.isnan(shortened), None, shortened).tolist()
