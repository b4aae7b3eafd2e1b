"""Lenses: what a vector inside the language model "says", read with the model's own vocabulary.

The embedding lens compares a vector with the input embeddings; the logit lens (nostalgebraist,
"interpreting GPT: the logit lens", 2020) puts the final norm and the head on the output of an
earlier layer. Neither is what the model does with the vector; both are windows that show little in
early layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlm.backends import text_model
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy
from vlm.records.text_tokens import token_string

ensure_torchvision()

from transformers import PreTrainedModel

Reading = tuple[str, float]  # a vocabulary entry, and how strongly it is said
SHORT = 1e-6  # a length that counts as one where a vector is zero


@dataclass(frozen=True)
class LensTable:
    """The logit lens of many positions at every layer.

    Attributes:
        token_ids: the most probable vocabulary entries, best first.
        probabilities: theirs.
        normaliser: log of the sum of e^logit over the vocabulary: e^(a word's logit - this) is the
            word's probability.
    """

    token_ids: Int[np.ndarray, "layers rows count"]
    probabilities: Float[np.ndarray, "layers rows count"]
    normaliser: Float[np.ndarray, "layers rows"]


@torch.inference_mode()
def embedding_lens(
    model: PreTrainedModel, tokenizer, rows: Float[np.ndarray, "rows D"], count: int
) -> tuple[tuple[Reading, ...], ...]:
    """For each row the `count` vocabulary entries whose input embedding points most nearly the same
    way, each with its cosine.

    Goes through so many rows at a time that their cosines take 64 MiB.
    """
    table = model.get_input_embeddings().weight
    given = torch.from_numpy(rows).to(table.device)
    parts = torch.nn.functional.normalize(given, dim=1, eps=SHORT).split(
        max(1, text_model.AT_ONCE // (4 * len(table)))
    )
    return tuple(
        reading for part in parts for reading in _readings(tokenizer, _cosines(part, table), count)
    )


def _cosines(
    rows: Float[Tensor, "rows D"], table: Float[Tensor, "vocab D"]
) -> Float[Tensor, "rows vocab"]:
    """Of rows of length 1 with every row of a table, in float32 whatever the table's format."""
    return torch.cat(
        [
            rows @ torch.nn.functional.normalize(table[words].float(), dim=1, eps=SHORT).T
            for words in text_model.word_parts(table)
        ],
        1,
    )


def normed(
    model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"]
) -> Float[Tensor, "layers rows D"]:
    """What the head would read after each layer; the last layer's states come already normed."""
    states = torch.from_numpy(hidden).to(model.device, model.dtype)
    return torch.cat([text_model.final_norm(model)(states[:-1]), states[-1:]])


@torch.inference_mode()
def table(
    model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], count: int
) -> LensTable:
    """The logit lens of many positions at every layer: the most probable words, and what turns any
    word's logit into its probability.

    What it gives takes layers x rows x (2 count + 1) numbers. Goes through states, and where
    `text_model.word_parts` says so through the vocabulary, in parts: at most 64 MiB of logits
    at a time, on a CPU what its cache holds.
    """
    weight = model.get_output_embeddings().weight
    words = text_model.word_parts(weight)
    # all layers together: the vocabulary's matrix is read as seldom as can be
    states = normed(model, hidden).flatten(0, 1)
    parts = states.split(
        text_model.CACHED
        if weight.device.type == "cpu"
        else max(1, text_model.AT_ONCE // (4 * (words[0].stop - words[0].start)))
    )
    read = [_best(model, part, words, count) for part in parts]
    ids, values, totals = (torch.cat(columns) for columns in zip(*read))
    shape = hidden.shape[:2]
    return LensTable(
        *(
            to_numpy(rows).reshape(*shape, *rows.shape[1:])
            for rows in (ids, (values - totals[:, None]).exp(), totals)
        )
    )


# words, their logits, the normaliser
Read = tuple[Int[Tensor, "rows count"], Float[Tensor, "rows count"], Float[Tensor, " rows"]]


def _best(
    model: PreTrainedModel, rows: Float[Tensor, "rows D"], parts: Sequence[slice], count: int
) -> Read:
    """The largest logits, and the logarithm of the sum of e^logit, from parts of the vocabulary.

    Nothing of a part is kept beside them.
    """
    ids, values, totals = None, None, None
    for number, words in enumerate(parts):
        logits = text_model.head(model, rows, words)
        largest, at = logits.topk(min(count, logits.shape[1]))
        at += words.start
        if values is None:
            ids, values, totals = (
                at,
                largest,
                torch.empty(len(parts), len(logits), device=logits.device),
            )
        else:
            values, order = torch.cat([values, largest], 1).topk(
                min(count, values.shape[1] + largest.shape[1])
            )
            ids = torch.cat([ids, at], 1).gather(1, order)
        totals[number] = logits.sub_(largest[:, :1]).exp_().sum(-1).log_() + largest[:, 0]
    return ids, values, totals.logsumexp(0)


@torch.inference_mode()
def word_probabilities(
    model: PreTrainedModel,
    hidden: Float[np.ndarray, "layers rows D"],
    table: LensTable,
    token_ids: Sequence[int],
) -> Float[np.ndarray, "layers rows words"]:
    """The probability of some vocabulary entries at every position and layer of a table: as many
    products as there are entries, not vocabulary.
    """
    chosen = torch.tensor(list(token_ids), device=model.device)
    return np.exp(
        to_numpy(text_model.head(model, normed(model, hidden), chosen))
        - table.normaliser[..., None]
    )


@torch.inference_mode()
def logit_lens(
    model: PreTrainedModel, tokenizer, hidden: Float[np.ndarray, "layers D"], count: int
) -> tuple[tuple[Reading, ...], ...]:
    """What one position "says" at every layer: the most probable next tokens if the language model
    stopped there.
    """
    rows = normed(model, hidden[:, None])[:, 0]
    return _readings(tokenizer, text_model.head(model, rows).softmax(-1), count)


def _readings(
    tokenizer, scores: Float[Tensor, "rows vocab"], count: int
) -> tuple[tuple[Reading, ...], ...]:
    values, ids = scores.topk(count)
    return tuple(
        tuple((token_string(tokenizer, word), value) for word, value in zip(*pair))
        for pair in zip(ids.tolist(), values.tolist())
    )
