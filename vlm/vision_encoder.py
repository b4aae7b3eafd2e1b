"""X' and VT: one pass of the vision encoder f_v and the connector m_gamma, every layer kept."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vlm import architecture


@dataclass(frozen=True)
class Encoded:
    """Attributes:
    layers: the encoder's positions after the embedding (row 0) and after each layer; positions that are not patches come first.
    output: X', the very tensor that the connector read: the patches of one layer, or of several layers side by side.
    visual_tokens: what the connector made of them.
    """

    layers: Float[Tensor, "layers positions width"]
    output: Float[Tensor, "N F"]
    visual_tokens: Float[Tensor, "V D"]
    encoder_seconds: float
    connector_seconds: float


def encode_image(model: PreTrainedModel, pixel_values: Float[Tensor, "1 C H W"]) -> Encoded:
    """Run transformers' own `get_image_features` once; the moment the connector starts splits its time in two."""
    seen = []
    handle = architecture.connector(model).register_forward_pre_hook(lambda module, inputs: seen.append((_now(model), inputs[0])))
    start = _now(model)
    try:
        output = model.get_image_features(pixel_values=pixel_values, output_hidden_states=True, return_dict=True)
    finally:
        handle.remove()
    end = _now(model)
    visual = output.pooler_output
    visual = visual[0] if isinstance(visual, (list, tuple)) or visual.ndim == 3 else visual
    [(middle, connector_input)] = seen
    return Encoded(torch.cat(output.hidden_states), connector_input.flatten(0, -2), visual, middle - start, end - middle)


def _now(model: PreTrainedModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
