"""The photos that visitors bring, and the examples; nothing else on this machine can be opened."""

import functools
import hashlib
from pathlib import Path

from gradio.utils import get_upload_folder
from PIL import Image

import vlm

from .examples import FOLDER as EXAMPLES
from .recent import Budget, Recent

AT_MOST = 64  # photos that stay decoded


class Uploads:
    """The visitors' photos, each decoded once for all that is done with it."""

    def __init__(self, budget: Budget) -> None:
        # by file and its state: a run, the lab and the ledger ask for the same one within seconds
        self._decoded: Recent[Image.Image] = Recent(budget, size=AT_MOST)

    def clear(self) -> None:
        """Let go of every photo that is decoded."""
        self._decoded.clear()

    def open(self, path: str | None) -> Image.Image:
        """The photo a visitor uploaded (or one of our examples); whoever changes it changes a copy.

        Nothing else on this machine can be opened.

        Raises:
            vlm.ImageError: nothing was given, or it cannot be used.
        """
        if not path:
            raise vlm.ImageError(
                "There is no photo yet; upload one, paste one, or click an example."
            )
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
        return self._decoded.get(key, lambda: vlm.open_image(str(path), root=root))


def photo_digest(image: Image.Image) -> str:
    """A key for what the photo shows."""
    return hashlib.blake2b(f"{image.size}".encode() + image.tobytes(), digest_size=16).hexdigest()


def example_paths() -> list[str]:
    """The paths of the photos that come with the page."""
    return sorted(str(path) for path in EXAMPLES.glob("*.jpg"))


@functools.cache
def example_digests() -> dict[str, str]:
    """The names of the example photos, by what they show."""
    # not through `Uploads`: nobody asks for these pixels again
    return {
        photo_digest(vlm.open_image(path, root=EXAMPLES)): Path(path).name
        for path in example_paths()
    }
