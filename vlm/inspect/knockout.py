"""Attention cut: which positions may no longer read which others, in which layers.

And visual tokens dropped on the way (FastV).

Geva et al., "Dissecting Recall of Factual Associations in Auto-Regressive Language Models", 2023,
cut the attention from some positions to others in a window of layers and look at what becomes of
the next word; Kaduri et al., "What's in the Image?", 2024, and Zhang et al., "Cross-modal
Information Flow in Multimodal Large Language Models", 2024, do so with the image. Nothing is set to
zero here: the keys are hidden from the softmax, as if they were not there; a position that may read
nothing of a picture beside the sequence gets nothing from that attention. Chen et al., "An Image is
Worth 1/2 Tokens After Layer 2" (FastV), 2024, drop after a layer the visual tokens that the last
position looked at least; here they stay in the sequence and nobody reads them, which gives the same
answer and saves no time.

A cut is an object that stands in the place of the usual attention, in one thread, while a context
is open: nothing is left behind.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlm.backends import architecture, text_model
from vlm.backends.attention import (
    Attend,
    Scoring,
    as_always,
    causal_mask,
    last_row,
    replace_attention,
    weights,
)
from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError
from vlm.inspect.interventions import PATHS, Cut, Drop
from vlm.records.trace import Step, Trace

ensure_torchvision()

from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


def places(trace: Trace) -> dict[str, tuple[int, ...]]:
    """The positions of the prompt by their part: "picture"; "question"; "template", what stands
    after the picture besides; "answer", the last position, which says the answer's first word
    (every position after it says one too); "after", all but the picture from its first token on.

    A picture beside the sequence has no positions, and none of the others stands before it: in
    transformers' forward those before its mark read it too.
    """
    visual, last = trace.visual_tokens.positions, len(trace.input_ids) - 1
    picture = set() if visual is None else set(visual.tolist())
    after = [
        position for position in range(min(picture, default=0), last + 1) if position not in picture
    ]
    question = [
        position
        for position, role in enumerate(trace.roles)
        if role == "question" and position != last
    ]
    template = [position for position in after if position not in question and position != last]
    return {
        "picture": tuple(sorted(picture)),
        "question": tuple(question),
        "template": tuple(template),
        "answer": (last,),
        "after": tuple(after),
    }


@dataclass(frozen=True)
class HiddenKeys:
    """A cut by positions: these `queries` may not read these `keys` (positions of the sequence) in
    layers `first` to `last`; 1 is the first layer.

    Attributes:
        keys: positions; None for the whole picture that stands beside the sequence, in the layers
            that read it by cross-attention.
        beyond: nor may any position from the answer's beginning, `prompt`, on; None: those are
            free.
    """

    keys: tuple[int, ...] | None
    queries: tuple[int, ...]
    first: int
    last: int
    beyond: int | None = None

    @staticmethod
    def between(trace: Trace, source: str, target: str, first: int, last: int) -> "HiddenKeys":
        """Hide one part of the sequence from another, see `places`."""
        parts = places(trace)
        keys = (
            None if source == "picture" and trace.visual_tokens.positions is None else parts[source]
        )
        return HiddenKeys(
            keys,
            parts[target],
            first,
            last,
            len(trace.input_ids) if target in ("answer", "after") else None,
        )


class Masking:
    """Stands in the place of attention and hides keys.

    It counts the positions that came by, so one object serves one answer.

    Args:
        crossing: the attentions that read what stands beside the sequence, see
            `architecture.crossing`. Their keys have no positions, so where a cache came from
            elsewhere, queries are counted by the layers before them.
    """

    def __init__(self, crossing: Collection[nn.Module]) -> None:
        self._seen: dict[int, int] = {}
        self._crossing = crossing

    def __call__(self, module, query, key, value, attention_mask, **named):
        """Compute a module's attention, the hidden keys masked; 0 for a query with none left."""
        layer, new, kept = module.layer_idx + 1, query.shape[2], key.shape[2]
        beside = module in self._crossing
        # a sliding cache gives the last keys only; a cache from elsewhere begins before this object
        # did
        total = self._seen[layer] = max(
            self._seen.get(layer, 0) + new, max(self._seen.values(), default=0) if beside else kept
        )
        self.look(layer, beside, module, query, key, attention_mask, named)
        keys = torch.arange(kept) if beside else torch.arange(total - kept, total)
        hidden = self.hidden(layer, beside, torch.arange(total - new, total), keys)
        if hidden is None or not hidden.any():
            return as_always(module, query, key, value, attention_mask, **named)
        if not beside:  # where every position reads itself at least
            mask = _hide(
                query, key, attention_mask, Scoring.of(module, named), hidden.to(query.device)
            )
            return as_always(module, query, key, value, mask, **named)
        readable = _readable(attention_mask, hidden.to(query.device))
        output, *rest = as_always(module, query, key, value, readable, **named)
        return output.masked_fill(~readable.any(-1)[:, 0, :, None, None], 0), *rest

    def look(
        self,
        layer: int,
        beside: bool,
        module,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        named: dict,
    ) -> None:
        """What is to be learned from the weights before they are used."""

    def hidden(
        self, layer: int, beside: bool, queries: Tensor, keys: Tensor
    ) -> Bool[Tensor, "queries keys"] | None:
        """Which keys are hidden from which queries, both given as positions.

        `beside`: keys are places of a picture beside the sequence.
        """
        raise NotImplementedError


class Knockout(Masking):
    """Some cuts at once."""

    def __init__(self, cuts: Iterable[HiddenKeys], crossing: Collection[nn.Module]) -> None:
        super().__init__(crossing)
        self._cuts = [
            (
                cut,
                torch.tensor(cut.keys or (), dtype=torch.long),
                torch.tensor(cut.queries, dtype=torch.long),
            )
            for cut in cuts
        ]

    def hidden(
        self, layer: int, beside: bool, queries: Tensor, keys: Tensor
    ) -> Bool[Tensor, "queries keys"] | None:
        """Hide every cut's keys from its queries in its layers; a position always reads itself."""
        result = None
        for cut, sources, targets in self._cuts:
            if cut.first <= layer <= cut.last and (cut.keys is None) == beside:
                reads = torch.isin(queries, targets)
                if cut.beyond is not None:
                    reads |= queries >= cut.beyond
                # every position may read itself
                read = (
                    torch.ones(1, len(keys), dtype=torch.bool)
                    if beside
                    else torch.isin(keys, sources)[None] & (queries[:, None] != keys[None])
                )
                here = reads[:, None] & read
                result = here if result is None else result | here
        return result


class FastV(Masking):
    """After `layer` nobody reads the `share` of the visual tokens that the prompt's last position
    looked at least in that layer (mean of its heads).

    In a model some of whose layers have no attention to the picture, the first one from `layer` on
    that has is taken.

    Args:
        positions: of the visual tokens in the sequence, or their places beside it.

    Attributes:
        dropped: those of the dropped ones, known once the prompt was read.
    """

    def __init__(
        self, positions: Sequence[int], layer: int, share: float, crossing: Collection[nn.Module]
    ) -> None:
        super().__init__(crossing)
        self._positions, self._layer, self._share = (
            torch.tensor(list(positions), dtype=torch.long),
            layer,
            share,
        )
        self.dropped: Tensor | None = None

    def look(
        self,
        layer: int,
        beside: bool,
        module,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        named: dict,
    ) -> None:
        """Drop the visual tokens that the prompt's last position attends to least."""
        if layer >= self._layer and self.dropped is None and beside == bool(self._crossing):
            self._layer = layer
            scoring = Scoring.of(module, named)
            looked = weights(query[:, :, -1:], key, last_row(mask), scoring)[:, 0].mean(0)
            least = looked[self._positions.to(looked.device)].argsort()[
                : int(self._share * len(self._positions))
            ]
            self.dropped = self._positions[least.cpu()]

    def hidden(
        self, layer: int, beside: bool, queries: Tensor, keys: Tensor
    ) -> Bool[Tensor, "queries keys"] | None:
        """Hide the dropped visual tokens in the later layers; a position always reads itself."""
        if self.dropped is None or layer <= self._layer or beside != bool(self._crossing):
            return None
        dropped = torch.isin(keys, self.dropped)[None]
        return (
            dropped.expand(len(queries), -1)
            if beside
            else dropped & (queries[:, None] != keys[None])
        )


class Together(Masking):
    """Several maskings at once: a key is hidden where any of them hides it."""

    def __init__(self, parts: Sequence[Masking], crossing: Collection[nn.Module]) -> None:
        super().__init__(crossing)
        self.parts = tuple(parts)

    def look(
        self,
        layer: int,
        beside: bool,
        module,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        named: dict,
    ) -> None:
        """Let every part learn what it needs."""
        for part in self.parts:
            part.look(layer, beside, module, query, key, mask, named)

    def hidden(
        self, layer: int, beside: bool, queries: Tensor, keys: Tensor
    ) -> Bool[Tensor, "queries keys"] | None:
        """Hide what any part hides."""
        found = [part.hidden(layer, beside, queries, keys) for part in self.parts]
        found = [each for each in found if each is not None]
        return torch.stack(found).any(0) if found else None


def mask_attention(
    network: PreTrainedModel, trace: Trace, interventions: Sequence[Cut | Drop]
) -> Callable[[], Masking]:
    """Make of some cuts and drops, at least one, what makes a masking for one answer.

    Raises:
        ModelError: this language model has no such layer, or there is no such share.
    """
    count, crossing = text_model.language_layers(network), architecture.crossing(network)
    cuts, drops = [], []
    for each in interventions:
        if isinstance(each, Drop):
            each.check(count)
            drops.append(each)
        else:
            window = each.window(count)
            cuts.append(HiddenKeys.between(trace, each.source, each.target, *window))
    positions = trace.visual_tokens.positions
    if drops and positions is None:
        positions = architecture.places_beside(trace.language_inputs, trace.encoded_image.inputs)

    def make() -> Masking:
        parts: list[Masking] = [Knockout(cuts, crossing)] if cuts else []
        parts += [FastV(positions.tolist(), each.layer, each.share, crossing) for each in drops]
        return parts[0] if len(parts) == 1 else Together(parts, crossing)

    return make


def _hide(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    scoring: Scoring,
    hidden: Bool[Tensor, "queries keys"],
) -> Tensor:
    """The mask with some keys hidden; where there is none, the one that was meant."""
    if mask is None:
        readable = causal_mask(query, key) if scoring.is_causal else ~torch.zeros_like(hidden)
        return (readable & ~hidden)[None, None]
    part = mask[..., : key.shape[2]]
    return (
        part & ~hidden
        if part.dtype == torch.bool
        else part.masked_fill(hidden, torch.finfo(part.dtype).min)
    )


def _readable(
    mask: Tensor | None, hidden: Bool[Tensor, "queries places"]
) -> Bool[Tensor, "1 1 queries places"]:
    """What of a picture beside the sequence may still be read."""
    if mask is None:
        return ~hidden[None, None]
    return (mask if mask.dtype == torch.bool else mask >= 0) & ~hidden


def masked(masking: Callable[[], Attend] | None) -> AbstractContextManager:
    """One reading during which a new `masking` stands in the place of attention.

    None: attention as always.
    """
    return replace_attention(masking()) if masking else nullcontext()


def under(masking: Attend, steps: Iterator[Step]) -> Iterator[Step]:
    """An answer as it comes while `masking` stands in the place of attention: in this stream only,
    not in what is done between its words.
    """
    while True:
        with replace_attention(masking):
            step = next(steps, None)
        if step is None:
            return
        yield step


@dataclass(frozen=True)
class Sweep:
    """What cutting one path in one window of layers does to one word.

    Attributes:
        token_id: the word.
        log_probability: the word's own, nothing cut.
        paths: names, see `PATHS`.
        windows: first and last layer of each window.
        change: of the log-probability; below 0 where the path was needed.
    """

    token_id: int
    log_probability: float
    paths: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    change: Float[np.ndarray, "paths windows"]


def windows(
    layers: int, width: int | None = None, stride: int | None = None
) -> tuple[tuple[int, int], ...]:
    """Windows of layers from the first to the last: by default a fifth of them wide (as Geva et al.
    took), each half a window further.

    Raises:
        ModelError: a window that does not fit.
    """
    width = width or max(1, round(layers / 5))
    stride = stride or max(1, width // 2)
    if not 1 <= width <= layers or stride < 1:
        raise ModelError(
            f"A window of {width} layers in steps of {stride} does not fit into {layers} layers."
        )
    starts = list(range(1, layers - width + 2, stride))
    if starts[-1] != layers - width + 1:
        starts.append(layers - width + 1)
    return tuple((start, start + width - 1) for start in starts)


@torch.inference_mode()
def sweep(
    network: PreTrainedModel,
    inputs: dict,
    trace: Trace,
    token_id: int,
    over: Sequence[tuple[int, int]],
    paths: Sequence[str] = tuple(PATHS),
    progress: Callable[[float], None] | None = None,
) -> Sweep:
    """Cut every path in every window and see what becomes of a word.

    What stands before the first position that is cut off is the same for all windows, so it is read
    once and its keys and values are reused where the model lets that be done; otherwise each window
    is a whole pass.

    Args:
        inputs: the arguments of the language model for VT + TT and the words before this one.
        progress: called with the fraction done.
    """

    def last(**arguments) -> float:
        hidden = text_model.language_trunk(network)(**arguments).last_hidden_state[:, -1:]
        return float(text_model.head(network, hidden)[0, -1].log_softmax(-1)[token_id])

    for path in paths:
        Cut.along(path)  # names a path that is not there
    cache, change, crossing = (
        _prefix_cache(network, inputs),
        np.zeros((len(paths), len(over)), np.float32),
        architecture.crossing(network),
    )
    before = last(
        **inputs,
        **({"use_cache": False} if cache is None else text_model.reading_on(network, cache)),
    )
    for row, path in enumerate(paths):
        for column, (first, final) in enumerate(over):
            cut = HiddenKeys.between(trace, *PATHS[path], first, final)
            rest = (
                _rest(
                    network,
                    inputs,
                    cache,
                    min(cut.queries, default=0),
                    int(max(trace.visual_tokens.positions)),
                )
                if cache is not None
                else None
            )
            if cut.queries or cut.beyond is not None:
                with replace_attention(Knockout([cut], crossing)):
                    change[row, column] = last(**(rest or {**inputs, "use_cache": False})) - before
            if progress:
                progress((row * len(over) + column + 1) / change.size)
    return Sweep(token_id, before, tuple(paths), tuple(over), change)


SHARED = {
    "inputs_embeds",
    "position_ids",
    "attention_mask",
    "visual_pos_masks",
    "deepstack_visual_embeds",
}


def _prefix_cache(network: PreTrainedModel, inputs: dict) -> DynamicCache | None:
    """An empty cache if a prefix of the sequence can be read once for all: plain layers, and nobody
    reads what comes later.
    """
    cache = DynamicCache(config=network.config.get_text_config())
    plain = all(type(layer) is DynamicLayer for layer in cache.layers)
    return (
        cache
        if plain
        and set(inputs) <= SHARED
        and (inputs.get("attention_mask") is None or inputs["attention_mask"].ndim == 2)
        else None
    )


def _rest(
    network: PreTrainedModel, inputs: dict, cache: DynamicCache, start: int, last_visual: int
) -> dict | None:
    """The arguments for the positions from `start` on, after those before them were read into a
    copy of `cache`; None if visual tokens are among them.
    """
    if start <= last_visual:
        return None
    rest = {"inputs_embeds": inputs["inputs_embeds"][:, start:]}
    if inputs.get("position_ids") is not None:
        rest["position_ids"] = inputs["position_ids"][..., start:]
    if inputs.get("attention_mask") is not None:
        rest["attention_mask"] = inputs["attention_mask"]
    known = copy.deepcopy(cache)
    known.crop(start - known.get_seq_length())
    return rest | text_model.reading_on(network, known)
