"""X' and VT: one pass of the vision encoder f_v and the connector m_gamma, every layer kept; and who looks at whom in it."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vlm import architecture
from vlm.attention import recording
from vlm.listening import entering, passing
from vlm.records import EncoderAttention


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


def encoder_attention(model: PreTrainedModel, pixel_values: Float[Tensor, "1 C H W"], layer: int, prefix: int) -> EncoderAttention:
    """Run the encoder once more and record one layer's weights and the rollout up to it; `layer` 1 is the first."""
    chosen, rollout, count = None, None, 0

    def record(weights: Float[Tensor, "heads queries keys"]) -> None:
        nonlocal chosen, rollout, count
        count += 1
        if count > layer:
            return
        mean = (weights.mean(0) + torch.eye(weights.shape[-1], device=weights.device)) / 2
        rollout = mean if rollout is None else mean @ rollout
        chosen = weights

    with recording(record):
        architecture.vision_tower(model)(pixel_values=pixel_values)
    return EncoderAttention(layer, chosen.cpu().numpy(), rollout.cpu().numpy(), prefix)


def _now(model: PreTrainedModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()
