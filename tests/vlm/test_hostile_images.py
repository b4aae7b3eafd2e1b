"""Files made to do harm: each gives a picture of bounded size or one sentence, in bounded time and
memory, and nothing else.
"""

import json
import os
import struct
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features

import vlm
from tests.bombs import BOMBS, chunk, jpeg, png, saved, tiff, webp_exif
from tests.tiny import photo
from vlm.pipeline.image import FORMATS, MAX_PIXELS, MAX_SIDE

pytestmark = pytest.mark.long
MODES = (
    "1",
    "L",
    "P",
    "LA",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "RGBa",
    "La",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "I;16B",
    "I;16L",
)
BOUNDED = settings(
    max_examples=500,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# for one file of at most 20 MB; on two busy cores it takes a third of that
MEGABYTES, SECONDS = 900, 10
KINDS = {
    "PNG": {},
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "TIFF LZW": {"compression": "tiff_lzw"},
    "TIFF jpeg": {"compression": "jpeg"},
}


@cache
def whole(kind: str) -> bytes:
    """A photo of 30 x 40 as a file, with an EXIF orientation where there can be one."""
    exif = Image.Exif()
    exif[274], exif[270] = 6, "a description"
    return saved(
        photo(30, 40),
        kind.split()[0],
        **KINDS[kind],
        **({"exif": exif} if kind.split()[0] in ("PNG", "JPEG", "WEBP") else {}),
    )


def outcome(path: Path, content: bytes | None = None) -> tuple[int, int] | str:
    """The size of the picture, or the sentence; anything else is an error of ours."""
    if content is not None:
        path.write_bytes(content)
    try:
        image = vlm.open_image(path)
    except vlm.ImageError as error:
        message = str(error)
        assert (
            message.endswith(".")
            and "\n" not in message
            and len(message) < 250
            and str(path.parent) not in message
        )
        return message
    assert (
        image.mode == "RGB"
        and image.info == {}
        and image.width * image.height <= MAX_PIXELS
        and max(image.size) <= MAX_SIDE
    )
    return image.size


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.png"  # whatever is in it: the name decides nothing


def test_every_format_and_mode_that_pillow_writes_is_shown_or_refused(file):
    Image.init()
    shown, refused = [], []
    for kind in sorted(Image.SAVE):
        for mode in MODES:
            try:
                with warnings.catch_warnings(action="ignore"):
                    content = saved(Image.new(mode, (20, 13)), kind)
            except Exception:  # Pillow does not write this mode so
                continue
            (shown if outcome(file, content) == (20, 13) else refused).append((kind, mode))
    # of what can be written no other is opened
    assert {kind for kind, _ in shown} == {*FORMATS, "MPO"}
    assert not {
        ("PNG", "RGBA"),
        ("PNG", "I;16"),
        ("JPEG", "CMYK"),
        ("TIFF", "F"),
        ("TIFF", "LAB"),
        ("GIF", "P"),
        ("WEBP", "RGBA"),
        ("BMP", "1"),
    } & set(refused)
    assert len(shown) > 50 and len(refused) > 80


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_off_at_any_sixteenth_is_refused(file, kind):
    content = whole(kind)
    came = [outcome(file, content[: len(content) * part // 16]) for part in range(16)]
    # without the last sixteenth a TIFF may have all its pixels
    assert all(isinstance(each, str) for each in came[:15])
    assert isinstance(outcome(file, content), tuple)


@BOUNDED
@given(
    kind=st.sampled_from(list(KINDS)),
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=8
    ),
)
def test_flipped_bits_give_a_picture_or_a_sentence(tmp_path_factory, kind, flips):
    content = bytearray(whole(kind))
    for place, bit in flips:
        # more often in the header, where it hurts
        content[int(place**3 * len(content))] ^= 1 << bit
    outcome(tmp_path_factory.getbasetemp() / "flipped", bytes(content))


STARTS = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"BM",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFF\x40\0\0\0WEBPVP8L",
    b"RIFF\x40\0\0\0WEBPVP8X",
)


@BOUNDED
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=400))
def test_any_bytes_after_the_first_of_an_image_give_a_picture_or_a_sentence(
    tmp_path_factory, start, rest
):
    outcome(tmp_path_factory.getbasetemp() / "bytes", start + rest)


@BOUNDED
@given(
    tags=st.lists(
        st.tuples(
            st.integers(254, 340) | st.integers(0, 65_535),
            st.integers(0, 18),
            st.integers(0, 2**32 - 1) | st.integers(0, 9),
            st.integers(0, 2**32 - 1) | st.integers(0, 99),
        ),
        max_size=12,
    ),
    inside=st.sampled_from(["TIFF", "PNG", "JPEG"]),
)
def test_any_directory_of_tags_gives_a_picture_or_a_sentence(tmp_path_factory, tags, inside):
    content = tiff(8, 8, *tags)
    if inside != "TIFF":
        content = (
            png(chunk(b"eXIf", content)) if inside == "PNG" else jpeg((0xE1, b"Exif\0\0" + content))
        )
    came = outcome(tmp_path_factory.getbasetemp() / "tags", content)
    assert inside == "TIFF" or came == (8, 8)  # damaged EXIF takes nothing away from the pixels


POLYGLOTS = {
    "a page in front of a photo": lambda: b"<script>alert(1)</script>" + whole("PNG"),
    "a page behind a photo": lambda: whole("JPEG") + b"<script>alert(1)</script>",
    "an archive behind a photo": lambda: whole("GIF") + b"PK\3\4" + bytes(99),
    "a GIF that is a script": lambda: b"GIF89a/*" + bytes(10) + b"*/=1;alert(1)",
    "a PDF with a photo in it": lambda: b"%PDF-1.4\n" + whole("JPEG"),
    "PostScript": lambda: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
    ),
    "SVG with a script": lambda: (
        b'<?xml version="1.0"?><svg'
        b' xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><image'
        b' href="file:///etc/passwd"/></svg>'
    ),
    "a pickle": (
        lambda: (
            b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true"
            b"\x94\x85\x94R\x94."
        )
    ),
    "a program": lambda: b"\x7fELF" + bytes(200),
}
SHOWN = {"a page behind a photo", "an archive behind a photo"}


@pytest.mark.parametrize("name", POLYGLOTS)
def test_of_a_file_that_is_two_things_the_photo_is_shown_or_nothing(file, name):
    assert (outcome(file, POLYGLOTS[name]()) in ((40, 30), (30, 40))) == (name in SHOWN)


PROFILES = {
    "no profile": b"",
    "text": b"not a profile",
    "a page": b"<script>alert(1)</script>" * 50,
    "claims four gigabytes": struct.pack(">I", 2**32 - 1) + b"lcms" + bytes(120),
    "a billion tags": bytes(36) + b"acsp" + bytes(88) + struct.pack(">I", 2**30),
    "tags that point outside": (
        bytes(36) + b"acsp" + bytes(88) + struct.pack(">I4sII", 1, b"desc", 2**31, 2**31)
    ),
    "half a megabyte": bytes(range(256)) * 2_000,
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_malicious_colour_profile_changes_nothing(file, kind, profile):
    """Profiles are not applied, so they are not read."""
    plain, marked = (
        saved(photo(30, 40), kind),
        saved(photo(30, 40), kind, icc_profile=PROFILES[profile]),
    )
    pixels = [
        np.asarray(vlm.open_image(Path(file.write_bytes(content) and file)))
        for content in (plain, marked)
    ]
    assert np.array_equal(*pixels)


ENTRIES = [  # type, count, value of the tag that tells the orientation
    (3, 1, 0),
    (3, 1, 9),
    (3, 1, 65_535),
    (3, 0, 6),
    (3, 2, 6 | 8 << 16),
    (3, 2**31, 8),
    (4, 1, 2**31),
    (1, 1, 6),
    (2, 1, ord("6")),
    (2, 9, 2**32 - 1),
    (5, 1, 8),
    (7, 1, 6),
    (9, 1, 2**32 - 6),
    (12, 1, 0),
    (13, 1, 8),
    (99, 1, 6),
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_orientation_that_is_none_takes_nothing_from_the_pixels(file, entry):
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, *entry) + bytes(4)
    for content in (
        png(chunk(b"eXIf", exif), width=5, height=9),
        jpeg((0xE1, b"Exif\0\0" + exif)),
        webp_exif(exif),
    ):
        assert outcome(file, content) in ((5, 9), (9, 5), (8, 8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 16_000), (16_000, 1), (16_001, 1), (1, 16_001), (2, 20_000)]
)
def test_very_long_pictures_are_shown_up_to_the_longest_side(file, kind, size):
    came = outcome(file, saved(Image.new("RGB", size), kind))
    assert (came == size) == (max(size) <= MAX_SIDE)


def test_what_a_file_is_called_reaches_the_sentence_short_and_without_its_folder(tmp_path):
    for name in (
        "<img src=x onerror=alert(1)>.png",
        "x" * 250,
        "\u202egnp.exe",
        "line\nbreak.png",
        "${7*7}.png",
        "=1+1.png",
    ):
        (tmp_path / name).write_bytes(b"no image")
        message = outcome(tmp_path / name)
        assert "not an image" in message and len(message) < 200
    for path in (
        "/etc/shadow/x",
        str(tmp_path / "null\0character.png"),
        str(tmp_path / ("x" * 300)),
        str(tmp_path / "missing" / "x.png"),
        "",
    ):
        with pytest.raises(vlm.ImageError) as error:
            vlm.open_image(path)
        assert (
            str(tmp_path) not in str(error.value)
            and "/etc" not in str(error.value)
            and Path.cwd().name not in str(error.value)
        )


def test_links_pipes_folders_and_sockets_are_no_photos(tmp_path):
    import socket

    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        for name in ("circle", "nowhere", "zero", "pipe", "folder", "socket"):
            assert isinstance(outcome(tmp_path / name), str)


def test_a_file_that_changes_while_it_is_read_is_what_it_was_at_one_moment(file, monkeypatch):
    """The bytes are taken once: what is put in their place afterwards, or cut off under the
    decoder, changes nothing.
    """
    expected = np.asarray(vlm.open_image(Path(file.write_bytes(whole("BMP")) and file)))
    opened = Image.open

    def changed(*arguments, **named):
        image = opened(*arguments, **named)
        os.truncate(file, 0)
        return image

    monkeypatch.setattr(Image, "open", changed)
    assert np.array_equal(np.asarray(vlm.open_image(file)), expected)


def test_a_file_that_grows_after_it_was_measured_is_not_read_to_its_end(file, monkeypatch):
    file.write_bytes(whole("PNG"))
    monkeypatch.setattr("vlm.pipeline.image.MAX_BYTES", 10_000)
    exact = Path.is_file
    monkeypatch.setattr(
        Path, "is_file", lambda self: exact(self) and (os.truncate(self, 50_000) or True)
    )
    with pytest.raises(vlm.ImageError, match="at most"):
        vlm.open_image(file)


def test_a_camera_s_jpeg_is_far_below_every_limit(file):
    """Progressive, a full segment of EXIF, a large profile and a second picture behind it, as
    telephones write it.
    """
    exif = Image.Exif()
    exif[274], exif[0x927C] = 6, os.urandom(60_000)
    content = saved(
        photo(300, 400), "JPEG", progressive=True, exif=exif, icc_profile=os.urandom(300_000)
    ) + os.urandom(500_000)
    assert outcome(file, content) == (300, 400)
    assert outcome(
        file, saved(photo(300, 400), "MPO", save_all=True, append_images=[photo(300, 400, seed=1)])
    ) == (400, 300)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="a limit of memory and its peak are asked of Linux"
)
def test_no_bomb_takes_more_memory_or_time_than_its_pixels():
    """Each is opened in a process that is given so much memory and no more.

    Without the limits of `vlm.pipeline.image` six of them take gigabytes or hours.
    """
    if not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bombs", str(MEGABYTES)],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    told = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert set(told) == set(BOMBS)
    for name, (_, shown) in BOMBS.items():
        each = told[name]
        assert isinstance(each["came"], list) == shown, each
        assert shown or each["came"].endswith("."), each
        assert (
            each["bytes"] <= 20 * 2**20 + 3 * 2**20
            and each["seconds"] < SECONDS
            and each["megabytes"] < MEGABYTES
        ), each
