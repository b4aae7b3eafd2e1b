"""Checkpoints that cut a photo into the arrangement of tiles nearest to its shape."""

from tests.published.parts import HF, LEDGER, VLLM
from tests.published.records import Chat, Published, Source, Tokenizer

_INTERN_VISION = dict(
    image_size=[448, 448],
    patch_size=[14, 14],
    hidden_act="gelu",
    layer_norm_eps=1e-6,
    attention_bias=True,
    use_qk_norm=False,
    norm_type="layer_norm",
    layer_scale_init_value=0.1,
    use_absolute_position_embeddings=True,
)

_INTERN_IMAGES = (
    "GotOcr2ImageProcessor",
    dict(
        size={"height": 448, "width": 448},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ),
)

_INTERN_WORDS = Tokenizer(
    kind="byte-level",
    control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    end="<|im_end|>",
    pad="<|endoftext|>",
    added=("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
    named={
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
)

_INTERN_CHAT = Chat(
    user="<|im_start|>user\n",
    photo="<IMG_CONTEXT>\n",
    close="<|im_end|>\n",
    answer="<|im_start|>assistant\n",
    takes_strings=True,
)

_INTERN_PROCESSOR = (
    "InternVLProcessor",
    dict(image_seq_length=256, video="InternVLVideoProcessor"),
)

INTERN_VL_3 = Published(
    checkpoint="OpenGVLab/InternVL3-1B-hf",
    kind="internvl",
    sources=(
        Source("images, tokenizer, chat, ends", f"{HF}/internvl/convert_internvl_weights_to_hf.py"),
        Source("vision, model", "class defaults of transformers' InternVLConfig"),
        Source("processor: cuts into tiles", "class default of transformers' InternVLProcessor"),
        Source("biases in the encoder; mark of a photo in the chat", "the same script", False),
        Source("text", "Qwen2.5's base 1e6", False),
    ),
    tokenizer=_INTERN_WORDS,
    chat=_INTERN_CHAT,
    vision=_INTERN_VISION,
    text=dict(
        model_type="qwen2",
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    ),
    model=dict(image_seq_length=256, downsample_ratio=0.5, vision_feature_layer=-1),
    tokens={"image_token_id": "<IMG_CONTEXT>"},
    processor=_INTERN_PROCESSOR,
    images=_INTERN_IMAGES,
    ends=("<|im_end|>",),
    photo=(448, 896),
)

INTERN_VL_GPT_OSS = Published(
    checkpoint="OpenGVLab/InternVL3_5-GPT-OSS-20B-A4B-Preview-HF",
    kind="internvl",
    sources=(
        Source(
            "all but text: vision, processor, images, tokenizer, chat, ends", "InternVL3's", False
        ),
        Source("text", "class defaults of transformers' GptOssConfig"),
    ),
    tokenizer=_INTERN_WORDS,
    chat=_INTERN_CHAT,
    vision=_INTERN_VISION,
    text=dict(
        model_type="gpt_oss",
        num_hidden_layers=4,
        head_dim=16,
        sliding_window=128,
        num_local_experts=4,
        num_experts_per_tok=2,
        swiglu_limit=7.0,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 150000.0,
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 4096,
        },
    ),
    model=INTERN_VL_3.model | dict(tie_word_embeddings=False),
    tokens=INTERN_VL_3.tokens,
    processor=_INTERN_PROCESSOR,
    images=_INTERN_IMAGES,
    ends=("<|im_end|>",),
    photo=(448, 448),
)

_COHERE_WORDS = Tokenizer(
    kind="cohere",
    control=(
        "<PAD>",
        "<UNK>",
        "<CLS>",
        "<SEP>",
        "<MASK_TOKEN>",
        "<BOS_TOKEN>",
        "<EOS_TOKEN>",
        "<|START_OF_TURN_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        "<|USER_TOKEN|>",
        "<|CHATBOT_TOKEN|>",
    ),
    begin="<BOS_TOKEN>",
    end="<|END_OF_TURN_TOKEN|>",
    pad="<PAD>",
    puts_begin=True,
    added=(
        "<image>",
        "<|IMG_PATCH|>",
        "<|START_OF_IMG|>",
        "<|END_OF_IMG|>",
        "<|IMG_LINE_BREAK|>",
        "TILE_GLOBAL",
    ),
    named={
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "image_token": "<|IMG_PATCH|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    },
)


def _cohere_chat(photo: str) -> Chat:
    return Chat(
        begin="<BOS_TOKEN>",
        user="<|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
        photo=photo,
        close="<|END_OF_TURN_TOKEN|>",
        answer="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        takes_strings=True,
    )


_COHERE_TEXT = dict(
    model_type="cohere2",
    num_hidden_layers=4,  # one without a window after three with one
    head_dim=16,
    sliding_window=4096,
    logit_scale=0.25,
    layer_norm_eps=1e-5,
    rope_parameters={"rope_type": "default", "rope_theta": 5e4},
)

_COHERE_SIGLIP = dict(
    model_type="siglip_vision_model",
    hidden_act="gelu_pytorch_tanh",
    layer_norm_eps=1e-6,
    vision_use_head=False,
)

_COHERE_DOUBTS = Source("text: scale of the logits, base of the rotation", "Command R7B", False)

AYA_VISION = Published(
    checkpoint="CohereLabs/aya-vision-8b",
    kind="aya_vision",
    sources=(
        Source("model", "class defaults of transformers' AyaVisionConfig"),
        Source("vision: side of a tile, images, processor", LEDGER),
        Source("chat", VLLM),
        Source("text: window, layers", "class defaults of transformers' Cohere2Config"),
        _COHERE_DOUBTS,
        Source("tokenizer, ends", "class defaults of transformers' CohereTokenizer"),
    ),
    tokenizer=_COHERE_WORDS,
    chat=_cohere_chat("<image>"),
    vision=_COHERE_SIGLIP | dict(image_size=364, patch_size=14),
    text=_COHERE_TEXT,
    model=dict(
        downsample_factor=2,
        adapter_layer_norm_eps=1e-6,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    ),
    tokens={"image_token_index": "<|IMG_PATCH|>"},
    processor=("AyaVisionProcessor", dict(patch_size=28, img_size=364)),
    images=(
        "GotOcr2ImageProcessor",
        dict(
            size={"height": 364, "width": 364},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        ),
    ),
    ends=("<|END_OF_TURN_TOKEN|>",),
    photo=(364, 728),
)

COMMAND_A_VISION = Published(
    checkpoint="CohereLabs/command-a-vision-07-2025",
    kind="cohere2_vision",
    sources=(
        Source("vision, model", "class defaults of transformers' Cohere2VisionConfig"),
        Source("images, processor", LEDGER),
        Source("text: window, layers", "class defaults of transformers' Cohere2Config"),
        _COHERE_DOUBTS,
        Source("chat", VLLM, False),
        Source("tokenizer, ends", "class defaults of transformers' CohereTokenizer"),
    ),
    tokenizer=_COHERE_WORDS,
    chat=_cohere_chat("<|IMG_PATCH|>"),
    vision=_COHERE_SIGLIP | dict(image_size=512, patch_size=16),
    text=_COHERE_TEXT,
    model=dict(downsample_factor=2, alignment_intermediate_size=64),
    tokens={"image_token_id": "<|IMG_PATCH|>"},
    processor=("Cohere2VisionProcessor", {}),
    images=(
        "Cohere2VisionImageProcessor",
        dict(size={"height": 512, "width": 512}, patch_size=16, max_patches=12),
    ),
    ends=("<|END_OF_TURN_TOKEN|>",),
    photo=(512, 1024),
)

ROWS = (
    INTERN_VL_3,
    INTERN_VL_GPT_OSS,
    AYA_VISION,
    COMMAND_A_VISION,
)
