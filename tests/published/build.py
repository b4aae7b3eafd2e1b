"""Tiny checkpoints with published settings: few narrow layers and a small vocabulary, everything
else as the record says, of transformers' own classes, saved the way real ones are.
"""

import json
from pathlib import Path

from tests.families import let_the_photo_matter, skip_what_transformers_cannot
from tests.published.records import Chat, Published
from tests.published.words import bert_tokenizer, make_tokenizer
from vlm.backends.compat import ensure_torchvision

ensure_torchvision()

import torch
import transformers as tf

WIDTH = 48  # of the language model
_VIT = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
_QWEN = dict(depth=3, num_heads=2, hidden_size=32, intermediate_size=64, out_hidden_size=WIDTH)
VISION = {
    "qwen2_vl": dict(depth=3, num_heads=2, embed_dim=32, hidden_size=WIDTH, mlp_ratio=2),
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_vl_moe": _QWEN,
    "qwen3_5": _QWEN,
    "qwen3_5_moe": _QWEN,
    # a new BLIP's encoder is all zeros: its range is 1e-10
    "blip-2": _VIT | dict(initializer_range=0.1),
    "instructblip": _VIT | dict(initializer_range=0.1),
    "fast_vlm": {},
    "mllama": dict(hidden_size=32, intermediate_size=64, attention_heads=2),
}
TEXT = dict(
    hidden_size=WIDTH,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=3,
    num_key_value_heads=1,
    initializer_range=0.2,
)
_OPT = dict(
    hidden_size=WIDTH,
    ffn_dim=64,
    num_hidden_layers=3,
    num_attention_heads=3,
    word_embed_proj_dim=WIDTH,
    init_std=0.2,
)
_KOSMOS = dict(embed_dim=WIDTH, layers=3, ffn_dim=64, attention_heads=3, init_std=0.2)
OTHER_TEXTS = {"opt": _OPT, "kosmos_2_text_model": _KOSMOS}
QFORMER = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    encoder_hidden_size=32,
)
# The file of a Llama 2 tokenizer puts the space mark before a text by its normaliser.
PREFIX = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}


def chat_template(chat: Chat) -> str:
    """A template of this shape, in the language of chat templates."""

    def write(text: str) -> str:
        return "{{ " + json.dumps(text) + " }}" if text else ""

    text = "{{ part['text']" + (" | trim" if chat.trims else "") + " }}" + write(chat.after_text)
    text = write(chat.before_text) + text
    parts = "{% for part in message['content'] %}"
    photo = "{% if part['type'] == 'image' %}" + write(chat.photo)
    if chat.photos_first:
        content = (
            f"{parts}{photo}{{% endif %}}{{% endfor %}}"
            f"{parts}{{% if part['type'] == 'text' %}}{text}{{% endif %}}{{% endfor %}}"
        )
    else:
        content = (
            f"{parts}{photo}{{% elif part['type'] == 'text' %}}{text}{{% endif %}}{{% endfor %}}"
        )
    if chat.takes_strings:
        content = (
            "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
            f"{content}{{% endif %}}"
        )
    system = (
        f"{{% if messages[0]['role'] != 'system' %}}{write(chat.system)}{{% endif %}}"
        if chat.system
        else ""
    )
    return (
        f"{write(chat.begin)}{system}{{% for message in messages %}}{write(chat.user)}{content}"
        f"{write(chat.close)}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{write(chat.answer)}{{% endif %}}"
    )


def make_processor(row: Published) -> tf.ProcessorMixin:
    """Its processor, with a tiny tokenizer of its kind."""
    images = getattr(tf, row.images[0])(**row.images[1])
    if row.kind == "paligemma":  # which its processor asks of it
        images.image_seq_length = (row.vision["image_size"] // row.vision["patch_size"]) ** 2
    kind, settings = getattr(tf, row.processor[0]), dict(row.processor[1])
    if video := settings.pop("video", None):
        settings["video_processor"] = getattr(tf, video)()
    if row.kind == "instructblip":
        settings["qformer_tokenizer"] = bert_tokenizer()
    tokenizer = make_tokenizer(row.tokenizer)
    processor = kind(image_processor=images, tokenizer=tokenizer, **settings)
    if row.chat:
        processor.chat_template = chat_template(row.chat)
    return processor


def make_config(row: Published, processor: tf.ProcessorMixin) -> tf.PreTrainedConfig:
    """Its configuration at tiny width."""
    tokenizer = processor.tokenizer
    vocabulary = len(tokenizer) + row.spare
    text = OTHER_TEXTS.get(row.text.get("model_type"), TEXT) | dict(
        vocab_size=vocabulary,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    parts = {
        "vision_config": VISION.get(row.kind, _VIT) | dict(row.vision),
        "text_config": text | dict(row.text),
    }
    if row.kind in ("blip-2", "instructblip"):
        entries = len(getattr(processor, "qformer_tokenizer", tokenizer))
        parts["qformer_config"] = QFORMER | dict(vocab_size=entries)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in row.tokens.items()}
    if "text_end" in ids:
        parts["text_config"]["eos_token_id"] = ids.pop("text_end")
    if row.kind == "paligemma":
        parts |= dict(vocab_size=vocabulary, projection_dim=WIDTH, hidden_size=WIDTH)
    return tf.CONFIG_MAPPING[row.kind](**parts, **row.model, **ids)


def build(row: Published, folder: Path, seed: int = 0) -> Path:
    """Save a tiny checkpoint with these settings that `vlm.load(folder)` reads."""
    processor = make_processor(row)
    tokenizer = processor.tokenizer
    config = make_config(row, processor)
    skip_what_transformers_cannot(config)
    torch.manual_seed(seed)
    model = tf.AutoModelForImageTextToText.from_config(config).eval()
    let_the_photo_matter(model)
    if row.kind == "fast_vlm":
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.data.abs_()  # what lies nearest counts most, as after training
    ends = [tokenizer.convert_tokens_to_ids(token) for token in row.ends]
    model.generation_config = tf.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
        **row.generation,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if row.tokenizer.kind == "prefix mark":
        _write_prefix(folder / "tokenizer.json")
    return folder


def _write_prefix(path: Path) -> None:
    """Have the tokenizer's file say how it puts the space mark as published ones say it."""
    contents = json.loads(path.read_text(encoding="utf-8"))
    contents |= {"normalizer": PREFIX, "pre_tokenizer": None}
    path.write_text(json.dumps(contents, ensure_ascii=False), encoding="utf-8")
