"""D_d: from the logits of the next token to a token, one step at a time.

Knows logits and tokens, not images.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vlm.backends.generation import Rules
from vlm.errors import DecodingError
from vlm.records.text_tokens import token_string
from vlm.records.trace import Alternative, Decoding, Step


class NextLogits(NamedTuple):
    """Of the next token.

    Attributes:
        exact: in float32: what every probability that is shown comes from.
        own: as the model's own forward gives them, rounded to its number format. Greedy decoding
            takes the largest of these, as transformers' `generate` does.
    """

    exact: Float[Tensor, " vocab"]
    own: Float[Tensor, " vocab"]


def decode(
    next_logits: Callable[[int | None], NextLogits],
    tokenizer,
    rules: Rules,
    decoding: Decoding,
) -> Iterator[Step]:
    """Yield the steps of an answer as they come, up to and including an end token.

    Args:
        next_logits: called with None first, then with each chosen token; gives the logits of the
            next one.
        rules: from `generation.rules` for the same `decoding`.

    Raises:
        ModelError: a setting of the checkpoint does not fit its vocabulary.
        DecodingError: tokens are to be drawn where the settings leave none.
    """
    generator = torch.Generator().manual_seed(decoding.seed)
    sequence = rules.counted.cpu()[None]
    chosen, token_ids = None, []
    for index in range(decoding.max_new_tokens):
        start = time.perf_counter()
        logits, own = (each.float().cpu() for each in next_logits(chosen))
        scores = rules.scores(sequence, own if decoding.temperature == 0 else logits)
        if decoding.temperature == 0:
            chosen = int(scores.argmax())
            kept = torch.zeros_like(scores)
            kept[chosen] = 1.0
        else:
            kept = scores.softmax(-1)
            if not bool(kept.isfinite().all()):
                raise DecodingError(
                    "No token can be drawn: the settings that came with this checkpoint rule out"
                    " all of them; take temperature 0, which is greedy."
                )
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
            is_end=chosen in rules.end_ids,
            answer=tokenizer.decode(
                token_ids[:-1] if chosen in rules.end_ids else token_ids, skip_special_tokens=True
            )
            .strip()
            .rstrip("\N{REPLACEMENT CHARACTER}"),
            milliseconds=1000 * (time.perf_counter() - start),
        )
        if chosen in rules.end_ids or (rules.stops and bool(rules.stops(sequence, None).all())):
            return
