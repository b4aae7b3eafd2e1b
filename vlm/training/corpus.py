"""From data folders to what may be trained on and what is held out, with features at hand."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vlm.backends.towers import normalised
from vlm.embedded.assembly import FEATURE_LAYERS
from vlm.training import features as cached
from vlm.training.datasets import BadRow, Photo, dataset_folders, read_dataset
from vlm.training.features import VIEWS, Encoder, Features
from vlm.training.mixing import Entry
from vlm.training.objects import WordNet
from vlm.training.questions import facts
from vlm.training.splits import EVALUATION_ONLY, bucket, held_out

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """Photos that can be read, where each one's features lie (the untouched view first), and the
    keys that are held out.
    """

    photos: tuple[Photo, ...]
    places: dict[str, tuple[tuple[Features, int], ...]]
    held_out: frozenset[str]
    bad: tuple[BadRow, ...]

    def training(self) -> list[Photo]:
        """List the photos that may be trained on."""
        return [photo for photo in self.photos if photo.key not in self.held_out]

    def evaluation(self) -> list[Photo]:
        """List the photos that are held out."""
        return [photo for photo in self.photos if photo.key in self.held_out]

    def part(self, share: float) -> "Corpus":
        """With this share of the training photos, always the same ones; a larger share holds the
        smaller. The held-out photos stay.
        """
        kept = tuple(
            photo
            for photo in self.photos
            if photo.key in self.held_out or bucket("part " + photo.key) < share
        )
        return replace(self, photos=kept)

    def names(self) -> list[str]:
        """The data sets that are trained on."""
        return sorted({photo.dataset for photo in self.training()})

    def entries(self, wordnet: WordNet | None) -> list[Entry]:
        """The training photos with everything that may be asked about them.

        DAQUAR's official test questions are left out with `facts`.
        """
        labels: dict[str, set[str]] = {}
        for photo in self.training():
            if photo.label:
                labels.setdefault(photo.dataset, set()).add(photo.label)
        return [
            Entry(
                photo.key,
                self.places[photo.key],
                facts(photo, wordnet, sorted(labels.get(photo.dataset, ()))),
            )
            for photo in self.training()
        ]


def gather(
    paths: Sequence[Path],
    cache: Path,
    encoder: Callable[[], Encoder],
    views: Sequence[str] = (),
    progress=None,
) -> Corpus:
    """Read the data sets and their features.

    What the cache lacks is computed (the encoder is then loaded).

    The untouched photos are always computed; the other views are for training: those in `views` are
    computed, and what the cache already holds is used.
    """
    loaded: list[Encoder] = []

    def encode(images):
        if not loaded:
            loaded.append(encoder())
        return loaded[0](images)

    photos: list[Photo] = []
    bad: list[BadRow] = []
    places: dict[str, list[tuple[Features, int]]] = {}
    for folder in dataset_folders(paths):
        read, faults = read_dataset(folder)
        bad += faults
        for view in ("", *(view for view in VIEWS if view)):
            wanted = not view or (view in views and folder.name not in EVALUATION_ONLY)
            if not wanted and not cached.cache_path(cache, folder.name, view).exists():
                continue
            features, unreadable = cached.compute(folder, view, cache, encode, progress)
            bad += unreadable
            for index, name in enumerate(features.names):
                places.setdefault(f"{folder.name}/{name}", []).append((features, index))
        photos += [photo for photo in read if photo.key in places]
    keys = [photo.key for photo in photos]
    classes = torch.stack([places[key][0][0].class_token(places[key][0][1]) for key in keys])
    out = held_out(keys, normalised(classes, len(FEATURE_LAYERS)))
    tested = {
        photo.key for photo in photos if any(split == "test" for _, _, split in photo.questions)
    }
    log.info(
        "%d photos, %d held out, %d rows or files skipped", len(photos), len(out | tested), len(bad)
    )
    return Corpus(
        tuple(photos),
        {key: tuple(value) for key, value in places.items()},
        frozenset(out | tested),
        tuple(bad),
    )
