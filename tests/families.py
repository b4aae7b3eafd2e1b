"""Tiny randomly initialised checkpoints of every family, with their real processors, saved the way
real ones are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.tiny import PATCH, SIDE, tiny_tokenizer
from vlm.backends.compat import ensure_torchvision

ensure_torchvision()

import torch
import transformers as tf

from vlm.errors import ModelError
from vlm.loading.load import check_transformers

MARKS = (
    "<pad>",
    "<bos>",
    "<unk>",
    "<image>",
    "<video>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<fake_token_around_image>",
    "<end_of_utterance>",
    "<global-img>",
    "[IMG]",
    "[IMG_BREAK]",
    "[IMG_END]",
    "<|START_OF_IMG|>",
    "<|END_OF_IMG|>",
    "<|IMG_PATCH|>",
    "<|IMG_LINE_BREAK|>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 6) for column in range(1, 6)),
    "<eos>",
)
TEMPLATE = (
    "{% for m in messages %}user: {% for c in m['content'] %}{% if c['type'] == 'image' %}MARK\n{%"
    " else %}{{ c['text'] }}{% endif %}{% endfor %}\n{% endfor %}{% if add_generation_prompt"
    " %}assistant: {% endif %}"
)
SQUARE = {"height": SIDE, "width": SIDE}
VISION = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    image_size=SIDE,
    patch_size=PATCH,
)
SIGLIP = dict(model_type="siglip_vision_model", vision_use_head=False, **VISION)
PIXTRAL = VISION | dict(model_type="pixtral", head_dim=8, image_size=8 * PATCH)
PINPOINTS = [
    [SIDE * rows, SIDE * columns]
    for rows, columns in ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (3, 3), (2, 4))
]
# half of what a head has: 48 / 4 / 2
ROTARY = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]}


def _tokenizer(**named):
    return tiny_tokenizer(
        special=MARKS, bos_token="<bos>", unk_token="<unk>", extra_special_tokens=named
    )


def _id(token: str) -> int:
    return MARKS.index(token)


def _text(**others) -> dict:
    return (
        dict(
            vocab_size=len(_tokenizer()),
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=len(MARKS) - 1,
            initializer_range=0.2,
        )
        | others
    )


def _vipllava():
    images = tf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    # the plural is what older transformers reads
    several = "vision_feature_layers" in vars(tf.VipLlavaConfig())
    config = tf.VipLlavaConfig(
        vision_config=dict(model_type="clip_vision_model", **VISION),
        text_config=dict(model_type="llama", **_text()),
        image_token_index=_id("<image>"),
        image_seq_length=16,
        **{"vision_feature_layers" if several else "vision_feature_layer": [-2, -1, 1]},
    )
    return (
        config,
        tf.LlavaProcessor(
            images,
            _tokenizer(),
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        "<image>",
    )


def _llava_next():
    images = tf.LlavaNextImageProcessor(
        size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=PINPOINTS
    )
    config = tf.LlavaNextConfig(
        vision_config=dict(model_type="clip_vision_model", **VISION),
        text_config=dict(model_type="llama", **_text()),
        image_token_index=_id("<image>"),
        image_grid_pinpoints=PINPOINTS,
    )
    return (
        config,
        tf.LlavaNextProcessor(
            images,
            _tokenizer(),
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        "<image>",
    )


def _llava_onevision(most: int = 9):
    """`most`: of so many tiles' worth of tokens the rest is thinned out."""
    images = tf.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=PINPOINTS)
    config = tf.LlavaOnevisionConfig(
        vision_config=SIGLIP,
        text_config=dict(model_type="qwen2", **_text()),
        image_token_index=_id("<image>"),
        video_token_index=_id("<video>"),
        image_grid_pinpoints=PINPOINTS,
        vision_aspect_ratio=f"anyres_max_{most}",
    )
    video = tf.LlavaOnevisionVideoProcessor(size=SQUARE)
    named = dict(
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio=f"anyres_max_{most}",
    )
    return config, tf.LlavaOnevisionProcessor(images, _tokenizer(), video, **named), "<image>"


def _idefics3():
    config = tf.Idefics3Config(
        vision_config=VISION,
        text_config=dict(model_type="llama", **_text()),
        image_token_id=_id("<image>"),
        scale_factor=2,
    )
    images = tf.Idefics3ImageProcessor(
        size={"longest_edge": 3 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    return config, tf.Idefics3Processor(images, _tokenizer(), image_seq_len=4), "<image>"


def _smolvlm():
    config = tf.SmolVLMConfig(
        vision_config=VISION,
        text_config=dict(model_type="llama", **_text()),
        image_token_id=_id("<image>"),
        scale_factor=2,
    )
    images = tf.SmolVLMImageProcessor(
        size={"longest_edge": 3 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    return (
        config,
        tf.SmolVLMProcessor(
            images,
            _tokenizer(),
            tf.SmolVLMVideoProcessor(size={"longest_edge": SIDE}),
            image_seq_len=4,
        ),
        "<image>",
    )


def _qwen(config_class, processor_class, patch: int, vision: dict, text: dict):
    unit = (2 * patch) ** 2
    images = tf.Qwen2VLImageProcessor(
        patch_size=patch, merge_size=2, size={"shortest_edge": 4 * unit, "longest_edge": 40 * unit}
    )
    ids = {
        f"{name}_token_id": _id(f"<|{mark}|>")
        for name, mark in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    vision = dict(depth=3, num_heads=4, patch_size=patch, spatial_merge_size=2) | vision
    config = config_class(vision_config=vision, text_config=_text() | text, **ids)
    video = tf.Qwen3VLVideoProcessor if patch == 16 else tf.Qwen2VLVideoProcessor
    return (
        config,
        processor_class(images, _tokenizer(), video()),
        "<|vision_start|><|image_pad|><|vision_end|>",
    )


def _qwen2_vl():
    return _qwen(
        tf.Qwen2VLConfig,
        tf.Qwen2VLProcessor,
        14,
        dict(embed_dim=32, hidden_size=48, mlp_ratio=2),
        dict(rope_parameters=ROTARY),
    )


def _qwen2_5_vl():
    vision = dict(
        hidden_size=32,
        intermediate_size=64,
        window_size=56,
        out_hidden_size=48,
        fullatt_block_indexes=[2],
    )
    return _qwen(
        tf.Qwen2_5_VLConfig, tf.Qwen2_5_VLProcessor, 14, vision, dict(rope_parameters=ROTARY)
    )


def _qwen3_vl():
    vision = dict(
        hidden_size=32,
        intermediate_size=64,
        out_hidden_size=48,
        num_position_embeddings=64,
        deepstack_visual_indexes=[0, 1],
    )
    return _qwen(
        tf.Qwen3VLConfig,
        tf.Qwen3VLProcessor,
        16,
        vision,
        dict(head_dim=12, rope_parameters=ROTARY | {"mrope_interleaved": True}),
    )


def _qwen3_vl_moe():
    vision = dict(
        hidden_size=32,
        intermediate_size=64,
        out_hidden_size=48,
        num_position_embeddings=64,
        deepstack_visual_indexes=[0, 1],
    )
    text = dict(
        head_dim=12,
        rope_parameters=ROTARY | {"mrope_interleaved": True},
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
    )
    return _qwen(tf.Qwen3VLMoeConfig, tf.Qwen3VLProcessor, 16, vision, text)


def _qwen3_5(config_class=tf.Qwen3_5Config, **experts):
    vision = dict(
        hidden_size=32, intermediate_size=64, out_hidden_size=48, num_position_embeddings=64
    )
    linear = dict(
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention", "full_attention"],
    )
    rotary = ROTARY | {"mrope_interleaved": True, "partial_rotary_factor": 1.0}
    return _qwen(
        config_class,
        tf.Qwen3VLProcessor,
        16,
        vision,
        dict(head_dim=12, rope_parameters=rotary, **linear, **experts),
    )


def _internvl():
    tokenizer = _tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = tf.InternVLConfig(
        vision_config=VISION | dict(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
        text_config=dict(model_type="qwen2", **_text()),
        image_token_id=_id("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    images = tf.GotOcr2ImageProcessor(
        size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=6
    )
    return (
        config,
        tf.InternVLProcessor(
            images, tokenizer, tf.InternVLVideoProcessor(size=SQUARE), image_seq_length=4
        ),
        "<IMG_CONTEXT>",
    )


def _paligemma():
    tokenizer, images = _tokenizer(), tf.SiglipImageProcessor(size=SQUARE)
    images.image_seq_length = 16
    processor = tf.PaliGemmaProcessor(images, tokenizer)  # adds its tokens to the tokenizer
    vocabulary = len(tokenizer) + 8
    text = dict(model_type="gemma", **_text(vocab_size=vocabulary, head_dim=8))
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    return (
        tf.PaliGemmaConfig(
            vision_config=SIGLIP,
            text_config=text,
            image_token_index=image_id,
            projection_dim=48,
            hidden_size=48,
            vocab_size=vocabulary,
        ),
        processor,
        None,
    )


def _gemma3():
    tokenizer = _tokenizer(
        boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>"
    )
    config = tf.Gemma3Config(
        vision_config=SIGLIP,
        text_config=_text(
            head_dim=8,
            sliding_window=64,
            query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        mm_tokens_per_image=4,
        boi_token_index=_id("<start_of_image>"),
        eoi_token_index=_id("<end_of_image>"),
        image_token_index=_id("<image_soft_token>"),
    )
    return (
        config,
        tf.Gemma3Processor(tf.Gemma3ImageProcessor(size=SQUARE), tokenizer, image_seq_length=4),
        "<start_of_image>",
    )


def _mistral3():
    config = tf.Mistral3Config(
        vision_config=PIXTRAL,
        text_config=dict(model_type="mistral", **_text(head_dim=8)),
        image_token_index=_id("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    images = tf.PixtralImageProcessor(
        size={"longest_edge": 8 * PATCH}, patch_size={"height": 2 * PATCH, "width": 2 * PATCH}
    )
    return (
        config,
        tf.PixtralProcessor(images, _tokenizer(), patch_size=PATCH, spatial_merge_size=2),
        "[IMG]",
    )


def _pixtral():
    config = tf.LlavaConfig(
        vision_config=PIXTRAL,
        text_config=dict(model_type="mistral", **_text(head_dim=8)),
        image_token_index=_id("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=1,
    )
    images = tf.PixtralImageProcessor(
        size={"longest_edge": 8 * PATCH}, patch_size={"height": PATCH, "width": PATCH}
    )
    return config, tf.PixtralProcessor(images, _tokenizer(), patch_size=PATCH), "[IMG]"


def _lighton_ocr():
    tokenizer = _tokenizer(
        image_token="[IMG]", image_break_token="[IMG_BREAK]", image_end_token="[IMG_END]"
    )
    config = tf.LightOnOcrConfig(
        vision_config=PIXTRAL,
        text_config=dict(model_type="qwen3", **_text(head_dim=12)),
        image_token_id=_id("[IMG]"),
        spatial_merge_size=2,
    )
    images = tf.PixtralImageProcessor(
        size={"longest_edge": 8 * PATCH}, patch_size={"height": 2 * PATCH, "width": 2 * PATCH}
    )
    return (
        config,
        tf.LightOnOcrProcessor(images, tokenizer, patch_size=PATCH, spatial_merge_size=2),
        "[IMG]",
    )


def _cohere2_vision():
    tokenizer = _tokenizer(
        boi_token="<|START_OF_IMG|>",
        eoi_token="<|END_OF_IMG|>",
        image_token="<|IMG_PATCH|>",
        img_line_break_token="<|IMG_LINE_BREAK|>",
    )
    config = tf.Cohere2VisionConfig(
        vision_config=SIGLIP,
        text_config=dict(model_type="cohere2", **_text(head_dim=8, sliding_window=64)),
        image_token_id=_id("<|IMG_PATCH|>"),
        downsample_factor=2,
        alignment_intermediate_size=64,
    )
    images = tf.Cohere2VisionImageProcessor(
        size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=6, patch_size=2
    )
    return config, tf.Cohere2VisionProcessor(images, tokenizer), "<|IMG_PATCH|>"


def _aya_vision():
    config = tf.AyaVisionConfig(
        vision_config=SIGLIP,
        text_config=dict(model_type="cohere2", **_text(head_dim=8, sliding_window=64)),
        image_token_index=_id("<|IMG_PATCH|>"),
        downsample_factor=2,
        adapter_layer_norm_eps=1e-6,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = tf.GotOcr2ImageProcessor(
        size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=6
    )
    return (
        config,
        tf.AyaVisionProcessor(
            images, _tokenizer(), patch_size=2 * PATCH, img_size=SIDE, downsample_factor=1
        ),
        "<image>",
    )


def _blip(config_class, processor_class, *tokenizers):
    vocabulary = len(_tokenizer())
    former = dict(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        encoder_hidden_size=32,
    )
    text = dict(
        model_type="opt",
        vocab_size=vocabulary,
        hidden_size=48,
        ffn_dim=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        word_embed_proj_dim=48,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=len(MARKS) - 1,
        max_position_embeddings=512,
        init_std=0.2,
    )
    config = config_class(
        vision_config=VISION,
        qformer_config=former,
        text_config=text,
        num_query_tokens=8,
        image_token_index=_id("<image>"),
    )
    return (
        config,
        processor_class(tf.BlipImageProcessor(size=SQUARE), *tokenizers, num_query_tokens=8),
        None,
    )


def _fast_vlm():
    vision = tf.TimmWrapperConfig(
        architecture="fastvit_t8",
        do_pooling=True,
        hidden_size=768,
        model_args={"inference_mode": True},
    )
    config = tf.FastVlmConfig(
        vision_config=vision,
        text_config=dict(model_type="qwen2", **_text()),
        image_token_index=_id("<image>"),
        vision_feature_layer=-1,
    )
    images = tf.CLIPImageProcessor(
        size={"shortest_edge": 128}, crop_size={"height": 128, "width": 128}
    )
    return (
        config,
        tf.LlavaProcessor(
            images,
            _tokenizer(),
            patch_size=32,
            vision_feature_select_strategy="full",
            num_additional_image_tokens=0,
        ),
        "<image>",
    )


def _mllama():
    shape = dict(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_global_layers=2,
        attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
    )
    vision = tf.models.mllama.configuration_mllama.MllamaVisionConfig(
        **shape, vision_output_dim=3 * 32, intermediate_layers_indices=[0, 2]
    )
    vocabulary = len(_tokenizer())
    text = {
        **_text(
            vocab_size=vocabulary, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}
        ),
        "num_hidden_layers": 4,
        "cross_attention_layers": [1, 3],
    }
    # as in real ones: no logit
    config = tf.MllamaConfig(
        vision_config=vision.to_dict(), text_config=text, image_token_index=vocabulary
    )
    tokenizer = _tokenizer()
    tokenizer.add_tokens("<|image|>", special_tokens=True)
    return (
        config,
        tf.MllamaProcessor(tf.MllamaImageProcessor(size=SQUARE, max_image_tiles=4), tokenizer),
        "<|image|>",
    )


def _kosmos2():
    tokenizer, images = (
        _tokenizer(),
        tf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE),
    )
    # adds its tokens to the tokenizer
    processor = tf.Kosmos2Processor(images, tokenizer, num_patch_index_tokens=16)
    text = dict(
        vocab_size=len(tokenizer),
        embed_dim=48,
        layers=3,
        ffn_dim=64,
        attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=len(MARKS) - 1,
        init_std=0.2,
    )
    return (
        tf.Kosmos2Config(text_config=text, vision_config=VISION, latent_query_num=64),
        processor,
        None,
    )


def _exaone4_5():
    vision = dict(
        hidden_size=32,
        intermediate_size=64,
        num_key_value_heads=2,
        window_size=56,
        out_hidden_size=48,
        fullatt_block_indexes=[2],
    )
    return _qwen(
        tf.Exaone4_5_Config,
        tf.Exaone4_5_Processor,
        14,
        vision,
        dict(model_type="exaone4", head_dim=12, sliding_window=64),
    )


def _qianfan_ocr():
    tokenizer = _tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        image_token="<IMG_CONTEXT>",
    )
    config = tf.QianfanOCRConfig(
        vision_config=VISION | dict(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
        text_config=dict(model_type="qwen3", **_text(head_dim=12)),
        image_token_id=_id("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    images = tf.GotOcr2ImageProcessor(
        size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=6
    )
    return config, tf.QianfanOCRProcessor(images, tokenizer, image_seq_length=4), "<image>"


def _on(kind: str, family: Callable[[], tuple], **others) -> tuple:
    """A family's checkpoint on a language model of another kind."""
    config, processor, mark = family()
    usual = config.text_config
    text = _text(vocab_size=usual.vocab_size) | others
    settings = config.to_dict() | {"text_config": {"model_type": kind} | text}
    return type(config)(**settings), processor, mark


GEMMA2 = dict(
    head_dim=8,
    query_pre_attn_scalar=8,
    sliding_window=64,
    attn_logit_softcapping=0.5,
    final_logit_softcapping=4.0,
)
GPT_OSS = dict(
    head_dim=12,
    sliding_window=64,
    layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    num_local_experts=4,
    num_experts_per_tok=2,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
)
GRANITE = dict(logits_scaling=8.0, embedding_multiplier=12.0, residual_multiplier=0.22)
# attention that transformers' sdpa cannot compute: capped scores, sinks
EXPLICIT = {
    "paligemma_2": partial(_on, "gemma2", _paligemma, **GEMMA2),
    "llava_next_gemma_2": partial(_on, "gemma2", _llava_next, **GEMMA2),
    "internvl_gpt_oss": partial(_on, "gpt_oss", _internvl, **GPT_OSS),
}
# language models that have their parts at other places than their family's first one
ON_OTHERS = EXPLICIT | {
    "instructblip_vicuna": lambda: _on("llama", FAMILIES["instructblip"]),
    "blip_2_granite": lambda: _on("granite", FAMILIES["blip_2"], **GRANITE),
    "llava_next_phi": partial(_on, "phi", _llava_next),
    "llava_next_gpt_neox": partial(_on, "gpt_neox", _llava_next),
    "llava_next_granite": partial(_on, "granite", _llava_next, **GRANITE),
}
FAMILIES = {
    "vipllava": _vipllava,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "llava_onevision_thinned": partial(_llava_onevision, most=1),
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl_moe,
    "qwen3_5": _qwen3_5,
    "qwen3_5_moe": partial(
        _qwen3_5,
        tf.Qwen3_5MoeConfig,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
    ),
    "internvl": _internvl,
    "paligemma": _paligemma,
    "gemma3": _gemma3,
    "mistral3": _mistral3,
    "pixtral": _pixtral,
    "lighton_ocr": _lighton_ocr,
    "aya_vision": _aya_vision,
    "cohere2_vision": _cohere2_vision,
    "blip_2": lambda: _blip(tf.Blip2Config, tf.Blip2Processor, _tokenizer()),
    "instructblip": lambda: _blip(
        tf.InstructBlipConfig, tf.InstructBlipProcessor, _tokenizer(), _tokenizer()
    ),
    "fast_vlm": _fast_vlm,
    "kosmos_2": _kosmos2,
}
WITHOUT_ROW = {"exaone4_5": _exaone4_5, "qianfan_ocr": _qianfan_ocr}  # in no table of this program
CROSSED = {"mllama": _mllama}  # no visual tokens in the sequence


def let_the_photo_matter(model: tf.PreTrainedModel) -> None:
    """Draw those weights again that are zeros or almost in a new model, so that another photo gives
    another answer.
    """
    from vlm.backends.families import FAMILIES as ROWS

    kind = model.config.model_type
    for module in (ROWS[kind].connector if kind in ROWS else "", "language_projection"):
        for parameter in (
            model.get_submodule(module).parameters()
            if module and hasattr(model, module.split(".")[0])
            else ()
        ):
            torch.nn.init.normal_(parameter, std=0.3)  # Gemma 3's is all zeros at first
    for name, parameter in model.named_parameters():
        if "gate" in name and parameter.shape == (1,):
            torch.nn.init.constant_(parameter, 0.7)  # Llama's are shut at first
    for module in model.modules() if kind == "fast_vlm" else ():
        if isinstance(module, torch.nn.Conv2d):
            # or nothing of the photo is left after so many convolutions
            torch.nn.init.kaiming_normal_(module.weight)


@contextmanager
def with_rest(rest: int) -> Iterator[None]:
    """Until the end of the block the checkpoints receive pictures whose sides are `rest` pixels
    longer than a whole number of patches.
    """
    side = SIDE + rest
    changed = {
        "SIDE": side,
        "SQUARE": {"height": side, "width": side},
        "VISION": VISION | {"image_size": side},
        "SIGLIP": SIGLIP | {"image_size": side},
        "PINPOINTS": [[edge // SIDE * side for edge in size] for size in PINPOINTS],
    }
    before = {name: globals()[name] for name in changed}
    globals().update(changed)
    try:
        yield
    finally:
        globals().update(before)


def skip_what_transformers_cannot(config: tf.PreTrainedConfig) -> None:
    """Leave a test out where the transformers at hand cannot run this model, for the reason that
    the program tells who loads it.
    """
    try:
        check_transformers("the model of this test", config.to_dict())
    except ModelError as error:
        pytest.skip(str(error))


def tiny_family(folder: Path, name: str, seed: int = 0) -> Path:
    """Save a tiny checkpoint of this family (a name in `FAMILIES`, `ON_OTHERS`, `CROSSED` or
    `WITHOUT_ROW`) that `vlm.load(folder)` reads.
    """
    config, processor, mark = (FAMILIES | ON_OTHERS | CROSSED | WITHOUT_ROW)[name]()
    if mark:
        # Llama's photos stand side by side
        processor.chat_template = TEMPLATE.replace("MARK\n" if name in CROSSED else "MARK", mark)
    skip_what_transformers_cannot(config)
    torch.manual_seed(seed)
    model = tf.AutoModelForImageTextToText.from_config(config).eval()
    let_the_photo_matter(model)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = len(MARKS) - 1
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)
