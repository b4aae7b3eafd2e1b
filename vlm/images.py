"""An image file nobody vouches for -> an RGB image. The header is checked before any pixel is decoded."""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from vlm.errors import ImageError

MAX_PIXELS = 40_000_000
MAX_SIDE = 16_000
MAX_BYTES = 20 * 2**20
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # phones' MPO files are opened by the JPEG plug-in

UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

DAMAGE = (  # what Pillow's decoders raise on damaged bytes
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, SyntaxError, TypeError, ValueError, struct.error,
)  # fmt: skip

ImageFile.LOAD_TRUNCATED_IMAGES = False


def open_image(path: str | Path, root: str | Path | None = None) -> Image.Image:
    """The first frame of an image file as RGB: EXIF rotation applied, alpha laid over white, 16 bits scaled to 8, CMYK converted.

    Args:
        path: the file.
        root: if given, the only folder (symbolic links resolved) from which a file may be read: that of the uploads.

    Raises:
        ImageError: not an image, damaged, too large, a format that is not allowed, or outside `root`.
    """
    try:
        path = Path(path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null character, links in a circle
        raise ImageError(f"{str(path)!r} is no path of a file; choose another image.") from error
    if root is not None and not path.is_relative_to(Path(root).resolve()):
        raise ImageError("This file was not uploaded here; upload the image itself instead of giving a path on the server.")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ImageError(f"{path.name!r} cannot be read ({error.strerror}); choose another image.") from error
    if not path.is_file():
        raise ImageError(f"{path.name!r} is a folder or a device and not a file; choose an image.")
    if size > MAX_BYTES:
        raise ImageError(f"The file has {size / 2**20:.0f} MB, at most {MAX_BYTES // 2**20} MB are allowed; save the image smaller and try again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit, below, is tighter
            image = Image.open(path, formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                raise ImageError(
                    f"The image has {width} x {height} pixels, at most {MAX_PIXELS // 1_000_000} million "
                    f"and {MAX_SIDE:,} on a side are allowed; scale it down and try again."
                )
            image.load()
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path.name!r} is not an image this page can read; allowed are {', '.join(FORMATS)}.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"The image has far more than the {MAX_PIXELS // 1_000_000} million pixels that are allowed; scale it down and try again.") from error
    except DAMAGE as error:
        raise ImageError(f"{path.name!r} is damaged or cut off and cannot be read; save it again and try once more.") from error
    return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit RGB, the way a viewer would show it."""
    transparent = "transparency" in image.info
    image = _upright(image)
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or transparent:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    result = image.convert("RGB")
    result.info = {}  # the metadata described the stored pixels: an orientation left there would turn them twice
    return result


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; damaged EXIF is ignored, as viewers do."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except DAMAGE:
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit integers by their full range, other wide formats by the range they use (Pillow's own conversion would clip)."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or image.mode == "I" and low >= 0 and 255 < high <= 65535:
        low, high = 0.0, 65535.0
    elif image.mode == "I" and low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    return Image.fromarray(np.uint8(np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255 + 0.5), "L")
