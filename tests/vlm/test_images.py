"""Files nobody vouches for: handled right to the pixel, or answered with one sentence."""

import contextlib
import io
import os
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

import vlm
from tests.colours import (
    SRGB,
    WIDE_GAMUT,
    chunk,
    encoded,
    grey_profile,
    ink_profile,
    png,
    profile,
    rgb_profile,
)
from tests.tiny import photo
from vlm.pipeline.image import FORMATS, MAX_BYTES, MAX_PIXELS, MAX_PROFILE, MAX_SIDE, to_rgb

ORIENTATION = 274


def opened(image: Image.Image, path, **options) -> np.ndarray:
    """`image` saved as `path` and read back by the library."""
    image.save(path, **options)
    result = vlm.open_image(path)
    assert result.mode == "RGB"
    return np.asarray(result)


def sentence(path, **options) -> str:
    """The one sentence with which the library refuses the file."""
    with pytest.raises(vlm.ImageError) as error:
        vlm.open_image(path, **options)
    message = str(error.value)
    assert message.endswith(".") and "\n" not in message
    return message


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims any size: 1 bit a pixel, all zero."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def read(content: bytes, path) -> np.ndarray:
    path.write_bytes(content)
    return np.asarray(vlm.open_image(path)).astype(float)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda upright: upright),
        (2, np.fliplr),
        (3, lambda upright: np.rot90(upright, 2)),
        (4, np.flipud),
        (5, lambda upright: upright.transpose(1, 0, 2)),
        (6, lambda upright: np.rot90(upright, 1)),
        (7, lambda upright: np.rot90(upright, 2).transpose(1, 0, 2)),
        (8, lambda upright: np.rot90(upright, -1)),
    ],
)
def test_a_photo_stored_turned_comes_out_upright(tmp_path, orientation, stored):
    upright = np.asarray(photo(20, 30))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turned = Image.fromarray(np.ascontiguousarray(stored(upright)))
    assert np.array_equal(opened(turned, tmp_path / "turned.png", exif=exif), upright)


def test_reading_an_image_twice_turns_it_once(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photo(20, 30).save(tmp_path / "turned.png", exif=exif)
    once = to_rgb(Image.open(tmp_path / "turned.png"))
    assert once.size == (20, 30)
    assert np.array_equal(np.asarray(to_rgb(once)), np.asarray(once))


def test_damaged_exif_is_ignored(tmp_path):
    image = photo(20, 30)
    pixels = opened(image, tmp_path / "photo.png", exif=b"Exif\x00\x00MM\x00\xf8\x00\x00\x00\x08")
    assert np.array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize(("extension", "most"), [("png", 65535), ("png", 200), ("tif", 65535)])
def test_sixteen_bits_are_scaled_by_their_full_range(tmp_path, extension, most):
    values = np.linspace(0, most, 600).astype(np.uint16).reshape(20, 30)
    pixels = opened(Image.fromarray(values), tmp_path / f"deep.{extension}")
    assert np.array_equal(pixels, np.repeat(np.uint8(values / 257 + 0.5)[..., None], 3, axis=2))


def test_a_float_image_is_scaled_by_the_range_it_uses(tmp_path):
    values = np.linspace(-3, 7, 600, dtype=np.float32).reshape(20, 30)
    values[0, 1] = np.nan
    pixels = opened(Image.fromarray(values), tmp_path / "float.tif")[..., 0]
    assert (
        pixels[0, 0] == 0
        and pixels[-1, -1] == 255
        and (np.diff(pixels.ravel()[2:].astype(int)) >= 0).all()
    )


@pytest.mark.parametrize("value", [0, 5, 65535])
def test_a_sixteen_bit_image_of_one_value_keeps_its_brightness(tmp_path, value):
    pixels = opened(Image.fromarray(np.full((4, 5), value, np.uint16)), tmp_path / "flat.png")
    assert (pixels == round(value / 257)).all()


@pytest.mark.parametrize("extension", ["png", "webp"])
def test_alpha_is_laid_over_white(tmp_path, extension):
    colours = np.asarray(photo(20, 30)).astype(float)
    alpha = np.tile(np.linspace(0, 255, 30).astype(np.uint8), (20, 1))
    image = Image.fromarray(np.dstack([np.uint8(colours), alpha]))
    share = alpha[..., None] / 255
    expected = colours * share + 255 * (1 - share)
    pixels = opened(
        image,
        tmp_path / f"alpha.{extension}",
        **({"lossless": True, "exact": True} if extension == "webp" else {}),
    )
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels[:, 0] == 255).all()  # fully transparent: the hidden colour stays hidden


def test_gray_with_alpha_is_laid_over_white(tmp_path):
    image = Image.fromarray(
        np.dstack([np.full((4, 5), 40, np.uint8), np.full((4, 5), 51, np.uint8)]), "LA"
    )
    assert (
        np.abs(opened(image, tmp_path / "gray.png").astype(int) - (40 * 0.2 + 255 * 0.8)).max() <= 1
    )


def test_a_palette_with_a_transparent_colour_is_laid_over_white(tmp_path):
    image = Image.new("P", (4, 2), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    for extension in ("png", "gif"):
        pixels = opened(image, tmp_path / f"palette.{extension}", transparency=0)
        assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[1, 3].tolist() == [200, 100, 50]


@pytest.mark.parametrize(
    ("mode", "hidden", "shown"), [("RGB", (1, 2, 3), (200, 100, 50)), ("L", 7, 90)]
)
def test_a_single_transparent_colour_is_laid_over_white(tmp_path, mode, hidden, shown):
    image = Image.new(mode, (4, 2), shown)
    image.putpixel((0, 0), hidden)
    pixels = opened(image, tmp_path / "keyed.png", transparency=hidden)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 3].tolist() == list(shown if mode == "RGB" else (shown,) * 3)


GREYS, COLOURS = [(0, depth) for depth in (1, 2, 4, 8, 16)], [(2, 8), (2, 16)]


@pytest.mark.parametrize(("kind", "depth"), GREYS + COLOURS)
def test_a_transparent_colour_of_every_bit_depth_is_laid_over_white(tmp_path, kind, depth):
    """A PNG names it in its own bits, and one without shows every pixel."""
    most = 2**depth - 1
    shades = np.array([[0, most, most // 2], [most // 3, 2 * most // 3, 0]])
    samples = shades if kind == 0 else np.stack([shades, shades[::-1], shades[:, ::-1]], -1)
    painted = np.broadcast_to(np.atleast_3d(255 * samples / most), (2, 3, 3))
    assert np.abs(read(png(kind, depth, samples), tmp_path / "plain.png") - painted).max() <= 1
    for place in np.ndindex(2, 3):
        hidden = samples[place]
        named = chunk(b"tRNS", np.atleast_1d(hidden).astype(">u2").tobytes())
        where = np.atleast_3d(samples == hidden).all(-1, keepdims=True)
        pixels = read(png(kind, depth, samples, named), tmp_path / "keyed.png")
        assert np.abs(pixels - np.where(where, 255, painted)).max() <= 1, hidden


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("opacity", [[], [0], [255, 0], [128, 64]])
def test_a_palette_of_every_bit_depth_is_laid_over_white(tmp_path, depth, opacity):
    colours = np.random.default_rng(depth).integers(0, 256, (2**depth, 3))
    entries = np.array([[0, 1, 2**depth - 1], [2 ** (depth - 1), 1, 0]])
    share = np.array(opacity + [255] * 2**depth)[entries][..., None] / 255
    more = [chunk(b"PLTE", colours.astype(np.uint8).tobytes()), chunk(b"tRNS", bytes(opacity))]
    pixels = read(png(3, depth, entries, *more[: 1 + bool(opacity)]), tmp_path / "palette.png")
    assert np.abs(pixels - (colours[entries] * share + 255 * (1 - share))).max() <= 1


@pytest.mark.parametrize(("kind", "depth"), [(4, 8), (4, 16), (6, 8), (6, 16)])
def test_alpha_of_every_bit_depth_is_laid_over_white(tmp_path, kind, depth):
    most = 2**depth - 1
    samples = np.random.default_rng(0).integers(0, most + 1, (4, 5, 2 if kind == 4 else 4))
    samples[0, :2, -1] = 0, most
    share = samples[..., -1:] / most
    pixels = read(png(kind, depth, samples), tmp_path / "alpha.png")
    painted = 255 * samples[..., :-1] / most * share + 255 * (1 - share)
    assert np.abs(pixels - painted).max() <= 2  # 16 bits are cut to 8 first


def saved(image: Image.Image, path, icc: bytes, **options) -> np.ndarray:
    return opened(image, path, icc_profile=icc, **options).astype(float)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_a_colour_profile_is_applied(tmp_path, extension, gamma):
    numbers = np.asarray(photo(24, 32))
    light = (numbers / 255) ** gamma @ (np.linalg.inv(SRGB) @ WIDE_GAMUT).T
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    arguments = tmp_path / f"wide.{extension}", rgb_profile(WIDE_GAMUT, gamma)
    pixels = saved(Image.fromarray(numbers), *arguments, **options.get(extension, {}))
    difference = np.abs(pixels - encoded(light))
    assert difference.mean() < 1 and (difference.max() <= 3 or extension == "jpg")
    assert np.abs(encoded(light) - numbers).max() > 20  # else the test could not tell


def test_a_colour_profile_of_greys_or_inks_is_applied(tmp_path):
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = tmp_path / "grey.png"
    linear = encoded(shades / 255)[..., None]
    assert np.abs(saved(Image.fromarray(shades), path, grey_profile(1.0)) - linear).max() <= 2
    deep = Image.fromarray(shades.astype(np.uint16) * 257)
    assert np.abs(saved(deep, path, grey_profile(1.0)) - linear).max() <= 2
    # a press on which all cyan is black, and nothing else is
    inks = ink_profile([255 if mixture < 8 else 0 for mixture in range(16)])
    cyan, none = (Image.new("CMYK", (8, 8), (shade, 0, 0, 0)) for shade in (255, 0))
    assert saved(cyan, tmp_path / "ink.tif", inks).max() <= 2
    assert saved(none, tmp_path / "ink.tif", inks).min() >= 253


def test_alpha_is_no_colour_of_the_profile(tmp_path):
    numbers = np.asarray(photo(24, 32))
    alpha = np.full((24, 32), 51, np.uint8)
    image = Image.fromarray(np.dstack([numbers, alpha]))
    pixels = saved(image, tmp_path / "alpha.png", rgb_profile(WIDE_GAMUT, 1.8))
    light = (numbers / 255) ** 1.8 @ (np.linalg.inv(SRGB) @ WIDE_GAMUT).T
    assert np.abs(pixels - (0.2 * encoded(light) + 0.8 * 255)).max() <= 2


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3)])
def test_the_gamma_of_a_png_is_applied(tmp_path, kind, channels, depth):
    most = 2**depth - 1
    samples = np.random.default_rng(0).integers(0, most + 1, (6, 7, channels))
    for gamma in (1.0, 0.7):
        named = chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
        light = (samples / most) ** (1 / gamma)
        pixels = read(png(kind, depth, samples, named), tmp_path / "gamma.png")
        rounding = 255 * (1.5 / 255) ** (1 / 2.2 / gamma) if depth == 16 and kind else 1
        assert np.abs(pixels - 255 * light ** (1 / 2.2)).max() <= rounding
        # the chunk that says sRGB counts more, and so does a profile
        plain = read(png(kind, depth, samples), tmp_path / "plain.png")
        for more in (
            chunk(b"sRGB", b"\0"),
            chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(SRGB, 2.2))),
        ):
            both = read(png(kind, depth, samples, more, named), tmp_path / "both.png")
            assert np.abs(both - plain).max() <= 12 and np.abs(both - pixels).max() > 12
    for usual in (45455, 0, 1, 2**31 - 1):  # what is usual, or no gamma of any screen
        named = chunk(b"gAMA", struct.pack(">I", usual))
        assert np.array_equal(read(png(kind, depth, samples, named), tmp_path / "g.png"), plain)


def test_a_photo_in_any_variant_of_srgb_stays_as_it_is(tmp_path):
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(
        saved(photo(24, 32), tmp_path / "own.png", own), np.asarray(photo(24, 32))
    )


def test_a_profile_that_is_damaged_too_large_or_of_other_pixels_is_ignored(tmp_path):
    image, good = photo(24, 32), rgb_profile(WIDE_GAMUT, 1.8)
    plain = np.asarray(image)
    for icc in (b"x", bytes(600), good[:200], grey_profile(1.0), ink_profile([0] * 16)):
        assert np.array_equal(saved(image, tmp_path / "odd.png", icc), plain)
    steps = profile(b"RGB ", b"XYZ ", {b"wtpt": good[:20], b"D2B0": b"mpet" + bytes(60)})
    assert np.array_equal(saved(image, tmp_path / "odd.png", steps), plain)
    assert np.array_equal(saved(image, tmp_path / "odd.png", good + b"mpet"), plain)
    large = good + bytes(MAX_PROFILE)
    assert np.array_equal(saved(image, tmp_path / "odd.webp", large, lossless=True), plain)
    generator = random.Random(0)
    for start in (good, ink_profile(list(range(0, 256, 16)))):
        mode = "RGB" if start is good else "CMYK"
        for _ in range(30 if mode == "RGB" else 8):  # of inks each takes longer
            icc = bytearray(start)
            for _ in range(generator.choice((1, 2, 5, 20))):
                # mostly in the header and the table of tags, where sizes and kinds stand
                place = min(int(generator.expovariate(1 / 150)), len(icc) - 1)
                icc[place] = generator.choice((0, 255, generator.randrange(256)))
            odd = image.convert(mode)
            odd.info["icc_profile"] = bytes(icc)
            assert to_rgb(odd).size == image.size


def test_cmyk_becomes_its_colours(tmp_path):
    for ink, colour in [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ]:
        for extension in ("jpg", "tif"):
            pixels = opened(Image.new("CMYK", (16, 16), ink), tmp_path / f"ink.{extension}")
            assert np.abs(pixels.astype(int) - colour).max() <= 2


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame_is_shown(tmp_path, extension):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if extension == "webp" else {}
    pixels = opened(
        frames[0],
        tmp_path / f"frames.{extension}",
        save_all=True,
        append_images=frames[1:],
        **options,
    )
    assert pixels.shape == (4, 6, 3) and (pixels == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "YCbCr", "HSV"])
def test_other_colour_modes_look_as_pillow_shows_them(mode):
    image = photo(20, 30).convert(mode)
    assert np.array_equal(np.asarray(to_rgb(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_every_allowed_format_is_read(tmp_path, extension):
    image = photo(20, 30)
    assert (
        np.abs(
            opened(image, tmp_path / f"photo.{extension}").astype(int) - np.asarray(image)
        ).mean()
        < 5
    )


def test_reading_does_not_change_the_image_it_is_given():
    image = photo(20, 30).convert("RGBA")
    image.putalpha(7)
    image.info["exif"] = b"kept"
    before = image.tobytes()
    to_rgb(image)
    assert image.tobytes() == before and image.info == {"exif": b"kept"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("note.png", b"this is text"),
        ("empty.jpg", b""),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"),
        ("paper.pdf", b"%PDF-1.4\n"),
        ("figure.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"),
    ],
)
def test_what_is_not_an_image_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    message = sentence(tmp_path / name)
    assert name in message and all(allowed in message for allowed in FORMATS)


def test_a_format_that_is_not_allowed_is_refused_although_pillow_reads_it(tmp_path):
    photo(20, 30).save(tmp_path / "icon.ppm")
    assert "icon.ppm" in sentence(tmp_path / "icon.ppm")


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "gif", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_image_is_refused(tmp_path, extension, share):
    photo(60, 80).save(tmp_path / f"whole.{extension}")
    content = (tmp_path / f"whole.{extension}").read_bytes()
    (tmp_path / f"cut.{extension}").write_bytes(content[: int(len(content) * share)])
    sentence(tmp_path / f"cut.{extension}")


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (8000, MAX_PIXELS // 8000 + 1),
        (9800, 9800),
        (100_000, 100_000),
        (MAX_SIDE + 1, 1),
        (1, MAX_SIDE + 1),
    ],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(png_header(width, height))
    message = sentence(tmp_path / "bomb.png")
    assert "pixels" in message and "scale it down" in message


def test_the_largest_allowed_sides_are_read(tmp_path):
    assert opened(Image.new("1", (MAX_SIDE, 2), 1), tmp_path / "long.png").shape == (2, MAX_SIDE, 3)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"{MAX_BYTES // 2**20} MB" in sentence(tmp_path / "huge.png")


def test_only_files_under_the_root_are_read(tmp_path):
    uploads, outside = tmp_path / "uploads", tmp_path / "secret.png"
    uploads.mkdir()
    photo(20, 30).save(outside)
    photo(20, 30).save(uploads / "mine.png")
    (uploads / "link.png").symlink_to(outside)
    assert vlm.open_image(uploads / "mine.png", root=uploads).size == (30, 20)
    for path in (
        outside,
        uploads / "link.png",
        uploads / ".." / "secret.png",
        "/etc/passwd",
        tmp_path / "uploads-not" / "x.png",
    ):
        message = sentence(path, root=uploads)
        assert "not uploaded" in message and "secret" not in message and "passwd" not in message


def test_a_root_that_is_itself_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    photo(20, 30).save(tmp_path / "real" / "mine.png")
    assert vlm.open_image(tmp_path / "link" / "mine.png", root=tmp_path / "link").size == (30, 20)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer for ever
    assert "missing.png" in sentence(tmp_path / "missing.png")
    assert "folder" in sentence(tmp_path)
    assert "device" in sentence(tmp_path / "pipe.png")
    for path in (tmp_path / "circle.png", "null\0character.png", "x" * 5000, ""):
        sentence(path)


@pytest.mark.long
def test_damaged_bytes_give_an_image_or_a_sentence_and_nothing_else(tmp_path):
    generator = random.Random(0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    whole = []
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        buffer = io.BytesIO()
        photo(30, 40).save(
            buffer, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {})
        )
        whole.append(buffer.getvalue())
    read = 0
    for _ in range(1500):
        content = bytearray(generator.choice(whole))
        for _ in range(generator.choice((1, 1, 2, 5))):
            content[min(int(generator.expovariate(1 / 80)), len(content) - 1)] = (
                generator.randrange(256)
            )
        (tmp_path / "damaged").write_bytes(content)
        with contextlib.suppress(vlm.ImageError):
            read += vlm.open_image(tmp_path / "damaged").mode == "RGB"
    assert 100 < read < 1400
