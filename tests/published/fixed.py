"""Checkpoints that make every photo one picture of one size."""

from tests.published.parts import CLIP_IMAGES, HF, QWEN_WORDS, SQUARE_384
from tests.published.records import Chat, Published, Source, Tokenizer

KOSMOS_FOLDER = "Yutong-Dai/commented_codebase kosmos-2-patch14-224"

FAST_VLM = Published(
    checkpoint="KamilaMila/FastVLM-0.5B",
    kind="fast_vlm",
    sources=(
        Source(
            "model, vision, processor, images, chat",
            f"{HF}/fast_vlm/convert_fastvlm_weights_to_hf.py",
        ),
        Source("text", "class defaults of transformers' Qwen2Config", False),
        Source("tokenizer, ends", "Qwen2's", False),
    ),
    tokenizer=QWEN_WORDS,
    chat=Chat(
        system="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
        user="<|im_start|>user\n",
        photo="<image>",
        before_text="\n",
        close="<|im_end|>\n",
        answer="<|im_start|>assistant\n",
        photos_first=True,
    ),
    vision=dict(
        architecture="fastvit_mci3",
        hidden_size=128,  # twice the last stage, as published
        model_args=dict(inference_mode=True, layers=(1, 1, 1, 1, 1), embed_dims=(4, 8, 8, 32, 64)),
    ),
    text=dict(model_type="qwen2", rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    model=dict(
        vision_feature_layer=-1, vision_feature_select_strategy="full", image_seq_length=256
    ),
    tokens={"image_token_index": "<image>"},
    processor=(
        "LlavaProcessor",
        dict(patch_size=64, vision_feature_select_strategy="full", num_additional_image_tokens=0),
    ),
    images=(
        "CLIPImageProcessor",
        dict(
            size={"shortest_edge": 1024},
            crop_size={"height": 1024, "width": 1024},
            image_mean=[0.0, 0.0, 0.0],
            image_std=[1.0, 1.0, 1.0],
        ),
    ),
    ends=("<|im_end|>",),
    photo=(1024, 1024),
)

PALIGEMMA_2 = Published(
    checkpoint="google/paligemma2-3b-mix-224",
    kind="paligemma",
    sources=(
        Source("vision, text, ends", f"{HF}/paligemma/convert_paligemma2_weights_to_hf.py"),
        Source(
            "caps and window of the language model", "class defaults of transformers' Gemma2Config"
        ),
        Source(
            "images", "class defaults of transformers' SiglipImageProcessor at 224 pixels", False
        ),
        Source("tokenizer, processor", "class defaults of GemmaTokenizer and PaliGemmaProcessor"),
    ),
    tokenizer=Tokenizer(
        kind="mark",
        control=("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"),
        begin="<bos>",
        end="<eos>",
        pad="<pad>",
        puts_begin=True,
    ),
    chat=None,
    vision=dict(
        model_type="siglip_vision_model",
        image_size=224,
        patch_size=14,
        hidden_act="gelu_pytorch_tanh",
        layer_norm_eps=1e-6,
        vision_use_head=False,
    ),
    text=dict(
        model_type="gemma2",
        num_hidden_layers=4,  # every other one looks through a window
        head_dim=16,
        hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=256,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        sliding_window=4096,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
    ),
    spare=64,
    tokens={"image_token_index": "<image>"},
    processor=("PaliGemmaProcessor", {}),
    images=(
        "SiglipImageProcessor",
        SQUARE_384 | dict(size={"height": 224, "width": 224}),
    ),
    ends=("<eos>",),
    photo=(224, 224),
)

GEMMA_3 = Published(
    checkpoint="google/gemma-3-4b-it",
    kind="gemma3",
    sources=(
        Source(
            "vision, text, processor, images, tokenizer, chat, generation, ends",
            f"{HF}/gemma3/convert_gemma3_weights.py",
        ),
        Source(
            "one full layer after five with a window",
            "class defaults of transformers' Gemma3TextConfig",
        ),
    ),
    tokenizer=Tokenizer(
        kind="mark",
        control=(
            "<pad>",
            "<eos>",
            "<bos>",
            "<unk>",
            "<mask>",
            "<start_of_turn>",
            "<end_of_turn>",
            "<start_of_image>",
            "<end_of_image>",
        ),
        begin="<bos>",
        end="<eos>",
        pad="<pad>",
        puts_begin=True,
        added=("<image_soft_token>",),
        named={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
    ),
    chat=Chat(
        begin="<bos>",
        user="<start_of_turn>user\n",
        photo="<start_of_image>",
        close="<end_of_turn>\n",
        answer="<start_of_turn>model\n",
        takes_strings=True,
        trims=True,
    ),
    vision=dict(
        model_type="siglip_vision_model",
        image_size=448,
        patch_size=14,
        hidden_act="gelu_pytorch_tanh",
        layer_norm_eps=1e-6,
        vision_use_head=False,
    ),
    text=dict(
        num_hidden_layers=6,
        head_dim=16,
        sliding_window=1024,
        query_pre_attn_scalar=256,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        tie_word_embeddings=True,
    ),
    spare=64,
    model=dict(mm_tokens_per_image=64),
    tokens={
        "boi_token_index": "<start_of_image>",
        "eoi_token_index": "<end_of_image>",
        "image_token_index": "<image_soft_token>",
    },
    processor=("Gemma3Processor", dict(image_seq_length=64)),
    images=(
        "Gemma3ImageProcessor",
        dict(
            size={"height": 448, "width": 448},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
            resample=2,
        ),
    ),
    generation=dict(do_sample=True, temperature=1.0, top_k=64, top_p=0.95),
    ends=("<eos>", "<end_of_turn>"),
    photo=(448, 448),
    scaled="896 pixels and 256 tokens are 448 and 64, of 4 x 4 patches each as published",
)

_BLIP_IMAGES = (
    "BlipImageProcessor",
    dict(
        size={"height": 224, "width": 224},
        image_mean=CLIP_IMAGES["image_mean"],
        image_std=CLIP_IMAGES["image_std"],
    ),
)

_BLIP_VISION = dict(image_size=224, patch_size=14, hidden_act="gelu", layer_norm_eps=1e-6)

BLIP_2 = Published(
    checkpoint="Salesforce/blip2-opt-2.7b",
    kind="blip-2",
    sources=(
        Source(
            "vision, images, ends: a line break",
            f"{HF}/blip_2/convert_blip_2_original_to_pytorch.py",
        ),
        Source("activation; processor: queries", "class defaults of transformers' Blip2Config"),
        Source("text", "class defaults of transformers' OPTConfig", False),
        Source("tokenizer", "OPT's: GPT-2's, which puts </s> before every text", False),
        Source(
            "words around a question",
            "vllm-project/vllm examples/offline_inference/vision_language.py",
        ),
    ),
    tokenizer=Tokenizer(
        kind="byte-level",
        control=("<s>", "<pad>", "</s>", "<unk>"),
        begin="</s>",
        end="</s>",
        pad="<pad>",
        puts_begin=True,
        added=("<image>",),
    ),
    chat=None,
    vision=_BLIP_VISION,
    text=dict(model_type="opt", activation_function="relu", do_layer_norm_before=True),
    model=dict(num_query_tokens=32),
    tokens={"image_token_index": "<image>", "text_end": "Ċ"},
    processor=("Blip2Processor", dict(num_query_tokens=32)),
    images=_BLIP_IMAGES,
    ends=("Ċ",),  # a line break, which is a word of the vocabulary
    photo=(224, 224),
)

INSTRUCT_BLIP = Published(
    checkpoint="Salesforce/instructblip-vicuna-7b",
    kind="instructblip",
    sources=(
        Source(
            "vision, text, images, tokenizer",
            f"{HF}/instructblip/convert_instructblip_original_to_pytorch.py",
        ),
        Source(
            "activation; processor: queries", "class defaults of transformers' InstructBlipConfig"
        ),
        Source("ends", "the end token of that tokenizer", False),
    ),
    tokenizer=Tokenizer(
        kind="prefix mark",
        control=("<unk>", "<s>", "</s>"),
        begin="</s>",
        end="</s>",
        pad="[PAD]",
        puts_begin=True,
        added=("[PAD]", "<image>"),
    ),
    chat=None,
    vision=_BLIP_VISION,
    text=dict(model_type="llama", rms_norm_eps=1e-6, max_position_embeddings=2048),
    model=dict(num_query_tokens=32),
    tokens={"image_token_index": "<image>"},
    processor=("InstructBlipProcessor", dict(num_query_tokens=32)),
    images=_BLIP_IMAGES,
    ends=("</s>",),
    photo=(224, 224),
)

KOSMOS_2 = Published(
    checkpoint="microsoft/kosmos-2-patch14-224",
    kind="kosmos-2",
    sources=(
        Source("model, vision, text", f"{KOSMOS_FOLDER}/config.json"),
        Source("images", f"{KOSMOS_FOLDER}/preprocessor_config.json"),
        Source("generation, ends", f"{KOSMOS_FOLDER}/generation_config.json"),
        Source("tokenizer, processor", "class defaults of XLMRobertaTokenizer, Kosmos2Processor"),
    ),
    tokenizer=Tokenizer(
        kind="unigram",
        control=("<s>", "<pad>", "</s>", "<unk>"),
        begin="<s>",
        end="</s>",
        pad="<pad>",
        puts_begin=True,
    ),
    chat=None,
    vision=dict(image_size=224, patch_size=14, hidden_act="quick_gelu", layer_norm_eps=1e-5),
    text=dict(
        model_type="kosmos_2_text_model",
        activation_function="gelu",
        layer_norm_eps=1e-5,
        scale_embedding=True,
        no_repeat_ngram_size=3,
        max_position_embeddings=2048,
    ),
    model=dict(latent_query_num=64),
    processor=("Kosmos2Processor", dict(num_patch_index_tokens=1024)),
    images=(
        "CLIPImageProcessor",
        CLIP_IMAGES | dict(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}),
    ),
    generation=dict(no_repeat_ngram_size=3),
    ends=("</s>",),
    photo=(224, 224),
)

ROWS = (
    FAST_VLM,
    PALIGEMMA_2,
    GEMMA_3,
    BLIP_2,
    INSTRUCT_BLIP,
    KOSMOS_2,
)
