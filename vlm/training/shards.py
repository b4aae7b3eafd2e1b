"""Tensors on disk in several safetensors files, each small enough for a repository (the encoder's
deltas) or for a journey.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vlm.embedded.parts import encoder_parts, read_encoder_parts
from vlm.training.datasets import DataError
from vlm.training.parts import save_parts

SHARD_BYTES = 9_500_000


def save_shards(
    folder: Path,
    stem: str,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    limit: int = SHARD_BYTES,
) -> None:
    """Write `STEM-00.safetensors` and on, each of about `limit` bytes at most; files of an earlier
    run that are left over go.
    """
    pairs: dict[str, dict[str, Tensor]] = {}  # both halves of a delta go into one shard
    for name, tensor in tensors.items():
        pairs.setdefault(name.removesuffix(".lora_A").removesuffix(".lora_B"), {})[name] = tensor
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for pair in pairs.values():
        size = sum(tensor.nbytes for tensor in pair.values())
        if used + size > limit and shards[-1]:
            shards.append({})
            used = 0
        shards[-1] |= pair
        used += size
    metadata = {**metadata, "shards": str(len(shards))}
    for number, shard in enumerate(shards):
        save_parts(folder / f"{stem}-{number:02d}.safetensors", shard, metadata)
    for path in sorted(folder.glob(f"{stem}-*.safetensors"))[len(shards) :]:
        path.unlink()


def find_deltas(folder: Path) -> list[Path]:
    """The files of the encoder's deltas in a folder.

    Raises:
        DataError: there are none.
    """
    paths = encoder_parts(folder)
    if not paths:
        raise DataError(
            f"{folder} holds no encoder-00.safetensors. Give the --out of a run of encoder."
        )
    return paths


def load_deltas(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The encoder's deltas in a folder and what their files say of themselves.

    Raises:
        DataError: there are none.
    """
    return read_encoder_parts(find_deltas(folder))
