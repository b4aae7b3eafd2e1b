"""Families without a row: where things are is worked out from the loaded model itself and proven on
two photos, or the model is declined.

Found by running it: the connector is the part that gives the visual tokens, the learned positions
are what is added to the patches whatever the photo, m is how many patches become one token. Proven:
the stages give the logits of the model's own forward, as many visual tokens are counted as are
made, and what changes inside a token's box changes that token most while no patch looks at another.
"""

import logging
import math
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vlm.backends import architecture, text_model
from vlm.backends.attention import replace_attention
from vlm.backends.families import FAMILIES, LAYER_1, TOWERS, Family, Tower
from vlm.backends.hooks import capture_inputs, capture_outputs
from vlm.errors import ModelError, VLMError
from vlm.inspect import self_check

logger = logging.getLogger(__name__)
QUESTION = "What is in this image?"
SHAPES = ((240, 400), (320, 208))  # height and width of the photos it is proven on
BOXES = 6  # visual tokens whose boxes are proven, of each photo


@torch.inference_mode()
def work_out(model: Any) -> None:
    """Give the model's network the rows that it lacks, if they can be found and proven.

    Args:
        model: a `VisionLanguageModel` whose network has no row in `families.FAMILIES` or
            `families.TOWERS`.

    Raises:
        ModelError: they cannot; what could not be found or proven.
    """
    network = model.network
    try:
        network.worked_out = _provisional(network)
        network.worked_out = _found(model)
        for height, width in SHAPES:
            _prove(model, photo(height, width))
    except (VLMError, IndexError, *architecture.UNREADABLE) as error:
        vars(network).pop("worked_out", None)
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"This {network.config.model_type} model has no row in this version's tables, and could"
            f" not be worked out from itself: {reason}. It can be opened once it has a row, see"
            " 'How to add a family' in assets/docs/models.md."
        ) from error
    logger.info("%s was worked out: %s, %s", network.config.model_type, *network.worked_out)


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """A smooth photo in which no two places look alike."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (3, 3))
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        np.sin(5 * down + a) + np.sin(7 * across + b) + np.sin(4 * (down + across) + c)
        for a, b, c in phases
    ]
    return Image.fromarray(np.uint8(127.5 + 40 * np.stack(waves, axis=-1)))


def _provisional(network: nn.Module) -> tuple[Family, Tower]:
    """The encoder by transformers' own name for it, and what is known of its kind already."""
    paths = {module: path for path, module in network.named_modules()}
    tower = network.get_encoder(modality="image")
    if tower is network or tower not in paths:
        raise ModelError("which of its parts is the vision encoder does not show")
    text_model.language_trunk(network)  # is there one?
    if not hasattr(network, "get_image_features"):
        raise ModelError("transformers cannot run its vision encoder by itself")
    kind = network.config.model_type
    row = FAMILIES.get(kind) or Family(
        f"{kind} (worked out from the model itself)",
        tower=paths[tower],
        connector="",
    )
    return row, TOWERS.get(
        getattr(getattr(network.config, "vision_config", None), "model_type", None)
    ) or Tower(None, ())


def _found(model: Any) -> tuple[Family, Tower]:
    """The whole rows, from one pass over each of two photos."""
    network, (family, tower) = model.network, model.network.worked_out
    inputs, other = (
        model.on_device(model.inputs([photo(*SHAPES[0], seed)], QUESTION)) for seed in (0, 1)
    )
    if family.connector:
        return family, _tower(network, inputs, other)
    tower = tower if tower.layers else _tower(network, inputs, other)
    network.worked_out = family, tower
    around = [
        network,
        getattr(network, network.base_model_prefix, network),
        architecture.vision_tower(network),
    ]
    parts = dict.fromkeys(part for each in around for part in each.children())
    parts = [part for part in parts if part not in {*around, text_model.language_trunk(network)}]
    vision = architecture.vision_inputs(network, inputs)
    with ExitStack() as stack:
        gave = {part: stack.enter_context(capture_outputs(part)) for part in parts}
        given = {part: stack.enter_context(capture_inputs(part)) for part in parts}
        patched = stack.enter_context(capture_outputs(architecture.patch_convolution(network)))
        features = network.get_image_features(**vision, return_dict=True).pooler_output
    tokens = torch.cat(
        [each.flatten(0, -2) for each in ([features] if torch.is_tensor(features) else features)]
    )
    connector = next((part for part in parts if gave[part] and _same(gave[part][-1], tokens)), None)
    if connector is None:
        raise ModelError("none of its parts gives the visual tokens as they are")
    paths = {module: path for path, module in network.named_modules()}
    count = patched[0].numel() // architecture.patch_convolution(network).out_channels
    merge = math.isqrt(count // len(tokens))
    if merge**2 * len(tokens) != count:
        raise ModelError(
            f"{count} patches become {len(tokens)} visual tokens, which is not one for each m x m"
            " of them"
        )
    read = given[connector][-1][0]
    reads = (
        "connector"
        if torch.is_tensor(read) and read.numel() // read.shape[-1] >= count
        else "tower"
    )
    row = Family(
        family.name,
        merge=lambda config: merge,
        tower=family.tower,
        connector=paths[connector],
        reads=reads,
    )
    return row, tower


def _same(output: object, tokens: Tensor) -> bool:
    """Whether a part gave exactly these tokens, however they are grouped, and in whatever order (of
    windows, for example).
    """
    output = output[0] if isinstance(output, tuple) else output
    if (
        not torch.is_tensor(output)
        or output.shape[-1] != tokens.shape[-1]
        or output.numel() != tokens.numel()
    ):
        return False
    output = output.reshape(tokens.shape)
    return torch.equal(
        output[output[:, 0].argsort(stable=True)], tokens[tokens[:, 0].argsort(stable=True)]
    )


def _tower(network: nn.Module, inputs: dict, other: dict) -> Tower:
    """The row of a vision encoder: its projection, its longest list of layers, and how it knows
    places.
    """
    tower = architecture.vision_tower(network)
    named = dict(tower.named_modules())
    cuts = [
        name
        for name, part in named.items()
        if isinstance(part, (nn.Conv2d, nn.Conv3d))
        and part.in_channels == 3
        and part.kernel_size == part.stride
    ]
    lists = sorted(
        (name for name, part in named.items() if isinstance(part, nn.ModuleList)),
        key=lambda name: -len(named[name]),
    )
    if not cuts or not lists:
        raise ModelError(
            f"its vision encoder, a {type(tower).__name__}, does not cut the photo by one"
            " convolution or has no list of layers"
        )
    # may add positions to what it projects
    around = [name for name in named if name and cuts[0].startswith(f"{name}.")]
    turning = [
        name
        for name, part in named.items()
        if any(word in name.rpartition(".")[2] for word in ("rotary", "rope", "positional"))
    ]
    runs = []
    for given in (inputs, other):
        with ExitStack() as stack:
            heard = {
                name: stack.enter_context(capture_outputs(named[name]))
                for name in [cuts[0], *around, *turning]
            }
            first = stack.enter_context(capture_inputs(named[lists[0]][0]))
            network.get_image_features(
                **architecture.vision_inputs(network, given), return_dict=True
            )
        runs.append(({name: outputs[0] for name, outputs in heard.items() if outputs}, first[0][0]))
    projected = [_rows(heard[cuts[0]], named[cuts[0]].out_channels) for heard, _ in runs]
    count = len(projected[0])

    def added(name: str) -> bool:
        """Whether this is the projection and something that does not depend on the photo."""
        gave = [
            _rows(first if name == LAYER_1 else heard[name], projected[0].shape[1], count)
            for heard, first in runs
        ]
        if any(each is None for each in gave):
            return False
        plus = [each - projection for each, projection in zip(gave, projected)]
        # a table may be all zeros
        holds = name == LAYER_1 or any(
            "pos" in parameter for parameter, _ in named[name].named_parameters()
        )
        return holds and bool((plus[0] - plus[1]).abs().max() <= 1e-2 * projected[0].abs().max())

    learned = [name for name, _ in tower.named_parameters() if "pos" in name]
    embedded = next((name for name in [*around, LAYER_1] if added(name)), None) if learned else None
    rotary = next(
        (name for name in turning if name in runs[0][0] and _turns(runs[0][0][name], count)), None
    )
    if (learned and embedded is None) or (rotary is None and embedded is None):
        raise ModelError(
            "how its vision encoder tells places could not be found out"
            f" ({', '.join((learned or turning)[:1]) or 'no part is named after it'})"
        )
    return Tower(cuts[0], (lists[0],), embedded, rotary)


def _rows(output: object, width: int, count: int | None = None) -> Tensor | None:
    """One row a patch of what a part gave, the positions before each picture's patches left out.

    None if it is something else.
    """
    output = output[0] if isinstance(output, tuple) else output
    if not torch.is_tensor(output):
        return None
    if output.ndim == 4 and output.shape[1] == width:
        output = output.flatten(2).transpose(1, 2)  # a grid a picture
    elif count is None:
        return output.flatten(1)
    output = output[None] if output.ndim == 2 else output
    if (
        output.ndim != 3
        or output.shape[-1] != width
        or (count is not None and (count % len(output) or output.shape[1] < count // len(output)))
    ):
        return None
    return (
        output if count is None else output[:, output.shape[1] - count // len(output) :]
    ).flatten(0, 1)


def _turns(output: object, count: int) -> bool:
    """Whether this is a cosine and a sine for each patch."""
    return (
        isinstance(output, tuple)
        and len(output) == 2
        and all(torch.is_tensor(each) and each.flatten(0, -2).shape[0] == count for each in output)
    )


def _prove(model: Any, image: Image.Image) -> None:
    """Refuse a model whose stages do not give what its own forward gives.

    Raises:
        ModelError: what does not hold.
    """
    text_model.final_norm(model.network)  # refuses if something else stands before the head
    trace = model.encode(image, QUESTION)  # refuses if the visual tokens are not as many as counted
    read = model.prefill(trace)
    share = self_check.TOLERANCE.get(model.network.dtype, self_check.TOLERANCE[torch.bfloat16])
    scales = (np.abs(trace.visual_tokens.embeddings).max(), float(read.logits.abs().max()))
    for check, scale in zip(model.check(trace), scales):
        if not check.difference <= share * scale:
            raise ModelError(
                f"its stages do not give what its own forward gives ({check.name} differ by"
                f" {check.difference:.2g})"
            )
    with replace_attention(_alone):
        before = model.encode_image(image).visual_tokens
        sides = np.array([0, 0, image.height, image.width]) * [1, 1, -1, -1]
        # without those that show a margin
        [whole] = np.nonzero((before.boxes * [1, 1, -1, -1] >= sides - 1e-6).all(1))
        if not len(whole):
            raise ModelError("no visual token has a place in the photo")
        for token in whole[np.unique(np.linspace(0, len(whole) - 1, BOXES).astype(int))]:
            again = model.encode_image(self_check.changed(image, before.boxes[token])).visual_tokens
            change = np.linalg.norm(again.embeddings - before.embeddings, axis=1)
            if not change[token] or not self_check.shows_the_same(
                before.boxes[int(change.argmax())], before.boxes[token]
            ):
                raise ModelError(
                    f"what changes in the box of visual token {token} changes another one more"
                )


def _alone(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **named
) -> tuple[Tensor, None]:
    """Attention in which every position looks at itself alone."""
    value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
    return value.transpose(1, 2).contiguous(), None
