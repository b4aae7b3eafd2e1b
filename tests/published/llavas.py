"""LLaVA and its kin: patches of CLIP's or SigLIP's, each a token, of a photo whole and in tiles."""

from tests.published.parts import (
    CLIP_336,
    CLIP_IMAGES,
    HF,
    LEDGER,
    LLAMA_2,
    LLAVA_FOLDER,
    QWEN_WORDS,
    SIGLIP_384,
    SQUARE_384,
)
from tests.published.records import Chat, Published, Source, Tokenizer

VICUNA = dict(model_type="llama", max_position_embeddings=4096, rms_norm_eps=1e-5)

LLAVA = Published(
    checkpoint="llava-hf/llava-1.5-7b-hf",
    kind="llava",
    sources=(
        Source("model, vision, text", f"{LLAVA_FOLDER}/config.json"),
        Source("activation of the encoder", "class default of transformers' CLIPVisionConfig"),
        Source("processor", f"{LLAVA_FOLDER}/processor_config.json"),
        Source("images", f"{LLAVA_FOLDER}/preprocessor_config.json"),
        Source("tokenizer", f"{LLAVA_FOLDER}/tokenizer.json and tokenizer_config.json"),
        Source("chat", f"{LLAVA_FOLDER}/chat_template.json"),
        Source("generation, ends", f"{LLAVA_FOLDER}/generation_config.json"),
    ),
    tokenizer=LLAMA_2,
    chat=Chat(
        user="USER: ",
        photo="<image>\n",
        after_text=" ",
        close="",
        answer="ASSISTANT:",
        photos_first=True,
    ),
    vision=CLIP_336,
    text=VICUNA,
    model=dict(
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
    ),
    tokens={"image_token_index": "<image>"},
    processor=(
        "LlavaProcessor",
        dict(
            patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
        ),
    ),
    images=("CLIPImageProcessor", CLIP_IMAGES),
    ends=("</s>",),
    photo=(336, 336),
)

VIP_LLAVA = Published(
    checkpoint="llava-hf/vip-llava-7b-hf",
    kind="vipllava",
    sources=(
        Source("model, vision", "class defaults of transformers' VipLlavaConfig"),
        Source("their use, tokenizer", f"{HF}/vipllava/convert_vipllava_weights_to_hf.py"),
        Source("chat", "huggingface/transformers docs/source/en/model_doc/vipllava.md"),
        Source("text, images", f"{LLAVA_FOLDER}, of the same language model and encoder", False),
        Source("processor", "huggingface/transformers docs/source/en/model_doc/vipllava.md", False),
        Source("ends", "the end token of Llama 2's tokenizer", False),
    ),
    tokenizer=LLAMA_2,
    chat=Chat(
        user="###Human: ",
        photo="<image>\n",
        close="",
        answer="###Assistant:",
        photos_first=True,
    ),
    # all layers: five are read, by number
    vision=CLIP_336 | dict(num_hidden_layers=24, hidden_size=16, num_attention_heads=1),
    text=VICUNA,
    model=dict(
        vision_feature_layer=[-2, -5, -8, -11, 6],
        projector_hidden_act="gelu",
        projector_layernorm_eps=1e-5,
    ),
    tokens={"image_token_index": "<image>"},
    processor=LLAVA.processor,
    images=LLAVA.images,
    ends=("</s>",),
    photo=(336, 336),
)

LLAVA_INTERLEAVE = Published(
    checkpoint="llava-hf/llava-interleave-qwen-0.5b-hf",
    kind="llava",
    sources=(
        Source("model, vision, text", f"{HF}/llava/convert_llava_weights_to_hf.py"),
        Source("tokenizer", f"{HF}/llava/convert_llava_weights_to_hf.py"),
        Source(
            "images", "class defaults of transformers' SiglipImageProcessor at 384 pixels", False
        ),
        Source("processor", "the model's own strategy; the encoder has no class token", False),
        Source("chat", f"{HF}/llava_onevision/convert_llava_onevision_weights_to_hf.py", False),
        Source("ends", "the end token of Qwen1.5's chats", False),
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
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    ),
    model=dict(
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu",
        image_seq_length=729,
    ),
    tokens={"image_token_index": "<image>"},
    processor=(
        "LlavaProcessor",
        dict(patch_size=14, vision_feature_select_strategy="full", num_additional_image_tokens=0),
    ),
    images=("SiglipImageProcessor", SQUARE_384),
    ends=("<|im_end|>",),
    photo=(384, 384),
)

LLAVA_PHI = Published(
    checkpoint="xtuner/llava-phi-3-mini-hf",
    kind="llava",
    sources=(
        Source("text", "class defaults of transformers' Phi3Config", False),
        Source("model, vision, processor, images", LLAVA_FOLDER, False),
        Source("tokenizer, chat, ends", "what Phi 3 writes around its turns", False),
    ),
    tokenizer=Tokenizer(
        kind="prefix mark",
        control=("<unk>", "<s>", "</s>"),
        begin="<s>",
        end="<|end|>",
        pad="<pad>",
        puts_begin=True,
        added=("<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>", "<image>", "<pad>"),
    ),
    chat=Chat(
        user="<|user|>\n",
        photo="<image>\n",
        close="<|end|>\n",
        answer="<|assistant|>\n",
        photos_first=True,
    ),
    vision=CLIP_336,
    text=dict(
        model_type="phi3",
        rms_norm_eps=1e-5,
        sliding_window=2047,
        original_max_position_embeddings=4096,
    ),
    model=LLAVA.model,
    tokens=LLAVA.tokens,
    processor=LLAVA.processor,
    images=LLAVA.images,
    ends=("<|end|>", "<|endoftext|>"),
    photo=(336, 336),
)

LLAVA_NEXT = Published(
    checkpoint="llava-hf/llava-v1.6-mistral-7b-hf",
    kind="llava_next",
    sources=(
        Source("model, vision, images: tiles", "class defaults of transformers' LlavaNextConfig"),
        Source(
            "their use; chat: the words of its prompt",
            f"{HF}/llava_next/convert_llava_next_weights_to_hf.py",
        ),
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
        dict(
            patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
        ),
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
    for rows, most in (
        (1, 10),
        (2, 5),
        (3, 3),
        (4, 2),
        (5, 2),
        (6, 1),
        (7, 1),
        (8, 1),
        (9, 1),
        (10, 1),
    )
    for columns in range(1, most + 1)
]

GRANITE_VISION = Published(
    checkpoint="ibm-granite/granite-vision-3.2-2b",
    kind="llava_next",
    sources=(
        Source(
            "vision, images: tiles, feature layers, system turn",
            "ylsdamxssjxxdd/eva thirdparty/llama.cpp/examples/llava/README-granitevision.md",
        ),
        Source("chat", "huggingface/transformers docs/source/en/model_doc/granitevision.md"),
        Source("text: the four multipliers", "its base, granite-3.1-2b", False),
        Source("processor, strategy: all patches", "the encoder has no class token", False),
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
    vision=SIGLIP_384 | dict(num_hidden_layers=4),
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
        vision_feature_layer=[-4, -3, -2, -1],
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
        | dict(crop_size={"height": 384, "width": 384}, image_grid_pinpoints=_GRANITE_PINPOINTS),
    ),
    ends=("<|end_of_text|>",),
    photo=(384, 384),
    scaled="of 27 layers, of which -24, -20, -12 and -1 are read, there are four, all of them read",
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

ROWS = (
    LLAVA,
    VIP_LLAVA,
    LLAVA_INTERLEAVE,
    LLAVA_PHI,
    LLAVA_NEXT,
    GRANITE_VISION,
    LLAVA_ONEVISION,
)
