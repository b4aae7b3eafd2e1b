"""Small files that want to be expensive: each costs gigabytes or hours where nobody counts.

`python -m tests.bombs` opens them one by one.

Each function gives a file, and whether a picture is in it that is to be shown all the same.
"""

import functools
import io
import json
import resource
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

from PIL import Image

SIDE = 6_320  # squared almost as many pixels as are allowed
MEBIBYTE = 2**20


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    *chunks: bytes,
    width: int = 8,
    height: int = 8,
    depth: int = 8,
    colour: int = 0,
    data: bytes | None = None,
) -> bytes:
    """A PNG with these chunks before its pixels, which are all zero."""
    bits = width * depth * {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    pixels = zlib.compress(bytes((bits + 7) // 8 + 1) * height, 1) if data is None else data
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        + b"".join(chunks)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


@functools.cache
def deflated(mebibytes: int) -> bytes:
    """So many zeros."""
    packer = zlib.compressobj(9 if mebibytes < 10 else 1)
    return b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(mebibytes)) + packer.flush()


def shared_entries(count: int, each: int) -> bytes:
    """A TIFF directory whose entries all name the same bytes: copied one by one they are `count`
    times `each`.
    """
    entries = b"".join(struct.pack("<HHII", number, 7, each, 8) for number in range(count))
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", count)
        + entries
        + bytes(4 + max(0, each - 12 * count))
    )


def tiff(
    width: int, height: int, *more: tuple[int, int, int, int], after: bytes = bytes(64)
) -> bytes:
    """A gray TIFF without compression and with further entries: (tag, type, count, value)."""
    given = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (4, 1, height),
        279: (4, 1, 64),
    }
    given |= {tag: entry for tag, *entry in more}
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(given.items()))
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(after))
        + after
        + struct.pack("<H", len(given))
        + entries
    )


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with these segments in front: (marker, data)."""
    return (
        b"\xff\xd8"
        + b"".join(
            b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data
            for marker, data in segments
        )
        + saved(Image.new("L", (8, 8)), "JPEG")[2:]
    )


def many_scans() -> bytes:
    whole = saved(Image.new("L", (SIDE, SIDE), 128), "JPEG", progressive=True)
    starts = [place for place in range(len(whole)) if whole.startswith(b"\xff\xda", place)]
    return whole[:-2] + whole[starts[-1] : -2] * 300_000 + whole[-2:]


def frames(kind: str, count: int, side: int) -> bytes:
    pictures = [Image.new("L", (side, side), number * 37 % 256) for number in range(count)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:])


def webp_exif(data: bytes) -> bytes:
    def piece(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    picture = saved(Image.new("RGB", (8, 8)), "WEBP")[12:]
    whole = (
        b"WEBP"
        + piece(b"VP8X", bytes([8, 0, 0, 0, 7, 0, 0, 7, 0, 0]))
        + picture
        + piece(b"EXIF", data)
    )
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


BOMBS = {
    # as many pixels as are allowed, in a few kilobytes
    "sixteen bits": (lambda: png(width=SIDE, height=SIDE, depth=16), True),
    "sixteen bits, colour and alpha": (
        lambda: png(width=SIDE, height=SIDE, depth=16, colour=6),
        True,
    ),
    "gray and alpha": (lambda: png(width=SIDE, height=SIDE, depth=8, colour=4), True),
    "one colour is clear": (
        lambda: png(chunk(b"tRNS", bytes(6)), width=SIDE, height=SIDE, colour=2),
        True,
    ),
    "floating point": (
        lambda: saved(Image.new("F", (SIDE, SIDE)), "TIFF", compression="tiff_adobe_deflate"),
        True,
    ),
    "ink": (lambda: saved(Image.new("CMYK", (SIDE, SIDE)), "JPEG"), True),
    "clear WebP": (
        lambda: saved(Image.new("RGBA", (SIDE, SIDE)), "WEBP", lossless=True, method=0),
        True,
    ),
    # sizes that are only claimed
    "PNG of 2 billion squared": (
        lambda: png(width=2**31 - 1, height=2**31 - 1, data=zlib.compress(bytes(9))),
        False,
    ),
    "GIF of 65,535 squared": (
        lambda: (
            b"GIF89a"
            + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
            + b","
            + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
            + b"\x08\x01\x00\x00;"
        ),
        False,
    ),
    "GIF whose frame is larger than its screen": (
        lambda: (
            b"GIF89a"
            + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
            + b","
            + struct.pack("<HHHHB", 60_000, 60_000, 5_000, 5_000, 0)
            + b"\x08\x01\x00\x00;"
        ),
        False,
    ),
    "BMP of a billion rows": (
        lambda: (
            b"BM"
            + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 30_000, 2**30, 1, 24, 0, 0, 0, 0, 0, 0)
        ),
        False,
    ),
    "WebP of 16,384 squared": (
        lambda: (
            b"RIFF"
            + struct.pack("<I", 30)
            + b"WEBPVP8X"
            + struct.pack("<I", 10)
            + bytes([2, 0, 0, 0])
            + b"\xff\x3f\x00" * 2
            + bytes(8)
        ),
        False,
    ),
    "TIFF of 4 billion squared": (lambda: tiff(2**32 - 1, 2**32 - 1), False),
    "TIFF with a tile of 65,520 squared": (
        lambda: tiff(
            8,
            8,
            (259, 3, 1, 8),
            (322, 4, 1, 65_520),
            (323, 4, 1, 65_520),
            (324, 4, 1, 8),
            (325, 4, 1, 64),
        ),
        False,
    ),
    "TIFF with a strip of 4 gigabytes": (
        lambda: tiff(8, 8, (279, 4, 1, 2**32 - 1), (278, 4, 1, 2**32 - 1)),
        True,
    ),
    "JPEG of 65,535 squared": (
        lambda: jpeg((0xC0, struct.pack(">BHHBBBB", 8, 65_535, 65_535, 1, 1, 0x11, 0))),
        False,
    ),
    # what stands around the pixels
    "colour profile that unpacks to a gigabyte": (
        lambda: png(chunk(b"iCCP", b"x\0\0" + deflated(1_024))),
        False,
    ),
    "10,000 colour profiles": (lambda: png(chunk(b"iCCP", b"x\0\0" + deflated(1)) * 10_000), False),
    "text that unpacks to a gigabyte": (
        lambda: png(chunk(b"zTXt", b"x\0\0" + deflated(1_024))),
        False,
    ),
    "10,000 texts": (lambda: png(chunk(b"zTXt", b"x\0\0" + deflated(1)) * 10_000), False),
    "text that does not unpack": (lambda: png(chunk(b"zTXt", b"x\0\0" + bytes(100))), True),
    "1,700,000 empty chunks": (lambda: png(chunk(b"abCd", b"") * 1_700_000), False),
    "1,000,000 pieces of pixels": (
        lambda: (
            png(data=b"")[:-12]
            + chunk(b"IDAT", b"") * 1_000_000
            + chunk(b"IDAT", zlib.compress(bytes(9) * 8))
        ),
        False,
    ),
    "5,000,000 empty segments": (
        lambda: jpeg()[:2] + b"\xff\xfe\0\2" * 5_000_000 + jpeg()[2:],
        False,
    ),
    "300,000 passes": (many_scans, False),
    "EXIF of a JPEG whose entries share their bytes": (
        lambda: jpeg(
            *[
                (0xE1, b"Exif\0\0" + part)
                for part in [
                    shared_entries(65_535, 2_000_000)[start : start + 65_000]
                    for start in range(0, 2_000_000, 65_000)
                ]
            ]
        ),
        False,
    ),
    "EXIF of a PNG whose entries share their bytes": (
        lambda: png(chunk(b"eXIf", shared_entries(65_535, 2_000_000))),
        True,
    ),
    "EXIF of a WebP whose entries share their bytes": (
        lambda: webp_exif(shared_entries(65_535, 2_000_000)),
        True,
    ),
    "one segment of EXIF whose entries share their bytes": (
        lambda: jpeg((0xE1, b"Exif\0\0" + shared_entries(5_400, 65_000)[:65_500])),
        True,
    ),
    "TIFF whose entries share their bytes": (lambda: shared_entries(65_535, 10_000_000), False),
    "GIF of 78,000 comments": (
        lambda: (
            b"GIF89a"
            + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
            + (b"!\xfe\xff" + bytes([65]) * 255 + b"\0") * 78_000
            + b","
        ),
        False,
    ),
    # more pictures than one
    "GIF of 1,000 frames": (lambda: frames("GIF", 1_000, 16), True),
    "PNG of 1,000 frames": (lambda: frames("PNG", 1_000, 16), True),
    "WebP of 300 frames": (lambda: frames("WEBP", 300, 16), True),
    "TIFF of 500 pages": (lambda: frames("TIFF", 500, 16), True),
    "TIFF whose next page is this one": (lambda: tiff(8, 8) + struct.pack("<I", 72), True),
}


def main() -> None:
    """Open each under a limit of memory, in MB beyond what the program has.

    One line of JSON each: name, what came of it, seconds, MB at the peak.
    """
    from vlm.errors import VLMError
    from vlm.pipeline.image import open_image

    limit, *wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted or BOMBS:
            path = Path(folder) / "bomb"
            path.write_bytes(BOMBS[name][0]())
            had = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(
                resource.RLIMIT_AS, (had + int(limit) * MEBIBYTE, resource.RLIM_INFINITY)
            )
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
            before, start = memory("VmRSS"), time.process_time()
            try:
                came = list(open_image(path).size)
            except VLMError as error:
                came = str(error)
            took, peak = time.process_time() - start, memory("VmHWM") - before
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(
                json.dumps(
                    {
                        "name": name,
                        "bytes": path.stat().st_size,
                        "came": came,
                        "seconds": round(took, 2),
                        "megabytes": round(peak),
                    }
                ),
                flush=True,
            )


def memory(kind: str) -> float:
    """Of this process, in MB."""
    return next(
        int(line.split()[1]) / 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(kind)
    )


if __name__ == "__main__":
    main()
