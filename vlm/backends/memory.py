"""Will it fit? What a checkpoint needs, what is free, and where its weights therefore go."""

import gc
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import psutil
import torch

from vlm.backends.device import Placement, placement, placement_of
from vlm.errors import ModelError

# what runs beside the weights: activations, the cache of keys and values, the views' own arrays
MARGIN = 1.2
LEAST = 200_000_000  # bytes of it that even a small model takes
BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}
# bytes a parameter: half a byte and its scales, and embeddings and head as they were
FOUR_BIT = 0.7
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


@dataclass(frozen=True)
class Plan:
    """How a checkpoint is loaded.

    Attributes:
        where: device and number format.
        device_map: for transformers and accelerate: where layers go; None: all onto the one device.
        quantization: a configuration of bitsandbytes; None: as `where` says.
        bytes: what it is expected to take.
    """

    where: Placement
    device_map: str | dict | None
    quantization: Any
    bytes: int


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up a checkpoint.

    Raises:
        ModelError: there are none, or some are missing.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise ModelError(
            f"{str(folder)!r} has no weights as safetensors, the only kind that is opened; save it"
            " again with save_pretrained, or look for a copy that has them."
        )
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(
            f"The list of weights of {str(folder)!r} ({INDEX}) cannot be read; copy it again."
        ) from error
    missing = [
        name
        for name in names
        if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file()
    ]
    if missing:
        raise ModelError(
            f"{str(folder)!r} is half a download: {len(missing)} of its {len(names)} weight files"
            f" are missing ({missing[0]}, ...); fetch it again."
        )
    return [folder / name for name in names]


def tensors(path: Path) -> Iterator[tuple[str, int]]:
    """Number format and count of every tensor in a safetensors file, from its header alone.

    Raises:
        ModelError: the file is cut off or no safetensors file.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size, 100_000_000):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((entry["data_offsets"][1] for entry in entries), default=0)
        found = [(entry["dtype"], prod(entry["shape"])) for entry in entries]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelError(
            f"{str(path)!r} is not a safetensors file, or damaged; fetch it again."
        ) from error
    if size != 8 + length + end:
        raise ModelError(
            f"{str(path)!r} is half a download: it has {size:,} bytes of {8 + length + end:,};"
            " fetch it again."
        )
    yield from found


def parameters(folder: Path) -> int:
    """How many numbers a checkpoint holds; each of its weight files is whole.

    Raises:
        ModelError: a file is missing, cut off or of another kind.
    """
    return sum(count for path in weight_files(folder) for _, count in tensors(path))


def gigabytes(count: float) -> str:
    """Bytes for people, in units of 10^9."""
    return f"{count / 1e9:,.1f} GB" if count >= 5e7 else f"{count / 1e6:,.1f} MB"


def free_bytes(device: torch.device) -> int:
    """What is free where a model would go."""
    return (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else psutil.virtual_memory().available
    )


def all_bytes(device: torch.device) -> int:
    """What there is at all where a model would go, on all of its kind."""
    if device.type == "cuda":
        return sum(torch.cuda.mem_get_info(index)[1] for index in range(torch.cuda.device_count()))
    return psutil.virtual_memory().total


def needed(count: int, where: Placement, four_bit: bool) -> int:
    """Bytes that a model of `count` parameters takes while it runs."""
    return int(max(count * (FOUR_BIT if four_bit else where.dtype.itemsize) * MARGIN, LEAST))


def check_ever(name: str, count: int, four_bit: bool = False) -> None:
    """Refuse what this machine could not hold even if it held nothing else, before anything is
    fetched.

    Raises:
        ModelError: it could not.
    """
    where = placement_of(count)
    takes, there_is = needed(count, where, four_bit), all_bytes(where.device)
    if takes > there_is:
        raise ModelError(
            _too_large(
                name,
                takes,
                f"this machine has {gigabytes(there_is)} of {_kind(where.device)} in all",
                four_bit,
            )
        )


def plan(name: str, folder: Path, four_bit: bool = False) -> Plan:
    """Where the weights of a checkpoint go; checked against what is free now.

    Raises:
        ModelError: the files are not whole, there is too little memory, or 4-bit cannot be had
            here.
    """
    count = parameters(folder)
    where = placement_of(count)
    quantization = _four_bit(where) if four_bit else None
    takes, free = needed(count, where, four_bit), free_bytes(where.device)
    if takes <= free:
        return Plan(where, {"": where.device} if four_bit else None, quantization, takes)
    cards = torch.cuda.device_count() if where.device.type == "cuda" else 1
    together = (
        sum(free_bytes(torch.device("cuda", index)) for index in range(cards))
        if cards > 1
        else free
    )
    if cards > 1 and takes <= together:
        return Plan(where, "auto", quantization, takes)
    raise ModelError(
        _too_large(
            name, takes, f"{gigabytes(together)} of {_kind(where.device)} are free", four_bit
        )
    )


def release() -> None:
    """Give back what nothing refers to any more, on the CPU and on the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif placement().device.type == "mps":
        torch.mps.empty_cache()


def _kind(device: torch.device) -> str:
    return "GPU memory" if device.type == "cuda" else "memory"


def _too_large(name: str, takes: int, there_is: str, four_bit: bool) -> str:
    ways = "a smaller model" + ("" if four_bit or not torch.cuda.is_available() else ", 4-bit")
    return (
        f"{name!r} needs about {gigabytes(takes)} and {there_is}; choose {ways} or a machine with"
        " more memory."
    )


def _four_bit(where: Placement) -> Any:
    """What transformers needs to load weights in 4-bit.

    Raises:
        ModelError: this machine cannot.
    """
    if where.device.type != "cuda":
        raise ModelError(
            f"4-bit needs an NVIDIA GPU and this model would run on {where.device.type}; load it"
            " without 4-bit, or choose a smaller model."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "4-bit needs the package bitsandbytes, which is not installed; run 'pip install"
            " bitsandbytes', or load it without 4-bit."
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=where.dtype,
        bnb_4bit_use_double_quant=True,
    )
