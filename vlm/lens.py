"""Lenses: what a vector inside the language model "says", read with the model's own vocabulary.

The embedding lens compares a vector with the input embeddings; the logit lens (nostalgebraist, "interpreting GPT: the logit lens",
2020) puts the final norm and the head on the output of an earlier layer. Neither is what the model does with the vector; both are
windows that show little in early layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlm import architecture
from vlm.compat import ensure_torchvision
from vlm.device import has_fast_bfloat16, to_numpy
from vlm.errors import QuestionError
from vlm.text_tokens import check_characters, token_string

ensure_torchvision()

from transformers import PreTrainedModel  # noqa: E402

Reading = tuple[str, float]  # a vocabulary entry, and how strongly it is said
SHORTEST = 4  # letters of a piece of a word that says something alone
SPARE = 11  # more words than are asked for that are computed again
AT_ONCE = 64 * 2**20  # bytes of logits in float32 that a table holds at a time


@dataclass(frozen=True)
class LensTable:
    """The logit lens of many positions at every layer.

    Attributes:
        token_ids: the most probable vocabulary entries, best first.
        probabilities: theirs.
        normaliser: log of the sum of e^logit over the vocabulary: e^(a word's logit - this) is the word's probability.
    """

    token_ids: Int[np.ndarray, "layers rows count"]
    probabilities: Float[np.ndarray, "layers rows count"]
    normaliser: Float[np.ndarray, "layers rows"]


def embedding_lens(model: PreTrainedModel, tokenizer, rows: Float[np.ndarray, "rows D"], count: int) -> tuple[tuple[Reading, ...], ...]:
    """See `VisionLanguageModel.embedding_lens`. Goes through so many rows at a time that their cosines take 64 MiB."""
    table = model.get_input_embeddings().weight
    lengths = table.norm(dim=1).clamp(min=1e-6)
    given = torch.from_numpy(rows).to(table.device, table.dtype)
    parts = (given / given.norm(dim=1, keepdim=True).clamp(min=1e-6)).split(max(1, AT_ONCE // (4 * len(table))))
    return tuple(reading for part in parts for reading in _readings(tokenizer, part @ table.T / lengths, count))


def normed(model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], layer: int) -> Float[Tensor, "rows D"]:
    """What the head would read after `layer`; the last layer's states come already normed."""
    states = torch.from_numpy(hidden[layer]).to(model.device, model.dtype)
    return states if layer == len(hidden) - 1 else architecture.final_norm(model)(states)


def probabilities(model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], layer: int) -> Float[Tensor, "rows vocab"]:
    """The next-token distribution if the language model stopped after `layer`."""
    return architecture.head(model, normed(model, hidden, layer)).float().softmax(-1)


def table(model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], count: int) -> LensTable:
    """See `VisionLanguageModel.lens_table`. Goes through so many states at a time that their logits take 64 MiB."""
    output = model.get_output_embeddings()
    plain = getattr(output, "bias", None) is None and getattr(model.config.get_text_config(), "final_logit_softcapping", None) is None
    quick = plain and output.weight.device.type == "cpu" and output.weight.dtype == torch.float32 and has_fast_bfloat16()
    coarse = output.weight.bfloat16() if quick else None
    states = torch.cat([normed(model, hidden, layer) for layer in range(len(hidden))])  # all layers together: the vocabulary's matrix is read as seldom as can be
    parts = states.split(max(1, AT_ONCE // (4 * len(output.weight))))
    read = [_exactly(model, part, count) if coarse is None else _nearly(part, output.weight, coarse, count) for part in parts]
    words, values, totals = (torch.cat(columns) for columns in zip(*read))
    shape = hidden.shape[:2]
    return LensTable(*(to_numpy(rows).reshape(*shape, *rows.shape[1:]) for rows in (words, (values - totals[:, None]).exp(), totals)))


Read = tuple[Int[Tensor, "rows count"], Float[Tensor, "rows count"], Float[Tensor, " rows"]]  # words, their logits, the normaliser


def _exactly(model: PreTrainedModel, rows: Float[Tensor, "rows D"], count: int) -> Read:
    logits = architecture.head(model, rows).float()
    values, words = logits.topk(count)
    return words, values, logits.logsumexp(-1)


def _nearly(rows: Float[Tensor, "rows D"], weight: Float[Tensor, "vocab D"], coarse: Tensor, count: int) -> Read:
    """The same in bfloat16, which some CPUs multiply several times faster, with the largest logits computed again in float32.

    The words that a table names are float32's unless one of them is not among the `count` + 11 largest in bfloat16; the normaliser,
    where the small ones' errors cancel, is off by less than 0.005 in 99 cells of 100, and by less than 0.02 in all that were compared.
    """
    logits = rows.bfloat16() @ coarse.T
    rough, words = logits.topk(min(count + SPARE, logits.shape[1]))
    most, exact = rough[:, :1], torch.einsum("rd,rkd->rk", rows, weight[words])
    sums = torch.cat([(some - top).exp_().sum(-1, dtype=torch.float32) for some, top in zip(logits.split(4), most.split(4))])  # so few rows stay in the cache
    sums += (exact - most.float()).exp().sum(-1) - (rough - most).exp().sum(-1, dtype=torch.float32)
    values, order = exact.topk(count)
    return words.gather(1, order), values, most[:, 0].float() + sums.log()


def word_probabilities(model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], table: LensTable, token_ids: Sequence[int]) -> Float[np.ndarray, "layers rows words"]:
    """The probability of some vocabulary entries at every position and layer of a table: as many products as there are entries, not vocabulary."""
    chosen = torch.tensor(list(token_ids), device=model.device)
    logits = [to_numpy(architecture.head(model, normed(model, hidden, layer), chosen)) for layer in range(len(hidden))]
    return np.exp(np.stack(logits) - table.normaliser[..., None])


def logit_lens(model: PreTrainedModel, tokenizer, hidden: Float[np.ndarray, "layers D"], count: int) -> tuple[tuple[Reading, ...], ...]:
    """See `VisionLanguageModel.logit_lens`."""
    rows = torch.cat([normed(model, hidden[:, None], layer) for layer in range(len(hidden))])
    return _readings(tokenizer, architecture.head(model, rows).float().softmax(-1), count)


def word_ids(tokenizer, word: str) -> tuple[int, ...]:
    """The vocabulary entries with which a word (the last of several) can begin: in a sentence, at its start, with a capital. Whole words, or pieces of at least four letters.

    Raises:
        QuestionError: there is no word, or this tokenizer cuts it into smaller pieces.
    """
    word = (check_characters(word, "The word").split() or [""])[-1]
    first_token(tokenizer, word)  # is there one?
    spelt = dict.fromkeys(each for form in (word, word.lower(), word.capitalize()) for each in (f" {form}", form))
    ids = dict.fromkeys(tokenizer(each, add_special_tokens=False)["input_ids"][0] for each in spelt)
    pieces = {number: token_string(tokenizer, number).strip() for number in ids}
    telling = tuple(number for number, piece in pieces.items() if piece.lower() == word.lower() or len(piece) >= SHORTEST)
    if not telling:
        raise QuestionError(f"This model's tokenizer begins {word!r} with a piece of fewer than {SHORTEST} letters, which says nothing alone; take another word.")
    return telling


def first_token(tokenizer, word: str) -> int:
    """The token that a word in the middle of a sentence begins with.

    Raises:
        QuestionError: there is no word.
    """
    if not check_characters(word, "The word").strip():
        raise QuestionError("There is no word to look for; type one, for example: cat")
    ids: Sequence[int] = tokenizer(" " + word.strip(), add_special_tokens=False)["input_ids"]
    return ids[0]


def _readings(tokenizer, scores: Float[Tensor, "rows vocab"], count: int) -> tuple[tuple[Reading, ...], ...]:
    values, ids = scores.float().topk(count)
    return tuple(tuple((token_string(tokenizer, word), value) for word, value in zip(*pair)) for pair in zip(ids.tolist(), values.tolist()))
