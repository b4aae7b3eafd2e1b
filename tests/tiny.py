"""Tiny randomly initialised models of the real classes, saved the way real checkpoints are, and
photos to show them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

PATCH = 14
SIDE = 56  # the tiny encoders' image side: 4 x 4 patches
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{"
    " m['content'] }}{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{%"
    " else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if"
    " add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<pad>", "<image>", "<|im_start|>", "<|im_end|>")


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """A smooth RGB photo in which no two regions look alike: a few coloured waves whose phases
    depend on the seed.
    """
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, (3, 3))
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        np.sin(5 * down + a) + np.sin(7 * across + b) + np.sin(4 * (down + across) + c)
        for a, b, c in phases
    ]
    return Image.fromarray(np.uint8(127.5 + 40 * np.stack(waves, axis=-1)))


def tiny_tokenizer(vocabulary: int = 400, special: tuple[str, ...] = SPECIAL, **named):
    """A byte-level BPE tokenizer trained on one sentence: every string can be written with it.

    `named`: further special tokens by name.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["user assistant a photo of a cat and a dog on the grass. What is in this image?"] * 4,
        trainer,
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=special[0],
        eos_token=special[-1],
        additional_special_tokens=list(special[1:-1]),
        **named,
    )


@dataclass(frozen=True)
class Size:
    """How large a random LLaVA is: widths and depths of its encoder and its language model."""

    encoder: int = 32
    language: int = 48
    layers: int = 3  # of each
    hidden: int = 64  # between the two maps of an MLP
    heads: int = 4
    spread: float = 0.2  # of the language model's weights: answers that differ from token to token


def tiny_llava(
    folder: Path,
    vision: Literal["clip", "siglip", "dinov2"] = "clip",
    resize: Literal["crop", "squash"] | None = None,
    seed: int = 0,
    context: int = 512,
    side: int = SIDE,
    size: Size = Size(),
) -> Path:
    """Save a tiny LLaVA checkpoint with its processor that `vlm.load(folder)` reads: 16 visual
    tokens, 3 + 3 layers.

    Args:
        resize: "crop" resizes the shorter side and keeps the centre, as CLIP does; "squash" resizes
            both sides. By default what
            the encoder is usually used with: "crop" for CLIP, "squash" for the others.
        context: the longest sequence of the language model.
        side: of what the encoder receives, in pixels.
        size: for benchmarks, which want larger ones.
    """
    import torch

    from vlm.backends.compat import ensure_torchvision

    ensure_torchvision()
    import transformers as tf

    tokenizer = tiny_tokenizer()
    shape = dict(
        hidden_size=size.encoder,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        image_size=side,
        patch_size=PATCH,
    )
    visions = {
        "clip": tf.CLIPVisionConfig(intermediate_size=size.hidden, **shape),
        "siglip": tf.SiglipVisionConfig(
            intermediate_size=size.hidden, vision_use_head=False, **shape
        ),
        "dinov2": tf.Dinov2Config(mlp_ratio=2, **shape),
    }
    has_class = vision != "siglip"
    config = tf.LlavaConfig(
        vision_config=visions[vision],
        text_config=tf.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.language,
            intermediate_size=size.hidden,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads // 2,
            max_position_embeddings=context,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=size.spread,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(side // PATCH) ** 2,
        vision_feature_layer={"clip": -2, "dinov2": [-3, -2], "siglip": -1}[vision],
        vision_feature_select_strategy="default" if has_class else "full",
    )
    torch.manual_seed(seed)
    model = tf.LlavaForConditionalGeneration(config)
    for parameter in model.model.multi_modal_projector.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # so that the photo changes the answer
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = (
        tokenizer.eos_token_id
    )
    square = {"height": side, "width": side}
    crop = (resize or ("crop" if vision == "clip" else "squash")) == "crop"
    sizes = dict(
        size={"shortest_edge": side} if crop else square, crop_size=square, do_center_crop=crop
    )
    if vision == "siglip" and not crop:
        image_processor = tf.SiglipImageProcessor(size=square)
    else:
        image_processor = {
            "clip": tf.CLIPImageProcessor,
            "siglip": tf.CLIPImageProcessor,
            "dinov2": tf.BitImageProcessor,
        }[vision](**sizes)
    processor = tf.LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(has_class),
        chat_template=CHAT_TEMPLATE,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def tiny_clip(folder: Path, seed: int = 0, logit_bias: float | None = None) -> Path:
    """Save a tiny open_clip checkpoint that `vlm.load_contrastive(folder)` reads.

    With `logit_bias` one of the sigmoid kind.
    """
    import torch

    from vlm.backends.compat import ensure_torchvision

    ensure_torchvision()
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": 32,
        "vision_cfg": {
            "image_size": 64,
            "layers": 2,
            "width": 64,
            "head_width": 16,
            "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 32,
            "heads": 4,
            "layers": 2,
        },
    }
    if logit_bias is not None:
        config["init_logit_bias"] = logit_bias
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(
        {name: weight.contiguous() for name, weight in model.state_dict().items()},
        Path(folder) / "open_clip_model.safetensors",
    )
    preprocess = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    (Path(folder) / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    return Path(folder)
