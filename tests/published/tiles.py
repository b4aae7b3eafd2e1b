"""Checkpoints that cut a photo into tiles."""

from tests.published.fixed import CLIP_336, CLIP_IMAGES, HF, LLAMA_2, QWEN_WORDS, SIGLIP_384, SQUARE_384
from tests.published.records import Chat, Published, Source, Tokenizer

VLLM = "vllm-project/vllm examples/offline_inference/vision_language.py"
LEDGER = "vlm/published.py"

LLAVA_NEXT = Published(
    checkpoint="llava-hf/llava-v1.6-mistral-7b-hf",
    kind="llava_next",
    sources=(
        Source("model, vision, tiles", "class defaults of transformers' LlavaNextConfig"),
        Source("their use, prompt", f"{HF}/llava_next/convert_llava_next_weights_to_hf.py"),
        Source("text", "Mistral 7B v0.2: no window, base 1e6", False),
        Source("processor", LEDGER),
        Source("tokenizer, ends", "sentencepiece's, as Llama 2's", False),
    ),
    tokenizer=LLAMA_2,
    chat=Chat(user="[INST] ", photo="<image>\n", close=" [/INST]", answer="", photos_first=True),
    vision=CLIP_336,
    text=dict(
        model_type="mistral",
        rms_norm_eps=1e-5,
        sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    ),
    model=dict(
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    ),
    tokens={"image_token_index": "<image>"},
    processor=(
        "LlavaNextProcessor",
        dict(patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1),
    ),
    images=(
        "LlavaNextImageProcessor",
        CLIP_IMAGES
        | dict(image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]),
    ),
    ends=("</s>",),
    photo=(336, 672),
)

_GRANITE_PINPOINTS = [
    [384 * rows, 384 * columns]
    for rows, most in ((1, 10), (2, 5), (3, 3), (4, 2), (5, 2), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1))
    for columns in range(1, most + 1)
]

GRANITE_VISION = Published(
    checkpoint="ibm-granite/granite-vision-3.2-2b",
    kind="llava_next",
    sources=(
        Source(
            "vision, tiles, feature layers, system turn",
            "ylsdamxssjxxdd/eva thirdparty/llama.cpp/examples/llava/README-granitevision.md",
        ),
        Source("chat", "huggingface/transformers docs/source/en/model_doc/granitevision.md"),
        Source("the four multipliers", "the language model's base, granite-3.1-2b", False),
        Source("strategy: no class token is left out", "the encoder has none", False),
        Source("tokenizer, ends", "GPT-2's kind, as Granite 3's", False),
    ),
    tokenizer=Tokenizer(
        kind="byte-level",
        control=("<|end_of_text|>", "<fim_prefix>"),
        begin="<|end_of_text|>",
        end="<|end_of_text|>",
        pad="<|end_of_text|>",
        added=("<image>",),
    ),
    chat=Chat(
        system=(
            "<|system|>\nA chat between a curious user and an artificial intelligence assistant."
            " The assistant gives helpful, detailed, and polite answers to the user's questions.\n"
        ),
        user="<|user|>\n",
        photo="<image>\n",
        close="\n",
        answer="<|assistant|>\n",
    ),
    vision=SIGLIP_384
    | dict(num_hidden_layers=27, hidden_size=16, intermediate_size=16, num_attention_heads=1),
    text=dict(
        model_type="granite",
        logits_scaling=8.0,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=0.015625,
        tie_word_embeddings=True,
    ),
    model=dict(
        image_grid_pinpoints=_GRANITE_PINPOINTS,
        vision_feature_layer=[-24, -20, -12, -1],
        vision_feature_select_strategy="full",
        image_seq_length=729,
        tie_word_embeddings=True,
    ),
    tokens={"image_token_index": "<image>"},
    processor=(
        "LlavaNextProcessor",
        dict(patch_size=14, vision_feature_select_strategy="full", num_additional_image_tokens=0),
    ),
    images=(
        "LlavaNextImageProcessor",
        SQUARE_384
        | dict(
            crop_size={"height": 384, "width": 384}, image_grid_pinpoints=_GRANITE_PINPOINTS
        ),
    ),
    ends=("<|end_of_text|>",),
    photo=(384, 384),
)

_ONEVISION_PINPOINTS = [
    [384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)
]

LLAVA_ONEVISION = Published(
    checkpoint="llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
    kind="llava_onevision",
    sources=(
        Source(
            "vision, text, processor, tokenizer, chat",
            f"{HF}/llava_onevision/convert_llava_onevision_weights_to_hf.py",
        ),
        Source("model, tiles", "class defaults of transformers' LlavaOnevisionConfig"),
        Source("images", LEDGER),
        Source("ends", "the end token of Qwen2's chats", False),
    ),
    tokenizer=QWEN_WORDS,
    chat=Chat(
        user="<|im_start|>user\n",
        photo="<image>\n",
        close="<|im_end|>\n",
        answer="<|im_start|>assistant\n",
        photos_first=True,
    ),
    vision=SIGLIP_384,
    text=dict(
        model_type="qwen2",
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
    ),
    model=dict(
        image_grid_pinpoints=_ONEVISION_PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        tie_word_embeddings=True,
    ),
    tokens={"image_token_index": "<image>", "video_token_index": "<video>"},
    processor=(
        "LlavaOnevisionProcessor",
        dict(
            num_image_tokens=729,
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_9",
            video="LlavaOnevisionVideoProcessor",
        ),
    ),
    images=(
        "LlavaOnevisionImageProcessor",
        SQUARE_384 | dict(image_grid_pinpoints=_ONEVISION_PINPOINTS),
    ),
    ends=("<|im_end|>",),
    photo=(384, 768),
)

_SMOL_WORDS = Tokenizer(
    kind="byte-level",
    control=(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<fake_token_around_image>",
        "<global-img>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    ),
    begin="<|im_start|>",
    end="<end_of_utterance>",
    pad="<|im_end|>",
    added=("<image>", "<end_of_utterance>"),
)
_SMOL_CHAT = Chat(
    begin="<|im_start|>",
    user="User:",
    photo="<image>",
    close="<end_of_utterance>\n",
    answer="Assistant:",
)
_SMOL_TEXT = dict(
    model_type="llama",
    rms_norm_eps=1e-5,
    rope_parameters={"rope_type": "default", "rope_theta": 1e5},
    max_position_embeddings=8192,
)
_SMOL_SOURCES = (
    Source("processor, tiles", LEDGER),
    Source("activation", "class defaults of transformers' Idefics3Config"),
    Source("chat", "class default of transformers' SmolVLMProcessor"),
    Source("text, tokenizer, ends", "SmolLM2's, with the marks of SmolVLMProcessor", False),
)
_LONGEST_HALVED = "the longest edge of 2048 is 1024, so that there are 3 pictures and not 17"


def _smol(size: str) -> Published:
    return Published(
        checkpoint=f"HuggingFaceTB/SmolVLM-{size}-Instruct",
        kind="idefics3",
        sources=_SMOL_SOURCES,
        tokenizer=_SMOL_WORDS,
        chat=_SMOL_CHAT,
        vision=dict(image_size=512, patch_size=16, hidden_act="gelu_pytorch_tanh"),
        # the smaller one's embeddings are its head, too
        text=_SMOL_TEXT | dict(num_attention_heads=3, num_key_value_heads=1),
        model=dict(scale_factor=4, tie_word_embeddings=size == "256M"),
        tokens={"image_token_id": "<image>", "pad_token_id": "<|im_end|>"},
        processor=("Idefics3Processor", dict(image_seq_len=64)),
        images=(
            "Idefics3ImageProcessor",
            dict(
                size={"longest_edge": 1024},
                max_image_size={"longest_edge": 512},
                image_mean=[0.5, 0.5, 0.5],
                image_std=[0.5, 0.5, 0.5],
            ),
        ),
        ends=("<end_of_utterance>",),
        photo=(512, 1024),
        scaled=_LONGEST_HALVED,
    )


SMOL_VLM_2 = Published(
    checkpoint="HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    kind="smolvlm",
    sources=(
        Source("chat, tile of 384 pixels", VLLM),
        Source("patch, 3 x 3 patches a token, 81 tokens a tile", "SigLIP so400m/14 at 384", False),
        Source("activation", "class defaults of transformers' SmolVLMConfig"),
        Source("text, tokenizer, ends", "SmolLM2's, with the marks of SmolVLMProcessor", False),
    ),
    tokenizer=_SMOL_WORDS,
    chat=_SMOL_CHAT,
    vision=dict(image_size=384, patch_size=14, hidden_act="gelu_pytorch_tanh"),
    text=_SMOL_TEXT,
    model=dict(scale_factor=3),
    tokens={"image_token_id": "<image>", "pad_token_id": "<|im_end|>"},
    processor=("SmolVLMProcessor", dict(image_seq_len=81, video="SmolVLMVideoProcessor")),
    images=(
        "SmolVLMImageProcessor",
        dict(
            size={"longest_edge": 768},
            max_image_size={"longest_edge": 384},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        ),
    ),
    ends=("<end_of_utterance>",),
    photo=(384, 768),
    scaled="the longest edge of 1536 is 768, so that there are 3 pictures and not up to 17",
)

IDEFICS_3 = Published(
    checkpoint="HuggingFaceM4/Idefics3-8B-Llama3",
    kind="idefics3",
    sources=(
        Source("processor, tiles", LEDGER),
        Source("2 x 2 patches a token", f"{HF}/idefics3/convert_idefics3_weights_to_hf.py"),
        Source("patch", "364 pixels and 169 tokens a tile: 26 x 26 patches", False),
        Source("chat", VLLM),
        Source("text, tokenizer, ends", "Llama 3's, with the marks of Idefics3Processor", False),
    ),
    tokenizer=Tokenizer(
        kind="byte-level",
        control=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
        begin="<|begin_of_text|>",
        end="<|end_of_text|>",
        pad="<|end_of_text|>",
        puts_begin=True,
        added=(
            "<fake_token_around_image>",
            "<image>",
            "<end_of_utterance>",
            "<global-img>",
            *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
        ),
    ),
    chat=Chat(
        begin="<|begin_of_text|>",
        user="User:",
        photo="<image>",
        close="<end_of_utterance>\n",
        answer="Assistant:",
    ),
    vision=dict(image_size=364, patch_size=14, hidden_act="gelu_pytorch_tanh"),
    text=dict(
        model_type="llama",
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5e5},
    ),
    model=dict(scale_factor=2),
    tokens={"image_token_id": "<image>"},
    processor=("Idefics3Processor", dict(image_seq_len=169)),
    images=(
        "Idefics3ImageProcessor",
        dict(
            size={"longest_edge": 728},
            max_image_size={"longest_edge": 364},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        ),
    ),
    ends=("<end_of_utterance>",),
    photo=(364, 728),
    scaled="the longest edge of 1456 is 728, so that there are 3 pictures and not up to 17",
)

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
        Source("tiles", "class default of transformers' InternVLProcessor"),
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
        Source("vision, images, chat", f"{HF}/internvl/convert_internvl_weights_to_hf.py", False),
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
