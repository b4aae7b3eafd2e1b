"""Which positions a word hangs on: gradient x attention relevancy.

Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
Encoder-Decoder Transformers", 2021: in every layer the weights A of each head are multiplied by the
gradient of the word's logit with respect to them; what is negative is dropped, the mean over the
heads is A', and R = (1 + A'_L) ... (1 + A'_1) says what came from where by way of all layers.

A picture that stands beside the sequence counts as positions that nobody changes: layers of
cross-attention read it into R from there.

Only the row of R at the word's position is wanted, and the gradient comes from the last layer to
the first: the row is multiplied on its way down and no layer's weights are kept. Instead of the
weights (heads x positions x positions a layer), queries, keys and values are kept, and the weights
computed again in the backward pass, one layer at a time. What remains in memory is what autograd
keeps of the rest
of the language model: about 0.3 GB for 300 positions of the embedded model in float32.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vlm.backends import architecture, text_model
from vlm.backends.attention import Scoring, as_always, replace_attention, weights
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy

ensure_torchvision()

from transformers import PreTrainedModel

Collect = Callable[[Float[Tensor, "queries keys"]], None]


class _Attended(torch.autograd.Function):
    """Attention whose backward pass computes the weights again and tells `collect` the mean over
    the heads of (gradient x weights)+.
    """

    @staticmethod
    def forward(ctx, query, key, value, module, mask, named, collect):
        ctx.save_for_backward(query, key, value)
        ctx.called = mask, Scoring.of(module, named), collect
        return as_always(module, query, key, value, mask, **named)[0]

    @staticmethod
    def backward(ctx, gradient):  # 1, queries, heads, size of a value
        query, key, value = ctx.saved_tensors
        mask, scoring, collect = ctx.called
        heads, groups = query.shape[1], key.shape[1]
        to_query, to_key, to_value = (
            torch.empty_like(query),
            torch.empty_like(key),
            torch.empty_like(value),
        )
        relevant = torch.zeros(query.shape[2], key.shape[2], device=query.device)
        for group in range(groups):  # heads that share their keys
            share = slice(group * heads // groups, (group + 1) * heads // groups)
            part = mask if mask is None or mask.shape[1] == 1 else mask[:, share]
            with torch.enable_grad():
                queries = query[:, share].detach().requires_grad_()
                keys = key[:, group : group + 1].detach().requires_grad_()
                # heads of the group, queries, keys
                attention = weights(queries, keys, part, scoring.of_heads(share))
            back = gradient[0, :, share].transpose(0, 1).float()
            wanted = back @ value[0, group].float().T  # the gradient with respect to the weights
            relevant += (attention.detach() * wanted).clamp(min=0).sum(0)
            to_value[0, group] = (attention.detach().transpose(1, 2) @ back).sum(0).to(value.dtype)
            to_query[:, share], to_key[:, group : group + 1] = torch.autograd.grad(
                attention, (queries, keys), wanted
            )
        collect(relevant / heads)
        return to_query, to_key, to_value, None, None, None, None


def relevancy(
    network: PreTrainedModel, inputs: dict, token_id: int, beside: Mapping[str, Tensor] | None
) -> Float[np.ndarray, " positions"]:
    """What the last position's logit of one token hangs on: its row of R, never negative; the
    position itself holds 1 for R's identity.

    Args:
        inputs: the arguments of the language model for VT + TT and the words before this one.
        beside: what the encoder was given, of models that read the picture beside the sequence: its
            visual tokens follow the positions.
    """
    row: list[Tensor] = []
    picture: list[Tensor] = []
    crossing = architecture.crossing(network)

    def collect(module, relevant: Float[Tensor, "queries keys"]) -> None:
        if module in crossing:
            picture.append(row[0] @ relevant)
        else:
            row[0] = row[0] + row[0] @ relevant

    def attend(module, query, key, value, mask, **named):
        return (
            _Attended.apply(query, key, value, module, mask, named, partial(collect, module)),
            None,
        )

    with torch.inference_mode(False), torch.enable_grad():
        inputs = {name: _ordinary(value) for name, value in inputs.items()}
        embeds = inputs["inputs_embeds"].requires_grad_()
        with replace_attention(attend):
            hidden = text_model.language_trunk(network)(**inputs, use_cache=False).last_hidden_state
        word = torch.tensor([token_id], device=hidden.device)
        logit = text_model.head(network, hidden[0, -1], word)[0]
        last = torch.zeros(embeds.shape[1], device=embeds.device)
        last[-1] = 1
        row.append(last)
        torch.autograd.grad(logit, embeds)
    if beside is not None:
        row.append(architecture.weights_beside(torch.stack(picture).sum(0)[None], beside)[0])
    return to_numpy(torch.cat(row))


def _ordinary(value):
    """Tensors made in inference mode cannot take part in a backward pass; their copies can."""
    if torch.is_tensor(value):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _ordinary(each) for name, each in value.items()}
    return (
        type(value)(_ordinary(each) for each in value)
        if isinstance(value, (list, tuple))
        else value
    )
