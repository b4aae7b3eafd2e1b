"""Patches and visual tokens as other families lay them out, made by hand: tiles, merging, row ends,
queries.
"""

import numpy as np
from PIL import Image

import vlm
from vlm.records.patches import Picture, patchify, place_boxes, raster_places
from vlm.records.visual_tokens import BREAK, PATCH, QUERY, boxes_around

SIZE = 2  # pixels of a patch
WIDTH = 6  # of a visual token


def shown(
    image: Image.Image, name: str, number: int, box: tuple, rows: int, columns: int, rest=(0, 0)
) -> Picture:
    """The part `box` of a photo, as rows x columns patches, `rest` pixels beyond them."""
    top, left, bottom, right = box
    part = image.crop((left, top, right, bottom)).resize(
        (columns * SIZE + rest[1], rows * SIZE + rest[0]), Image.Resampling.BOX
    )
    return Picture(name, number, np.array(part), tuple(map(float, box)), rows, columns)


def whole(image: Image.Image, rows: int, columns: int, number: int = 0) -> Picture:
    return shown(image, "whole photo", number, (0, 0, image.height, image.width), rows, columns)


def tiles(
    image: Image.Image, down: int, across: int, rows: int, columns: int, number: int = 0
) -> list[Picture]:
    """The photo in down x across tiles."""
    height, width = image.height // down, image.width // across
    corners = [(i * height, j * width) for i in range(down) for j in range(across)]
    names = [f"tile {i + 1}, {j + 1}" for i in range(down) for j in range(across)]
    return [
        shown(image, name, number, (top, left, top + height, left + width), rows, columns)
        for name, (top, left) in zip(names, corners, strict=True)
    ]


def patches(*pictures: Picture) -> vlm.Patches:
    """Picture by picture, in raster order."""
    places = raster_places(pictures)
    pixels = np.concatenate(
        [patchify(each.received.transpose(2, 0, 1) / 255, SIZE) for each in pictures]
    )
    return vlm.Patches(
        pixels.astype(np.float32),
        place_boxes(pictures, places, SIZE).astype(np.float32),
        places,
        tuple(pictures),
        SIZE,
    )


def rows_of(of: vlm.Patches, merge: int) -> list[list[list[int]]]:
    """The patches of each token, row by row.

    A row runs through all tiles that stand beside each other.
    """
    numbers = {tuple(place): number for number, place in enumerate(of.places.tolist())}
    lines: dict[tuple, list[int]] = {}
    for number, each in enumerate(of.pictures):
        lines.setdefault((each.photo, not each.name.startswith("tile"), each.box[0]), []).append(
            number
        )
    return [
        [
            [numbers[picture, row + i, column + j] for i in range(merge) for j in range(merge)]
            for picture in line
            for column in range(0, of.pictures[picture].columns, merge)
        ]
        for _, line in sorted(lines.items())
        for row in range(0, of.pictures[line[0]].rows, merge)
    ]


def tokens(
    of: vlm.Patches, merge: int = 1, row_ends: bool = False, queries: int = 0
) -> vlm.VisualTokens:
    """Squares of merge x merge patches.

    With a token at the end of each row, or queries instead of all of them.
    """
    none = [-1] * merge**2
    sources, kinds = [none] * queries, [QUERY] * queries
    for row in [] if queries else rows_of(of, merge):
        sources += row + [none] * row_ends
        kinds += [PATCH] * len(row) + [BREAK] * row_ends
    sources = np.array(sources)
    photos = np.array([of.pictures[place].photo for place in of.places[sources.max(1), 0]])
    photos[sources.max(1) < 0] = 0
    embeddings = np.random.default_rng(0).normal(size=(len(sources), WIDTH)).astype(np.float32)
    return vlm.VisualTokens(
        embeddings,
        boxes_around(of.boxes, sources).astype(np.float32),
        sources,
        tuple(kinds),
        photos,
    )


LAYERS = 3


def run(
    of: vlm.Patches,
    made: vlm.VisualTokens,
    images: list[Image.Image],
    sequence: bool = True,
    **others,
) -> vlm.Trace:
    """A run with these patches and tokens, the rest drawn by chance.

    Args:
        sequence: the tokens stand in the sequence after two words; else beside it.
        others: fields of `vlm.EncodedImage` in place of those of an encoder with learned positions.
    """
    chance, n, v = np.random.default_rng(1), len(of.places), len(made.sources)
    features = chance.normal(size=(LAYERS + 1, n, 8)).astype(np.float32)
    encoder = dict(
        projections=features[0],
        position_embeddings=features[1],
        rotation=None,
        patch_features=features,
        prefix_features=features[:, : len(of.pictures)],
        output_layers=(LAYERS,),
    )
    kept = dict(inputs={}, kept=None, processed={}, question="", input_ids=())
    encoded_image = vlm.EncodedImage(
        **encoder | kept | others,
        images=tuple(images),
        patches=of,
        encoder_output=features[-1],
        visual_tokens=made,
        stages=(),
    )
    before, after = ("user", ":"), ("What", "?")
    places = np.arange(v) + len(before) if sequence else None
    count = v if sequence else 0
    positions = np.array([0, 1, count + 2, count + 3])
    text = vlm.TextTokens(
        np.arange(4), before + after, chance.normal(size=(4, WIDTH)).astype(np.float32), positions
    )
    fused = np.zeros((count + 4, WIDTH), np.float32)
    roles = ("template", "template", *["visual"] * count, "question", "question")
    tokens_ = vlm.VisualTokens(
        made.embeddings, made.boxes, made.sources, made.kinds, made.photos, places
    )
    return vlm.Trace(
        encoded_image,
        "What?",
        "user: What?",
        tokens_,
        text,
        np.arange(count + 4),
        fused,
        roles,
        (),
        (),
        {},
    )
