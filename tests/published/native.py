"""Checkpoints that keep a photo's own shape."""

from tests.published.parts import HF, LEDGER, TENSTORRENT, VLLM
from tests.published.records import Chat, Published, Source, Tokenizer

QWEN_FOLDER = "zhanggaojian/Qwen2.5-VL-3B-LLMQ_Samples models/Qwen2.5-VL-3B-Instruct"

_QWEN_WORDS = Tokenizer(
    kind="byte-level",
    control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    end="<|im_end|>",
    pad="<|endoftext|>",
    added=(
        "<|vision_start|>",
        "<|vision_end|>",
        "<|vision_pad|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ),
)

_QWEN_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}

_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def _qwen_chat(system: str, answer: str = "<|im_start|>assistant\n") -> Chat:
    return Chat(
        system=system,
        user="<|im_start|>user\n",
        photo="<|vision_start|><|image_pad|><|vision_end|>",
        close="<|im_end|>\n",
        answer=answer,
        takes_strings=True,
    )


_QWEN_2_IMAGES = (
    "Qwen2VLImageProcessor",
    dict(
        patch_size=14,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": 56 * 56, "longest_edge": 14 * 14 * 4 * 16384},
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    ),
)

_QWEN_3_IMAGES = (
    "Qwen2VLImageProcessor",
    dict(
        patch_size=16,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    ),
)

# 16, 24 and 24 of 64, for heads a quarter as wide
_ROTARY_2 = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}

# 24, 20 and 20 of 64, likewise
_ROTARY_3 = {
    "rope_type": "default",
    "rope_theta": 5e6,
    "mrope_section": [6, 5, 5],
    "mrope_interleaved": True,
}

# 11, 11 and 10 of 32: a quarter of each head is turned
_ROTARY_35 = {
    "rope_type": "default",
    "rope_theta": 1e7,
    "mrope_section": [3, 3, 2],
    "mrope_interleaved": True,
    "partial_rotary_factor": 0.25,
}

QWEN_2_VL = Published(
    checkpoint="Qwen/Qwen2-VL-2B-Instruct",
    kind="qwen2_vl",
    sources=(
        Source("vision, tokens", "class defaults of transformers' Qwen2VLConfig"),
        Source("images, processor", LEDGER),
        Source("chat, its default system turn", VLLM),
        Source("tokenizer", "Qwen2's, with the marks of its processor", False),
        Source("text: sections of the rotation", f"{QWEN_FOLDER}/config.json", False),
        Source("generation, ends", f"{QWEN_FOLDER}/generation_config.json", False),
    ),
    tokenizer=_QWEN_WORDS,
    chat=_qwen_chat(_SYSTEM),
    vision=dict(
        patch_size=14, spatial_merge_size=2, temporal_patch_size=2, hidden_act="quick_gelu"
    ),
    text=dict(rms_norm_eps=1e-6, rope_parameters=_ROTARY_2, use_sliding_window=False),
    model=dict(tie_word_embeddings=True),
    tokens=_QWEN_TOKENS,
    processor=("Qwen2VLProcessor", dict(video="Qwen2VLVideoProcessor")),
    images=_QWEN_2_IMAGES,
    generation=dict(do_sample=True, temperature=0.01, top_p=0.001, top_k=1),
    ends=("<|im_end|>", "<|endoftext|>"),
    photo=(140, 196),
)

QWEN_2_5_VL = Published(
    checkpoint="Qwen/Qwen2.5-VL-3B-Instruct",
    kind="qwen2_5_vl",
    sources=(
        Source("vision, text, model, tokens", f"{QWEN_FOLDER}/config.json"),
        Source("generation, ends", f"{QWEN_FOLDER}/generation_config.json"),
        Source("images, processor", LEDGER),
        Source("chat, its default system turn", VLLM),
        Source("tokenizer", "Qwen2's, with the marks of its processor", False),
    ),
    tokenizer=_QWEN_WORDS,
    chat=_qwen_chat(_SYSTEM),
    vision=dict(
        depth=8,
        patch_size=14,
        spatial_merge_size=2,
        temporal_patch_size=2,
        window_size=112,
        fullatt_block_indexes=[7],  # of every eight
        hidden_act="silu",
        tokens_per_second=2,
    ),
    text=dict(rms_norm_eps=1e-6, rope_parameters=_ROTARY_2, use_sliding_window=False),
    model=dict(tie_word_embeddings=True),
    tokens=_QWEN_TOKENS,
    processor=("Qwen2_5_VLProcessor", dict(video="Qwen2VLVideoProcessor")),
    images=_QWEN_2_IMAGES,
    generation=dict(do_sample=True, temperature=1e-6, repetition_penalty=1.05),
    ends=("<|im_end|>", "<|endoftext|>"),
    photo=(140, 196),
)

_QWEN_3_VISION = dict(
    patch_size=16,
    spatial_merge_size=2,
    temporal_patch_size=2,
    num_position_embeddings=2304,
    hidden_act="gelu_pytorch_tanh",
)

_QWEN_3_TEXT = dict(head_dim=32, rms_norm_eps=1e-6, rope_parameters=_ROTARY_3)

_QWEN_3_GENERATION = dict(
    do_sample=True, temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.0
)

_QWEN_3_SOURCES = (
    Source("vision, tokens", "class defaults of transformers' Qwen3VLConfig"),
    Source("images, processor", LEDGER),
    Source("tokenizer", "Qwen2's, with the marks of its processor", False),
    Source("generation", "QwenLM/Qwen3-VL, issue 1825"),
    Source("chat: Qwen2.5's without a default system turn", VLLM, False),
    Source("text: base and sections of the rotation; ends", "Qwen2.5-VL's, widened", False),
)

QWEN_3_VL = Published(
    checkpoint="Qwen/Qwen3-VL-2B-Instruct",
    kind="qwen3_vl",
    sources=(
        *_QWEN_3_SOURCES,
        Source("layers that feed the language model", "a quarter, half and three quarters", False),
    ),
    tokenizer=_QWEN_WORDS,
    chat=_qwen_chat(""),
    vision=_QWEN_3_VISION | dict(depth=24, deepstack_visual_indexes=[5, 11, 17]),
    text=_QWEN_3_TEXT,
    model=dict(tie_word_embeddings=True),
    tokens=_QWEN_TOKENS,
    processor=("Qwen3VLProcessor", dict(video="Qwen3VLVideoProcessor")),
    images=_QWEN_3_IMAGES,
    generation=_QWEN_3_GENERATION,
    ends=("<|im_end|>", "<|endoftext|>"),
    photo=(256, 320),
)

QWEN_3_VL_MOE = Published(
    checkpoint="Qwen/Qwen3-VL-30B-A3B-Instruct",
    kind="qwen3_vl_moe",
    sources=_QWEN_3_SOURCES,
    tokenizer=_QWEN_WORDS,
    chat=_qwen_chat(""),
    vision=_QWEN_3_VISION | dict(depth=27, deepstack_visual_indexes=[8, 16, 24]),
    text=_QWEN_3_TEXT
    | dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, decoder_sparse_step=1),
    tokens=_QWEN_TOKENS,
    processor=("Qwen3VLProcessor", dict(video="Qwen3VLVideoProcessor")),
    images=_QWEN_3_IMAGES,
    generation=_QWEN_3_GENERATION,
    ends=("<|im_end|>", "<|endoftext|>"),
    photo=(256, 320),
)

_QWEN_35_TEXT = dict(
    num_hidden_layers=4,
    layer_types=["linear_attention"] * 3 + ["full_attention"],
    head_dim=64,
    linear_conv_kernel_dim=4,
    linear_key_head_dim=8,
    linear_value_head_dim=8,
    linear_num_key_heads=2,
    rms_norm_eps=1e-6,
    rope_parameters=_ROTARY_35,
)

_QWEN_35_CHAT = _qwen_chat("", "<|im_start|>assistant\n<think>\n")

QWEN_35 = Published(
    checkpoint="Qwen/Qwen3.5-27B",
    kind="qwen3_5",
    sources=(
        Source("vision, text, model, tokens", f"{TENSTORRENT}/Qwen3.5-27B/config.json"),
        Source("images, processor", LEDGER),
        Source("tokenizer, chat: an answer begins with its thoughts; ends", "Qwen3's", False),
    ),
    tokenizer=_QWEN_WORDS,
    chat=_QWEN_35_CHAT,
    vision=_QWEN_3_VISION,
    text=_QWEN_35_TEXT | dict(linear_num_value_heads=6),  # three a key, as 48 to 16
    model=dict(tie_word_embeddings=False),
    tokens=_QWEN_TOKENS,
    processor=("Qwen3VLProcessor", dict(video="Qwen3VLVideoProcessor")),
    images=_QWEN_3_IMAGES,
    ends=("<|im_end|>",),
    photo=(256, 320),
)

QWEN_36_MOE = Published(
    checkpoint="Qwen/Qwen3.6-35B-A3B",
    kind="qwen3_5_moe",
    sources=(
        Source(
            "vision, text, model, tokens",
            "BrendanJamesLynskey/llm-architectures-explained data/hf/Qwen__Qwen3.6-35B-A3B.json",
        ),
        Source("images, processor", LEDGER),
        Source("tokenizer, chat: an answer begins with its thoughts; ends", "Qwen3's", False),
    ),
    tokenizer=_QWEN_WORDS,
    chat=_QWEN_35_CHAT,
    vision=_QWEN_3_VISION,
    text=_QWEN_35_TEXT
    | dict(
        linear_num_value_heads=4,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
    ),
    model=dict(tie_word_embeddings=False),
    tokens=_QWEN_TOKENS,
    processor=("Qwen3VLProcessor", dict(video="Qwen3VLVideoProcessor")),
    images=_QWEN_3_IMAGES,
    ends=("<|im_end|>",),
    photo=(256, 320),
)

_MISTRAL_WORDS = Tokenizer(
    kind="byte-level",
    control=(
        "<unk>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[IMG]",
        "<pad>",
        "[IMG_BREAK]",
        "[IMG_END]",
    ),
    begin="<s>",
    end="</s>",
    pad="<pad>",
    puts_begin=True,
)

_MISTRAL_CHAT = Chat(
    begin="<s>", user="[INST]", photo="[IMG]", close="[/INST]", answer="", takes_strings=True
)

_MISTRAL_TEXT = dict(
    model_type="mistral",
    head_dim=16,
    rms_norm_eps=1e-5,
    sliding_window=None,
    rope_parameters={"rope_type": "default", "rope_theta": 1e9},
)


def _pixtral_vision(side: int, patch: int, activation: str) -> dict:
    return dict(
        model_type="pixtral",
        head_dim=16,
        image_size=side,
        patch_size=patch,
        hidden_act=activation,
        rope_parameters={"rope_type": "axial", "rope_theta": 1e4},
    )


PIXTRAL = Published(
    checkpoint="mistral-experimental/pixtral-12b",
    kind="llava",
    sources=(
        Source("model, text, tokens, processor", f"{HF}/pixtral/convert_pixtral_weights_to_hf.py"),
        Source("images", "class defaults of transformers' PixtralImageProcessor"),
        Source("vision", LEDGER),
        Source("activation of the encoder", "Mistral Small's, by the same makers", False),
        Source("chat", f"{HF}/mistral3/convert_mistral3_weights_to_hf.py", False),
        Source("tokenizer, ends", f"{HF}/pixtral/convert_pixtral_weights_to_hf.py", False),
    ),
    tokenizer=_MISTRAL_WORDS,
    chat=_MISTRAL_CHAT,
    vision=_pixtral_vision(1024, 16, "silu"),
    text=_MISTRAL_TEXT,
    model=dict(vision_feature_layer=-1, vision_feature_select_strategy="full", image_seq_length=1),
    tokens={"image_token_index": "[IMG]"},
    processor=("PixtralProcessor", dict(patch_size=16)),
    images=(
        "PixtralImageProcessor",
        dict(size={"longest_edge": 1024}, patch_size={"height": 16, "width": 16}),
    ),
    ends=("</s>",),
    photo=(160, 240),
)

MISTRAL_SMALL = Published(
    checkpoint="mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    kind="mistral3",
    sources=(
        Source(
            "vision, text, model",
            "BrendanJamesLynskey/llm-architectures-explained"
            " data/hf/mistralai__Mistral-Small-3.1-24B-Base-2503.json",
        ),
        Source("processor, chat", f"{HF}/mistral3/convert_mistral3_weights_to_hf.py"),
        Source("images", LEDGER),
        Source("tokenizer, ends", f"{HF}/mistral3/convert_mistral3_weights_to_hf.py", False),
    ),
    tokenizer=_MISTRAL_WORDS,
    chat=_MISTRAL_CHAT,
    vision=_pixtral_vision(1540, 14, "silu"),
    text=_MISTRAL_TEXT,
    model=dict(
        spatial_merge_size=2,
        vision_feature_layer=-1,
        multimodal_projector_bias=False,
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
    ),
    tokens={"image_token_index": "[IMG]"},
    processor=("PixtralProcessor", dict(patch_size=14, spatial_merge_size=2)),
    images=("PixtralImageProcessor", dict(size={"longest_edge": 1540}, patch_size=14)),
    ends=("</s>",),
    photo=(140, 196),
)

LIGHT_ON_OCR = Published(
    checkpoint="lightonai/LightOnOCR-1B-1025",
    kind="lighton_ocr",
    sources=(
        Source("vision, text, model", "class defaults of transformers' LightOnOcrConfig"),
        Source("images, processor", LEDGER),
        Source("chat, tokenizer, ends", "Qwen3's, without marks around a photo", False),
    ),
    tokenizer=Tokenizer(
        kind="byte-level",
        control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        end="<|im_end|>",
        pad="<|endoftext|>",
        added=("<|vision_end|>", "<|vision_pad|>", "<|image_pad|>"),
        named={
            "image_token": "<|image_pad|>",
            "image_break_token": "<|vision_pad|>",
            "image_end_token": "<|vision_end|>",
        },
    ),
    chat=Chat(
        system="<|im_start|>system<|im_end|>\n",
        user="<|im_start|>user\n",
        photo="<|image_pad|>",
        close="<|im_end|>\n",
        answer="<|im_start|>assistant\n",
        takes_strings=True,
    ),
    vision=_pixtral_vision(1540, 14, "silu"),
    text=dict(
        model_type="qwen3",
        head_dim=16,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    ),
    model=dict(spatial_merge_size=2),
    tokens={"image_token_id": "<|image_pad|>"},
    processor=("LightOnOcrProcessor", dict(patch_size=14, spatial_merge_size=2)),
    images=(
        "PixtralImageProcessor",
        dict(size={"longest_edge": 1540}, patch_size={"height": 28, "width": 28}),
    ),
    ends=("<|im_end|>",),
    photo=(140, 196),
)

ROWS = (
    QWEN_2_VL,
    QWEN_2_5_VL,
    QWEN_3_VL,
    QWEN_3_VL_MOE,
    QWEN_35,
    QWEN_36_MOE,
    PIXTRAL,
    MISTRAL_SMALL,
    LIGHT_ON_OCR,
)
