"""Where the language model g_phi is inside a loaded checkpoint, and what its end does.

Checkpoints of one family hold language models of many kinds, whose parts have other names at other
places. Nothing here goes by a name: the language model is what holds the word embedding and a list
of layers, its final norm is what runs after the last of them, and its logits are what the class
that answers makes of the head's, by its own code.
"""

import copy
import inspect
import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy
from vlm.backends.hooks import capture_outputs, capture_outputs_in_order
from vlm.errors import ModelError

ensure_torchvision()

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, Cache, PreTrainedModel

HALF = (torch.bfloat16, torch.float16)  # number formats of 16 bits
AT_ONCE = 64 * 2**20  # bytes of numbers in float32 that are held at a time
# states and words at a time on a CPU: 4 MiB of logits, which stay in its cache while they are read
# three times
CACHED = 1024
# Found once a model, and forgotten with it.
_trunks: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
_norms: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
PROBED = (
    -1e6,
    -30.0,
    -1.0,
    -1e-3,
    0.0,
    1e-3,
    1.0,
    30.0,
    1e6,
)  # logits that tell what is done to any


def language_trunk(model: PreTrainedModel) -> nn.Module:
    """g_phi without its head: what holds the word embedding and the list of its layers.

    Raises:
        ModelError: no part of the model does.
    """
    if model not in _trunks:
        embedding = model.get_input_embeddings()
        found = [
            part
            for part in model.modules()
            if any(child is embedding for child in part.children())
            and any(isinstance(child, nn.ModuleList) for child in part.children())
        ]
        if len(found) != 1:
            raise ModelError(
                f"Which part of this {model.config.model_type} model is its language model does not"
                f" show: {len(found)} of its parts hold both the word embedding and a list of"
                " layers, and it has to be one. Take another model."
            )
        [_trunks[model]] = found
    return _trunks[model]


def trunk_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The layers of g_phi, the first one first: the longest list in it."""
    lists = [part for part in language_trunk(model).children() if isinstance(part, nn.ModuleList)]
    return max(lists, key=len)


def language_layers(model: PreTrainedModel) -> int:
    """How many layers g_phi has."""
    return len(trunk_layers(model))


@torch.inference_mode()
def hidden_states(
    model: PreTrainedModel, inputs: Mapping[str, Any]
) -> Float[np.ndarray, "layers S D"]:
    """VT + TT inside g_phi, in one pass: row 0 is what goes in, row k the output of layer k; the
    last one is after the final norm.

    Args:
        inputs: what g_phi is called with, see `VisionLanguageModel.language_inputs`.
    """
    output = language_trunk(model)(**inputs, use_cache=False, output_hidden_states=True)
    return to_numpy(torch.cat(output.hidden_states))


def reading_on(model: PreTrainedModel, cache: Cache) -> dict[str, object]:
    """How g_phi is told what it has read already: the argument is `cache` from transformers 5.24
    on, `past_key_values` before.
    """
    named = (
        "cache"
        if "cache" in inspect.signature(language_trunk(model).forward).parameters
        else "past_key_values"
    )
    return {named: cache, "use_cache": True}


def check_attention(trunk: type[PreTrainedModel]) -> None:
    """Whether the attention of a class of language models can be read and changed.

    Raises:
        ModelError: it computes it by itself and hands nobody its queries and keys. (It would also
            be given masks of another kind than it takes.)
    """
    if not trunk._can_set_attn_implementation():
        raise ModelError(
            f"The language model of this checkpoint ({trunk.__name__}) computes its attention by"
            " itself and hands out no queries and keys, so what it looks at could be neither shown"
            " nor cut; take a checkpoint on another language model."
        )


@torch.inference_mode()
def final_norm(model: PreTrainedModel) -> nn.Module:
    """What stands between the last layer of g_phi and its head: a norm, in some models a projection
    after it, in some nothing. Found by letting one word pass, the first time it is asked for.

    Raises:
        ModelError: there stands something else.
    """
    trunk = language_trunk(model)
    if trunk in _norms:
        return _norms[trunk]
    layers = set(trunk_layers(model))  # those that read a picture may be passed over
    parts = [part for part in trunk.children() if not isinstance(part, nn.ModuleList)]
    word = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    with ExitStack() as stack:
        passed = stack.enter_context(capture_outputs_in_order([*layers, *parts]))
        ended = stack.enter_context(capture_outputs(trunk))
        trunk(inputs_embeds=model.get_input_embeddings()(word), use_cache=False)
    last = max(place for place, (part, _, _) in enumerate(passed) if part in layers)
    state = _tensor(passed[last][2])
    chain = []
    for part, given, gave in passed[last + 1 :]:
        if given is state:
            chain.append(part)
            state = _tensor(gave)
    if not torch.equal(state, ended[-1].last_hidden_state):
        raise ModelError(
            f"Between the last layer of this language model ({type(trunk).__name__}) and its head"
            " stands more than a norm, which this version does not follow."
        )
    _norms[trunk] = chain[0] if len(chain) == 1 else nn.Sequential(*chain)
    return _norms[trunk]


def _tensor(output: object) -> Tensor:
    """The states that a part gave, alone or before other things."""
    return output if torch.is_tensor(output) else output[0]


def head(
    model: PreTrainedModel,
    hidden: Float[Tensor, "... D"],
    token_ids: Int[Tensor, " words"] | slice | None = None,
) -> Float[Tensor, "... vocab"]:
    """The logits that the class that answers makes of g_phi's last hidden states, by its own code:
    scaled or capped where it does so, and not where it does not. In float32.

    Of some tokens only, if they are given. In a model of 16 bits the same products are summed
    without being rounded to its format: what is rounded hangs on how many rows and words are
    computed together, and one word would have two probabilities on one page.
    """
    output = model.get_output_embeddings()
    whole = token_ids is None and output.weight.dtype not in HALF
    return _end(model, hidden, output if whole else _Rows(output, token_ids)).float()


def own_logits(
    model: PreTrainedModel, hidden: Float[Tensor, "... D"]
) -> Float[Tensor, "... vocab"]:
    """The same as the model's own forward makes them, rounded to its number format: what
    transformers' `generate` decides by.
    """
    return _end(model, hidden, model.get_output_embeddings())


def word_parts(weight: Float[Tensor, "vocab D"]) -> list[slice]:
    """Parts of a vocabulary to go through: on a CPU what its cache holds, on a GPU all at once, or
    what takes 64 MiB in float32 if the weights must be widened.
    """
    size = len(weight) if weight.dtype not in HALF else max(1, AT_ONCE // (4 * weight.shape[1]))
    size = CACHED if weight.device.type == "cpu" else size
    return [slice(start, start + size) for start in range(0, len(weight), size)]


def answering(model: PreTrainedModel) -> PreTrainedModel:
    """What holds the head, and so makes the logits: the model, or a language model inside it."""
    output = model.get_output_embeddings()
    return next(part for part in model.modules() if any(each is output for each in part.children()))


def adjustment_left_out(model: PreTrainedModel) -> str | None:
    """One sentence on what the class of the text model alone does to its logits and the class that
    answers here does not, with the number from the configuration; None where both do the same.
    """
    config = model.config.get_text_config()
    alone = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    here = answering(model)
    if alone is None or isinstance(here, alone):
        return None
    with torch.device("meta"):
        text = alone(copy.deepcopy(config))
    numbers = torch.tensor(PROBED)
    ours = _adjusted(here, language_trunk(model), numbers)
    theirs = _adjusted(text, language_trunk(text), numbers)
    if torch.equal(ours, theirs):
        return None
    small, large = PROBED.index(1e-3), PROBED.index(1e6)
    factor, cap = float(theirs[small] / ours[small]), float(theirs[large])
    does = []
    if abs(factor - 1) > 1e-3:
        named = _named(config, (factor, 1 / factor))
        does.append(f"multiplies its logits by {factor:.4g}{named}")
    if cap < factor * float(ours[large]) * 0.99:
        does.append(f"presses its logits into ±{cap:.4g}{_named(config, (cap,))}")
    if not does:  # it does less than the class that answers
        return None
    flatter = factor < 1 or len(does) > 1 or abs(factor - 1) <= 1e-3
    return (
        f"the text model alone would be {'flatter' if flatter else 'sharper'}: transformers'"
        f" {alone.__name__} {' and '.join(does)}, and {type(here).__name__}, which answers here,"
        " does not"
    )


def _named(config: object, values: tuple[float, ...]) -> str:
    """The setting about logits or scales that holds one of these numbers, in brackets."""
    for name, value in config.to_dict().items():
        if (
            isinstance(value, (int, float))
            and re.search("logit|scal|multipl|cap", name)
            and any(abs(value - each) <= 1e-3 * abs(each) for each in values)
        ):
            return f" ({name} {value:g} in its configuration)"
    return ""


class _Rows(nn.Module):
    """Some rows of a head, or all of them, in float32."""

    def __init__(self, output: nn.Module, token_ids: Int[Tensor, " words"] | slice | None) -> None:
        super().__init__()
        self.weight, self.bias = output.weight, getattr(output, "bias", None)
        self.parts = word_parts(output.weight) if token_ids is None else [token_ids]

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... words"]:
        states = hidden.to(self.weight.device).float()
        # one row's logits are a product, not a layer of one row: several times faster
        logits = torch.cat([states @ self.weight[part].float().T for part in self.parts], -1)
        if self.bias is None:
            return logits
        return logits + torch.cat([self.bias[part] for part in self.parts]).float()


class _Ended:
    """What a language model that has run gives: its last hidden states, and nothing else."""

    def __init__(self, states: Float[Tensor, "1 rows D"]) -> None:
        self.last_hidden_state = states

    def __getitem__(self, place: object) -> object:
        return self.last_hidden_state if place in (0, "last_hidden_state") else None

    def __getattr__(self, name: str) -> None:
        return None


class _HasRun(nn.Module):
    """Stands in the place of a part that holds a language model, as if that had run: whichever of
    the parts around it, or itself, is called.
    """

    def __init__(
        self, part: nn.Module, trunk: nn.Module, states: Float[Tensor, "1 rows D"]
    ) -> None:
        super().__init__()
        # beside torch's own lists, which would take the parts in
        self.__dict__.update(part=part, trunk=trunk, states=states)

    def forward(self, *arguments, **named) -> _Ended:
        return _Ended(self.states)

    def __getattr__(self, name: str) -> object:
        inside = getattr(self.__dict__["part"], name)
        trunk = self.__dict__["trunk"]
        return _HasRun(inside, trunk, self.states) if _holds(inside, trunk) else inside


def _holds(part: object, trunk: nn.Module) -> bool:
    return isinstance(part, nn.Module) and any(each is trunk for each in part.modules())


def _end(
    model: PreTrainedModel, hidden: Float[Tensor, "... D"], head: nn.Module
) -> Float[Tensor, "... words"]:
    """What the class that answers makes of last hidden states, with `head` in its head's place."""
    states = hidden.reshape(1, -1, hidden.shape[-1])
    logits = _answer(
        answering(model), language_trunk(model), model.get_output_embeddings(), states, head
    )
    return logits[0].reshape(*hidden.shape[:-1], -1)


def _answer(
    answering: PreTrainedModel,
    trunk: nn.Module,
    output: nn.Module,
    states: Float[Tensor, "1 rows D"],
    head: nn.Module,
) -> Float[Tensor, "1 rows words"]:
    """The forward of the class that answers from the end of its language model on.

    A copy that shares all weights runs it; in the copy the language model has ended with `states`,
    and `head` stands for the `output` it has.
    """
    around = next(name for name, part in answering.named_children() if _holds(part, trunk))
    named = next(name for name, part in answering.named_children() if part is output)
    copied = copy.copy(answering)
    copied.__dict__["_modules"] = {
        **answering._modules,
        around: _HasRun(getattr(answering, around), trunk, states),
        named: head,
    }
    return type(answering).forward(copied, inputs_embeds=states, use_cache=False).logits


def _adjusted(
    answering: PreTrainedModel, trunk: nn.Module, numbers: Float[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """What becomes of some logits on their way out of the class that answers."""
    output = answering.get_output_embeddings()
    return _answer(answering, trunk, output, numbers[None, :, None], nn.Identity())[0, :, 0]
