"""D_d: from the logits of the next token to a token, one step at a time.

Knows logits and tokens, not images.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlm.compat import ensure_torchvision
from vlm.records import Alternative, Decoding, Step
from vlm.text_tokens import token_string

ensure_torchvision()

from transformers import (  # noqa: E402
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


class NextLogits(NamedTuple):
    """Of the next token.

    Attributes:
        exact: in float32: what every probability that is shown comes from.
        own: as the model's own forward gives them, rounded to its number format. Greedy decoding
            takes the largest of these, as transformers' `generate` does.
    """

    exact: Float[Tensor, " vocab"]
    own: Float[Tensor, " vocab"]


def processors(decoding: Decoding) -> LogitsProcessorList:
    """The transformation of the logits that `decoding` asks for, in the order of transformers' own
    `generate`.
    """
    chain = LogitsProcessorList()
    if decoding.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(float(decoding.repetition_penalty)))
    if decoding.temperature > 0:
        if decoding.temperature != 1.0:
            chain.append(TemperatureLogitsWarper(float(decoding.temperature)))  # refuses an int
        if decoding.top_k:
            chain.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1.0:
            chain.append(TopPLogitsWarper(decoding.top_p))
    return chain


def decode(
    next_logits: Callable[[int | None], NextLogits],
    input_ids: Int[Tensor, " S"],
    tokenizer,
    end_ids: frozenset[int],
    decoding: Decoding,
) -> Iterator[Step]:
    """Yield the steps of an answer as they come, up to and including an end token.

    Args:
        next_logits: called with None first, then with each chosen token; gives the logits of the
            next one.
        input_ids: the prompt; the repetition penalty counts its tokens too, as in transformers.
        end_ids: tokens that end the answer.
    """
    chain = processors(decoding)
    generator = torch.Generator().manual_seed(decoding.seed)
    sequence = input_ids.cpu()[None]
    chosen, token_ids = None, []
    for index in range(decoding.max_new_tokens):
        start = time.perf_counter()
        logits, own = (each.float().cpu() for each in next_logits(chosen))
        deciding = own if decoding.temperature == 0 else logits
        # a mark of the photo may have no logit
        scores = chain(sequence[:, sequence[0] < len(logits)], deciding[None].clone())[0]
        if decoding.temperature == 0:
            chosen = int(scores.argmax())
            kept = torch.zeros_like(scores)
            kept[chosen] = 1.0
        else:
            kept = scores.softmax(-1)
            chosen = int(torch.multinomial(kept, 1, generator=generator))
        token_ids.append(chosen)
        sequence = torch.cat([sequence, torch.tensor([[chosen]])], dim=1)
        log_probabilities = logits.log_softmax(-1)
        top = log_probabilities.topk(min(decoding.alternatives, len(logits))).indices.tolist()
        yield Step(
            index=index,
            token_id=chosen,
            token_string=token_string(tokenizer, chosen),
            log_probability=float(log_probabilities[chosen]),
            decoding_probability=float(kept[chosen]),
            entropy=float(torch.special.entr(log_probabilities.exp()).sum()) / math.log(2),
            alternatives=tuple(
                Alternative(
                    token_id,
                    token_string(tokenizer, token_id),
                    float(log_probabilities[token_id]),
                    float(kept[token_id]),
                )
                for token_id in top
            ),
            is_end=chosen in end_ids,
            answer=tokenizer.decode(
                token_ids[:-1] if chosen in end_ids else token_ids, skip_special_tokens=True
            )
            .strip()
            .rstrip("\N{REPLACEMENT CHARACTER}"),
            milliseconds=1000 * (time.perf_counter() - start),
        )
        if chosen in end_ids:
            return
