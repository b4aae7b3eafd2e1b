"""X' and VT: one pass of the vision encoder f_v and the connector m_gamma, every layer kept.

And who looks at whom in it.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vlm.backends import architecture
from vlm.backends.attention import Scoring, as_always, replace_attention, weights
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy
from vlm.backends.hooks import capture_inputs, capture_outputs
from vlm.errors import ModelError

ensure_torchvision()

from transformers import PreTrainedModel
from transformers.utils import ModelOutput


@dataclass(frozen=True)
class Encoded:
    """Attributes:
    projections: each patch after the linear projection, before its position embedding is added;
    None where nothing is projected.
    positions: the learned position embedding added to each; None where there is none.
    rotation: the angle in radians by which each pair of numbers of a query or key is turned at each
    patch; None where nothing is.
    layers: the patches as the first layer reads them (row 0) and after each layer.
    prefix: the positions that are not patches (CLS, registers), picture after picture.
    output: X', what the connector read of each patch.
    visual_tokens: what the connector made of them.
    kept: what the model's own forward needs of all this to go on.
    """

    projections: Float[Tensor, "N width"] | None
    positions: Float[Tensor, "N width"] | None
    rotation: Float[Tensor, "N pairs"] | None
    layers: Float[Tensor, "layers N width"]
    prefix: Float[Tensor, "layers prefix width"]
    output: Float[Tensor, "N F"]
    visual_tokens: Float[Tensor, "V D"]
    kept: ModelOutput | Tensor
    encoder_seconds: float
    connector_seconds: float


def encode_image(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], places: Int[Tensor, "N 3"]
) -> Encoded:
    """Run transformers' own `get_image_features` (or the forward up to the language model) once,
    and listen.

    The moment the connector starts splits its time in two.

    Args:
        inputs: what the processor made for the encoder.
        places: picture, row and column of each patch.
    """
    count, order, tiles = (
        len(places),
        architecture.window_order(model, inputs),
        architecture.tile_places(inputs),
    )
    layers, tower, connector = (
        architecture.encoder_layers(model),
        architecture.vision_tower(model),
        architecture.connector(model),
    )
    listened = {
        "projection": architecture.patch_convolution(model),
        "embedded": architecture.embedding_module(model),
        "rotary": architecture.rotary_module(model),
    }
    with ExitStack() as stack:
        heard = {
            name: stack.enter_context(capture_outputs(module))
            for name, module in listened.items()
            if module is not None
        }
        first = stack.enter_context(capture_inputs(layers[0])) if layers else []
        outputs = [stack.enter_context(capture_outputs(layer)) for layer in layers]
        towered = stack.enter_context(capture_outputs(tower))
        entered = stack.enter_context(capture_inputs(connector, lambda: _now(model)))
        start = _now(model)
        visual_tokens, kept = _run(model, inputs)
        end = _now(model)
    [(read, middle)] = entered
    split = partial(_patches_and_prefix, count=count, order=order, tiles=tiles)
    projected = (
        _projections(heard["projection"][0], places, tiles) if "projection" in heard else None
    )
    states = [split(first[0][0]), *(split(output[0]) for output in outputs)] if layers else []
    embedded = (
        split(heard["embedded"][0])[0]
        if "embedded" in heard
        else states[0][0]
        if architecture.has_learned_positions(model)
        else None
    )
    if architecture.family(model).reads == "tower" or not torch.is_tensor(read):
        read = towered[0].last_hidden_state
    output, _ = split(read)
    return Encoded(
        projections=projected,
        positions=None if embedded is None else embedded - projected,
        rotation=_rotation(heard["rotary"][0]) if "rotary" in heard else None,
        layers=torch.stack([patches for patches, _ in states]) if states else output[None],
        prefix=torch.stack([prefix for _, prefix in states]) if states else output[None, :0],
        output=output,
        visual_tokens=visual_tokens,
        kept=kept,
        encoder_seconds=middle - start,
        connector_seconds=end - middle,
    )


def _run(
    model: PreTrainedModel, inputs: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "V D"], ModelOutput | Tensor]:
    """The visual tokens, and what the model's own forward needs of them to go on."""
    name = architecture.family(model).given_as
    if not name:
        features = model.get_image_features(**inputs, return_dict=True)
        return _joined(features.pooler_output), _without_states(features)
    given = architecture.at_the_door(model, inputs)
    return (
        architecture.crossed_tokens(given, inputs)
        if architecture.family(model).crossed
        else _joined(given[name])
    ), given[name]


def _patches_and_prefix(
    hidden: Tensor | tuple,
    count: int,
    order: Int[Tensor, " N"] | None,
    tiles: tuple[int, Int[Tensor, " tiles"]] | None,
) -> tuple[Float[Tensor, "N width"], Float[Tensor, "prefix width"]]:
    """The vectors of the `count` patches, and those of the positions that stand before each
    picture's patches.
    """
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    # of each tile CLS, the patches, perhaps empty positions; some tiles are empty as a whole
    if tiles is not None:
        places, used = tiles
        mine = hidden.reshape(places, -1, hidden.shape[-1])[used.to(hidden.device)]
        return mine[:, 1 : 1 + count // len(used)].flatten(0, 1), mine[:, 0]
    hidden = hidden[None] if hidden.ndim == 2 else hidden
    each = count // len(hidden)
    before = hidden.shape[1] - each
    patches = hidden[:, before:].flatten(0, 1)
    return patches if order is None else patches[order], hidden[:, :before].flatten(0, 1)


def _projections(
    output: Tensor, places: Int[Tensor, "N 3"], tiles: tuple[int, Int[Tensor, " tiles"]] | None
) -> Float[Tensor, "N width"]:
    """Put a convolution's output, one row a patch already or a grid a picture, in patch order."""
    if output.ndim != 4:
        return output.flatten(1)
    picture, row, column = places.to(output.device).unbind(1)
    picture = picture if tiles is None else tiles[1].to(output.device)[picture]
    return output[picture, :, row, column]


def _rotation(turning: tuple[Tensor, Tensor]) -> Float[Tensor, "N pairs"]:
    """The angles behind the cosines and sines.

    The encoder's own rotary modules give them in the processor's order of patches.
    """
    cosine, sine = (each.flatten(0, -2).float() for each in turning)
    angles = torch.atan2(sine, cosine)
    return angles[:, : angles.shape[1] // 2]


def _joined(visual: Tensor | Sequence[Tensor]) -> Float[Tensor, "V D"]:
    """The visual tokens of all photos, one after another."""
    if torch.is_tensor(visual):
        return visual.flatten(0, -2)
    return torch.cat([each.flatten(0, -2) for each in visual])


def _without_states(given: ModelOutput) -> ModelOutput:
    """What `get_image_features` gave, without the layers, which are kept elsewhere."""
    return type(given)(
        **{
            name: None if name in ("hidden_states", "attentions", "last_hidden_state") else value
            for name, value in given.items()
        }
    )


@dataclass(frozen=True)
class Attended:
    """Queries and keys of one call of an encoder's attention."""

    query: Float[Tensor, "items heads queries size"]
    key: Float[Tensor, "items groups keys size"]
    mask: Tensor | None
    scoring: Scoring

    def weights(
        self, item: int, rows: slice | list[int] = slice(None)
    ) -> Float[Tensor, "heads queries keys"]:
        """Those of some queries of one item of the batch, see `attention.weights`."""
        mask = (
            None
            if self.mask is None
            else self.mask[min(item, len(self.mask) - 1)][None][
                ..., rows if self.mask.shape[-2] > 1 else slice(None), :
            ]
        )
        query, key = self.query[item : item + 1], self.key[item : item + 1]
        return weights(query[:, :, rows], key, mask, self.scoring)


@dataclass(frozen=True)
class EncoderAttention:
    """Who looks at whom in every layer of the vision encoder, from the queries and keys of one
    pass.

    A layer's calls follow each other: one for all pictures (a batch), or one for each picture or
    window. Memory: queries and keys of every layer, 2 x layers x N x width numbers; a map is
    computed when it is asked for.

    Attributes:
        layers: the calls of each layer.
        positions: where each patch stands among the positions of the encoder: those of one picture
            or window after those of another, CLS and registers included.
    """

    layers: tuple[tuple[Attended, ...], ...]
    positions: Int[np.ndarray, " N"]
    _starts: dict = field(default_factory=dict, compare=False, repr=False)

    def check(self, layer: int) -> None:
        """Refuse the number of a layer that the vision encoder does not have.

        Raises:
            ModelError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ModelError(
                f"The vision encoder has layers 1 to {len(self.layers)}; {layer} is none of them."
            )

    def weights(self, layer: int, item: int = 0) -> Float[np.ndarray, "heads positions positions"]:
        """One map a head of the positions that see each other (a picture, a window); each row, what
        one position reads, sums to 1. Layer 1 is the first.

        Raises:
            ModelError: there is no such layer.
        """
        self.check(layer)
        call, inside, _ = self._items(layer)[item]
        return to_numpy(call.weights(inside))

    def row(self, layer: int, patch: int) -> Float[np.ndarray, "heads N"]:
        """What one patch reads of every patch; zero where it cannot look.

        Raises:
            ModelError: there is no such layer.
        """
        read, start = self._read(layer, patch)
        row, here = (
            np.zeros((len(read), len(self.positions)), np.float32),
            self._within(start, read.shape[1]),
        )
        row[:, here] = read[:, self.positions[here] - start]
        return row

    def elsewhere(self, layer: int, patch: int) -> float:
        """The share that goes to positions that are no patches, mean of the heads."""
        read, start = self._read(layer, patch)
        read = read.copy()
        read[:, self.positions[self._within(start, read.shape[1])] - start] = 0
        return float(read.sum(1).mean())

    def rollout(self, layer: int, patch: int) -> Float[np.ndarray, " N"]:
        """What one patch has read of every other by way of layers 1 to `layer`: its row of the
        product of (mean of the heads + identity) / 2.

        One layer's maps of one picture are in memory at a time.

        Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020.
        """
        self.check(layer)
        _, _, last = self._items(layer)[-1]
        row = torch.zeros(last + self._items(layer)[-1][0].key.shape[-2])
        row[int(self.positions[patch])] = 1
        for number in range(layer, 0, -1):
            after = row / 2
            for call, inside, start in self._items(number):
                here = row[start : start + call.key.shape[-2]]
                if here.any():
                    after[start : start + len(here)] += (
                        here @ call.weights(inside).mean(0).cpu() / 2
                    )
            row = after
        return to_numpy(row)[self.positions]

    def _items(self, layer: int) -> list[tuple[Attended, int, int]]:
        """(call, item of its batch, the first of its positions) in the encoder's order."""
        if layer not in self._starts:
            items, start = [], 0
            for call in self.layers[layer - 1]:
                for inside in range(len(call.query)):
                    items.append((call, inside, start))
                    start += call.key.shape[-2]
            self._starts[layer] = items
        return self._starts[layer]

    def _within(self, start: int, count: int) -> Bool[np.ndarray, " N"]:
        """Which patches stand at one of `count` positions from `start` on."""
        return (self.positions >= start) & (self.positions < start + count)

    def _read(self, layer: int, patch: int) -> tuple[Float[np.ndarray, "heads keys"], int]:
        self.check(layer)
        place = int(self.positions[patch])
        call, inside, start = [item for item in self._items(layer) if item[2] <= place][-1]
        return to_numpy(call.weights(inside, [place - start])[:, 0]), start


def encoder_attention(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], count: int
) -> EncoderAttention:
    """Run the encoder once more and keep its queries and keys.

    Args:
        count: patches in all.

    Raises:
        ModelError: the encoder has no attention between patches.
    """
    layers = architecture.encoder_layers(model)
    if not layers:
        raise ModelError(
            "This vision encoder is made of convolutions that shrink the picture: no patch looks at"
            " another, so there is no attention to show."
        )
    of = {module: number for number, layer in enumerate(layers) for module in layer.modules()}
    calls: list[list[Attended]] = [[] for _ in layers]

    def attend(module, query, key, value, mask, **named):
        if module in of:
            # an encoder's patches look at each other whichever stands first
            scoring = replace(Scoring.of(module, named), is_causal=False)
            calls[of[module]].append(Attended(query, key, mask, scoring))
        return as_always(module, query, key, value, mask, **named)

    with replace_attention(attend):
        _run(model, inputs)
    if not all(calls):
        raise ModelError(
            f"This vision encoder ({type(architecture.vision_tower(model)).__name__}) computes its"
            " attention by itself and does not hand out queries and keys, so there is none to show."
        )
    return EncoderAttention(
        tuple(map(tuple, calls)),
        _positions(
            calls[0],
            count,
            architecture.window_order(model, inputs),
            architecture.tile_places(inputs),
        ),
    )


def _positions(
    calls: Sequence[Attended],
    count: int,
    order: Int[Tensor, " N"] | None,
    tiles: tuple[int, Int[Tensor, " tiles"]] | None,
) -> Int[np.ndarray, " N"]:
    """Find where each patch stands among one layer's positions: see `_patches_and_prefix`."""
    if order is not None:
        return to_numpy(order)
    every = sum(len(call.query) * call.key.shape[-2] for call in calls)
    if every == count:
        return np.arange(count)
    if tiles is not None:
        places, used = tiles
        return (
            to_numpy(used)[:, None] * (every // places) + 1 + np.arange(count // len(used))
        ).ravel()
    pictures = sum(len(call.query) for call in calls)
    return (
        np.arange(pictures)[:, None] * (every // pictures)
        + (every - count) // pictures
        + np.arange(count // pictures)
    ).ravel()


def _now(model: PreTrainedModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
