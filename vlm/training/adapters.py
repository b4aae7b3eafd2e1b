"""Low-rank deltas on every linear layer of the vision encoder (LoRA, Hu et al. 2021,
arXiv:2106.09685), and the encoder's small vectors trained as they are.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlm.training.datasets import DataError

SCALE = 2.0  # W + SCALE * B A


class LowRank(nn.Module):
    """A frozen linear map with a trained low-rank delta beside it."""

    def __init__(self, linear: nn.Linear, rank: int):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.empty(rank, linear.in_features))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.normal_(self.lora_A, std=linear.in_features**-0.5)

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """Map inputs by the frozen weight plus the scaled low-rank delta."""
        low = nn.functional.linear(inputs, self.lora_A * SCALE)
        return self.linear(inputs) + nn.functional.linear(low, self.lora_B)


def add_adapters(vision: Any, rank: int, seed: int) -> None:
    """Freeze the encoder, but for a `LowRank` on every linear layer and for the vectors of its
    layers (biases, norms, layer scales).
    """
    vision.requires_grad_(False)
    torch.manual_seed(seed)
    linears = [
        (name, module)
        for name, module in vision.encoder.named_modules()
        if isinstance(module, nn.Linear)
    ]
    for name, linear in linears:
        parent, _, last = name.rpartition(".")
        setattr(vision.encoder.get_submodule(parent), last, LowRank(linear, rank))
    for parameter in vision.encoder.parameters():
        if parameter.ndim == 1:
            parameter.requires_grad_(True)


def trained(vision: nn.Module) -> dict[str, nn.Parameter]:
    """The trained parameters under the names that `vlm.embedded.assembly.merge` reads."""
    return {
        name.replace(".linear.", "."): parameter
        for name, parameter in vision.named_parameters()
        if parameter.requires_grad
    }


def adopt_deltas(vision: nn.Module, deltas: Mapping[str, Tensor], scale: float) -> None:
    """Put the deltas of a parts file, made with `scale`, into the adapters.

    Raises:
        DataError: they have another rank or other names.
    """
    parameters = trained(vision)
    for name, parameter in parameters.items():
        if name not in deltas or deltas[name].shape != parameter.shape:
            found = tuple(deltas[name].shape) if name in deltas else "missing"
            raise DataError(
                f"the deltas' {name} is {found}; this run needs {tuple(parameter.shape)}. Choose"
                " --rank to fit."
            )
    if unknown := set(deltas) - set(parameters):
        raise DataError(
            f"the deltas hold {len(unknown)} tensors that this run does not train, for example"
            f" {min(unknown)}."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            value = deltas[name].float()
            parameter.copy_(value * (scale / SCALE) if name.endswith(".lora_B") else value)
