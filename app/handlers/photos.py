"""The photos that visitors bring, and the examples; nothing else on this machine can be opened."""

import functools
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

import vlm

from .. import examples, models
from .errors import MAX_PHOTOS

# pixels of the photos of one comparison together; the longest side of those beyond
MAX_PIXELS, SMALLER = 160_000_000, 1024
EXAMPLES = examples.FOLDER
# by file and its state: a run, the lab and the ledger ask for the same one within seconds
decoded: models.Recent[Image.Image] = models.Recent(64)


def open_upload(path: str | None) -> Image.Image:
    """The photo a visitor uploaded (or one of our examples), decoded once for all that is done with
    it; whoever changes it changes a copy.

    Nothing else on this machine can be opened.

    Raises:
        vlm.ImageError: nothing was given, or it cannot be used.
    """
    if not path:
        raise vlm.ImageError("There is no photo yet; upload one, paste one, or click an example.")
    try:
        inside_examples = Path(str(path)).resolve().is_relative_to(EXAMPLES.resolve())
    # a null character, links in a circle, half a character
    except (OSError, RuntimeError, ValueError):
        inside_examples = False
    root = EXAMPLES if inside_examples else get_upload_folder()
    try:
        place = Path(str(path)).resolve()
        state = place.stat()
    except (OSError, RuntimeError, ValueError):  # the sentence for it is the library's
        return vlm.open_image(str(path), root=root)
    key = (place, state.st_ino, state.st_size, state.st_mtime_ns)
    return decoded.get(key, lambda: vlm.open_image(str(path), root=root))


def digest(image: Image.Image) -> str:
    """A key for what the photo shows."""
    return hashlib.blake2b(f"{image.size}".encode() + image.tobytes(), digest_size=16).hexdigest()


def example_photos() -> list[str]:
    """The paths of the photos that come with the page."""
    return sorted(str(path) for path in EXAMPLES.glob("*.jpg"))


@functools.cache
def example_digests() -> dict[str, str]:
    """The names of the example photos, by what they show."""
    # not through `decoded`: nobody asks for these pixels again
    return {
        digest(vlm.open_image(path, root=EXAMPLES)): Path(path).name for path in example_photos()
    }


def check_count(paths: Sequence[str]) -> None:
    """Refuse more photos than can be compared at once.

    Raises:
        vlm.ImageError: there are too many photos.
    """
    if len(paths) > MAX_PHOTOS:
        raise vlm.ImageError(
            f"There are {len(paths)} photos, at most {MAX_PHOTOS} can be compared at once; take"
            " some away."
        )


def readable(paths: Sequence[str]) -> tuple[list[Image.Image], list[str]]:
    """The photos that can be opened, and a sentence for each that cannot.

    Raises:
        vlm.ImageError: there are too many, or none can be opened.
    """
    check_count(paths)
    images, notes, pixels = [], [], 0
    for number, path in enumerate(paths, start=1):
        try:
            images.append(open_upload(path))
        except vlm.ImageError as error:
            notes.append(f"Photo {number} was left out. {error}")
            continue
        pixels += images[-1].width * images[-1].height
        if pixels > MAX_PIXELS:
            images[-1] = images[-1].copy()
            images[-1].thumbnail((SMALLER, SMALLER))
            notes.append(
                f"Photo {number} was scaled down to {images[-1].width} x {images[-1].height} pixels"
                " first: together the photos have too many."
            )
    if not images:
        raise vlm.ImageError(
            notes[0]
            if notes
            else "There is no photo to compare; upload one, paste one, or click an example."
        )
    return images, notes


def at_once(example: tuple, choice: models.Choice) -> tuple:
    """An example photo was clicked: its question and the run that is shown at once, if the model in
    use made one beforehand.
    """
    photo, question = examples.QUESTIONS[example[0]]
    if choice != models.START or photo not in [each.photo for each in examples.precomputed_runs()]:
        return gr.skip(), gr.skip()
    return question, {"photo": photo, "asked": time.time_ns()}  # a second click is news too


def photo_size(path: str | None) -> tuple[int, int]:
    """Width and height of the visitor's photo, for the ledger."""
    try:
        return open_upload(path).size
    except vlm.VLMError:
        return gr.skip(), gr.skip()
