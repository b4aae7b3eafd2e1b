"""Lenses: what a vector inside the language model "says", read with the model's own vocabulary.

The embedding lens compares a vector with the input embeddings; the logit lens (nostalgebraist,
"interpreting GPT: the logit lens", 2020) puts the final norm and the head on the output of an
earlier layer. Neither is what the model does with the vector; both are windows that show little in
early layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlm import architecture
from vlm.compat import ensure_torchvision
from vlm.device import has_fast_bfloat16, to_numpy
from vlm.text_tokens import token_string

ensure_torchvision()

from transformers import PreTrainedModel  # noqa: E402

Reading = tuple[str, float]  # a vocabulary entry, and how strongly it is said
SPARE = 11  # more words than are asked for that are computed again
AT_ONCE = 64 * 2**20  # bytes of logits in float32 that a table holds at a time
# states and words at a time on a CPU: 4 MiB of logits, which stay in its cache while they are read
# three times
CACHED = 1024


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


def embedding_lens(
    model: PreTrainedModel, tokenizer, rows: Float[np.ndarray, "rows D"], count: int
) -> tuple[tuple[Reading, ...], ...]:
    """See `VisionLanguageModel.embedding_lens`.

    Goes through so many rows at a time that their cosines take 64 MiB.
    """
    table = model.get_input_embeddings().weight
    lengths = table.norm(dim=1).clamp(min=1e-6)
    given = torch.from_numpy(rows).to(table.device, table.dtype)
    parts = (given / given.norm(dim=1, keepdim=True).clamp(min=1e-6)).split(
        max(1, AT_ONCE // (4 * len(table)))
    )
    return tuple(
        reading
        for part in parts
        for reading in _readings(tokenizer, part @ table.T / lengths, count)
    )


def normed(
    model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"]
) -> Float[Tensor, "layers rows D"]:
    """What the head would read after each layer; the last layer's states come already normed."""
    states = torch.from_numpy(hidden).to(model.device, model.dtype)
    return torch.cat([architecture.final_norm(model)(states[:-1]), states[-1:]])


def table(
    model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], count: int
) -> LensTable:
    """See `VisionLanguageModel.lens_table`.

    Goes through states, and on a CPU through the vocabulary, in parts: at most 64 MiB of logits at
    a time, there what its cache holds.
    """
    output = model.get_output_embeddings()
    vocabulary, on_cpu = len(output.weight), output.weight.device.type == "cpu"
    plain = architecture.is_plain(model)
    quick = plain and on_cpu and output.weight.dtype == torch.float32 and has_fast_bfloat16()
    coarse = output.weight.bfloat16() if quick else None
    words = (
        [slice(start, start + CACHED) for start in range(0, vocabulary, CACHED)]
        if on_cpu
        else [slice(vocabulary)]
    )
    # all layers together: the vocabulary's matrix is read as seldom as can be
    states = normed(model, hidden).flatten(0, 1)
    parts = states.split(CACHED if on_cpu else max(1, AT_ONCE // (4 * vocabulary)))
    read = [
        (
            _exactly(model, part, words, count)
            if coarse is None
            else _nearly(part, words, output.weight, coarse, count)
        )
        for part in parts
    ]
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
    parts: Sequence[slice], logits_of: Callable[[slice], Float[Tensor, "rows words"]], count: int
) -> Read:
    """The largest logits, and the logarithm of the sum of e^logit, from parts of the vocabulary.

    Nothing of a part is kept beside them.
    """
    ids, values, totals = None, None, None
    for number, words in enumerate(parts):
        logits = logits_of(words).float()
        largest, at = logits.topk(min(count, logits.shape[1]))
        at += words.start or 0
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


def _exactly(
    model: PreTrainedModel, rows: Float[Tensor, "rows D"], parts: Sequence[slice], count: int
) -> Read:
    return _best(parts, lambda words: architecture.head(model, rows, words), count)


def _nearly(
    rows: Float[Tensor, "rows D"],
    parts: Sequence[slice],
    weight: Float[Tensor, "vocab D"],
    coarse: Tensor,
    count: int,
) -> Read:
    """The same in bfloat16, which some CPUs multiply several times faster, with the largest logits
    computed again in float32.

    The words that a table names are float32's unless one of them is not among the `count` + 11
    largest in bfloat16; the normaliser, where the small ones' errors cancel, is off by less than
    0.005 in 99 cells of 100, and by less than 0.02 in all that were compared.
    """
    narrow = rows.bfloat16()
    ids, rough, total = _best(parts, lambda words: narrow @ coarse[words].T, count + SPARE)
    exact = torch.einsum("rd,rkd->rk", rows, weight[ids])
    changed = ((exact - total[:, None]).exp() - (rough - total[:, None]).exp()).sum(-1)
    values, order = exact.topk(min(count, exact.shape[1]))
    return ids.gather(1, order), values, total + changed.log1p()


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
        to_numpy(architecture.head(model, normed(model, hidden), chosen))
        - table.normaliser[..., None]
    )


def logit_lens(
    model: PreTrainedModel, tokenizer, hidden: Float[np.ndarray, "layers D"], count: int
) -> tuple[tuple[Reading, ...], ...]:
    """See `VisionLanguageModel.logit_lens`."""
    rows = normed(model, hidden[:, None])[:, 0]
    return _readings(tokenizer, architecture.head(model, rows).float().softmax(-1), count)


def _readings(
    tokenizer, scores: Float[Tensor, "rows vocab"], count: int
) -> tuple[tuple[Reading, ...], ...]:
    values, ids = scores.float().topk(count)
    return tuple(
        tuple((token_string(tokenizer, word), value) for word, value in zip(*pair))
        for pair in zip(ids.tolist(), values.tolist())
    )
