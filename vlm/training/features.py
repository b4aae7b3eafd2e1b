"""The frozen encoder's output, computed once and kept on disk: X' of every photo, and what the two
training stages read from it.

One file a data set and view: `NAME[.VIEW].npy` (photos x (1 + N) x F, float16: the encoder's
FEATURE_LAYERS side by side, CLS first) and `NAME[.VIEW].txt` (file names, one a line). A view is a
fixed transformation that keeps the captions true.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vlm.backends.towers import normalised
from vlm.embedded.assembly import FEATURE_LAYERS
from vlm.training.datasets import BadRow

log = logging.getLogger(__name__)

VIEWS = ("", "flip", "crop")
Encoder = Callable[[list[Image.Image]], Float[Tensor, "photos positions width"]]


def view_of(image: Image.Image, view: str, name: str) -> Image.Image:
    """`image` itself, mirrored ("flip"), or cut to 70-92 % of each side at a place that the file
    name decides ("crop").
    """
    if "crop" in view:
        chance = np.random.RandomState(
            int(hashlib.sha1((view + name).encode()).hexdigest()[:8], 16)
        )
        width, height = image.size
        across, down = chance.uniform(0.7, 0.92, 2)
        left, top = chance.uniform(0, 1 - across) * width, chance.uniform(0, 1 - down) * height
        image = image.crop(
            (int(left), int(top), int(left + across * width), int(top + down * height))
        )
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if "flip" in view else image


@dataclass(frozen=True)
class Features:
    """Cached features of one data set and view, read from disk row by row."""

    dataset: str
    view: str
    names: tuple[str, ...]
    array: Float[np.ndarray, "photos positions width"]

    def row(self, index: int) -> Float[Tensor, "positions width"]:
        """Read one photo's features from disk: positions x width, float32."""
        return torch.from_numpy(np.array(self.array[index], dtype=np.float32))

    def class_token(self, index: int) -> Float[Tensor, "width"]:
        """Read the feature of one photo's CLS from disk: width, float32."""
        return torch.from_numpy(np.array(self.array[index, 0], dtype=np.float32))


def cache_path(cache: Path, dataset: str, view: str) -> Path:
    """Name the cache's file of one data set and view."""
    return cache / f"{dataset}{'.' + view if view else ''}.npy"


def compute(
    folder: Path, view: str, cache: Path, encode: Encoder, progress=None, size: int = 16
) -> tuple[Features, list[BadRow]]:
    """Features of every readable file of `folder/images`, from the cache where it has them.

    Unreadable images come back as bad rows.
    """
    path = cache_path(cache, folder.name, view)
    if path.exists():
        return load(cache, folder.name, view), []
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted(file for file in (folder / "images").iterdir() if file.is_file())
    names: list[str] = []
    rows: list[np.ndarray] = []
    bad: list[BadRow] = []
    for start in range(0, len(files), size):
        images = []
        for file in files[start : start + size]:
            try:
                with Image.open(file) as image:
                    images.append(view_of(image.convert("RGB"), view, file.name))
            except (
                OSError,
                ValueError,
                UnidentifiedImageError,
                Image.DecompressionBombError,
            ) as error:
                bad.append(BadRow(file, 0, f"unreadable image: {error}"))
                continue
            names.append(file.name)
        if images:
            rows.append(encode(images).to(torch.float16).cpu().numpy())
        if progress:
            progress(min(start + size, len(files)), len(files), f"{folder.name} {view}".strip())
    if not rows:
        raise ValueError(f"{folder} holds no image that can be read")
    temporary = path.with_suffix(".part.npy")
    np.save(temporary, np.concatenate(rows))
    path.with_suffix(".txt").write_text("\n".join(names))
    temporary.rename(path)  # a file that exists is whole
    return load(cache, folder.name, view), bad


def load(cache: Path, dataset: str, view: str = "") -> Features:
    """Open the cached features of one data set and view, the array mapped from disk."""
    path = cache_path(cache, dataset, view)
    return Features(
        dataset,
        view,
        tuple(path.with_suffix(".txt").read_text().split("\n")),
        np.load(path, mmap_mode="r"),
    )


def pool(features: Float[Tensor, "positions width"], side: int) -> Float[Tensor, "V width"]:
    """X' without CLS, averaged to side x side tokens: 256 -> 64 -> 16 for side 16, 8, 4.

    Raises:
        ValueError: the patch grid does not divide by `side`.
    """
    patches = features[1:]
    grid = round(len(patches) ** 0.5)
    if grid * grid != len(patches) or grid % side:
        raise ValueError(
            f"{len(patches)} patches cannot be averaged to {side} x {side}; allowed: divisors of"
            f" {grid}"
        )
    return reduce(
        patches, "(h a w b) f -> (h w) f", "mean", h=side, w=side, a=grid // side, b=grid // side
    )


def beside(
    left: Float[Tensor, "positions width"], right: Float[Tensor, "positions width"]
) -> Float[Tensor, "positions width"]:
    """Two photos side by side, as the encoder would roughly see them: each one's columns averaged
    in pairs. CLS is their mean.
    """
    grid = round((len(left) - 1) ** 0.5)
    halves = [
        reduce(one[1:], "(h w two) f -> h w f", "mean", h=grid, two=2) for one in (left, right)
    ]
    patches = rearrange(torch.cat(halves, dim=1), "h w f -> (h w) f")
    return torch.cat([(left[:1] + right[:1]) / 2, patches])


def summary(features: Float[Tensor, "positions width"]) -> Float[Tensor, "two_widths"]:
    """[CLS; mean of the patches], each layer normalised: what the contrastive image map reads
    (`vlm.backends.towers.ClassAndPatches`).
    """
    normed = normalised(features, len(FEATURE_LAYERS))
    return torch.cat([normed[0], normed[1:].mean(0)])


def mean_and_spread(
    rows: Iterable[Float[Tensor, "positions width"]],
) -> tuple[Float[Tensor, "width"], Float[Tensor, "width"]]:
    """Mean and standard deviation of the patch features over all given photos, in float64."""
    count, total, square = 0, 0.0, 0.0
    for features in rows:
        patches = features[1:].double()
        count, total, square = (
            count + len(patches),
            total + patches.sum(0),
            square + patches.square().sum(0),
        )
    mean = total / count
    return mean.float(), (square / count - mean.square()).clamp(min=1e-8).sqrt().float()


def encoder(vision, process: Callable[[Sequence[Image.Image]], Tensor]) -> Encoder:
    """The encode function of a transformers DINOv2: its FEATURE_LAYERS, before any norm, side by
    side.
    """

    @torch.inference_mode()
    def encode(images: list[Image.Image]) -> Tensor:
        pixel_values = process(images).to(vision.device, vision.dtype)
        layers = vision(pixel_values, output_hidden_states=True).hidden_states
        return torch.cat([layers[index] for index in FEATURE_LAYERS], dim=-1).float()

    return encode
