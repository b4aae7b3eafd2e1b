"""A test-time register: an extra blank token in a vision transformer that takes over what made a
few patches outliers.

Jiang et al., "Vision Transformers Don't Need Trained Registers", 2025 (arXiv 2506.08010): the great
lengths of a few patches (Darcet et al., 2023) come from a few neurons of the MLPs, "register
neurons". If those are moved to an additional token that shows nothing, the patches are as long as
the others and the encoder's output stays as it was. No weight changes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlm.backends import architecture
from vlm.backends.device import to_numpy
from vlm.backends.hooks import capture_inputs, capture_outputs
from vlm.errors import ModelError
from vlm.records.trace import EncodedImage

NEURONS = 10  # of all layers up to the one where the outliers are
SAME = 2e-2  # of the largest feature: the encoder called alone must give what it gave


@dataclass(frozen=True)
class Registered:
    """Attributes:
    neurons: (layer, neuron) pairs that were moved, the strongest first; layer 1 is the first.
    before, after: the length of each patch after each layer, as it is and with the extra token.
    cosine: of the encoder's vector for the whole picture (CLS, else the mean patch) before and
    after, after its last layer.
    """

    neurons: tuple[tuple[int, int], ...]
    before: Float[np.ndarray, "layers N"]
    after: Float[np.ndarray, "layers N"]
    cosine: float


@torch.inference_mode()
def move(
    model: Any,
    encoded_image: EncodedImage,
    outliers: Bool[np.ndarray, " N"],
    layer: int,
    count: int = NEURONS,
) -> Registered:
    """Find the neurons that make these patches outliers after `layer`, and move what they do to an
    extra token.

    A neuron is ranked by how much more it says at the outliers than elsewhere: the difference of
    its mean absolute activation times the length of what it writes.

    Raises:
        ModelError: the encoder takes no extra token: it is told places by turning queries and keys,
            or is no vision transformer.
    """
    network, tower = model.network, architecture.vision_tower(model.network)
    layers, embeddings, pictures = (
        architecture.encoder_layers(network),
        architecture.embedding_module(network),
        len(encoded_image.patches.pictures),
    )
    writers = [_writer(each) for each in layers]
    pixels = encoded_image.inputs.get("pixel_values")
    if (
        embeddings is None
        or not layers
        or None in writers
        or pixels is None
        or pixels.ndim < 4
        or len(encoded_image.patches.boxes) % pictures
        or architecture.tile_places(encoded_image.inputs)
    ):
        raise ModelError(
            "The encoder of this model takes no extra token: it tells places by turning queries and"
            " keys, reads empty tiles too, or its layers are not a transformer's."
        )
    pixels = pixels.reshape(-1, *pixels.shape[-3:]).to(network.device, network.dtype)
    patches = len(encoded_image.patches.boxes) // pictures

    def run(extra: int) -> list[Float[Tensor, "pictures positions width"]]:
        with ExitStack() as stack:
            outputs = [stack.enter_context(capture_outputs(each)) for each in layers]
            tower(pixel_values=pixels)
        return [
            (output[0][0] if isinstance(output[0], tuple) else output[0])[:, : -extra or None]
            for output in outputs
        ]

    with ExitStack() as stack:
        activations = [stack.enter_context(capture_inputs(writer)) for writer in writers]
        before = run(0)
    prefix = before[0].shape[1] - patches
    whole = to_numpy(torch.stack([each[:, prefix:].flatten(0, 1) for each in before]))
    if (
        whole.shape != encoded_image.patch_features[1:].shape
        or np.abs(whole - encoded_image.patch_features[1:]).max() > SAME * np.abs(whole).max()
    ):
        raise ModelError(
            "The encoder of this model cannot be run on its pictures alone, so no extra token can"
            " be given to it."
        )
    found: list[tuple[float, int, int]] = []
    at = torch.from_numpy(outliers).to(network.device)
    for number, (heard, writer) in enumerate(zip(activations[:layer], writers)):
        says = (
            heard[0][0]
            .reshape(pictures, -1, writer.in_features)[:, prefix:]
            .flatten(0, 1)
            .float()
            .abs()
        )
        more = (says[at].mean(0) - says[~at].mean(0)) * writer.weight.float().norm(dim=0)
        found += [
            (float(more[neuron]), number, int(neuron))
            for neuron in more.topk(min(count, len(more))).indices
        ]
    neurons = [(number, neuron) for _, number, neuron in sorted(found, reverse=True)[:count]]
    with ExitStack() as stack:
        stack.enter_context(
            _changed(
                embeddings, after=lambda out: torch.cat([out, torch.zeros_like(out[:, :1])], dim=1)
            )
        )
        for number in {number for number, _ in neurons}:
            moved = torch.tensor(
                [neuron for of, neuron in neurons if of == number], device=network.device
            )
            stack.enter_context(
                _changed(
                    writers[number],
                    before=lambda says, moved=moved: _to_the_last(says, moved, pictures),
                )
            )
        after = run(1)
    vectors = [states[-1][:, 0] if prefix else states[-1].mean(1) for states in (before, after)]
    lengths = [
        to_numpy(
            torch.stack([each[:, prefix:].flatten(0, 1).float().norm(dim=-1) for each in states])
        )
        for states in (before, after)
    ]
    cosine = torch.nn.functional.cosine_similarity(*(vector.float() for vector in vectors)).mean()
    return Registered(
        tuple((number + 1, neuron) for number, neuron in neurons), *lengths, float(cosine)
    )


def _writer(layer: nn.Module) -> nn.Linear | None:
    """The linear map that writes what a layer's neurons say into its tokens."""
    maps = [
        module
        for module in getattr(layer, "mlp", nn.Module()).modules()
        if isinstance(module, nn.Linear)
    ]
    return maps[-1] if maps else None


def _to_the_last(says: Tensor, neurons: Tensor, pictures: int) -> Tensor:
    """The activations with some neurons silent but at the last token, where each says the strongest
    of what it said anywhere.
    """
    changed = says.reshape(pictures, -1, says.shape[-1]).clone()
    of = changed[..., neurons]
    strongest = of.gather(1, of.abs().argmax(1, keepdim=True))
    changed[..., neurons] = 0
    changed[:, -1:, neurons] = strongest
    return changed.reshape(says.shape)


@contextmanager
def _changed(
    module: nn.Module,
    before: Callable[[Tensor], Tensor] | None = None,
    after: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[None]:
    """What the module is given, or gives, changed in this thread while the context is open."""
    import threading

    thread = threading.get_ident()

    def here() -> bool:
        return threading.get_ident() == thread

    if before is not None:
        handle = module.register_forward_pre_hook(
            lambda module, inputs: (before(inputs[0]), *inputs[1:]) if here() else None
        )
    else:
        handle = module.register_forward_hook(
            lambda module, inputs, output: after(output) if here() else None
        )
    try:
        yield
    finally:
        handle.remove()
