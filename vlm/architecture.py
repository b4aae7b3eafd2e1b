"""The one file that knows the inside of transformers' models and processors.

It answers questions about a loaded checkpoint (where is the connector, which part of the photo does the processor keep) and
refuses, in one sentence, what it cannot answer truthfully.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from torch import Tensor, nn

from vlm.attention import IMPLEMENTATION
from vlm.compat import ensure_torchvision
from vlm.device import placement
from vlm.errors import ModelError
from vlm.patches import Box

ensure_torchvision()

from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin  # noqa: E402
from transformers.image_transforms import get_resize_output_image_size  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

FAMILIES = ("llava",)
# What transformers raises on a checkpoint that is damaged or of an unknown kind.
UNREADABLE = (AttributeError, ImportError, KeyError, OSError, RuntimeError, SafetensorError, StrictDataclassError, TypeError, ValueError)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Silence transformers' own bars: the callers of this library report progress by stage."""
    were_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            transformers_logging.enable_progress_bar()


def load_checkpoint(folder: Path) -> tuple[PreTrainedModel, ProcessorMixin]:
    """A local checkpoint (safetensors only, no code of its own) on the chosen device.

    Raises:
        ModelError: the folder is no checkpoint, or of a family this program cannot look into.
    """
    where = placement()
    try:
        with without_progress_bars():
            model, loading = AutoModelForImageTextToText.from_pretrained(
                folder,
                dtype=where.dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=IMPLEMENTATION,
                ignore_mismatched_sizes=True,  # refused below, with the missing ones
                output_loading_info=True,
            )
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        raise ModelError(f"{str(folder)!r} cannot be loaded as an image-and-text checkpoint: {str(error).splitlines()[0]}") from error
    if model.config.model_type not in FAMILIES:
        raise ModelError(f"{str(folder)!r} is a {model.config.model_type} model; this version looks into {', '.join(FAMILIES)} models.")
    made_up = sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])])
    if made_up:
        raise ModelError(
            f"{str(folder)!r} lacks {len(made_up)} of the weights that its config.json asks for, or has them in another size ({made_up[0]}, ...); copy it again."
        )
    return model.to(where.device).eval().requires_grad_(False), processor


def patch_size(model: PreTrainedModel) -> int:
    """P, the side of a patch in received pixels."""
    return int(model.config.vision_config.patch_size)


def connector(model: PreTrainedModel) -> nn.Module:
    """m_gamma."""
    return model.model.multi_modal_projector


def vision_tower(model: PreTrainedModel) -> nn.Module:
    """f_v."""
    return model.model.vision_tower


def patch_embeddings(model: PreTrainedModel) -> nn.Module:
    """What makes the first vectors of the encoder out of pixels: projection, CLS, position embeddings."""
    return vision_tower(model).embeddings


def patch_convolution(model: PreTrainedModel) -> nn.Conv2d:
    """The linear projection of every patch, written as a convolution whose stride is its kernel's size."""
    return next(module for module in patch_embeddings(model).modules() if isinstance(module, nn.Conv2d))


def patch_projection(model: PreTrainedModel) -> tuple[Float[Tensor, "F PPC"], Float[Tensor, " F"] | None]:
    """The linear projection E of a flattened patch (P, P, C), and its bias: the convolution's kernel, reordered."""
    convolution = patch_convolution(model)
    return convolution.weight.permute(0, 2, 3, 1).flatten(1), convolution.bias


def language_trunk(model: PreTrainedModel) -> nn.Module:
    """g_phi without its head."""
    return model.model.language_model


def language_layers(model: PreTrainedModel) -> int:
    """How many layers g_phi has."""
    return int(model.config.text_config.num_hidden_layers)


def final_norm(model: PreTrainedModel) -> nn.Module:
    """What stands between the last layer of the language model and its head."""
    return model.model.language_model.norm


def output_layers(model: PreTrainedModel) -> tuple[int, ...]:
    """The encoder layers that X' is made of, side by side; 1 is the first."""
    layers, count = model.config.vision_feature_layer, model.config.vision_config.num_hidden_layers
    return tuple(layer if layer >= 0 else count + 1 + layer for layer in ([layers] if isinstance(layers, int) else layers))


def image_token_id(model: PreTrainedModel) -> int:
    """The placeholder id that marks a visual position."""
    return int(model.config.image_token_id)


def context_length(model: PreTrainedModel) -> int:
    """The longest sequence the language model was made for, in positions."""
    return int(model.config.text_config.max_position_embeddings)


def end_ids(model: PreTrainedModel) -> frozenset[int]:
    """Tokens that end an answer."""
    ids = model.generation_config.eos_token_id
    return frozenset([ids] if isinstance(ids, int) else ids or [])


def control_tokens(processor: ProcessorMixin) -> tuple[str, ...]:
    """Strings that the tokenizer reads as one control token wherever they stand, also inside a question."""
    tokenizer = processor.tokenizer
    return (*tokenizer.all_special_tokens, *(entry.content for entry in tokenizer.added_tokens_decoder.values() if entry.special))


def render_prompt(processor: ProcessorMixin, question: str) -> str:
    """The question in the model's own chat template, with one image placeholder.

    Raises:
        ModelError: the checkpoint has no chat template.
    """
    if not processor.chat_template:
        raise ModelError("This checkpoint has no chat template, so the prompt it was trained with is unknown; add chat_template.jinja to its folder.")
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    return processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)


def received_box(processor: ProcessorMixin, photo: tuple[int, int], received: tuple[int, int]) -> Box:
    """The part of the photo that the processor kept, in pixels of the photo.

    Args:
        photo: height and width of the photo.
        received: height and width of what the model receives.

    Raises:
        ModelError: the image processor does something (padding, tiling) that this function does not know.
    """
    image_processor = processor.image_processor
    unknown = [step for step in ("do_pad", "do_image_splitting", "crop_to_patches", "do_pan_and_scan") if getattr(image_processor, step, False)]
    if unknown or not image_processor.do_resize:
        raise ModelError(f"This image processor uses {', '.join(unknown) or 'no resizing'}; this version follows resizing and centre cropping only.")
    height, width = photo
    size = image_processor.size
    if size.get("shortest_edge"):
        shape = np.empty((height, width, 3), np.uint8)
        resized = get_resize_output_image_size(shape, size["shortest_edge"], default_to_square=False, input_data_format="channels_last")
    else:
        resized = (size["height"], size["width"])
    top, left = 0, 0
    if getattr(image_processor, "do_center_crop", False):
        top, left = (resized[0] - received[0]) // 2, (resized[1] - received[1]) // 2
        if top < 0 or left < 0:
            raise ModelError(f"This image processor crops {received[0]} x {received[1]} out of {resized[0]} x {resized[1]} pixels; this version does not follow padding.")
    elif tuple(resized) != tuple(received):
        raise ModelError(f"The processor was expected to give {resized[0]} x {resized[1]} pixels and gave {received[0]} x {received[1]}.")
    vertical, horizontal = height / resized[0], width / resized[1]
    return top * vertical, left * horizontal, (top + received[0]) * vertical, (left + received[1]) * horizontal


def denormalise(processor: ProcessorMixin, pixel_values: Float[np.ndarray, "C H W"]) -> UInt8[np.ndarray, "H W C"]:
    """What the model received as 8-bit RGB: the normalisation undone."""
    image_processor = processor.image_processor
    mean, deviation = np.asarray(image_processor.image_mean), np.asarray(image_processor.image_std)
    values = pixel_values.transpose(1, 2, 0) * deviation + mean
    return np.clip(np.rint(values / image_processor.rescale_factor), 0, 255).astype(np.uint8)


