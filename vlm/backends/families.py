"""The families of models this program looks into, as data: one row a family, one row a kind of
vision encoder.

A row says where things are, as dotted paths inside transformers' classes, and what the connector
makes of the patches. What a photo becomes before the encoder sees it is a matter of the image
processor: see `layouts.PICTURES`. Adding a family is adding a row; the tests prove or refute it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LAYER_1 = "layer 1"


@dataclass(frozen=True)
class Tower:
    """A kind of vision encoder f_v, by its `model_type`.

    Attributes:
        projection: the convolution that projects every patch; None where patches are not projected
            one by one.
        layers: the lists of its layers, one after the other; none where it has no layers that keep
            one vector a patch.
        embedded: what gives projection plus learned position embedding; LAYER_1: what its first
            layer reads; None: it learns none.
        rotary: what gives the cosine and sine by which queries and keys are turned at each place;
            None where nothing is turned.
    """

    projection: str | None
    layers: tuple[str, ...]
    embedded: str | None = "embeddings"
    rotary: str | None = None


@dataclass(frozen=True)
class Family:
    """A family of vision-language models, by the `model_type` of its configuration.

    Attributes:
        name: as people call it.
        tokens: how its connector makes visual tokens out of patches; a name in
            `token_layouts.TOKENS`.
        merge: (configuration) -> m, where m x m patches become one visual token.
        tower: f_v.
        connector: m_gamma.
        reads: X' is what the "connector" is given, or what the "tower" gives (where the connector
            is called with something else).
        prompt: the words around a question for checkpoints without a chat template.
        per_question: the connector reads the question too, so that every question has its own
            visual tokens.
        least: visual tokens of a photo; transformers' own forward fails on fewer.
        given_as: by which argument the model's own forward takes visual tokens that were made
            before, and hands them to `language`, in classes without `get_image_features`; None in
            the others.
        crossed: the language model reads the visual tokens by cross-attention: they have no
            positions in its sequence.
        marked_by: what the processor marks the visual positions with, where no single placeholder
            id does.
    """

    name: str
    tokens: str = "merged"
    merge: Callable[[Any], int] = lambda config: 1
    tower: str = "model.vision_tower"
    connector: str = "model.multi_modal_projector"
    reads: str = "connector"
    prompt: str | None = None
    per_question: bool = False
    least: int = 1
    given_as: str | None = None
    crossed: bool = False
    marked_by: str | None = None


def _qwen(name: str) -> Family:
    return Family(
        name,
        merge=lambda config: config.vision_config.spatial_merge_size,
        tower="model.visual",
        connector="model.visual.merger",
    )


def _idefics(name: str) -> Family:
    return Family(
        name,
        merge=lambda config: config.scale_factor,
        tower="model.vision_model",
        connector="model.connector",
    )


def _blip(name: str, prompt: str, per_question: bool) -> Family:
    return Family(
        name,
        "queries",
        reads="tower",
        prompt=prompt,
        per_question=per_question,
        tower="vision_model",
        connector="qformer",
    )


FAMILIES = {
    "llava": Family("LLaVA"),
    "vipllava": Family("ViP-LLaVA"),
    "llava_next": Family("LLaVA-NeXT", "packed"),
    "llava_onevision": Family("LLaVA-OneVision", "packed"),
    "idefics3": _idefics("Idefics3"),
    "smolvlm": _idefics("SmolVLM"),
    "qwen2_vl": _qwen("Qwen2-VL"),
    "qwen2_5_vl": _qwen("Qwen2.5-VL"),
    "qwen3_vl": _qwen("Qwen3-VL"),
    "qwen3_vl_moe": _qwen("Qwen3-VL, mixture of experts"),
    "qwen3_5": _qwen("Qwen3.5"),
    "qwen3_5_moe": _qwen("Qwen3.5, mixture of experts"),
    "internvl": Family(
        "InternVL", merge=lambda config: round(1 / config.downsample_ratio), reads="tower"
    ),
    "paligemma": Family("PaliGemma", prompt="<image>answer en {question}"),
    "gemma3": Family(
        "Gemma 3",
        merge=lambda config: (
            config.vision_config.image_size
            // config.vision_config.patch_size
            // math.isqrt(config.mm_tokens_per_image)
        ),
    ),
    "mistral3": Family("Mistral 3", merge=lambda config: config.spatial_merge_size, least=2),
    "lighton_ocr": Family(
        "LightOnOCR",
        merge=lambda config: config.spatial_merge_size,
        tower="model.vision_encoder",
        connector="model.vision_projection",
    ),
    "aya_vision": Family("Aya Vision", merge=lambda config: config.downsample_factor),
    "cohere2_vision": Family("Command A Vision", merge=lambda config: config.downsample_factor),
    "blip-2": _blip("BLIP-2", "Question: {question} Answer:", per_question=False),
    "instructblip": _blip("InstructBLIP", "{question}", per_question=True),
    "fast_vlm": Family("FastVLM"),
    "mllama": Family(
        "Llama 3.2 Vision",
        "tiled",
        given_as="cross_attention_states",
        crossed=True,
        tower="model.vision_model",
    ),
    "kosmos-2": Family(
        "KOSMOS-2",
        "queries",
        given_as="image_embeds",
        marked_by="image_embeds_position_mask",
        tower="vision_model",
        connector="image_to_text_projection",
        prompt="Question: {question} Answer:",
    ),
}

_VIT = Tower("embeddings.patch_embedding", ("encoder.layers",))
_WITH_PROJECTION = Tower("embeddings.patch_embeddings.projection", ("encoder.layer",))
_ROTARY = Tower("patch_embed.proj", ("blocks",), None, "rotary_pos_emb")
_LEARNED_AND_ROTARY = Tower("patch_embed.proj", ("blocks",), LAYER_1, "rotary_pos_emb")

TOWERS = {
    "clip_vision_model": _VIT,
    "siglip_vision_model": _VIT,
    "idefics3_vision": _VIT,
    "smolvlm_vision": _VIT,
    "blip_2_vision_model": _VIT,
    "instructblip_vision_model": _VIT,
    "dinov2": _WITH_PROJECTION,
    "internvl_vision": _WITH_PROJECTION,
    "pixtral": Tower("patch_conv", ("transformer.layers",), None, "patch_positional_embedding"),
    "qwen2_vl_vision": _ROTARY,
    "qwen2_5_vl_vision": _ROTARY,
    "qwen3_vl_vision": _LEARNED_AND_ROTARY,
    "qwen3_vl_moe_vision": _LEARNED_AND_ROTARY,
    "qwen3_5_vision": _LEARNED_AND_ROTARY,
    "qwen3_5_moe_vision": _LEARNED_AND_ROTARY,
    "mllama_vision_model": Tower(
        "patch_embedding",
        ("transformer.layers", "global_transformer.layers"),
        "gated_positional_embedding",
    ),
    "kosmos_2_vision_model": Tower(
        "model.embeddings.patch_embedding", ("model.encoder.layers",), "model.embeddings"
    ),
    "timm_wrapper": Tower(None, (), None),  # FastVLM's convolutions
}
