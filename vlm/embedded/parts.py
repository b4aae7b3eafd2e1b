"""Our trained parts of the embedded model on disk: where they lie, what identifies them, how deltas
are added to the weights they were trained beside.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from vlm.embedded.shipped import assets
from vlm.errors import ModelError

PARTS = assets() / "embedded"


def merge(
    state: dict[str, Tensor], parts: dict[str, Tensor], lora_scale: float, prefix: str = ""
) -> dict[str, Tensor]:
    """`state` with our deltas: W + lora_scale * B A for `NAME.lora_A`, `NAME.lora_B`, and whole
    tensors replaced by name.

    Added in float64: CPUs sum in orders of their own, and in float32 some weights would be rounded
    to another bfloat16 on another machine. Only parts whose name starts with `prefix` (and then,
    without it, names a weight of `state`) are used.

    Raises:
        KeyError: a part names no weight of `state`.
    """
    state = dict(state)
    for name, part in parts.items():
        if not name.startswith(prefix):
            continue
        target = name.removeprefix(prefix)
        if target.endswith(".lora_A"):
            target = target.removesuffix(".lora_A") + ".weight"
            delta = parts[name.replace(".lora_A", ".lora_B")].double() @ part.double()
            state[target] = (state[target] + lora_scale * delta).float()
        elif not target.endswith(".lora_B"):
            if target not in state:
                raise KeyError(target)
            state[target] = part.float()
    return state


def read_parts(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata (lora_scale, seed, data, ...) of one of our parts files."""
    with safe_open(path, "pt") as file:
        return load_file(path), file.metadata() or {}


def parts_version(name: str) -> str:
    """What identifies our parts of a checkpoint ("vlm" or "contrastive"): the SHA-256 of its parts
    file, with f_v's deltas behind it where there are any.
    """
    return _sha256([PARTS / f"{name}.safetensors", *encoder_parts()])


def encoder_version() -> str:
    """The SHA-256 of f_v's deltas, empty where there are none."""
    paths = encoder_parts()
    return _sha256(paths) if paths else ""


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def encoder_parts(folder: Path | None = None) -> list[Path]:
    """The files with f_v's deltas in a folder (ours where none is given), in order.

    There are none where f_v stays as it was published.
    """
    return sorted((folder or PARTS).glob("encoder-*.safetensors"))


def read_encoder_parts(paths: Sequence[Path]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """f_v's deltas and the metadata of their first file.

    Raises:
        ModelError: the files are not all of one run.
    """
    deltas: dict[str, Tensor] = {}
    first: dict[str, str] = {}
    for path in paths:
        tensors, metadata = read_parts(path)
        first = first or metadata
        deltas |= tensors
        if metadata != first or int(metadata["shards"]) != len(paths):
            raise ModelError(
                f"{path} is one of {metadata['shards']} files of a run, but {len(paths)} files"
                f" were found ({', '.join(path.name for path in paths)}). Bring all of one run."
            )
    return deltas, first
