"""X for the page: the photos of a question as one picture, and in words what happened to them on
the way to the language model.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

import vlm

from .board import is_tile

SHARE = 0.02  # of the largest side: the gap between two photos
STRETCHED = 0.02  # below, whole pixels are the reason
Box = tuple[float, float, float, float]  # top, left, bottom, right


def side_by_side(images: Sequence[Image.Image]) -> tuple[Image.Image, list[int]]:
    """The photos in one picture, and where each begins, in pixels from the left."""
    if len(images) == 1:
        return images[0], [0]
    gap = round(SHARE * max(max(image.size) for image in images))
    lefts = [sum(image.width + gap for image in images[:number]) for number in range(len(images))]
    together = Image.new(
        "RGB", (lefts[-1] + images[-1].width, max(image.height for image in images)), "white"
    )
    for image, left in zip(images, lefts, strict=True):
        together.paste(image, (left, 0))
    return together, lefts


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    edges = np.array(boxes, dtype=float)
    return (*edges[:, :2].min(0).tolist(), *edges[:, 2:].max(0).tolist())


def covered_part(patches: vlm.Patches, photo: int) -> Box:
    """The part of one photo that patches of any picture cover.

    It reaches beyond the photo where a margin was added.
    """
    return union(
        [patches.covered_box(picture) for picture in patches.pictures if picture.photo == photo]
    )


def at_the_edge(patches: vlm.Patches) -> np.ndarray:
    """Which patches lie at the edge of what was seen of their photo."""
    photos = np.array([picture.photo for picture in patches.pictures])[patches.places[:, 0]]
    outer = np.array([covered_part(patches, photo) for photo in range(photos.max() + 1)])[photos]
    return np.isclose(
        patches.boxes,
        outer,
        rtol=0,
        atol=1e-2 * (patches.boxes[:, 2:] - patches.boxes[:, :2]).min(),
    ).any(1)


def describe_preprocessing(encoded_image: vlm.EncodedImage, tokens: vlm.VisualTokens) -> str:
    """What happened to the photos before the model saw them, and how patches became tokens."""
    return " ".join(
        [
            *(
                describe_resizing(image, encoded_image.patches, photo, len(encoded_image.images))
                for photo, image in enumerate(encoded_image.images)
            ),
            describe_merging(encoded_image.patches, tokens),
        ]
    )


def describe_resizing(image: Image.Image, patches: vlm.Patches, photo: int, photos: int) -> str:
    """How one photo became pictures of patches."""
    pictures = [picture for picture in patches.pictures if picture.photo == photo]
    tiles, wholes = (
        [picture for picture in pictures if is_tile(picture) == tile] for tile in (True, False)
    )
    closest = (tiles or wholes)[0]
    top, left, bottom, right = union([picture.box for picture in tiles or wholes])
    vertical, horizontal = (
        closest.received.shape[0] / (closest.box[2] - closest.box[0]),
        closest.received.shape[1] / (closest.box[3] - closest.box[1]),
    )
    # of the photo, what is received, and what of that patches see
    height, width = photo_within((top, left, bottom, right), image)
    added = 1 - height * width / ((bottom - top) * (right - left))
    lost = 1 - math.prod(photo_within(covered_part(patches, photo), image)) / (
        image.height * image.width
    )
    stretch = vertical / horizontal

    said = [
        f"{'Your photo' if photos == 1 else f'Photo {photo + 1}'} of"
        f" {pixels(image.height, image.width)} pixels was scaled to"
        f" {pixels(height * vertical, width * horizontal)}"
    ]
    if abs(stretch - 1) > STRETCHED:
        said.append(
            f"which makes everything {max(stretch, 1 / stretch):.2f} times"
            f" {'taller' if stretch > 1 else 'wider'} than it is"
        )
    said.append(
        f"{100 * lost:.0f} % of it, the dark margins, was cut off"
        if lost > 0.001
        else "nothing was cut off"
    )
    if added > 0.001:
        said.append(
            "margins without photo were added up to"
            f" {pixels((bottom - top) * vertical, (right - left) * horizontal)}, {100 * added:.0f}"
            " % of that"
        )
    if tiles:
        down, across = (len({round(picture.box[side], 3) for picture in tiles}) for side in (0, 1))
        said.append(
            f"it was cut into {down} × {across} tiles of {pixels(*closest.received.shape[:2])}"
            " pixels"
        )
        said += [
            f"a small copy of the whole stands beside them, {pixels(*whole.received.shape[:2])}"
            for whole in wholes
        ]
    said += [describe_cutting(pictures, patches.size), describe_rest(pictures, patches.size)]
    return "; ".join(filter(None, said)) + "."


def photo_within(box: Box, image: Image.Image) -> tuple[float, float]:
    """Height and width of what a box holds of a photo."""
    top, left, bottom, right = box
    return min(bottom, image.height) - max(top, 0), min(right, image.width) - max(left, 0)


def describe_cutting(pictures: Sequence, size: int) -> str:
    """Pictures into patches."""
    of_pixels, count = (
        f"patches of {size} × {size} pixels",
        sum(picture.rows * picture.columns for picture in pictures),
    )
    grids = {(picture.rows, picture.columns) for picture in pictures}
    if len(grids) > 1:
        return f"then all was cut into {count:,} {of_pixels}"
    [(rows, columns)] = grids
    return (
        f"then {'each picture' if len(pictures) > 1 else 'it'} was cut into {rows} × {columns} ="
        f" {rows * columns:,} {of_pixels}"
    )


def describe_rest(pictures: Sequence, size: int) -> str | None:
    """Received pixels that fill no patch; None where every pixel lies in one."""
    rests = {
        (
            picture.received.shape[0] - picture.rows * size,
            picture.received.shape[1] - picture.columns * size,
        )
        for picture in pictures
    }
    if not any(map(sum, rests)):
        return None
    if len(rests) > 1:
        return (
            "the last pixels at the bottom and on the right of some fill no patch, so that the"
            " model does not see them"
        )
    [(below, beside)] = rests
    sides = [
        f"the last {f'{count} pixels' if count > 1 else 'pixel'} {where}"
        for count, where in ((below, "at the bottom"), (beside, "on the right"))
        if count
    ]
    return (
        f"{' and '.join(sides)}{' of each' if len(pictures) > 1 else ''} fill no patch, so that the"
        " model does not see them"
    )


def describe_merging(patches: vlm.Patches, tokens: vlm.VisualTokens) -> str:
    """How many patches make a token, in words with the numbers."""
    n, v = len(patches.places), len(tokens.sources)
    used = tokens.sources >= 0
    of_patches, counts = used.any(1), used.sum(1)
    told = []
    if of_patches.any():
        few, many = int(counts[of_patches].min()), int(counts[of_patches].max())
        if many == 1:
            told.append(
                f"Each patch becomes one visual token: V = N = {n:,}."
                if v == n
                else f"Each visual token is made of one patch: N = {n:,} patches, V = {v:,} tokens."
            )
        elif few == many:
            told.append(
                f"{square(patches, tokens, few)} patches merge into one visual token: N = {n:,}"
                f" patches, V = {v:,} tokens."
            )
        else:
            told.append(
                f"{few} to {many} patches merge into one visual token: N = {n:,} patches, V = {v:,}"
                " tokens."
            )
    left_out = n - len(np.unique(tokens.sources[used]))
    kinds = {kind: tokens.kinds.count(kind) for kind in ("newline", "query", "class")}
    if kinds["query"]:
        told.append(
            f"{kinds['query']:,} learned queries each read all {n:,} patches: V = {v:,} tokens,"
            " which have no place of their own in the photo."
        )
    elif left_out:
        told.append(f"{left_out:,} patches become no token.")
    if kinds["newline"]:
        told.append(
            f"{kinds['newline']:,} of the tokens are newlines, the same learned vector at the end"
            " of each row."
        )
    if kinds["class"]:
        told.append(
            f"{kinds['class']:,} of the tokens {'are' if kinds['class'] > 1 else 'is'} the"
            " encoder's own position for a whole picture (CLS)."
        )
    return " ".join(told)


def square(patches: vlm.Patches, tokens: vlm.VisualTokens, count: int) -> str:
    """Write "2 × 2" where the patches of each token form such a rectangle, else their number."""
    sources = tokens.sources[(tokens.sources >= 0).any(1)]
    places = patches.places[np.where(sources >= 0, sources, sources.max(1, keepdims=True))][..., 1:]
    sizes = {tuple(size) for size in (places.max(1) - places.min(1) + 1).tolist()}
    [(rows, columns), *others] = sorted(sizes)
    return f"{rows} × {columns}" if not others and rows * columns == count else f"{count}"


def pixels(height: float, width: float) -> str:
    """Width by height, as photos are spoken of."""
    return f"{width:.0f} × {height:.0f}"
