"""PNGs and colour profiles written byte by byte, so that what they mean is known without a reader
of them.
"""

import struct
import zlib

import numpy as np

# columns: what a wider gamut than sRGB (Display P3) means by red, green and blue, in XYZ under D50
WIDE_GAMUT = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
WHITE = (0.9642, 1.0, 0.8249)  # D50


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(kind: int, depth: int, samples: np.ndarray, *more: bytes) -> bytes:
    """A PNG of one colour type and bit depth; `samples` is height x width (x channels), `more` the
    chunks before the pixels.
    """
    height, width = samples.shape[:2]
    lines = []
    for row in samples.reshape(height, -1):
        if depth == 16:
            lines.append(b"\0" + row.astype(">u2").tobytes())
        else:
            bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
            lines.append(b"\0" + np.packbits(bits.ravel()).tobytes())
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *more,
            chunk(b"IDAT", zlib.compress(b"".join(lines))),
            chunk(b"IEND", b""),
        ]
    )


def profile(space: bytes, between: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 2) of tags as they are."""
    table, data, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", place + len(data), len(content))
        data += content
    size = place + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", space, between)
    date = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    head += date + b"acsp" + b"\0" * 28 + struct.pack(">I", 0) + _numbers(WHITE)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _numbers(values) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _place(values) -> bytes:
    return b"XYZ \0\0\0\0" + _numbers(values)


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: np.ndarray, gamma: float) -> bytes:
    """Of a screen with these primaries whose light is the power `gamma` of its numbers."""
    tags = {b"wtpt": _place(WHITE)}
    for name, column in zip((b"r", b"g", b"b"), primaries.T):
        tags |= {name + b"XYZ": _place(column), name + b"TRC": _curve(gamma)}
    return profile(b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", b"XYZ ", {b"wtpt": _place(WHITE), b"kTRC": _curve(gamma)})


def ink_profile(lightness: list[int]) -> bytes:
    """Of a press whose 16 mixtures of no or all of four inks are these greys, 0 to 255 of L*."""
    ramp, grid = bytes(range(256)), b"".join(bytes([each, 128, 128]) for each in lightness)
    one = _numbers(np.eye(3).ravel())
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + one + ramp * 4 + grid + ramp * 3
    return profile(b"CMYK", b"Lab ", {b"wtpt": _place(WHITE), b"A2B0": table})


def encoded(light: np.ndarray) -> np.ndarray:
    """Light from 0 to 1 as numbers of sRGB, 0 to 255."""
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
