"""The settings of a checkpoint that stand in several files: what the processor lacks is taken from
the model, and where the two cannot both be right a sentence names both.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from vlm.backends import architecture
from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError, VLMError, is_out_of_memory

ensure_torchvision()

from transformers import PreTrainedModel, ProcessorMixin

logger = logging.getLogger(__name__)

PROCESSOR, MODEL = "processor_config.json", "config.json"
IMAGES = "preprocessor_config.json, or image_processor in processor_config.json"
# what transformers' own code raises on settings that it was not written for
UNFIT = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# by which processors count the places of a photo, besides what the model's configuration says too
COUNTERS = (
    "image_seq_len",
    "image_seq_length",
    "num_image_tokens",
    "num_query_tokens",
    "num_additional_image_tokens",
    "patch_size",
    "spatial_merge_size",
    "downsample_factor",
)


@contextmanager
def explain_errors(explain: Callable[[Exception], VLMError]) -> Iterator[None]:
    """What transformers' own code raises in here becomes a sentence; too little memory does not.

    Raises:
        VLMError: what `explain` makes of it.
    """
    try:
        yield
    except VLMError:
        raise
    except UNFIT as error:
        if is_out_of_memory(error):
            raise
        raise explain(error) from error


@contextmanager
def naming_settings(
    network: PreTrainedModel, processor: ProcessorMixin, inputs: Mapping[str, Tensor]
) -> Iterator[None]:
    """What cannot be laid out in here is told with the settings that are the reason.

    Raises:
        ModelError: the pictures that the processor made do not fit the model.
    """
    try:
        with explain_errors(
            lambda error: ModelError(
                "The pictures that the processor made cannot be laid out"
                f" ({type(error).__name__}: {first_line(error)})."
            )
        ):
            yield
    except ModelError as error:
        reasons = differences(network, processor, inputs)
        if not reasons:
            raise
        raise ModelError(f"{str(error).rstrip('.')}: {'; '.join(reasons)}.") from error


def first_line(error: Exception) -> str:
    """What an error says, as a part of a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(". ")


def complete_processor(network: PreTrainedModel, processor: ProcessorMixin, folder: Path) -> None:
    """Give LLaVA's processors what their files leave out, as those of older checkpoints do: P, the
    strategy by which patches are chosen, and how many positions an encoder has beside the patches.

    Each has one value with which the places of a photo are as many as its visual tokens, and the
    model says which.
    """
    wanted: dict[str, Callable[[], object]] = {
        "patch_size": lambda: architecture.patch_size(network),
        # ViP-LLaVA, whose configuration has none, always leaves CLS out
        "vision_feature_select_strategy": lambda: getattr(
            network.config, "vision_feature_select_strategy", "default"
        ),
        "num_additional_image_tokens": lambda: architecture.class_positions(network),
    }
    said = _settings_in_files(folder)
    for name, value in wanted.items():
        there = getattr(processor, name, 0)
        # no setting of this processor, or one that its files hold; a count left out is 0
        if not hasattr(processor, name) or (name in said and there is not None):
            continue
        if there is None or name == "num_additional_image_tokens":
            setattr(processor, name, value())
            logger.info("%s is not in %s; the model says %s", name, PROCESSOR, value())


def _settings_in_files(folder: Path) -> set[str]:
    """The names of all settings that the files of a processor hold."""
    names: set[str] = set()
    for file in (PROCESSOR, "preprocessor_config.json"):
        if (folder / file).is_file():
            names |= set(json.loads((folder / file).read_text()))
    return names


def differences(
    network: PreTrainedModel, processor: ProcessorMixin, inputs: Mapping[str, Tensor] | None = None
) -> list[str]:
    """Settings that the processor and the model both have, and have differently, in words.

    Args:
        inputs: what the processor made for the encoder, if it got so far.
    """
    row, config, found = architecture.family(network), network.config, []

    def compare(name: str, mine: object, models: object, where: str) -> None:
        if mine is not None and models is not None and mine != models:
            found.append(f"{name} is {mine!r:.60} in {where} and {models!r:.60} in {MODEL}")

    if not row.crossed and not row.marked_by:
        compare(
            "image_token_id", _image_token_id(processor), config.image_token_id, "the tokenizer"
        )
    if type(processor).__name__.startswith(("Llava", "Pixtral", "LightOn")):
        size = architecture.patch_size(network)
        compare("patch_size", getattr(processor, "patch_size", None), size, PROCESSOR)
    for name in ("vision_feature_select_strategy", "vision_aspect_ratio", "num_query_tokens"):
        compare(name, getattr(processor, name, None), getattr(config, name, None), PROCESSOR)
    beside = getattr(processor, "num_additional_image_tokens", None)
    if beside is not None and beside != architecture.class_positions(network):
        found.append(
            f"num_additional_image_tokens is {beside} in {PROCESSOR} and the encoder has"
            f" {architecture.class_positions(network)} positions beside the patches"
        )
    if hasattr(processor, "spatial_merge_size"):
        merge = architecture.merge_size(network)
        compare("spatial_merge_size", processor.spatial_merge_size, merge, PROCESSOR)
    if found_size := _size_difference(network, inputs or {}):
        found.append(found_size)
    return found


def _image_token_id(processor: ProcessorMixin) -> int | None:
    """What stands for a visual token in the prompt; a mark that becomes several is another one."""
    for owner in (processor.tokenizer, processor):
        known = getattr(owner, "image_token_id", None)
        if known is not None:
            return known
    mark = getattr(processor, "image_token", None)
    return processor.tokenizer.convert_tokens_to_ids(str(mark)) if mark else None


def _size_difference(network: PreTrainedModel, inputs: Mapping[str, Tensor]) -> str | None:
    """That the pictures have another size than the encoder's, for encoders that have one."""
    size, values = (
        getattr(network.config.vision_config, "image_size", None),
        inputs.get("pixel_values"),
    )
    if (
        size is None
        or values is None
        or values.ndim < 4
        or architecture.has_turned_patches(network)
    ):
        return None
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    made = tuple(values.shape[-2:])
    return (
        None
        if made == (height, width)
        else (
            f"the pictures have {made[1]} x {made[0]} pixels by size in {IMAGES}, and {width} x"
            f" {height} by vision_config.image_size in {MODEL}"
        )
    )


def explain_encoder(
    network: PreTrainedModel,
    processor: ProcessorMixin,
    inputs: Mapping[str, Tensor],
    error: Exception,
) -> ModelError:
    """Why the vision encoder or the connector could not take what the processor made."""
    layers = getattr(network.config, "vision_feature_layer", None)
    strategy = getattr(network.config, "vision_feature_select_strategy", "full")
    reasons = differences(network, processor, inputs)
    if strategy not in ("default", "full"):
        reasons = [
            f"vision_feature_select_strategy in {MODEL} is {strategy!r:.40}, neither 'default' nor"
            " 'full'"
        ]
    if isinstance(layers, (list, tuple)) and not reasons:
        reasons.append(f"vision_feature_layer in {MODEL} is a list, {list(layers)!r:.60}")
    return ModelError(
        f"The vision encoder cannot take what the processor made of the photo"
        f" ({type(error).__name__}: {first_line(error)}){': ' * bool(reasons)}"
        f"{'; '.join(reasons)}. Correct the files of the checkpoint."
    )


def explain_places(
    network: PreTrainedModel,
    processor: ProcessorMixin,
    inputs: Mapping[str, Tensor],
    places: int,
    tokens: int,
) -> ModelError:
    """Why the prompt does not have one place for each visual token."""
    reasons = differences(network, processor, inputs)
    if not reasons:
        counted = [
            f"{name} = {getattr(processor, name)!r:.40}"
            for name in COUNTERS
            if getattr(processor, name, None) is not None
        ]
        reasons = [f"the processor counts by {', '.join(counted)} in {PROCESSOR}"] * bool(counted)
    return ModelError(
        f"The prompt has {places} places for {tokens} visual tokens{': ' * bool(reasons)}"
        f"{'; '.join(reasons)}. Correct the files of the checkpoint."
    )
