"""Lenses: what a vector inside the language model "says", read with the model's own vocabulary.

The embedding lens compares a vector with the input embeddings; the logit lens (nostalgebraist, "interpreting GPT: the logit lens",
2020) puts the final norm and the head on the output of an earlier layer. Neither is what the model does with the vector; both are
windows that show little in early layers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vlm import architecture
from vlm.errors import QuestionError
from vlm.text_tokens import token_string

Reading = tuple[str, float]  # a vocabulary entry, and how strongly it is said


def embedding_lens(model: PreTrainedModel, tokenizer, rows: Float[np.ndarray, "rows D"], count: int) -> tuple[tuple[Reading, ...], ...]:
    """See `VisionLanguageModel.embedding_lens`."""
    table = model.get_input_embeddings().weight
    table = table / table.norm(dim=1, keepdim=True).clamp(min=1e-6)
    given = torch.from_numpy(rows).to(table.device, table.dtype)
    return _readings(tokenizer, given / given.norm(dim=1, keepdim=True).clamp(min=1e-6) @ table.T, count)


def normed(model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], layer: int) -> Float[Tensor, "rows D"]:
    """What the head would read after `layer`; the last layer's states come already normed."""
    states = torch.from_numpy(hidden[layer]).to(model.device, model.dtype)
    return states if layer == len(hidden) - 1 else architecture.final_norm(model)(states)


def probabilities(model: PreTrainedModel, hidden: Float[np.ndarray, "layers rows D"], layer: int) -> Float[Tensor, "rows vocab"]:
    """The next-token distribution if the language model stopped after `layer`."""
    return model.get_output_embeddings()(normed(model, hidden, layer)).float().softmax(-1)


def logit_lens(model: PreTrainedModel, tokenizer, hidden: Float[np.ndarray, "layers D"], count: int) -> tuple[tuple[Reading, ...], ...]:
    """See `VisionLanguageModel.logit_lens`."""
    rows = torch.cat([normed(model, hidden[:, None], layer) for layer in range(len(hidden))])
    return _readings(tokenizer, model.get_output_embeddings()(rows).float().softmax(-1), count)


def first_token(tokenizer, word: str) -> int:
    """The token that a word in the middle of a sentence begins with.

    Raises:
        QuestionError: there is no word.
    """
    if not word.strip():
        raise QuestionError("There is no word to look for; type one, for example: cat")
    ids: Sequence[int] = tokenizer(" " + word.strip(), add_special_tokens=False)["input_ids"]
    return ids[0]


def _readings(tokenizer, scores: Float[Tensor, "rows vocab"], count: int) -> tuple[tuple[Reading, ...], ...]:
    values, ids = scores.float().topk(count)
    return tuple(tuple((token_string(tokenizer, word), value) for word, value in zip(*pair)) for pair in zip(ids.tolist(), values.tolist()))
