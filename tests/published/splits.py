"""Checkpoints that lay a photo on tiles after enlarging it or on a canvas."""

from tests.published.parts import HF, LEDGER, TENSTORRENT, VLLM
from tests.published.records import Chat, Published, Source, Tokenizer

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
    Source("processor, images, vision: tiles and patches", LEDGER),
    Source("activation", "class defaults of transformers' Idefics3Config"),
    Source("chat", "class default of transformers' SmolVLMProcessor"),
    Source("text, tokenizer, ends", "SmolLM2's, with the marks of SmolVLMProcessor", False),
)

_QUARTER = (
    "tiles of 512 pixels and 64 tokens are 256 and 16, of 4 x 4 patches each as published; the"
    " longest edge of 2048 is 512, so that there are 3 pictures and not up to 17"
)


def _smol_vlm(size: str) -> Published:
    return Published(
        checkpoint=f"HuggingFaceTB/SmolVLM-{size}-Instruct",
        kind="idefics3",
        sources=_SMOL_SOURCES,
        tokenizer=_SMOL_WORDS,
        chat=_SMOL_CHAT,
        vision=dict(image_size=256, patch_size=16, hidden_act="gelu_pytorch_tanh"),
        # the smaller one's embeddings are its head, too
        text=_SMOL_TEXT | dict(num_attention_heads=3, num_key_value_heads=1),
        model=dict(scale_factor=4, tie_word_embeddings=size == "256M"),
        tokens={"image_token_id": "<image>", "pad_token_id": "<|im_end|>"},
        processor=("Idefics3Processor", dict(image_seq_len=16)),
        images=(
            "Idefics3ImageProcessor",
            dict(
                size={"longest_edge": 512},
                max_image_size={"longest_edge": 256},
                image_mean=[0.5, 0.5, 0.5],
                image_std=[0.5, 0.5, 0.5],
            ),
        ),
        ends=("<end_of_utterance>",),
        photo=(256, 512),
        scaled=_QUARTER,
    )


SMOL_VLM_2 = Published(
    checkpoint="HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    kind="smolvlm",
    sources=(
        Source("chat, images: tiles of 384 pixels", VLLM),
        Source("vision, processor: 3 x 3 patches a token", "SigLIP so400m/14 at 384", False),
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
        Source("processor, images", LEDGER),
        Source("2 x 2 patches a token", f"{HF}/idefics3/convert_idefics3_weights_to_hf.py"),
        Source("vision: patches", "364 pixels and 169 tokens a tile: 26 x 26", False),
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

LLAMA_VISION = Published(
    checkpoint="meta-llama/Llama-3.2-11B-Vision-Instruct",
    kind="mllama",
    sources=(
        Source("vision, text, ends", f"{TENSTORRENT}/Llama-3.2-90B-Vision-Instruct/config.json"),
        Source(
            "every fifth layer looks at the photo", "class default of transformers' MllamaConfig"
        ),
        Source("images, processor, tokenizer", f"{HF}/mllama/convert_mllama_weights_to_hf.py"),
        Source("chat: content may be a list", VLLM),
        Source("generation", "Llama 3's", False),
    ),
    tokenizer=Tokenizer(
        kind="byte-level",
        control=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|finetune_right_pad_id|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eom_id|>",
            "<|eot_id|>",
        ),
        begin="<|begin_of_text|>",
        end="<|eot_id|>",
        pad="<|finetune_right_pad_id|>",
        puts_begin=True,
        added=("<|image|>",),
    ),
    chat=Chat(
        begin="<|begin_of_text|>",
        user="<|start_header_id|>user<|end_header_id|>\n\n",
        photo="<|image|>",
        close="<|eot_id|>",
        answer="<|start_header_id|>assistant<|end_header_id|>\n\n",
        takes_strings=True,
        trims=True,
    ),
    vision=dict(
        image_size=140,
        patch_size=14,
        hidden_act="gelu",
        norm_eps=1e-5,
        num_hidden_layers=3,
        num_global_layers=2,
        intermediate_layers_indices=[0, 2],
        vision_output_dim=3 * 32,
        max_num_tiles=4,
    ),
    text=dict(
        num_hidden_layers=5,
        cross_attention_layers=[3],
        rms_norm_eps=1e-5,
        max_position_embeddings=131072,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    spare=-1,  # the mark of a photo has no logit
    tokens={"image_token_index": "<|image|>"},
    processor=("MllamaProcessor", {}),
    images=(
        "MllamaImageProcessor",
        dict(
            size={"height": 140, "width": 140},
            max_image_tiles=4,
            image_mean=[0.48145466, 0.4578275, 0.40821073],
            image_std=[0.26862954, 0.26130258, 0.27577711],
        ),
    ),
    generation=dict(do_sample=True, temperature=0.6, top_p=0.9),
    ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
    photo=(140, 280),
    scaled=(
        "tiles of 560 pixels are 140: 101 positions instead of 1,601, both no multiple of the eight"
        " that they are filled up to"
    ),
)

ROWS = (_smol_vlm("256M"), _smol_vlm("500M"), SMOL_VLM_2, IDEFICS_3, LLAMA_VISION)
