"""Photos of every kind.

What a handler accepts it shows; what it refuses it refuses in one sentence, before anything is
sent.
"""

import io

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app.uploads import EXAMPLES
from tests.app.asking import run, sentence, server
from tests.tiny import photo

pytestmark = pytest.mark.usefixtures("tiny_page")


def encoded(mode_or_image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    mode_or_image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(60, 90), "JPEG", exif=exif)


GOOD = {
    "one-pixel.png": (lambda: encoded(photo(1, 1), "PNG"), (1, 1)),
    "one-pixel-high.png": (lambda: encoded(photo(1, 200), "PNG"), (1, 200)),
    "wide.jpg": (lambda: encoded(photo(40, 12_000), "JPEG"), (40, 12_000)),
    "animated.gif": (
        lambda: encoded(photo(50, 70), "GIF", save_all=True, append_images=[photo(50, 70, seed=1)]),
        (50, 70),
    ),
    "deep.png": (
        lambda: encoded(
            Image.fromarray(np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)), "PNG"
        ),
        (60, 80),
    ),
    "print.jpg": (lambda: encoded(photo(60, 80).convert("CMYK"), "JPEG"), (60, 80)),
    "glass.png": (lambda: encoded(Image.new("RGBA", (80, 60), (255, 0, 0, 0)), "PNG"), (60, 80)),
    "turned.jpg": (lambda: rotated(6), (90, 60)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_photo_of_an_unusual_kind_is_shown(name, upload):
    content, (height, width) = GOOD[name]
    updates = run(upload(content(), name))
    assert updates[0][0]["photo_size"] == [height, width]
    assert updates[-2][2]["finished"]


def test_transparent_is_white_and_not_the_colour_underneath(upload):
    assert server.uploads.open(upload(GOOD["glass.png"][0](), "glass.png")).getpixel((3, 3)) == (
        255,
        255,
        255,
    )


def test_sixteen_bits_keep_their_shades(upload):
    values = np.asarray(server.uploads.open(upload(GOOD["deep.png"][0](), "deep.png")))[..., 0]
    assert values.min() == 0 and values.max() == 255 and abs(values.mean() - 127.5) < 1


def one_bit_bomb() -> bytes:
    return encoded(Image.new("1", (9_800, 9_800)), "PNG")


BAD = {
    "text.png": lambda: b"this is not an image",
    "empty.png": lambda: b"",
    "truncated.jpg": lambda: encoded(photo(400, 400), "JPEG")[:3_000],
    "bomb.png": one_bit_bomb,
    "drawing.svg": lambda: (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_photo_is_refused_in_one_sentence(name, upload):
    path = upload(BAD[name](), name)
    with pytest.raises(gr.Error) as error:
        run(path)
    assert "/" not in sentence(error)  # nothing about this machine's folders


def test_a_photo_elsewhere_on_this_machine_is_refused(tmp_path):
    photo(50, 50).save(tmp_path / "private.png")
    with pytest.raises(gr.Error) as error:
        run(str(tmp_path / "private.png"))
    assert "upload" in sentence(error)


def test_a_link_out_of_the_uploads_is_refused(tmp_path, uploads):
    photo(50, 50).save(tmp_path / "private.png")
    link = uploads / "link.png"
    link.symlink_to(tmp_path / "private.png")
    with pytest.raises(gr.Error, match="upload"):
        run(str(link))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hostname",
        "/etc/no-such-file",
        "../app.py",
        str(EXAMPLES / ".." / "screenshot.png"),
    ],
)
def test_a_path_of_this_machine_is_refused(path):
    with pytest.raises(gr.Error, match="upload"):
        run(path)


def test_every_example_photo_can_be_opened():
    names = sorted(path.name for path in EXAMPLES.glob("*.jpg"))
    assert len(names) >= 4
    sizes = [server.uploads.open(str(EXAMPLES / name)).size for name in names]
    assert any(width != height for width, height in sizes)
    credits = (EXAMPLES / "CREDITS.md").read_text()
    for name in names:
        assert name in credits and (EXAMPLES / name).stat().st_size < 150_000
