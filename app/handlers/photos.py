"""The photos of a comparison, the examples that a visitor clicks, and a photo's size."""

import time
from collections.abc import Sequence

import gradio as gr
from PIL import Image

import vlm

from .. import examples
from ..backend import Backend
from ..checks import MAX_PHOTOS
from ..models import Choice
from ..uploads import Uploads, example_paths

# pixels of the photos of one comparison together; the longest side of those beyond
MAX_PIXELS, SMALLER = 160_000_000, 1024


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


def readable(uploads: Uploads, paths: Sequence[str]) -> tuple[list[Image.Image], list[str]]:
    """The photos that can be opened, and a sentence for each that cannot.

    Raises:
        vlm.ImageError: there are too many, or none can be opened.
    """
    check_count(paths)
    images, notes, pixels = [], [], 0
    for number, path in enumerate(paths, start=1):
        try:
            images.append(uploads.open(path))
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


def at_once(server: Backend, example: tuple, choice: Choice) -> tuple:
    """An example photo was clicked: its question and the run that is shown at once, if the model in
    use made one beforehand.
    """
    photo, question = examples.QUESTIONS[example[0]]
    if choice != server.models.first or photo not in [
        each.photo for each in server.precomputed.runs()
    ]:
        return gr.skip(), gr.skip()
    return question, {"photo": photo, "asked": time.time_ns()}  # a second click is news too


def photo_size(server: Backend, path: str | None) -> tuple[int, int]:
    """Width and height of the visitor's photo, for the ledger."""
    try:
        return server.uploads.open(path).size
    except vlm.VLMError:
        return gr.skip(), gr.skip()


def example_photos(server: Backend) -> list[str]:
    """The paths of the photos that come with the page."""
    return example_paths()
