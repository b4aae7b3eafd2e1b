"""Attention weights, read while the model runs as it always does.

transformers' fast attention returns no weights. The function registered here is that fast
attention, and gives the weights as well to whoever is recording in the same thread; when nobody is,
it costs nothing. Whoever wants another attention in the same thread (some keys hidden, gradients of
the weights) puts a function in its place. It knows queries and keys, not which model they are from.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlm.compat import ensure_torchvision

ensure_torchvision()

from transformers import AttentionInterface, AttentionMaskInterface  # noqa: E402
from transformers.integrations.sdpa_attention import sdpa_attention_forward  # noqa: E402
from transformers.masking_utils import sdpa_mask  # noqa: E402

IMPLEMENTATION = "sdpa_recorded"  # what a checkpoint is loaded with

# computed from the queries and keys that it holds, when it is called
Weights = Callable[[], Float[Tensor, "heads queries keys"]]
Record = Callable[[Weights], None]
Attend = Callable[..., tuple[Tensor, None]]  # the arguments of `attention` below
_recorder: ContextVar[tuple[Record, bool, Collection[nn.Module], Record | None] | None] = (
    ContextVar("recorder", default=None)
)
_replacement: ContextVar[Attend | None] = ContextVar("replacement", default=None)


@contextmanager
def recording(
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
def replacing(attend: Attend) -> Iterator[None]:
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


def as_always(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **named,
):
    """transformers' scaled dot product attention, its weights told to the recorder if there is one."""
    record, last, without, beside = _recorder.get() or (None, False, (), None)
    record = beside if module in without else record
    if record is not None:
        if last:  # the last query sees every key that its mask shows
            mask = (
                attention_mask
                if attention_mask is None or attention_mask.shape[-2] == 1
                else attention_mask[..., -1:, :]
            )
            record(
                partial(weights, module, query[:, :, -1:], key, mask, named.get("scaling"), False)
            )
        else:
            record(
                partial(
                    weights,
                    module,
                    query,
                    key,
                    attention_mask,
                    named.get("scaling"),
                    named.get("is_causal"),
                )
            )
    return sdpa_attention_forward(module, query, key, value, attention_mask, **named)


def weights(
    module: nn.Module,
    query: Float[Tensor, "1 heads queries size"],
    key: Float[Tensor, "1 groups keys size"],
    mask: Tensor | None,
    scaling: float | None,
    is_causal: bool | None,
) -> Float[Tensor, "heads queries keys"]:
    """softmax(q k^T * scaling + mask), in float32.

    0 everywhere for a query that may read no key by a mask of booleans.
    """
    _, heads, queries, size = query.shape
    groups, keys = key.shape[1:3]
    # heads that share their keys are multiplied as one: repeating the keys would cost memory
    grouped = query[0].reshape(groups, heads // groups * queries, size).float()
    scores = (grouped @ key[0].float().transpose(-1, -2)).reshape(heads, queries, keys) * (
        size**-0.5 if scaling is None else scaling
    )
    if mask is not None:
        part = mask[0, ..., :keys]
        if part.dtype != torch.bool:
            return (scores + part.float()).softmax(-1)
        return (
            scores.masked_fill(~part, float("-inf"))
            .softmax(-1)
            .masked_fill(~part.any(-1, keepdim=True), 0)
        )
    if (getattr(module, "is_causal", False) if is_causal is None else is_causal) and queries > 1:
        visible = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).tril(
            keys - queries
        )
        scores = scores.masked_fill(~visible, float("-inf"))
    return scores.softmax(-1)


def at_their_places(rows: Sequence[Tensor], positions: int) -> Float[Tensor, "layers positions"]:
    """What a position reads in each layer, of all positions up to it: a layer whose sliding window
    has forgotten the first ones gives them nothing.
    """
    return torch.stack([nn.functional.pad(row, (positions - len(row), 0)) for row in rows])


AttentionInterface.register(IMPLEMENTATION, attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
