"""Instant examples: photos with questions whose runs were computed beforehand and lie in
`assets/examples`, so that the page is alive before any model is.

What is kept of a run is what the page was told about it, word for word: the builder (`python -m
app.build_examples`) asks the page's own handlers. An index says which weights and library versions
made the runs; runs of other weights than those in use are not shown. Whatever the page asks Python
about such a run beyond what is kept, the model computes anew: see `runs`.
"""

import functools
import gzip
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import vlm

from .settings import Settings

FOLDER = vlm.assets() / "examples"  # where they lie, beside the photos
PARTS = vlm.assets() / "embedded" / "vlm.safetensors"
CONTRASTIVE_PARTS = PARTS.with_name("contrastive.safetensors")
INDEX, OPENING = "instant.json", "opening.gz"
# what the page's controls begin with
LAYOUT, SETTINGS = ("pca", 2, 0, 15, "cosine"), (0, 0, 1, 1, 0, 32)
# raise it when the page is told of a run in another way: then the runs have to be made anew
FORMAT = 1

# Photo and question, in the order of the page; the first is what a visitor sees on arrival.
QUESTIONS = (
    ("chelsea.jpg", "What is in this image?"),
    ("coffee.jpg", "What is this?"),
    ("astronaut.jpg", "Describe the image."),
    ("china.jpg", "What is in this image?"),
    ("flower.jpg", "What colour is it?"),
    ("rocket.jpg", "Is there a rocket in the image?"),
)

# What the photos are compared with on arrival, one line a photo.
LINES = "a photo of a cat\na cup of coffee\nan astronaut\na temple\na flower\na rocket"


@dataclass(frozen=True)
class PrecomputedRun:
    """A run that was computed beforehand.

    Attributes:
        photo, question: what was asked, greedily and with the settings that the page begins with.
        file: the gzipped JSON beside the photo that holds what the page was told.
        run, answer: the keys under which the page asks about it.
    """

    photo: str
    question: str
    file: str
    run: str
    answer: str


@functools.cache
def sha256_of(path: Path) -> str:
    """Of a parts file, with the vision encoder's deltas behind it where they lie beside it."""
    digest = hashlib.sha256(path.read_bytes())
    for deltas in sorted(path.parent.glob("encoder-*.safetensors")):
        digest.update(deltas.read_bytes())
    return digest.hexdigest()


class Precomputed:
    """The runs that came with a page, and what its lab and its ledger begin with.

    Attributes:
        folder: where they lie.
    """

    def __init__(self, settings: Settings, folder: Path = FOLDER) -> None:
        self.folder = folder
        self._settings = settings

    def weights(self) -> str | None:
        """The SHA-256 of the parts of the model that the page starts with.

        None if that is not the embedded one.
        """
        return sha256_of(PARTS) if self._settings.model == "embedded" else None

    def index(self) -> dict:
        """What was kept, and of which weights.

        Empty where nothing was, or in a format of another version.
        """
        path = self.folder / INDEX
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return kept if kept.get("format") == FORMAT else {}

    def runs(self) -> tuple[PrecomputedRun, ...]:
        """The runs that belong to the model in use."""
        kept = self.index()
        return (
            tuple(PrecomputedRun(**run) for run in kept["runs"])
            if kept and kept["weights"] == self.weights()
            else ()
        )

    @functools.cached_property
    def opening(self) -> dict:
        """What the contrastive lab and the token ledger show on arrival: {similarity, ledger};
        empty where other weights made it, or are in use.
        """
        path = self.folder / OPENING
        if self._settings.contrastive != "embedded" or not path.exists():
            return {}
        kept = json.loads(gzip.decompress(path.read_bytes()))
        return kept if kept["weights"] == sha256_of(CONTRASTIVE_PARTS) else {}

    def describe_to_page(self) -> dict:
        """What the page is told of them: where they lie, when and by what they were made, and what
        there is.
        """
        kept = self.index()
        return {
            "folder": f"gradio_api/file={self.folder.as_posix()}/",
            "made": kept.get("made"),
            "versions": kept.get("versions"),
            "runs": [asdict(run) for run in self.runs()],
        }

    def find(self, key: object) -> PrecomputedRun | None:
        """The run with this key, or the one whose answer has it."""
        return next((each for each in self.runs() if key in (each.run, each.answer)), None)
