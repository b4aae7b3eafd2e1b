"""What knows the inside of transformers' models and processors, with `text_model` for g_phi.

It answers questions about a loaded checkpoint (where is the connector, which part of the photo does
the processor keep) and refuses, in one sentence, what it cannot answer truthfully.
"""

import copy
import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn

from vlm.backends.attention import IMPLEMENTATION
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import placement
from vlm.backends.families import FAMILIES, LAYER_1, TOWERS, Family, Tower
from vlm.backends.memory import Plan
from vlm.backends.text_model import check_attention, language_trunk
from vlm.errors import ModelError

ensure_torchvision()

from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin
from transformers.utils import logging as transformers_logging
from transformers.vision_utils import get_vision_window_index

# What the model's own forward tells its language model that is decided anew for every run.
NOT_KEPT = frozenset(
    {
        "input_ids",
        "cache",
        "past_key_values",
        "use_cache",
        "return_dict",
        "logits_to_keep",
        "output_hidden_states",
        "output_attentions",
        "image_sizes",
    }
)
# What transformers raises on a checkpoint that is damaged or of an unknown kind.
UNREADABLE = (
    AttributeError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


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


def load_checkpoint(
    folder: Path, plan: Plan | None = None
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """A local checkpoint (safetensors only, no code of its own) on the chosen device.

    Args:
        plan: where its weights go and as what, see `memory.plan`; None: onto the chosen device, in
            its number format.

    Raises:
        ModelError: the folder is no checkpoint, of a family this program cannot look into, or it
            did not fit after all.
    """
    plan = plan or Plan(placement(), None, None, 0)
    try:
        with without_progress_bars():
            model, loading = AutoModelForImageTextToText.from_pretrained(
                folder,
                dtype=plan.where.dtype,
                device_map=plan.device_map,
                quantization_config=plan.quantization,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=IMPLEMENTATION,
                ignore_mismatched_sizes=True,  # refused below, with the missing ones
                output_loading_info=True,
            )
            processor = AutoProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelError(
            f"{str(folder)!r} needs more memory than is free; choose a smaller model, or a machine"
            " with more memory."
        ) from error
    except UNREADABLE as error:
        raise ModelError(
            f"{str(folder)!r} cannot be loaded as an image-and-text checkpoint:"
            f" {' '.join(str(error).split())[:300].rstrip('.')}."
        ) from error
    check_attention(type(language_trunk(model)))
    if has_rows(model):
        check_feature_layers(model)
    made_up = sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])])
    if made_up:
        layers = getattr(model.config, "vision_feature_layer", None)
        listed = (
            f" (or correct vision_feature_layer, {layers!r:.60}, by which the connector's are"
            " sized)"
            if isinstance(layers, (list, tuple))
            else ""
        )
        raise ModelError(
            f"{str(folder)!r} lacks {len(made_up)} of the weights that its config.json asks for, or"
            f" has them in another size ({made_up[0]}, ...); copy it again{listed}."
        )
    model = model if plan.device_map else model.to(plan.where.device)
    return model.eval().requires_grad_(False), processor


def family(model: PreTrainedModel) -> Family:
    """The row of the table that this model belongs to, or the one that `working_out` found."""
    return (
        model.worked_out[0] if hasattr(model, "worked_out") else FAMILIES[model.config.model_type]
    )


def tower_row(model: PreTrainedModel) -> Tower:
    """The row of its vision encoder."""
    return (
        model.worked_out[1]
        if hasattr(model, "worked_out")
        else TOWERS[model.config.vision_config.model_type]
    )


def has_rows(model: PreTrainedModel) -> bool:
    """Whether the tables know this model and its vision encoder."""
    return (
        model.config.model_type in FAMILIES
        and getattr(getattr(model.config, "vision_config", None), "model_type", None) in TOWERS
    )


def at(module: nn.Module, path: str) -> nn.Module:
    """What stands at a dotted path."""
    return attrgetter(path)(module)


def patch_size(model: PreTrainedModel) -> int:
    """P, the side of a patch in received pixels.

    Where the encoder only shrinks a picture, the side of what becomes one vector.
    """
    convolution = patch_convolution(model)
    return int(
        convolution.kernel_size[-1]
        if convolution is not None
        else vision_tower(model).timm_model.feature_info[-1]["reduction"]
    )


def merge_size(model: PreTrainedModel) -> int:
    """m, where m x m patches become one visual token."""
    return family(model).merge(model.config)


def connector(model: PreTrainedModel) -> nn.Module:
    """m_gamma."""
    return at(model, family(model).connector)


def vision_tower(model: PreTrainedModel) -> nn.Module:
    """f_v."""
    return at(model, family(model).tower)


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of f_v; none where it has none that keep one vector a patch."""
    return [layer for path in tower_row(model).layers for layer in at(vision_tower(model), path)]


def patch_convolution(model: PreTrainedModel) -> nn.Module | None:
    """The linear projection of every patch, written as a convolution whose stride is its kernel's
    size.
    """
    path = tower_row(model).projection
    return at(vision_tower(model), path) if path else None


def patch_projection(
    model: PreTrainedModel,
) -> tuple[Float[Tensor, "F PPC"], Float[Tensor, " F"] | None]:
    """The linear projection E of a flattened patch (P, P, C), and its bias: the convolution's
    kernel, reordered.

    A photo is a film of equal frames to encoders of films: their kernels are summed over time.
    """
    convolution = patch_convolution(model)
    kernel = convolution.weight.sum(2) if convolution.weight.ndim == 5 else convolution.weight
    return kernel.permute(0, 2, 3, 1).flatten(1), convolution.bias


def embedding_module(model: PreTrainedModel) -> nn.Module | None:
    """What gives projection plus learned position embedding.

    None where that is what layer 1 reads, or nothing is learned.
    """
    path = tower_row(model).embedded
    return at(vision_tower(model), path) if path and path != LAYER_1 else None


def has_learned_positions(model: PreTrainedModel) -> bool:
    """Whether f_v adds a learned vector to each patch."""
    return tower_row(model).embedded is not None


def rotary_module(model: PreTrainedModel) -> nn.Module | None:
    """What gives the cosine and sine by which f_v turns queries and keys."""
    path = tower_row(model).rotary
    return at(vision_tower(model), path) if path else None


def window_order(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Int[Tensor, " N"] | None:
    """Where in the encoder's own order each patch stands, for encoders that put patches of one
    window side by side; None for others.
    """
    tower = vision_tower(model)
    if not hasattr(tower, "window_size"):
        return None
    groups, _ = get_vision_window_index(
        inputs["image_grid_thw"], tower.spatial_merge_size, tower.window_size, tower.patch_size
    )
    unit = tower.spatial_merge_unit
    return torch.argsort(
        (groups[:, None] * unit + torch.arange(unit, device=groups.device)).flatten()
    )


def tile_places(inputs: Mapping[str, Tensor]) -> tuple[int, Int[Tensor, " tiles"]] | None:
    """How many places for tiles the encoder keeps, and which of them hold a tile of a photo.

    None for encoders that are given no empty tiles.
    """
    mask = inputs.get("aspect_ratio_mask")
    return None if mask is None else (mask.numel(), mask.flatten().nonzero()[:, 0])


def vision_inputs(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the processor's outputs that the encoder is given: all of them, where only the
    model's own forward can run it.

    LLaVA hands image_sizes on to a Pixtral encoder without naming them.
    """
    if family(model).given_as:
        return dict(inputs)
    accepted = {*inspect.signature(model.get_image_features).parameters, "image_sizes"}
    return {name: value for name, value in inputs.items() if name in accepted}


def last_logits(model: PreTrainedModel) -> dict[str, int]:
    """How to ask the model's own forward for the logits of the last position only, where it can be
    asked.
    """
    return (
        {"logits_to_keep": 1}
        if "logits_to_keep" in inspect.signature(model.forward).parameters
        else {}
    )


class _Reached(Exception):
    """The language model is about to run."""


def at_the_door(model: PreTrainedModel, inputs: Mapping[str, object]) -> dict[str, object]:
    """What the model's own forward gives its language model.

    The forward runs up to that door and no further.
    """
    given, thread = {}, threading.get_ident()

    def stop(module, arguments, named):
        if threading.get_ident() == thread:
            given.update(named)
            raise _Reached

    handle = language_trunk(model).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(**inputs)
    except _Reached:
        pass
    finally:
        handle.remove()
    return given


def language_inputs(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], kept: object = None
) -> dict[str, object]:
    """What the model's own forward gives its language model: inputs_embeds with the visual tokens
    in place, positions, masks.

    Args:
        kept: what the vision encoder and the connector made of the photos
            (`vision_encoder.Encoded.kept`); they run only if it is None.
    """
    row, already = family(model), {}
    if kept is not None:
        already = (
            {row.given_as: kept}
            if row.given_as
            else {"pixel_values": None, "mm_encoder_outputs": {"image": kept}}
        )
    given = at_the_door(model, already | dict(inputs))
    if given.get("inputs_embeds") is None:  # the language model would look its words up itself
        given["inputs_embeds"] = model.get_input_embeddings()(given["input_ids"])
        if row.marked_by:  # and put the visual tokens in their places
            given["inputs_embeds"][given.pop(row.marked_by).bool()] = (
                given.pop(row.given_as).flatten(0, -2).to(given["inputs_embeds"].dtype)
            )
    return {
        name: value for name, value in given.items() if value is not None and name not in NOT_KEPT
    }


def visual_positions(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Bool[Tensor, " S"]:
    """Which positions of the prompt hold a visual token.

    None where those are read by cross-attention.
    """
    row, input_ids = family(model), inputs["input_ids"][0]
    if row.crossed:
        return torch.zeros_like(input_ids, dtype=torch.bool)
    return (
        inputs[row.marked_by][0].bool()
        if row.marked_by
        else input_ids == model.config.image_token_id
    )


def crossed_tokens(
    given: Mapping[str, object], inputs: Mapping[str, Tensor]
) -> Float[Tensor, "V D"]:
    """The visual tokens that a language model was given beside its sequence: of every tile, without
    the places that hold none.

    Args:
        given: what the language model is called with.
        inputs: what the processor made for the encoder.
    """
    _, used = tile_places(inputs)
    return given["cross_attention_states"][used.to(given["cross_attention_states"].device)].flatten(
        0, 1
    )


def weights_beside(
    weights: Float[Tensor, "layers keys"], inputs: Mapping[str, Tensor]
) -> Float[Tensor, "crossing V"]:
    """What cross-attention gave the visual tokens, without the places that hold no tile.

    `inputs` as for `crossed_tokens`.
    """
    places, used = tile_places(inputs)
    return weights.unflatten(1, (places, -1))[:, used.to(weights.device)].flatten(1)


def places_beside(given: Mapping[str, object], inputs: Mapping[str, Tensor]) -> Int[Tensor, " V"]:
    """Where each visual token stands among all places beside the sequence, of which some may hold
    no tile; arguments as for `crossed_tokens`.
    """
    places, used = tile_places(inputs)
    return (
        torch.arange(given["cross_attention_states"].shape[:-1].numel())
        .unflatten(0, (places, -1))[used.cpu()]
        .flatten()
    )


def tokens_beside(
    given: Mapping[str, object],
    inputs: Mapping[str, Tensor],
    tokens: Float[Tensor, "V D"],
    deepstack: Sequence[Float[Tensor, "V D"]],
) -> dict[str, object]:
    """Those arguments of the language model that hold visual tokens beside `inputs_embeds`, with
    other tokens in their places.

    Args:
        given, inputs: as for `crossed_tokens`. What stands in places without a tile stays: in
            transformers' forward positions before the photo's mark read those too.
        deepstack: what the language model adds to the tokens at its first layers.
    """
    changed = {}
    if "cross_attention_states" in given:
        states, (_, used) = given["cross_attention_states"].clone(), tile_places(inputs)
        states[used.to(states.device)] = tokens.reshape(len(used), *states.shape[1:])
        changed["cross_attention_states"] = states
    if "deepstack_visual_embeds" in given:
        changed["deepstack_visual_embeds"] = list(deepstack)
    return changed


def crossing(model: PreTrainedModel) -> frozenset[nn.Module]:
    """Those attentions of the language model that read what stands beside its sequence."""
    return (
        frozenset(
            module
            for name, module in language_trunk(model).named_modules()
            if name.endswith("cross_attn")
        )
        if family(model).crossed
        else frozenset()
    )


def next_masks(given: Mapping[str, object], new: int) -> dict[str, Tensor]:
    """What of the picture the tokens after a sequence may look at by cross-attention: what its last
    position may.
    """
    names = ("cross_attention_mask", "full_text_row_masked_out_mask")
    return {name: given[name][:, :, -1:].expand(-1, -1, new, -1) for name in names if name in given}


def next_positions(given: Mapping[str, object], count: int, new: int) -> dict[str, Tensor]:
    """Positions of tokens that follow a sequence, for language models that were told the positions
    of the sequence itself.

    Args:
        given: what the language model was called with.
        count: tokens after the sequence so far.
        new: how many more.
    """
    positions = given.get("position_ids")
    if positions is None:
        return {}
    following = positions.amax() + 1 + count + torch.arange(new, device=positions.device)
    return {"position_ids": following.expand(*positions.shape[:-1], new)}


def output_layers(model: PreTrainedModel) -> tuple[int, ...]:
    """The encoder layers that X' is made of, side by side; 1 is the first."""
    count, between = (
        len(encoder_layers(model)),
        getattr(model.config.vision_config, "intermediate_layers_indices", None),
    )
    if between is not None:  # Llama 3.2 Vision: the last one and some before it
        return (count, *(index + 1 for index in between))
    # ViP-LLaVA's setting was in the plural before
    several = getattr(model.config, "vision_feature_layers", -1)
    layers = getattr(model.config, "vision_feature_layer", several)
    return tuple(
        layer if layer >= 0 else count + 1 + layer
        for layer in ([layers] if isinstance(layers, int) else layers)
    )


def check_feature_layers(model: PreTrainedModel) -> None:
    """Whether the encoder layers that X' is made of exist.

    Raises:
        ModelError: one does not.
    """
    layers, count = getattr(model.config, "vision_feature_layer", None), len(encoder_layers(model))
    if layers is None or not count or "vision_feature_layer" not in vars(type(model.config)()):
        return
    for layer in [layers] if isinstance(layers, int) else layers:
        if not -count - 1 <= layer <= count:
            raise ModelError(
                f"vision_feature_layer in config.json is {layers!r:.60}, and the vision encoder has"
                f" {count} layers: give {-count - 1} to {count}, where 0 is what the first layer"
                " reads."
            )


def class_positions(model: PreTrainedModel) -> int:
    """How many positions f_v has before the patches of a picture: CLS and registers."""
    module = embedding_module(model)
    named = {} if module is None else dict(module.named_parameters(recurse=False))
    return sum(
        named[name].numel() // named[name].shape[-1]
        for name in ("class_embedding", "cls_token", "register_tokens")
        if name in named
    )


def has_turned_patches(model: PreTrainedModel) -> bool:
    """Tell whether f_v marks places by turning queries and keys, and so takes any size."""
    return tower_row(model).rotary is not None


def context_length(model: PreTrainedModel) -> int:
    """The longest sequence the language model was made for, in positions."""
    return int(model.config.get_text_config().max_position_embeddings)


def control_tokens(processor: ProcessorMixin) -> tuple[str, ...]:
    """Strings that the tokenizer reads as one control token wherever they stand, also inside a
    question: those it calls special, and those its processor works with.
    """
    tokenizer = processor.tokenizer
    entries = {entry.content: entry.special for entry in tokenizer.added_tokens_decoder.values()}
    named = [
        value
        for name, value in vars(processor).items()
        if name.endswith(("token", "tokens", "tag"))
    ]
    at_work = [
        str(each) for value in named for each in (value if isinstance(value, list) else [value])
    ]
    return tuple(
        dict.fromkeys(
            [
                *tokenizer.all_special_tokens,
                *(text for text, special in entries.items() if special),
                *(text for text in at_work if text in entries),
            ]
        )
    )


def control_ids(processor: ProcessorMixin) -> frozenset[int]:
    """Their rows of the vocabulary, without that of the unknown token, which is text."""
    tokenizer = processor.tokenizer
    return frozenset(tokenizer.convert_tokens_to_ids(list(control_tokens(processor)))) - {
        tokenizer.unk_token_id
    }


class _Once:
    """A processor's picture part that is asked once: later it gives what it gave, in fresh
    mappings of the same tensors.
    """

    def __init__(self, part: object, processed: dict[str, object]) -> None:
        self._part, self._processed = part, processed

    def __getattr__(self, name: str) -> object:
        return getattr(self._part, name)

    def __call__(self, *images: object, **settings: object) -> object:
        if self._processed.get("settings") != settings:
            self._processed |= {"settings": settings, "made": self._part(*images, **settings)}
        return copy.copy(self._processed["made"])


def looking_once(processor: ProcessorMixin, processed: dict[str, object]) -> ProcessorMixin:
    """The processor for several prompts about the same photos: its own code throughout, but its
    picture part, which takes nearly all of the time, works once.

    Args:
        processed: what it made of these photos, to be handed over with the next prompt; empty at
            first.
    """
    once = copy.copy(processor)
    once.image_processor = _Once(processor.image_processor, processed)
    return once


def question_room(model: PreTrainedModel) -> int | None:
    """How many tokens of the question the connector can read.

    None if it reads none, or any number.
    """
    return (
        getattr(getattr(model.config, "qformer_config", None), "max_position_embeddings", None)
        if family(model).per_question
        else None
    )
