"""What the language model is called with for a prompt and the beginning of an answer, all in one
pass.

Answers are decoded with a cache, word by word. Instruments that follow a word back through every
position want one pass without a cache. What the model's own forward told its language model about
the prompt (positions, masks, marks) is lengthened here for the words after it,
as its own decoding would have it: each reads all that stands before it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from vlm.backends import architecture


def continued(inputs: Mapping[str, Any], embeds: Float[Tensor, "1 new D"]) -> dict[str, Any]:
    """Extend g_phi's arguments, its prompt's `inputs`, by embeddings of `new` words after it."""
    length, new = inputs["inputs_embeds"].shape[1], embeds.shape[1]
    if not new:
        return dict(inputs)
    longer = {name: _longer(value, length, new) for name, value in inputs.items()}
    longer["inputs_embeds"] = torch.cat([inputs["inputs_embeds"], embeds], dim=1)
    for name, following in architecture.next_positions(inputs, 0, new).items():
        longer[name] = torch.cat([inputs[name], following], dim=-1)
    for name, following in architecture.next_masks(inputs, new).items():
        longer[name] = torch.cat([inputs[name], following], dim=2)
    return longer


def _longer(value, length: int, new: int):
    """A mask or mark of every position, for `new` more; anything else as it is."""
    if isinstance(value, Mapping):  # masks by kind of layer
        return {name: _longer(each, length, new) for name, each in value.items()}
    if not torch.is_tensor(value) or value.shape[-1] != length or value.is_complex():
        return value
    if value.ndim == 2:  # 1 for what may be read; marks of kinds are 0 for text
        return pad(value, (0, new), value=1 if bool((value == 1).all()) else 0)
    if value.ndim == 4 and value.shape[-2] == length:  # who may read whom
        visible, hidden = (
            (True, False) if value.dtype == torch.bool else (0.0, torch.finfo(value.dtype).min)
        )
        columns = torch.full(
            (*value.shape[:-1], new), hidden, dtype=value.dtype, device=value.device
        )
        rows = torch.full(
            (*value.shape[:-2], new, length + new), visible, dtype=value.dtype, device=value.device
        )
        later = torch.ones(new, length + new, dtype=torch.bool, device=value.device).triu(
            length + 1
        )
        width = int(
            (value[0, 0, -1] >= 0).sum() if value.dtype != torch.bool else value[0, 0, -1].sum()
        )
        if width < length:  # a sliding window: the prompt's last position does not see its first
            later |= torch.ones_like(later).tril(length - width)
        return torch.cat(
            [torch.cat([value, columns], dim=-1), rows.masked_fill(later, hidden)], dim=-2
        )
    return value
