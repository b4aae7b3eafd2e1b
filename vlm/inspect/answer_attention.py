"""What the words of an answer looked at: the attention of the positions that said them, by layer
and head, and its rollout.

A word is read from the position before it: the first one from the last position of the prompt, the
next from that of the word before. One pass of the language model over VT + TT and the answer gives
the queries and keys of every layer; weights are computed from them when they are asked for, so that
layers x heads x positions x positions are never held. Held are the queries and keys (layers x
(heads + key heads) x positions x size of a head: 27 MB for 296 positions of the embedded model in
float32, 0.7 GB for 3,000 of a 7B Qwen2-VL in bfloat16), and for the rollout one group of heads of
one layer at a time.

What was looked at need not have mattered: attention is what was read, not what was done with it
(Jain and Wallace, "Attention is not Explanation", 2019). `vlm.inspect.ablation` asks what mattered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vlm.backends import architecture, text_model
from vlm.backends.attention import Scoring, as_always, replace_attention, weights
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy
from vlm.errors import ModelError

ensure_torchvision()

from transformers import PreTrainedModel


@dataclass(frozen=True)
class Layer:
    """One attention of the language model as it was called: the number of its layer (1 is the
    first), whether it reads a picture beside the sequence, queries, keys (of the same positions, or
    of that picture), mask and how weights are made of them.
    """

    number: int
    crosses: bool
    query: Float[Tensor, "1 heads positions size"]
    key: Float[Tensor, "1 groups keys size"]
    mask: Tensor | None
    scoring: Scoring

    def row(self, position: int) -> Float[Tensor, "heads keys"]:
        """What one position reads; each head's row sums to 1, less what its sink takes."""
        mask, key = self.mask, self.key
        if mask is not None:
            mask = mask if mask.shape[-2] == 1 else mask[..., position : position + 1, :]
        elif self.scoring.is_causal:
            key = key[:, :, : position + 1]
        row = weights(self.query[:, :, position : position + 1], key, mask, self.scoring)[:, 0]
        return torch.nn.functional.pad(row, (0, self.key.shape[2] - row.shape[1]))

    def mean(self) -> Float[Tensor, "positions keys"]:
        """The mean of the heads, of all positions; a group of heads at a time."""
        heads, groups = self.query.shape[1], self.key.shape[1]
        total = torch.zeros(self.query.shape[2], self.key.shape[2], device=self.query.device)
        for group in range(groups):
            share = slice(group * heads // groups, (group + 1) * heads // groups)
            mask = (
                self.mask if self.mask is None or self.mask.shape[1] == 1 else self.mask[:, share]
            )
            total += weights(
                self.query[:, share],
                self.key[:, group : group + 1],
                mask,
                self.scoring.of_heads(share),
            ).sum(0)
        return total / heads


@dataclass(frozen=True)
class WordAttention:
    """Attributes:
    layers: every attention of the language model that reads visual tokens, the first one first.
    numbers: which of its layers each belongs to; 1 is the first. Some models have layers without
    attention.
    prompt: S, the positions before the answer.
    words: T, how many words of the answer there are.
    through: all its attentions, of which `layers` are some where the picture stands beside the
    sequence; the rollout goes through them.
    beside: what the encoder was given, of models that read the picture beside the sequence, by
    cross-attention: their rows are over visual tokens.
    """

    layers: tuple[Layer, ...]
    numbers: tuple[int, ...]
    prompt: int
    words: int
    through: tuple[Layer, ...]
    beside: Mapping[str, Tensor] | None = None

    def position(self, step: int) -> int:
        """The position from which a word was read.

        Raises:
            ModelError: there is no such word.
        """
        if not 0 <= step < self.words:
            raise ModelError(f"The answer has no word {step}; it has {self.words}, counted from 0.")
        return self.prompt - 1 + step

    @torch.inference_mode()
    def weights(
        self, step: int, hidden: tuple[int, ...] = ()
    ) -> Float[np.ndarray, "layers heads positions"]:
        """What one word was read from: one row a head over the positions before it, or over the
        visual tokens beside them. It sums to 1, less what the head's sink takes, if it has one.

        Args:
            hidden: positions (or visual tokens), such as sinks, that are taken out of every row.
        """
        position = self.position(step)
        rows = torch.stack([layer.row(position) for layer in self.layers])
        if self.beside is None:
            rows = rows[..., : position + 1]
        else:
            rows = architecture.weights_beside(rows.flatten(0, 1), self.beside).unflatten(
                0, rows.shape[:2]
            )
        sinks = np.array([layer.scoring.sinks is not None for layer in self.layers])
        return without(to_numpy(rows), hidden, sinks[:, None])

    @torch.inference_mode()
    def rollout(self, step: int) -> Float[np.ndarray, " positions"]:
        """What one word has read of every position by way of all layers: its row of the product of
        (mean of the heads + identity) / 2.

        Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020. The row sums to 1,
        less what sinks of heads took and what was read of places beside the sequence that hold no
        tile; positions that many read, such as the first one, gather most of it. After the
        positions come the visual tokens that stand beside the sequence, if they do: what layers of
        cross-attention read of them, by the same rule.

        Raises:
            ModelError: there is no such word.
        """
        position, device = self.position(step), self.through[-1].query.device
        row, picture = (
            torch.zeros(self.through[-1].query.shape[2], device=device),
            torch.zeros((), device=device),
        )
        row[position] = 1
        for layer in reversed(self.through):
            read = row @ layer.mean()
            if layer.crosses and self.beside is not None:
                row, picture = row / 2, picture + read / 2
            else:
                row = (row + read) / 2
        row = row[: position + 1]
        return to_numpy(
            row
            if self.beside is None
            else torch.cat([row, architecture.weights_beside(picture[None], self.beside)[0]])
        )


@torch.inference_mode()
def word_attention(
    network: PreTrainedModel,
    inputs: dict,
    prompt: int,
    words: int,
    beside: Mapping[str, Tensor] | None = None,
) -> WordAttention:
    """One pass of the language model.

    `inputs` are its arguments for VT + TT and all words of the answer but the last; `beside` as in
    `WordAttention`.
    """
    kept: list[Layer] = []
    crossing = architecture.crossing(network)

    def keep(module, query, key, value, attention_mask, **named):
        scoring = Scoring.of(module, named)
        crosses = module in crossing
        if crosses:  # a picture beside the sequence is there from the first position on
            scoring = replace(scoring, is_causal=False)
        kept.append(Layer(module.layer_idx + 1, crosses, query, key, attention_mask, scoring))
        return as_always(module, query, key, value, attention_mask, **named)

    with replace_attention(keep):
        text_model.language_trunk(network)(**inputs, use_cache=False)
    layers = tuple(layer for layer in kept if layer.crosses == (beside is not None))
    return WordAttention(
        layers,
        tuple(layer.number for layer in layers),
        prompt,
        words,
        tuple(kept),
        beside,
    )


def without(
    rows: Float[np.ndarray, "*layers positions"],
    positions: tuple[int, ...],
    sinks: Bool[np.ndarray, "..."] | bool = False,
) -> Float[np.ndarray, "*layers positions"]:
    """The rows as they would be if these positions could not be looked at: zero there, and the rest
    grows until the row sums to 1 again.

    For the row of one head this is its softmax without these keys; apply it before taking the mean
    of heads.

    Args:
        sinks: of which rows a part is missing, because it went to a sink; that grows too.
    """
    if not positions:
        return rows.copy()
    kept = rows.copy()
    kept[..., [position for position in positions if position < rows.shape[-1]]] = 0
    whole = kept.sum(-1) + np.where(sinks, (1 - rows.sum(-1)).clip(min=0), 0)
    return kept / np.maximum(whole, np.finfo(np.float32).tiny)[..., None]
