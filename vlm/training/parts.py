"""The files that training hands over: tensors under the names the assembly reads, and where they
came from as metadata.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vlm.embedded.assembly import read_parts

__all__ = ["fold", "provenance", "read_parts", "save_parts", "unfold"]


def provenance(
    command: str, seed: int, data: list[str], samples: int, **more: str
) -> dict[str, str]:
    """The metadata every parts file carries; all values are strings, as safetensors asks."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "command": command,
        "seed": str(seed),
        "data": " ".join(data),
        "samples_seen": str(samples),
        "date": today,
        **more,
    }


def save_parts(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        temporary,
        dict(metadata),
    )
    temporary.replace(path)


def fold(connector: nn.Sequential, mean: Tensor, spread: Tensor) -> dict[str, Tensor]:
    """The connector Linear -> GELU -> Linear, trained on (x - mean) / spread, as one that reads x
    itself; its matrices in float16.
    """
    first, second = connector[0], connector[2]
    # the bias must fit the matrix that travels
    weight = (first.weight.detach() / spread).half().float()
    return {
        "connector.linear_1.weight": weight.half(),
        "connector.linear_1.bias": first.bias.detach() - weight @ mean,
        "connector.linear_2.weight": second.weight.detach().half(),
        "connector.linear_2.bias": second.bias.detach().clone(),
    }


def unfold(parts: Mapping[str, Tensor], mean: Tensor, spread: Tensor) -> nn.Sequential:
    """The inverse of `fold`: a connector for normalised features out of a parts file."""
    weight = parts["connector.linear_1.weight"].float()
    hidden, width = weight.shape
    connector = nn.Sequential(
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Linear(hidden, parts["connector.linear_2.weight"].shape[0]),
    )
    with torch.no_grad():
        connector[0].weight.copy_(weight * spread)
        connector[0].bias.copy_(parts["connector.linear_1.bias"].float() + weight @ mean)
        connector[2].weight.copy_(parts["connector.linear_2.weight"])
        connector[2].bias.copy_(parts["connector.linear_2.bias"])
    return connector
