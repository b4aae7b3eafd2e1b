"""X' and VT: one pass of the vision encoder f_v and the connector m_gamma, every layer kept; and who looks at whom in it."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vlm import architecture
from vlm.attention import Weights, recording
from vlm.device import to_numpy
from vlm.errors import ModelError
from vlm.listening import entering, passing


@dataclass(frozen=True)
class Encoded:
    """Attributes:
    projections: each patch after the linear projection, before its position embedding is added.
    embedded: each patch with its position embedding.
    layers: the encoder's positions after the embedding (row 0) and after each layer; positions that are not patches come first.
    output: X', the very tensor that the connector read: the patches of one layer, or of several layers side by side.
    visual_tokens: what the connector made of them.
    """

    projections: Float[Tensor, "N width"]
    embedded: Float[Tensor, "N width"]
    layers: Float[Tensor, "layers positions width"]
    output: Float[Tensor, "N F"]
    visual_tokens: Float[Tensor, "V D"]
    encoder_seconds: float
    connector_seconds: float


def encode_image(model: PreTrainedModel, pixel_values: Float[Tensor, "1 C H W"]) -> Encoded:
    """Run transformers' own `get_image_features` once, and listen; the moment the connector starts splits its time in two."""
    projection, embeddings, connector = architecture.patch_convolution(model), architecture.patch_embeddings(model), architecture.connector(model)
    with passing(projection) as projected, passing(embeddings) as embedded, entering(connector, lambda: _now(model)) as entered:
        start = _now(model)
        output = model.get_image_features(pixel_values=pixel_values, output_hidden_states=True, return_dict=True)
        end = _now(model)
    visual = output.pooler_output
    visual = visual[0] if isinstance(visual, (list, tuple)) or visual.ndim == 3 else visual
    [(read, middle)], [patches], [positioned] = entered, projected, embedded
    patches = patches[0].flatten(1).T
    return Encoded(
        projections=patches,
        embedded=positioned[0, -len(patches) :],
        layers=torch.cat(output.hidden_states),
        output=read.flatten(0, -2),
        visual_tokens=visual,
        encoder_seconds=middle - start,
        connector_seconds=end - middle,
    )


@dataclass(frozen=True)
class EncoderAttention:
    """Who looks at whom in every layer of the vision encoder, from the queries and keys of one pass.

    Attributes:
        layers: the weights of each layer, computed when called.
        prefix: how many positions are not patches (CLS, registers); they come first.
    """

    layers: tuple[Weights, ...]
    prefix: int

    def weights(self, layer: int) -> Float[np.ndarray, "heads positions positions"]:
        """One map a head; each row, what one position reads, sums to 1. Layer 1 is the first.

        Raises:
            ModelError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ModelError(f"The vision encoder has layers 1 to {len(self.layers)}; {layer} is none of them.")
        return to_numpy(self.layers[layer - 1]())

    def rollout(self, layer: int, position: int) -> Float[np.ndarray, " positions"]:
        """What one position has read of every other by way of layers 1 to `layer`: its row of the product of (mean of the heads + identity) / 2.

        Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020.
        """
        row = None
        for weights in reversed(self.layers[:layer]):
            mean = weights().mean(0)
            row = torch.eye(len(mean), device=mean.device)[position] if row is None else row
            row = (row @ mean + row) / 2
        return to_numpy(row)


def encoder_attention(model: PreTrainedModel, pixel_values: Float[Tensor, "1 C H W"], prefix: int) -> EncoderAttention:
    """Run the encoder once more and keep its queries and keys."""
    layers: list[Weights] = []
    with recording(layers.append):
        architecture.vision_tower(model)(pixel_values=pixel_values)
    return EncoderAttention(tuple(layers), prefix)


def _now(model: PreTrainedModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
