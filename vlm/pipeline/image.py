"""An image file nobody vouches for -> an RGB image.

The header is checked before any pixel is decoded.

What a file may cost is bounded, however small it is: its pixels, the passes over them, and how much
a decoder may read while it looks for them. Opening the largest one that is allowed takes about 20
bytes a pixel and some seconds.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from vlm.errors import ImageError

# what is given as photos: of anything else a sentence says what it is and what to give
GivenPhotos = Image.Image | Sequence[Image.Image] | object

MAX_PIXELS = 40_000_000
MAX_SIDE = 16_000
MAX_BYTES = 20 * 2**20
# passes over a JPEG: 1 to 14 are usual, 61 bytes are enough for one, and each costs as much as all
# pixels do
MAX_SCANS = 100
# bytes, as many as one segment of a JPEG holds: entries that share their bytes are copied apart by
# their reader
MAX_EXIF = 2**16
HEADER_READS, PIXEL_READS = 4_000, 100_000  # pieces of the file that a decoder asks for, one by one
MAX_PROFILE = 4 * 2**20  # bytes of a colour profile; those of presses have up to 3 million
ENDLESS = b"mpet"  # the only kind of a profile's tags that holds any number of steps a pixel
WIDE = ("I;16", "I;16B", "I;16L", "I", "F")  # modes of more than 8 bits
FEWER_BITS = {"L;2": 85, "L;4": 17}  # how Pillow reads them -> what it multiplies a shade by
PROFILED = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # a profile's kind of colours -> mode
GAMMA = 1 / 2.2  # of a PNG whose numbers are to be shown as they are
SAME = 2  # of 255: what the variants of sRGB differ by
ROWS = 256  # of a picture of wide numbers that are looked at together
# phones' MPO files are opened by the JPEG plug-in
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

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
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

# of a segment of a JPEG that says how long it is, or of the end; neither a stuffed byte nor a
# restart
MARKER = re.compile(rb"\xff+([\xc0-\xcf\xd9-\xfe])")

ImageFile.LOAD_TRUNCATED_IMAGES = False


def open_image(path: str | Path, root: str | Path | None = None) -> Image.Image:
    """The first frame of an image file as sRGB: EXIF rotation, colour profile and gamma applied,
    alpha laid over white, 16 bits scaled to 8, CMYK converted.

    Args:
        path: the file.
        root: if given, the only folder (symbolic links resolved) from which a file may be read:
            that of the uploads.

    Raises:
        ImageError: not an image, damaged, too large, a format that is not allowed, or outside
            `root`.
    """
    name = _name(path)
    try:
        path = Path(path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null character, links in a circle
        raise ImageError(f"{name} is no file that can be opened; choose another image.") from error
    if root is not None and not path.is_relative_to(Path(root).resolve()):
        raise ImageError(
            "This file was not uploaded here; upload the image itself instead of giving a path on"
            " the server."
        )
    content = _content(path, name)
    try:
        with warnings.catch_warnings():
            # of a DecompressionBomb: our own limit, below, is tighter; of damaged metadata
            warnings.simplefilter("ignore")
            _check_jpeg(content, name)
            file = _Patient(content)
            image = Image.open(file, formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                raise ImageError(
                    f"The image has {width} x {height} pixels, at most {MAX_PIXELS // 1_000_000}"
                    f" million and {MAX_SIDE:,} on a side are allowed; scale it down and try again."
                )
            file.reads, file.bytes = PIXEL_READS, 4 * MAX_PIXELS + len(content)
            return to_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image this page can read; allowed are {', '.join(FORMATS)}."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The image has far more than the {MAX_PIXELS // 1_000_000} million pixels that are"
            " allowed; scale it down and try again."
        ) from error
    except DAMAGE as error:
        raise ImageError(
            f"{name} is damaged or cut off and cannot be read; save it again and try once more."
        ) from error


def _name(path: object) -> str:
    """What a file is called in a sentence: nothing of where it lies, and no more than fits."""
    return f"{str(path).rpartition('/')[2][:60]!r}"


def _content(path: Path, name: str) -> bytes:
    """All of a file as it is at one moment.

    Raises:
        ImageError: it is no file, cannot be read, or is too large.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer for ever
            raise ImageError(f"{name} is a folder or a device and not a file; choose an image.")
        with path.open("rb") as file:
            size = path.stat().st_size
            content = file.read(MAX_BYTES + 1) if size <= MAX_BYTES else b""
    except OSError as error:
        raise ImageError(
            f"{name} cannot be read ({error.strerror}); choose another image."
        ) from error
    size = max(size, len(content))
    if size > MAX_BYTES:
        raise ImageError(
            f"The file has {size / 2**20:.0f} MB, at most {MAX_BYTES // 2**20} MB are allowed; save"
            " the image smaller and try again."
        )
    return content


class _Patient(io.BytesIO):
    """A file that may be asked for so many pieces, and so many bytes in all.

    A decoder that goes on asking finds it damaged.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads, self.bytes = HEADER_READS, 2 * len(content) + 2**20

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.reads, self.bytes = self.reads - 1, self.bytes - len(piece)
        if self.reads < 0 or self.bytes < 0:
            raise OSError("more pieces than an image has")
        return piece


def _check_jpeg(content: bytes, name: str) -> None:
    """Refuse a JPEG whose reading costs far more than its pixels.

    Raises:
        ImageError: it is a JPEG that costs far more than its pixels.
    """
    if not content.startswith(b"\xff\xd8"):
        return
    scans = exif = 0
    for count, (marker, place, length) in enumerate(_segments(content)):
        scans += marker == 0xDA
        exif += length if marker == 0xE1 and content.startswith(b"Exif", place) else 0
        for much, most, what in (
            (scans, MAX_SCANS, "passes over its pixels"),
            (exif, MAX_EXIF, "bytes of EXIF"),
            (count, HEADER_READS, "parts"),
        ):
            if much > most:
                raise ImageError(
                    f"{name} has more than {most:,} {what}, far more than a camera writes; save it"
                    " again and try once more."
                )


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, place of the data and length of each segment of a JPEG, up to its end.

    What lies behind is not the picture's.
    """
    place = 2
    while (found := MARKER.search(content, place)) and found[1] != b"\xd9":
        place = found.end()
        length = int.from_bytes(content[place : place + 2])
        yield found[1][0], place + 2, length
        place += length


def check_photos(given: GivenPhotos) -> tuple[Image.Image, ...]:
    """The photos, one or several, that a caller gave.

    Raises:
        ImageError: there is none, or something else than a photo, or one without a pixel.
    """
    images = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not images:
        raise ImageError("There is no photo; give at least one.")
    for image in images:
        if not isinstance(image, Image.Image):
            if isinstance(image, (str, bytes, Path)):
                instead = "give the photo itself: vlm.open_image(path)"
            elif hasattr(image, "__array__"):
                instead = "give PIL.Image.fromarray(array), with height, width and 3 channels"
            else:
                instead = "give a PIL image, or a list of some"
            raise ImageError(f"A {type(image).__name__} was given in place of a photo; {instead}.")
        if not image.width * image.height:
            raise ImageError(
                f"A photo of {image.width} x {image.height} pixels shows nothing; give one with at"
                " least one pixel."
            )
    return images


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit sRGB, the way a viewer would show it."""
    hidden, info, power = _hidden_colour(image), image.info, _power(image.info)
    image.load()
    image = _upright(image)
    alpha = None
    if image.mode in WIDE:
        if hidden is not None:
            shown = [np.uint8(255) * (rows != hidden) for rows in _rows(image)]
            alpha = Image.fromarray(np.concatenate(shown), "L")
        image, power = _eight_bits(image, power), 1.0
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or hidden is not None:
        if hidden is not None:
            image = image.copy()
            image.info["transparency"] = hidden
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("RGBA")
        alpha, image = image.getchannel("A"), image.convert("RGB")
        image = image.getchannel("R") if grey else image
    colours = _managed(image, info.get("icc_profile"), power)
    if alpha is not None:
        result = Image.new("RGB", image.size, "white")
        result.paste(colours, mask=alpha)
    else:
        result = colours
    # the metadata described the stored pixels: an orientation left there would turn them twice
    result.info = {}
    return result


def _hidden_colour(image: Image.Image) -> int | tuple[int, ...] | bytes | None:
    """The one colour (of a palette: which entries) that is transparent, in the numbers its pixels
    will have.

    A PNG gives it in the file's own bits, which only an image that is not decoded yet still tells.
    """
    colour = image.info.get("transparency")
    raw = image.tile[0].args if getattr(image, "tile", None) else None
    if isinstance(raw, str) and isinstance(colour, int) and raw in FEWER_BITS:
        return colour * FEWER_BITS[raw]
    # of 16 bits Pillow keeps the upper 8
    return tuple(part >> 8 for part in colour) if raw == "RGB;16B" and colour else colour


def _power(info: dict) -> float:
    """What the shades of a PNG without a profile are to be raised to, by its gamma."""
    gamma = info.get("gamma")
    if {"icc_profile", "srgb"} & set(info) or not isinstance(gamma, float):
        return 1.0
    usual = not 0.1 <= gamma <= 10 or abs(gamma / GAMMA - 1) < 0.05
    return 1.0 if usual else GAMMA / gamma


def _managed(image: Image.Image, profile: bytes | None, power: float) -> Image.Image:
    """The colours that a file's numbers mean, as sRGB: by its profile, or its gamma.

    A profile that is damaged, too large, or made for other pixels is ignored, as viewers do.
    """
    try:
        if image.mode == "LAB":
            return _to_srgb(ImageCms.createProfile("LAB"), "LAB").apply(image)
        if profile and len(profile) <= MAX_PROFILE and ENDLESS not in profile:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = PROFILED.get(given.profile.xcolor_space)
            if image.mode == mode or (mode == "RGB" and image.mode in ("P", "YCbCr")):
                return _applied(_to_srgb(given, mode), image.convert(mode))
    except (ImageCms.PyCMSError, *DAMAGE):
        pass
    image = image.convert("RGB")
    if power == 1:
        return image
    return image.point(np.uint8(255 * np.linspace(0, 1, 256) ** power + 0.5).tolist() * 3)


def _to_srgb(profile, mode: str) -> ImageCms.ImageCmsTransform:
    # the tables with which lcms saves time are too coarse for greys, of which there are few
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    return ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.PERCEPTUAL, flags
    )


def _applied(to_srgb: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    """An image through a profile.

    One that changes colours by no more than rounding does, as the many variants of sRGB do, leaves
    a photo as it is.
    """
    if image.mode == "L":
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        shades = Image.frombytes("P", image.size, image.tobytes())
        shades.putpalette(to_srgb.apply(ramp).tobytes())
        return shades.convert("RGB")
    if image.mode == "RGB":
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
        after = np.asarray(to_srgb.apply(Image.fromarray(colours)))
        if np.abs(after.astype(int) - colours).max() <= SAME:
            return image
    return to_srgb.apply(image)


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says.

    EXIF that is damaged, or larger than a camera's, is ignored, as viewers do.
    """
    if any(
        len(image.info.get(name) or "") > most
        for name, most in (("exif", MAX_EXIF), ("Raw profile type exif", 3 * MAX_EXIF))
    ):
        return image
    try:
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except DAMAGE:
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image, power: float) -> Image.Image:
    """16-bit integers by their full range, other wide formats by the range they use (Pillow's own
    conversion would clip), raised to a power.
    """
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        least, most = zip(*((rows.min(), rows.max()) for rows in _rows(image)))
        low, high = float(min(least)), float(max(most))
        if image.mode == "I" and low >= 0 and high <= 65535:
            low, high = 0.0, 255.0 if high <= 255 else 65535.0
    shades = [
        np.uint8(np.clip((rows - low) / max(high - low, 1e-12), 0, 1) ** power * 255 + 0.5)
        for rows in _rows(image)
    ]
    return Image.fromarray(np.concatenate(shades), "L")


def _rows(image: Image.Image) -> Iterator[np.ndarray]:
    """The numbers of a picture, some rows at a time."""
    for top in range(0, image.height, ROWS):
        part = image.crop((0, top, image.width, min(top + ROWS, image.height)))
        yield np.nan_to_num(np.asarray(part).astype(np.float64), posinf=0.0, neginf=0.0)
