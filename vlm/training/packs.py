"""What the encoder's training needs, in a few files that can travel to another machine: photos,
the teacher and the student's base weights.

Photos lie as WebP bytes, already squashed to the student's square. Files are cut into parts of less
than `PART_BYTES` (safetensors: nothing in them is run when they are read).
"""

import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vlm.embedded.assembly import IMAGE_SIDE, read_parts
from vlm.training.datasets import TABLES, DataError, read_dataset
from vlm.training.parts import save_parts
from vlm.training.splits import held_out, is_held_out

log = logging.getLogger(__name__)

PART_BYTES = 38_000_000
QUALITY = 70  # of the WebP files: 6 kB a photo
# a data set that the encoder is not trained on, so that its settings can be chosen with it
CHOICE = "sketchy_photos"
THUMBNAIL = 16  # pixels a side, compared to find near-duplicates
ALIKE = 0.97  # cosine of two centred thumbnails


@dataclass(frozen=True)
class Source:
    """A photo on disk: its key ("dataset/file name"), its class if it has one, and whether a
    table asks official test questions about it.
    """

    key: str
    path: Path
    label: str = ""
    tested: bool = False


@dataclass(frozen=True)
class PackedPhoto:
    """A photo ready to travel: WebP bytes of the squashed photo and its thumbnail."""

    source: Source
    file: bytes
    thumbnail: Float[np.ndarray, "values"]


@dataclass(frozen=True)
class Photos:
    """Photos in memory, still as WebP bytes."""

    keys: tuple[str, ...]
    labels: tuple[str, ...]
    files: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def pixels(self, indices: Sequence[int]) -> UInt8[Tensor, "B 3 H W"]:
        """Decode the photos of these indices: B x 3 x H x W, 0 to 255."""
        return torch.from_numpy(np.stack([decode(self.files[index]) for index in indices]))

    def all_pixels(self, threads: int = 16) -> UInt8[Tensor, "photos 3 H W"]:
        """Every photo decoded, by threads."""
        pixels = np.empty((len(self), 3, IMAGE_SIDE, IMAGE_SIDE), np.uint8)

        def fill(index: int) -> None:
            pixels[index] = decode(self.files[index])

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(fill, range(len(self))):
                pass
        return torch.from_numpy(pixels)


def decode(file: bytes) -> UInt8[np.ndarray, "3 H W"]:
    """Decode one image file to RGB pixels: 3 x H x W, 0 to 255."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def find_photos(paths: Iterable[Path]) -> list[Source]:
    """Every image file of the data sets among `paths` or directly inside them, labelled or not; of
    a folder that is none and holds none, every image file beneath it.
    """
    sources: list[Source] = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise DataError(f"{path} is not a folder. Give a folder of photos or of data sets.")
        folders = [
            folder for folder in (path, *sorted(path.iterdir())) if (folder / "images").is_dir()
        ]
        for folder in folders:
            read = {}
            if any((folder / table).is_file() for table in TABLES):
                read = {photo.name: photo for photo in read_dataset(folder)[0]}
            for file in sorted(file for file in (folder / "images").iterdir() if file.is_file()):
                photo = read.get(file.name)
                tested = photo and any(split == "test" for _, _, split in photo.questions)
                sources.append(
                    Source(
                        f"{folder.name}/{file.name}",
                        file,
                        (photo and photo.label) or "",
                        bool(tested),
                    )
                )
        if not folders:
            sources += [
                Source(f"{path.name}/{file.relative_to(path).as_posix()}", file)
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")
            ]
    return sources


def squash(source: Source) -> PackedPhoto | None:
    """Squash a photo as the student's processor does; None if it cannot be read."""
    try:
        with Image.open(source.path) as image:
            square = image.convert("RGB").resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        log.warning("skipped %s: %s", source.path, error)
        return None
    buffer = io.BytesIO()
    square.save(buffer, "WEBP", quality=QUALITY)
    thumbnail = square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return PackedPhoto(source, buffer.getvalue(), np.asarray(thumbnail, np.float32).ravel())


def split(packed: Sequence[PackedPhoto]) -> set[str]:
    """The keys that the encoder is not trained on: what the other stages hold out by a photo's own
    name, official test photos, the set that settings are chosen with, and near-duplicates of all.

    Near-duplicates are found by thumbnails, which no training of the encoder changes.
    """
    keys = [one.source.key for one in packed]
    thumbnails = torch.from_numpy(np.stack([one.thumbnail for one in packed]))
    thumbnails = thumbnails - thumbnails.mean(1, keepdim=True)
    tested = {one.source.key for one in packed if one.source.tested}
    chosen = {key for key in keys if key.split("/", 1)[0] == CHOICE}
    alone = {key for key in keys if is_held_out(key)} | tested | chosen
    return held_out(keys, thumbnails, threshold=ALIKE, evaluation_keys=alone) | alone


def save_photos(
    folder: Path, name: str, packed: Sequence[PackedPhoto], seed: int = 0
) -> list[Path]:
    """Write `NAME-00.safetensors` and on, in an order of chance, so that every part is a sample of
    the whole.
    """
    order = torch.randperm(len(packed), generator=torch.Generator().manual_seed(seed)).tolist()
    parts: list[list[PackedPhoto]] = [[]]
    used = 0
    for one in (packed[index] for index in order):
        if used + len(one.file) > PART_BYTES and parts[-1]:
            parts.append([])
            used = 0
        parts[-1].append(one)
        used += len(one.file)
    written = []
    for number, part in enumerate(parts):
        joined = np.frombuffer(b"".join(one.file for one in part), np.uint8).copy()
        ends = torch.tensor([len(one.file) for one in part]).cumsum(0)
        about = json.dumps([[one.source.key, one.source.label] for one in part])
        path = folder / f"{name}-{number:02d}.safetensors"
        save_parts(path, {"files": torch.from_numpy(joined), "ends": ends}, {"photos": about})
        written.append(path)
    return written


def load_photos(folder: Path, name: str) -> Photos:
    """The photos of every part that is there.

    Raises:
        DataError: there is none.
    """
    paths = sorted(folder.glob(f"{name}-*.safetensors"))
    if not paths:
        raise DataError(
            f"{folder} holds no {name}-00.safetensors. Make it with python -m vlm.training pack."
        )
    keys, labels, files = [], [], []
    for path in paths:
        tensors, metadata = read_parts(path)
        joined = tensors["files"].numpy().tobytes()
        start = 0
        for (key, label), end in zip(json.loads(metadata["photos"]), tensors["ends"].tolist()):
            keys.append(key)
            labels.append(label)
            files.append(joined[start:end])
            start = end
    return Photos(tuple(keys), tuple(labels), tuple(files))


def squash_all(sources: Sequence[Source], progress=None, threads: int = 2) -> Iterator[PackedPhoto]:
    """Every photo that can be read."""
    with ThreadPoolExecutor(threads) as pool:
        for done, one in enumerate(pool.map(squash, sources), start=1):
            if progress:
                progress(done, len(sources), "photos")
            if one:
                yield one
