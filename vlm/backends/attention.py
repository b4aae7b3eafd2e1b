"""Attention weights, read while the model runs as it always does.

transformers' fast attention returns no weights. The function registered here is that fast
attention, and gives the weights as well to whoever is recording in the same thread; when nobody is,
it costs nothing. What the fast attention cannot do (scores that are capped, sinks) a module's own
explicit attention does in its place. Whoever wants another attention in the same thread (some keys
hidden, gradients of the weights) puts a function in its place. It knows queries and keys, not which
model they are from.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError

ensure_torchvision()

from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

# What a checkpoint is loaded with. transformers refuses names with "sdpa" in them for models whose
# scores are capped or have sinks; these run here too, with their own explicit attention.
IMPLEMENTATION = "recorded"
# What some modules hand to their attention beside queries and keys, and nothing here follows: these
# change the weights.
NOT_FOLLOWED = ("position_bias", "indices", "block_indices", "sinks")

# computed from the queries and keys that it holds, when it is called
Weights = Callable[[], Float[Tensor, "heads queries keys"]]
Record = Callable[[Weights], None]
Attend = Callable[..., tuple[Tensor, None]]  # the arguments of `attention` below
_recorder: ContextVar[tuple[Record, bool, Collection[nn.Module], Record | None] | None] = (
    ContextVar("recorder", default=None)
)
_replacement: ContextVar[Attend | None] = ContextVar("replacement", default=None)


@contextmanager
def record_attention(
    record: Record,
    last: bool = False,
    without: Collection[nn.Module] = (),
    beside: Record | None = None,
) -> Iterator[None]:
    """Within this context (and thread) `record` is handed the weights of every attention that runs,
    in order.

    Args:
        last: only of the last query, which is all that the next token needs.
        without: attentions that are left out.
        beside: is handed the weights of these, if it is given.
    """
    token = _recorder.set((record, last, without, beside))
    try:
        yield
    finally:
        _recorder.reset(token)


@contextmanager
def replace_attention(attend: Attend) -> Iterator[None]:
    """Within this context (and thread) every attention is what `attend` makes of its arguments.

    `as_always` is the usual one.
    """
    token = _replacement.set(attend)
    try:
        yield
    finally:
        _replacement.reset(token)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **named,
):
    """What transformers calls: the usual attention, or what stands in its place."""
    return (_replacement.get() or as_always)(module, query, key, value, attention_mask, **named)


@dataclass(frozen=True)
class Scoring:
    """How an attention makes weights of the products q k^T, as its module says in every call.

    Attributes:
        scaling: what the products are multiplied by; None: 1 / sqrt(size of a head).
        is_causal: whether, where there is no mask, each position reads those up to itself only.
        softcap: c, where the scaled products s become c tanh(s / c); None where they stay.
        sinks: for each head a score that belongs to no key and takes its part of the softmax: the
            weights of a row then sum to less than 1. None where there is none.
    """

    scaling: float | None
    is_causal: bool
    softcap: float | None = None
    sinks: Float[Tensor, " heads"] | None = None

    @staticmethod
    def of(module: nn.Module, named: Mapping[str, object]) -> "Scoring":
        """Read it from the named arguments of a call.

        Raises:
            ModelError: the weights depend on something that is not followed here.
        """
        strange = [name for name in NOT_FOLLOWED if named.get(name) is not None]
        if strange:
            raise ModelError(
                f"The attention of this model ({type(module).__name__}) is computed with"
                f" {' and '.join(strange)}, which this version does not follow: it would show"
                " weights that are not the model's. Take another model."
            )
        is_causal = named.get("is_causal")
        return Scoring(
            named.get("scaling"),
            bool(getattr(module, "is_causal", True) if is_causal is None else is_causal),
            named.get("softcap"),
            named.get("s_aux"),
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is what the fast attention computes."""
        return self.softcap is None and self.sinks is None

    def of_heads(self, heads: slice) -> "Scoring":
        """That of some heads."""
        return self if self.sinks is None else replace(self, sinks=self.sinks[heads])


def as_always(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **named,
):
    """Compute transformers' attention, its weights told to the recorder if there is one: scaled dot
    product attention, or the module's own explicit one where that is not enough.
    """
    scoring = Scoring.of(module, named)
    record, last, without, beside = _recorder.get() or (None, False, (), None)
    record = beside if module in without else record
    if record is not None and last:  # the last query sees every key that its mask shows
        mask = last_row(attention_mask)
        record(partial(weights, query[:, :, -1:], key, mask, scoring))
    elif record is not None:
        record(partial(weights, query, key, attention_mask, scoring))
    if scoring.is_plain:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **named)
    explicit = own_attention(module)
    if explicit is None:
        raise ModelError(
            f"The scores of this model's attention ({type(module).__name__}) are capped or have"
            " sinks, and transformers has no explicit attention for it; take another model."
        )
    mask = added_mask(attention_mask, query, key, scoring)
    return explicit(module, query, key, value, mask, **named)[0], None


def own_attention(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """Find transformers' explicit ("eager") attention in the file that a module is from: it gives
    an output and its weights.
    """
    return getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)


def last_row(mask: Tensor | None) -> Tensor | None:
    """Of a mask what the last query may read."""
    return mask if mask is None or mask.shape[-2] == 1 else mask[..., -1:, :]


def causal_mask(query: Tensor, key: Tensor) -> Bool[Tensor, "queries keys"]:
    """True where a position reads itself and those before it; the queries are the last keys."""
    queries, keys = query.shape[-2], key.shape[-2]
    return torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)


def added_mask(
    mask: Tensor | None, query: Tensor, key: Tensor, scoring: Scoring
) -> Float[Tensor, "1 #heads queries keys"] | None:
    """A mask as explicit attention takes it: numbers that are added to the scores.

    None, the fast attention's way to say that each position reads those before it, becomes that.
    """
    if mask is None and scoring.is_causal and query.shape[-2] > 1:
        mask = causal_mask(query, key)[None, None]
    if mask is None or mask.dtype != torch.bool:
        return mask
    hidden = torch.finfo(query.dtype).min
    return torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(
        ~mask, hidden
    )


def weights(
    query: Float[Tensor, "1 heads queries size"],
    key: Float[Tensor, "1 groups keys size"],
    mask: Tensor | None,
    scoring: Scoring,
) -> Float[Tensor, "heads queries keys"]:
    """softmax(cap(q k^T * scaling) + mask), in float32, without the share of the sinks.

    0 everywhere for a query that may read no key by a mask of booleans.
    """
    _, heads, queries, size = query.shape
    groups, keys = key.shape[1:3]
    # heads that share their keys are multiplied as one: repeating the keys would cost memory
    grouped = query[0].reshape(groups, heads // groups * queries, size).float()
    scores = (grouped @ key[0].float().transpose(-1, -2)).reshape(heads, queries, keys) * (
        size**-0.5 if scoring.scaling is None else scoring.scaling
    )
    if scoring.softcap is not None:
        scores = torch.tanh(scores / scoring.softcap) * scoring.softcap
    if mask is None and scoring.is_causal and queries > 1:
        mask = causal_mask(query, key)[None, None]
    part = None if mask is None else mask[0, ..., :keys]
    if part is None:
        return _softmax(scores, scoring.sinks)
    if part.dtype != torch.bool:
        return _softmax(scores + part.float(), scoring.sinks)
    empty = ~part.any(-1, keepdim=True)  # all keys hidden: no softmax, and no gradient of one
    visible = _softmax(scores.masked_fill(~(part | empty), float("-inf")), scoring.sinks)
    return visible.masked_fill(empty, 0)


def _softmax(
    scores: Float[Tensor, "heads queries keys"], sinks: Float[Tensor, " heads"] | None
) -> Float[Tensor, "heads queries keys"]:
    if sinks is None:
        return scores.softmax(-1)
    beside = sinks.float()[:, None, None].expand(-1, scores.shape[1], 1)
    return torch.cat([scores, beside], dim=-1).softmax(-1)[..., :-1]


def at_their_places(rows: Sequence[Tensor], positions: int) -> Float[Tensor, "layers positions"]:
    """What a position reads in each layer, of all positions up to it: a layer whose sliding window
    has forgotten the first ones gives them nothing.
    """
    return torch.stack([nn.functional.pad(row, (positions - len(row), 0)) for row in rows])


AttentionInterface.register(IMPLEMENTATION, attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
